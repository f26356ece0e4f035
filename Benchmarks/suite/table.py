"""BENCHMARKS.md and its plots, out of what was measured."""

import argparse
import os
import pathlib
import platform
import statistics

from . import plots, seeds, units
from .processes import PINS
from .rows import Measured, all_rows
from .servers import BUILD, ROOT


SCALE = """## Stores and streams, each beside the raw engine

`scripts/bench --scale` measures one gateway on SQLite, one and two on one PostgreSQL, and one and two in front of NATS JetStream with one replica and with three, with
two drains and a PostgreSQL behind; beside each, in the same round, the raw engine doing the same writes:

- **SQLite**: the C loop of the rows above inserts the gateway's own rows once more, with their indexes and folds, 256 events a transaction, WAL with synchronous FULL.
- **PostgreSQL**: `pgbench` inserts rows into a table like Parley's `event`, with its columns, types and indexes, as a gateway wrote them: as many a transaction as one
  gateway commits at once under the same load, which is looked at before the rounds (`--transaction` sets it), four clients (as many connections as a gateway writes with), one
  prepared statement. The server copies the rows from a table, so that none crosses the wire, and there is neither a fold for threads nor search: a floor that is lower than what a store must do. `fsync`, `synchronous_commit` and `full_page_writes` are on, and looked at.
- **JetStream**: NATS's own C client publishes messages as large as a gateway's, with IDs, asynchronously, 128 at once, as many as there are batches out at a
  gateway; a message counts as the events that a gateway's has. NATS's servers sync every two minutes, as they come (`--sync-always` has them sync each message):
  an ack says that the servers have it.

Gateways get what they get above: 64 sockets, shared among the gateways, batches of 16 events of 600 bytes, two batches out on each. *Durable* is the rate of acks then. Where
there is a stream, *drained* is the same events over the time until the drains have them in the store, the gateways' own load within it: what drains keep up with. The p99 of acks
is that of an open loop, in which batches (of a raw engine: transactions, messages) are due on a schedule (pgbench's is a Poisson process) and their time counts from when they were due, at half of
each one's own rate, and with a stream at half of the lower of both; of two gateways it is the longer one. All of it is asked of the servers of one measurement, new ones each time, on one
file system, with the load on the second core and the servers on both. After each load as many events as were acked must be in the store, none fewer and none more, and the
stream's lag must come to 0 within `--patience`; where not, the row says so and the run fails. Ratios are medians of ratios within a round.
"""

SCALE_BOUNDS = """What an append costs in PostgreSQL beyond the raw rows is two round trips, a lock of its project, looking up threads, links and IDs, and the folds; all of the load is one project's, so
one append after another, and a second gateway adds nothing. What drains bring is bounded by the same. A gateway in front of a stream has no such
bound: what comes in bursts waits there.
"""


def scale():
    """How stores and streams are measured, and the figures if there are any."""
    kept = BUILD / "scale.md"
    return SCALE + (f"\n{kept.read_text()}\n{SCALE_BOUNDS}" if kept.exists() else "")


def machine():
    """What the figures depend on, and nothing that names the machine."""
    def field(file, name):
        lines = pathlib.Path(file).read_text().splitlines()
        return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "unknown")

    mounts = [line.split() for line in pathlib.Path("/proc/mounts").read_text().splitlines()]
    home = str(BUILD.resolve())
    disk = max((mount for mount in mounts if home.startswith(mount[1].rstrip("/") + "/")), key=lambda mount: len(mount[1]), default=["", "", "unknown"])
    system = dict(line.split("=", 1) for line in pathlib.Path("/etc/os-release").read_text().splitlines() if "=" in line)
    return {"processor": field("/proc/cpuinfo", "model name"), "cores": os.cpu_count(), "memory": f"{int(field('/proc/meminfo', 'MemTotal').split()[0]) / 2**20:.0f} GiB",
            "kernel": ".".join(platform.release().split("-")[0].split(".")[:2]), "system": system.get("PRETTY_NAME", "Linux").strip('"'), "filesystem": disk[2]}


def verdict(met):
    return {True: "met", False: "**missed**", None: "–"}[met]


def as_measured(options, kept):
    """The options a row was measured with."""
    return argparse.Namespace(**vars(options) | (kept or {}).get("conditions", {}))


def lines(options, results):
    found = []
    for name in [row.name for row in all_rows(options)]:
        kept = results["rows"].get(name)
        if not kept:
            continue
        row = next(row for row in all_rows(as_measured(options, kept)) if row.name == name)
        measured = Measured(row, kept["rounds"])
        judged, met = row.judged(measured)
        bounds = row.bounds(measured)
        if row.name == "disk":
            theirs = [f"{name} {size / 1024:.1f} KB" for name in ("mlflow", "phoenix")
                      if (size := Measured(row, results["rows"].get("http-100-durable", {}).get("rounds", [])).median(f"{name} 100", "bytesPerEvent"))]
            theirs = ", ".join(theirs) + " a span, in batches" if theirs else "–"
        else:
            theirs = row.theirs(measured)
        failures = sorted({failure for round in kept["rounds"] for failure in round.get("failures", {}).values()})
        found.append((row, row.ours(measured), theirs, judged, verdict(met), bounds, failures))
    return found


def table(options, results):
    parts = ["| what | Parley | beside it | ratio | goal | |", "|---|---|---|---|---|---|"]
    for row, ours, theirs, judged, met, _, failures in lines(options, results):
        ours = ours + "".join(f"; {failure}" for failure in failures)
        parts.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in (row.title, ours, theirs, judged, row.goal, met)) + " |")
    return "\n".join(parts)


def draw(options, results, folder):
    """Writes the plots that there are figures for; returns (file, caption)."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    rate = as_measured(options, results["rows"].get("sockets")).socket_rate

    def measured(name):
        return Measured(None, results["rows"].get(name, {}).get("rounds", []))

    def sizes(name):
        return seeds.sizes(as_measured(options, results["rows"].get(name)).messages)

    def points(row, kind, keys, *path):
        return [(key, value) for place, key in enumerate(keys) if (value := row.median(f"parley {kind} {place if kind != 'sockets' else key}", *path)) is not None]

    def read_points(label):
        found = []
        for place, size in enumerate(sizes("pages")):
            p99 = {}
            for round in measured("pages").rounds:
                for read in (round.get(f"parley pages {place}") or {}).get("reads", []):
                    if read["read"].startswith(label):
                        p99.setdefault(read["read"], []).append(read["p99"])
            if p99:
                found.append((size, max(map(statistics.median, p99.values()))))
        return found

    growth, sockets = measured("growth"), measured("sockets")
    for file, *plot in [
        ("growth-rate.svg", "Ingest over what is stored", "messages stored", "durable events a second", {"events/s": points(growth, "grown", sizes("growth"), "rate")}),
        ("growth-cpu.svg", "Cost of an event over what is stored", "messages stored", "µs CPU an event", {"CPU": points(growth, "grown", sizes("growth"), "cpu")}),
        ("pages.svg", "Reads over what is stored, p99", "messages stored", "ms", {"list": read_points("list"), "conversation": read_points("conversation"),
                                                                                  "search": read_points("words")}),
        ("sockets-cpu.svg", f"Cost of an event over sockets, at {rate:,.0f} events a second", "sockets", "µs CPU an event",
         {"CPU": points(sockets, "sockets", units.SOCKET_COUNTS, "cpu")}),
        ("sockets-ack.svg", f"Ack over sockets, at {rate:,.0f} events a second", "sockets", "ms",
         {"p50": points(sockets, "sockets", units.SOCKET_COUNTS, "p50"), "p99": points(sockets, "sockets", units.SOCKET_COUNTS, "p99")}),
    ]:
        if any(len(line) > 1 for line in plot[3].values()):
            (folder / file).write_text(plots.line_plot(*plot))
            drawn.append((file, plot[0]))
    return drawn


def write(options, results):
    found = lines(options, results)
    about = results["machine"]
    pins = ("What loads a server runs on the second core. Servers run on the first, with all that is in the rows but these: where a rate of durable events is compared "
            "with other programs, and for its acks, they use both, as far as the load leaves them the second; so do the tools from PyPI. The C loop has the first."
            if PINS else "Nothing was bound to a core.")
    conditions = {}
    for name, kept in results["rows"].items():
        rounds = len(kept["rounds"])
        conditions.setdefault(f"{kept['conditions']['seconds']:g} s, {rounds} round{'s' * (rounds != 1)}", []).append(name)
    commands = sorted({kept["command"] for kept in results["rows"].values()})
    drawn = draw(options, results, ROOT / "Benchmarks/plots")
    bounds = [f"- **{row.title}**: {words}" for row, _, _, _, _, words, _ in found if words]
    (ROOT / "BENCHMARKS.md").write_text(f"""# Benchmarks

Written by `scripts/bench --write`. Ratios are medians of ratios within a round; in a round ours and theirs are measured one after the
other, and the next round begins with the other one. Other figures are medians. *Accepted*: answered, whatever became of it. *Durable*: on disk, by a commit with
fsync, when it was answered. *Readable*: found by another reader of the file, over the time until it was. CPU is the server's, in
user and system mode, over the events that were answered so. Rows are measured anew when
what they measure has changed, not all on one day: neighbours make one machine two to three times as fast as on another day, so that figures
compare within a row and not between rows.

{about['processor']}, {about['cores']} cores, {about['memory']}, {about['system']}, Linux {about['kernel']}, {about['filesystem']}. {pins}

{table(options, results)}

{scale()}
## What bounds each row

{chr(10).join(bounds) if bounds else "Nothing was measured that would tell."}

## How cost grows

{chr(10).join(f"![{caption}](Benchmarks/plots/{file})" for file, caption in drawn) if drawn else "Not measured yet."}

## To repeat it

```sh
{chr(10).join(commands)}
```

Loads of {"; ".join(f"{words}: {', '.join(names)}" for words, names in conditions.items())}. `scripts/bench --help` lists the rows; [Benchmarks/](Benchmarks/README.md) has what Parley is measured beside.
""")
