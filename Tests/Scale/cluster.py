"""Several gateways and drains on one PostgreSQL, with a stream between them or without."""

import asyncio
import json
import os
import secrets
import subprocess
import time

import requests
from book import Book, Broken, check, hold, read
from client import Line, Maker, PostWriter, SocketWriter, generator
from parley_process import PARLEY, Project, free_port
from servers import Nats
from world import World


class Node(World):
    """One gateway, or one drain. `own` is for its process alone, not for the commands beside it."""

    def __init__(self, environment, command="serve", *options, own=None):
        super().__init__(*options)
        self.store = environment
        self.word = command
        self.own = own or {}

    async def begin(self, within=40):
        self.process = subprocess.Popen(
            [PARLEY, self.word, "--listen", f"127.0.0.1:{self.port}", "--data", self.folder, "--log-level", "warning", *self.options],
            stdout=self.log, stderr=subprocess.STDOUT, env={**os.environ, **self.store, **self.own})
        self.starts += 1
        await self.ready(within)


class Cluster:
    def __init__(self, postgres):
        self.postgres = postgres
        if postgres.process.poll() is not None:  # a test before ended in the middle
            postgres.start()
        self.name = f"scale_{secrets.token_hex(4)}"
        # Few partitions, for fewer files: recovery syncs every one of them.
        self.environment = {
            "PARLEY_STORE": postgres.database(self.name), "PARLEY_SEALING_KEY": secrets.token_hex(32), "PARLEY_PARTITIONS": "2"}
        self.nats = None
        self.gateways, self.drains = [], []
        self.book = Book()
        # Of each run the message it is for.
        self.parents = {}
        self.seed = secrets.randbelow(10**6)
        self.maker = Maker(generator(self.seed, "events"))
        self.failed = True

    async def start(self, gateways=2, drains=0, brokers=0, options=(), nats=None, own=None):
        """`nats`: servers of the stream that are made already; `own`: what is another for a gateway, by its number."""
        if brokers or nats:
            self.nats = nats or Nats(brokers)
            self.nats.start()
            self.environment["PARLEY_STREAM"] = ",".join(self.nats.addresses)
            self.environment["PARLEY_STREAM_REPLICAS"] = str(len(self.nats.ports))
            self.environment["PARLEY_STREAM_GIGABYTES"] = "1"
        self.gateways = [Node(self.environment, "serve", *options, own=(own or {}).get(number)) for number in range(gateways)]
        self.drains = [Node(self.environment, "drain") for _ in range(drains)]
        made = self.gateways[0].answer("project", "create", "scale", "--origin", "http://127.0.0.1:*", "--no-quotas")
        self.project = Project(self.gateways[0], made)
        await asyncio.gather(*(node.begin() for node in [*self.gateways, *self.drains]))
        return self

    def writers(self, count, events, **options):
        """Writers of both kinds, spread over the gateways."""
        return [
            (SocketWriter if number % 3 else PostWriter)(
                self.gateways[number % len(self.gateways)].port, self.project.public, self.book,
                self.maker.some(f"t-{number}", events), generator(self.seed, f"writer {number}"),
                source=f"127.0.9.{1 + number % 100}", **options)
            for number in range(count)]

    def load(self, count, events, **options):
        """The same, and for each message the run that answers it, sent through another gateway: before it or after it."""
        writers = self.writers(count, events, **options)
        for number, writer in enumerate(list(writers)):
            runs = []
            for event in writer.waiting:
                if event["type"] == "message":
                    run = self.maker.id()
                    self.parents[run] = event["id"]
                    runs.append({"type": "run", "id": run, "kind": "llm", "name": "answer", "parent": event["id"], "output": "Hello"})
            writers.append(PostWriter(
                self.gateways[(number + 1) % len(self.gateways)].port, self.project.secret, self.book, runs,
                generator(self.seed, f"runs {number}"), source=writer.source, **options))
        return writers

    async def all(self, writers, within=90):
        async with asyncio.timeout(within):
            async with asyncio.TaskGroup() as group:
                for writer in writers:
                    group.create_task(writer.run())

    async def until(self, what, condition, within=40):
        deadline = time.monotonic() + within
        while not condition():
            assert time.monotonic() < deadline, f"waited {within} s for {what}"
            await asyncio.sleep(0.02)

    async def until_readiness(self, number, status, words, within=10):
        """Readiness is looked at once a second."""
        def says():
            answer = requests.get(self.gateways[number].url + "/readyz", timeout=10)
            return answer.status_code == status and words in answer.text
        deadline = time.monotonic() + within
        while not await asyncio.to_thread(says):
            assert time.monotonic() < deadline, f"/readyz does not say {status} and {words}"
            await asyncio.sleep(0.1)

    async def until_acked(self, share, of):
        await self.until(f"{share} of {of} acks", lambda: self.book.acked >= of * share, 90)

    async def settle(self, within=30, exact=False, until=None):
        """Everything that was acked is there once, by each gateway, and the ledger adds up; drains get time to catch up.

        Throws what does not hold when the time is over, or as soon as it is the invariant `until`.
        """
        deadline = time.monotonic() + within
        for gateway in self.gateways:
            while True:
                line = Line(gateway.port)
                try:
                    readings, ledger = await read(line, self.project.secret)
                    if self.nats:
                        # What a gateway called stored, the store may have found to be there already.
                        total = ledger["total"]
                        arrived = total["stored"] + total["duplicate"] + total["conflict"]
                        hold(arrived >= self.book.verdicts["stored"], "drained", f"{arrived} of {self.book.verdicts['stored']} arrived")
                        check(self.without_words(), readings, ledger, counts_match=True)
                    else:
                        check(self.book, readings, ledger, exact)
                    self.check_parents(readings, ledger)
                    break
                except (Broken, OSError, EOFError) as broken:
                    if time.monotonic() > deadline or until and getattr(broken, "invariant", None) == until:
                        raise
                    await asyncio.sleep(0.3)
                finally:
                    line.close()
        return readings, ledger

    def check_parents(self, readings, ledger):
        for where, run in readings.runs.items():
            parent = self.parents[where[1]]
            bound = run["link"] == "bound" and run["under"] == parent
            # One that was acked before its message is waits for it.
            hold(bound or ("message", parent) not in self.book.kept, "bound", f"{where} is {run['link']} under {run['under']}, not {parent}")
        stored = ledger["total"]["stored"]
        hold(stored == len(readings.keys), "stored", f"the ledger says {stored} stored, {len(readings.keys)} can be read")

    def without_words(self):
        """The book without how often each verdict was said: with a stream it is the store that tells first from second."""
        book = Book()
        book.sent, book.kept = self.book.sent, self.book.kept
        return book

    def metrics(self, node):
        line = requests.get(node.url + "/metrics", timeout=10).text
        return {name: float(value) for name, _, value in (
            text.rpartition(" ") for text in line.splitlines() if text and not text.startswith("#"))}

    def discard(self):
        for node in [*self.gateways, *self.drains]:
            if node.process and node.process.poll() is None:
                node.process.kill()
                node.process.wait(10)
        if self.nats:
            self.nats.discard()
        self.postgres.drop(self.name)
        for node in [*self.gateways, *self.drains]:
            node.discard()


def answer(node, *words):
    return json.loads(node.command(*words, "--json").stdout)


__all__ = ["Cluster", "Node", "answer", "free_port"]
