"""The audit log: each command that changes something is in it, with who gave it, and without secrets or texts."""

import getpass
import json

import requests

from parley_process import message, new_id

ME = "cli:" + getpass.getuser()


def entries(gateway, *words):
    return gateway.answer("audit", *words)["entries"]


def test_every_command_that_changes_something_is_noted(gateway, tmp_path):
    made = gateway.answer("project", "create", "books")
    gateway.command("project", "set", "books", "--origin", "https://books.example", "--scrub", "email=mask")
    key = gateway.answer("key", "create", "--project", "books", "--lane", "secret", "--label", "private words")
    workspace = gateway.answer("key", "create", "--scope", "workspace", "--lane", "secret")
    gateway.command("key", "revoke", key["id"])
    gateway.command("key", "revoke", key["id"])
    secret = gateway.answer("identity", "create", "books")
    gateway.command("identity", "revoke", "books", secret["id"])
    link = gateway.answer("review", "link", "--name", "Bea", "--role", "reader")["url"]
    gateway.command("review", "link", "--name", "Bea", "--role", "reviewer")
    gateway.command("review", "remove", "Bea")
    gateway.command("export", "--project", "books", "--output", str(tmp_path / "out"))
    gateway.command("quarantine", "replay", "--project", "books", "--all")
    gateway.command("backup", str(tmp_path / "b"))

    of_project = entries(gateway, "--project", "books")
    assert [e["action"] for e in reversed(of_project)] == [
        "project.create", "project.change", "key.create", "key.revoke", "identity.add", "identity.revoke", "export", "quarantine.replay"]
    of_house = entries(gateway, "--installation")
    assert [e["action"] for e in reversed(of_house)] == [
        "key.create", "member.add", "member.link", "member.change", "member.link", "member.remove", "backup"]
    assert {e["by"] for e in of_project + of_house} == {ME}
    assert {e["project"] for e in of_project} == {"books"} and {e["project"] for e in of_house} == {None}
    told = json.dumps(entries(gateway))
    for text in (made["publicKey"], made["secretKey"], key["key"], workspace["key"], secret["secret"], link.split("signin=")[1], "private words"):
        assert text not in told, "the audit log has a secret or a text"

    # What was asked of it narrows it.
    assert {e["action"] for e in entries(gateway, "--action", "key")} == {"key.create", "key.revoke"}
    assert len(entries(gateway, "--action", "key.revoke")) == 1
    assert entries(gateway, "--action", "ke") == [] and entries(gateway, "--by", "Ann") == []
    assert entries(gateway, "--from", "2100-01-01T00:00:00Z") == [] and entries(gateway, "--to", "1h") == []
    first = gateway.answer("audit", "--limit", "10")
    second = gateway.answer("audit", "--limit", "10", "--cursor", first["next"])
    numbers = [e["id"] for e in first["entries"] + second["entries"]]
    assert numbers == sorted(numbers, reverse=True) and len(numbers) == len(of_project) + len(of_house)

    # A project's entries outlive it.
    gateway.command("project", "delete", "books", "--yes")
    assert {"project.delete", "project.create", "export"} <= {e["action"] for e in entries(gateway)}
    shown = gateway.command("audit", "--limit", "3").stdout
    assert "project.delete" in shown and ME in shown


def test_a_project_that_a_key_makes_is_noted_once(gateway):
    key = gateway.answer("key", "create", "--scope", "workspace", "--lane", "secret")["key"]
    gateway.wait_until_known(key)
    for _ in range(2):
        trace = {"id": new_id(), "name": "answer", "project_name": "made-by-key", "start_time": "2026-01-01T00:00:00Z", "input": {"a": 1}}
        answer = requests.post(
            gateway.url + "/api/v1/private/traces/batch", headers={"Authorization": key}, json={"traces": [trace]}, timeout=20)
        assert answer.status_code == 204, answer.text
    made, = entries(gateway, "--project", "made-by-key")
    assert (made["action"], made["by"]) == ("project.create", "workspace key")


def test_what_only_reads_leaves_nothing(gateway, project):
    project.send(message(), {**message(), "id": new_id()})
    before = len(entries(gateway))
    for words in (["project", "list"], ["key", "list"], ["review", "list"], ["thread", "list", "--project", project.name], ["doctor", "--url", gateway.url]):
        gateway.command(*words)
    refused = gateway.command("project", "delete", project.name, check=False)
    assert refused.returncode == 1
    assert len(entries(gateway)) == before
