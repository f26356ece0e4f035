"""The servers that are measured: a gateway, and those it is measured beside."""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import sqlite3
import tempfile
import time

from .processes import SERVER_CORE, Failed, Process, run

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / ".build" / "bench"
PARLEY = pathlib.Path(os.environ.get("PARLEY_BIN", ROOT / ".build/release/parley"))
PARLEY_LOAD = pathlib.Path(os.environ.get("PARLEY_LOAD_BIN", ROOT / ".build/release/parley-load"))
DISCARD = pathlib.Path(os.environ.get("PARLEY_DISCARD_BIN", ROOT / ".build/release/parley-discard"))
STOCK = BUILD / "transport/release/stock-websocket"
STOCK_HTTP = BUILD / "transport/release/stock-http"


@contextlib.contextmanager
def scratch():
    """A folder on the disk that the build is on, for as long as a measurement lasts."""
    (BUILD / "tmp").mkdir(parents=True, exist_ok=True)
    folder = tempfile.mkdtemp(dir=BUILD / "tmp")
    try:
        yield pathlib.Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port, path="/readyz"):
    """Whether a GET is answered with 200."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as line:
            line.sendall(f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n".encode())
            return line.recv(64).split(b" ")[1:2] == [b"200"]
    except OSError:
        return False


class Parley:
    """A gateway with a project that has no quotas."""

    def __init__(self, folder, core=SERVER_CORE):
        self.folder = pathlib.Path(folder)
        keys = self.folder / "bench.json"
        if not keys.exists():
            keys.write_text(run([PARLEY, "project", "create", "bench", "--origin", "http://127.0.0.1:*", "--no-quotas",
                                 "--data", self.folder, "--json"], 60))
        keys = json.loads(keys.read_text())
        self.key, self.secret = keys["publicKey"], keys["secretKey"]
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        # 12,000: the 10,000 of the row on idle sockets, and some to ask with.
        command = [PARLEY, "serve", "--listen", f"127.0.0.1:{self.port}", "--data", self.folder, "--log-level", "warning", "--maximum-connections", "12000",
                   "--connections-per-address", "12000"]
        began = time.perf_counter()
        self.process = Process(command, self.folder, core)
        try:
            self.process.until(lambda: answers(self.port), 120, step=0.002)
        except Failed:
            self.process.end()
            raise
        self.seconds_to_ready = time.perf_counter() - began

    @property
    def file(self):
        return self.folder / "parley.sqlite"

    @property
    def page_headers(self):
        return ["--header", f"Origin: {self.url}"]

    def readable(self):
        """Events that another reader finds in its file."""
        with contextlib.closing(sqlite3.connect(f"file:{self.file}?mode=ro", uri=True, timeout=30)) as line:
            return line.execute("SELECT count(*) FROM event").fetchone()[0]

    def until_caught_up(self, seconds):
        """Waits for what follows the commits: search, facts, figures."""
        if not self.process.until_quiet(seconds):
            raise Failed(f"search had not caught up after {seconds} s")


@contextlib.contextmanager
def parley(folder=None, **options):
    with contextlib.ExitStack() as stack:
        server = Parley(folder or stack.enter_context(scratch()), **options)
        stack.callback(server.process.end)
        yield server


class Discarding:
    """Parley's way in, in front of a sink that keeps nothing."""

    def __init__(self, folder):
        port = free_port()
        self.process = Process([DISCARD, port], folder)
        try:
            self.process.until(lambda: answers(port), 30)
            said = json.loads(self.process.log.read_text().splitlines()[0])
        except Exception:
            self.process.end()
            raise
        self.url, self.key = said["url"], said["publicKey"]
        self.page_headers = ["--header", f"Origin: {self.url}"]


@contextlib.contextmanager
def discarding():
    with scratch() as folder:
        server = Discarding(folder)
        try:
            yield server
        finally:
            server.process.end()


@contextlib.contextmanager
def stock(program=None):
    with scratch() as folder:
        port = free_port()
        process = Process([program or STOCK, port], folder)
        try:
            process.until(lambda: can_connect(port), 20)
            yield f"http://127.0.0.1:{port}", process
        finally:
            process.end()


@contextlib.contextmanager
def nginx():
    with scratch() as folder:
        port = free_port()
        configuration = (ROOT / "Benchmarks/Receivers/nginx.conf").read_text().replace("FOLDER", str(folder)).replace("PORT", str(port))
        (folder / "nginx.conf").write_text(configuration)
        process = Process([shutil.which("nginx") or "/usr/sbin/nginx", "-p", folder, "-c", folder / "nginx.conf"], folder)
        try:
            process.until(lambda: can_connect(port), 20)
            yield f"http://127.0.0.1:{port}", process
        finally:
            process.end()


def can_connect(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        return True
    except OSError:
        return False


class Receiver:
    """A tool from PyPI that takes OTLP, with its own SQLite file and otherwise as it comes, on all cores."""

    headers, path, table = [], "/v1/traces", "spans"

    def __init__(self, folder):
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = self.start()
        try:
            self.process.until(lambda: answers(self.port, self.ready), 180)
            self.prepare()
        except BaseException:
            self.process.end()
            raise

    def prepare(self):
        pass

    def readable(self):
        """Spans that another reader finds in its file."""
        with contextlib.closing(sqlite3.connect(f"file:{self.file}?mode=ro", uri=True, timeout=30)) as line:
            return line.execute(f"SELECT count(*) FROM {self.table}").fetchone()[0]

    def file_bytes(self):
        """What its file takes once the log is moved into it; to be asked while nothing is written."""
        with contextlib.closing(sqlite3.connect(self.file, timeout=30)) as line:
            line.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return os.path.getsize(self.file)


class MLflow(Receiver):
    """`mlflow server`: a request's spans are committed before it is answered."""

    name, level, ready = "mlflow", "durable", "/health"

    def start(self):
        self.file = self.folder / "mlflow.db"
        (self.folder / "artifacts").mkdir()
        return Process([ROOT / ".venv/bench-mlflow/bin/mlflow", "server", "--host", "127.0.0.1", "--port", self.port, "--backend-store-uri", f"sqlite:///{self.file}",
                        "--artifacts-destination", self.folder / "artifacts"], self.folder, None,
                       env={"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "PATH": f"{ROOT}/.venv/bench-mlflow/bin:{os.environ['PATH']}"})

    def prepare(self):
        self.headers = ["--header", "x-mlflow-experiment-id: 0"]


class Phoenix(Receiver):
    """`phoenix serve`: a request is answered, then its spans are inserted in the background."""

    name, level, ready = "phoenix", "readable", "/healthz"

    def start(self):
        self.file = self.folder / "phoenix.db"
        return Process([ROOT / ".venv/bench-phoenix/bin/phoenix", "serve"], self.folder, None,
                       env={"PHOENIX_WORKING_DIR": str(self.folder), "PHOENIX_HOST": "127.0.0.1", "PHOENIX_PORT": str(self.port),
                            "PHOENIX_GRPC_PORT": str(free_port()), "PHOENIX_TELEMETRY_ENABLED": "false"})


@contextlib.contextmanager
def receiver(kind):
    with scratch() as folder:
        server = kind(folder)
        try:
            yield server
        finally:
            server.process.end()
