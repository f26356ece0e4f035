"""Kills a gateway again and again, under load, on the same data, and counts what is lost.

    PARLEY_BIN=… crash.py [--kills N] [--seconds S] [--seed N] [--rigs N] [--only random,power,points] [--prove]

Writers over sockets and HTTP send events with known ids and keep a list of those that were acked. The gateway ends without
warning, is started again on the same folder, and the writers send again what has no verdict, and some of what has one. It
ends in three ways, in turn:

  random   SIGKILL at a random moment, also while it starts
  power    the disk loses its cache: what was written and not yet synced is taken back, at a random moment (`faults.c`)
  points   SIGKILL or such a loss right before or right after the Nth write or sync of the write-ahead log, of the database,
           or the Nth write to a socket, for N from 1

What must hold, over all of it:

  - every event that got `stored` or `duplicate` is read back exactly once at the end, with its content; nothing else is there
  - an event that was acked never comes back as `stored` when it is sent again: it was not lost on the way either
  - no id is called `stored` twice
  - in every row of the ledger received = stored + duplicate + conflict + quarantined + dropped + retry. It is written in the
    commit of the events it counts, so it holds over kills, and `stored` is exactly the number of events that can be read.
    What was received and not committed when the gateway died is in neither; so the ledger counts at least what was heard
  - the database is sound: `parley doctor`, and SQLite's own integrity_check
  - the gateway always starts again, and never ends by itself. Where it does, that counts as one more kill, and the run fails

`--prove` turns the syncs off under the gateway's feet and cuts the power: events must get lost then, or this test sees nothing.
"""

import argparse
import asyncio
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections import Counter, deque
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import faults  # noqa: E402
from book import Broken, hold, key  # noqa: E402
from client import Maker, PostWriter, SocketWriter, generator  # noqa: E402
from faults import AFTER, BEFORE, KILL, POWER, Faults  # noqa: E402
from world import PARLEY, Book, World  # noqa: E402

POINTS = [
    ("before a write to the log", faults.WAL_WRITE, BEFORE), ("after a write to the log", faults.WAL_WRITE, AFTER),
    ("before a sync of the log", faults.WAL_SYNC, BEFORE), ("after a sync of the log", faults.WAL_SYNC, AFTER),
    ("before a write to a socket", faults.SOCKET_WRITE, BEFORE), ("after a write to a socket", faults.SOCKET_WRITE, AFTER),
    ("before a write to the database", faults.DB_WRITE, BEFORE), ("after a write to the database", faults.DB_WRITE, AFTER),
    ("before a sync of the database", faults.DB_SYNC, BEFORE), ("after a sync of the database", faults.DB_SYNC, AFTER),
]
IN_CHECKPOINTS = faults.DB_WRITE | faults.DB_SYNC


class Endless:
    """Makes a writer one that never runs out, and that sends some of what was acked once more."""

    def prepare(self, rig, number):
        self.rig, self.maker = rig, Maker(generator(rig.seed, f"events/{number}"))
        self.thread = f"{type(self).__name__}-{number}"
        self.past = deque(maxlen=300)
        self.made = 0
        return self

    def _take(self, most):
        if not self.rig.is_ending:
            while len(self.waiting) < most:
                self.made += 1
                self.waiting.append(self.maker.message(f"{self.thread}-{self.made // 500}"))
            if self.past and self.rng.random() < 0.2:
                self.waiting.appendleft(self.rng.choice(self.past))
        return super()._take(most)

    def _heard(self, event, verdict, result):
        where = key(event)
        if verdict == "stored" and where in self.book.kept:
            self.rig.lost_on_the_way[where] = self.rig.kills
        if verdict not in ("retry",):
            hold(verdict in ("stored", "duplicate"), "verdicts", f"{event} got {result}")
        super()._heard(event, verdict, result)
        if verdict in ("stored", "duplicate"):
            self.past.append(event)
            self.rig.acks += 1

    async def _forever(self, once):
        while not (self.rig.is_ending and not self.waiting and not self.out):
            if not self.waiting and not self.out:
                # Something to begin with; the rest comes as it is taken.
                self.made += 1
                self.waiting.append(self.maker.message(f"{self.thread}-{self.made // 500}"))
            await super()._forever(once)
            await asyncio.sleep(0)


class EndlessSocket(Endless, SocketWriter):
    async def _speak(self, line):
        while self.rig.is_quiet:
            await asyncio.sleep(0.01)
        await super()._speak(line)


class EndlessPost(Endless, PostWriter):
    async def _post(self, line, events):
        while self.rig.is_quiet:
            await asyncio.sleep(0.01)
        return await super()._post(line, events)


class Rig(World):
    """One gateway on one folder, its writers, and the many ways in which it ends."""

    def __init__(self, number, seed, deaf=False):
        super().__init__()
        self.number, self.seed = number, f"{seed}/rig-{number}"
        self.dice = generator(self.seed, "ends")
        self.faults = Faults(keeps_history=True, deaf=deaf)
        self.book = Book()
        self.kills = Counter()
        self.acks = 0
        self.is_ending = self.is_quiet = False
        self.lost_on_the_way = {}
        self.missed = self.died = 0
        self.turn = 0
        self.project = self.make_project("crash")
        kinds = (EndlessSocket, EndlessPost, EndlessSocket, EndlessPost)
        self.writers = [
            kind(self.port, self.project.public, self.book, [], generator(self.seed, f"writer/{place}"), f"127.0.{number + 1}.{place + 1}",
                 batch=4, in_flight=2, pause=0.004).prepare(self, place) for place, kind in enumerate(kinds)]
        for writer in self.writers:
            writer.backoff.longest = 0.04

    def spawn(self, with_faults):
        self.faults.disarm()
        environment = {**os.environ, **(self.faults.env if with_faults else {})}
        self.process = subprocess.Popen(
            [PARLEY, "serve", "--listen", f"127.0.0.1:{self.port}", "--data", self.folder, "--log-level", "warning"],
            stdout=self.log, stderr=subprocess.STDOUT, env=environment)
        self.starts += 1

    async def serving(self):
        """Waits for the first ack; False where the gateway ended by itself."""
        acks = self.acks
        deadline = time.monotonic() + 30
        while self.acks == acks:
            if self.process.poll() is not None:
                # A process that refuses to start ends with a sentence and a small number, and will do so for ever.
                hold(self.process.returncode < 0, "starts", lambda: f"rig {self.number}: ended with {self.process.returncode} "
                     f"after {self.total} kills: {self.last_words()}")
                self.kills[f"died by itself, signal {-self.process.returncode}"] += 1
                self.died += 1
                return False
            hold(time.monotonic() < deadline, "serves",
                 lambda: f"rig {self.number}: no ack within 30 s, after {self.total} kills: {self.last_words()}")
            await asyncio.sleep(0.002)
        return True

    async def dead(self, within=5):
        deadline = time.monotonic() + within
        while self.process.poll() is None:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.001)
        return True

    async def random(self):
        self.spawn(False)
        if self.dice.random() < 0.15:
            acks = self.acks
            await asyncio.sleep(self.dice.uniform(0, 0.2))
            kind = "kill -9" if self.acks > acks else "kill -9 while it starts"
        else:
            if not await self.serving():
                return
            await asyncio.sleep(self.dice.uniform(0, 0.12))
            kind = "kill -9"
        self.kill()
        self.kills[kind] += 1

    async def power(self):
        self.spawn(True)
        if not await self.serving():
            return
        await asyncio.sleep(self.dice.uniform(0, 0.15))
        if self.dice.random() < 0.2:
            # In the lull a checkpoint moves the log into the database.
            self.is_quiet = True
            await asyncio.sleep(self.dice.uniform(0.15, 0.5))
            self.is_quiet = False
        self.faults.cut_power()
        if not await self.dead():
            self.kill()
            self.missed += 1
            return
        self.kills["power cut" + (" with unsynced writes" if self.faults["taken"] else "")] += 1

    async def points(self):
        name, calls, moment = POINTS[self.turn % len(POINTS)]
        nth = 1 + self.turn // len(POINTS)
        action = POWER if self.dice.random() < 0.4 else KILL
        self.turn += 1
        self.spawn(True)
        if not await self.serving():
            return
        if calls & IN_CHECKPOINTS:
            # A checkpoint writes some pages and syncs once, in a lull.
            self.faults.arm(calls, action, moment, 1 if calls == faults.DB_SYNC else 1 + nth % 7)
            self.is_quiet = True
        else:
            self.faults.arm(calls, action, moment, nth)
        fired = await self.dead(1.5)
        self.is_quiet = False
        if not fired:
            self.kill()
            self.missed += 1
            self.kills["kill -9"] += 1
            return
        self.kills[name] += 1

    async def finish(self):
        """The last start: all that has no verdict gets one, then everything is read."""
        self.spawn(False)
        self.is_ending = True
        await self.ready()
        deadline = time.monotonic() + 60
        while any(writer.waiting or writer.out for writer in self.writers):
            left = sum(len(writer.left) for writer in self.writers)
            hold(time.monotonic() < deadline, "delivered", f"rig {self.number}: {left} events have no verdict after 60 s")
            await asyncio.sleep(0.01)

    async def look(self):
        await self.settle(self.project, self.book)
        await self.doctor()
        self.process.terminate()
        code = await self.ended(30)
        hold(code == 0, "ends", f"rig {self.number}: ended with {code}: {self.last_words()}")
        with sqlite3.connect(f"{self.folder}/parley.sqlite") as file:
            said = [row[0] for row in file.execute("PRAGMA integrity_check")]
        file.close()
        hold(said == ["ok"], "integrity_check", f"rig {self.number}: {said[:5]}")

    @property
    def total(self):
        return sum(self.kills.values())


async def play(rig, ways, kills, deadline):
    """One way after another, until there were so many kills or the time is over."""
    async with asyncio.TaskGroup() as group:
        writing = [group.create_task(writer.run()) for writer in rig.writers]
        while rig.total < kills and time.monotonic() < deadline:
            # Each way gets its share, in stretches, so that they meet each other's leftovers.
            way = rig.dice.choices([name for name, _ in ways], [share for _, share in ways])[0]
            await getattr(rig, way)()
        await rig.finish()
        await asyncio.wait(writing, timeout=30)


async def main(options):
    began = time.monotonic()
    ways = [(name, share) for name, share in (("random", 6), ("power", 2), ("points", 2)) if name in options.only]
    deadline = began + options.seconds if options.seconds else float("inf")
    rigs = [Rig(number, options.seed, options.prove) for number in range(options.rigs)]
    problems = []
    print(f"seed {options.seed}", flush=True)
    try:
        try:
            async with asyncio.TaskGroup() as group:
                for rig in rigs:
                    group.create_task(play(rig, ways, -(-options.kills // len(rigs)), deadline))
            killing = time.monotonic() - began
            for rig in rigs:
                await rig.look()
        except BaseExceptionGroup as errors:
            killing = time.monotonic() - began
            problems += [error for error in flat(errors) if not isinstance(error, asyncio.CancelledError)]
        except Broken as broken:
            problems.append(broken)
    finally:
        for rig in rigs:
            rig.end()
            rig.faults.close()
    kinds = sum((rig.kills for rig in rigs), Counter())
    for kind, count in sorted(kinds.items(), key=lambda entry: -entry[1]):
        print(f"  {count:6} {kind}")
    missed = sum(rig.missed for rig in rigs)
    if missed:
        print(f"  {missed:6} points were not reached in time; those ended with kill -9")
    problems += [
        Broken("lives", f"rig {rig.number}: the gateway died by itself {rig.died} times; the log in {rig.folder} says where")
        for rig in rigs if rig.died]
    lost = sum(len(rig.lost_on_the_way) for rig in rigs)
    doubled = sum(1 for rig in rigs for where in rig.book.twice_stored() if where not in rig.lost_on_the_way)
    for rig in rigs:
        if rig.lost_on_the_way:
            where, kills = next(iter(rig.lost_on_the_way.items()))
            print(f"  rig {rig.number}: {where} was acked, and stored anew after {sum(kills.values())} kills")
    for problem in problems if not options.prove else []:
        print(f"  FAILED: {type(problem).__name__}: {problem}")
        print(f"  again: crash.py --seed {options.seed} --kills {sum(kinds.values())}; the data is in {', '.join(rig.folder for rig in rigs)}")
    acked = sum(rig.book.acked for rig in rigs)
    total = sum(kinds.values())
    if killing:
        print(f"  {total / killing:.1f} kills a second in {len(rigs)} rigs")
    print(f"crash points: {total} kills, {acked} acked, {lost} lost, {doubled} doubled, {time.monotonic() - began:.0f} s, seed {options.seed}")
    if options.prove:
        print("proved: a store that does not sync is caught" if lost else "NOT proved: the syncs were off and nothing was missed")
        return 0 if lost else 1
    failed = bool(problems or lost or doubled or not total or not acked)
    for rig in [] if failed else rigs:
        rig.discard()
    return int(failed)


def flat(errors):
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from flat(error)
        else:
            yield error


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, help="how many in all (default: 1000, or as many as --seconds allow)")
    parser.add_argument("--seconds", type=float, help="how long to kill at most")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--rigs", type=int, default=2, help="gateways at once, each on a folder of its own")
    parser.add_argument("--only", type=lambda text: text.split(","), default=["random", "power", "points"])
    parser.add_argument("--prove", action="store_true", help="see that a store that does not sync is caught")
    options = parser.parse_args()
    if options.prove:
        options.only, options.kills = ["power"], options.kills or 12
    if options.kills is None:
        options.kills = 1_000_000 if options.seconds else 1000
    unknown = set(options.only) - {"random", "power", "points"}
    if unknown:
        parser.error(f"there is no way {', '.join(unknown)}")
    return options


if __name__ == "__main__":
    sys.exit(asyncio.run(main(arguments())))
