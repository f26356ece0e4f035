"""A chat page in a real Chromium whose backend keeps its vendor's SDK: page and backend make one conversation, whoever is first.

Each SDK, unmodified, runs in a process of its own (Tests/SDKs/scripts) with an interpreter of its own: .venv/sdk-NAME, or what
PARLEY_SDK_PYTHON_NAME names.
"""

import itertools
import json
import os
import re
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from parley_process import ROOT

SDKS = Path(__file__).resolve().parent.parent / "SDKs"
sys.path.insert(0, str(SDKS))
from fake_openai import ANSWER, FakeOpenAI  # noqa: E402

SNIPPET_VERSION = re.search(r'^const version = "(.*)";$', (ROOT / "web-snippet/snippet.js").read_text(), re.M).group(1)
QUESTION = "Where is my order?"
# What a backend asks its model is seldom what the visitor wrote.
PROMPT = "You are a shop's assistant. The visitor says: " + QUESTION


# MARK: the page


class Site(ThreadingHTTPServer):
    """A page at /script or /loader, and its backend at /chat."""

    daemon_threads = True

    def __init__(self, gateway):
        super().__init__(("127.0.0.1", 0), Handler)
        self.gateway = gateway.url
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.asked = []
        self.backend = None

    def page(self, snippet, key):
        tag = {
            "script": f'<script src="{self.gateway}/parley.js" data-key="{key}"></script>',
            "loader": f'<script src="{self.gateway}/parley-loader.js" data-key="{key}" data-url="{self.gateway}"></script>'}[snippet]
        return f'<!doctype html><link rel="icon" href="data:,"><title>Chat</title>{tag}<script src="{self.gateway}/parley-carry.js"></script>'


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        address = urlsplit(self.path)
        self.answer("text/html", self.server.page(address.path[1:], address.query))

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append(headers)
        self.server.backend(headers)
        self.answer("application/json", json.dumps({"reply": ANSWER}))

    def answer(self, kind, text):
        self.send_response(200)
        self.send_header("Content-Type", kind + "; charset=utf-8")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


class Chat:
    """A visitor's page with the snippet in it. What it says can be held back; it has its IDs all the same."""

    def __init__(self, browser, site, project, snippet="script", held=False):
        self.context = browser.new_context()
        self.page = self.context.new_page()
        self.faults = []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.offline = held and snippet == "script"
        # The loader's page says nothing before the client is there.
        self.late = []
        if held and snippet == "loader":
            self.page.route("**/parley.js", lambda route: self.late.append(route))
        self.page.goto(f"{site.url}/{snippet}?{project.public}", wait_until="domcontentloaded")
        self.thread = self.page.evaluate("""() => {
            window.heard = [];
            parley.on("verdict", ({ id, verdict }) => heard.push([id, verdict]));
            window.thread = parley.openThread();
            return thread.id;
        }""")
        self.context.set_offline(self.offline)
        self.said = []

    def say(self, role, content, reply_to=None):
        id = self.page.evaluate(
            "([role, content, replyTo]) => thread.trackMessage({ role, content, replyTo })", [role, content, reply_to])
        self.said.append(id)
        return id

    def nothing_left(self):
        # Longer than the snippet waits before it sends.
        time.sleep(0.3)
        assert self.page.evaluate("() => heard") == [] and self.page.evaluate("() => parley.version") == (
            None if self.late else SNIPPET_VERSION)

    def release(self):
        self.context.set_offline(False)
        for route in self.late:
            route.continue_()

    def flush(self):
        assert self.page.evaluate("() => parley.flush()") is True
        heard = self.page.evaluate("() => heard")
        assert [(id, verdict) for id, verdict in heard if id in self.said] == [(id, "stored") for id in self.said], heard

    def close(self):
        self.context.close()
        assert self.faults == []


@pytest.fixture(scope="module")
def site(gateway):
    with Site(gateway) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        yield site
        site.shutdown()


@pytest.fixture(scope="module")
def projects(gateway):
    """Each made while the test before is at work: a new key is known within a second, not at once."""
    with ThreadPoolExecutor(1) as maker:
        def coming():
            return maker.submit(gateway.project, f"sdk-{next(numbers)}")

        def each(next_one):
            while True:
                this, next_one = next_one, coming()
                yield this.result()

        numbers = itertools.count()
        yield each(coming())


@pytest.fixture
def project(projects):
    project = next(projects)
    yield project
    project.assert_law()


@pytest.fixture
def open_chat(browser, site, project):
    """Opens pages of the test's project; none may have thrown when the test is over."""
    chats = []

    def open(**options):
        chats.append(Chat(browser, site, project, **options))
        return chats[-1]

    yield open
    for chat in chats:
        chat.close()


@pytest.fixture(scope="module")
def openai():
    with FakeOpenAI() as fake:
        yield fake


# MARK: the backends


def run(name, script, *words, **environment):
    """A process of a backend with one SDK; it ends once all it recorded was sent."""
    python = os.environ.get(f"PARLEY_SDK_PYTHON_{name.upper()}", str(ROOT / f".venv/sdk-{name}/bin/python"))
    assert Path(python).exists(), f"no interpreter with the {name} SDK: scripts/test makes it, or PARLEY_SDK_PYTHON_{name.upper()} names it"
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LUNARY_", "OPIK_", "OTEL_", "AGNOST_"))}
    done = subprocess.run(
        [python, str(SDKS / "scripts" / script), *words], capture_output=True, text=True, timeout=60, env={**clean, **environment})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


class Backends:
    """What each SDK records of one answer to the message; every one gives the names of its topmost runs and those below."""

    def __init__(self, project, openai):
        self.project = project
        self.url = project.gateway.url
        self.openai = openai.url

    def lunary(self, message, thread):
        run("lunary", "lunary_sdk.py", "openai_under_agent", json.dumps({"url": self.openai, "parent": message}),
            LUNARY_API_URL=self.url, LUNARY_PRIVATE_KEY=self.project.secret)
        return {"Answerer": ["llm"]}

    def opik(self, message, thread, in_metadata=False):
        arguments = {"message": message, "thread": thread, "in_metadata": in_metadata, "question": PROMPT, "answer": ANSWER}
        found = run(
            "opik", "opik_steps.py", "under_message", json.dumps(arguments), OPIK_URL_OVERRIDE=self.url + "/api/",
            OPIK_API_KEY=self.project.secret, OPIK_PROJECT_NAME=self.project.name, OPIK_SENTRY_ENABLE="false",
            OPIK_ANALYTICS_ENABLE="false", OPIK_ANALYTICS_URL="", OPIK_CONFIG_PATH=os.devnull, HOME=self.project.gateway.folder)
        assert found["flushed"] is True and (found["trace"] == message) is not in_metadata
        return {"turn": ["llm"]}

    def opik_in_metadata(self, message, thread):
        return self.opik(message, thread, in_metadata=True)

    def agnost(self, message, thread):
        turn = {
            "user_id": "visitor-1", "input": PROMPT, "agent_name": "shop", "conversation_id": thread,
            "properties": {"message_id": message}, "end": {"output": ANSWER}}
        run("agnost", "agnost_backend.py", json.dumps({"endpoint": self.url, "key": self.project.secret, "calls": [["turn", turn]]}))
        return {"shop": []}

    def otel(self, message, thread):
        self.answer({"baggage": f"chat.message.id={message},chat.thread.id={thread}"})
        return {"POST /chat": ["llm"]}

    def otel_by_trace(self, message, thread):
        told = self.answer({"traceparent": f"00-{message.replace('-', '')}-{uuid.uuid4().hex[:16]}-01"}, baggage=False)
        assert told["trace"] == message.replace("-", "")
        return {"POST /chat": ["llm"]}

    def answer(self, headers, **options):
        """The OpenTelemetry backend, given the request of a page."""
        options = {
            "endpoint": self.url + "/v1/traces", "key": self.project.secret, "openai": self.openai, "incoming": headers, **options}
        told = run("otel", "otel_backend.py", json.dumps(options))
        assert told["exported"] == ["SUCCESS"]
        return told


@pytest.fixture
def backends(project, openai):
    return Backends(project, openai)


# MARK: reading


def eventually(check, seconds=4):
    """Stores settle within moments: a name that an SDK hashed is known half a second later."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return check()
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def flat(runs):
    for each in runs:
        yield each
        yield from flat(each["runs"])


def one_conversation(project, chat, *said):
    """One thread, in it each message once and all runs under the first; answers these."""
    (listed,) = project.read("/v1/threads")["threads"]
    whole = project.conversation(chat.thread)
    assert listed["id"] == whole["thread"]["id"] == chat.thread
    assert [(item["type"], item["id"], item["role"], item["content"], item["derivedFrom"]) for item in whole["items"]] == [
        ("message", id, role, content, None) for id, (role, content) in zip(chat.said, said, strict=True)], whole["items"]
    assert listed["messageCount"] == whole["thread"]["messageCount"] == len(said)
    assert whole["runs"] == [] and all(item["runs"] == [] for item in whole["items"][1:]), whole
    asked = whole["items"][0]
    assert {each["link"] for each in flat(asked["runs"])} == {"bound"}, asked["runs"]
    for each in flat(asked["runs"]):
        alone = project.read(f"/v1/runs/{each['id']}")["run"]
        assert (alone["message"], alone["thread"]) == (asked["id"], chat.thread), alone
    return asked["runs"]


def shape(runs):
    """Name → kinds below."""
    assert len({each["name"] for each in runs}) == len(runs), [each["name"] for each in runs]
    return {each["name"]: [below["kind"] for below in each["runs"]] for each in runs}


# MARK: one SDK


@pytest.mark.parametrize("held", [False, True], ids=["message-first", "run-first"])
@pytest.mark.parametrize("sdk", ["lunary", "opik", "opik_in_metadata", "agnost", "otel", "otel_by_trace"])
def test_a_run_hangs_under_the_message_of_the_page(project, open_chat, backends, sdk, held):
    chat = open_chat(held=held)
    asked = chat.say("user", QUESTION)
    if held:
        chat.nothing_left()
    else:
        chat.flush()
    made = getattr(backends, sdk)(asked, chat.thread)
    chat.say("assistant", ANSWER, reply_to=asked)
    if held:
        chat.nothing_left()
        chat.release()
    chat.flush()

    def check():
        runs = one_conversation(project, chat, ("user", QUESTION), ("assistant", ANSWER))
        assert shape(runs) == made
        return runs

    (top,) = eventually(check)
    assert top["via"] == ("trace" if sdk == "otel_by_trace" else "parent"), top
    assert top["success"] is not False


def test_what_is_asked_next_has_its_own_runs(project, open_chat, backends):
    """The same words twice, with the same answer."""
    chat = open_chat()
    for _ in range(2):
        asked = chat.say("user", QUESTION)
        chat.flush()
        backends.agnost(asked, chat.thread)
        chat.say("assistant", ANSWER, reply_to=asked)
        chat.flush()
    whole = project.conversation(chat.thread)
    assert [(item["id"], [each["name"] for each in item["runs"]]) for item in whole["items"]] == [
        (id, names) for id, names in zip(chat.said, [["shop"], [], ["shop"], []])]
    assert whole["runs"] == []


# MARK: all SDKs


@pytest.mark.parametrize("opik, order", [("opik", "page-first"), ("opik_in_metadata", "page-last"), ("opik_in_metadata", "at-once")])
def test_a_page_and_four_sdks_make_one_conversation(project, open_chat, backends, opik, order):
    chat = open_chat(snippet="loader", held=order == "page-last")
    asked = chat.say("user", QUESTION)
    if order == "page-first":
        chat.flush()
    if order == "page-last":
        chat.nothing_left()
    names = ["lunary", opik, "agnost", "otel"]
    with ThreadPoolExecutor(len(names)) as pool:
        working = [pool.submit(getattr(backends, name), asked, chat.thread) for name in names]
        if order == "at-once":
            chat.say("assistant", ANSWER, reply_to=asked)
            chat.flush()
        made = {name: below for each in working for name, below in each.result().items()}
    if order != "at-once":
        chat.say("assistant", ANSWER, reply_to=asked)
        chat.release()
        chat.flush()

    def check():
        runs = one_conversation(project, chat, ("user", QUESTION), ("assistant", ANSWER))
        if opik == "opik":
            # Its trace has the message's ID: who names that ID is read below the trace.
            (turn,) = runs
            below = [each for each in turn["runs"] if each["name"] in made]
            turn["runs"] = [each for each in turn["runs"] if each not in below]
            runs = [turn, *below]
        assert shape(runs) == made

    eventually(check)


# MARK: carried by the page's own requests

ASK = {
    "fetch": """(headers) => fetch("/chat", { method: "POST", body: "{}", headers }).then((answer) => answer.json())""",
    "xhr": """(headers) => new Promise((done, fail) => {
        const request = new XMLHttpRequest();
        request.open("POST", "/chat");
        for (const name in headers) request.setRequestHeader(name, headers[name]);
        request.onload = () => done(JSON.parse(request.responseText));
        request.onerror = fail;
        request.send("{}");
    })""",
}


def carried(chat, site, backend, how, headers=None):
    """Says something and asks the page's backend; gives the message's ID and the headers that arrived."""
    site.backend = backend
    site.asked.clear()
    chat.page.evaluate("() => { parleyCarry(thread) }")
    asked = chat.say("user", QUESTION)
    reply = chat.page.evaluate(ASK[how], headers or {})["reply"]
    if chat.late:
        chat.nothing_left()
        chat.release()
    chat.say("assistant", reply, reply_to=asked)
    chat.flush()
    (arrived,) = site.asked
    return asked, arrived


def check_carried(project, chat, via):
    def check():
        runs = one_conversation(project, chat, ("user", QUESTION), ("assistant", ANSWER))
        assert shape(runs) == {"POST /chat": ["llm"]}
        return runs

    (top,) = eventually(check)
    assert top["via"] == via, top


ways = pytest.mark.parametrize(
    "how, held", [("fetch", False), ("xhr", False), ("fetch", True)], ids=["fetch", "xhr", "fetch-run-first"])


@ways
@pytest.mark.parametrize("processor", [True, False], ids=["baggage", "trace"])
def test_a_request_of_the_page_carries_its_message(project, site, open_chat, backends, processor, how, held):
    chat = open_chat(snippet="loader" if held else "script", held=held)
    asked, arrived = carried(chat, site, lambda headers: backends.answer(headers, baggage=processor), how, {"X-Own": "1"})
    version, trace, parent, flags = arrived["traceparent"].split("-")
    assert (version, trace, flags) == ("00", asked.replace("-", ""), "01") and len(parent) == 16
    assert arrived["baggage"] == f"chat.message.id={asked},chat.thread.id={chat.thread}"
    assert arrived["x-own"] == "1"
    check_carried(project, chat, "parent" if processor else "trace")


@pytest.mark.parametrize("how, held", [("xhr", False), ("fetch", True)], ids=["xhr", "fetch-run-first"])
def test_a_request_that_has_a_trace_keeps_it(project, site, open_chat, backends, how, held):
    chat = open_chat(snippet="loader" if held else "script", held=held)
    apm = f"00-{uuid.uuid4().hex}-{uuid.uuid4().hex[:16]}-01"
    _, arrived = carried(
        chat, site, lambda headers: backends.answer(headers, baggage=False), how, {"traceparent": apm, "baggage": "plan=pro"})
    assert (arrived["traceparent"], arrived["baggage"]) == (apm, "plan=pro")
    check_carried(project, chat, "trace")


# What the browser instrumentations of OpenTelemetry do: fetch with a header more, and a header more as an XHR is sent.
APM = """(trace) => {
    const { fetch, XMLHttpRequest: { prototype } } = window;
    const { send } = prototype;
    window.fetch = function (input, options = {}) {
        const headers = new Headers(options.headers || input.headers);
        headers.set("traceparent", trace);
        return fetch.call(this, input, { ...options, headers });
    };
    prototype.send = function (body) {
        this.setRequestHeader("traceparent", trace);
        return send.call(this, body);
    };
}"""


@pytest.mark.parametrize("how", list(ASK))
def test_an_apm_that_was_there_before_the_chat_keeps_its_trace(project, site, open_chat, backends, how):
    """The add-on's script comes first in the page, then the APM's; the thread is opened and carried when both are there."""
    chat = open_chat()
    apm = f"00-{uuid.uuid4().hex}-{uuid.uuid4().hex[:16]}-01"
    chat.page.evaluate(APM, apm)
    _, arrived = carried(chat, site, lambda headers: backends.answer(headers, baggage=False), how)
    assert arrived["traceparent"] == apm
    check_carried(project, chat, "trace")
