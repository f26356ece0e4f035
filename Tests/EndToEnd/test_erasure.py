"""The record of an erasure: true, without what was erased, and known again by the installation that made it."""

import json
import shutil
import sqlite3
import subprocess

import requests

from parley_process import PARLEY, message, new_id

WORDS = "xylophone-quarrel"


def talk(project, user):
    asked = message(thread=f"of-{user}", text=f"my {WORDS}", user={"id": user, "props": {"plan": "pro"}})
    run = {"type": "run", "id": new_id(), "kind": "llm", "parent": asked["id"], "output": WORDS, "success": True}
    vote = {"type": "feedback", "id": new_id(), "target": asked["id"], "thumb": "up", "user": {"id": user}}
    assert project.send(asked, run, vote) == ["stored"] * 3
    weak = dict(message(text=WORDS, user={"id": user}), id="weak")
    assert project.send(weak, key=project.public) == ["quarantined"]
    return [asked, run, vote]


def everything(gateway):
    """All that stands in the database, but keyed hashes, as one text."""
    with sqlite3.connect(f"file:{gateway.folder}/parley.sqlite?mode=ro", uri=True) as store:
        tables = [row[0] for row in store.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'search%'")]
        return " ".join(str(cell) for table in tables for row in store.execute(f"SELECT * FROM {table}") for cell in row)


def test_a_command_erases_and_proves_it(gateway, project, tmp_path):
    user = "ann-" + new_id()
    sent = talk(project, user)
    others = talk(project, "bob-" + new_id())
    gateway.command("export", "--project", project.name, "--output", str(tmp_path / "export"))
    gateway.command("backup", str(tmp_path / "backup"))
    refused = gateway.command("erase", user, "--project", project.name, check=False)
    assert refused.returncode == 1 and "--yes" in refused.stderr and user in everything(gateway)

    record = gateway.answer("erase", user, "--project", project.name, "--yes")
    erased = record["erased"]
    assert (erased["threads"], erased["messages"], erased["runs"], erased["events"], erased["quarantined"]) == (1, 1, 1, 3, 1)
    assert erased["tombstones"] >= 4
    assert {record["left"][name] for name in ("threads", "events", "votes", "names", "quarantined")} == {0}
    assert (record["backups"], record["exports"]) == (1, 1) and record["by"].startswith("cli:")
    assert any("backup" in line for line in record["notReached"]) and any("export" in line for line in record["notReached"])
    left = everything(gateway)
    for text in (user, *(event["id"] for event in sent)):
        assert text not in left and text not in json.dumps(record)
    assert others[0]["id"] in left

    # It stays in the audit log, word for word, for the command and the API.
    entry, = gateway.answer("audit", "--action", "user.erase", "--project", project.name)["entries"]
    assert entry["detail"] == record and entry["subject"] == record["id"]
    assert [r["verdict"] for r in project.post(sent).json()["results"]] == ["dropped"] * 3

    # The installation knows its record, and whether the user came back.
    def check(record, *words, data=gateway.folder):
        file = tmp_path / "record.json"
        file.write_text(json.dumps(record))
        return subprocess.run([PARLEY, "erase", "--check", str(file), "--data", str(data), *words], capture_output=True, text=True, timeout=60)

    assert check(record).returncode == 0 and check(entry).returncode == 0
    for change in ({"by": "cli:nobody"}, {"endedAt": "2020-01-01T00:00:00.000Z"}, {"erased": {**erased, "events": 99}}, {"backups": 0}):
        told = check({**record, **change})
        assert told.returncode == 1 and "changed" in told.stderr
    assert "no record" in check({}).stderr
    # A restore of the backup brings the user back: the record says so, and the user is erased again.
    data = tmp_path / "data"
    assert subprocess.run([PARLEY, "restore", str(tmp_path / "backup"), "--data", str(data)], capture_output=True, timeout=60).returncode == 0
    told = check(record, "--json", data=data)
    assert told.returncode == 1 and json.loads(told.stdout)["back"] == [user]
    again = subprocess.run([PARLEY, "erase", user, "--project", project.name, "--yes", "--data", str(data)], capture_output=True, text=True, timeout=60)
    assert again.returncode == 0 and "nothing left" in again.stdout, again.stderr
    assert check(record, data=data).returncode == 0
    shutil.rmtree(data)


def test_the_api_answers_with_the_record(gateway, project):
    user = "cleo-" + new_id()
    talk(project, user)
    answer = requests.delete(f"{gateway.url}/v1/users/{user}", headers={"Authorization": f"Bearer {project.secret}"}, timeout=20)
    assert answer.status_code == 200, answer.text
    record = answer.json()["record"]
    assert record["erased"] == answer.json()["erased"] and record["by"].startswith("key_") and user not in answer.text
    entry, = gateway.answer("audit", "--action", "user.erase", "--project", project.name)["entries"]
    assert entry["detail"] == record
