"""Faults between a gateway and its disk: builds `faults.c`, loads it into the process, and says what goes wrong when."""

import errno
import mmap
import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

SOURCE = Path(__file__).resolve().parent / "faults.c"

# The kinds of calls, as `faults.c` has them.
WAL_SYNC, WAL_WRITE, DB_SYNC, DB_WRITE, SOCKET_WRITE, WAL_TRUNCATE = 1, 2, 4, 8, 16, 32
STORE_WRITES = WAL_WRITE | DB_WRITE | WAL_TRUNCATE
STORE_SYNCS = WAL_SYNC | DB_SYNC
BEFORE, AFTER = 0, 1
KILL, FAIL, POWER, WAIT = 0, 1, 2, 3
ALWAYS = -1

# The control file, in the order of `faults.c`.
FIELDS = (
    "armed", "calls", "moment", "first", "times", "action", "number", "seen", "fired", "power", *(f"count{n}" for n in range(8)), "taken",
    "deaf")

_built = {}


def library():
    """The shared library, built once into a folder of its own."""
    if "path" not in _built:
        compiler = next((name for name in ("cc", "gcc", "clang") if shutil.which(name)), None)
        if compiler is None:
            raise RuntimeError("faults need a C compiler: install gcc")
        _built["folder"] = tempfile.TemporaryDirectory(prefix="parley-faults-")
        path = Path(_built["folder"].name) / "faults.so"
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread", str(SOURCE), "-o", str(path), "-ldl"], check=True)
        _built["path"] = str(path)
    return _built["path"]


class Faults:
    """The faults of one gateway, over all its starts."""

    def __init__(self, keeps_history=False, deaf=False):
        self.folder = tempfile.mkdtemp(prefix="parley-control-")
        self.path = os.path.join(self.folder, "control")
        with open(self.path, "wb") as file:
            file.write(bytes(4096))
        with open(self.path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 4096)
        self.keeps_history, self.deaf = keeps_history, deaf
        self.disarm()

    @property
    def env(self):
        return {"LD_PRELOAD": library(), "FAULTS_CONTROL": self.path}

    def _set(self, name, value):
        struct.pack_into("i", self.memory, 4 * FIELDS.index(name), value)

    def __getitem__(self, name):
        return struct.unpack_from("i", self.memory, 4 * FIELDS.index(name))[0]

    def count(self, call):
        """How many calls of a kind there were, since `disarm`."""
        return self[f"count{call.bit_length() - 1}"]

    def disarm(self):
        """Nothing goes wrong from now on; counts start anew."""
        for name in FIELDS:
            self._set(name, 0)
        self._set("power", 0 if self.keeps_history else -1)
        self._set("deaf", int(self.deaf))

    def arm(self, calls, action, moment=BEFORE, first=1, times=1, number=0):
        """Something goes wrong at the `first` of these calls, counted from now, and at so many in all."""
        self._set("armed", 0)
        for name, value in (("seen", 0), ("fired", 0), ("calls", calls), ("action", action), ("moment", moment), ("first", first),
                            ("times", times), ("number", number)):
            self._set(name, value)
        self._set("armed", 1)

    def fail(self, calls, number=errno.EIO, first=1, times=ALWAYS):
        self.arm(calls, FAIL, BEFORE, first, times, number)

    def slow(self, calls, milliseconds):
        self.arm(calls, WAIT, BEFORE, 1, ALWAYS, milliseconds)

    def heal(self):
        self._set("armed", 0)

    def cut_power(self):
        """At the next call: all that is not synced is taken back, and the process ends."""
        assert self.keeps_history, "nothing can be taken back: no history was kept"
        self._set("power", 1)

    def close(self):
        self.memory.close()
        shutil.rmtree(self.folder, ignore_errors=True)
