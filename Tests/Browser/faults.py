"""A line between pages and the gateway on which everything can go wrong that does on real ones, and a server of pages.

Both are small HTTP/1.1 servers on loopback, one request a connection, in one event loop on a thread of its own.
"""

import asyncio
import contextlib
import itertools
import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

# A folder of built scripts to serve in place of the gateway's own, to try a build before the gateway carries it.
SCRIPTS = os.environ.get("PARLEY_SNIPPET")


class Loop:
    """An event loop on a thread; `do` runs a coroutine on it and answers its value."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


@dataclass
class Request:
    """One request as it came; times are of the monotonic clock, in seconds."""

    at: float
    method: str
    path: str
    headers: dict
    body: bytes = b""
    status: int = 0  # of the answer; 0 without one
    answered: float = 0

    def is_for(self, path):
        return self.path.split("?")[0] == path


async def read_request(reader):
    """A request's raw head and what it says; None where the connection ends before one."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").rstrip().split("\r\n")
        method, path, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        request = Request(time.monotonic(), method, path, headers)
        request.body = await reader.readexactly(int(headers.get("content-length", 0)))
        return head, request
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, OSError):
        return None, None


def response(status, body=b"", **headers):
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Server:
    """What both have in common: a port that stays the same, also over `away` and `back`."""

    def __init__(self, loop):
        self.loop = loop
        self.port = 0
        self.connections = set()
        self.back()
        self.url = f"http://127.0.0.1:{self.port}"

    def back(self):
        """Takes connections (again)."""
        async def listen():
            self.server = await asyncio.start_server(self._taken, "127.0.0.1", self.port, limit=1 << 20)
            self.port = self.server.sockets[0].getsockname()[1]

        self.loop.do(listen())

    def away(self):
        """Refuses connections from now on, and drops those there are."""
        async def close():
            self.server.close()

        self.loop.do(close())
        self.cut()

    def cut(self):
        """Drops all connections without a word, as a network does."""
        async def abort():
            for writer in list(self.connections):
                writer.transport.abort()

        self.loop.do(abort())

    stop = away

    async def _taken(self, reader, writer):
        self.connections.add(writer)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self.serve(reader, writer)
        finally:
            self.connections.discard(writer)
            writer.close()


@dataclass
class Socket:
    """A WebSocket that passed; `closed` is 0 while it is open."""

    opened: float
    closed: float = 0


@dataclass
class Faults:
    """What goes wrong; all is well by default."""

    # The gateway is out of reach, its scripts come from elsewhere (a cache, a CDN).
    away: bool = False
    # Of upgrades to WebSocket: "refused" with 403, "cut" without an answer, "swallowed" without an end.
    upgrades: str = ""
    # Statuses and Retry-After seconds for the next posts, which do not reach the gateway then.
    answers: list = field(default_factory=list)
    # Seconds that every piece takes, each way.
    late: float = 0
    # Of the scripts: "swallowed", or a status.
    scripts: object = ""


class Line(Server):
    """The way from pages to the gateway, and the log of what went over it."""

    def __init__(self, loop, gateway):
        self.target = urlsplit(gateway)
        self.faults = Faults()
        self.requests = []
        self.sockets = []
        super().__init__(loop)

    def sent(self):
        """The requests that carry events or ask for a socket: all but those for scripts."""
        return [request for request in list(self.requests) if request.path.startswith("/v1/")]

    def posts(self, path="/v1/events"):
        return [request for request in self.sent() if request.method == "POST" and request.is_for(path)]

    def open_sockets(self):
        return [socket for socket in list(self.sockets) if not socket.closed]

    async def serve(self, reader, writer):
        head, request = await read_request(reader)
        if not request:
            return
        self.requests.append(request)
        upgrade = request.headers.get("upgrade", "").lower() == "websocket"
        answer = self._answer(request, upgrade)
        await asyncio.sleep(self.faults.late)
        if answer == "swallowed":
            await reader.read()
        elif answer == "cut":
            writer.transport.abort()
        elif answer:
            request.status, request.answered = int(answer.split(b" ", 2)[1]), time.monotonic()
            writer.write(answer)
            await writer.drain()
        else:
            await self._pass(head, request, upgrade, reader, writer)

    def _answer(self, request, upgrade):
        """What the line itself says in place of the gateway, if anything."""
        name = request.path.split("?")[0].rsplit("/", 1)[-1]
        if self.faults.away and not name.endswith(("js", "map")):
            return "cut"
        if upgrade:
            return response(403) if self.faults.upgrades == "refused" else self.faults.upgrades
        if name.endswith(("js", "map")):
            if self.faults.scripts:
                return self.faults.scripts if self.faults.scripts == "swallowed" else response(self.faults.scripts)
            if SCRIPTS and (Path(SCRIPTS) / name).is_file():
                return response(200, (Path(SCRIPTS) / name).read_bytes(), Content_Type="text/javascript; charset=utf-8", Access_Control_Allow_Origin="*")
        if request.method == "POST" and self.faults.answers:
            status, seconds = self.faults.answers.pop(0)
            after = {"Retry_After": seconds} if seconds else {}
            return response(
                status, b'{"error":{"code":"rate_limited","message":"Later.","temporary":true}}' if seconds else b"", **after, Content_Type="application/json",
                Access_Control_Allow_Origin=request.headers.get("origin", "*"), Access_Control_Expose_Headers="Retry-After", Access_Control_Allow_Credentials="true")
        return None

    async def _pass(self, head, request, upgrade, reader, writer):
        try:
            back, forth = await asyncio.open_connection(self.target.hostname, self.target.port)
        except OSError:
            return writer.transport.abort()
        if not upgrade:
            lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
            head = b"\r\n".join([lines[0], b"Connection: close", *lines[1:]])
        forth.write(head + request.body)
        socket = Socket(time.monotonic())
        if upgrade:
            self.sockets.append(socket)

        async def pipe(source, sink, answers):
            while piece := await source.read(65536):
                if answers and not request.status:
                    request.status, request.answered = int(piece.split(b" ", 2)[1]), time.monotonic()
                await asyncio.sleep(self.faults.late)
                sink.write(piece)
                await sink.drain()

        ways = [asyncio.ensure_future(pipe(back, writer, True)), asyncio.ensure_future(pipe(reader, forth, False))]
        try:
            # A page that is gone has still said what it said: only a socket ends with either side.
            await asyncio.wait(ways if upgrade else ways[:1], return_when=asyncio.FIRST_COMPLETED)
        finally:
            socket.closed = time.monotonic()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            forth.close()


class Pages(Server):
    """Somebody's web site: each text is a page at an address of its own."""

    def __init__(self, loop):
        self.pages = {}
        self.numbers = itertools.count(1)
        super().__init__(loop)

    def put(self, text, path=None, kind="text/html; charset=utf-8", **headers):
        """Answers the address."""
        path = path or f"/{next(self.numbers)}"
        body = text if isinstance(text, bytes) else text.encode()
        self.pages[path] = response(200, body, Content_Type=kind, **headers)
        return self.url + path

    def asked_for(self, path):
        """Hears of each request, with its query."""

    async def serve(self, reader, writer):
        _, request = await read_request(reader)
        if request:
            self.asked_for(request.path)
            writer.write(self.pages.get(request.path.split("?")[0]) or response(404))
            await writer.drain()
