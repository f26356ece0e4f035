"""A real gateway on a fresh data folder and a free port, started and ended by its own process id."""

import json
import os
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

import requests

ROOT = Path(__file__).resolve().parent.parent
PARLEY = os.environ.get("PARLEY_BIN", str(ROOT / ".build/debug/parley"))
# A server, like postgresql://parley@127.0.0.1:5432, where each gateway keeps its data in a database of its own instead of a file.
POSTGRES = os.environ.get("PARLEY_POSTGRES")
VERDICTS = ("stored", "duplicate", "conflict", "quarantined", "dropped", "retry")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def new_store():
    """The environment in which a gateway has its store: nothing, or a new database."""
    if not POSTGRES:
        return {}
    name = f"test_{uuid.uuid4().hex[:12]}"
    subprocess.run(["psql", f"{POSTGRES}/postgres", "-qc", f"CREATE DATABASE {name}"], check=True, timeout=60)
    return {"PARLEY_STORE": f"{POSTGRES}/{name}"}


def new_id():
    return str(uuid.uuid4())


def message(thread="t-1", text="Hello", role="user", **fields):
    return {"type": "message", "id": new_id(), "thread": thread, "role": role, "content": text, **fields}


def until(what, condition, seconds=15):
    """Waits until a condition is true, and answers what it answered; `what` may be a function that tells how far it has come."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what() if callable(what) else what}"
        time.sleep(0.05)
    return value


class Gateway:
    def __init__(self, demo=False):
        self.folder = tempfile.mkdtemp(prefix="parley-test-")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.demo = demo
        self.store = new_store()
        self.process = None
        self.log = open(os.path.join(self.folder, "log"), "w")

    def command(self, *words, check=True, env=None):
        done = subprocess.run(
            [PARLEY, *words, "--data", self.folder], capture_output=True, text=True, timeout=60,
            env={**os.environ, **self.store, **(env or {})})
        if check:
            assert done.returncode == 0, f"parley {' '.join(words)}: {done.stderr}"
        return done

    def answer(self, *words):
        return json.loads(self.command(*words, "--json").stdout)

    def change(self, *words):
        """Gives a command that changes a project or key, and waits until the running gateway goes by it."""
        made = self.answer(*words)
        # Changes become known in their order: who knows the later one knows this one too.
        later = self.answer("key", "create", "--scope", "workspace", "--lane", "secret")
        self.wait_until_known(later["key"])
        return made

    def wait_until_known(self, key):
        headers = {"Authorization": f"Bearer {key}"}
        until("the key to be known", lambda: requests.get(self.url + "/v1/threads", headers=headers, timeout=20).status_code != 401)

    def start(self, *options, env=None):
        words = [PARLEY, "serve", "--listen", f"127.0.0.1:{self.port}", "--data", self.folder, "--log-level", "warning", *options]
        if self.demo:
            words.append("--demo")
        self.process = subprocess.Popen(words, stdout=self.log, stderr=subprocess.STDOUT, env={**os.environ, **self.store, **(env or {})})
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"the gateway ended: {open(self.log.name).read()}"
            try:
                if requests.get(self.url + "/readyz", timeout=1).status_code == 200:
                    return self
            except requests.RequestException:
                time.sleep(0.05)
        raise AssertionError("the gateway is not ready after 20 s")

    def stop(self, sign=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(sign)
            self.process.wait(timeout=40)

    def project(self, name, *options):
        """A project whose keys the running gateway knows already."""
        made = self.answer("project", "create", name, "--origin", "http://127.0.0.1:*", "--origin", "http://localhost:*", *options)
        project = Project(self, made)
        self.wait_until_known(project.secret)
        return project


class Project:
    ORIGIN = "http://127.0.0.1:9999"

    def __init__(self, gateway, made):
        self.gateway = gateway
        self.name = made["project"]["name"]
        self.public = made["publicKey"]
        self.secret = made["secretKey"]

    def wait_until_known(self):
        self.gateway.wait_until_known(self.secret)

    def post(self, events, key=None, path="/v1/events", **options):
        key = key or self.secret
        headers = {"Authorization": f"Bearer {key}"}
        if key.startswith("pk_"):
            headers["Origin"] = self.ORIGIN
        headers.update(options.pop("headers", {}))
        body = {"events": events} if isinstance(events, list) else events
        return requests.post(self.gateway.url + path, headers=headers, json=body, timeout=20, **options)

    def send(self, *events, key=None):
        """Posts events; answers the verdicts' names."""
        answer = self.post(list(events), key=key)
        assert answer.status_code == 200, answer.text
        return [result["verdict"] for result in answer.json()["results"]]

    def beacon(self, *events):
        return requests.post(
            f"{self.gateway.url}/v1/beacon?key={self.public}", data=json.dumps({"events": list(events)}),
            headers={"Content-Type": "text/plain;charset=UTF-8", "Origin": self.ORIGIN}, timeout=20)

    def get(self, path, **params):
        return requests.get(self.gateway.url + path, headers={"Authorization": f"Bearer {self.secret}"}, params=params, timeout=20)

    def read(self, path, **params):
        answer = self.get(path, **params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def conversation(self, thread):
        """The whole thread, page by page."""
        whole = self.read(f"/v1/threads/{thread}", limit=200)
        while whole["next"]:
            page = self.read(f"/v1/threads/{thread}", limit=200, cursor=whole["next"])
            whole["items"] += page["items"]
            whole["next"] = page["next"]
        return whole

    def assert_law(self):
        """received = stored + duplicate + conflict + quarantined + dropped + retry, per key and minute."""
        outcomes = self.read("/v1/outcomes")
        for row in [*outcomes["outcomes"], outcomes["total"]]:
            assert row["received"] == sum(row[name] for name in VERDICTS), row
        return outcomes["total"]
