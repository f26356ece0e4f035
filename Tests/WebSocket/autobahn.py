#!/usr/bin/env python3
"""Runs Autobahn|Testsuite, several hundred cases on RFC 6455 and RFC 7692, against a WebSocket server that echoes.

  Tests/WebSocket/autobahn.py --url ws://127.0.0.1:PORT/ --environment FOLDER

  --url ADDRESS          a server that sends back each message as it came
  --environment FOLDER   where the suite is installed, once; made where it is missing
  --quick                leaves out 9.*, the large messages
  --deflate              with 12.* and 13.*, compression, which the server then has to agree to; takes long
  --seconds N            how long it may take as a whole

The suite is a program for Python 2.7. One is sought on the PATH and among pyenv's versions; where none runs, this says so and
ends well, since test_frames.py holds the gateway to the same clauses. Each case that fails without standing in EXPLAINED ends it
with 1. So does a case in EXPLAINED that fails no more, and a run of other cases than were asked for.
"""

import argparse
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse

# Cases that may fail, and why.
EXPLAINED = {}

HERE = pathlib.Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements-autobahn.txt"
AGENT = "parley"
# 12.* and 13.* are on permessage-deflate; a server without it answers each with "unimplemented".
COMPRESSION = ["12.*", "13.*"]
LARGE = ["9.*"]
GOOD = {"OK", "NON-STRICT", "INFORMATIONAL"}
WSTEST = 'import sys; sys.argv = ["wstest", "-m", "fuzzingclient", "-s", "spec.json"]; from autobahntestsuite.wstest import run; run()'


def say(text):
    print(text, flush=True)


def stop(why):
    sys.exit(f"Stopped: {why}")


def candidates():
    """Where a Python 2.7 may be."""
    for name in ("python2.7", "python2"):
        if found := shutil.which(name):
            yield pathlib.Path(found)
    pyenv = pathlib.Path(os.environ.get("PYENV_ROOT") or pathlib.Path.home() / ".pyenv")
    yield from sorted(pyenv.glob("versions/*2.7*/bin/python2.7"), reverse=True)


def python27():
    """A Python 2.7 that runs and has pip, and what was wrong with the others. pyenv's shims are there also where no such version is chosen."""
    complaints = []
    for path in candidates():
        for question in (["-c", "import sys; assert sys.version_info[:2] == (2, 7)"], ["-m", "pip", "--version"]):
            try:
                asked = subprocess.run([path, *question], capture_output=True, text=True, timeout=60)
            except (OSError, subprocess.TimeoutExpired) as error:
                complaints.append(f"{path}: {error}")
                break
            if asked.returncode:
                said = asked.stderr.strip().splitlines()
                complaints.append(f"{path} {' '.join(question[:2])}: {said[0] if said else f'exit code {asked.returncode}'}")
                break
        else:
            return path, complaints
    return None, complaints


def not_run(complaints):
    line = "!" * 80
    say(line)
    say("Autobahn|Testsuite DID NOT RUN: it needs Python 2.7, and there is none that runs here.")
    for complaint in complaints or ["No python2.7 and no python2 is on the PATH or among pyenv's versions."]:
        say(f"  {complaint}")
    say("What stands in for it is the frame table of Tests/WebSocket/test_frames.py, RFC 6455 clause by clause.")
    say(line)
    say("autobahn: NOT RUN")


def install(python, folder):
    """The suite in a folder of its own for each list of packages; a half-made one is never taken for whole."""
    mark = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:16]
    packages = folder / f"packages-{mark}"
    if packages.is_dir():
        return packages
    folder.mkdir(parents=True, exist_ok=True)
    say(f"Installing Autobahn|Testsuite for {python}")
    with tempfile.TemporaryDirectory(dir=folder) as fresh:
        target = pathlib.Path(fresh) / "packages"
        installed = subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target", target, "-r", REQUIREMENTS],
            capture_output=True, text=True, timeout=600, env=os.environ | {"PYTHONWARNINGS": "ignore"})
        if installed.returncode:
            stop(f"the packages of {REQUIREMENTS.name} could not be installed:\n{installed.stderr.strip()[-2000:]}")
        # Outside of site-packages nobody reads the .pth file that makes this a package.
        (target / "zope" / "__init__.py").touch()
        target.rename(packages)
    return packages


def run(python, packages, options, deadline):
    """What the suite's report says of each case, and how many cases it meant to run."""
    left_out = ([] if options.deflate else COMPRESSION) + (LARGE if options.quick else [])
    with tempfile.TemporaryDirectory() as folder:
        spec = {"outdir": "reports", "servers": [{"agent": AGENT, "url": options.url}], "cases": ["*"], "exclude-cases": left_out, "exclude-agent-cases": {}}
        (pathlib.Path(folder) / "spec.json").write_text(json.dumps(spec))
        log = pathlib.Path(folder) / "log"
        with log.open("w") as output:
            wstest = subprocess.Popen(
                [python, "-c", WSTEST], cwd=folder, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": str(packages), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"})
            try:
                code = wstest.wait(timeout=max(1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                code = "no end in time"
            finally:
                wstest.kill()
                wstest.wait()
        said = log.read_text(errors="replace")
        index = pathlib.Path(folder) / "reports" / "index.json"
        if code or not index.exists():
            stop(f"wstest ended with {code}:\n{said[-3000:]}")
        meant = re.search(r"will run (\d+) test cases", said)
        if not meant:
            stop(f"wstest does not say how many cases it runs:\n{said[-3000:]}")
        return json.loads(index.read_text()).get(AGENT, {}), int(meant.group(1))


def in_order(case):
    return [int(part) for part in case.split(".")]


def judge(results):
    """The worst of what is said of a case: its answers, and its end."""
    judged = {}
    for case, result in results.items():
        both = (result["behavior"], result["behaviorClose"])
        bad = [word for word in both if word not in GOOD]
        judged[case] = bad[0] if bad else both[0]
    return judged


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--environment", required=True, type=pathlib.Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--deflate", action="store_true")
    parser.add_argument("--seconds", type=float, default=None)
    options = parser.parse_args()

    # Ended from outside, it ends the suite as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Stopped: ended from outside."))
    python, complaints = python27()
    if not python:
        return not_run(complaints)
    address = urllib.parse.urlsplit(options.url)
    if address.scheme != "ws" or not address.hostname or not address.port:
        stop(f"{options.url} is no address of the form ws://HOST:PORT/PATH.")
    try:
        socket.create_connection((address.hostname, address.port), timeout=5).close()
    except OSError as error:
        stop(f"nothing listens at {options.url}: {error}")
    packages = install(python, options.environment.resolve())

    began = time.monotonic()
    # One minute is what it takes; with compression, on an echo server in Python, two thirds of an hour.
    results, meant = run(python, packages, options, began + (options.seconds or (5400 if options.deflate else 600)))
    judged = judge(results)
    seconds = time.monotonic() - began

    for case in sorted(judged, key=in_order):
        if judged[case] != "OK":
            result = results[case]
            why = f"; explained: {EXPLAINED[case]}" if case in EXPLAINED else ""
            say(f"  {case:8} {result['behavior']}, close {result['behaviorClose']}, code {result['remoteCloseCode']}{why}")
    failed = {case for case, word in judged.items() if word not in GOOD}
    faults = [f"{case} failed" for case in sorted(failed - set(EXPLAINED), key=in_order)]
    faults += [f"{case} fails no more: take it off EXPLAINED" for case in EXPLAINED if case in judged and case not in failed]
    if meant == 0 or len(judged) != meant:
        faults.append(f"{meant} cases were to run, {len(judged)} were reported")
    for fault in faults:
        say(f"autobahn: {fault}")

    def count(word):
        return sum(one == word for one in judged.values())

    say(f"autobahn: {len(judged)} cases, {count('OK')} OK, {count('NON-STRICT')} non-strict, {count('INFORMATIONAL')} informational, "
        f"{len(failed)} failed, {seconds:.1f} s")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
