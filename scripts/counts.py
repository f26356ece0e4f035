#!/usr/bin/env python3
"""Counts what a batch costs on the hot path, in instructions and allocations, and fails where it costs more than it did.

  scripts/counts.py             compares with Benchmarks/HotPath/thresholds.json
  scripts/counts.py --update    writes that file anew: for a change that is worth its cost, or after one that lowered it

Counts are Valgrind's (callgrind, dhat) and repeat, unlike times. Each is the difference of two runs of parley-hotpath, so that the
start does not count. PARLEY_HOTPATH_BIN names the program, a release build; scripts/test builds it.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
THRESHOLDS = ROOT / "Benchmarks/HotPath/thresholds.json"
PARTS = ("decode", "admit", "ack", "store")
FEW, MANY = 20, 120
EVENTS_PER_BATCH = 16
# What another compiler, libc or libsqlite3 may make of the same code, and what the same ones may.
FOREIGN, OWN = 1.25, 1.03


def run(program, part, batches, *tool):
    with tempfile.TemporaryDirectory() as folder:
        found = subprocess.run(
            ["valgrind", "--fair-sched=yes", *tool, program, part, str(batches)], cwd=folder, capture_output=True, text=True, timeout=600,
            # The order of dictionaries is chance otherwise.
            env=os.environ | {"SWIFT_DETERMINISTIC_HASHING": "1"})
    if found.returncode:
        sys.exit(f"Stopped: parley-hotpath {part} ended with {found.returncode}:\n{found.stderr[-3000:]}")
    return found.stderr


def instructions(program, part, batches):
    said = run(program, part, batches, "--tool=callgrind", "--callgrind-out-file=/dev/null")
    return int(re.search(r"Collected : (\d+)", said).group(1))


def allocations(program, part, batches):
    said = run(program, part, batches, "--tool=dhat", "--dhat-out-file=/dev/null")
    return int(re.search(r"Total:\s+[\d,]+ bytes in ([\d,]+) blocks", said).group(1).replace(",", ""))


def count(program):
    counts = {}
    for part in PARTS:
        counts[part] = {}
        for measure in (instructions, allocations):
            difference = measure(program, part, MANY) - measure(program, part, FEW)
            counts[part][measure.__name__] = round(difference / (MANY - FEW) / EVENTS_PER_BATCH, 1)
            print(f"{part:7} {measure.__name__:13} {counts[part][measure.__name__]:>10,} an event", flush=True)
    return counts


def surroundings():
    """What counts depend on besides our code."""
    swift = subprocess.run(["swift", "--version"], capture_output=True, text=True).stdout
    sqlite = subprocess.run(["dpkg-query", "-W", "-f=${Version}", "libsqlite3-0"], capture_output=True, text=True).stdout
    found = re.search(r"Swift version (\d+\.\d+)", swift)
    return {"swift": found.group(1) if found else "?", "sqlite": sqlite or "?"}


def main():
    parser = argparse.ArgumentParser(prog="scripts/counts.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true", help="write the thresholds anew")
    options = parser.parse_args()
    program = os.environ.get("PARLEY_HOTPATH_BIN") or ROOT / ".build/release/parley-hotpath"
    if not pathlib.Path(program).exists():
        sys.exit(f"Stopped: there is no {program}; build it with `swift build -c release --product parley-hotpath`.")
    with tempfile.TemporaryDirectory() as folder:
        # Valgrind gives up on debug information newer than itself.
        bare = pathlib.Path(folder, "parley-hotpath")
        subprocess.run(["strip", "-o", bare, program], check=True)
        counts, here = count(bare), surroundings()
    if options.update:
        THRESHOLDS.write_text(json.dumps({"measured with": here, "an event": counts}, indent=2) + "\n")
        return
    kept = json.loads(THRESHOLDS.read_text())
    tolerance = OWN
    if kept["measured with"] != here:
        tolerance = FOREIGN
        print(f"Note: the thresholds are of {kept['measured with']}, this is {here}; {tolerance:.0%} of them are taken.")
    failures = []
    for part, measures in kept["an event"].items():
        for measure, most in measures.items():
            found = counts[part][measure]
            if found > most * tolerance + 1:
                failures.append(f"{part}: {found:,} {measure} an event, more than the {most:,} it had.")
            elif found < most * .9 - 1 and tolerance == OWN:
                print(f"Note: {part} has {found:,} {measure} an event, less than the {most:,} kept: scripts/counts.py --update keeps that.")
    print(*failures, sep="\n")
    sys.exit(1 if failures else 0)


main()
