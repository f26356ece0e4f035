"""A gateway for scenarios: its process, its projects, and what it costs the machine by /proc."""

import asyncio
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from parley_process import PARLEY, Gateway, Project  # noqa: E402

from book import Book, Broken, check, hold, read  # noqa: E402
from client import Line  # noqa: E402


def quiet_port():
    """A free port below those that the system gives to outgoing connections.

    While the gateway is down nobody else may get its port, and a client that dials it may not be connected to itself.
    """
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for _ in range(200):
        port = random.SystemRandom().randrange(min(15000, low - 2000), low)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise AssertionError("there is no free port")


@dataclass
class Level:
    """What a process holds."""

    sockets: int
    files: int
    threads: int
    memory: int  # bytes, resident

    def __str__(self):
        return f"{self.sockets} sockets, {self.files} other descriptors, {self.threads} threads, {self.memory >> 20} MB"


def level_of(pid):
    sockets = files = 0
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{name}")
        except FileNotFoundError:
            continue
        if target.startswith("socket:"):
            sockets += 1
        else:
            files += 1
    text = Path(f"/proc/{pid}/status").read_text()
    return Level(sockets, files, int(re.search(r"Threads:\s+(\d+)", text)[1]), int(re.search(r"VmRSS:\s+(\d+)", text)[1]) << 10)


def processor_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class World(Gateway):
    """A gateway that may be killed, drained and looked into."""

    # What a busy process may keep: readers of the store are opened when they are first needed (two files each), and
    # the allocator keeps what it may need again.
    spare_files = 12
    spare_threads = 16

    def __init__(self, *options, env=None):
        super().__init__()
        self.port = quiet_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.options, self.env = options, env
        self.starts = 0

    @property
    def pid(self):
        return self.process.pid

    def make_project(self, name, *options):
        """A project without quotas. A gateway that is started afterwards knows its keys at once."""
        made = self.answer("project", "create", name, "--origin", "http://127.0.0.1:*", "--no-quotas", *options)
        return Project(self, made)

    async def begin(self, within=30):
        """Starts the process and waits until it is ready."""
        self.process = subprocess.Popen(
            [PARLEY, "serve", "--listen", f"127.0.0.1:{self.port}", "--data", self.folder, "--log-level", "warning", *self.options],
            stdout=self.log, stderr=subprocess.STDOUT, env={**os.environ, **self.store, **(self.env or {})})
        self.starts += 1
        await self.ready(within)

    async def ready(self, within=30):
        deadline = time.monotonic() + within
        while True:
            hold(self.process.poll() is None, "starts", lambda: f"the gateway ended with {self.process.returncode}: {self.last_words()}")
            line = Line(self.port)
            try:
                if (await line.request("GET", "/readyz", timeout=5))[0] == 200:
                    return
            except (OSError, EOFError, TimeoutError):
                pass
            finally:
                line.close()
            hold(time.monotonic() < deadline, "starts", lambda: f"not ready after {within} s: {self.last_words()}")
            await asyncio.sleep(0.01)

    def last_words(self):
        with open(self.log.name, errors="replace") as log:
            return log.read()[-1500:]

    def kill(self):
        """SIGKILL; the process is gone when it returns."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def hold_still(self):
        """SIGSTOP: what clients send from here on waits in the kernel."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    async def ended(self, within):
        deadline = time.monotonic() + within
        while self.process.poll() is None:
            hold(time.monotonic() < deadline, "ends", f"the gateway still runs after {within} s")
            await asyncio.sleep(0.02)
        return self.process.returncode

    def end(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)

    def discard(self):
        """Takes the data away; only what has failed is worth a look."""
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def lives(self, pid):
        code = self.process.poll()
        hold(code is None, "lives", lambda: f"the gateway died ({code}): {self.last_words()}")
        hold(self.process.pid == pid, "lives", "the gateway was started anew")

    def level(self):
        return level_of(self.pid)

    async def back_to(self, before, memory, within=15):
        """Waits until the process holds no more than before: not one socket, hardly a file or thread, so much memory."""
        deadline = time.monotonic() + within
        while True:
            now = self.level()
            if (now.sockets <= before.sockets and now.files <= before.files + self.spare_files
                    and now.threads <= before.threads + self.spare_threads):
                break
            hold(time.monotonic() < deadline, "leaks", f"before: {before}; {within} s after all connections ended: {now}")
            await asyncio.sleep(0.05)
        now = self.level()
        hold(now.memory <= before.memory + memory, "memory",
             f"{(now.memory - before.memory) >> 20} MB more than before, {memory >> 20} MB are allowed; before: {before}; now: {now}")
        return now

    async def doctor(self):
        """`parley doctor` finds nothing broken: the file is sound, outcomes add up, the server answers."""
        done = await asyncio.to_thread(self.command, "doctor", "--url", self.url, "--json", check=False)
        found = json.loads(done.stdout) if done.stdout.strip() else {"ok": False, "checks": [done.stderr]}
        hold(found["ok"] and done.returncode == 0, "doctor",
             lambda: str([check for check in found["checks"] if not isinstance(check, dict) or check["state"] == "broken"]))
        return found["checks"]

    async def settle(self, project, book, exact=False, counts_match=True):
        """Reads all back and holds it against the book."""
        line = Line(self.port)
        try:
            # What was cut off may still be on its way to the store, between one reading and the other. What was acked may not.
            deadline = time.monotonic() + 5
            while True:
                readings, ledger = await read(line, project.secret)
                try:
                    check(book, readings, ledger, exact, counts_match)
                    return readings, ledger
                except Broken as broken:
                    if broken.invariant not in ("ledger", "stored") or time.monotonic() > deadline:
                        raise
                await asyncio.sleep(0.2)
        finally:
            line.close()

    async def metrics(self):
        """`/metrics`, by name with labels."""
        line = Line(self.port)
        try:
            _, _, body = await line.request("GET", "/metrics", timeout=10)
        finally:
            line.close()
        return {name: float(value) for name, _, value in (
            text.rpartition(" ") for text in body.decode().splitlines() if text and not text.startswith("#"))}

    async def fetch(self, project, path):
        """One answer of the read API, parsed."""
        line = Line(self.port)
        try:
            status, body = await line.get(path, project.secret)
            return status, json.loads(body) if body else None
        finally:
            line.close()


__all__ = ["Book", "Level", "World", "level_of", "processor_seconds", "quiet_port"]
