"""Backups, made while the gateway writes, and what is restored from them."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest
import requests

from parley_process import PARLEY, Gateway, Project, message


def run(*words, env=None):
    return subprocess.run([PARLEY, *map(str, words)], capture_output=True, text=True, timeout=60, env={**os.environ, **(env or {})})


class Load:
    """Writers that keep what was acked, and when."""

    def __init__(self, project, writers=4):
        self.project = project
        self.acked = []
        self.latencies = []
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.write, args=(number,)) for number in range(writers)]

    def write(self, number):
        session = requests.Session()
        while not self.over.is_set():
            events = [message(thread=f"load-{number}", text="x" * 500) for _ in range(20)]
            began = time.monotonic()
            answer = session.post(
                self.project.gateway.url + "/v1/events", json={"events": events},
                headers={"Authorization": f"Bearer {self.project.secret}"}, timeout=30)
            self.latencies.append(time.monotonic() - began)
            results = answer.json()["results"]
            self.acked.extend(result["id"] for result in results if result["verdict"] == "stored")

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()


def fill(project, megabytes):
    """Makes the store so large that a backup takes a while."""
    for _ in range(megabytes):
        answer = project.post([message(thread="bulk", text="b" * 60_000) for _ in range(17)])
        assert answer.status_code == 200, answer.text


def stored_ids(database):
    with sqlite3.connect(f"file:{database}?immutable=1", uri=True) as db:
        return [row[0] for row in db.execute("SELECT id FROM event WHERE type = 'message'")]


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A gateway with some data in it, and a folder for backups."""
    gateway = Gateway().start()
    project = gateway.project("kept")
    gateway.command("project", "set", "kept", "--key-quota", "none", "--address-quota", "none")
    gateway.answer("identity", "create", "kept")
    yield gateway, project, tmp_path_factory.mktemp("backups")
    project.assert_law()
    gateway.stop()


@pytest.fixture(scope="module")
def whole(house):
    """One backup, for those who damage copies of it."""
    gateway, project, folder = house
    project.send(message(thread="told", text="a refund, please"))
    made = gateway.answer("backup", str(folder / "whole"))
    return folder / "whole", made


def serve(folder, project):
    """A gateway on a restored folder, with the keys of the one that was backed up."""
    gateway = Gateway()
    shutil.rmtree(gateway.folder)
    gateway.folder = str(folder)
    gateway.start()
    made = Project.__new__(Project)
    made.__dict__.update(project.__dict__, gateway=gateway)
    return gateway, made


def test_a_backup_under_load_has_all_that_was_acked_before_it_began(house, tmp_path):
    gateway, project, _ = house
    fill(project, 24)
    with Load(project) as load:
        time.sleep(1.5)
        before = list(load.acked)
        quiet = sorted(load.latencies)
        load.latencies.clear()
        began = time.monotonic()
        done = run("backup", tmp_path / "b", "--data", gateway.folder, "--json")
        took = time.monotonic() - began
        busy = sorted(load.latencies)
        time.sleep(0.3)
    assert done.returncode == 0, done.stderr
    print(f"backup {took:.1f} s; acks before p50 {quiet[len(quiet) // 2]:.3f} s, meanwhile {busy[len(busy) // 2]:.3f} s, longest {busy[-1]:.2f} s")
    assert busy and busy[-1] < 5, "an ack waited for the backup"
    manifest = json.loads(done.stdout)
    names = {file["name"] for file in manifest["files"]}
    assert names == {"parley.sqlite", "sealing.key"} and set(os.listdir(tmp_path / "b")) == names | {"manifest.json"}
    assert not list(tmp_path.glob("*.part"))
    for path in (tmp_path / "b").iterdir():
        assert oct(path.stat().st_mode & 0o777) == "0o600", path
    assert oct((tmp_path / "b").stat().st_mode & 0o777) == "0o700"

    there = stored_ids(tmp_path / "b" / "parley.sqlite")
    assert len(there) == len(set(there))
    assert not set(before) - set(there), "acked before the backup began, and not in it"
    assert not {i for i in there if i not in set(load.acked)} - set(stored_ids_of_bulk(tmp_path / "b")), "never acked"

    # Restored, it answers as the one before: the conversation, the search, the keys and what was sealed.
    data = tmp_path / "data"
    restored = run("restore", tmp_path / "b", "--data", data)
    assert restored.returncode == 0, restored.stderr
    assert sorted(stored_ids(data / "parley.sqlite")) == sorted(there)
    other, same = serve(data, project)
    try:
        assert run("doctor", "--data", data, "--url", other.url).returncode == 0
        for number in range(4):
            ours = [i["id"] for i in project.conversation(f"load-{number}")["items"]]
            theirs = [i["id"] for i in same.conversation(f"load-{number}")["items"]]
            assert theirs and set(theirs) <= set(ours)
        assert same.send(message(thread="after")) == ["stored"]
        same.assert_law()
    finally:
        other.stop()


def stored_ids_of_bulk(backup):
    with sqlite3.connect(f"file:{backup}/parley.sqlite?immutable=1", uri=True) as db:
        return [row[0] for row in db.execute(
            "SELECT e.id FROM event e JOIN thread t ON t.number = e.thread WHERE t.id NOT LIKE 'load-%'")]


def test_kill_9_leaves_no_half_backup(house, tmp_path):
    gateway, project, _ = house
    fill(project, 8)
    halves = 0
    for pause in (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4):
        target = tmp_path / f"b-{pause}"
        process = subprocess.Popen([PARLEY, "backup", str(target), "--data", gateway.folder], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if target.exists():
            assert run("backup", "--verify", target).returncode == 0
            continue
        halves += Path(f"{target}.part").exists()
        # What was left there is in nobody's way.
        assert run("backup", target, "--data", gateway.folder).returncode == 0
        assert run("backup", "--verify", target).returncode == 0
        assert not Path(f"{target}.part").exists()
        shutil.rmtree(target)
    assert halves, "no backup was cut off in the middle"


def test_nothing_is_overwritten(house, whole, tmp_path):
    gateway, _, folder = house
    backup, _ = whole
    again = run("backup", backup, "--data", gateway.folder)
    assert again.returncode == 1 and "already" in again.stderr
    file = tmp_path / "file"
    file.write_text("mine")
    assert run("backup", file, "--data", gateway.folder).returncode == 1 and file.read_text() == "mine"
    # A folder with data, one that a gateway runs on, and one whose database was deleted under the gateway.
    assert "holds data" in run("restore", backup, "--data", make_folder(tmp_path, "a", "sealing.key")).stderr
    assert "holds data" in run("restore", backup, "--data", make_folder(tmp_path, "c", "parley.sqlite-wal")).stderr
    other = Gateway().start()
    try:
        told = run("restore", backup, "--data", other.folder)
        assert told.returncode == 1 and "at work" in told.stderr
        for name in os.listdir(other.folder):
            if name.startswith(("parley.", "sealing.")):
                os.unlink(os.path.join(other.folder, name))
        told = run("restore", backup, "--data", other.folder)
        assert told.returncode == 1 and "at work" in told.stderr
    finally:
        other.stop()


def make_folder(tmp_path, name, file):
    (tmp_path / name).mkdir()
    (tmp_path / name / file).write_text("x")
    return tmp_path / name


def damage(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))


def test_damage_is_named_and_nothing_is_restored(whole, tmp_path):
    backup, made = whole
    size = (backup / "parley.sqlite").stat().st_size

    def edit(folder, change):
        manifest = json.loads((folder / "manifest.json").read_text())
        change(manifest)
        (folder / "manifest.json").write_text(json.dumps(manifest))

    cases = {
        "parley.sqlite": [
            lambda f: damage(f / "parley.sqlite", size // 2), lambda f: damage(f / "parley.sqlite", size - 1),
            lambda f: os.truncate(f / "parley.sqlite", size - 4096), lambda f: (f / "parley.sqlite").unlink()],
        "sealing.key": [lambda f: damage(f / "sealing.key", 3), lambda f: (f / "sealing.key").unlink()],
        "manifest.json": [
            lambda f: (f / "manifest.json").unlink(), lambda f: (f / "manifest.json").write_text("{"), lambda f: (f / "manifest.json").write_text("[]"),
            lambda f: edit(f, lambda m: m["counts"].update(event=0)), lambda f: edit(f, lambda m: m.update(schema=1)),
            lambda f: edit(f, lambda m: m["files"].append({"name": "../../escaped", "bytes": 0, "sha256": ""})),
            lambda f: edit(f, lambda m: m["files"].pop(0))],
    }
    number = 0
    for name, changes in cases.items():
        for change in changes:
            number += 1
            copy = tmp_path / f"copy-{number}"
            shutil.copytree(backup, copy)
            change(copy)
            for told in (run("backup", "--verify", copy), run("restore", copy, "--data", tmp_path / f"data-{number}")):
                assert told.returncode == 1 and name in told.stderr, (name, number, told.stderr)
            assert not [n for n in os.listdir(tmp_path / f"data-{number}")], "something was restored of a damaged backup"
    newer = tmp_path / "newer"
    shutil.copytree(backup, newer)
    edit(newer, lambda m: m.update(format=99))
    assert "newer Parley" in run("restore", newer, "--data", tmp_path / "n").stderr
    assert run("backup", "--verify", backup).returncode == 0


def test_sessions_end_and_the_key_can_stay_outside(house, tmp_path):
    gateway, project, _ = house
    link = gateway.answer("review", "link", "--name", "Ann")["url"]
    assert run("backup", tmp_path / "b", "--without-sealing-key", "--data", gateway.folder).returncode == 0
    assert not (tmp_path / "b" / "sealing.key").exists()
    restored = run("restore", tmp_path / "b", "--data", tmp_path / "data")
    assert restored.returncode == 0 and "sealing.key" in restored.stderr
    other, _ = serve(tmp_path / "data", project)
    try:
        token = link.split("#signin=")[1]
        answer = requests.post(other.url + "/ui/session", json={"token": token}, headers={"Origin": other.url}, timeout=10)
        assert answer.status_code == 401, "a sign-in link of the backup still lets in"
    finally:
        other.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk is mounted by root only")
def test_a_full_disk_is_said_and_leaves_nothing(house, tmp_path):
    gateway, project, _ = house
    fill(project, 10)
    assert run("backup", tmp_path / "fits", "--data", gateway.folder).returncode == 0
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(small)], capture_output=True).returncode != 0:
        pytest.skip("no disk can be mounted here")
    try:
        told = run("backup", small / "b", "--data", gateway.folder)
        assert told.returncode == 1 and "full" in told.stderr, told.stderr
        assert os.listdir(small) == []
        told = run("restore", tmp_path / "fits", "--data", small / "data")
        assert told.returncode == 1 and "pace" in told.stderr, told.stderr
        assert not [name for name in os.listdir(small / "data") if not name.endswith(".key")]
    finally:
        subprocess.run(["umount", str(small)], check=False)
    assert project.send(message(thread="still")) == ["stored"]
