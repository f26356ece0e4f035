"""The disk fills up, fails, tells lies and comes back; descriptors and memory run out.

What must hold each time: senders are told so clearly (503, `retry` with `disk_full` or `store_unavailable`, Retry-After), no
event is acked that is not there afterwards, the process lives, and it recovers by itself once the cause is gone. In the end
all that was acked is read back once, the ledger adds up, and `parley doctor` finds nothing broken.

Full and read-only disks are real file systems where they can be mounted: as root. Elsewhere the errors are made by the
library in front of the C library (`faults.c`), and each such test warns that it was so.
"""

import errno
import json
import os
import random
import resource
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
import faults  # noqa: E402
from book import Book, Readings, check  # noqa: E402
from client import Maker, generator  # noqa: E402
from parley_process import PARLEY, Gateway, Project  # noqa: E402
from wal import Log  # noqa: E402
from world import level_of, processor_seconds, quiet_port  # noqa: E402

SEED = int(os.environ.get("PARLEY_SEED", "1"))


class Bench(Gateway):
    """A gateway whose data may lie elsewhere, with faults in front of its disk if asked for, and a sender with a book."""

    def __init__(self, folder=None, faulty=True):
        super().__init__()
        self.home = self.folder
        if folder:
            self.folder = str(folder)
        self.port = quiet_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.faults = faults.Faults() if faulty else None
        made = self.answer(
            "project", "create", "disk", "--origin", "http://127.0.0.1:*", "--no-quotas")
        self.project = Project(self, made)
        self.maker = Maker(generator(SEED, "disk"))
        self.book = Book()
        self.owed = []
        self.number = 0
        self.session = requests.Session()

    def begin(self, env=None):
        self.start(env={**(self.faults.env if self.faults else {}), **(env or {})})
        return self

    def events(self, count=5, words=None):
        self.number += 1
        return [self.maker.message(f"t-{self.number // 20}", words=words and words + self.maker.id()) for _ in range(count)]

    def send(self, events, timeout=30):
        """Posts events; answers the status, the verdicts with their reasons, and the headers. What is to come again is kept."""
        for event in events:
            self.book.wrote(event)
        try:
            answer = self.session.post(
                self.url + "/v1/events", json={"events": events}, headers={"Authorization": f"Bearer {self.project.secret}"}, timeout=timeout)
        except requests.RequestException:
            self.session = requests.Session()
            self.owed += events
            raise
        results = answer.json().get("results")
        assert results is not None, f"{answer.status_code} {answer.text}"
        for event, result in zip(events, results, strict=True):
            self.book.heard(event, result["verdict"], result)
            if result["verdict"] == "retry":
                self.owed.append(event)
        return answer.status_code, Counter((result["verdict"], result.get("reason")) for result in results), answer.headers

    def stored(self, count=5, **options):
        status, verdicts, _ = self.send(self.events(count, **options))
        assert (status, verdicts) == (200, Counter({("stored", None): count})), f"{status} {verdicts}"

    def refused(self, reasons, count=5):
        """Sends, and is told clearly to try again."""
        events = self.events(count)
        status, verdicts, headers = self.send(events)
        assert status == 503 and set(verdicts) <= {("retry", reason) for reason in reasons}, f"{status} {verdicts}"
        assert int(headers["Retry-After"]) > 0
        return verdicts

    def recovers(self, within=10):
        """What is owed is stored, without a restart, soon after the cause has gone."""
        deadline = time.monotonic() + within
        while self.owed:
            owed, self.owed = self.owed, []
            self.send(owed)
            assert not self.owed or time.monotonic() < deadline, f"{len(self.owed)} events are still refused {within} s after the cause has gone"
            if self.owed:
                time.sleep(0.1)

    def books(self):
        """Stores on both ways. What was refused is booked with the next that is taken from the same source."""
        self.stored()
        assert not self.socket_says(self.events())

    def lives(self):
        code = self.process.poll()
        assert code is None, f"the gateway died ({code}): {Path(self.log.name).read_text()[-1500:]}"

    def holds(self, exact=False, counts_match=True):
        """All that was acked is there once, and the records agree."""
        self.lives()
        body = self.project.get("/v1/export", format="jsonl")
        assert body.status_code == 200, body.text
        check(self.book, Readings(json.loads(line) for line in body.text.splitlines()), self.project.read("/v1/outcomes"), exact, counts_match)
        assert not self.owed
        told = self.command("doctor", "--url", self.url, check=False)
        assert told.returncode == 0, told.stdout + told.stderr

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def socket_says(self, events):
        """The ack of one batch over a socket of its own."""
        import websockets.sync.client
        with websockets.sync.client.connect(
                self.url.replace("http", "ws") + f"/v1/socket?key={self.project.public}", subprotocols=["parley.v1"], origin=Project.ORIGIN) as line:
            line.recv(10)
            line.send(json.dumps({"type": "hello", "client": "test/1"}))
            line.send(json.dumps({"type": "batch", "batch": 1, "events": events}))
            for event in events:
                self.book.wrote(event)
            ack = json.loads(line.recv(20))
        assert ack["type"] == "ack", ack
        results = {result["id"]: result for result in ack.get("results", [])}
        for event in events:
            result = results.get(event["id"], {"verdict": "stored"})
            self.book.heard(event, result["verdict"], result)
            if result["verdict"] == "retry":
                self.owed.append(event)
        return Counter((result["verdict"], result.get("reason")) for result in ack.get("results", []))

    def close(self):
        self.session.close()
        self.stop()
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        if self.faults:
            self.faults.close()
        shutil.rmtree(self.home, ignore_errors=True)


@pytest.fixture
def bench():
    bench = Bench().begin()
    yield bench
    bench.close()


# ------------------------------------------------------------------------------------------------- file systems

def run(*words):
    return subprocess.run(words, capture_output=True, text=True, timeout=60)


@contextmanager
def mounted(kind, megabytes):
    """A small file system of its own, or None where nothing may be mounted; that is said loudly."""
    place = tempfile.mkdtemp(prefix="parley-disk-")
    image = None
    try:
        if os.geteuid() != 0:
            done = None
        elif kind == "tmpfs":
            done = run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "tmpfs", place)
        else:
            image = place + ".image"
            with open(image, "wb") as file:
                file.truncate(megabytes << 20)
            done = run("mkfs.ext4", "-q", "-m", "0", image)
            if done.returncode == 0:
                done = run("mount", "-o", "loop,errors=remount-ro", image, place)
        if done is None or done.returncode != 0:
            why = "this is not root" if done is None else done.stderr.strip()
            warnings.warn(f"no {kind} could be mounted ({why}): the errors of the disk are made up by faults.c instead", stacklevel=2)
            yield None
            return
        try:
            yield Path(place)
        finally:
            deadline = time.monotonic() + 10
            while run("umount", place).returncode != 0 and time.monotonic() < deadline:
                time.sleep(0.2)
    finally:
        shutil.rmtree(place, ignore_errors=True)
        if image:
            Path(image).unlink(missing_ok=True)


def fill(folder):
    """Takes all the room there is."""
    path = folder / "filler"
    with open(path, "wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError as error:
                assert error.errno == errno.ENOSPC
    os.sync()
    return path


def is_writable(folder):
    """Not by the mount's flags: the kernel may refuse all writes and leave them as they were."""
    try:
        (folder / "probe").write_text("")
        (folder / "probe").unlink(missing_ok=True)
        return True
    except OSError as error:
        assert error.errno in (errno.EROFS, errno.EIO), error
        return False


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_a_full_disk_is_told_as_such_and_nothing_is_acked_until_there_is_room(kind):
    with mounted(kind, 24) as disk:
        bench = Bench(disk and disk / "data").begin()
        try:
            for _ in range(20):
                bench.stored()
            if disk:
                filler = fill(disk)
            else:
                bench.faults.fail(faults.WAL_WRITE, errno.ENOSPC)
            # What room the log already has is used up first.
            deadline = time.monotonic() + 60
            while not bench.owed:
                status, verdicts, _ = bench.send(bench.events(50))
                assert set(verdicts) <= {("stored", None), ("retry", "disk_full")}, f"{status} {verdicts}"
                assert time.monotonic() < deadline, "a full disk was never noticed"
            for _ in range(5):
                bench.refused({"disk_full"})
            assert set(bench.socket_says(bench.events())) == {("retry", "disk_full")}
            # What was stored before is read as ever.
            assert bench.project.get("/v1/threads").status_code == 200
            bench.lives()
            if disk:
                filler.unlink()
            else:
                bench.faults.heal()
            bench.recovers()
            bench.books()
            bench.holds(exact=True)
            bench.kill()
            bench.begin()
            bench.holds(exact=True)
        finally:
            bench.close()


def test_a_disk_that_turns_read_only_refuses_and_after_the_repair_all_is_there():
    with mounted("ext4", 32) as disk:
        bench = Bench(disk and disk / "data").begin()
        try:
            for _ in range(10):
                bench.stored()
            trigger = None
            if disk:
                device = next(line.split()[0] for line in Path("/proc/mounts").read_text().splitlines() if line.split()[1] == str(disk))
                trigger = Path(f"/sys/fs/ext4/{Path(device).name}/trigger_fs_error")
            if disk and trigger.exists():
                # As after an error of the disk: the kernel takes the file system away from those who write.
                trigger.write_text("a test")
                deadline = time.monotonic() + 10
                while is_writable(disk):
                    assert time.monotonic() < deadline, "the file system did not turn read-only"
                    time.sleep(0.05)
            else:
                warnings.warn("no file system could be turned read-only: EROFS is made up by faults.c instead", stacklevel=1)
                bench.faults.fail(faults.STORE_WRITES | faults.STORE_SYNCS, errno.EROFS)
            for _ in range(5):
                bench.refused({"store_unavailable"})
            assert set(bench.socket_says(bench.events())) == {("retry", "store_unavailable")}
            assert bench.project.get("/v1/threads").status_code == 200
            bench.lives()
            if disk and trigger.exists():
                bench.stop()
                image = str(disk) + ".image"
                assert run("umount", str(disk)).returncode == 0
                assert run("e2fsck", "-p", "-f", image).returncode in (0, 1)
                assert run("mount", "-o", "loop,errors=remount-ro", image, str(disk)).returncode == 0
                bench.begin()
            else:
                bench.faults.heal()
            bench.recovers()
            bench.stored()
            bench.holds()
        finally:
            bench.close()


# ------------------------------------------------------------------------------------------ calls that fail

@pytest.mark.parametrize("nth", [1, 2, 3, 5])
def test_one_failing_sync_costs_one_commit_and_no_word(bench, nth):
    bench.stored()
    bench.faults.fail(faults.WAL_SYNC, errno.EIO, first=nth, times=1)
    for _ in range(8):
        status, verdicts, _ = bench.send(bench.events())
        assert (status, set(verdicts)) in ((200, {("stored", None)}), (503, {("retry", "store_unavailable")})), f"{status} {verdicts}"
    assert bench.faults["fired"] == 1 and bench.owed, "the failing sync was not felt"
    assert len(bench.owed) == 5, "one failing sync cost more than one commit"
    bench.recovers()
    bench.holds(exact=True)
    # What was told `retry` and what was acked are not confused by a crash either.
    bench.kill()
    bench.begin()
    bench.holds(exact=True)


def test_a_commit_that_failed_leaves_no_trace_in_what_is_stored_later(bench):
    """Users and threads that came up in it first are as new as before; nobody gets another's name, no thread counts what is not there."""
    for number in range(12):
        # Something for the index to follow with a commit of its own, right after the one that fails.
        for _ in range(3):
            bench.stored()
        bench.faults.fail(faults.WAL_SYNC, times=1)
        mine = [bench.maker.message(f"new-{number}", user={"id": f"first-{number}"}) for _ in range(3)]
        assert set(bench.send(mine)[1]) == {("retry", "store_unavailable")}
        time.sleep(0.05 * (number % 8))
        theirs = [bench.maker.message(f"other-{number}", user={"id": f"second-{number}"}) for _ in range(3)]
        assert set(bench.send(theirs)[1]) == {("stored", None)}
        bench.recovers()
    bench.holds(exact=True)


def test_a_commit_that_failed_mixes_up_no_projects(bench):
    """What one project's failed commit had numbered is not another project's afterwards."""
    made = bench.answer("project", "create", "other", "--origin", "http://127.0.0.1:*", "--no-quotas")
    other = Project(bench, made)
    other.wait_until_known()
    wrong = []
    for number in range(12):
        for _ in range(3):
            bench.stored()
        bench.faults.fail(faults.WAL_SYNC, times=1)
        mine = bench.maker.message(f"mine-{number}", user={"id": f"my-user-{number}"})
        assert set(bench.send([mine])[1]) == {("retry", "store_unavailable")}
        time.sleep(0.05 * (number % 8))
        theirs = bench.maker.message(f"theirs-{number}", user={"id": f"their-user-{number}"})
        assert other.send(theirs) == ["stored"]
        bench.recovers()
        found = bench.project.read(f"/v1/messages/{mine['id']}")["message"]
        if (found["thread"], found["user"]["id"]) != (mine["thread"], mine["user"]["id"]):
            wrong.append((mine["user"]["id"], found["thread"], found["user"]["id"]))
        thread = other.read(f"/v1/threads/theirs-{number}")
        if thread["thread"]["messageCount"] != 1 or len(thread["items"]) != 1:
            wrong.append((theirs["thread"], thread["thread"]["messageCount"], len(thread["items"])))
    assert not wrong, f"{len(wrong)} things of one project are another's: {wrong[:4]}"


def test_syncs_that_fail_for_a_while_refuse_all_and_it_recovers_by_itself(bench):
    bench.stored()
    bench.faults.fail(faults.WAL_SYNC)
    for _ in range(10):
        bench.refused({"store_unavailable"})
    assert set(bench.socket_says(bench.events())) == {("retry", "store_unavailable")}
    bench.lives()
    bench.faults.heal()
    bench.recovers()
    bench.books()
    bench.holds(exact=True)


def test_a_crash_amid_failing_syncs_loses_nothing_that_was_acked(bench):
    bench.stored()
    bench.faults.fail(faults.WAL_SYNC, first=3)
    told = Counter()
    for _ in range(6):
        status, _, _ = bench.send(bench.events())
        told[status] += 1
    assert told[200] and told[503]
    bench.kill()
    bench.faults.disarm()
    bench.begin()
    bench.recovers()
    bench.holds()


@pytest.mark.parametrize("number, reason", [(errno.EIO, "store_unavailable"), (errno.ENOSPC, "disk_full")])
def test_writes_to_the_log_that_fail_refuse_and_heal(bench, number, reason):
    bench.stored()
    for first in (1, 2, 4):
        bench.faults.fail(faults.WAL_WRITE, number, first=first, times=3)
        for _ in range(4):
            status, verdicts, _ = bench.send(bench.events())
            assert (status, set(verdicts)) in ((200, {("stored", None)}), (503, {("retry", reason)})), f"{status} {verdicts}"
        assert bench.faults["fired"], "no write failed"
        bench.faults.heal()
    bench.faults.fail(faults.WAL_WRITE, number)
    for _ in range(5):
        bench.refused({reason})
    bench.faults.heal()
    bench.recovers()
    bench.stored()
    bench.holds(exact=True)


@pytest.mark.parametrize("calls", [faults.DB_WRITE, faults.DB_SYNC], ids=["writes", "syncs"])
def test_a_checkpoint_that_fails_costs_no_commit_and_is_made_up_for(bench, calls):
    bench.stored()
    bench.faults.fail(calls)
    for _ in range(30):
        bench.stored()
    deadline = time.monotonic() + 10
    while not bench.faults["fired"]:
        assert time.monotonic() < deadline, "no checkpoint was tried"
        time.sleep(0.1)
    for _ in range(10):
        bench.stored()
    bench.lives()
    bench.faults.heal()
    for _ in range(5):
        bench.stored()
    bench.holds(exact=True)
    bench.kill()
    bench.begin()
    bench.holds(exact=True)


def test_a_slow_disk_holds_up_acks_and_loses_none(bench):
    bench.stored()
    bench.faults.slow(faults.WAL_SYNC, 400)
    began = time.monotonic()
    for _ in range(4):
        bench.stored()
    assert time.monotonic() - began > 1.6, "an ack came before its sync"
    bench.faults.heal()
    bench.holds(exact=True)


# ------------------------------------------------------------------------------------------- damage to the files

@pytest.fixture(scope="module")
def killed():
    """A data folder as a kill leaves it, with the requests that were acked and where each ends in the log."""
    bench = Bench(faulty=False).begin()
    log = Log(Path(bench.folder) / "parley.sqlite")
    dice = random.Random(SEED)
    requests_made = []
    for _ in range(60):
        events = bench.events(dice.randrange(2, 9))
        status, verdicts, _ = bench.send(events)
        assert status == 200 and set(verdicts) == {("stored", None)}
        requests_made.append((events, log.follow()))
    bench.kill()
    end = log.follow()
    yield bench, log, requests_made, end, log.moved()
    bench.close()


def harm(kind, data, floor, end, dice):
    """The log, damaged from some byte on that no checkpoint has moved; answers it with that byte."""
    place = dice.randrange(floor, end)
    if kind == "cut off":
        return data[:place], place
    if kind == "cut off at a frame":
        frame = 24 + 4096
        place = 32 + (place - 32) // frame * frame
        return data[:place], max(place, floor)
    if kind == "a bit turned":
        return data[:place] + bytes([data[place] ^ 1 << dice.randrange(8)]) + data[place + 1:], place
    if kind == "zeros":
        return data[:place] + bytes(len(data) - place), place
    if kind == "noise":
        return data[:place] + dice.randbytes(len(data) - place), place
    assert kind == "more behind it"
    return data[:end] + dice.randbytes(dice.randrange(1, 20_000)), end


@pytest.mark.parametrize("variant", range(3))
@pytest.mark.parametrize("kind", ["cut off", "cut off at a frame", "a bit turned", "zeros", "noise", "more behind it"])
def test_a_damaged_tail_of_the_log_costs_whole_requests_from_there_on(killed, kind, variant):
    """SQLite takes frames up to the first whose checksum is wrong, and of those up to the last commit.

    So: the gateway starts and its file is sound; each request is there whole or not at all; there is no gap, what is there is
    what was acked first; and what ends before the damage is there. Damage in what a checkpoint has already moved is not meant:
    there the log is older than the file.
    """
    bench, _, made, end, floor = killed
    assert floor < end.end, "a checkpoint has moved the whole log: there is no tail to damage"
    dice = random.Random(f"{SEED}:{kind}:{variant}")
    copy = Copy(bench)
    log = Path(copy.folder) / "parley.sqlite-wal"
    data, place = harm(kind, log.read_bytes(), floor, end.end, dice)
    log.write_bytes(data)
    try:
        copy.start()
        project = copy.project
        told = copy.command("doctor", "--url", copy.url, check=False)
        assert told.returncode == 0, f"damaged at {place} of {end.end}: {told.stdout}"
        book = Book()
        for events, _ in made:
            for event in events:
                book.wrote(event)
        readings = Readings(json.loads(line) for line in project.get("/v1/export").text.splitlines())
        check(book, readings, project.read("/v1/outcomes"))
        is_over = False
        keys = readings.keys
        for number, (events, position) in enumerate(made):
            there = [("message", event["id"]) in keys for event in events]
            assert all(there) or not any(there), f"request {number} is there in part: {there}"
            assert not (is_over and all(there)), f"request {number} is there and one before it is not"
            is_over = not all(there)
            if position.salt != end.salt or position.end <= place:
                assert all(there), f"request {number} ends at {position.end}, the damage begins at {place}, and it is gone"
        for events, _ in made:
            answer = project.post(events).json()["results"]
            expected = "duplicate" if ("message", events[0]["id"]) in keys else "stored"
            assert {result["verdict"] for result in answer} == {expected}
        assert project.conversation("t-0")["items"]
    finally:
        copy.close()


@pytest.fixture(scope="module")
def stopped():
    """A data folder as a proper end leaves it, and the ids in it."""
    bench = Bench(faulty=False).begin()
    for _ in range(60):
        bench.stored(10)
    bench.stop()
    with sqlite3.connect(f"{bench.folder}/parley.sqlite") as file:
        roots = dict(file.execute("SELECT name, rootpage FROM sqlite_master WHERE rootpage > 0"))
        page = file.execute("PRAGMA page_size").fetchone()[0]
    file.close()
    yield bench, roots, page
    bench.close()


class Copy(Gateway):
    """A gateway on a copy of somebody's data, with the same keys."""

    def __init__(self, bench):
        super().__init__()
        self.home = self.folder
        self.folder = f"{self.home}/data"
        shutil.copytree(bench.folder, self.folder)
        self.port = quiet_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.project = Project(self, {"project": {"name": "disk"}, "publicKey": bench.project.public, "secretKey": bench.project.secret})

    def starts_or_says_why_not(self):
        """Whether it serves. Where it does not, it has ended by itself, with a sentence to act on."""
        self.process = subprocess.Popen(
            [PARLEY, "serve", "--listen", f"127.0.0.1:{self.port}", "--data", self.folder, "--log-level", "warning"],
            stdout=self.log, stderr=subprocess.STDOUT, env={**os.environ, "SWIFT_BACKTRACE": "enable=no"})
        deadline = time.monotonic() + 20
        while self.process.poll() is None:
            try:
                if requests.get(self.url + "/healthz", timeout=1).status_code == 200:
                    return True
            except requests.RequestException:
                time.sleep(0.05)
            assert time.monotonic() < deadline, "neither serving nor ended after 20 s"
        said = Path(self.log.name).read_text()
        fatal = [line for line in said.splitlines() if "Fatal error" in line]
        assert self.process.returncode > 0, f"ended with {self.process.returncode}: {fatal or said[-1500:]}"
        assert "parley.sqlite" in said and "Fatal error" not in said, f"no sentence to act on: {said[-1500:]}"
        return False

    def acks_nothing_falsely(self, events):
        """Sends; what is acked can be read at once or is told to be out of reach, all else is told to come again."""
        answer = self.project.post(events)
        if "results" not in answer.json():
            assert answer.status_code == 503 and "Retry-After" in answer.headers, answer.text
            return
        for event, result in zip(events, answer.json()["results"], strict=True):
            if result["verdict"] in ("stored", "duplicate"):
                found = self.project.get(f"/v1/messages/{event['id']}")
                assert found.status_code in (200, 500, 503), f"acked, and {found.status_code} {found.text}"
                assert found.status_code != 200 or found.json()["message"]["content"] == event["content"]
            else:
                assert (result["verdict"], result["reason"]) == ("retry", "store_unavailable"), result
                assert answer.status_code == 503 and "Retry-After" in answer.headers, answer.text
        assert self.process.poll() is None, "the gateway died of a damaged file"

    def close(self):
        if self.process and self.process.poll() is None:
            self.stop()
        shutil.rmtree(self.home, ignore_errors=True)


@contextmanager
def damaged(stopped, change):
    """A copy whose database file was changed."""
    copy = Copy(stopped[0])
    try:
        path = Path(copy.folder) / "parley.sqlite"
        path.write_bytes(change(bytearray(path.read_bytes())))
        yield copy
    finally:
        copy.close()


def flip(data, place, bit=3):
    data[place] ^= 1 << bit
    return data


@pytest.mark.parametrize("name", ["event", "event_identity", "thread", "outcome"])
def test_a_turned_byte_in_the_trees_is_named_by_doctor_and_makes_no_false_ack(stopped, name):
    _, roots, page = stopped
    with damaged(stopped, lambda data: flip(data, (roots[name] - 1) * page)) as copy:
        told = copy.command("doctor", check=False)
        assert told.returncode != 0 and "BROKEN" in told.stdout, told.stdout
        assert "BROKEN  database is sound" in told.stdout or "malformed" in told.stdout, told.stdout
        if copy.starts_or_says_why_not():
            maker = Maker(generator(SEED, name))
            for _ in range(3):
                copy.acks_nothing_falsely([maker.message("after")])


@pytest.mark.parametrize("place", [0, 7, 16, 18, 19, 28, 44, 100])
def test_a_turned_byte_in_the_head_of_the_file_is_refused_in_words_or_harmless(stopped, place):
    with damaged(stopped, lambda data: flip(data, place)) as copy:
        if copy.starts_or_says_why_not():
            copy.acks_nothing_falsely([Maker(generator(SEED, f"head-{place}")).message("after")])


@pytest.mark.parametrize("variant", range(3))
@pytest.mark.parametrize("name", ["control", "project", "key", "source", "person", "outcome", "follower"])
def test_a_turned_byte_in_a_row_ends_no_process(stopped, name, variant):
    """A row that says what no row says is a damaged file, to be told in words; it is no reason to trap."""
    _, roots, page = stopped
    dice = random.Random(f"{SEED}:rows:{name}:{variant}")

    def change(data):
        begin = (roots[name] - 1) * page
        header = begin + (100 if begin == 0 else 0)
        cells = begin + int.from_bytes(data[header + 5:header + 7], "big")
        return flip(data, dice.randrange(cells, begin + page), dice.randrange(8))

    with damaged(stopped, change) as copy:
        if copy.starts_or_says_why_not():
            answer = copy.project.get("/v1/threads")
            assert answer.status_code in (200, 401, 404, 500, 503), answer.text
            if answer.status_code != 401:
                copy.acks_nothing_falsely([Maker(generator(SEED, f"{name}-{variant}")).message("after")])
            assert copy.process.poll() is None, "the gateway died of a damaged row"


@pytest.mark.parametrize("word", [b"public", b"secret", b"project"])
def test_a_key_whose_lane_or_scope_is_no_word_ends_no_process(stopped, word):
    _, roots, page = stopped

    def change(data):
        begin = (roots["key"] - 1) * page
        place = data.find(word, begin, begin + page)
        assert place > 0, f"no key has the word {word}"
        return flip(data, place, 0)

    with damaged(stopped, change) as copy:
        if copy.starts_or_says_why_not():
            answer = copy.project.get("/v1/threads")
            assert answer.status_code in (200, 401, 404, 500, 503), answer.text
            assert copy.process.poll() is None, "the gateway died of a damaged row"


@pytest.mark.parametrize("variant", range(12))
def test_bytes_turned_at_random_never_make_a_false_ack(stopped, variant):
    """Most bytes are somebody's words, and no checksum tells. What is acked from then on has to be there all the same."""
    dice = random.Random(f"{SEED}:flips:{variant}")

    def change(data):
        for _ in range(3):
            flip(data, dice.randrange(4096, len(data)), dice.randrange(8))
        return data

    with damaged(stopped, change) as copy:
        if copy.starts_or_says_why_not():
            maker = Maker(generator(SEED, f"flips-{variant}"))
            for _ in range(10):
                copy.acks_nothing_falsely([maker.message(f"after-{variant}") for _ in range(3)])


# ------------------------------------------------------------------------------------------- other things run out

@contextmanager
def out_of_descriptors(bench):
    """More connections than the process may take on; those that came before are served."""
    pid = bench.process.pid
    for _ in range(3):
        bench.stored()
    before = level_of(pid)
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (before.sockets + before.files + 15, limits[1]))
    lines = [socket.create_connection(("127.0.0.1", bench.port), timeout=5) for _ in range(60)]
    try:
        time.sleep(0.5)
        yield pid
    finally:
        for line in lines:
            line.close()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


def test_out_of_descriptors_those_inside_are_served_and_newcomers_later(bench):
    with out_of_descriptors(bench):
        # Long enough for libdispatch to look after its threads, which it can't without a descriptor: then it traps.
        until = time.monotonic() + 4
        while time.monotonic() < until:
            bench.stored()
            time.sleep(0.1)
        # A read may find no descriptor for a file; then it is told so, and nothing worse.
        answer = bench.session.get(
            bench.url + "/v1/export", headers={"Authorization": f"Bearer {bench.project.secret}"}, timeout=20)
        assert answer.status_code in (200, 500, 503), answer.text
        bench.lives()
    deadline = time.monotonic() + 10
    while True:
        try:
            assert requests.get(bench.url + "/readyz", timeout=3).status_code == 200
            break
        except requests.RequestException:
            assert time.monotonic() < deadline, "newcomers are not let in 10 s after there were descriptors again"
            time.sleep(0.1)
    bench.stored()
    bench.holds(exact=True)


def test_out_of_descriptors_it_waits_and_does_not_spin(bench):
    with out_of_descriptors(bench) as pid:
        spent = processor_seconds(pid)
        time.sleep(3)
        spent = processor_seconds(pid) - spent
    assert spent < 1, f"waiting for a descriptor takes {spent / 3:.0%} of a processor"


def test_what_waits_for_a_stalled_disk_is_bounded_in_bytes_too(bench):
    """The queue in front of the store is bounded in events and bytes; beyond, senders are told `overloaded`."""
    bench.stored()
    pid = bench.process.pid
    before = level_of(pid).memory
    bench.faults.slow(faults.WAL_SYNC, 8000)
    senders, bodies_each, bound = 100, 2, 160 << 20
    told = Counter()
    lock = threading.Lock()
    enough = threading.Event()

    def post():
        session = requests.Session()
        for _ in range(bodies_each):
            with lock:
                events = bench.events(16, words="x" * 60_000)
                for event in events:
                    bench.book.wrote(event)
            if enough.is_set():
                return
            try:
                answer = session.post(
                    bench.url + "/v1/events", data=json.dumps({"events": events}), timeout=120,
                    headers={"Authorization": f"Bearer {bench.project.public}", "Origin": Project.ORIGIN})
            except requests.RequestException:
                with lock:
                    told["cut"] += 1
                    bench.owed += events
                continue
            with lock:
                for event, result in zip(events, answer.json()["results"], strict=True):
                    bench.book.heard(event, result["verdict"], result)
                    told[result["verdict"], result.get("reason")] += 1
                    if result["verdict"] == "retry":
                        bench.owed.append(event)

    threads = [threading.Thread(target=post) for _ in range(senders)]
    for thread in threads:
        thread.start()
    began = time.monotonic()
    peak = before
    while any(thread.is_alive() for thread in threads):
        bench.lives()
        peak = max(peak, level_of(pid).memory)
        if peak - before > bound + (64 << 20) or time.monotonic() > began + 12:
            enough.set()
            bench.faults.heal()
        time.sleep(0.05)
    bench.faults.heal()
    while bench.owed:
        owed, bench.owed = bench.owed[:100], bench.owed[100:]
        bench.send(owed)
    bench.holds()
    assert peak - before < bound, (
        f"{(peak - before) >> 20} MB more were resident while bodies of 1 MB waited for the disk, {bound >> 20} MB are allowed: {dict(told)}")


def test_a_ceiling_on_memory_may_end_the_process_but_no_ack_is_lost(bench):
    """Out of memory a process ends; that is no reason to lose what it acked, nor to come back damaged."""
    for _ in range(5):
        bench.stored()
    pid = bench.process.pid
    used = next(int(line.split()[1]) << 10 for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmData"))
    resource.prlimit(pid, resource.RLIMIT_DATA, (used + (48 << 20), used + (48 << 20)))
    words = "x" * 100_000
    lock = threading.Lock()

    def post():
        session = requests.Session()
        for _ in range(3):
            with lock:
                events = bench.events(60, words=words)
                for event in events:
                    bench.book.wrote(event)
            try:
                answer = session.post(
                    bench.url + "/v1/events", data=json.dumps({"events": events}), timeout=60,
                    headers={"Authorization": f"Bearer {bench.project.secret}"})
                results = answer.json()["results"]
            except (requests.RequestException, ValueError, KeyError):
                with lock:
                    bench.owed += events
                continue
            with lock:
                for event, result in zip(events, results, strict=True):
                    bench.book.heard(event, result["verdict"], result)
                    if result["verdict"] == "retry":
                        bench.owed.append(event)

    threads = [threading.Thread(target=post) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    if bench.process.poll() is None:
        bench.kill()
    bench.faults.disarm()
    bench.begin()
    while bench.owed:
        owed, bench.owed = bench.owed[:100], bench.owed[100:]
        bench.send(owed)
    bench.holds()
