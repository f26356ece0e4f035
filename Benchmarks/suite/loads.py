"""Loads and what they found, each as a dictionary: `rate` in events a second, `cpu` in µs an event, `p50` and `p99` in ms, `level`."""

import contextlib
import json
import sqlite3
import time

from .processes import Failed, family, run
from .servers import BUILD, PARLEY_LOAD

POSTS, FRAMES, ROWS = (BUILD / "bin" / name for name in ("posts", "frames", "rows"))

# The tables that an event is written to before its ack. `thread` is a fold: a row that many events share, with the columns that a
# further message changes and where their values come from.
ROW_TABLES = ["event"]
FOLD_TABLE = "thread"
FOLD_KEY = "number=event.thread"
FOLD_COLUMNS = {"messages": None, "roles": None, "last_at": "at", "first_message_at": None, "first_message": None, "last_message_at": "at",
                "last_message": "id", "active_at": "at", "metadata": None, "metadata_at": None, "metadata_event": None, "person_at": None,
                "person_event": None, "provenances": None}
# Tables that follow the commits, or have a row for each minute: none of the floor's business.
LATER_TABLES = ("search", "fact", "reply", "figure", "counted", "dirty", "outcome", "sqlite_")


def parley_load(server, *options, seconds=None, events=None, size=600):
    """Native events by `parley-load`, which proves that what was acked is there, once."""
    limit = ["--events", events] if events else ["--duration", seconds]
    text = run([PARLEY_LOAD, "--url", server.url, "--key", server.key, "--secret", server.secret, "--size", size, "--pid", server.process.pid, "--json",
                *limit, *options], (seconds or 600) + 120, codes=(0, 1))
    report = json.loads(text)
    if not report["passed"] or report["connectionsLost"] or not report["acked"]:
        broken = [proof["finding"] for proof in report["proofs"] if not proof["holds"]] or report["remarks"]
        raise Failed(f"parley-load: {broken or report['verdicts']}")
    return {"rate": report["eventsPerSecond"], "cpu": report["serverCPUMicrosPerEvent"], "p50": report["ackMilliseconds"]["p50"],
            "p99": report["ackMilliseconds"]["p99"], "events": report["acked"], "late": report["late"], "residentMB": report["serverResidentPeakMB"],
            "retries": report["verdicts"].get("retry", 0), "level": "durable"}


def driven(program, process, *options, seconds):
    """One of our C drivers. It watches the server itself; around it stands the processor time of one that is several processes."""
    before = process.cpu_seconds()
    report = json.loads(run([program, "--seconds", seconds, "--pid", process.pid, *options], seconds + 90))
    cpu = process.cpu_seconds() - before if len(family(process.pid)) > 1 else report["serverCPUSeconds"]
    if not report["events"]:
        raise Failed(f"no event was answered: {report.get('firstRefusal') or report.get('remark')}")
    return report | {"rate": report["eventsPerSecond"], "cpu": cpu * 1e6 / report["events"], "cpuSeconds": cpu}


def posts(url, process, path, kind, batch, connections, *options, seconds):
    return driven(POSTS, process, "--url", url, "--path", path, "--kind", kind, "--batch", batch, "--connections", connections, *options, seconds=seconds)


def frames(url, process, path, *options, seconds):
    return driven(FRAMES, process, "--url", url, "--path", path, *options, seconds=seconds)


def otlp_to(receiver, batch, connections, seconds):
    """Spans to MLflow or Phoenix. Those count that another reader of the file finds, over the time until they were there."""
    base = receiver.readable(), receiver.file_bytes()
    # Its workers load their libraries with the first requests, and longer than the first is answered.
    receiver.process.until_quiet(60, share=.1)
    run([POSTS, "--seconds", 3, "--url", receiver.url, "--path", receiver.path, "--kind", "otlp", "--connections", 64, *receiver.headers], 90)
    receiver.process.until_quiet(60, share=.1)
    before, cpu, began = receiver.readable(), receiver.process.cpu_seconds(), time.monotonic()
    found = posts(receiver.url, receiver.process, receiver.path, "otlp", batch, connections, *receiver.headers, seconds=seconds)
    wanted, over = before + found["events"], time.monotonic() + max(10, 2 * seconds)
    # What inserts in the background has twice the time of the load to catch up.
    while (stored := receiver.readable()) < wanted and time.monotonic() < over:
        time.sleep(0.2)
    took = found["seconds"] if receiver.level == "durable" else time.monotonic() - began
    stored -= before
    if receiver.level == "durable" and stored < found["events"]:
        raise Failed(f"{receiver.name}: {found['events'] - stored} spans answered with 2xx are not in its file")
    if not stored:
        raise Failed(f"{receiver.name} has none of the spans in its file: {found['firstAnswer']}")
    return found | {"rate": stored / took, "accepted": found["rate"], "cpu": (receiver.process.cpu_seconds() - cpu) * 1e6 / stored, "stored": stored, "base": base,
                    "residentMB": receiver.process.resident_bytes() / 1e6, "level": receiver.level}


def tables(file):
    """Rows of each table, and the columns of the fold's."""
    with contextlib.closing(sqlite3.connect(file, timeout=30)) as line:
        names = [name for name, sql in line.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table'") if "VIRTUAL TABLE" not in (sql or "")]
        counts = {name: line.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names}
        return counts, [column[1] for column in line.execute(f"PRAGMA table_info({FOLD_TABLE})")]


def rows(source, target, *options):
    """The floor under `source`'s events: the same rows once more, by a C loop."""
    counts, columns = tables(source)
    unknown = [name for name, count in counts.items()
               if count > counts[ROW_TABLES[0]] / 20 + 100 and name not in ROW_TABLES + [FOLD_TABLE] and not name.startswith(LATER_TABLES)]
    if unknown:
        raise Failed(f"the tables {unknown} grow with the events and are named neither among ROW_TABLES nor LATER_TABLES (suite/loads.py)")
    changed = ",".join(f"{name}={of}" if of else name for name, of in FOLD_COLUMNS.items() if name in columns)
    names = [part for table in ROW_TABLES for part in ("--rows", table)]
    report = json.loads(run([ROWS, "--source", source, "--target", target, *names, "--fold", f"{FOLD_TABLE}:{FOLD_KEY}:{changed}", "--transaction", 256, *options],
                            300, core=0))
    return {"rate": report["eventsPerSecond"], "cpu": report["cpuMicrosPerEvent"], "p50": report["transactionMilliseconds"]["p50"],
            "p99": report["transactionMilliseconds"]["p99"], "commit": report["commitMilliseconds"], "events": report["events"], "level": "durable"}
