#!/usr/bin/env python3
"""Measures Parley beside what it could be, in the same run, and prints a table of ratios. To be started by scripts/bench, which builds all of it.

Each row is measured in rounds: ours, then what stands beside it, then the other way round. What was measured is kept in
.build/bench/results.json, so that rows measured apart make one table.
"""

import argparse
import json
import pathlib
import shlex
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "Benchmarks"))
from suite import rows, servers, table, units  # noqa: E402
from suite.processes import Failed  # noqa: E402

RESULTS = servers.BUILD / "results.json"
# Options that figures depend on, kept with them.
CONDITIONS = ("seconds", "in_flight", "messages", "sockets", "socket_rate", "disk_events", "page_rounds")


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.split("\n")[0])
    parser.add_argument("--rows", help="only these, with commas between them (--list names them)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10, help="of each load (default 10)")
    parser.add_argument("--only-parley", action="store_true", help="nothing beside it; the figures are shown and not kept")
    parser.add_argument("--messages", type=int, default=10_000_000, help="the most that is stored for the rows growth, pages and start (default 10,000,000)")
    parser.add_argument("--in-flight", type=int, default=2, help="batches out at once on a socket (default 2)")
    parser.add_argument("--sockets", type=int, default=10_000, help="of the row idle (default 10,000)")
    parser.add_argument("--socket-rate", type=int, default=2000, help="events a second of the row sockets (default 2,000)")
    parser.add_argument("--disk-events", type=int, default=200_000, help="of the row disk (default 200,000)")
    parser.add_argument("--page-rounds", type=int, default=100, help="requests of each kind for the row pages (default 100)")
    parser.add_argument("--patience", type=int, default=5400, help="seconds that search may take to catch up (default 5,400)")
    parser.add_argument("--write", action="store_true", help="write BENCHMARKS.md and its plots of all that was kept")
    parser.add_argument("--list", action="store_true", help="name the rows")
    parser.add_argument("--table", action="store_true", help="measure nothing, show what was kept")
    parser.add_argument("--needs", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    known = rows.all_rows(options)
    if options.rows:
        names = options.rows.split(",")
        if wrong := set(names) - {row.name for row in known}:
            parser.error(f"there is no row {', '.join(sorted(wrong))}; there are {', '.join(row.name for row in known)}.")
        chosen = [row for row in known if row.name in names]
    else:
        chosen = [row for row in known if row.is_usual]
    if min(options.rounds, options.seconds, options.sockets, options.disk_events, options.in_flight, options.socket_rate) <= 0 or options.messages < 20:
        parser.error("numbers must be more than 0, and --messages at least 20.")
    return options, known, [] if options.table else chosen


class Round:
    """What one round has measured, for measurements that build on others."""

    def __init__(self, names, results, done):
        self.units, self.rows, self.results, self.done = names, None, results, done

    def known(self, row, unit, *path):
        """A median of another row, of this run or kept."""
        found = self.done.get(row) or self.results["rows"].get(row)
        return rows.Measured(None, found["rounds"]).median(unit, *path) if found else None


def show(text):
    print(text, file=sys.stderr, flush=True)


def measure(name, options, round):
    show(f"  {name}")
    began = time.monotonic()
    try:
        found = units.UNITS[name](options, round)
        brief = {key: float(f"{value:.4g}") for key, value in found.items()
                 if key in ("rate", "cpu", "p50", "p99", "bytes", "seconds", "residentMB") and isinstance(value, (int, float))}
        show(f"    {', '.join(f'{key} {value:,g}' for key, value in brief.items())}   ({time.monotonic() - began:.0f} s)")
        return found, None
    except units.Skipped as reason:
        show(f"    skipped: {reason}")
        return None, f"skipped: {reason}"
    except (Failed, OSError, ValueError) as failure:
        show(f"    FAILED: {failure}")
        return None, f"failed: {failure}"


def run_group(group, options, results, done):
    """The rounds of rows that share measurements."""
    names = list(dict.fromkeys(name for row in group for name in row.units if not options.only_parley or name.startswith("parley")))
    rounds, failed = [], False
    for number in range(min(options.rounds, group[0].rounds or options.rounds)):
        show(f"{', '.join(row.name for row in group)}: round {number + 1}")
        round, found = Round(names, results, done), {}
        # Who is first meets a quieter machine or a colder one; they take turns. The C loop needs the gateway's rows.
        turn = names if number % 2 == 0 or "C rows" in names else names[::-1]
        for name in turn:
            value, failure = measure(name, options, round)
            if failure:
                found.setdefault("failures", {})[name] = failure
                failed = failed or failure.startswith("failed")
            else:
                found[name] = value
        rounds.append(found)
    for row in group:
        mine = [{key: value for key, value in found.items() if key in row.units} |
                ({"failures": {key: value for key, value in found["failures"].items() if key in row.units}} if "failures" in found else {}) for found in rounds]
        done[row.name] = {"rounds": mine, "command": command(options), "at": int(time.time()),
                          "conditions": {name: getattr(options, name) for name in CONDITIONS}}
    return failed


def command(options):
    """What was typed, without what does not change a figure."""
    words, skip = [], False
    for word in sys.argv[1:]:
        if not (skip or word in ("--write", "--no-build") or word.startswith("--rows")):
            words.append(word)
        skip = word == "--rows"
    if options.rows:
        words = ["--rows", options.rows] + words
    return shlex.join(["scripts/bench", *words])


def needs(options, chosen):
    """What the rows need, for the shell that sets it up."""
    wanted = {"load", "parley"} if chosen else set()
    for row in chosen:
        wanted |= {need for need in row.needs if need != "seed" and not options.only_parley}
    return sorted(wanted)


def main():
    options, known, chosen = arguments()
    if options.list:
        for row in known:
            print(f"{row.name:18} {row.title}{'' if row.is_usual else ' (only when named)'}")
        return 0
    if options.needs:
        print("\n".join(needs(options, chosen)))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"rows": {}}
    results["machine"] = table.machine()
    done, failed, waiting = {}, False, list(chosen)
    while waiting:
        group = [row for row in waiting if row is waiting[0] or row.group and row.group == waiting[0].group]
        waiting = [row for row in waiting if row not in group]
        failed = run_group(group, options, results, done) or failed
        if not options.only_parley:
            # Kept row by row: a run that is broken off has its first ones.
            results["rows"] |= done
            RESULTS.parent.mkdir(parents=True, exist_ok=True)
            RESULTS.with_suffix(".new").write_text(json.dumps(results, indent=1))
            RESULTS.with_suffix(".new").replace(RESULTS)
    shown = {"machine": results["machine"], "rows": {row.name: found for row in known if (found := (done if options.only_parley else results["rows"]).get(row.name))}}
    print(table.table(options, shown))
    for row, *_, bounds, failures in table.lines(options, shown):
        if bounds and row.name in done:
            print(f"{row.name}: {bounds}")
    if options.write:
        table.write(options, shown)
        show("BENCHMARKS.md is written")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
