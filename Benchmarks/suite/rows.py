"""The rows of the table: which measurements each compares, what it aims at, and what bounds it by this run's own figures."""

import dataclasses
import statistics

from . import seeds, units


@dataclasses.dataclass
class Row:
    name: str
    title: str
    units: list
    goal: str
    # From the medians of a row: what the table says of ours and of theirs, the figure that is judged with whether it meets the goal, and what bounds it.
    ours: object
    theirs: object = lambda row: "–"
    judged: object = lambda row: ("–", None)
    bounds: object = lambda row: ""
    needs: tuple = ()
    # Rows of a group share measurements: they are taken in the same rounds.
    group: str = ""
    # Rounds that are worth it; 0 for as many as asked.
    rounds: int = 0
    is_usual: bool = True


class Measured:
    """What the rounds of a row have found."""

    def __init__(self, row, rounds):
        self.row, self.rounds = row, rounds

    def all(self, unit, *path):
        found = []
        for round in self.rounds:
            value = round.get(unit)
            for key in path:
                value = value.get(key) if isinstance(value, dict) else None
            if isinstance(value, (int, float)):
                found.append(value)
        return found

    def median(self, unit, *path):
        found = self.all(unit, *path)
        return statistics.median(found) if found else None

    def ratio(self, one, other, *path):
        """The median of the ratios within the rounds."""
        found = []
        for round in self.rounds:
            pair = [Measured(self.row, [round]).median(unit, *path) for unit in (one, other)]
            if None not in pair and pair[1]:
                found.append(pair[0] / pair[1])
        return statistics.median(found) if found else None

    def has(self, *names):
        return all(self.median(name, "rate") is not None for name in names)


# ---------------------------------------------------------------------------------------------------------------- words

def number(value, digits=3):
    """So many digits that count, with commas between thousands."""
    if value is None:
        return "–"
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def load(row, unit, what=None):
    """A measurement in words: rate, processor time, latency, and what is promised."""
    if row.median(unit, "rate") is None:
        return "not measured"
    level = what or next(found[unit].get("level", "") for found in row.rounds if unit in found)
    return (f"{number(row.median(unit, 'rate'))}/s {level}, {number(row.median(unit, 'cpu'))} µs CPU, "
            f"p50 {number(row.median(unit, 'p50'))} ms, p99 {number(row.median(unit, 'p99'))} ms")


def ours_durable(unit):
    """With all cores, and with one."""
    def ours(row):
        one = f"{unit}, one core"
        return load(row, unit) + ("" if row.median(one, "rate") is None else f"; on one core {load(row, one)}")
    return ours


def times(value):
    return "–" if value is None else f"{value:,.0f} ×" if value >= 10 else f"{value:.2f}"


def at_least(goal, value):
    return times(value), None if value is None else value >= goal


def both(row, one, other):
    """The ratio of rates and that of processor time, which a full generator or a noisy neighbour moves less."""
    rate, cpu = row.ratio(one, other, "rate"), row.ratio(other, one, "cpu")
    return rate, cpu


# ----------------------------------------------------------------------------------------------------------------- rows

def durable_judged(row):
    rate, cpu = both(row, "parley ws", "C rows")
    one = row.ratio("parley ws, one core", "C rows", "rate")
    return f"{times(rate)} (one core {times(one)}, CPU {times(cpu)})", None if rate is None else rate >= .70


def durable_bounds(row):
    ours, floor = row.median("parley ws", "cpu"), row.median("C rows", "cpu")
    if not ours or not floor:
        return ""
    return (f"Of {number(ours)} µs an event, {number(floor)} are what SQLite itself takes to insert its rows and indexes in C ({floor / ours:.0%}). The others: "
            "reading and admitting (the row with the sink that discards), looking up the thread and what waits for the event, and search and facts, "
            "which get a tenth of the time at least.")


def ack_bounds(row):
    return ("The disk, while a checkpoint runs beside the commits: it writes and syncs what the WAL has, and the commits of that moment wait for the same disk. "
            "Single commits: " + f"{number(row.median('parley ack', 'commit'))} ms." if row.has("parley ack") else "")


def request_bounds(unit, per):
    def bounds(row):
        cpu = row.median(unit, "cpu")
        return "" if cpu is None else f"The processor: {number(cpu * per)} µs a request of {per}, the commit among them, which is shared by all that arrive within it."
    return bounds


def receivers(row, batch):
    found = []
    for name in ("mlflow", "phoenix"):
        unit = f"{name} {batch}"
        if row.median(unit, "rate") is None:
            found.append(f"{name}: not measured")
            continue
        accepted = f" ({number(row.median(unit, 'accepted'))}/s accepted)" if name == "phoenix" else ""
        found.append(f"{name}: {load(row, unit)}{accepted}, {number(row.median(unit, 'residentMB'))} MB")
    return "; ".join(found)


def better(row, ours, batch, goal):
    """Against the faster one, round by round; both must have been measured."""
    ratios = [row.ratio(ours, f"{name} {batch}", "rate") for name in ("mlflow", "phoenix")]
    if None in ratios:
        known = [ratio for ratio in ratios if ratio is not None]
        return (times(min(known)) + " to one of them" if known else "–"), None
    return at_least(goal, min(ratios))


def discard_judged(ours, theirs, goal):
    def judged(row):
        rate, cpu = both(row, ours, theirs)
        if rate is None:
            return "–", None
        # The lower one: where the generator is the limit, rates are alike whatever they cost.
        return f"{times(rate)} (CPU {times(cpu)})", min(rate, cpu) >= goal
    return judged


def discard_bounds(ours, theirs):
    def bounds(row):
        mine, their = row.median(ours, "cpu"), row.median(theirs, "cpu")
        if not mine or not their:
            return ""
        generator = row.median(ours, "generatorCPUMicrosPerEvent")
        return (f"{number(mine - their)} µs an event are parsing, admission and verdicts, beyond the {number(their)} of a stock handler of NIO's. "
                f"The generator itself takes {number(generator)} µs.")
    return bounds


def ack_judged(row):
    p99, commit = row.median("parley ack", "p99"), row.median("parley ack", "commit")
    if p99 is None:
        return "–", None
    # A slower disk makes both slower.
    most = 10 * max(1, (commit or 0) / .2)
    return f"p99 {number(p99)} of {number(most)} ms", p99 <= most


def ack_ours(row):
    if not row.has("parley ack"):
        return "not measured"
    late = row.median("parley ack", "late")
    return f"{load(row, 'parley ack')}, asked for {number(row.median('parley ack', 'asked'))}/s" + (f", {number(late)} events sent late" if late else "")


def idle_judged(row):
    ours, ratio = row.median("parley idle", "bytes"), row.ratio("parley idle", "stock idle", "bytes")
    return times(ratio), None if ratio is None else ratio <= 1.5 and ours <= 10 * 1024


def kilobytes(value):
    return "not measured" if value is None else f"{value / 1024:.1f} KB"


def held(row, unit):
    count = row.median(unit, "sockets")
    touched = any(found.get(unit, {}).get("touched") for found in row.rounds)
    return "not measured" if count is None else (f"{kilobytes(row.median(unit, 'bytes'))} a socket, {number(count)} of them, "
                                                 f"{'after a frame each' if touched else 'after their hello'}, {row.median(unit, 'idleCPUShare'):.1%} of a core")


def sockets_ours(row):
    found = [f"{number(count)}: {number(row.median(f'parley sockets {count}', 'cpu'))} µs, p99 {number(row.median(f'parley sockets {count}', 'p99'))} ms"
             for count in units.SOCKET_COUNTS if row.has(f"parley sockets {count}")]
    return "; ".join(found) or "not measured"


def growth(options):
    sizes = seeds.sizes(options.messages)
    first, last = "parley grown 0", f"parley grown {len(sizes) - 1}"
    low, high = "parley pages 0", f"parley pages {len(sizes) - 1}"

    def reads(row, unit, names=None, without=()):
        """The slowest p99 of some reads, with its name."""
        found = {}
        for round in row.rounds:
            for read in (round.get(unit) or {}).get("reads", []):
                if (names is None or read["read"].startswith(names)) and read["read"] not in without:
                    found.setdefault(read["read"], []).append(read["p99"])
        found = {name: statistics.median(values) for name, values in found.items()}
        return max(found.items(), key=lambda item: item[1]) if found else (None, None)

    def pages(row, unit):
        parts = []
        for label, names in (("list", ("list",)), ("conversation", ("conversation",)), ("search", ("words",))):
            name, p99 = reads(row, unit, names)
            parts.append(f"{label} {number(p99)} ms" + (f" (slowest: {name})" if label == "search" and name else ""))
        name, p99 = reads(row, unit, None, ("list", "conversation"))
        return "p99: " + ", ".join(parts) + (f"; slowest of all {number(p99)} ms ({name})" if name else "")

    def pages_judged(row):
        found = [reads(row, high, names)[1] for names in (("list",), ("conversation",), ("words",))]
        if None in found:
            return "–", None
        return ", ".join(f"{number(p99)} ms" for p99 in found), found[0] <= 20 and found[1] <= 20 and found[2] <= 100

    return [
        # First those that add nothing.
        Row("pages", f"list, conversation, search with {sizes[-1]:,} messages, whole request over loopback", [f"parley pages {place}" for place in range(len(sizes))],
            "p99 ≤ 20, 20, 100 ms", ours=lambda row: pages(row, high), theirs=lambda row: f"with {sizes[0]:,}: {pages(row, low)}",
            judged=pages_judged, needs=("seed",), rounds=1),
        Row("start", f"start to ready, empty and with {sizes[-1]:,} messages; memory 3 s later", ["parley start", "parley start grown"], "≤ 0.2 s, ≤ 0.5 s; ≤ 60 MB",
            ours=lambda row: ", ".join(f"{number(row.median(unit, 'seconds'))} s ({number(row.median(unit, 'residentMB'))} MB)"
                                       for unit in ("parley start", "parley start grown") if row.median(unit, "seconds") is not None) or "not measured",
            judged=start_judged, needs=("seed",)),
        Row("growth", f"ingest with {sizes[-1]:,} messages stored", [f"parley grown {place}" for place in range(len(sizes))], "≥ 0.80 × the smallest",
            ours=lambda row: load(row, last), theirs=lambda row: f"with {sizes[0]:,}: {load(row, first)}",
            judged=lambda row: at_least(.80, row.ratio(last, first, "rate")), needs=("seed",),
            bounds=lambda row: "" if not row.has(first, last) else f"An event costs {row.median(last, 'cpu') / row.median(first, 'cpu'):.2f} × the CPU."),
    ]


def start_judged(row):
    empty, full, memory = row.median("parley start", "seconds"), row.median("parley start grown", "seconds"), row.median("parley start", "residentMB")
    if empty is None or full is None:
        return "–", None
    return "–", empty <= .2 and full <= .5 and memory <= 60


def disk_ours(row):
    if row.median("parley disk", "bytes") is None:
        return "not measured"
    return (f"{kilobytes(row.median('parley disk', 'bytes'))} a message of {number(row.median('parley disk', 'events'))}; "
            f"{number(row.median('parley disk', 'cpuAtAck'))} µs CPU until the ack, {number(row.median('parley disk', 'cpuInAll'))} with search and facts")


def disk_judged(row):
    size = row.median("parley disk", "bytes")
    return "–" if size is None else kilobytes(size), None if size is None else size <= 1024


def disk_bounds(row):
    parts = next((found["parley disk"]["parts"] for found in row.rounds if found.get("parley disk", {}).get("parts")), {})
    events = row.median("parley disk", "events")
    return "" if not parts else "Bytes a message: " + ", ".join(f"{name} {size / events:.0f}" for name, size in list(parts.items())[:6]) + "."


def binary_ours(row):
    size = row.median("parley binary", "bytes")
    return "not measured" if size is None else f"{size / 1e6:.1f} MB, stripped {row.median('parley binary', 'stripped') / 1e6:.1f} MB"


def all_rows(options):
    return [
        Row("ws-durable", f"WebSocket, 64 connections, 16 events a batch, {options.in_flight} batches out, 600 B", ["parley ws", "parley ws, one core", "C rows"], "≥ 0.70 × the C loop",
            ours=ours_durable("parley ws"), theirs=lambda row: "C, 256 events a transaction: " + load(row, "C rows"),
            judged=durable_judged, bounds=durable_bounds, group="ws"),
        Row("ack", "ack at half of the durable maximum, 64 connections", ["parley ack"], "p99 ≤ 10 ms where a commit takes 0.2 ms",
            ours=ack_ours, theirs=lambda row: f"one row's commit: p50 {number(row.median('parley ack', 'commit'))} ms", judged=ack_judged,
            bounds=ack_bounds),
        Row("http-1-durable", "HTTP, one event a request, 64 connections", ["parley http 1", "parley http 1, one core", "mlflow 1", "phoenix 1"], "≥ 150 × the better one",
            ours=ours_durable("parley http 1"), theirs=lambda row: "OTLP, " + receivers(row, 1),
            judged=lambda row: better(row, "parley http 1", 1, 150), bounds=request_bounds("parley http 1", 1), needs=("mlflow", "phoenix")),
        Row("http-100-durable", "HTTP, 100 events a request, 8 connections", ["parley http 100", "parley http 100, one core", "mlflow 100", "phoenix 100"], "≥ 40 × the better one",
            ours=ours_durable("parley http 100"), theirs=lambda row: "OTLP, " + receivers(row, 100),
            judged=lambda row: better(row, "parley http 100", 100, 40), bounds=request_bounds("parley http 100", 100), needs=("mlflow", "phoenix"), group="batches"),
        Row("otlp-100-durable", "OTLP door, 100 spans a request, 8 connections", ["parley otlp 100", "parley otlp 100, one core", "mlflow 100", "phoenix 100"], "≥ 20 × the better one",
            ours=ours_durable("parley otlp 100"), theirs=lambda row: "the same requests: " + receivers(row, 100),
            judged=lambda row: better(row, "parley otlp 100", 100, 20), bounds=request_bounds("parley otlp 100", 100), needs=("mlflow", "phoenix"), group="batches"),
        Row("ws-discard", f"WebSocket into a sink that discards, 64 connections, 16 events a batch, {options.in_flight} out", ["parley ws discard", "stock ws"], "≥ 0.6 × NIOWebSocket",
            ours=lambda row: load(row, "parley ws discard"), theirs=lambda row: "a NIOWebSocket handler that unmasks, counts and acks: " + load(row, "stock ws"),
            judged=discard_judged("parley ws discard", "stock ws", .6), bounds=discard_bounds("parley ws discard", "stock ws"), needs=("transport",)),
        Row("http-discard", "HTTP into a sink that discards, one event a request, 64 connections", ["parley http discard", "stock http", "nginx"],
            "≥ 0.4 × nginx", ours=lambda row: load(row, "parley http discard"),
            theirs=lambda row: "nginx, 204: " + load(row, "nginx") + "; a stock NIOHTTP1 handler, 204: " + load(row, "stock http"),
            judged=discard_judged("parley http discard", "nginx", .4), bounds=discard_bounds("parley http discard", "stock http"), needs=("nginx", "transport")),
        Row("idle", "idle sockets, resident memory", ["parley idle", "stock idle"], "≤ 1.5 × NIOWebSocket, ≤ 10 KB",
            ours=lambda row: held(row, "parley idle"), theirs=lambda row: "a stock NIOWebSocket handler: " + held(row, "stock idle"), judged=idle_judged,
            needs=("transport",)),
        Row("sockets", f"CPU an event and ack p99 at {options.socket_rate:,.0f} single events a second over so many sockets",
            [f"parley sockets {count}" for count in units.SOCKET_COUNTS], "reported", ours=sockets_ours, rounds=1),
        Row("disk", "bytes on disk a 600-byte message, all indexes, search caught up", ["parley disk"], "≤ 1.0 KB",
            ours=disk_ours, theirs=lambda row: "",
            judged=disk_judged, bounds=disk_bounds, rounds=1),
        *growth(options),
        Row("binary", "binary", ["parley binary"], "reported", ours=binary_ours, rounds=1),
        Row("build", "clean release build", ["parley build"], "reported", rounds=1, is_usual=False,
            ours=lambda row: "not measured" if row.median("parley build", "seconds") is None
            else f"{number(row.median('parley build', 'seconds'))} s on {number(row.median('parley build', 'cores'))} cores"),
    ]
