#!/usr/bin/env python3
"""Measures Parley over each store and stream beside the raw engine doing the same writes, in the same run. To be started by `scripts/bench --scale`.

    scripts/bench --scale                                         all rows, three rounds of 10 s each
    scripts/bench --scale --rows postgresql --rounds 1 --seconds 2

Each round takes the rows of a group one after the other: the raw engine, one gateway, two gateways, and the next round the other way round.
Each measurement has servers of its own, all in one file system, that end with it. Prints a table in Markdown; the figures of each round go to
.build/bench/scale.json, the table to scale.md beside it, from where `scripts/bench --table --write` takes it.
"""

import argparse
import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = map(str, (ROOT / "Benchmarks", ROOT / "Tests", ROOT / "Tests/Scale"))
from suite import loads, servers, table  # noqa: E402
from suite.processes import LOAD_CORE, Failed, Process, run  # noqa: E402
from suite.servers import BUILD, PARLEY, answers, free_port  # noqa: E402
import requests  # noqa: E402
import servers as engines  # noqa: E402, of Tests/Scale

TMP = BUILD / "tmp"
PUBLISH = BUILD / "bin" / "publish"
# What comes: as in the rows of scripts/bench, 64 sockets with batches of 16 events of 600 bytes, two batches out at once on each, or four
# where they leave on a schedule.
CONNECTIONS, BATCH = 64, 16
CLOSED, OPEN = 2, 4
DRAINS = 2
# As many connections as a gateway writes to PostgreSQL with (PostgresStore.Configuration.maximumWriters).
WRITERS = 4
# Bytes that a message of the stream takes beside its payload: subject, headers, and the record's own.
MESSAGE_FRAME = 150
GIGABYTES = 2  # of the stream, well below the 4 that the servers of Tests/Scale give: messages that are set aside have some, too


def show(text):
    print(text, file=sys.stderr, flush=True)


# -------------------------------------------------------------------------------------------------------------- servers

@contextlib.contextmanager
def postgres():
    """A PostgreSQL of its own, whose commits are on disk when they are answered."""
    reachable_by_nobody()
    server = engines.Postgres()
    try:
        server.start()
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            if server.ask("postgres", f"SHOW {setting}") != "on":
                raise Failed(f"PostgreSQL's {setting} is not on")
        yield server
    finally:
        server.discard()


def reachable_by_nobody():
    """PostgreSQL runs as another user where this is root, and needs a way to its folder."""
    closed = [str(folder) for folder in TMP.resolve().parents if os.geteuid() == 0 and not folder.stat().st_mode & 0o001]
    if closed:
        raise Failed(f"PostgreSQL does not run as root, and other users can't enter {', '.join(closed)}")


@contextlib.contextmanager
def brokers(count, options):
    server = engines.Nats(count)
    try:
        for number in range(count if options.sync_always else 0):
            file = pathlib.Path(server.folder, f"{number}.conf")
            file.write_text(file.read_text().replace("jetstream {", "jetstream { sync_interval: always,", 1))
        yield server.start()
    finally:
        server.discard()


class Node:
    """A gateway or a drain."""

    def __init__(self, folder, word, environment):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        self.environment = environment
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        room = ["--maximum-connections", "12000", "--connections-per-address", "12000"] if word == "serve" else []
        self.command = [PARLEY, word, "--listen", f"127.0.0.1:{self.port}", "--data", self.folder, "--log-level", "warning", *room]
        self.process = None

    def start(self):
        self.process = Process(self.command, self.folder, None, env=self.environment)

    def ready(self):
        self.process.until(lambda: answers(self.port), 120)

    def figures(self):
        return figures(self.url)


def figures(url):
    """What /metrics shows, by name with labels."""
    lines = requests.get(url + "/metrics", timeout=10).text.splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line and not line.startswith("#"))}


def events_a_commit(events, *urls):
    commits = sum(figures(url)["parley_commit_seconds_count"] for url in urls)
    return events / commits if commits else None


class Site:
    """Gateways over one PostgreSQL, with a stream and drains between them or without."""

    def __init__(self, folder, gateways, database, stream):
        self.database, self.stream, self.acked = database, stream, 0
        environment = {"PARLEY_STORE": database.database("bench"), "PARLEY_SEALING_KEY": secrets.token_hex(32)}
        if stream:
            environment |= {"PARLEY_STREAM": ",".join(stream.addresses), "PARLEY_STREAM_REPLICAS": str(len(stream.ports)),
                            "PARLEY_STREAM_GIGABYTES": str(GIGABYTES)}
        self.gateways = [Node(folder / f"gateway-{number}", "serve", environment) for number in range(gateways)]
        self.drains = [Node(folder / f"drain-{number}", "drain", environment) for number in range(DRAINS if stream else 0)]
        keys = json.loads(run([PARLEY, "project", "create", "bench", "--origin", "http://127.0.0.1:*", "--no-quotas", "--data", self.gateways[0].folder,
                               "--json"], 60, env=environment))
        self.key = keys["publicKey"]

    @property
    def nodes(self):
        return [*self.gateways, *self.drains]

    def start(self):
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.ready()

    def end(self):
        """Gateways first: they answer what is under way."""
        for node in self.nodes:
            if node.process:
                node.process.end()

    def load(self, seconds, rate=None):
        """Loads all gateways at once, each with its share of the sockets. The p99 is the one of the gateway that has the longer."""
        share = CONNECTIONS // len(self.gateways)

        def one(gateway):
            pace = ["--in-flight", OPEN, "--rate", f"{rate / len(self.gateways):.1f}"] if rate else ["--in-flight", CLOSED]
            return loads.frames(gateway.url, gateway.process, f"/v1/socket?key={self.key}", "--header", f"Origin: {gateway.url}", "--connections", share,
                                "--batch", BATCH, *pace, seconds=seconds)

        began = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(len(self.gateways)) as pool:
            parts = list(pool.map(one, self.gateways))
        whole(parts)
        acked = sum(part["events"] for part in parts)
        self.acked += acked
        found = {"rate": sum(part["rate"] for part in parts), "p50": max(part["p50"] for part in parts), "p99": max(part["p99"] for part in parts),
                 "late": sum(part["late"] for part in parts), "events": acked}
        return found, began

    def drained(self):
        return sum(drain.figures().get("parley_drain_events_total", 0) for drain in self.drains)

    def until_drained(self, patience):
        over = time.monotonic() + patience
        while self.drained() < self.acked:
            if time.monotonic() > over:
                raise Failed(f"the drains had not caught up {patience} s after the load: {self.drained():,.0f} of {self.acked:,} events")
            for node in self.nodes:
                if not node.process.is_alive:
                    raise Failed(f"a node ended: {node.process.end_of_log()}")
            time.sleep(0.05)
        at = time.monotonic()
        while self.gateways[0].figures().get("parley_stream_behind_messages", 0):
            if time.monotonic() > over:
                raise Failed(f"all is drained and the stream's lag is not 0 after {patience} s")
            time.sleep(0.05)
        # A message that came twice counts twice at a drain; the rest of the others may take a moment more.
        while self.stored() < self.acked and time.monotonic() < over:
            at = time.monotonic()
            time.sleep(0.2)
        return at

    def kept_by_stream(self):
        """How many messages and bytes the stream holds, drained ones among them."""
        streams = [detail for account in self.stream.look(0, "/jsz?streams=true")["account_details"] for detail in account["stream_detail"]]
        return next(detail["state"] for detail in streams if detail["name"] == "PARLEY")

    def stored(self):
        return int(self.database.ask("bench", "SELECT count(*) FROM event"))

    def check(self):
        """Everything that was acked is in the store, and nothing else."""
        stored = self.stored()
        if stored != self.acked:
            raise Failed(f"{self.acked:,} events were acked, and {stored:,} are in the store")
        for node in self.drains:
            seen = node.figures()
            if seen.get("parley_drain_parked_total") or seen.get("parley_drain_set_aside_total"):
                raise Failed("a drain has set messages aside")


def whole(parts):
    for part in parts:
        if part["named"] or part["lost"]:
            raise Failed(f"not all was stored: {part['named']} events and {part['lost']} sockets were refused: {part['remark']}")


@contextlib.contextmanager
def site(gateways, replicas, options):
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(servers.scratch())
        database = stack.enter_context(postgres())
        stream = stack.enter_context(brokers(replicas, options)) if replicas else None
        here = Site(folder, gateways, database, stream)
        stack.callback(here.end)
        here.start()
        yield here


# --------------------------------------------------------------------------------------------------------- measurements

def halved(most, at_half):
    """The most there is, and acks at half of it: with a stream, of what drains keep up with."""
    found = most()
    rate = min(found["rate"], found.get("drained", found["rate"])) / 2
    half = at_half(rate)
    return found | {"asked": rate, "p99AtHalf": half["p99"], "p50AtHalf": half["p50"], "half": half}


def parley(gateways, replicas):
    def measure(options, round):
        def load(rate=None):
            with site(gateways, replicas, options) as here:
                found, began = here.load(options.seconds, rate)
                if replicas:
                    behind = time.monotonic()
                    at = here.until_drained(options.patience)
                    found |= {"drained": here.acked / (at - began), "behindSeconds": max(0, at - behind),
                              "eventsAMessage": here.acked / here.kept_by_stream()["messages"]}
                here.check()
                # With a stream the drains commit, and their commits are not counted.
                return found | {"eventsACommit": None if replicas else events_a_commit(here.acked, *(gateway.url for gateway in here.gateways))}
        return halved(load, load)
    return measure


def parley_sqlite(options, round):
    def load(rate=None):
        with servers.parley(core=None) as server:
            pace = ("--in-flight", OPEN, "--rate", f"{rate:.1f}") if rate else ("--in-flight", CLOSED)
            found = loads.frames(server.url, server.process, f"/v1/socket?key={server.key}", *server.page_headers, "--connections", CONNECTIONS, "--batch", BATCH,
                                 *pace, seconds=options.seconds)
            whole([found])
            found["eventsACommit"] = events_a_commit(found["events"], server.url)
            server.process.end()
            if (stored := server.readable()) != found["events"]:
                raise Failed(f"{found['events']:,} events were acked, and {stored:,} are in the file")
            if not rate:
                # The C loop inserts these rows again.
                with servers.scratch() as folder:
                    try:
                        floor = loads.rows(server.file, folder / "most.sqlite")
                        half = loads.rows(server.file, folder / "half.sqlite", "--rate", f"{floor['rate'] / 2:.1f}")
                        round["raw sqlite"] = floor | {"asked": floor["rate"] / 2, "p99AtHalf": half["p99"], "p50AtHalf": half["p50"], "eventsACommit": 256}
                    except Failed as failure:
                        round["raw sqlite"] = failure
            return found
    return halved(load, load)


def raw_sqlite(options, round):
    found = round.get("raw sqlite") or Failed("the gateway wrote no rows to insert again")
    if isinstance(found, Failed):
        raise found
    return found


class Sample:
    """What a gateway writes, for the raw engines to write the same: a table like its `event` with some rows, and the size of a message."""

    def __init__(self, options):
        show("looking at what a gateway writes")
        with site(1, 0, options) as here:
            here.load(min(options.seconds, 3))
            here.check()
            self.transaction = options.transaction or round(events_a_commit(here.acked, here.gateways[0].url))
        show(f"  {self.transaction} events a transaction")
        with site(1, 1, options) as here:
            # As many events as a raw transaction takes, and some more.
            while here.acked < 2 * self.transaction:
                here.load(1)
            here.until_drained(options.patience)
            here.check()
            state = here.kept_by_stream()
            self.events = here.acked / state["messages"]
            self.bytes = max(8, round(state["bytes"] / state["messages"]) - MESSAGE_FRAME)
            ask = here.database.ask
            ask("bench", "CREATE TABLE raw_event (LIKE event INCLUDING ALL)")
            ask("bench", f"CREATE TABLE raw_sample AS SELECT * FROM event WHERE type = 'message' LIMIT {self.transaction}")
            columns = ask("bench", "SELECT string_agg(quote_ident(attname), ',' ORDER BY attnum) FROM pg_attribute"
                                   " WHERE attrelid = 'raw_event'::regclass AND attnum > 0 AND NOT attisdropped").split(",")
            self.sql = here.database.run("pg_dump", "-h", "127.0.0.1", "-p", str(here.database.port), "-U", "parley", "-d", "bench", "-t", "raw_event",
                                         "-t", "raw_sample").stdout + "\nCREATE SEQUENCE public.raw_number CACHE 256;\n"
        # New rows of the same shape: only what makes them new differs, IDs that rise with time as those of clients do.
        new = {"sequence": "number", "id": "overlay(id PLACING lpad(to_hex(number), 8, '0') FROM 1 FOR 8)"}
        self.script = (f"INSERT INTO raw_event ({', '.join(columns)}) SELECT {', '.join(new.get(name, name) for name in columns)}"
                       " FROM (SELECT *, nextval('raw_number') AS number FROM raw_sample) AS sample;\n")


def raw_postgres(options, round):
    sample = options.sample

    def load(rate=None):
        with postgres() as server, servers.scratch() as folder:
            server.database("bench")
            schema = pathlib.Path(server.folder, "raw.sql")
            schema.write_text(sample.sql)
            schema.chmod(0o644)
            server.run("psql", "-h", "127.0.0.1", "-p", str(server.port), "-U", "parley", "-d", "bench", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(schema))
            (folder / "script.sql").write_text(sample.script)
            pace = ["--rate", f"{rate / sample.transaction:.3f}"] if rate else []
            text = run([engines.programs() / "pgbench", "-h", "127.0.0.1", "-p", server.port, "-U", "parley", "-n", "-M", "prepared", "-c", WRITERS, "-j", 1,
                        "-T", max(1, round_up(options.seconds)), "-f", folder / "script.sql", "-l", "--log-prefix", folder / "log", *pace, "bench"],
                       options.seconds + 120, core=LOAD_CORE)
            transactions = int(re.search(r"transactions actually processed: (\d+)", text)[1])
            # Its third column: µs since the transaction was due, or began.
            waits = sorted(int(line.split()[2]) / 1000 for file in folder.glob("log*") for line in file.read_text().splitlines())
            stored = int(server.ask("bench", "SELECT count(*) FROM raw_event"))
            if not waits or stored != transactions * sample.transaction:
                raise Failed(f"pgbench made {transactions} transactions of {sample.transaction} rows, and {stored:,} rows are there")
            return {"rate": float(re.search(r"tps = ([\d.]+)", text)[1]) * sample.transaction, "p50": quantile(waits, .5), "p99": quantile(waits, .99),
                    "events": stored, "eventsACommit": sample.transaction}
    return halved(load, load)


def round_up(seconds):
    return -int(-seconds // 1)


def quantile(values, share):
    return values[min(len(values) - 1, int(len(values) * share))]


def raw_stream(replicas):
    def measure(options, round):
        sample = options.sample

        def load(rate=None):
            with brokers(replicas, options) as stream:
                pace = ["--rate", f"{rate / sample.events:.3f}"] if rate else ["--in-flight", CONNECTIONS * CLOSED]
                found = json.loads(run([PUBLISH, "--url", ",".join(stream.addresses), "--replicas", replicas, "--bytes", sample.bytes, "--seconds",
                                        options.seconds, *pace], options.seconds + 90))
                return found | {"rate": found["messagesPerSecond"] * sample.events, "events": round_up(found["messages"] * sample.events)}
        return halved(load, load)
    return measure


# Group: its measurements, the raw one named so. SQLite's floor inserts what the gateway has written, and comes after it.
GROUPS = {
    "sqlite": {"one gateway": parley_sqlite, "raw": raw_sqlite},
    "postgresql": {"raw": raw_postgres, "one gateway": parley(1, 0), "two gateways": parley(2, 0)},
    "stream-r1": {"raw": raw_stream(1), "one gateway": parley(1, 1), "two gateways": parley(2, 1)},
    "stream-r3": {"raw": raw_stream(3), "one gateway": parley(1, 3), "two gateways": parley(2, 3)},
}
TITLES = {
    "sqlite": ("SQLite", "C, 256 rows a transaction"),
    "postgresql": ("PostgreSQL", "pgbench, {transaction} rows a transaction, {writers} clients"),
    "stream-r1": ("JetStream, one replica", "NATS's C client, messages of {events:.0f} events"),
    "stream-r3": ("JetStream, three replicas", "NATS's C client, messages of {events:.0f} events"),
}


# ---------------------------------------------------------------------------------------------------------------- table

def median(rounds, name, key):
    found = [round[name][key] for round in rounds if isinstance(round.get(name, {}).get(key), (int, float))]
    return statistics.median(found) if found else None


def ratio(rounds, name, key):
    """The median of the ratios within the rounds."""
    found = [round[name][key] / round["raw"][key] for round in rounds if round.get(name, {}).get(key) and round.get("raw", {}).get(key)]
    return statistics.median(found) if found else None


def words(value, digits=3):
    return "–" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.{digits}g}"


def as_table(results):
    lines = ["| engine | what writes | events/s durable | to raw | drained, events/s | acks at, events/s | p99 ms | to raw | events a commit |",
             "|---|---|---|---|---|---|---|---|---|"]
    for group, rounds in results["groups"].items():
        engine, raw = TITLES[group]
        for name in sorted(GROUPS[group], key="raw one gateway two gateways".find):
            is_raw = name == "raw" and median(rounds, name, "rate") is not None
            what = raw.format(**results["conditions"]) if name == "raw" else f"Parley, {name}"
            cells = [engine, what, words(median(rounds, name, "rate")), "1" if is_raw else words(ratio(rounds, name, "rate"), 2),
                     words(median(rounds, name, "drained")), words(median(rounds, name, "asked")), words(median(rounds, name, "p99AtHalf")),
                     "1" if is_raw else words(ratio(rounds, name, "p99AtHalf"), 2), words(median(rounds, name, "eventsACommit"))]
            if failures := sorted({round["failures"][name] for round in rounds if name in round.get("failures", {})}):
                cells[1] += "; " + "; ".join(failures)
            lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def save(path, text):
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").replace(path)


# ----------------------------------------------------------------------------------------------------------------- main

def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench --scale", description=__doc__.split("\n")[0])
    parser.add_argument("--rows", default=",".join(GROUPS), help=f"only these, with commas between them, of {', '.join(GROUPS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10, help="of each load (default 10)")
    parser.add_argument("--transaction", type=int, help="rows of a transaction of pgbench (default: as many as a gateway commits at once, looked at before)")
    parser.add_argument("--patience", type=int, default=300, help="seconds that drains may take to catch up after a load (default 300)")
    parser.add_argument("--sync-always", action="store_true", help="have NATS's servers sync each message, instead of every two minutes")
    parser.add_argument("--json", type=pathlib.Path, default=BUILD / "scale.json", help="where the figures go (default .build/bench/scale.json)")
    options = parser.parse_args()
    options.rows = options.rows.split(",")
    if wrong := set(options.rows) - set(GROUPS):
        parser.error(f"there is no row {', '.join(sorted(wrong))}; there are {', '.join(GROUPS)}.")
    if min(options.rounds, options.seconds, options.transaction or 1, options.patience) <= 0:
        parser.error("numbers must be more than 0.")
    return options


def measure_round(group, number, options):
    found, shared = {}, {}
    names = list(GROUPS[group])
    # Who is first meets a quieter machine or a colder one; they take turns, but for the floor that needs the gateway's rows.
    for name in names if number % 2 == 0 or group == "sqlite" else names[::-1]:
        show(f"  {name}")
        began = time.monotonic()
        try:
            value = found[name] = GROUPS[group][name](options, shared)
            brief = ", ".join(f"{key} {words(value[key])}" for key in ("rate", "drained", "behindSeconds", "asked", "p99AtHalf") if value.get(key) is not None)
            show(f"    {brief}   ({time.monotonic() - began:.0f} s)")
        except (Failed, AssertionError, OSError, ValueError, KeyError, TypeError, subprocess.SubprocessError, requests.RequestException) as failure:
            show(f"    FAILED: {failure}")
            found.setdefault("failures", {})[name] = f"failed: {failure}"
    return found


def main():
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    TMP.mkdir(parents=True, exist_ok=True)
    # Gateways are configured by what is here alone.
    for name in [name for name in os.environ if name.startswith("PARLEY_") and not name.endswith("_BIN")]:
        del os.environ[name]
    # All servers' folders: on the disk that the build is on, as SQLite's are.
    tempfile.tempdir = str(TMP)
    try:
        options.sample = Sample(options) if options.rows != ["sqlite"] else None
    except (Failed, AssertionError) as failure:
        sys.exit(f"what a gateway writes can't be looked at: {failure}")
    results = {"machine": table.machine(), "at": int(time.time()), "groups": {group: [] for group in GROUPS if group in options.rows},
               "conditions": {"seconds": options.seconds, "transaction": options.sample and options.sample.transaction, "writers": WRITERS,
                              "syncAlways": options.sync_always, "events": options.sample.events if options.sample else BATCH,
                              "messageBytes": options.sample and options.sample.bytes}}
    for number in range(options.rounds):
        for group, rounds in results["groups"].items():
            show(f"{group}: round {number + 1}")
            rounds.append(measure_round(group, number, options))
            # Kept as it comes: a run that is broken off has its first rounds.
            options.json.parent.mkdir(parents=True, exist_ok=True)
            save(options.json, json.dumps(results, indent=1))
            took = f"Rounds: {number + 1}, of {options.seconds:g} s a load, into databases that are empty before each.\n\n"
            save(options.json.with_suffix(".md"), took + as_table(results))
    print(as_table(results), end="")
    return 1 if any("failures" in round for rounds in results["groups"].values() for round in rounds) else 0


if __name__ == "__main__":
    sys.exit(main())
