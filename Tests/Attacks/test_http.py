"""The gateway speaks HTTP with whoever connects. What breaks the grammar, comes too slowly or grows too large has to cost only its sender."""

import contextlib
import gzip
import json
import re
import select
import socket
import threading
import time
import zlib

import pytest
import requests

import doors
from parley_process import Gateway, message, new_id, until
from watch import MEGABYTE, Neighbour, Watch
from wire import CLOSE, CONTINUATION, PING, PONG, TEXT, UPGRADE, Line, Socket, ask, frame, request

# ----------------------------------------------------------------------------------------------------- slow attackers


class Sluggard:
    """A connection that says a little now and then; knows how long the server bore it."""

    def __init__(self, gateway, first, drip=b"", every=1.0, reads=True, source="127.0.0.1"):
        self.gateway, self.drip, self.every, self.reads = gateway, drip, every, reads
        self.line = Line(gateway, source, receive_buffer=None if reads else 4096)
        self.port = self.line.socket.getsockname()[1]
        self.line.send(first)
        self.begun = self.dripped = time.monotonic()
        self.lasted, self.heard = None, b""

    def turn(self):
        now = time.monotonic()
        if self.reads:
            while select.select([self.line.socket], [], [], 0)[0]:
                try:
                    piece = self.line.socket.recv(65536)
                except OSError:
                    piece = b""
                self.heard += piece
                if not piece:
                    self.lasted = now - self.begun
                    return
        elif not self._is_held():
            self.lasted = now - self.begun
            return
        if self.drip and now - self.dripped >= self.every:
            self.dripped = now
            with contextlib.suppress(OSError):
                self.line.socket.send(self.drip)

    def _is_held(self):
        """Whether the server still has its end open: to a client that reads nothing, the end of the line can't be told otherwise."""
        with open("/proc/net/tcp") as table:
            for row in table:
                parts = row.split()
                if parts[1].endswith(f":{self.gateway.port:04X}") and parts[2].endswith(f":{self.port:04X}"):
                    return parts[9] != "0"
        return False


class Sluggards:
    """All of them side by side, in a thread, from the first test on; the last tests ask what became of them."""

    def __init__(self):
        self.gateway = Gateway().start()
        self.project = self.gateway.project("slow", "--no-quotas")
        for _ in range(12):
            assert self.project.post([message(text="x" * 60_000) for _ in range(16)]).status_code == 200
        self.files = Watch(self.gateway).files()
        gateway, key = self.gateway, self.project.secret
        head = f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n".encode()
        upgrade = request("GET", f"/v1/socket?key={self.project.public}", [*UPGRADE, ("Origin", self.project.ORIGIN)])
        self.all = {
            "says nothing": Sluggard(gateway, b""),
            "a head, byte by byte": Sluggard(gateway, b"GET / HTTP/1.1\r\nHost: ", b"a", 0.5),
            "headers without end": Sluggard(gateway, b"GET / HTTP/1.1\r\nHost: x\r\n", b"X: a\r\n", 0.3),
            "empty lines without end": Sluggard(gateway, b"\r\n", b"\r\n", 0.3),
            "a body that stalls": Sluggard(gateway, head + b'Content-Length: 1000\r\n\r\n{"events":['),
            "a body, byte by byte": Sluggard(gateway, head + b'Content-Length: 1000\r\n\r\n{"events":[', b" ", 1.0),
            "a body, chunk by chunk": Sluggard(gateway, head + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", 1.0),
            "a chunk's extension, byte by byte": Sluggard(gateway, head + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x", 1.0),
            "reads nothing": Sluggard(gateway, request("GET", "/v1/export", [("Authorization", f"Bearer {key}")]), reads=False),
            "no hello": Sluggard(gateway, upgrade, source="127.0.0.2"),
            "no hello, but pings": Sluggard(gateway, upgrade, frame(PING, b"x"), 0.5, source="127.0.0.2"),
            "silent after hello": Sluggard(gateway, upgrade + frame(TEXT, b'{"type":"hello","client":"test/1"}'), source="127.0.0.2"),
        }
        # Many of the first kind, from one address: the neighbour must not feel them.
        self.many = [Sluggard(gateway, b"GET / HTTP/1.1\r\nHost: ", b"a", 1.0, source="127.0.0.3") for _ in range(150)]
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.over.wait(0.1):
            for sluggard in [*self.all.values(), *self.many]:
                if sluggard.lasted is None:
                    sluggard.turn()

    def end(self):
        self.over.set()
        self.thread.join(10)
        for sluggard in [*self.all.values(), *self.many]:
            sluggard.line.close()
        self.gateway.stop()


@pytest.fixture(scope="module", autouse=True)
def sluggards():
    sluggards = Sluggards()
    yield sluggards
    sluggards.end()


@pytest.fixture
def fresh():
    """A gateway whose memory nobody else has touched, and a project without quotas."""
    gateway = Gateway().start()
    project = gateway.project("fresh", "--no-quotas")
    yield project
    alive = gateway.process.poll() is None
    if alive:
        project.assert_law()
    gateway.process.kill()
    gateway.process.wait()
    assert alive, "the gateway ended"


def test_while_a_hundred_and_fifty_lines_dribble_their_heads_others_are_served(sluggards):
    """Threat: slow loris. Heads that dribble hold a connection each and nothing else; whoever comes meanwhile is served at once."""
    with Neighbour(sluggards.gateway) as neighbour:
        time.sleep(2)
        assert sluggards.project.send(message(thread="meanwhile")) == ["stored"]
    assert not neighbour.failed and neighbour.longest < 1.5
    assert sum(sluggard.lasted is None for sluggard in sluggards.many) > 100 or time.monotonic() - sluggards.many[0].begun > 8


# ---------------------------------------------------------------------------------------------------------- smuggling


class Smuggler:
    """Writes a request that two readers may cut differently, with another one hidden behind it."""

    def __init__(self, project):
        self.project = project
        self.thread = new_id()
        self.head = f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {project.secret}\r\n"
        self.body = json.dumps(message(thread="seen", text="seen"))

    def hidden(self):
        body = json.dumps(message(thread=self.thread, text="smuggled"))
        return f"{self.head}Content-Length: {len(body)}\r\n\r\n{body}"

    def send(self, data, quiet=0.3, patience=0.0):
        """The answers, and whether the line has ended behind them."""
        with Line(self.project.gateway) as line:
            line.send(data)
            answers = line.answers(quiet)
            return answers, line.ends_within(patience)

    def assert_refused(self, data):
        """Answered with refusals only, the line is ended, and what was hidden has not happened."""
        answers, has_ended = self.send(data, patience=2.0)
        assert answers and all(400 <= answer.status < 500 for answer in answers), answers
        assert has_ended, f"the line goes on after {answers}"
        self.assert_hidden("the hidden request was taken for one")

    def assert_hidden(self, why):
        assert self.project.get(f"/v1/threads/{self.thread}").status_code == 404, why


@pytest.fixture
def smuggler(shared):
    return Smuggler(shared)


ENCODINGS = [
    "Transfer-Encoding: chunked", "Transfer-Encoding : chunked", "Transfer-Encoding:\tchunked", "Transfer-Encoding:\x0bchunked",
    "Transfer-Encoding:\x0cchunked", "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunkedx", "Transfer-Encoding: chunk", "Transfer-Encoding: CHUNKED", "transfer-encoding: Chunked",
    "Transfer-Encoding: identity", "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: identity, chunked", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: chunked, chunked", 'Transfer-Encoding: "chunked"',
    "Transfer-Encoding: 'chunked'",
    "Transfer-Encoding: chunked;q=1", "Transfer-Encoding: ,chunked", "Transfer-Encoding: chunked,", "Transfer-Encoding:",
    "Transfer-Encoding: \r\nX: chunked", "Transfer-Encoding:\r\n chunked",
    "Transfer-Encoding\r\n: chunked", "X: y\r\n Transfer-Encoding: chunked", "X: y\nTransfer-Encoding: chunked", "X: y\rTransfer-Encoding: chunked",
    " Transfer-Encoding: chunked",
    "\tTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", "Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
    "Transfer\x00-Encoding: chunked", "Transfer-Encoding: chunked\x00", "Transfer-Encoding\x00: chunked", "Transfer-Encoding: ch\x00unked",
    "Transfer-Encoding: chunked\x7f", "Transfer-Encoding: \xffchunked",
    "Transfer-Encoding: chunked \x85", "Transfer-\rEncoding: chunked", "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked",
    "Connection: Content-Length\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nExpect: 100-continue", "TE: chunked\r\nTransfer-Encoding: chunked", "Upgrade: h2c\r\nTransfer-Encoding: chunked",
]


@pytest.mark.parametrize("order", ["length first", "encoding first"])
@pytest.mark.parametrize("encoding", ENCODINGS, ids=ascii)
def test_a_request_with_a_length_and_an_encoding_is_refused(smuggler, encoding, order):
    """Threat: two framings in one request, in every disguise of the second (CL.TE and TE.CL). Either is refused, and the line ends with it."""
    hidden = smuggler.hidden()
    length = f"Content-Length: {5 + len(hidden)}"
    fields = f"{length}\r\n{encoding}" if order == "length first" else f"{encoding}\r\n{length}"
    smuggler.assert_refused(f"{smuggler.head}{fields}\r\n\r\n0\r\n\r\n{hidden}")


@pytest.mark.parametrize("encoding", [
    "Transfer-Encoding: xchunked", "Transfer-Encoding: gzip", "Transfer-Encoding: identity", "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: chunked, chunked", "Transfer-Encoding: chunked;x",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "Transfer-Encoding:\r\n chunked", "Transfer-Encoding : chunked",
    "Transfer-Encoding: \x0bchunked", "Transfer-Encoding: chunked\r\n Content-Length: 5",
], ids=ascii)
def test_an_encoding_that_is_not_just_chunked_is_refused(smuggler, encoding):
    """Threat: an encoding that one reader knows and another does not. The body's end is uncertain then, so the request is refused and the line
    ends."""
    smuggler.assert_refused(f"{smuggler.head}{encoding}\r\n\r\n{len(smuggler.body):x}\r\n{smuggler.body}\r\n0\r\n\r\n{smuggler.hidden()}")


def test_a_request_of_an_old_version_with_an_encoding_ends_its_line(smuggler):
    """Threat: HTTP/1.0 knows no chunks, so an old proxy cuts them elsewhere. Whatever is answered, nothing behind it is read (RFC 9112, section
    6.1)."""
    for connection in ("", "Connection: keep-alive\r\n"):
        head = smuggler.head.replace("HTTP/1.1", "HTTP/1.0") + connection + "Transfer-Encoding: chunked\r\n\r\n"
        smuggler.send(f"{head}{len(smuggler.body):x}\r\n{smuggler.body}\r\n0\r\n\r\n{smuggler.hidden()}")
    smuggler.assert_hidden("what stood behind it was taken for a request")


LENGTHS = [
    "Content-Length: {n}\r\nContent-Length: {m}", "Content-Length: {m}\r\nContent-Length: {n}", "Content-Length: {n}, {m}", "Content-Length: {n},{n}",
    "content-length: {n}\r\nCONTENT-LENGTH: {m}", "Content-Length: +{n}",
    "Content-Length: -{n}", "Content-Length: -0", "Content-Length: 0x{n:x}", "Content-Length: {n:x}h", "Content-Length: {n} {n}",
    "Content-Length: {n} x", "Content-Length: {n}.0", "Content-Length: {n};x", "Content-Length: 1e2",
    "Content-Length: ", "Content-Length:\r\n {n}", "Content-Length: {n}\r\n {n}", "Content-Length : {n}", "Content-Length\t: {n}",
    "Content\tLength: {n}", "Content-Length: {n}\x00", "Content-Length: \x00{n}", "Content-Length\x00: {n}",
    "Content-Length: {n}\x0b", "Content-Length: {n}\r", "X: y\nContent-Length: {n}", "X: y\rContent-Length: {n}", " Content-Length: {n}",
    "Content-Length: \xd9\xa1{n}", "Content-Length: '{n}'", 'Content-Length: "{n}"', "Content-Length: 1_000",
    "Content-Length: 99999999999999999999999999", "Content-Length: 18446744073709551616", "Content-Length: 18446744073709551615",
    "Content-Length: 9223372036854775808", "Content-Length: nan",
]


@pytest.mark.parametrize("length", LENGTHS, ids=ascii)
def test_a_length_that_two_readers_may_read_differently_is_refused(smuggler, length):
    """Threat: two lengths, or one with a sign, blanks, another base, or more digits than a number has. It is refused at once, and the line ends
    with it."""
    count = len(smuggler.body)
    field = length.format(n=count, m=count + 40)
    smuggler.assert_refused(f"{smuggler.head}{field}\r\n\r\n{smuggler.body}{smuggler.hidden()}")


CHUNKS = [
    "+{n:x}\r\n{body}\r\n0\r\n\r\n", "-{n:x}\r\n{body}\r\n0\r\n\r\n", "0x{n:x}\r\n{body}\r\n0\r\n\r\n", " {n:x}\r\n{body}\r\n0\r\n\r\n",
    "{n:x} \r\n{body}\r\n0\r\n\r\n", "\t{n:x}\r\n{body}\r\n0\r\n\r\n", "{n:x}h\r\n{body}\r\n0\r\n\r\n",
    "_{n:x}\r\n{body}\r\n0\r\n\r\n", "{n:x}\x00\r\n{body}\r\n0\r\n\r\n", "\r\n{n:x}\r\n{body}\r\n0\r\n\r\n", "{n:x}\n{body}\r\n0\r\n\r\n",
    "{n:x}\r\r\n{body}\r\n0\r\n\r\n", "{n:x}\r{body}\r\n0\r\n\r\n", "{n:x};a=\nb\r\n{body}\r\n0\r\n\r\n",
    '{n:x};a="\n"\r\n{body}\r\n0\r\n\r\n', "{n:x}\r\n{body}\n0\r\n\r\n", "{n:x}\r\n{body}xx0\r\n\r\n", "{n:x}\r\n{body}0\r\n\r\n",
    "{n:x}\r\n{body}\r\n0\n\n", "1{zeros}{n:x}\r\n{body}\r\n0\r\n\r\n", "1{zeros}\r\n{body}\r\n0\r\n\r\n",
    "{n:x}\r\n{body}\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n", "{n:x}\r\n{body}\r\n0\r\nContent-Length: 5\r\n\r\n",
    "{n:x}\r\n{body}\r\n0\r\nX : y\r\n\r\n", "{n:x}\r\n{body}\r\n0\r\nX: y\r\n z\r\n\r\n", "{n:x}\r\n{body}\r\n-0\r\n\r\n",
    "{n:x}\r\n{body}\r\ng\r\n\r\n", "\r\n\r\n", "x\r\n{body}\r\n0\r\n\r\n", ";a\r\n{body}\r\n0\r\n\r\n", "\xef\xbc\x91\r\n{body}\r\n0\r\n\r\n",
]


@pytest.mark.parametrize("chunks", CHUNKS, ids=ascii)
def test_a_chunk_that_two_readers_may_read_differently_is_refused(smuggler, chunks):
    """Threat: chunk sizes with signs, blanks or too many digits, bare line ends, and lengths in trailers. The body is broken then, and so is the
    line."""
    text = chunks.replace("{n:x}", f"{len(smuggler.body):x}").replace("{zeros}", "0" * 16).replace("{body}", smuggler.body)
    smuggler.assert_refused(f"{smuggler.head}Transfer-Encoding: chunked\r\n\r\n{text}{smuggler.hidden()}")


def test_what_stands_behind_the_last_request_is_not_heard(smuggler):
    """Threat: a request hides behind one after which the line was to end: `Connection: close`, an upgrade that can't be had, a body that was
    refused unread."""
    hidden, length = smuggler.hidden(), f"Content-Length: {len(smuggler.body)}"
    upgrade = "".join(f"{name}: {value}\r\n" for name, value in UPGRADE)
    for first in (
        f"{smuggler.head}Connection: close\r\n{length}\r\n\r\n{smuggler.body}", f"{smuggler.head}{upgrade}{length}\r\n\r\n{smuggler.body}",
        f"{smuggler.head}Connection: Upgrade\r\nUpgrade: h2c\r\n{length}\r\n\r\n{smuggler.body}",
        f"GET /v1/socket?key=x HTTP/1.1\r\nHost: x\r\n{upgrade}Content-Length: {len(hidden)}\r\n\r\n",
        f"GET /v1/socket HTTP/1.1\r\nHost: x\r\n{upgrade.replace('13', '99')}\r\n", f"GET /healthz HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n",
        f"GET /v1/socket?key=pk_x HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ):
        smuggler.send(first + hidden)
        smuggler.assert_hidden(first[:200])


def test_a_refused_bodys_bytes_are_never_a_request(smuggler):
    """Threat: a body that is refused before it is read is itself a request. It is thrown away as the body that it is."""
    hidden = smuggler.hidden()
    for refused in ("POST /v1/events HTTP/1.1\r\nHost: x\r\n", "POST /v1/beacon?key=x HTTP/1.1\r\nHost: x\r\n",
        "POST /nowhere HTTP/1.1\r\nHost: x\r\n", "GET /healthz HTTP/1.1\r\nHost: x\r\n", "DELETE /v1/events HTTP/1.1\r\nHost: x\r\n",
                    "OPTIONS /v1/events HTTP/1.1\r\nHost: x\r\n", "HEAD /healthz HTTP/1.1\r\nHost: x\r\n", f"{smuggler.head}Content-Encoding: br\r\n",
                    f"{smuggler.head}Content-Encoding: gzip\r\n", "PUT /v1/threads/x HTTP/1.1\r\nHost: x\r\n",
                    "POST /ui/session HTTP/1.1\r\nHost: x\r\nSec-Fetch-Site: cross-site\r\n", "POST /v1/scores HTTP/1.1\r\nHost: x\r\n",
                    "GET /v1/threads HTTP/1.1\r\nHost: x\r\n"):
        for framed in (f"Content-Length: {len(hidden)}\r\n\r\n{hidden}",
            f"Transfer-Encoding: chunked\r\n\r\n{len(hidden):x}\r\n{hidden}\r\n0\r\n\r\n"):
            with Line(smuggler.project.gateway) as line:
                line.send(refused + framed)
                while line.more(0.15):
                    pass
            smuggler.assert_hidden(refused)


@pytest.mark.parametrize("path", [
    "/healthz", "/readyz", "/metrics", "/docs/reasons", "/parley.js", "/", "/ui", "/ui/", "/ui/app.js", "/ui/session", "/v1/threads", "/v1/threads/x",
    "/v1/export", "/v1/live", "/v1/events", "/v1/beacon", "/v1/socket", "/nowhere",
    "/v1/runs", "/v1/runs/x/feedback", "/api/v1/is-alive/ping", "/api/v1/private/traces"])
def test_an_answer_to_head_has_no_body(gateway, path):
    """Threat: an answer to HEAD that has a body. A proxy that keeps its connection takes that body for the answer to the next visitor (RFC 9110,
    section 9.3.2)."""
    with Line(gateway) as line:
        line.send(request("HEAD", path) + request("GET", "/healthz"))
        first = line.answer(has_body=False)
        assert first is not None
        until("an answer or the end", lambda: line.more(0.2) or line.buffer or line.is_over)
        assert line.buffer.startswith(b"HTTP/1.1 "), f"{first.status}, then {line.buffer[:120]!r}"


# --------------------------------------------------------------------------------------------------- grammar and size

GET = "GET /healthz HTTP/1.1\r\nHost: x\r\n"
BROKEN = {
    "bare line feeds": "GET /healthz HTTP/1.1\nHost: x\n\n", "a bare line feed": "GET /healthz HTTP/1.1\r\nHost: x\nX: y\r\n\r\n",
    "bare carriage returns": "GET /healthz HTTP/1.1\rHost: x\r\r", "a last bare line feed": GET + "X: y\r\n\n",
    "a folded header": GET + "X: y\r\n z\r\n\r\n", "a folded header, by tab": GET + "X: y\r\n\tz\r\n\r\n",
    "a fold in the first header": "GET /healthz HTTP/1.1\r\n Host: x\r\n\r\n", "a fold of nothing": GET + "X:\r\n \r\n\r\n",
    "a space before the colon": GET + "X : y\r\n\r\n", "a tab before the colon": GET + "X\t: y\r\n\r\n", "no colon": GET + "XYZ\r\n\r\n",
    "no name": GET + ": y\r\n\r\n", "a space in a name": GET + "X Y: z\r\n\r\n",
    "NUL in a value": GET + "X: a\x00b\r\n\r\n", "NUL in a name": GET + "X\x00Y: a\r\n\r\n",
    "NUL in the target": "GET /health\x00z HTTP/1.1\r\nHost: x\r\n\r\n", "a carriage return in a value": GET + "X: a\rb\r\n\r\n",
    "a control in a value": GET + "X: a\x01b\r\n\r\n",
    "an escape in a value": GET + "X: \x1b[31m\r\n\r\n", "DEL in a value": GET + "X: \x7f\r\n\r\n", "a high byte in a name": GET + "X\xff: y\r\n\r\n",
    "a bracket in a name": GET + "X(Y): z\r\n\r\n",
    "a space in the target": "GET /heal thz HTTP/1.1\r\nHost: x\r\n\r\n", "a tab before the version": "GET /healthz\tHTTP/1.1\r\nHost: x\r\n\r\n",
    "a high byte in the target": "GET /healthz\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    "no version": "GET /healthz\r\n\r\n", "version 0.9": "GET /healthz HTTP/0.9\r\nHost: x\r\n\r\n",
    "version 2.0": "GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n", "version 1.2": "GET /healthz HTTP/1.2\r\nHost: x\r\n\r\n",
    "version 1.10": "GET /healthz HTTP/1.10\r\nHost: x\r\n\r\n",
    "version 11": "GET /healthz HTTP/11\r\nHost: x\r\n\r\n", "a small version": "GET /healthz http/1.1\r\nHost: x\r\n\r\n",
    "a blank in the version": "GET /healthz HTTP /1.1\r\nHost: x\r\n\r\n", "an unknown method": "STEAL /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "a small method": "get /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "no method": " /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "an authority alone": "GET evil.example:80 HTTP/1.1\r\nHost: x\r\n\r\n", "a blank first": " " + GET + "\r\n",
    "a TLS hello": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "A" * 300,
    "an SSH hello": "SSH-2.0-OpenSSH_9.6\r\n\r\n", "a Redis command": "*1\r\n$4\r\nPING\r\n",
    "a PROXY line": "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n" + GET + "\r\n", "zeros": "\x00" * 500,
    "a very long method": "G" * 100_000 + " / HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("name", list(BROKEN))
def test_what_breaks_the_grammar_of_a_head_is_refused(gateway, name):
    """Threat: a lenient reader sees other headers than the proxy before it does. What is not HTTP/1 to the letter is answered 400, and the line
    ends."""
    with Line(gateway) as line:
        line.send(BROKEN[name])
        answer = line.answer()
        assert answer and answer.status == 400 and answer.one("Connection") == "close", answer
        assert line.ends_within(3)


HUGE = {
    "a target of 70 KB": f"GET /healthz?{'a' * 70_000} HTTP/1.1\r\nHost: x\r\n\r\n",
    "a target of 4 MB": f"GET /healthz?{'a' * 4_000_000} HTTP/1.1\r\nHost: x\r\n\r\n", "a value of 17 KB": GET + f"X: {'a' * 17_000}\r\n\r\n",
    "a value of 4 MB": GET + f"X: {'a' * 4_000_000}\r\n\r\n",
    "a name of 20 KB": GET + f"{'X' * 20_000}: a\r\n\r\n",
    "a thousand headers": GET + "".join(f"X-{number}: a\r\n" for number in range(1000)) + "\r\n",
    "a thousand times one": GET + "X: a\r\n" * 1000 + "\r\n", "64 KB in headers": GET + f"X: {'a' * 10_000}\r\n" * 7 + "\r\n",
    "a hundred thousand headers": GET + "X: a\r\n" * 100_000 + "\r\n", "a cookie of 4 MB": GET + "Cookie: " + "a=b; " * 800_000 + "\r\n\r\n",
}


@pytest.mark.parametrize("name", list(HUGE))
def test_a_head_that_is_too_large_is_refused_while_it_comes(gateway, name):
    """Threat: a head of megabytes fills memory before anybody may refuse it. It is answered 431 at its bound, and the line ends."""
    watch = Watch(gateway)
    watch.forget_peak()
    before = watch.memory()
    with Line(gateway) as line:
        line.send(HUGE[name])
        answer = line.answer()
        # A reset may overtake the answer where megabytes were still on their way.
        assert (answer and answer.status in (400, 414, 431)) or (len(HUGE[name]) > MEGABYTE and line.is_over), answer
        assert line.ends_within(3)
    assert watch.peak() - before < 32 * MEGABYTE


@pytest.mark.parametrize("hosts", [[], ["a.example", "b.example"], ["a.example", "a.example"], ["a b"], ["a.example/evil"], ["user@a.example"],
    ["a.example, b.example"], ["<script>"], ["a.example:80:80"], ["a.example:80x"], ["[::1"], ["[::1]x"], ["[::1]:80:80"], ["::1"], ["a]b"]], ids=str)
def test_a_request_names_one_host(gateway, hosts):
    """Threat: two hosts, none, or what is no host: the review page compares an Origin with it, and a proxy routes by it. It is answered 400 (RFC
    9112, section 3.2)."""
    data = "GET /healthz HTTP/1.1\r\n" + "".join(f"Host: {host}\r\n" for host in hosts) + "\r\n"
    assert ask(gateway, data).status == 400


@pytest.mark.parametrize("host", ["a.example", "a.example:8787", "192.0.2.1:1", "[::1]", "[::1]:8787", "a.example:", "xn--nxasmq6b", "a_b.example"])
def test_a_host_may_have_a_port(gateway, host):
    """What is refused must not be what browsers and proxies send."""
    assert ask(gateway, f"GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n").status == 200


@pytest.mark.parametrize("target", ["http://evil.example/healthz", "https://user:pass@evil.example:99/healthz", "http://evil.example:80/healthz?x",
    "HTTP://EVIL.EXAMPLE/healthz"])
def test_an_absolute_target_is_its_path_and_nothing_else(gateway, target):
    """Threat: a target in absolute form makes a proxy of the server, or smuggles a host into an answer. The path counts, and no answer repeats the
    rest."""
    answer = ask(gateway, f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.status == 200 and answer.body == b"ok\n" and b"evil" not in repr(answer.headers).lower().encode()
    moved = ask(gateway, f"GET {target.replace('/healthz', '/ui')} HTTP/1.1\r\nHost: x\r\n\r\n")
    assert moved.one("Location") == "/ui/"


@pytest.mark.parametrize("line", ["CONNECT evil.example:443 HTTP/1.1", "OPTIONS * HTTP/1.1", "TRACE / HTTP/1.1", "GET * HTTP/1.1",
    "PROPFIND / HTTP/1.1", "PURGE /parley.js HTTP/1.1", "TRACE /v1/events HTTP/1.1"])
def test_methods_that_nobody_needs_do_nothing_and_repeat_nothing(gateway, line):
    """Threat: CONNECT tunnels, TRACE tells a page its cookies, PURGE empties a cache. They find nothing, and no word of theirs is said back."""
    answer = ask(gateway, f"{line}\r\nHost: x\r\nCookie: parley_session=verysecret\r\n\r\n")
    assert answer.status in (400, 404, 405, 204, 501) and b"verysecret" not in answer.body and "verysecret" not in repr(answer.headers)


# ----------------------------------------------------------------------------------------------- what the server repeats


def test_no_header_is_made_of_what_a_client_sent(shared):
    """Threat: header injection. No answer carries a value that a client chose, but its own origin and the subprotocol it offered."""
    mark = "mark3r"
    names = ["X-Request-Id", "X-Correlation-Id", "Request-Id", "Traceparent", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto",
        "X-Forwarded-Prefix", "Forwarded", "Via", "Referer", "User-Agent", "Cookie", "Accept", "Accept-Language",
             "X-Original-URL", "X-Rewrite-URL", "Parley-Upgrade-Refused", "Access-Control-Request-Headers", "Content-Type", "If-None-Match",
             "X-HTTP-Method-Override", "Range", "X-Org-Id", "Parley-Project", "Comet-Workspace", "Idempotency-Key", "Last-Event-ID"]
    headers = [(name, mark) for name in names]
    for method in ("GET", "POST", "OPTIONS", "PUT"):
        for path in ("/", "/ui", "/ui/", "/parley.js", "/v1/events", "/v1/threads", "/v1/export", "/v1/socket", "/nowhere", "/v1/beacon",
            "/v1/runs/ingest", "/v1/session/redirect/projects", "/docs/reasons", "/ui/session"):
            for target in (f"{path}?x={mark}", f"{path}?%0d%0aX-Injected:%20{mark}", f"{path}%0d%0aX-Injected:%20{mark}"):
                for key in ([], [("Authorization", f"Bearer {shared.secret}")]):
                    answer = ask(shared.gateway, request(method, target, headers + key, mark.encode() if method != "GET" else b""))
                    assert mark not in repr(answer.headers).lower() and not answer.all("X-Injected"), f"{method} {target}: {answer.headers}"


@pytest.mark.parametrize("offered", ["parley.v1\x0b", "a\rb", "a\nX-Injected: yes", "a b", "a\tb", "<script>", "a;b", "a\x00", "a\"b", "\xe9", "a=b",
    "a/b", "parley.v1, a b", ", ,", "parley.v2, <b>"], ids=ascii)
def test_a_subprotocol_is_repeated_only_if_it_is_a_word(shared, offered):
    """Threat: the subprotocol that a client offers comes back in a header. Only a token of those offered may (RFC 6455, section 4.2.2)."""
    with Line(shared.gateway, "127.0.0.4") as line:
        line.send(request("GET", f"/v1/socket?key={shared.public}", [*UPGRADE, ("Origin", shared.ORIGIN), ("Sec-WebSocket-Protocol", offered)]))
        answer = line.answer(has_body=False)
        assert answer is not None and not answer.all("X-Injected")
        for said in answer.all("Sec-WebSocket-Protocol"):
            assert re.fullmatch(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", said) and said in [word.strip() for word in offered.split(",")], ascii(said[:80])


@pytest.mark.parametrize("name", ['x"; filename="evil.html', "../../etc/passwd", "a\\..\\b", "%0d%0aX-Injected: yes",
    "caf\u00e9 \u2028 \u202egnp.exe", "a;b=c", "'; rm -rf", "<script>", "CON", "a/b\\c:d*e?f|g"])
def test_an_exports_file_name_is_plain_whatever_the_project_is_called(made, name):
    """Threat: a project's name breaks out of the file name in Content-Disposition. The name of the file has plain letters only."""
    project = made(name=f"{name} {time.monotonic()}")
    project.send(message())
    for format in ("jsonl", "csv", "chat"):
        answer = ask(project.gateway, request("GET", f"/v1/export?format={format}", [("Authorization", f"Bearer {project.secret}")]))
        assert re.fullmatch(r'attachment; filename="parley-[A-Za-z0-9_-]+\.(jsonl|csv|chat\.jsonl)"',
            answer.one("Content-Disposition")) and not answer.all("X-Injected")


@pytest.mark.parametrize("name", ["a\r\nX: y", "a\nb", "a\x00b", "a\x7fb", "", " ", "x" * 81])
def test_a_projects_name_has_no_controls(gateway, admin, name):
    """Threat: a name with line ends goes into headers, logs and files. It is refused where it is given."""
    assert admin.post(gateway.url + "/v1/projects", json={"name": name}, timeout=20).status_code == 400


# ----------------------------------------------------------------------------------------------------------- traversal

TRAVERSALS = [
    "/ui/../../../../etc/passwd", "/ui/..%2f..%2f..%2fetc%2fpasswd", "/ui/%2e%2e/%2e%2e/etc/passwd", "/ui/%252e%252e%252fetc%252fpasswd",
    "/ui/..\\..\\..\\etc\\passwd", "/ui/..%5c..%5cetc%5cpasswd", "/ui/....//....//etc/passwd", "/ui/..;/..;/etc/passwd",
    "/ui/..%c0%af..%c0%afetc/passwd", "/ui/%uff0e%uff0e/etc/passwd", "/ui/..%ef%bc%8fetc/passwd", "/ui/%00", "/ui/app.js%00.html", "/ui/app.js%0a",
    "/ui/app.js%20", "/ui/app.js.", "/ui/app.js::$DATA", "/ui/APP.JS", "/ui/app%2ejs", "/ui/index.html",
    "/ui/file:///etc/passwd", "/ui//etc/passwd", "//etc/passwd", "/etc/passwd", "/parley.sqlite", "/../parley.sqlite", "/ui/../parley.sqlite",
    "/ui/../sealing.key", "/demo.json", "/ui/../demo.json", "/parley-data/parley.sqlite", "/proc/self/environ",
    "/ui/../../proc/self/environ", "/.git/config", "/.env", "/ui/.git/config", "/Package.swift", "/ui/../Package.swift",
    "/parley.js/../../etc/passwd", "/parley.js%2f..%2f..%2fetc%2fpasswd", "/./parley.js/..", "/ui/app.js/../../../etc/passwd", "/debug",
    "/server-status",
    "/ui/%2e", "/ui/.", "/ui/..", "/docs/../etc/passwd", "/docs/reasons/../../etc/passwd", "/ui/~root/.ssh/id_rsa", "/cgi-bin/test", "/ui/*",
    "/ui/?file=../../etc/passwd", "/parley.js?file=../../etc/passwd", "/v1/export?format=../../etc/passwd",
]


@pytest.mark.parametrize("target", TRAVERSALS)
def test_no_address_leads_to_a_file(gateway, target):
    """Threat: path traversal, encoded once, twice, overlong or with NUL. Addresses are looked up in a list; nothing is read from a disk by name."""
    for method in ("GET", "POST"):
        answer = ask(gateway, request(method, target))
        assert answer.status in (302, 400, 401, 404, 405) or (answer.status == 200 and "?" in target), answer
        for told in (b"root:", b"SQLite format", b"PATH=", b"PRIVATE KEY", b"secretKey", b"swift-tools-version", b"[core]"):
            assert told not in answer.body
        if answer.status == 302:
            assert answer.one("Location") == "/ui/"


@pytest.mark.parametrize("target", ["//evil.example", "//evil.example/", "//evil.example/%2f..", "///evil.example", "/\\evil.example",
    "/ui//evil.example", "/ui?next=//evil.example", "/?url=https://evil.example", "//evil.example/ui", "/%2f%2fevil.example", "/.evil.example",
                                    "/v1/session/redirect/projects?path=aHR0cDovL2V2aWwuZXhhbXBsZQ==",
                                    "/api/v1/session/redirect/projects/?trace_id=x&path=//evil.example", "/ui/session?next=https://evil.example"])
def test_no_redirect_leads_elsewhere(gateway, target):
    """Threat: an open redirect sends people to a copy of the sign-in. There is one place that anything is redirected to."""
    for host in ("x", "evil.example"):
        answer = ask(gateway, f"GET {target} HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-Host: evil.example\r\n\r\n")
        assert answer.one("Location") in (None, "/ui/") and b"evil" not in repr(answer.headers).encode(), answer.headers


# ------------------------------------------------------------------------------------------------------------ caching


@pytest.mark.parametrize("path", ["/parley.js", "/parley.mjs", "/parley-loader.js"])
def test_the_snippet_is_the_same_for_everybody(gateway, path):
    """Threat: cache poisoning. A request with odd headers makes a shared cache keep other bytes for all pages. Bytes, type and cache headers depend
    on nothing but Accept-Encoding."""
    def seen(headers=(), query=""):
        answer = ask(gateway, request("GET", path + query, headers))
        body = gzip.decompress(answer.body) if answer.one("Content-Encoding") == "gzip" else answer.body
        kept = {name: answer.one(name) for name in ("Cache-Control", "Content-Type", "Access-Control-Allow-Origin", "Cross-Origin-Resource-Policy",
            "X-Content-Type-Options", "Vary")}
        assert not answer.all("Set-Cookie") and not answer.all("Access-Control-Allow-Credentials") and b"evil" not in repr(answer.headers).encode()
        return answer.status, body, kept
    plain = seen()
    assert plain[0] == 200 and "public" in plain[2]["Cache-Control"] and "Accept-Encoding" in plain[2]["Vary"]
    assert plain[2]["X-Content-Type-Options"] == "nosniff"
    odd = [("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Scheme", "evil"), ("X-Forwarded-Proto", "evil"), ("X-Forwarded-For", "evil"),
        ("X-Forwarded-Prefix", "/evil"), ("Forwarded", "host=evil.example"), ("X-Host", "evil.example"), ("X-Original-URL", "/evil"),
           ("X-Rewrite-URL", "/evil"), ("X-HTTP-Method-Override", "POST"), ("X-Original-Host", "evil.example"), ("Origin", "https://evil.example"),
           ("Origin", "null"), ("Cookie", "parley_session=evil"), ("Authorization", "Bearer evil"), ("Range", "bytes=0-10"),
           ("Accept", "text/evil"), ("Accept-Language", "evil"), ("User-Agent", "<script>evil"), ("Referer", "https://evil.example"),
           ("Accept-Encoding", "gzip"), ("Accept-Encoding", "evil"), ("Accept-Encoding", "gzip;q=0"), ("Accept-Encoding", "gzip, deflate, br, zstd"),
           ("Accept-Encoding", "*;q=0"), ("If-Match", '"evil"'), ("If-Modified-Since", "Sat, 21 Nov 2099 00:00:00 GMT"), ("If-None-Match", '"evil"'),
           ("If-Range", '"evil"'), ("Expect", "evil"), ("Sec-Fetch-Site", "cross-site"), ("X-Key", "evil"), ("TE", "trailers")]
    for header in odd:
        assert seen([header]) == plain, header
    for query in ("?", "?x", "?cb=1", "?callback=evil", "?%00", "?key=evil", "?/../evil", "?utm_content=evil", "?v=" + "9" * 5000):
        assert seen(query=query) == plain, query
    other = ask(gateway, f"GET {path} HTTP/1.1\r\nHost: evil.example\r\n\r\n")
    assert other.body == plain[1] and b"evil" not in repr(other.headers).encode()


def test_no_refusal_is_kept_by_a_cache(gateway):
    """Threat: an attacker's request makes a cache keep an error in the place of the snippet. Refusals say no-store, or have a status that no cache
    keeps."""
    for method, path, headers in (
            ("POST", "/parley.js", []), ("PUT", "/parley.js", []), ("DELETE", "/parley.js", []), ("PATCH", "/parley.mjs", []),
            ("GET", "/parley.js/x", []), ("GET", "/parley.jsx", []), ("OPTIONS", "/parley.js", []), ("GET", "/parley.js", [("X" * 17_000, "a")]),
            ("GET", "/parley.js", [("X", "\x01")]), ("GET", "/parley.js", UPGRADE), ("GET", "/nowhere", []), ("GET", "/v1/threads", []),
            ("GET", "/v1/export", []), ("POST", "/v1/events", []), ("GET", "/ui", [])):
        answer = ask(gateway, request(method, path, headers))
        assert answer.one("Cache-Control") == "no-store" or answer.status in (400,
            431) or (answer.status == 200 and path == "/parley.js" and method == "GET"), f"{method} {path}: {answer}"


# --------------------------------------------------------------------------------------------------------------- bombs


def packed(megabytes, window=31, fill=b" "):
    """So many megabytes of one byte, compressed: gzip by default, zlib with a window of 15, raw with -15."""
    packer = zlib.compressobj(9, zlib.DEFLATED, window)
    block = fill * MEGABYTE
    return b"".join(packer.compress(block) for _ in range(megabytes)) + packer.flush()


@pytest.fixture(scope="module")
def bombs():
    """By name: the coding that is said, and the bytes."""
    gzip_bomb, small = packed(128), gzip.compress(json.dumps({"events": []}).encode())
    endless_name = b"\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\xff" + b"a" * 900_000
    extra = b"\x1f\x8b\x08\x04\x00\x00\x00\x00\x00\xff" + b"\xff\xff" + b"a" * 65535
    return {
        "gzip": ("gzip", gzip_bomb), "x-gzip": ("x-gzip", gzip_bomb), "deflate": ("deflate", packed(128, 15)),
        "raw deflate": ("deflate", packed(128, -15)), "gzip in gzip": ("gzip", gzip.compress(gzip_bomb)),
        "gzip in gzip, said so": ("gzip, gzip", gzip.compress(gzip_bomb)),
        "gzip in deflate": ("deflate, gzip", zlib.compress(gzip_bomb)), "cut off": ("gzip", gzip_bomb[:-8]),
        "cut off early": ("gzip", gzip_bomb[:2000]), "garbage behind": ("gzip", small + b"garbage" * 1000),
        "deflate, garbage behind": ("deflate", zlib.compress(b"{}") + b"x" * 1000),
        "a bomb behind": ("gzip", small + gzip_bomb), "forty thousand members": ("gzip", gzip.compress(b"", 9) * 40_000),
        "a wrong checksum": ("gzip", small[:-8] + b"\x00" * 8), "a name without end": ("gzip", endless_name), "extra fields": ("gzip", extra * 12),
        "zeros": ("gzip", packed(128, fill=b"\x00")),
        "brackets": ("gzip", packed(1, fill=b"[")), "quotes": ("gzip", packed(1, fill=b'"')), "nothing": ("gzip", b""),
        "a head only": ("gzip", b"\x1f\x8b\x08"), "no coding": ("identity", b"\x1f\x8b\x08" * 1000),
        "a list of all": ("gzip, deflate, br", gzip_bomb), "unknown": ("zstd", gzip_bomb), "chunked": ("chunked", gzip_bomb),
    }


@pytest.fixture(scope="module")
def bombed():
    """A gateway that gets the bombs, one after the other; those that need the least memory come first."""
    gateway = Gateway().start()
    yield gateway.project("bombed", "--no-quotas")
    gateway.stop()


@pytest.mark.parametrize("path, key", [
    ("/v1/events", "public"), ("/v1/beacon?key={key}", "public"), ("/v1/runs/ingest", "public"), ("/api/v1/capture-event", "public"),
    ("/v1/traces", "public"), ("/v1/events", "secret"), ("/api/v1/private/traces/batch", "secret"), ("/v1/traces", "secret")])
def test_a_bomb_is_stopped_while_it_unpacks(bombed, bombs, path, key):
    """Threat: a body of kilobytes that unpacks to gigabytes, in every coding and disguise. The limit counts what bytes become, so memory stays at
    the limit."""
    watch, text = Watch(bombed.gateway), getattr(bombed, key)
    watch.forget_peak()
    before = watch.memory()
    for name, (coding, body) in bombs.items():
        answer = doors.call(bombed, text, "POST", path.replace("{key}", text), body, headers={"Content-Encoding": coding})
        was_refused = answer.status_code in (400, 413, 415) or (answer.status_code == 200 and "malformed_json" in answer.text)
        assert was_refused or name in ("forty thousand members",
            "nothing") and answer.status_code == 200, f"{name}: {answer.status_code} {answer.text[:200]}"
    grown = watch.peak() - before
    assert grown < (128 if key == "public" else 320) * MEGABYTE, f"memory grew by {grown / MEGABYTE:.0f} MB"


def test_a_bomb_that_comes_byte_by_byte_is_a_bomb(bombed):
    """Threat: the same in chunks of one byte, so that no single piece looks large. The limit is on the sum."""
    bomb, watch = packed(64)[:20_000], Watch(bombed.gateway)
    watch.forget_peak()
    before = watch.memory()
    with Line(bombed.gateway) as line:
        line.send(request("POST", f"/v1/events?key={bombed.public}", [("Origin", bombed.ORIGIN), ("Content-Encoding", "gzip"),
            ("Transfer-Encoding", "chunked")]).replace(b"Content-Length: 0\r\n", b""))
        line.send(b"".join(b"1\r\n%c\r\n" % byte for byte in bomb) + b"0\r\n\r\n")
        assert line.answer().status == 413
    assert watch.peak() - before < 32 * MEGABYTE


def test_bodies_that_are_held_open_do_not_add_up_to_more_than_the_machine_has(fresh):
    """Threat: with the key that is in every page, each of many connections sends twenty kilobytes that unpack to twenty megabytes, and leaves
    out the last byte. What all unfinished bodies hold together must have a bound."""
    body = gzip.compress(b'{"events":[' + b" " * ((20 << 20) - 64) + b"]}", 9)
    head = request("POST", "/v1/runs/ingest", [("Authorization", f"Bearer {fresh.public}"), ("Origin", fresh.ORIGIN),
        ("Content-Encoding", "gzip")]).replace(b"Content-Length: 0", b"Content-Length: %d" % len(body))
    watch = Watch(fresh.gateway)
    before = watch.memory()
    lines = [Line(fresh.gateway) for _ in range(16)]
    for line in lines:
        line.send(head + body[:-1])
    grown = 0
    for _ in range(15):
        time.sleep(0.1)
        grown = max(grown, watch.memory() - before)
    for line in lines:
        line.close()
    assert grown < 128 * MEGABYTE, f"16 connections that sent {16 * len(body) / 1000:.0f} KB hold {grown / MEGABYTE:.0f} MB"


@pytest.mark.parametrize("shared", ["resource", "library", "thread"])
@pytest.mark.parametrize("key, status", [("public", 200), ("secret", 200)])
def test_what_spans_share_does_not_unfold_with_each_of_them(bombed, shared, key, status):
    """Threat: half a megabyte that thousands of spans share, of which each says nothing: kept with each of them it is gigabytes."""
    def texts(*named):
        return [{"key": name, "value": {"stringValue": text}} for name, text in named]
    resource = {"resource": texts(*((f"a{number}", "x" * 60_000) for number in range(8))), "thread": texts(("session.id", "t" * 480_000))}
    spans = [{"traceId": f"{number + 1:032x}", "spanId": f"{number + 1:016x}", "attributes": [{"key": "gen_ai."}]} for number in range(4500)]
    body = json.dumps({"resourceSpans": [{"resource": {"attributes": resource.get(shared, [])}, "scopeSpans": [{
        "scope": {"name": "n" * 480_000 if shared == "library" else "n"}, "spans": spans}]}]}).encode()
    assert len(body) < MEGABYTE
    watch = Watch(bombed.gateway)
    watch.forget_peak()
    before = watch.memory()
    answer = doors.call(bombed, getattr(bombed, key), "POST", "/v1/traces", body)
    assert answer.status_code == status, answer.text[:200]
    grown = watch.peak() - before
    assert grown < 192 * MEGABYTE, f"memory grew by {grown / MEGABYTE:.0f} MB"


def test_who_holds_bodies_open_takes_no_room_from_others_and_is_told_to_come_again(fresh):
    """Threat: the room for unfinished bodies is taken by one address, and everybody else is refused. Nobody gets more than a share of what is
    left; what finds no room is a 503 that says when to come again."""
    body = gzip.compress(b'{"events":[' + b" " * ((20 << 20) - 64) + b"]}", 9)
    headers = [("Authorization", f"Bearer {fresh.public}"), ("Origin", fresh.ORIGIN)]
    head = request("POST", "/v1/runs/ingest", [*headers, ("Content-Encoding", "gzip")]).replace(
        b"Content-Length: 0", b"Content-Length: %d" % len(body))
    lines = [Line(fresh.gateway, "127.0.0.2") for _ in range(8)]
    for line in lines:
        line.send(head + body[:-1])
    refused = [answer for answer in (line.answer(1) for line in lines) if answer]
    assert 4 <= len(refused) < 8
    assert all(answer.status == 503 and int(answer.one("Retry-After")) >= 1 for answer in refused), refused
    large = json.dumps({"events": [message(text="x" * 60_000) for _ in range(10)]}).encode()
    assert ask(fresh.gateway, request("POST", "/v1/events", headers, large), "127.0.0.3").status == 200
    assert ask(fresh.gateway, request("POST", "/v1/events", headers, json.dumps(message()).encode()), "127.0.0.2").status == 200
    for line in lines:
        line.close()
    until("room to be free", lambda: "parley_held_bytes 0\n" in requests.get(fresh.gateway.url + "/metrics", timeout=5).text)
    assert ask(fresh.gateway, head + body, "127.0.0.2").status != 503


def test_messages_in_pieces_do_not_add_up_without_end(fresh):
    """Threat: each of many sockets sends the most that a message in pieces may have, and never its last piece. Together they have a bound too."""
    lines = []
    try:
        for _ in range(180):
            line = Socket(fresh, source="127.0.0.9")
            lines.append(line)
            line.send(HELLO + frame(TEXT, b'{"type":"x","y":"', fin=False) + frame(CONTINUATION, b"x" * 240_000, fin=False))
        codes = [line.end(0.05) for line in lines]
        held = int(re.search(r"parley_held_bytes (\d+)", requests.get(fresh.gateway.url + "/metrics", timeout=5).text)[1])
        assert codes.count(4100) > 20 and held < 30 * MEGABYTE, f"{held} bytes are held, {codes.count(4100)} sockets were told"
        assert fresh.send(message()) == ["stored"]
    finally:
        for line in lines:
            line.close()
    until("room to be free", lambda: "parley_held_bytes 0\n" in requests.get(fresh.gateway.url + "/metrics", timeout=5).text)


def test_chunk_extensions_and_trailers_are_not_kept(bombed):
    """Threat: megabytes in places of a chunked body that nobody reads. They are skipped or refused, and never gathered."""
    head = request("POST", "/v1/events", [("Authorization", f"Bearer {bombed.secret}"),
        ("Transfer-Encoding", "chunked")]).replace(b"Content-Length: 0\r\n", b"")
    watch = Watch(bombed.gateway)
    watch.forget_peak()
    before = watch.memory()
    for padding in (b"2;" + b"x" * (32 * MEGABYTE) + b"\r\n{}\r\n0\r\n\r\n", b"2\r\n{}\r\n0\r\n" + b"X: y\r\n" * 100_000 + b"\r\n",
        b"2\r\n{}\r\n0\r\nX: " + b"y" * MEGABYTE + b"\r\n\r\n", b"0" * MEGABYTE + b"2\r\n{}\r\n0\r\n\r\n"):
        with Line(bombed.gateway) as line:
            line.send(head + padding)
            line.answer()
    assert watch.peak() - before < 32 * MEGABYTE and bombed.send(message()) == ["stored"]


def test_answers_that_nobody_reads_are_not_written_without_end(fresh):
    """Threat: a client without any key sends requests by the thousand on one line and reads no answer. The server must stop reading when its
    answers are not taken."""
    watch, bound = Watch(fresh.gateway), 16 * MEGABYTE
    before, grown, sent = watch.memory(), 0, 0
    pieces = request("POST", "/v1/events") * 1000
    with Line(fresh.gateway, receive_buffer=4096) as line:
        # Blocked for so long: the server reads no further, as it should. Else a hundred thousand of them are enough to tell.
        line.socket.settimeout(2)
        with contextlib.suppress(TimeoutError):
            while sent < 100_000 and grown < bound:
                line.socket.sendall(pieces)
                sent += 1000
                grown = max(grown, watch.memory() - before)
    assert grown < bound, f"one connection that sent {sent} requests made the server keep {grown / MEGABYTE:.0f} MB of answers"


# ------------------------------------------------------------------------------------------------------------- sockets

HELLO = frame(TEXT, b'{"type":"hello","client":"test/1"}')


@pytest.fixture(scope="module")
def flooded():
    """A gateway that sockets flood, one after the other."""
    gateway = Gateway().start()
    yield gateway.project("flooded", "--no-quotas")
    gateway.stop()


def flood(line, data, seconds):
    """Sends as much as the other side takes in that time, reading nothing."""
    line.socket.settimeout(1)
    deadline, count = time.monotonic() + seconds, 0
    with contextlib.suppress(OSError):
        while time.monotonic() < deadline:
            line.socket.sendall(data)
            count += 1
    return count


@pytest.mark.parametrize("name, first, data", [
    ("pings", b"", frame(PING, b"x" * 125) * 400), ("empty pings", b"", frame(PING) * 1000),
    ("heartbeats", b"", frame(TEXT, b'{"type":"heartbeat"}') * 400),
    ("unknown frames and pongs", b"", (frame(TEXT, b'{"type":"' + b"z" * 60 + b'"}') + frame(PONG, b"x" * 125)) * 400),
    ("fragments of nothing", frame(TEXT, b"{", fin=False), frame(CONTINUATION, b"", fin=False) * 1000),
    ("fragments of a byte", frame(TEXT, b"{", fin=False), frame(CONTINUATION, b"x", fin=False) * 1000),
    ("auth frames", b"", frame(TEXT, b'{"type":"auth","token":"x"}') * 400), ("batches of nothing", b"",
    b"".join(frame(TEXT, b'{"type":"batch","batch":%d,"events":[]}' % number) for number in range(1, 20_000)))],
    ids=lambda value: value if isinstance(value, str) else "")
def test_a_flood_of_frames_costs_its_sender_and_nobody_else(flooded, name, first, data):
    """Threat: one socket sends frames as fast as it can and reads no answer. Memory stays bounded, others are served, and who reads nothing is let
    go."""
    watch = Watch(flooded.gateway)
    with Socket(flooded) as line:
        line.frame()
        line.send(HELLO + first)
        before = watch.memory()
        with Neighbour(flooded.gateway) as neighbour:
            assert flood(line, data, 0.7) > 0
        grown = watch.memory() - before
    assert flooded.send(message()) == ["stored"]
    assert grown < 24 * MEGABYTE, f"memory grew by {grown / MEGABYTE:.1f} MB"
    assert not neighbour.failed and neighbour.longest < 2, f"somebody else waited {neighbour.longest:.1f} s"


@pytest.mark.parametrize("length", [2**18 + 2**13, 2**20, 2**31, 2**32, 2**40, 2**63 - 1, 2**63, 2**64 - 1])
def test_a_frame_that_says_it_is_huge_is_refused_unread(shared, length):
    """Threat: a frame announces more than memory has. What it says is compared with the limit before anything is kept for it."""
    before = Watch(shared.gateway).memory()
    with Socket(shared, source="127.0.0.5") as line:
        line.frame()
        line.send(HELLO + bytes([0x81, 0xFF]) + length.to_bytes(8, "big") + b"\0\0\0\0" + b"x" * 100)
        # The highest bit of a length is never set (RFC 6455, section 5.2).
        assert line.end(3) in ((4006,) if length < 2**63 else (1002, 4006))
    assert Watch(shared.gateway).memory() - before < 8 * MEGABYTE


def test_fragments_add_up_to_the_limit_and_no_further(shared):
    """Threat: a message in pieces that each are small. Their sum has the bound of one frame."""
    with Socket(shared, source="127.0.0.5") as line:
        line.frame()
        line.send(HELLO + frame(TEXT, b'{"type":"x","y":"', fin=False))
        for _ in range(6):
            line.send(frame(CONTINUATION, b"x" * 50_000, fin=False))
        assert line.end(3) == 4006


@pytest.mark.parametrize("name, data, code", [
    ("an unmasked frame", b"\x81\x02{}", 1002), ("a reserved bit", b"\xc1" + frame(TEXT, b"{}")[1:], 1002),
    ("an unknown opcode", b"\x83" + frame(TEXT, b"{}")[1:], 1002), ("a long ping", frame(PING, b"x" * 126), 1002),
    ("a ping in pieces", frame(PING, b"x", fin=False), 1002),
    ("a continuation of nothing", frame(CONTINUATION, b"x"), 1002), ("a text within a text", frame(TEXT, b"{", fin=False) + frame(TEXT, b"}"), 1002),
    ("a close code that may not be sent", frame(CLOSE, b"\x03\xed"), 1002), ("half a close code", frame(CLOSE, b"\x03"), 1002),
    ("a binary frame", frame(2, b"{}"), 1003), ("no UTF-8", frame(TEXT, b'{"type":"\xff"}'), 1007),
    ("no UTF-8, cut over fragments", frame(TEXT, b'{"type":"\xe2', fin=False) + frame(CONTINUATION, b'\x28"}'), 1007),
    ("no JSON", frame(TEXT, b"{"), 4005), ("no object", frame(TEXT, b"[]"), 4005),
    ("deep JSON", frame(TEXT, b'{"type":"batch","batch":1,"events":' + b"[" * 100_000), 4005),
    ("deep JSON, closed", frame(TEXT, b'{"type":"x","y":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), 4005),
    ("a number beyond all", frame(TEXT, b'{"type":"batch","batch":1e400,"events":[]}'), 4005),
    ("the largest number", frame(TEXT, b'{"type":"batch","batch":9223372036854775807,"events":[]}'), 4005),
    ("a number below all", frame(TEXT, b'{"type":"batch","batch":-9223372036854775808,"events":[]}'), 4005),
    ("a fraction", frame(TEXT, b'{"type":"batch","batch":1.5,"events":[]}'), 4005),
    ("many keys", frame(TEXT, b'{"type":"hello","client":"x",' + b",".join(b'"%d":1' % number for number in range(20_000)) + b"}"), 4005),
    ("line ends", frame(TEXT, b"\n\n"), 4005), ("nothing", frame(TEXT, b""), 4005)])
def test_a_frame_that_breaks_the_rules_ends_its_socket_with_a_reason(shared, name, data, code):
    """Threat: frames that a lenient reader takes for something else. Each ends the socket with the code that says why, and the process goes on."""
    with Socket(shared, source="127.0.0.6") as line:
        line.frame()
        line.send(HELLO + data)
        assert line.end(3) == code
    assert shared.send(message()) == ["stored"]


def test_one_address_opens_so_many_sockets_and_no_more_and_another_is_not_punished(gateway, shared):
    """Threat: a flood of sockets from one machine. It is refused before the upgrade, made-up forwarding headers do not help, and others are let
    in."""
    def wishes(source, *headers):
        """An upgrade for each of these headers, all of them sent before the first answer is read."""
        lines = [Line(gateway, source) for _ in headers]
        for line, header in zip(lines, headers):
            line.send(request("GET", f"/v1/socket?key={shared.public}", [*UPGRADE, ("Origin", shared.ORIGIN), header]))
        answers = [line.answer(has_body=False) for line in lines]
        for line in lines:
            line.close()
        return answers

    begun, plain = time.monotonic(), ("X", "y")
    answers = wishes("127.0.0.7", *[plain] * 350)
    refused = [answer for answer in answers if answer.status == 429]
    # 200 at once and 20 a second, as the gateway's configuration has it.
    assert 199 <= 350 - len(refused) <= 201 + 20 * (time.monotonic() - begun), f"{len(refused)} of 350 were refused"
    assert len(refused) > 20 and all(int(answer.one("Retry-After")) >= 1 for answer in refused)
    names = ("X-Forwarded-For", "Forwarded", "X-Real-IP", "CF-Connecting-IP", "True-Client-IP", "X-Client-IP")
    made_up = wishes("127.0.0.7", *[(name, f"203.0.113.{number}") for name in names for number in range(20)])
    assert sum(answer.status == 429 for answer in made_up) > 40, "made-up addresses were believed"
    assert wishes("127.0.0.8", plain)[0].status == 101
    until("it to be let in again", lambda: wishes("127.0.0.7", plain)[0].status == 101)


# ------------------------------------------------------------------------------------------------- comings and goings


def test_two_thousand_connections_leave_no_descriptor_behind(fresh):
    """Threat: connections that are opened and dropped in every way leak what the kernel lends. All descriptors are back when they are gone."""
    watch = Watch(fresh.gateway)
    requests.get(fresh.gateway.url + "/healthz", timeout=5)
    before, memory = watch.files(), watch.memory()
    key, half = fresh.public, request("POST", f"/v1/events?key={fresh.public}", [("Origin", fresh.ORIGIN)], b"x" * 1000)[:-500]
    upgrade = request("GET", f"/v1/socket?key={key}", [*UPGRADE, ("Origin", fresh.ORIGIN)])
    ways = [b"", b"GET /", half, request("GET", "/healthz"), upgrade, upgrade + HELLO, upgrade + HELLO + frame(TEXT, b"{", fin=False), b"\x00" * 10,
        request("GET", "/v1/live", [("Authorization", f"Bearer {fresh.secret}")]), request("GET", "/v1/export",
        [("Authorization", f"Bearer {fresh.secret}")])]
    for wave in range(10):
        lines = [Line(fresh.gateway, f"127.0.1.{1 + number % 200}") for number in range(200)]
        for number, line in enumerate(lines):
            line.send(ways[(number + wave) % len(ways)])
        for number, line in enumerate(lines):
            if number % 3 == 0:
                line.reset()
            elif number % 3 == 1:
                line.close()
            else:
                with contextlib.suppress(OSError):
                    line.socket.shutdown(socket.SHUT_WR)
                line.close()
    assert watch.files_settle(before + 4, 60), f"{watch.files()} descriptors are open; before there were {before}"
    assert watch.memory() - memory < 64 * MEGABYTE
    # The counts come back as well: nobody is in who has gone.
    until("no socket to be counted", lambda: "parley_sockets_open 0\n" in requests.get(fresh.gateway.url + "/metrics", timeout=5).text)


def write(project, text=None, whole=True):
    body = json.dumps(message()).encode() if text is None else text
    data = request("POST", f"/v1/events?key={project.public}", [("Origin", project.ORIGIN)], body)
    return data if whole else data[:-50]


@pytest.mark.parametrize("name, status", [("a look", 200), ("a write", 200), ("an export", 200), ("half a line", None), ("nothing", None),
    ("half a body", None)])
def test_a_half_closed_line_is_answered_and_ended(shared, name, status):
    """Threat: a client ends its half of the line and waits for ever. A whole request is answered, half a one is ended, and neither is kept."""
    data = {"a look": request("GET", "/healthz"), "a write": write(shared), "an export": request("GET", "/v1/export",
        [("Authorization", f"Bearer {shared.secret}")]), "half a line": b"GET /heal", "nothing": b"",
            "half a body": write(shared, b"x" * 100, whole=False)}[name]
    with Line(shared.gateway) as line:
        line.send(data)
        line.socket.shutdown(socket.SHUT_WR)
        answer = line.answer(5)
        assert line.ends_within(5), "the line is kept"
    assert (answer and answer.status) == status or (status is None and answer.status == 400), answer


@pytest.mark.parametrize("order", [["a write", "a write"], ["a look", "a write"], ["a write", "a look", "a write", "a look"]], ids=" ".join)
def test_a_half_closed_line_gets_all_the_answers_it_asked_for(shared, order):
    """Several requests and then the end of the client's half: each is answered, in its order, whoever answers it, and the line ends."""
    with Line(shared.gateway) as line:
        line.send(b"".join(request("GET", "/healthz") if name == "a look" else write(shared) for name in order))
        line.socket.shutdown(socket.SHUT_WR)
        bodies = [answer.body for answer in (line.answer(5) for _ in order) if answer]
        assert [body == b"ok\n" for body in bodies] == [name == "a look" for name in order], bodies
        assert line.ends_within(5), "the line is kept"


def test_thousands_of_requests_on_one_line_are_answered_in_order_and_no_neighbour_waits(gateway):
    """Threat: a line full of requests that nobody has answered yet. They are answered one after the other, while others are served."""
    with Neighbour(gateway) as neighbour, Line(gateway) as line:
        sender = threading.Thread(target=line.send, args=((request("GET", "/healthz") + request("GET", "/nowhere") + request("POST",
            "/v1/events")) * 700,))
        sender.start()
        statuses = [answer.status for answer in (line.answer() for _ in range(2100)) if answer]
        sender.join(10)
    assert statuses == [200, 404, 401] * 700
    assert not neighbour.failed and neighbour.longest < 2


def test_connections_that_say_nothing_do_not_keep_others_out_for_longer_than_ten_seconds():
    """Threat: silent connections take every place there is. Each has ten seconds to say something, then its place is somebody else's."""
    gateway = Gateway().start("--maximum-connections", "40")
    try:
        silent = [Line(gateway) for _ in range(45)]
        begun = time.monotonic()
        with contextlib.suppress(requests.Timeout):
            requests.get(gateway.url + "/healthz", timeout=17)
        waited = time.monotonic() - begun
        for line in silent:
            line.close()
        assert waited < 16, "nobody else gets a place"
    finally:
        gateway.stop()


@pytest.fixture(scope="module")
def few_places():
    """A gateway that gives each address ten places, and one that trusts whoever stands on 127.0.0.50."""
    gateway = Gateway().start("--connections-per-address", "10", "--trusted-proxy", "127.0.0.50")
    yield gateway.project("few", "--key-quota", "none", "--address-quota", "none")
    gateway.stop()


def figure(gateway, name):
    """A figure of the metrics, asked from an address of its own."""
    page = ask(gateway, request("GET", "/metrics", [("Connection", "close")]), "127.0.0.99").body.decode()
    return int(re.search(rf"^{name} (\d+)$", page, re.M)[1])


def test_one_address_has_so_many_connections_and_no_more(few_places):
    """Threat: one machine opens connections until there is no place for anybody. Beyond its own it is told 429 and closed, others are let in, and a
    place that is left is free at once."""
    gateway = few_places.gateway
    lines = [Line(gateway, "127.0.0.60") for _ in range(8)] + [Socket(few_places, source="127.0.0.60") for _ in range(2)]
    try:
        assert [line.opening.status for line in lines[8:]] == [101, 101]
        until("ten connections", lambda: figure(gateway, "parley_connections_of_one_address") == 10)
        for number in range(20):
            with Line(gateway, "127.0.0.60") as line:
                if number % 2:
                    line.send(request("POST", "/v1/events", [], b"x" * 100_000))
                answer = line.answer(3)
                assert answer and answer.status == 429 and int(answer.one("Retry-After")) >= 1 and answer.one("Connection") == "close"
                assert b"rate_limited" in answer.body and line.ends_within(2)
        assert ask(gateway, request("GET", "/healthz"), "127.0.0.61").status == 200
        assert figure(gateway, "parley_connections_of_one_address") == 10
        assert figure(gateway, "parley_connections_turned_away_total") == 20
        lines.pop().close()
        until("a place that was left to be free", lambda: ask(gateway, request("GET", "/healthz"), "127.0.0.60").status == 200)
    finally:
        for line in lines:
            line.close()
    until("all places to be free", lambda: figure(gateway, "parley_connections_open") <= 1)


def test_a_trusted_proxy_has_places_for_all_and_each_behind_it_for_so_many_sockets(few_places):
    """Threat: the cap makes all visitors behind a proxy one address, or a made-up forwarding header makes one visitor many. Only the trusted
    proxy's word counts, and counts for each socket."""
    gateway, opened = few_places.gateway, []
    try:
        for number in range(14):
            opened.append(Socket(few_places, [("X-Forwarded-For", "203.0.113.7")], source="127.0.0.50"))
        assert [line.opening.status for line in opened] == [101] * 10 + [429] * 4
        for number in range(14):
            opened.append(Socket(few_places, [("X-Forwarded-For", f"198.51.100.{number}")], source="127.0.0.50"))
        assert [line.opening.status for line in opened[14:]] == [101] * 14
        # From elsewhere the header is nobody's word.
        with contextlib.suppress(ConnectionError):
            opened += [Line(gateway, "127.0.0.62") for _ in range(10)]
        before = figure(gateway, "parley_connections_open")
        until(f"35 connections; before there were {before}", lambda: figure(gateway, "parley_connections_open") >= 35)
        with Line(gateway, "127.0.0.62") as line:
            line.send(request("GET", "/healthz", [("X-Forwarded-For", "198.51.100.99")]))
            assert line.answer(3).status == 429
    finally:
        for line in opened:
            line.close()


# ------------------------------------------------------------------------------------ what became of the slow ones


@pytest.mark.parametrize("name, least, most", [
    ("says nothing", 5, 14), ("a head, byte by byte", 5, 14), ("headers without end", 5, 14), ("empty lines without end", 5, 14),
    ("a body that stalls", 5, 16), ("no hello", 5, 16), ("no hello, but pings", 5, 16), ("a body, byte by byte", 20, 66),
    ("a body, chunk by chunk", 20, 66), ("a chunk's extension, byte by byte", 5, 66), ("reads nothing", 20, 68), ("silent after hello", 30, 70)])
def test_who_is_too_slow_is_let_go(sluggards, name, least, most):
    """Threat: connections that dribble, stall or read nothing are held for ever. Heads have 10 s, pauses in bodies 10 s, whole bodies and unread
    answers 60 s, sockets two and a half heartbeats."""
    sluggard = sluggards.all[name]
    until(f"the end of what may last {most} s", lambda: sluggard.lasted is not None, max(1, sluggard.begun + most + 1 - time.monotonic()))
    assert least <= sluggard.lasted <= most, f"it was borne for {sluggard.lasted:.1f} s"


def test_who_was_let_go_is_told_why(sluggards):
    """A client that is slow by misfortune learns what to mend: 408 for a body, 4104 and 4201 for a socket."""
    told = ["a body that stalls", "a body, byte by byte", "a body, chunk by chunk", "no hello", "no hello, but pings", "silent after hello"]
    until("the end of all that are told", lambda: all(sluggards.all[name].lasted is not None for name in told), 70)
    heard = {name: sluggard.heard for name, sluggard in sluggards.all.items()}
    for name in told[:3]:
        assert heard[name].startswith(b"HTTP/1.1 408") and b"body_timeout" in heard[name], name
    assert b"\x10\x08" in heard["no hello"] and b"\x10\x08" in heard["no hello, but pings"] and b"\x10\x69" in heard["silent after hello"]


def test_after_all_that_no_place_is_taken(sluggards):
    """Threat: attackers that were let go still hold something. No descriptor, no socket and no memory is left of them."""
    until("the end of the dribbling heads", lambda: all(sluggard.lasted is not None for sluggard in sluggards.many), 20)
    assert max(sluggard.lasted for sluggard in sluggards.many) < 18
    until("no socket to be counted", lambda: "parley_sockets_open 0\n" in requests.get(sluggards.gateway.url + "/metrics", timeout=5).text)
    assert Watch(sluggards.gateway).files_settle(sluggards.files + 4), "descriptors are left behind"
    sluggards.project.assert_law()
