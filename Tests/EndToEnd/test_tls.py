"""The gateway with a certificate of its own: HTTP and sockets are encrypted, a renewed pair is shown by itself, and a broken one changes nothing."""

import asyncio
import json
import os
import shutil
import socket
import ssl
import subprocess
import time

import pytest
import requests
import websockets

from parley_process import PARLEY, Gateway, free_port, message, until


def make(folder, name, kind="rsa:2048"):
    """A certificate for this machine that vouches for itself, and its key."""
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    options = ["-newkey", kind] if kind.startswith("rsa") else ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    subprocess.run(
        ["openssl", "req", "-x509", *options, "-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj", f"/CN={name}",
         "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"], check=True, capture_output=True)
    return certificate, key


class Encrypted(Gateway):
    """Shows what is in `pair` of its folder."""

    def __init__(self, certificate, key, trusted):
        super().__init__()
        self.url = f"https://127.0.0.1:{self.port}"
        self.certificate, self.key = f"{self.folder}/pair.crt", f"{self.folder}/pair.key"
        self.trusted = trusted
        self.show(certificate, key)

    def show(self, certificate, key):
        for source, target in ((certificate, self.certificate), (key, self.key)):
            shutil.copy(source, target + ".new")
            os.rename(target + ".new", target)

    def start(self, *options, **more):
        return super().start("--tls-certificate", self.certificate, "--tls-key", self.key, *options, **more)

    def context(self):
        return ssl.create_default_context(cafile=self.trusted)

    def line(self, context=None):
        return (context or self.context()).wrap_socket(socket.create_connection(("127.0.0.1", self.port), timeout=10), server_hostname="127.0.0.1")

    def shown(self):
        """The name in the certificate that a newcomer is shown."""
        with self.line() as line:
            return dict(part for parts in line.getpeercert()["subject"] for part in parts)["commonName"]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    made = {"first": make(folder, "first"), "second": make(folder, "second", "ec")}
    trusted = folder / "trusted.pem"
    trusted.write_bytes(b"".join(certificate.read_bytes() for certificate, _ in made.values()))
    return {**made, "trusted": str(trusted), "folder": folder}


@pytest.fixture(scope="module")
def gateway(pairs):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REQUESTS_CA_BUNDLE", pairs["trusted"])
        gateway = Encrypted(*pairs["first"], pairs["trusted"]).start()
        yield gateway
        gateway.stop()


@pytest.fixture(autouse=True)
def first(gateway, pairs):
    """Each test begins with the first pair."""
    yield
    gateway.show(*pairs["first"])
    until("the first certificate", lambda: gateway.shown() == "first")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_http_is_encrypted_by_tls_1_2_at_least(gateway, project):
    assert project.send(message(text="in private")) == ["stored"]
    assert project.conversation("t-1")["items"][0]["content"] == "in private"
    context = gateway.context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with gateway.line(context) as line:
        assert line.version() == "TLSv1.3" and line.selected_alpn_protocol() == "http/1.1"
    context = gateway.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with gateway.line(context) as line:
        assert line.version() == "TLSv1.2"
    context = gateway.context()
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        gateway.line(context)


def test_sockets_are_encrypted(gateway, project):
    async def talk():
        url = gateway.url.replace("https", "wss") + f"/v1/socket?key={project.public}"
        async with websockets.connect(url, subprotocols=["parley.v1"], origin=project.ORIGIN, ssl=gateway.context()) as line:
            assert json.loads(await line.recv())["type"] == "welcome"
            await line.send('{"type":"hello","client":"test/1"}')
            events = [message(thread="t-wss", text="x" * 50_000) for _ in range(4)]
            await line.send(json.dumps({"type": "batch", "batch": 1, "events": events}))
            ack = json.loads(await line.recv())
            assert (ack["type"], ack["batch"], ack.get("results")) == ("ack", 1, None)

    asyncio.run(talk())
    assert len(project.conversation("t-wss")["items"]) == 4


def test_a_large_answer_and_a_half_closed_line_come_through(gateway, project):
    for _ in range(4):
        project.send(*[message(text="x" * 60_000) for _ in range(16)])
    assert len(project.get("/v1/export").text) > 4 * 16 * 60_000
    with gateway.line() as line:
        line.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        heard = b""
        while piece := line.recv(65536):
            heard += piece
        assert heard.startswith(b"HTTP/1.1 200") and heard.endswith(b"ok\n")


def test_a_session_of_the_review_page_is_kept_for_encrypted_lines_only(gateway):
    link = gateway.answer("review", "link")["url"]
    assert link.startswith(gateway.url), "commands know that the server is reached by https"
    answer = requests.post(gateway.url + "/ui/session", json={"token": link.split("#signin=")[1]}, timeout=20)
    assert answer.status_code == 204 and "Secure" in answer.headers["Set-Cookie"]


def test_a_renewed_pair_is_shown_to_newcomers_and_ends_no_connection(gateway, pairs):
    assert gateway.shown() == "first"
    with gateway.line() as old:
        gateway.show(*pairs["second"])
        until("the second certificate", lambda: gateway.shown() == "second")
        assert requests.get(gateway.url + "/readyz", timeout=5).status_code == 200
        old.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert old.recv(65536).startswith(b"HTTP/1.1 200")
    ends = next(row for row in requests.get(gateway.url + "/metrics", timeout=5).text.splitlines()
                if row.startswith("parley_tls_certificate_ends_seconds "))
    assert 0 < float(ends.split()[1]) - time.time() < 3 * 86400


@pytest.mark.parametrize("broken", ["a key of another", "half a file", "no file"])
def test_a_broken_new_pair_is_said_and_changes_nothing(gateway, pairs, broken):
    said = open(gateway.log.name).read().count("the certificate stays as it is")
    if broken == "a key of another":
        gateway.show(pairs["second"][0], pairs["first"][1])
    elif broken == "half a file":
        text = open(gateway.certificate).read()
        with open(gateway.certificate, "w") as file:
            file.write(text[:len(text) // 2])
    else:
        os.remove(gateway.key)
    until("a word of the refusal", lambda: open(gateway.log.name).read().count("the certificate stays as it is") > said)
    assert gateway.shown() == "first" and requests.get(gateway.url + "/readyz", timeout=5).status_code == 200
    # Mended, it is shown.
    gateway.show(*pairs["second"])
    until("the second certificate", lambda: gateway.shown() == "second")


@pytest.mark.parametrize("first_words", [b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"\x00" * 64, b"SSH-2.0-x\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 9000])
def test_what_is_no_tls_is_ended_and_costs_nobody_else(gateway, first_words):
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=5) as line:
        line.sendall(first_words)
        heard = b""
        try:
            while piece := line.recv(65536):
                heard += piece
        except ConnectionResetError:
            pass
    assert b"HTTP/" not in heard, "it was answered in the clear"
    assert requests.get(gateway.url + "/readyz", timeout=5).status_code == 200


def test_a_handshake_that_is_never_finished_has_its_time(gateway):
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=30) as line:
        line.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        assert line.recv(65536) == b""
    assert 5 < time.monotonic() - begun < 20


@pytest.mark.parametrize("name, options, words", [
    ("no key", ["--tls-certificate", "{first_crt}"], "--tls-key"),
    ("no certificate", ["--tls-key", "{first_key}"], "--tls-certificate"),
    ("no such file", ["--tls-certificate", "{folder}/none.crt", "--tls-key", "{first_key}"], "can't be read"),
    ("a key of another", ["--tls-certificate", "{second_crt}", "--tls-key", "{first_key}"], "does not belong to"),
    ("files the wrong way round", ["--tls-certificate", "{first_key}", "--tls-key", "{first_crt}"], "holds no certificate in PEM"),
    ("a certificate for a key", ["--tls-certificate", "{first_crt}", "--tls-key", "{first_crt}"], "holds no private key in PEM"),
    ("a key with a passphrase", ["--tls-certificate", "{first_crt}", "--tls-key", "{locked_key}"], "passphrase")])
def test_a_pair_that_is_broken_at_the_start_is_said_in_a_sentence(pairs, tmp_path, name, options, words):
    locked = pairs["folder"] / "locked.key"
    subprocess.run(["openssl", "rsa", "-aes256", "-passout", "pass:secret", "-in", pairs["first"][1], "-out", locked], check=True, capture_output=True)
    files = {"first_crt": pairs["first"][0], "first_key": pairs["first"][1], "second_crt": pairs["second"][0], "folder": pairs["folder"],
             "locked_key": locked}
    done = subprocess.run(
        [PARLEY, "serve", "--listen", f"127.0.0.1:{free_port()}", "--data", str(tmp_path), *[option.format(**files) for option in options]],
        capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)
    assert done.returncode != 0 and words in done.stderr, done.stderr
    assert "PRIVATE KEY" not in done.stderr + done.stdout
