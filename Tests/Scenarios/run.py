"""Plays scenarios against a real gateway and holds it to its invariants.

    PARLEY_BIN=… run.py [--seed N] [--only NAME,…] [--list] [--scale F]

The same seed makes the same plan: the same events, clients, cuts and orders. When they happen is the machine's.
Each scenario ends the same way:

  - every event that got `stored` or `duplicate` is read back exactly once, and nothing is read that was never sent
  - received = stored + duplicate + conflict + quarantined + dropped + retry, in every row of the ledger
  - `parley doctor` finds nothing broken
  - the process is the same one, holds no socket more than before, hardly a file or thread, and so much memory at most

A scenario that mostly waits has a gateway of its own and runs beside the others. All traffic stays on loopback.
"""

import argparse
import asyncio
import random
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import scenarios  # noqa: E402, F401  (it enlists them)
from book import Broken, hold  # noqa: E402
from client import Line, Maker, Socket, generator  # noqa: E402
from stage import SCENARIOS, Stage  # noqa: E402
from world import World  # noqa: E402

LONGEST = 150  # seconds for one scenario; all of them together take less


def leaves(error):
    """The errors inside groups of errors."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error


async def warm_up(world, project):
    """What the first request of each kind makes the gateway keep is no leak."""
    maker = Maker(generator(0, "warm-up"))
    line = Line(world.port)
    for number in range(30):
        await line.post([maker.message(f"w-{number}") for _ in range(20)], project.secret)
    await line.get("/v1/export", project.secret)
    for path in ("/v1/threads", "/v1/outcomes", "/v1/quarantine", "/v1/threads/w-1"):
        await asyncio.gather(*(world.fetch(project, path) for _ in range(4)))
    line.close()
    for number in range(20):
        socket = await Socket.open(world.port, project.public, f"127.0.0.{2 + number}")
        socket.send({"type": "batch", "batch": 1, "events": [maker.message("w-s")]})
        await socket.receive()
        await socket.close()
    await world.doctor()


async def play(stage):
    """Plays one scenario and looks at what is left; answers whether all held."""
    scenario, world = stage.scenario, stage.world
    began = time.monotonic()
    failure = None
    try:
        async with asyncio.timeout(LONGEST):
            before, pid, starts = world.level(), world.pid, world.starts
            await scenario.play(stage)
            if world.starts == starts:
                world.lives(pid)
            readings, _ = await world.settle(stage.project, stage.book, scenario.exact, stage.counts_match)
            await world.doctor()
            after = await world.back_to(before, scenario.memory)
            counted = (await world.metrics())["parley_sockets_open"]
            hold(counted == 0, "leaks", f"the gateway counts {counted:.0f} open sockets where there is none")
            stage.counts = {"acked": stage.book.acked, **stage.counts, "read": len(readings.keys), "MB": after.memory >> 20}
    except BaseException as error:  # noqa: BLE001  (whatever it is, it has to be told with the seed)
        if isinstance(error, KeyboardInterrupt):
            raise
        failure = error
    seconds = time.monotonic() - began
    figures = ", ".join(f"{count} {name}" for name, count in stage.counts.items())
    print(f"{'FAILED' if failure else 'passed'}  {scenario.name:<22} {seconds:6.1f} s  {figures}", flush=True)
    if failure:
        for error in leaves(failure):
            print(f"        {type(error).__name__}: {error}", flush=True)
            if not isinstance(error, Broken):
                print("        " + "".join(traceback.format_exception(error)).replace("\n", "\n        "), flush=True)
        print(f"        what must hold: {scenario.says}\n        again: run.py --only {scenario.name} --seed {stage.seed}"
              + (f" --scale {stage.scale}" if stage.scale != 1 else ""), flush=True)
    return failure is None


async def main(options):
    chosen = [SCENARIOS[name] for name in options.only] if options.only else list(SCENARIOS.values())
    shared = World()
    worlds = [shared]
    failed = 0
    began = time.monotonic()
    try:
        together = [scenario for scenario in chosen if not scenario.alone]
        stages = [
            Stage(scenario, shared, shared.make_project(scenario.name), options.seed, options.scale) for scenario in together]
        beside = []
        for scenario in chosen:
            if scenario.alone:
                world = World(*scenario.options)
                worlds.append(world)
                beside.append(Stage(scenario, world, world.make_project(scenario.name), options.seed, options.scale))

        async def on_its_own(stage):
            warmth = stage.world.make_project("warm")
            await stage.world.begin()
            await warm_up(stage.world, warmth)
            return await play(stage)

        waiting = [asyncio.create_task(on_its_own(stage)) for stage in beside]
        if stages:
            warmth = shared.make_project("warm")
            await shared.begin()
            await warm_up(shared, warmth)
        for stage in stages:
            if shared.process.poll() is not None:
                await shared.begin()
            failed += not await play(stage)
        for result in await asyncio.gather(*waiting, return_exceptions=True):
            if isinstance(result, BaseException):
                traceback.print_exception(result)
            failed += result is not True
    finally:
        for world in worlds:
            world.end()
    if failed:
        print(f"the logs are in {', '.join(world.folder for world in worlds)}")
    else:
        for world in worlds:
            world.discard()
    print(f"scenarios: {len(chosen) - failed} passed, {failed} failed, {time.monotonic() - began:.0f} s, seed {options.seed}")
    return 1 if failed else 0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000), help="the plan follows from it")
    parser.add_argument("--only", type=lambda text: [name for name in text.split(",") if name], help="names, with commas")
    parser.add_argument("--list", action="store_true", help="say what there is")
    parser.add_argument("--scale", type=float, default=1.0, help="how many clients and events, as a factor")
    options = parser.parse_args()
    unknown = set(options.only or []) - set(SCENARIOS)
    if unknown:
        parser.error(f"there is no scenario {', '.join(sorted(unknown))}: see --list")
    return options


if __name__ == "__main__":
    chosen = arguments()
    if chosen.list:
        for one in SCENARIOS.values():
            print(f"{one.name:<22} {one.says}")
        sys.exit(0)
    print(f"seed {chosen.seed}", flush=True)
    sys.exit(asyncio.run(main(chosen)))
