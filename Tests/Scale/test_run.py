"""`scripts/run --scale`: what it starts, says, starts again and ends."""

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
import requests

from parley_process import PARLEY, ROOT, message, until


def row_of_ports(count):
    """The first of as many free ports in a row."""
    while True:
        first = random.randrange(20_000, 30_000)
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
            return first
        except OSError:
            continue


class Run:
    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="parley-run-"))
        self.scale = self.folder / "scale"
        first = row_of_ports(15)
        self.gateways = [f"http://127.0.0.1:{first}", f"http://127.0.0.1:{first + 2}"]
        self.environment = {
            **os.environ, "PARLEY_BIN": PARLEY, "PARLEY_DATA": str(self.folder), "PARLEY_LISTEN": f"127.0.0.1:{first}",
            "DEMO_LISTEN": f"127.0.0.1:{first + 1}", "SCALE_PORTS": str(first + 2)}
        self.process = None

    def start(self):
        self.said = open(self.folder / "said", "w+")
        self.process = subprocess.Popen(
            [ROOT / "scripts/run", "--scale"], env=self.environment, stdout=self.said, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        until("the start", lambda: self.process.poll() is not None or "Ctrl-C ends" in self.text, 180)
        assert self.process.poll() is None, self.text
        keys = (self.scale / "gateway-1/demo.json").read_text()
        self.secret = re.search('"secretKey":"(.*?)"', keys).group(1)

    @property
    def text(self):
        return Path(self.said.name).read_text()

    def pids(self):
        return {file.stem: int(file.read_text()) for file in self.scale.glob("*.pid")}

    def say(self, gateway, text):
        answer = requests.post(
            self.gateways[gateway] + "/v1/events", json={"events": [message("t-1", text)]}, timeout=20,
            headers={"Authorization": f"Bearer {self.secret}"}).json()
        assert answer["results"][0]["verdict"] == "stored", answer

    def reads(self, gateway, text):
        answer = requests.get(
            self.gateways[gateway] + "/v1/threads/t-1", headers={"Authorization": f"Bearer {self.secret}"}, timeout=20)
        return text in answer.text

    def end(self):
        pids = self.pids()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0
        return pids

    def discard(self):
        if self.process and self.process.poll() is None:
            self.process.kill()  # the kernel ends the parts
            self.process.wait(10)
        database = self.scale / "postgres"
        if database.is_symlink():
            shutil.rmtree(database.resolve(), ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def run():
    run = Run()
    yield run
    run.discard()


def lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_what_one_gateway_is_told_the_other_shows_whatever_is_killed_and_again_after_a_restart(run):
    run.start()
    run.say(0, "before anything")
    until("what was said", lambda: run.reads(1, "before anything"))

    time.sleep(3)  # what ends sooner than that after its start is left alone
    before = run.pids()
    for name in ("broker-1", "drain-1"):
        os.kill(before[name], signal.SIGKILL)
    run.say(0, "after the kill")
    until("what was said after a kill", lambda: run.reads(1, "after the kill"))
    until("both to be started again", lambda: all(run.pids()[name] != before[name] for name in ("broker-1", "drain-1")))

    pids = run.end()
    assert len(pids) == 9 and not any(lives(pid) for pid in pids.values()), "something was left behind"

    run.start()
    until("what was said before the restart", lambda: run.reads(0, "after the kill") and run.reads(1, "before anything"))

    taken = subprocess.run([ROOT / "scripts/run", "--scale"], env=run.environment, capture_output=True, text=True, timeout=60)
    assert taken.returncode == 1 and "is in use by another program" in taken.stderr, taken.stderr
    assert all(lives(pid) for pid in run.pids().values())

    pids = run.pids()
    run.process.kill()
    run.process.wait(10)
    until("the end of what a killed script leaves", lambda: not any(lives(pid) for pid in pids.values()))
