"""`parley migrate`: a live file becomes a PostgreSQL, under load, killed in the middle, followed, compared."""

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time

import pytest
import requests

from book import Book
from client import Maker, PostWriter, SocketWriter, generator
from cluster import Node
from parley_process import PARLEY, Project, message, new_id
from servers import as_nobody, programs

ODD = "a\0b\x1ac\x1a0 \u2028 ’"


class Move:
    """A gateway on a file, and a database that is still empty."""

    def __init__(self, postgres):
        if postgres.process.poll() is not None:
            postgres.start()
        self.postgres = postgres
        self.name = f"move_{secrets.token_hex(4)}"
        self.address = postgres.database(self.name)
        self.node = Node({})
        self.book = Book()
        self.seed = secrets.randbelow(10**6)
        self.maker = Maker(generator(self.seed, "events"))
        self.running = []
        self.folders = []

    async def begin(self):
        self.project, self.busy = (
            Project(self.node, self.node.answer("project", "create", name, "--origin", "http://127.0.0.1:*", "--no-quotas"))
            for name in ("shop", "busy"))
        await self.node.begin()
        return self

    def ask(self, sql):
        return self.postgres.ask(self.name, sql)

    def migrate(self, *words, folder=None):
        """Starts it; what it says goes to files."""
        out, notes = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")
        process = subprocess.Popen(
            [PARLEY, "migrate", "--data", folder or self.node.folder, "--store", self.address, "--json", *words], stdout=out, stderr=notes)
        process.out, process.notes = out, notes
        self.running.append(process)
        return process

    async def ended(self, process, within=90):
        await self.until("parley migrate to end", lambda: process.poll() is not None, within)
        return process.returncode, said(process.out), said(process.notes)

    async def moved(self, *words, folder=None):
        """Runs it to its end; answers its tables by name."""
        code, out, notes = await self.ended(self.migrate(*words, folder=folder))
        assert code == 0, notes
        return {table["table"]: table for table in json.loads(out)["tables"]}

    async def until(self, what, condition, within=60):
        deadline = time.monotonic() + within
        while not await asyncio.to_thread(condition):
            assert time.monotonic() < deadline, f"waited {within} s for {what}"
            await asyncio.sleep(0.02)

    @contextlib.contextmanager
    def held(self, table):
        """Nobody else gets at a table of the database meanwhile."""
        line = subprocess.Popen(
            as_nobody([str(programs() / "psql"), "-qAt", self.address]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            cwd=self.postgres.folder)
        try:
            line.stdin.write(f"BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE; SELECT 'held';\n")
            line.stdin.flush()
            assert line.stdout.readline().strip() == "held"
            yield
        finally:
            line.communicate("ROLLBACK;\n", timeout=10)

    async def killed_in_the_middle(self):
        """It is killed once the log is copied and the threads are not."""
        self.node.command("project", "list", env={"PARLEY_STORE": self.address})  # makes the tables
        with self.held("thread"):
            process = self.migrate()
            await self.until(
                "the log to be copied", lambda: process.poll() is not None or "t" == self.ask(
                    "SELECT coalesce((SELECT is_whole FROM migration_table WHERE name = 'event'), false)"
                    if self.ask("SELECT to_regclass('migration_table') IS NOT NULL") == "t" else "SELECT false"))
            assert process.poll() is None, said(process.notes)
            process.send_signal(signal.SIGKILL)
            process.wait(10)
        assert self.ask("SELECT count(*) FROM event") != "0" and self.ask("SELECT count(*) FROM thread") == "0"

    def copied_folder(self):
        """The folder as it was left, for a gateway to show it."""
        folder = tempfile.mkdtemp(prefix="parley-left-")
        self.folders.append(folder)
        shutil.copytree(self.node.folder, folder, dirs_exist_ok=True)
        os.remove(os.path.join(folder, "moved.json"))
        return folder

    async def shown_by(self, store, folder):
        """All that a gateway of its own shows of the projects, to people and programs."""
        node = Node(store)
        shutil.rmtree(node.folder)
        node.folder = folder
        await node.begin()
        try:
            return await asyncio.to_thread(self.everything, node)
        finally:
            node.end()
            node.log.close()

    def everything(self, node):
        shown = {}
        for known in (self.project, self.busy):
            project = Project(node, {"project": {"name": known.name}, "publicKey": known.public, "secretKey": known.secret})
            threads = pages(project, "/v1/threads", "threads")
            shown |= {
                f"threads of {known.name}": threads,
                f"conversations of {known.name}": {thread["id"]: project.conversation(quoted(thread["id"])) for thread in threads},
                f"quarantine of {known.name}": pages(project, "/v1/quarantine", "items"),
                f"outcomes of {known.name}": project.read("/v1/outcomes"),
                f"export of {known.name}": sorted(project.get("/v1/export?format=jsonl").text.splitlines()),
            }
        for words in (("key", "list"), ("project", "list"), ("review", "list")):
            shown[" ".join(words)] = node.answer(*words)
        # The exports above are noted too.
        shown["audit"] = [entry for entry in node.answer("audit")["entries"] if entry["action"] != "export"]
        return shown

    def discard(self):
        for process in [*self.running, self.node.process]:
            if process and process.poll() is None:
                process.kill()
                process.wait(10)
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)
        self.node.discard()


@pytest.fixture
def move(postgres):
    move = Move(postgres)
    yield move
    move.discard()


def said(file):
    file.seek(0)
    return file.read()


def quoted(name):
    return requests.utils.quote(name, safe="")


def pages(project, path, name):
    """All pages of a list."""
    found, cursor = [], {}
    while True:
        page = project.read(path, limit=100, **cursor)
        found += page[name]
        if not page["next"]:
            return found
        cursor = {"cursor": page["next"]}


def talk(project, user="ann", thread="of-ann"):
    """Something of each kind; answers what was stored."""
    asked = message(thread, ODD, user={"id": user, "props": {"plan": ODD}}, tags=["odd", "new"], metadata={"a": ODD})
    told = message(thread, "xylophone", role="assistant", replyTo=asked["id"])
    run = {"type": "run", "id": new_id(), "kind": "llm", "parent": told["id"], "output": "xylophone", "success": True, "usage": {"input": 3}}
    early = {"type": "run", "id": new_id(), "kind": "tool", "parent": new_id(), "input": "waits for ever"}
    sent = [
        asked, told, run, early,
        {"type": "event", "id": new_id(), "thread": thread, "name": "opened a document"},
        {"type": "feedback", "id": new_id(), "target": told["id"], "thumb": "up", "comment": ODD, "user": {"id": user}},
        {"type": "score", "id": new_id(), "target": told["id"], "name": "quality", "value": 0.25, "reason": ODD},
        {"type": "comment", "id": new_id(), "target": asked["id"], "text": ODD, "author": "eve"},
        {"type": "thread", "id": new_id(), "thread": thread, "tags": ["late"], "status": "inactive"},
        {"type": "identify", "id": new_id(), "user": {"id": user, "props": {"city": "Ulm"}}},
    ]
    assert project.send(*sent) == ["stored"] * len(sent)
    assert project.send({**told, "content": "something else"}) == ["conflict"]
    assert project.send({**message(thread), "id": "weak"}, key=project.public) == ["quarantined"]
    return sent


def lunary(project, id, role, text):
    """A question and its answer may share an ID there, and the thread has other names."""
    answer = project.post({"events": [{
        "event": "chat", "type": "thread", "runId": id, "parentRunId": "of-lunary", "timestamp": "2026-01-01T00:00:00.000Z",
        "message": {"role": role, "content": text}}]}, path="/v1/runs/ingest")
    assert answer.status_code == 200, answer.text


def test_a_live_file_becomes_a_database_under_load_killed_in_the_middle_and_nothing_is_lost_or_doubled(move):
    async def play():
        await move.begin()
        node, project = move.node, move.project
        sent = await asyncio.to_thread(talk, project)
        erased = await asyncio.to_thread(talk, project, "bob", "of-bob")
        late = await asyncio.to_thread(talk, project, "cleo", "of-cleo")
        node.command("erase", "bob", "--project", "shop", "--yes")
        node.command("review", "link", "--name", "Dora", "--role", "reviewer", "--url", node.url)
        pair = new_id()
        await asyncio.to_thread(lunary, project, pair, "assistant", "it came first")
        writers = [
            (SocketWriter if number % 2 else PostWriter)(
                node.port, move.busy.public, move.book, move.maker.some(f"t-{number}", 4000), generator(move.seed, f"writer {number}"),
                source=f"127.0.9.{1 + number}", batch=4, pause=0.15)
            for number in range(12)]

        async def load():
            async with asyncio.timeout(240):
                async with asyncio.TaskGroup() as group:
                    for writer in writers:
                        group.create_task(writer.run())
        work = asyncio.create_task(load())
        await move.until("acks", lambda: move.book.acked > 100)

        await move.killed_in_the_middle()
        # A database that is half there is nobody's.
        refused = node.command("project", "list", check=False, env={"PARLEY_STORE": move.address})
        assert refused.returncode == 1 and "not whole yet" in refused.stderr, refused.stderr

        process = move.migrate()
        await move.until("it to follow", lambda: process.poll() is not None or "what is new follows" in said(process.notes))
        assert process.poll() is None, said(process.notes)
        second = move.migrate()
        # What changes in rows that are copied already, or goes.
        node.command("erase", "cleo", "--project", "shop", "--yes")
        extra = node.answer("key", "create", "--project", "shop", "--lane", "secret")
        node.command("key", "revoke", extra["id"])
        await asyncio.to_thread(lunary, project, pair, "user", "and makes room")
        vote = {"type": "feedback", "id": new_id(), "target": sent[1]["id"], "thumb": "down", "user": {"id": "ann"}}
        assert await asyncio.to_thread(project.send, vote) == ["stored"]
        node.answer("project", "create", "later")
        code, _, notes = await move.ended(second)
        assert code == 1 and "Another `parley migrate`" in notes, notes
        acked = move.book.acked
        await move.until("the load to go on beside it", lambda: move.book.acked > acked + 100)
        assert not work.done()

        node.end()
        code, out, notes = await move.ended(process)
        assert code == 0, notes
        report = json.loads(out)
        tables = {table["table"]: table for table in report["tables"]}
        assert all(table["agrees"] and table["digest"] == table["copiedDigest"] for table in tables.values())
        assert tables["event"]["rows"] > 300 and tables["tombstone"]["rows"] > 0 and tables["quarantine"]["rows"] > 0
        # The file is nobody's any more, so that none goes on with half of the truth.
        refused = node.command("project", "list", check=False)
        assert refused.returncode == 1 and "was moved to" in refused.stderr

        store = {"PARLEY_STORE": move.address}
        before = await move.shown_by({}, move.copied_folder())
        after = await move.shown_by(store, node.folder)
        for what in before:
            assert after[what] == before[what], what
        odd = before["conversations of shop"]["of-ann"]["items"][0]
        assert odd["content"] == ODD and before["quarantine of shop"] and before["threads of busy"]

        node.store = store
        await node.begin()
        acked = move.book.acked
        await move.until("all writers to come back", lambda: move.book.acked > acked + 500)
        for writer in writers:
            writer.stop()
        await work
        await node.settle(move.busy, move.book)

        # What was sent before is known, what is erased stays so, and votes go on where they were.
        assert await asyncio.to_thread(project.send, *sent) == ["duplicate"] * len(sent)
        assert await asyncio.to_thread(project.send, {**sent[0], "content": "other"}) == ["conflict"]
        for gone in (erased, late):
            assert set(await asyncio.to_thread(project.send, *gone[:2])) == {"dropped"}
        told = next(item for item in project.conversation("of-ann")["items"] if item["id"] == sent[1]["id"])
        assert (told["feedback"]["up"], told["feedback"]["down"]) == (0, 1)

        def is_found():
            found = project.read("/v1/threads", q="xylophone")["threads"]
            return [thread["id"] for thread in found] == ["of-ann"]
        await move.until("search", is_found)
        project.assert_law()
    asyncio.run(play())


def test_a_row_that_differs_is_found(move):
    async def play():
        await move.begin()
        sent = await asyncio.to_thread(talk, move.project)
        move.node.end()
        assert (await move.moved())["event"]["agrees"]
        assert (await move.moved("--verify"))["vote"]["rows"] == 1

        async def differing():
            code, out, notes = await move.ended(move.migrate("--verify"))
            named = [table["table"] for table in json.loads(out)["tables"] if not table["agrees"]]
            assert code == (1 if named else 0) and all(name in notes for name in named), notes
            return named
        move.ask(f"UPDATE event SET content = 'xylophones' WHERE id = '{sent[1]['id']}'")
        assert await differing() == ["event"]
        move.ask(f"UPDATE event SET content = 'xylophone' WHERE id = '{sent[1]['id']}'")
        assert await differing() == []
        move.ask("DELETE FROM vote")
        move.ask("INSERT INTO alias (project, name, id) VALUES (1, 'stray', 'x')")
        assert await differing() == ["vote", "alias"]
    asyncio.run(play())


def test_what_was_damaged_on_the_way_is_mended_before_servers_open_it(move):
    async def play():
        await move.begin()
        sent = await asyncio.to_thread(talk, move.project)
        await move.killed_in_the_middle()
        move.ask(f"UPDATE event SET content = 'xylophones' WHERE id = '{sent[1]['id']}'")
        move.ask(f"DELETE FROM event WHERE id = '{sent[0]['id']}'")
        move.node.end()
        assert (await move.moved())["event"]["agrees"]
        assert move.ask(f"SELECT content FROM event WHERE id = '{sent[1]['id']}'") == "xylophone"
    asyncio.run(play())


def test_another_database_an_older_file_and_a_second_time_are_refused(move):
    async def refused(words, **options):
        code, _, notes = await move.ended(move.migrate(**options))
        assert code == 1 and words in notes, notes

    async def play():
        await move.begin()
        await asyncio.to_thread(talk, move.project)
        older = os.path.join(move.node.folder, "older")
        move.node.command("backup", older)
        await asyncio.to_thread(talk, move.project, "dan", "of-dan")
        await move.killed_in_the_middle()
        # Restored from before the copy began.
        folder = tempfile.mkdtemp(prefix="parley-older-")
        move.folders.append(folder)
        subprocess.run([PARLEY, "restore", older, "--data", folder], check=True, capture_output=True, timeout=60)
        await refused("not what it was", folder=folder)
        # Other data altogether.
        other = Node({})
        move.folders.append(other.folder)
        other.answer("project", "create", "other")
        await refused("another folder", folder=other.folder)
        move.node.end()
        await move.moved()
        await refused("already")
        held = Move(move.postgres)
        try:
            held.node.command("project", "create", "theirs", env={"PARLEY_STORE": held.address})
            code, _, notes = await held.ended(held.migrate(folder=other.folder))
            assert code == 1 and "holds other data" in notes, notes
        finally:
            held.discard()
        other.log.close()
    asyncio.run(play())
