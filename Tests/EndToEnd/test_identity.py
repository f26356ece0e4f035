"""Who a user is: tokens of the page's backend, in three modes, over HTTP, beacon and socket."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import os
import subprocess
import time

import jwt
import pytest
import requests
import websockets
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from parley_process import PARLEY, message, new_id, until


def part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.fixture
def signed(gateway, project):
    """The project with a shared secret, and a function that signs tokens for it."""
    project.secret_key = gateway.answer("identity", "create", project.name)
    project.id = gateway.answer("project", "show", project.name)["id"]

    def token(sub="u1", key=None, algorithm="HS256", headers=None, **claims):
        said = {"sub": sub, "aud": project.id, "exp": int(time.time()) + 300, **claims}
        said = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(said, key or project.secret_key["secret"], algorithm=algorithm, headers=headers)

    project.token = token
    project.check = lambda mode: check(project, mode)
    return project


def check(project, mode):
    project.gateway.command("project", "set", project.name, "--check", f"identity={mode}")
    until("the mode to hold", lambda: answer_to(project, "not a token") == (None if mode == "off" else "invalid_token"))


def answer_to(project, token):
    return asyncio.run(greet(project, token))[1]


@contextlib.asynccontextmanager
async def page(project):
    url = project.gateway.url.replace("http", "ws") + f"/v1/socket?key={project.public}"
    async with websockets.connect(url, subprotocols=["parley.v1"], origin=project.ORIGIN) as socket:
        await socket.recv()
        yield socket


async def greet(project, token):
    """What the gateway says of a token: the identity, and the reason where there is one."""
    async with page(project) as socket:
        await socket.send(json.dumps({"type": "hello", "client": "test/1", "token": token}))
        answer = json.loads(await socket.recv())
        assert answer["type"] == "auth", answer
        reason = answer.get("reason")
        return answer["identity"], None if reason == "identity_off" else reason


def item(project, thread, position=0):
    return project.conversation(thread)["items"][position]


def send(project, *events, token=None, key=None):
    """Verdicts and reasons of events from a page."""
    headers = {"Parley-User-Token": token} if token else {}
    answer = project.post(list(events), key=key or project.public, headers=headers)
    return [(result["verdict"], result.get("reason")) for result in answer.json()["results"]]


def test_off_by_default_a_token_is_not_looked_at_and_a_user_is_claimed(signed):
    said = message(user={"id": "u1"})
    assert send(signed, said, token="nonsense") == [("stored", None)]
    stored = item(signed, "t-1")
    assert (stored["provenance"], stored["user"]) == ("claimed", {"id": "u1", "proven": False})


def test_a_token_proves_the_user_over_http_beacon_and_socket(signed):
    signed.check("enforce")
    assert send(signed, message("t-http"), token=signed.token()) == [("stored", None)]

    body = {"events": [message("t-beacon")], "token": signed.token()}
    sent = requests.post(
        f"{signed.gateway.url}/v1/beacon?key={signed.public}", data=json.dumps(body),
        headers={"Content-Type": "text/plain", "Origin": signed.ORIGIN}, timeout=20)
    assert sent.json()["results"][0]["verdict"] == "stored"

    async def over_socket():
        async with page(signed) as socket:
            await socket.send(json.dumps({"type": "hello", "client": "test/1", "token": signed.token()}))
            # Before the answer: the batch waits until it is known whose it is.
            await socket.send(json.dumps({"type": "batch", "batch": 1, "events": [message("t-socket", user={"id": "u1"})]}))
            return [json.loads(await socket.recv()) for _ in range(2)]

    auth, ack = asyncio.run(over_socket())
    assert auth == {"type": "auth", "identity": "verified"}
    assert ack["type"] == "ack" and "results" not in ack
    for thread in ("t-http", "t-beacon", "t-socket"):
        stored = item(signed, thread)
        assert (stored["provenance"], stored["user"]) == ("verified", {"id": "u1", "proven": True}), thread
        assert signed.conversation(thread)["thread"]["user"]["proven"] is True


def test_enforced_a_named_user_without_proof_waits_in_quarantine_and_nobody_else_is_disturbed(signed):
    signed.check("enforce")
    named, unnamed = message("t-1", user={"id": "u1"}), message("t-1")
    assert send(signed, named, unnamed) == [("quarantined", "identity_required"), ("stored", None)]
    assert item(signed, "t-1")["id"] == unnamed["id"]
    other = message("t-1", user={"id": "u2"})
    assert send(signed, other, token=signed.token("u1")) == [("quarantined", "identity_mismatch")]
    # With the right proof the same event is welcome: it never took its ID.
    assert send(signed, other, token=signed.token("u2")) == [("stored", None)]


def test_a_token_for_one_thread_speaks_for_no_other(signed):
    signed.check("enforce")
    token = signed.token(thread="mine")
    assert send(signed, message("mine"), message("yours"), token=token) == [("stored", None), ("quarantined", "identity_mismatch")]


def test_a_dry_run_stores_all_and_counts_what_would_be_refused(signed):
    signed.check("dry_run")
    events = [message(user={"id": "u1"}), message(user={"id": "u2"}), message()]
    assert send(signed, *events, token=signed.token("u1")) == [("stored", None)] * 3
    assert send(signed, message(user={"id": "u3"})) == [("stored", None)]
    total = signed.read("/v1/outcomes")["total"]
    assert total["dryRun"] == {"identity_mismatch": 1, "identity_required": 1}
    assert [entry["user"]["proven"] if entry["user"] else None for entry in signed.conversation("t-1")["items"]] == [
        True, False, True, False]


def test_a_claimed_name_never_meets_the_proven_one(signed):
    signed.check("dry_run")
    thread = "t-both"
    claimed = message(thread, "I am Ann, believe me", user={"id": "ann", "props": {"plan": "gold"}}, at=1_795_000_000_000)
    proven = message(thread, "Hello", user={"id": "ann", "props": {"plan": "free"}}, at=1_795_000_001_000)
    assert send(signed, claimed) == [("stored", None)]
    assert send(signed, proven, token=signed.token("ann")) == [("stored", None)]
    # The claim was first, and the proof has the thread all the same; neither has the other's properties.
    user = signed.conversation(thread)["thread"]["user"]
    assert user == {"id": "ann", "proven": True, "props": {"plan": "free"}}
    later = message(thread, "Still me", user={"id": "ann", "props": {"plan": "platinum"}})
    assert send(signed, later) == [("stored", None)]
    assert signed.conversation(thread)["thread"]["user"]["props"] == {"plan": "free"}
    # Two voters: the claimed one does not change the proven one's vote.
    target = proven["id"]
    vote = {"type": "feedback", "target": target, "thread": thread, "user": {"id": "ann"}}
    send(signed, {**vote, "id": new_id(), "thumb": "up"}, token=signed.token("ann"))
    send(signed, {**vote, "id": new_id(), "thumb": "down"})
    votes = signed.read(f"/v1/messages/{target}")["message"]["feedback"]["votes"]
    assert sorted((vote["proven"], vote["thumb"]) for vote in votes) == [(False, "down"), (True, "up")]
    people = signed.read("/v1/users")["users"]
    assert [person["proven"] for person in people if person["id"] == "ann"] == [True]


def test_a_sender_cannot_spell_the_proven_name(signed):
    forged = message("t-1", user={"id": "\u0001ann"})
    assert send(signed, forged) == [("quarantined", "invalid_field")]
    assert send(signed, {**forged, "id": new_id()}, key=signed.secret) == [("quarantined", "invalid_field")]


def test_the_same_event_with_and_without_its_proof_is_one(signed):
    signed.check("dry_run")
    said = message("t-1", user={"id": "u1"})
    assert send(signed, said, token=signed.token()) == [("stored", None)]
    assert send(signed, said) == [("duplicate", None)]
    assert item(signed, "t-1")["user"]["proven"] is True


def test_a_backend_vouches_for_the_users_it_names(signed):
    signed.check("enforce")
    assert send(signed, message("t-1", user={"id": "u9"}), key=signed.secret) == [("stored", None)]
    assert item(signed, "t-1")["user"] == {"id": "u9", "proven": True}


def test_tokens_that_prove_nobody(signed):
    """alg none, confused keys, wrong claims, broken forms: each is told, none is believed."""
    signed.check("enforce")
    now = int(time.time())
    good = signed.token()
    head, body, signature = good.split(".")
    pair = ec.generate_private_key(ec.SECP256R1())
    public = pair.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    claims = {"sub": "u1", "aud": signed.id, "exp": now + 300}
    signing = f'{part({"alg": "HS256", "typ": "JWT"})}.{part(claims)}'
    confused = base64.urlsafe_b64encode(hmac.new(public, signing.encode(), hashlib.sha256).digest()).rstrip(b"=").decode()
    refused = {
        "alg none": f'{part({"alg": "none"})}.{body}.',
        "alg none with a signature": f'{part({"alg": "none"})}.{body}.{signature}',
        "alg None": f'{part({"alg": "None"})}.{body}.{signature}',
        "no alg": f'{part({"typ": "JWT"})}.{body}.{signature}',
        "another secret": signed.token(key="0" * 64),
        "an empty secret's": f"{head}.{body}." + base64.urlsafe_b64encode(
            hmac.new(b"", f"{head}.{body}".encode(), hashlib.sha256).digest()).rstrip(b"=").decode(),
        "another algorithm": signed.token(algorithm="HS512"),
        "a public key as secret": f"{signing}.{confused}",
        "a key nobody added": signed.token(key=pair, algorithm="ES256"),
        "RSA": signed.token(key=rsa.generate_private_key(65537, 2048), algorithm="RS256"),
        "an unknown kid": signed.token(headers={"kid": "idk_nobody"}),
        "a kid that is a path": signed.token(headers={"kid": "../../dev/null"}),
        "crit": signed.token(headers={"crit": ["exp"]}),
        "a key of its own": signed.token(key=pair, algorithm="ES256", headers={"jwk": {"kty": "EC"}}),
        "no sub": signed.token(sub=None),
        "an empty sub": signed.token(sub=""),
        "a marked sub": signed.token(sub="\u0001u1"),
        "a long sub": signed.token(sub="u" * 129),
        "no aud": signed.token(aud=None),
        "another aud": signed.token(aud="prj_other"),
        "no exp": signed.token(exp=None),
        "far exp": signed.token(exp=now + 3700),
        "absurd exp": signed.token(exp=10**18),
        "nbf to come": signed.token(nbf=now + 120),
        "another payload": f'{head}.{part({**claims, "sub": "admin"})}.{signature}',
        "two parts": f"{head}.{body}",
        "four parts": f"{good}.{signature}",
        "padding": f"{head}==.{body}.{signature}",
        "not base64": f"{head}.{body}.{signature[:-1]}!",
        "no JSON": f"{head}.bm90IGpzb24.{signature}",
        "nothing": "..",
        "too long": good + "A" * 5000,
    }
    for name, token in refused.items():
        assert asyncio.run(greet(signed, token)) == ("claimed", "invalid_token"), name
        verdicts = send(signed, message("t-1", user={"id": "u1"}), token=token)
        assert verdicts == [("quarantined", "invalid_token")], name
    assert asyncio.run(greet(signed, good)) == ("verified", None)
    assert asyncio.run(greet(signed, signed.token(aud=[signed.name, "other"], nbf=now - 5))) == ("verified", None)


def test_with_an_expired_token_the_events_are_asked_for_again(signed):
    signed.check("enforce")
    stale = signed.token(exp=int(time.time()) - 60)
    said = message("t-1", user={"id": "u1"})
    answer = signed.post([said], key=signed.public, headers={"Parley-User-Token": stale})
    assert (answer.status_code, answer.json()["results"][0]["reason"]) == (503, "expired_token")
    assert send(signed, said, token=signed.token()) == [("stored", None)]


@pytest.mark.parametrize("make, algorithm", [
    (lambda: ec.generate_private_key(ec.SECP256R1()), "ES256"), (ed25519.Ed25519PrivateKey.generate, "EdDSA")])
def test_a_backend_may_keep_its_private_key(gateway, signed, tmp_path, make, algorithm):
    private = make()
    file = tmp_path / "public.pem"
    file.write_bytes(private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    added = gateway.answer("identity", "add", signed.name, "--public-key", str(file))
    assert added["algorithm"] == algorithm
    signed.check("enforce")
    until("the key to hold", lambda: answer_to(signed, signed.token(key=private, algorithm=algorithm)) is None)
    # The secret is live beside it; a third key is one too many.
    assert answer_to(signed, signed.token()) is None
    refused = gateway.command("identity", "create", signed.name, check=False)
    assert refused.returncode == 1 and "revoke" in refused.stderr
    # Its public half as a shared secret opens nothing.
    gateway.command("identity", "revoke", signed.name, signed.secret_key["id"])
    until("the old key to be refused", lambda: answer_to(signed, signed.token()) == "invalid_token")
    assert answer_to(signed, signed.token(key=private, algorithm=algorithm, headers={"kid": added["id"]})) is None


def test_a_secret_is_in_no_file_in_the_clear(gateway, signed, tmp_path):
    for folder, _, names in os.walk(gateway.folder):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                assert signed.secret_key["secret"].encode() not in file.read(), name


def test_a_private_key_is_not_taken(gateway, signed, tmp_path):
    file = tmp_path / "private.pem"
    file.write_bytes(ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    refused = gateway.command("identity", "add", signed.name, "--public-key", str(file), check=False)
    assert refused.returncode == 1 and "private key" in refused.stderr


def test_a_live_socket_takes_a_new_token_and_is_told_when_one_runs_out(signed):
    signed.check("enforce")

    async def go():
        async with page(signed) as socket:
            # Ten seconds of leeway go on top.
            await socket.send(json.dumps({"type": "hello", "client": "test/1", "token": signed.token(exp=int(time.time()) - 7)}))
            first = json.loads(await socket.recv())
            told = json.loads(await asyncio.wait_for(socket.recv(), 8))
            said = message("t-1", user={"id": "u1"})
            await socket.send(json.dumps({"type": "batch", "batch": 1, "events": [said]}))
            asked_again = json.loads(await socket.recv())
            await socket.send(json.dumps({"type": "auth", "token": signed.token()}))
            await socket.send(json.dumps({"type": "batch", "batch": 2, "events": [said]}))
            return first, told, asked_again, json.loads(await socket.recv()), json.loads(await socket.recv())

    first, told, asked_again, renewed, ack = asyncio.run(go())
    assert (first["identity"], told["identity"], told["reason"]) == ("verified", "claimed", "expired_token")
    assert [(result["verdict"], result["reason"]) for result in asked_again["results"]] == [("retry", "expired_token")]
    assert renewed["identity"] == "verified"
    assert "results" not in ack


def test_the_command_line_says_whom_a_token_proves(gateway, signed):
    def ask(token):
        return subprocess.run(
            [PARLEY, "identity", "check", signed.name, "--data", gateway.folder], input=token, capture_output=True, text=True,
            timeout=60, env=os.environ)
    good = ask(signed.token("ann"))
    assert good.returncode == 0 and "ann" in good.stdout
    bad = ask(signed.token(aud="other"))
    assert bad.returncode == 1 and "aud" in bad.stderr


def test_where_users_are_hashed_a_token_still_proves_the_user_it_names(gateway, signed):
    gateway.command("project", "set", signed.name, "--scrub", "pattern:.+=hash:user@user.id", "--check", "identity=enforce")
    until("tokens to be asked for", lambda: answer_to(signed, "not a token") == "invalid_token")
    named, unnamed = message("t-1", user={"id": "ann@shop.example"}), message("t-1")
    assert send(signed, named, unnamed, token=signed.token("ann@shop.example")) == [("stored", None)] * 2
    users = [entry["user"] for entry in signed.conversation("t-1")["items"]]
    assert users[0] == users[1] and users[0]["proven"] and "ann" not in users[0]["id"]
    assert send(signed, message("t-1", user={"id": "bob"}), token=signed.token("ann@shop.example")) == [("quarantined", "identity_mismatch")]
