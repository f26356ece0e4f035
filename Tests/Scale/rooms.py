"""What stands between servers and can fail: networks and small disks of their own, in namespaces, and a gate on loopback where
this user may make none.

A namespace lives as long as a process of ours does, and its wires with it: nothing stays behind, however a test ends.
"""

import asyncio
import functools
import itertools
import os
import secrets
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

# What partitions were made with, for the summary.
used = set()


def do(*words):
    done = subprocess.run(words, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"


@functools.cache
def have_networks():
    """Whether this user may make networks and wires between them."""
    if not all(shutil.which(name) for name in ("ip", "unshare", "nsenter", "setpriv")):
        return False
    try:
        room = Room(network=True)
    except AssertionError:
        return False
    try:
        Wire(room)
        return True
    except AssertionError:
        return False
    finally:
        room.discard()


class Room:
    """A network of its own, or a disk of so many megabytes that only those within see, or both."""

    def __init__(self, network=False, megabytes=None):
        flags, entering = [], []
        if os.geteuid() != 0:
            # Within a namespace of users one may mount; a wire to this machine's network needs its root.
            flags += ["--user", "--map-root-user"]
            entering += ["--user", "--preserve-credentials"]
        if network:
            flags.append("--net")
            entering.append("--net")
        mount = ""
        self.folder = None
        if megabytes:
            self.folder = tempfile.mkdtemp(prefix="parley-disk-")
            flags.append("--mount")
            entering.append("--mount")
            mount = f"mount -t tmpfs -o size={megabytes}m tmpfs '{self.folder}' && "
        self.holder = subprocess.Popen(
            ["setpriv", "--pdeathsig=KILL", "unshare", *flags, "sh", "-c", f"{mount}echo made && exec sleep infinity"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said = self.holder.stdout.readline()
        if said != "made\n":
            self.discard()
            raise AssertionError(f"there is no namespace to be had here ({said.strip() or 'unshare said nothing'}): run it as root")
        self.entrance = ["nsenter", f"--target={self.holder.pid}", *entering, "--"]
        if network:
            self.do("ip", "link", "set", "lo", "up")

    def within(self, words):
        """A command that runs within."""
        return [*self.entrance, *words]

    def do(self, *words):
        do(*self.within(words))

    def file(self, name):
        """The way from here to a file on the small disk."""
        return Path(f"/proc/{self.holder.pid}/root{self.folder}", name)

    def fill(self, name="ballast"):
        """Writes until the disk takes no more."""
        with open(self.file(name), "wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(bytes(1 << 16))
            except OSError:
                pass
            try:
                while True:
                    ballast.write(bytes(1 << 9))
            except OSError:
                pass

    def discard(self):
        self.holder.kill()
        self.holder.wait(10)
        self.holder.stdout.close()
        if self.folder:
            # Here it is empty: what was in it went with the namespace.
            os.rmdir(self.folder)


class Wire:
    """Joins this machine and a room; cut, what is sent is lost without a word, and nobody is told that the other is gone."""

    # RFC 2544, appendix C.2.2: addresses for tests, seen by nobody else.
    subnets = itertools.cycle(f"198.18.{number}" for number in range(1, 255))

    def __init__(self, room, master=None):
        self.room, self.far = room, f"w{secrets.token_hex(3)}"
        subnet = next(self.subnets)
        self.near_address, self.address = f"{subnet}.1", f"{subnet}.2"
        near = f"py{secrets.token_hex(4)}"
        do("ip", "link", "add", near, "type", "veth", "peer", "name", self.far, "netns", str(room.holder.pid))
        do("ip", "address", "add", f"{self.near_address}/24", "dev", near)
        do("ip", "link", "set", near, "up")
        if master:
            room.do("ip", "link", "set", self.far, "master", master)
        else:
            room.do("ip", "address", "add", f"{self.address}/24", "dev", self.far)
        room.do("ip", "link", "set", self.far, "up")

    def cut(self):
        self.room.do("ip", "link", "set", self.far, "down")

    def mend(self):
        self.room.do("ip", "link", "set", self.far, "up")


class Switch:
    """A network that this machine and several rooms share; each room can be cut off from all others."""

    def __init__(self, count):
        self.room = Room(network=True)
        self.rooms = []
        try:
            self.room.do("ip", "link", "add", "switch", "type", "bridge")
            self.room.do("ip", "link", "set", "switch", "up")
            wire = Wire(self.room, master="switch")
            subnet = wire.near_address.rpartition(".")[0]
            for number in range(count):
                room = Room(network=True)
                self.rooms.append(room)
                room.address = f"{subnet}.{10 + number}"
                self.room.do(
                    "ip", "link", "add", f"port{number}", "type", "veth", "peer", "name", "eth0", "netns", str(room.holder.pid))
                room.do("ip", "address", "add", f"{room.address}/24", "dev", "eth0")
                room.do("ip", "link", "set", "eth0", "up")
                self.room.do("ip", "link", "set", f"port{number}", "master", "switch")
                self.mend(number)
        except BaseException:
            self.discard()
            raise

    def cut(self, number):
        self.room.do("ip", "link", "set", f"port{number}", "down")

    def mend(self, number):
        self.room.do("ip", "link", "set", f"port{number}", "up")

    def discard(self):
        for room in [*self.rooms, self.room]:
            room.discard()


class Gate:
    """Passes on what comes to a port of loopback. Cut, nothing passes and nobody is told; mended, all of it does, as TCP would have it."""

    def __init__(self, target):
        self.target = target
        self.tasks = set()
        began = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._serve(began)), daemon=True)
        self.thread.start()
        assert began.wait(10), "the gate does not open"

    @property
    def address(self):
        return "127.0.0.1"

    async def _serve(self, began):
        self.loop, self.over, self.passing = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        self.passing.set()
        server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        began.set()
        await self.over.wait()
        server.close()
        for task in self.tasks:
            task.cancel()

    async def _accepted(self, reader, writer):
        self.tasks.add(asyncio.current_task())
        other = None
        try:
            await self.passing.wait()
            there, other = await asyncio.open_connection("127.0.0.1", self.target)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass(reader, other))
                group.create_task(self._pass(there, writer))
        except (OSError, ExceptionGroup, asyncio.CancelledError):
            pass
        finally:
            self.tasks.discard(asyncio.current_task())
            for end in (writer, other):
                if end:
                    end.close()

    async def _pass(self, reader, writer):
        while data := await reader.read(1 << 16):
            await self.passing.wait()
            writer.write(data)
            await writer.drain()
        raise ConnectionError("one end has gone; so does the other")

    def cut(self):
        self.loop.call_soon_threadsafe(self.passing.clear)

    def mend(self):
        self.loop.call_soon_threadsafe(self.passing.set)

    def discard(self):
        self.loop.call_soon_threadsafe(self.over.set)
        self.thread.join(10)
