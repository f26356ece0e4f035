"""Scrubbing rules: what they find is nowhere in the data folder, and every other promise holds on."""

import http.client
import json
import os

from parley_process import message, new_id

MAIL = "ann.secret@shop.example"
CARD = "4111 1111 1111 1111"
ORDER = "ORDER-990017"
RULES = ["--scrub", "email=mask", "--scrub", "card=remove", "--scrub", r"pattern:ORDER-\d+=hash:order"]


def places(gateway, text):
    """The files of the data folder that hold a text, the log of commits among them."""
    found = []
    for folder, _, names in os.walk(gateway.folder):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                if text.encode() in file.read():
                    found.append(name)
    return found


def test_what_rules_find_is_nowhere_on_disk(gateway):
    project = gateway.project("scrubbed", *RULES)
    first = message(text=f"Mail {MAIL}, card {CARD}, {ORDER}", metadata={"order": {"mail": MAIL, "card": 4111111111111111}})
    assert project.send(first) == ["stored"]
    assert project.send(first) == ["duplicate"]
    run = {"type": "run", "id": new_id(), "thread": "t-1", "kind": "llm", "parent": first["id"], "input": {"q": [MAIL]},
           "output": f"I wrote to {MAIL}", "error": {"message": CARD}}
    assert project.send(run, {"type": "identify", "id": new_id(), "user": {"id": "u1", "props": {"mail": MAIL}}}) == ["stored"] * 2
    assert project.send({"type": "feedback", "id": new_id(), "target": first["id"], "thumb": "up", "comment": MAIL}) == ["stored"]
    # Quarantine: a weak ID, a missing field, another content under a taken ID, a run by a public key.
    assert project.send(message(text=MAIL) | {"id": "0"}, key=project.public) == ["quarantined"]
    assert project.send({"type": "message", "id": new_id(), "content": MAIL, "more": [MAIL, {"x": CARD}]}) == ["quarantined"]
    assert project.send(first | {"content": f"Other words, {MAIL}"}) == ["conflict"]
    assert project.send(run | {"id": new_id()}, key=project.public) == ["quarantined"]
    project.beacon(message(text=MAIL))

    item = project.conversation("t-1")["items"][0]
    assert item["content"].startswith("Mail [email], card [removed], [order:")
    assert item["metadata"] == {"order": {"mail": "[email]", "card": "[removed]"}}
    project.assert_law()
    assert places(gateway, "[email]"), "the texts are read where they would be"
    for secret in (MAIL, CARD, ORDER, "4111111111111111"):
        assert places(gateway, secret) == [], secret


def test_what_was_quarantined_is_a_duplicate_of_itself_when_it_is_replayed(gateway):
    project = gateway.project("scrubbed-replay", *RULES)
    run = {"type": "run", "id": new_id(), "thread": "t-1", "kind": "llm", "output": f"{MAIL} {ORDER}"}
    assert project.send(run, key=project.public) == ["quarantined"]
    done = gateway.answer("quarantine", "replay", "--project", project.name, "--all", "--trust")
    assert done["counts"] == {"stored": 1}
    assert project.send(run) == ["duplicate"]


def test_rules_are_set_shown_refused_and_taken_off(gateway):
    project = gateway.project("scrubbed-settings")
    assert project.send(message(text=MAIL)) == ["stored"]
    gateway.change("project", "set", project.name, "--scrub", "email=hash@content,user.id", "--scrub", "ip=mask")
    shown = gateway.answer("project", "show", project.name)
    assert [rule["text"] for rule in shown["scrubbing"]] == ["email=hash@content,user.id", "ip=mask"]
    assert "ip=mask" in gateway.command("project", "show", project.name).stdout
    assert project.send(message("t-2", MAIL, user={"id": MAIL})) == ["stored"]
    thread = project.conversation("t-2")
    assert thread["items"][0]["content"] == thread["thread"]["user"]["id"]
    assert thread["items"][0]["content"].startswith("[email:")
    for rule, why in [("pattern:(=mask", "missing )"), ("email=mask@thread", "thread"), ("mail=mask", "email"), ("email=mask@user.id", "hash")]:
        done = gateway.command("project", "set", project.name, "--scrub", rule, check=False)
        assert done.returncode != 0 and why in done.stderr, done.stderr
    gateway.change("project", "set", project.name, "--no-scrub")
    assert gateway.answer("project", "show", project.name)["scrubbing"] == []
    assert project.send(message("t-3", MAIL)) == ["stored"]
    assert project.conversation("t-3")["items"][0]["content"] == MAIL


def test_the_preview_says_what_would_change_and_changes_nothing(gateway):
    project = gateway.project("scrubbed-preview")
    sent = message(text=f"Mail {MAIL} and bob@shop.example")
    assert project.send(sent, message(text="nothing")) == ["stored"] * 2
    preview = gateway.answer("project", "scrub", project.name, "--preview", "--last", "10", "--rule", "email=mask")
    assert (preview["events"], preview["changed"], preview["found"]) == (2, 1, {"email": 2})
    assert preview["samples"] == [
        {"id": sent["id"], "path": "content", "before": sent["content"], "after": "Mail [email] and [email]"}]
    words = gateway.command("project", "scrub", project.name, "--preview", "--rule", "email=mask").stdout
    assert f"- {MAIL}" in words and "+ [email]" in words and "1 of the last 2 events" in words
    assert project.conversation("t-1")["items"][0]["content"] == sent["content"]
    assert gateway.command("project", "scrub", project.name, "--text", f"to {MAIL}", "--rule", "email=mask").stdout == "to [email]\n"
    done = gateway.command("project", "scrub", project.name, "--text", MAIL, check=False)
    assert done.returncode != 0 and "--rule" in done.stderr
    answer = project.post({"rules": [{"what": "email", "action": "mask"}, "card=remove"], "text": f"{MAIL} {CARD}"}, path="/v1/scrubbing/preview")
    assert answer.json() == {"text": "[email] [removed]", "found": {"email": 1, "card": 1}}
    answer = project.post({"rules": ["pattern:("], "text": ""}, path="/v1/scrubbing/preview")
    assert answer.status_code == 400, answer.text
    # The command line's hash is the gateway's own: one key for both.
    gateway.change("project", "set", project.name, "--scrub", "email=hash")
    assert project.send(message("t-2", MAIL)) == ["stored"]
    assert project.conversation("t-2")["items"][0]["content"] + "\n" == gateway.command("project", "scrub", project.name, "--text", MAIL).stdout


def test_what_was_found_is_counted_by_kind(gateway):
    project = gateway.project("scrubbed-counted", *RULES)
    def counts():
        page = project.get("/metrics").text
        return {line.split('"')[1]: int(line.split()[-1]) for line in page.splitlines() if line.startswith("parley_scrubbed_total{")}
    before = counts()
    assert project.send(message(text=f"{MAIL} {MAIL} {CARD} {ORDER}")) == ["stored"]
    after = counts()
    assert {kind: after[kind] - before[kind] for kind in after if after[kind] != before[kind]} == {"email": 2, "card": 1, "pattern": 1}


def test_no_address_of_a_client_is_stored(gateway):
    """Nor by a project without rules: the gateway counts addresses in memory and keeps none."""
    project = gateway.project("addresses")
    address = "127.0.0.77"  # all of 127.0.0.0/8 is this machine, on Linux

    def post(body, key):
        line = http.client.HTTPConnection("127.0.0.1", gateway.port, source_address=(address, 0), timeout=20)
        headers = {"Authorization": f"Bearer {key}", "X-Forwarded-For": "198.51.100.77", "Forwarded": "for=198.51.100.77"}
        if key == project.public:
            headers["Origin"] = project.ORIGIN
        line.request("POST", "/v1/events", body, headers)
        answer = json.loads(line.getresponse().read())
        line.close()
        return [result["verdict"] for result in answer.get("results", [])]

    assert post(json.dumps({"events": [message()]}), project.public) == ["stored"]
    run = {"type": "run", "id": new_id(), "kind": "llm", "error": {"message": "failed"}}
    assert post(json.dumps({"events": [run]}), project.secret) == ["stored"]
    assert post(json.dumps({"events": [message() | {"id": "0"}]}), project.public) == ["quarantined"]
    post("{", project.public)
    post(json.dumps({"events": [message()]}), "pk_none")
    for text in (address, "198.51.100.77"):
        assert places(gateway, text) == []
    for name in os.listdir(gateway.folder):
        with open(os.path.join(gateway.folder, name), "rb") as file:
            assert bytes([127, 0, 0, 77]) not in file.read(), name
