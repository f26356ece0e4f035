"""The single measurements that rows are made of, by name. Each takes the suite's options and what its round has measured so far."""

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import time

from . import loads, seeds, servers
from .processes import LOAD_CORE, Failed, pinned, run
from .servers import MLflow, Phoenix, ROOT, parley

UNITS = {}


class Skipped(Exception):
    """What is needed is not there; says what."""


def unit(name):
    def keep(measure):
        UNITS[name] = measure
        return measure
    return keep


# ------------------------------------------------------------------------------------------------------------- durable

def kept(server, found):
    """What a C driver found, once another reader of the file has found every event that was acked."""
    if found.get("named") or found.get("lost"):
        raise Failed(f"not all was stored: {found['named']} events and {found['lost']} sockets were refused: {found['remark']}")
    if (missing := found["events"] - server.readable()) > 0:
        raise Failed(f"{missing} events were acked and are not in the file")
    return found | {"level": "durable"}


# A store's limit is its one writer: the rest of a server may use the other core, as far as the load leaves it. Beside each such measurement
# stands the same with the server on one core alone.
ONE, ALL = 0, None


def durable_unit(name, load):
    for words, core in ((name, ALL), (f"{name}, one core", ONE)):
        @unit(words)
        def measure(options, round, core=core, wants_rows=core is ALL):
            with parley(core=core) as server:
                found = kept(server, load(server, options))
                server.process.end()
                # The floor inserts these rows again.
                if wants_rows and "C rows" in round.units:
                    with servers.scratch() as folder:
                        try:
                            round.rows = loads.rows(server.file, folder / "rows.sqlite")
                        except Failed as failure:
                            round.rows = failure
            return found


def posts(path, kind, batch, connections):
    def load(server, options):
        key, headers = (f"?key={server.key}", server.page_headers) if kind == "events" else ("", ["--header", f"Authorization: Bearer {server.secret}"])
        expected = ["--expect", '"stored"'] if kind == "events" else []
        return loads.posts(server.url, server.process, path + key, kind, batch, connections, *headers, *expected, seconds=options.seconds)
    return load


def frames(*more):
    def load(server, options):
        return loads.frames(server.url, server.process, f"/v1/socket?key={server.key}", *server.page_headers, *more, seconds=options.seconds)
    return load


durable_unit("parley ws", lambda server, options: frames("--in-flight", options.in_flight)(server, options))
durable_unit("parley http 1", posts("/v1/events", "events", 1, 64))
durable_unit("parley http 100", posts("/v1/events", "events", 100, 8))
durable_unit("parley otlp 100", posts("/v1/traces", "otlp", 100, 8))


@unit("C rows")
def c_rows(options, round):
    if isinstance(round.rows, Failed):
        raise round.rows
    return round.rows


def receiver_unit(kind, batch, connections):
    @unit(f"{kind.name} {batch}")
    def measure(options, round):
        with servers.receiver(kind) as receiver:
            found = loads.otlp_to(receiver, batch, connections, options.seconds)
            receiver.process.end()
            spans, size = found.pop("base")
            return found | {"bytesPerEvent": (receiver.file_bytes() - size) / (receiver.readable() - spans)}


for kind in (MLflow, Phoenix):
    receiver_unit(kind, 1, 64)
    receiver_unit(kind, 100, 8)


@unit("parley ack")
def parley_ack(options, round):
    most = round.known("ws-durable", "parley ws", "rate")
    if not most:
        raise Skipped("needs the row ws-durable first, for its rate")
    rate = most / 2
    with parley(core=ALL) as server:
        found = kept(server, frames("--in-flight", 4, "--rate", f"{rate:.0f}")(server, options))
    return found | {"asked": rate, "commit": round.known("ws-durable", "C rows", "commit", "p50")}


# ----------------------------------------------------------------------------------------------------------- discarded

@unit("parley ws discard")
def parley_ws_discard(options, round):
    with servers.discarding() as server:
        found = loads.frames(server.url, server.process, f"/v1/socket?key={server.key}", *server.page_headers, "--in-flight", options.in_flight,
                             seconds=options.seconds)
        if found["named"]:
            raise Failed(f"{found['named']} events were refused: {found['remark']}")
        return found | {"level": "accepted"}


@unit("stock ws")
def stock_ws(options, round):
    with servers.stock() as (url, process):
        return loads.frames(url, process, "/", "--in-flight", options.in_flight, seconds=options.seconds) | {"level": "accepted"}


@unit("parley http discard")
def parley_http_discard(options, round):
    with servers.discarding() as server:
        return loads.posts(server.url, server.process, f"/v1/events?key={server.key}", "events", 1, 64, *server.page_headers,
                           "--expect", '"stored"', seconds=options.seconds) | {"level": "accepted"}


@unit("nginx")
def nginx(options, round):
    with servers.nginx() as (url, process):
        return loads.posts(url, process, "/v1/events", "events", 1, 64, seconds=options.seconds) | {"level": "accepted"}


@unit("stock http")
def stock_http(options, round):
    with servers.stock(servers.STOCK_HTTP) as (url, process):
        return loads.posts(url, process, "/v1/events", "events", 1, 64, seconds=options.seconds) | {"level": "accepted"}


# ------------------------------------------------------------------------------------------------------------- sockets

def held(url, process, path, headers, count):
    """Resident bytes a socket, with the sockets open and at rest."""
    time.sleep(1)
    before = process.resident_bytes()
    holder = subprocess.Popen(pinned([loads.FRAMES, "--hold", "--url", url, "--path", path, "--connections", count, "--touch", 1, *headers], LOAD_CORE),
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        report = json.loads(holder.stdout.readline() or "{}")
        if report.get("ready") != count or report["lost"]:
            raise Failed(f"{report.get('ready')} of {count} sockets were opened: {report.get('remark')}")
        time.sleep(3)
        cpu = process.cpu_seconds()
        resident = process.resident_bytes()
        time.sleep(2)
        return {"bytes": (resident - before) / count, "sockets": count, "touched": True, "connectSeconds": report["connectSeconds"],
                "idleCPUShare": (process.cpu_seconds() - cpu) / 2}
    finally:
        holder.stdin.close()
        try:
            holder.wait(20)
        except subprocess.TimeoutExpired:
            holder.kill()


# A frame on each socket first, as a page sends one, and no store whose cache would grow with it.

@unit("parley idle")
def parley_idle(options, round):
    with servers.discarding() as server:
        return held(server.url, server.process, f"/v1/socket?key={server.key}", server.page_headers, options.sockets)


@unit("stock idle")
def stock_idle(options, round):
    with servers.stock() as (url, process):
        return held(url, process, "/", [], options.sockets)


def sockets_unit(count):
    @unit(f"parley sockets {count}")
    def measure(options, round):
        # An open loop of single events, so that more sockets mean nothing but more sockets.
        with parley() as server:
            found = loads.frames(server.url, server.process, f"/v1/socket?key={server.key}", *server.page_headers, "--connections", count, "--batch", 1,
                                 "--in-flight", 60, "--rate", options.socket_rate, seconds=options.seconds)
            return kept(server, found) | {"sockets": count, "residentMB": server.process.resident_bytes() / 1e6}


SOCKET_COUNTS = (1, 10, 100, 1000, 10000)
for count in SOCKET_COUNTS:
    sockets_unit(count)


# --------------------------------------------------------------------------------------------------------------- growth

@contextlib.contextmanager
def grown(messages, options):
    """A gateway over so many seeded messages: over a copy, or for the largest over the seed itself, which a copy would take long."""
    seed = seeds.seeded(messages, options)
    if messages == options.messages:
        with parley(seed) as server:
            yield server
            if server.process.is_alive:
                server.until_caught_up(options.patience)
        return
    with servers.scratch() as folder:
        for file in seed.iterdir():
            shutil.copy(file, folder)
        with parley(folder) as server:
            yield server


def growth_unit(place):
    @unit(f"parley grown {place}")
    def measure(options, round):
        sizes = seeds.sizes(options.messages)
        if place >= len(sizes):
            raise Skipped("no such size")
        with grown(sizes[place], options) as server:
            ws = ("--transport", "ws", "--connections", 64, "--batch", 16, "--in-flight", options.in_flight)
            # What the caches hold of the file after a start is luck: 2 s that are not counted.
            loads.parley_load(server, *ws, "--no-verify", seconds=2)
            server.until_caught_up(options.patience)
            return loads.parley_load(server, *ws, seconds=options.seconds) | {"messages": sizes[place]}


def pages_unit(place):
    @unit(f"parley pages {place}")
    def measure(options, round):
        sizes = seeds.sizes(options.messages)
        if place >= len(sizes):
            raise Skipped("no such size")
        with grown(sizes[place], options) as server:
            return {"messages": sizes[place], "reads": seeds.review(server, sizes[place], options, "--skip-seed", "--rounds", options.page_rounds, "--json")}


# 10,000, 100,000, … up to 10,000,000.
for place in range(4):
    growth_unit(place)
    pages_unit(place)


# -------------------------------------------------------------------------------------------------------- disk and start

@unit("parley disk")
def parley_disk(options, round):
    with parley() as server:
        found = loads.parley_load(server, "--transport", "ws", "--connections", 64, "--batch", 16, "--in-flight", options.in_flight, events=options.disk_events)
        at_last_ack = found["cpu"]
        server.until_caught_up(options.patience)
        cpu = server.process.cpu_seconds()
        server.process.end()
        with contextlib.closing(sqlite3.connect(server.file, timeout=30)) as line:
            line.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            parts = table_bytes(line)
        size = sum(file.stat().st_size for file in server.folder.glob("parley.sqlite*"))
        return {"bytes": size / found["events"], "events": found["events"], "cpuAtAck": at_last_ack, "cpuInAll": cpu * 1e6 / found["events"], "parts": parts}


def table_bytes(line):
    """Bytes of each table and index, where SQLite was built to say."""
    try:
        return dict(line.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC LIMIT 12").fetchall())
    except sqlite3.Error:
        return {}


@unit("parley start")
def parley_start(options, round):
    with servers.scratch() as folder:
        # Twice: the first makes the file.
        for _ in range(2):
            with parley(folder) as server:
                time.sleep(3)
                found = {"seconds": server.seconds_to_ready, "residentMB": server.process.resident_bytes() / 1e6}
        return found


@unit("parley start grown")
def parley_start_grown(options, round):
    with parley(seeds.seeded(options.messages, options)) as server:
        time.sleep(3)
        return {"seconds": server.seconds_to_ready, "residentMB": server.process.resident_bytes() / 1e6, "messages": options.messages}


@unit("parley binary")
def parley_binary(options, round):
    if not shutil.which("strip"):
        raise Skipped("there is no strip")
    with servers.scratch() as folder:
        run(["strip", "-o", folder / "parley", servers.PARLEY], 120)
        return {"bytes": os.path.getsize(servers.PARLEY), "stripped": os.path.getsize(folder / "parley")}


@unit("parley build")
def parley_build(options, round):
    with servers.scratch() as folder:
        began = time.monotonic()
        run(["swift", "build", "-c", "release", "--product", "parley", "--package-path", ROOT, "--scratch-path", folder], 3600, core=None)
        return {"seconds": time.monotonic() - began, "cores": os.cpu_count()}
