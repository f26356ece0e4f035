#!/usr/bin/env python3
"""How many machines a rate of events takes, and what they cost: the arithmetic of CAPACITY.md, with every assumption an option.

    scripts/capacity.py                                          the plan for a billion events a day
    scripts/capacity.py --events-per-day 2e8 --retention-days 90 one of your own
    scripts/capacity.py --check CAPACITY.md                      whether the tables of the page are what is computed; ends with 1 if not
    scripts/capacity.py --write CAPACITY.md                      puts them there

A cell is an installation of its own: gateways, three brokers, drains, a PostgreSQL and its standby. Projects are spread over cells.
"""

import argparse
import math
import re
import sys
from pathlib import Path
from types import SimpleNamespace

# name: (value, what it is, where it comes from)
ASSUMPTIONS = {
    "events_per_day": (1e9, "events a day", "the question"),
    "peak": (3, "busiest hour over the mean", "assumed"),
    "retention_days": (30, "days that events are kept", "assumed; `parley project set --retention`"),
    "store_bytes": (1743, "bytes of an event in PostgreSQL, with all indexes and search", "measured, above"),
    "stream_bytes": (978, "bytes of it on each broker", "measured, above"),
    "wal_bytes": (3601, "bytes of it in PostgreSQL's log (WAL)", "measured, above"),
    "events_per_message": (16, "events of a message of the stream", "as measured"),
    "events_per_visit": (20, "events of one visit", "assumed"),
    "visit_seconds": (600, "seconds that a visitor's socket is open", "assumed"),
    "socket_bytes": (28_000, "bytes of a busy socket", "measured: README, Figures"),
    "sockets_per_gateway": (50_000, "sockets of one gateway", "assumed; 10,000 were measured"),
    "gateway_microseconds": (40, "µs of a core for an event", "measured with the commit into SQLite: BENCHMARKS.md"),
    "database_events": (5000, "events/s that a database and its drains take, search included", "**assumed**: a third of what two cores take of one project into an empty database (BENCHMARKS.md); put in your own figure"),
    "database_terabytes": (8, "TB of a database's disk", "assumed"),
    "disk_fill": (0.7, "of it used", "assumed; VACUUM and growth need the rest"),
    "partition_gigabytes": (100, "GB of a partition, at most", "assumed; a rebuild of its indexes stays below an hour"),
    "keep_hours": (24, "hours that the stream keeps what was drained", "`StreamSettings.keepFor`"),
    "away_hours": (12, "hours that a database may be away", "assumed"),
    "replicas": (3, "brokers that have each message", "`--stream-replicas`"),
    "standbys": (1, "copies of each database", "assumed"),
    "regions": (1, "regions", "assumed"),
    "core_price": (0.04, "$ an hour for a vCPU", "assumed"),
    "memory_price": (0.005, "$ an hour for a GB of memory", "assumed"),
    "disk_price": (0.10, "$ a month for a GB of SSD", "assumed"),
    "traffic_price": (0.01, "$ for a GB between zones", "assumed"),
}

# vCPUs and GB of memory.
MACHINES = {"gateway": (4, 8), "drain": (2, 4), "broker": (2, 4), "database": (16, 64)}
HOURS = 730  # a month


def plan(a):
    """The figures that follow, by name."""
    f = SimpleNamespace()
    f.mean = a.events_per_day / 86_400
    f.top = f.mean * a.peak
    f.stored = a.events_per_day * a.retention_days * a.store_bytes
    f.cells_by_disk = f.stored / (a.database_terabytes * 1e12 * a.disk_fill)
    f.cells_by_rate = f.top / a.database_events
    f.cells = math.ceil(max(f.cells_by_disk, f.cells_by_rate))
    f.cells += int(-f.cells % a.regions)  # as many in each region
    f.cell_mean, f.cell_top = f.mean / f.cells, f.top / f.cells
    f.cell_stored = f.stored / f.cells
    f.partitions = 2 ** math.ceil(math.log2(max(1, f.cell_stored / (a.partition_gigabytes * 1e9))))
    f.stream = f.cell_mean * (a.keep_hours + a.away_hours) * 3600 * a.stream_bytes
    f.stream_gigabytes = math.ceil(f.stream * 1.2 / 2**30 / 10) * 10  # a fifth more, in whole tens
    f.broker_write = f.cell_top * a.stream_bytes
    f.remembered = f.cell_top / a.events_per_message * 120 * 150  # StreamSettings.duplicateWindow, bytes of an ID
    f.sockets = a.events_per_day / a.events_per_visit * a.visit_seconds / 86_400 * a.peak
    f.cell_sockets = f.sockets / f.cells
    by_sockets = f.cell_sockets / a.sockets_per_gateway
    f.gateway_cores = f.cell_top * a.gateway_microseconds / 1e6
    by_cores = f.gateway_cores / (MACHINES["gateway"][0] * 0.5)
    f.gateways = math.ceil(max(by_sockets, by_cores)) + 1  # one may go
    f.gateway_memory = f.cell_sockets / max(1, f.gateways - 1) * a.socket_bytes
    f.drains = 2
    f.connections = 13 * (f.gateways + f.drains)
    f.machines = {"gateway": f.gateways, "drain": f.drains, "broker": a.replicas, "database": 1 + a.standbys}
    # Publish, copies among brokers, drain, statements, standby: as if each hop led to another zone.
    f.hops = a.stream_bytes * (1 + (a.replicas - 1) + 1) + a.store_bytes + a.wal_bytes * a.standbys
    f.cost = {
        "vCPUs": f.cells * sum(MACHINES[kind][0] * count for kind, count in f.machines.items()) * HOURS * a.core_price,
        "memory": f.cells * sum(MACHINES[kind][1] * count for kind, count in f.machines.items()) * HOURS * a.memory_price,
        "databases' disks": f.cells * (1 + a.standbys) * a.database_terabytes * 1000 * a.disk_price,
        "brokers' disks": f.cells * a.replicas * f.stream_gigabytes * 1.2 * a.disk_price,
        "traffic between zones": a.events_per_day * f.hops / 1e9 * a.traffic_price * HOURS / 24,
    }
    return f


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:,.3g}"


def size(value):
    for unit, factor in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if value >= factor:
            return f"{number(value / factor)} {unit}"
    return f"{number(value)} B"


def tables(a):
    f = plan(a)
    total = sum(f.cost.values())
    rows = [
        ("events a second", f"{number(f.mean)} on average, {number(f.top)} at the peak", "events_per_day / 86,400, × peak"),
        ("stored at a time", size(f.stored), "events_per_day × retention_days × store_bytes"),
        ("cells", f"{number(f.cells)}" + (f", {number(f.cells / a.regions)} a region" if a.regions > 1 else ""),
         f"the larger of {number(f.cells_by_disk)} by disk, stored / (database_terabytes × disk_fill), and {number(f.cells_by_rate)} by rate, peak / database_events"),
        ("of a cell: events a second", f"{number(f.cell_mean)}, {number(f.cell_top)} at the peak", "the same / cells"),
        ("of a cell: stored", size(f.cell_stored), "the same / cells"),
        ("`PARLEY_PARTITIONS`", f"{f.partitions}", "a power of two ≥ stored / partition_gigabytes"),
        ("`PARLEY_STREAM_GIGABYTES`", f"{f.stream_gigabytes}", f"rate × (keep_hours + away_hours) × stream_bytes = {size(f.stream)}, a fifth more"),
        ("a broker writes", f"{size(f.broker_write)}/s at the peak", "peak × stream_bytes"),
        ("a broker remembers", size(f.remembered), "peak / events_per_message × 120 s × 150 B"),
        ("a database's log", f"{size(f.cell_mean * a.wal_bytes)}/s, {size(f.cell_top * a.wal_bytes)}/s at the peak", "rate × wal_bytes; to each standby, too"),
        ("sockets at once", f"{number(f.sockets)}, {number(f.cell_sockets)} a cell", "events_per_day / events_per_visit × visit_seconds / 86,400 × peak"),
        ("gateways of a cell", f"{f.gateways}, {size(f.gateway_memory)} of sockets each",
         f"by sockets_per_gateway, or {number(f.gateway_cores)} cores at half their time, and one more"),
        ("connections of a database", f"{f.connections}, and commands", "13 × (gateways + drains), at most"),
        ("machines of a cell", ", ".join(f"{count:g} {kind}{'s' if count > 1 else ''}" for kind, count in f.machines.items()),
         "; ".join(f"{kind}: {cores} vCPUs, {memory} GB" for kind, (cores, memory) in MACHINES.items())),
        *((f"{name}, a month", f"${number(cost)}", "") for name, cost in f.cost.items()),
        ("all, a month", f"${number(total)}", ""),
        ("a million events", f"${total / (a.events_per_day * HOURS / 24 / 1e6):.2g}", "all / events of a month"),
    ]
    return "| | | how |\n|---|---|---|\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows)


def assumptions():
    def shown(value):
        return f"{value:,}" if isinstance(value, int) else f"{value:g}".replace("e+0", "e").replace("e+", "e")
    return "| assumption | | is | from |\n|---|---|---|---|\n" + "\n".join(
        f"| `{name}` | {shown(value)} | {what} | {source} |" for name, (value, what, source) in ASSUMPTIONS.items())


def filled(text):
    """The page with its tables computed anew: `<!-- capacity OPTIONS -->` stands before each, and an empty line behind."""
    def table(match):
        words = match.group(2).split()
        made = assumptions() if words == ["assumptions"] else tables(options(words))
        return f"{match.group(1)}\n{made}\n\n"
    return re.sub(r"(<!-- capacity ?(.*?) ?-->)\n.*?\n\n", table, text, flags=re.S)


def options(words):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, (value, what, _) in ASSUMPTIONS.items():
        parser.add_argument("--" + name.replace("_", "-"), type=float, default=float(value), help=f"{what} ({value:g})")
    parser.add_argument("--check", metavar="FILE", type=Path)
    parser.add_argument("--write", metavar="FILE", type=Path)
    return parser.parse_args(words)


def main():
    chosen = options(sys.argv[1:])
    if chosen.write:
        chosen.write.write_text(filled(chosen.write.read_text()))
    elif chosen.check:
        text = chosen.check.read_text()
        if "<!-- capacity" not in text or filled(text) != text:
            sys.exit(f"{chosen.check} has other figures than its assumptions give: scripts/capacity.py --write {chosen.check}")
    else:
        print(tables(chosen))


if __name__ == "__main__":
    main()
