"""Programs that a measurement starts: bound to a core, watched under /proc, ended by their own process ids."""

import os
import pathlib
import shutil
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")
PINS = shutil.which("taskset") is not None and os.cpu_count() > 1
SERVER_CORE, LOAD_CORE = 0, 1


class Failed(Exception):
    """A measurement that could not be made; says why."""


def pinned(command, core):
    return ["taskset", "-c", str(core), *map(str, command)] if PINS and core is not None else list(map(str, command))


def stat(pid):
    """The parent of a process and its processor time with that of children it has waited for; None once it is gone."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[1]), sum(map(int, fields[11:15])) / TICKS


def family(pid):
    """A process and all that it has started."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (found := stat(entry)):
            parents.setdefault(found[0], []).append(int(entry))
    members, waiting = [], [pid]
    while waiting:
        member = waiting.pop()
        members.append(member)
        waiting += parents.get(member, [])
    return members


class Process:
    """A server that runs while something is measured. Its log goes to a file, of which a failure shows the end."""

    def __init__(self, command, folder, core=SERVER_CORE, env=None):
        self.log = pathlib.Path(folder) / "server.log"
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(pinned(command, core), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                          env=os.environ | (env or {}), start_new_session=True)
        self.pid = self.child.pid

    def end_of_log(self):
        return self.log.read_text(errors="replace")[-600:].strip()

    @property
    def is_alive(self):
        return self.child.poll() is None

    def cpu_seconds(self):
        return sum(found[1] for member in family(self.pid) if (found := stat(member)))

    def resident_bytes(self):
        """Of several processes: what they share once (PSS), as one would count it twice."""
        members = family(self.pid)
        file, field = ("smaps_rollup", "Pss:") if len(members) > 1 else ("status", "VmRSS:")
        total = 0
        for member in members:
            try:
                lines = pathlib.Path(f"/proc/{member}/{file}").read_text().splitlines()
            except OSError:
                continue
            total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))
        return total

    def until(self, is_ready, seconds, step=0.05):
        """Waits for something that the server brings about."""
        over = time.monotonic() + seconds
        while not is_ready():
            if not self.is_alive:
                raise Failed(f"it ended: {self.end_of_log()}")
            if time.monotonic() > over:
                raise Failed(f"not after {seconds} s: {self.end_of_log()}")
            time.sleep(step)

    def until_quiet(self, seconds, share=0.03, span=3):
        """Waits until the server has used next to no processor for some seconds; False if it never came to rest."""
        over, since, before = time.monotonic() + seconds, time.monotonic(), self.cpu_seconds()
        while time.monotonic() < over:
            time.sleep(span)
            now, cpu = time.monotonic(), self.cpu_seconds()
            if cpu - before < share * (now - since):
                return True
            since, before = now, cpu
        return False

    def end(self):
        members = family(self.pid) if self.is_alive else []
        if self.is_alive:
            self.child.terminate()
        try:
            self.child.wait(30)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        # Workers that outlive their master: only those seen as its children above.
        for member in members[1:]:
            try:
                if stat(member):
                    os.kill(member, 9)
            except OSError:
                pass


def run(command, seconds, core=LOAD_CORE, codes=(0,), env=None):
    """Runs a program to its end, bounded in time, and returns what it printed."""
    try:
        done = subprocess.run(pinned(command, core), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds,
                              env=os.environ | (env or {}))
    except subprocess.TimeoutExpired:
        raise Failed(f"{os.path.basename(str(command[0]))} was not done after {seconds} s") from None
    if done.returncode not in codes:
        raise Failed(f"{os.path.basename(str(command[0]))}: {(done.stderr or done.stdout)[-400:].strip()}")
    return done.stdout
