"""What a scenario is given, and the list of all scenarios."""

import asyncio
import time
from dataclasses import dataclass, field

from book import Book, hold
from client import Maker, PostWriter, SocketWriter, generator
from world import World

SCENARIOS = {}


async def at_once(coroutines):
    """Runs all of them; the first that fails ends the others. Answers their results in order."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(coroutine) for coroutine in coroutines]
    return [task.result() for task in tasks]


@dataclass
class Scenario:
    name: str
    says: str       # one sentence: what happens, and what must hold
    play: object
    alone: bool     # on a gateway of its own, beside the others: it mostly waits
    exact: bool     # every verdict is heard
    memory: int     # bytes that the gateway may hold more afterwards
    options: tuple  # of its gateway, where it has its own


def scenario(name, says, alone=False, exact=False, memory=64 << 20, options=()):
    def enlist(play):
        SCENARIOS[name] = Scenario(name, says, play, alone, exact, memory, options)
        return play
    return enlist


@dataclass
class Stage:
    """One scenario's gateway, project, book and plan."""

    scenario: Scenario
    world: World
    project: object
    seed: int
    scale: float
    counts: dict = field(default_factory=dict)
    book: Book = field(default_factory=Book)
    counts_match: bool = True

    def __post_init__(self):
        self.rng = generator(self.seed, self.scenario.name)
        self.maker = Maker(self.rng)

    def many(self, count):
        """A count, scaled; never none."""
        return max(1, round(count * self.scale))

    def address(self, number, of=20):
        """A source address, so that no single one is taken for a flood. Scenarios do not share them."""
        place = 1 + list(SCENARIOS).index(self.scenario.name)
        return f"127.0.{place}.{1 + number % of}"

    def writer(self, kind, events, number=0, port=None, **options):
        """A writer with a plan of its own."""
        return kind(port or self.world.port, self.project.public, self.book, events, generator(self.seed, f"{self.scenario.name}/{number}"),
                    source=None if port else self.address(number), **options)

    async def all(self, writers, within=60):
        """Runs writers until each has its verdicts. One that fails ends the others."""
        started = time.monotonic()
        async with asyncio.timeout(within):
            async with asyncio.TaskGroup() as group:
                for writer in writers:
                    group.create_task(writer.run())
        return time.monotonic() - started


class Neighbours:
    """Others who are served all along: never cut, never kept waiting."""

    def __init__(self, stage, pause=0.03, longest=5.0):
        self.longest = longest
        self.writers = [
            stage.writer(kind, stage.maker.some(f"neighbour-{number}", 6000), 50 + number, batch=4, in_flight=1, pause=pause)
            for number, kind in enumerate((SocketWriter, SocketWriter, PostWriter))]

    async def __aenter__(self):
        self.task = asyncio.create_task(at_once(writer.run() for writer in self.writers))
        return self

    async def __aexit__(self, kind, *_):
        for writer in self.writers:
            writer.stop()
        if kind:
            self.task.cancel()
            return
        await asyncio.wait_for(self.task, 30)
        for writer in self.writers:
            hold(not writer.cuts and not writer.closes, "neighbours", f"a neighbour was cut {writer.cuts} times, closed {writer.closes}")
        hold(self.slowest < self.longest, "neighbours", f"a neighbour waited {self.slowest:.1f} s for a verdict")

    @property
    def slowest(self):
        return max(writer.slowest for writer in self.writers)


class Peak:
    """The most memory that was resident meanwhile."""

    def __init__(self, world):
        self.world, self.most = world, 0

    async def __aenter__(self):
        self.before = self.world.level().memory
        self.task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_):
        self.task.cancel()

    async def _watch(self):
        while True:
            self.most = max(self.most, self.world.level().memory)
            await asyncio.sleep(0.05)

    @property
    def more(self):
        return self.most - self.before
