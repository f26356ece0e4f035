"""A small client of the gateway: HTTP lines, sockets that speak parley.v1, and writers that send until all is acked.

It is written for tests. It can end a connection in any way there is, it counts what it is told, and it never forgets an
event before a verdict has named it. What came of each event goes into a `Book`.
"""

import asyncio
import base64
import hashlib
import json
import os
import random
import socket
import struct
import time
from collections import deque

ORIGIN = "http://127.0.0.1:9999"
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
# How a connection ends without a word. A timeout is an OSError too: catch it first.
CUT = (OSError, EOFError, asyncio.IncompleteReadError)


class Refused(Exception):
    """An upgrade was answered with plain HTTP."""

    def __init__(self, status, headers, body):
        super().__init__(f"{status} {body[:200]!r}")
        self.status, self.headers, self.body = status, headers, body


class Closed(Exception):
    """The server ended the socket with a close frame."""

    def __init__(self, code, error=None):
        super().__init__(f"closed {code}" + (f" {error}" if error else ""))
        self.code, self.error = code, error


def mask(data, key):
    """RFC 6455, section 5.3, on the whole of `data` at once."""
    length = len(data)
    stretched = (key * (length // 4 + 1))[:length]
    return (int.from_bytes(data, "little") ^ int.from_bytes(stretched, "little")).to_bytes(length, "little")


def frame(opcode, data, key=b"\x11\x22\x33\x44"):
    """A client's frame, whole."""
    head = bytes([0x80 | opcode])
    if len(data) < 126:
        head += bytes([0x80 | len(data)])
    elif len(data) < 65536:
        head += struct.pack(">BH", 0x80 | 126, len(data))
    else:
        head += struct.pack(">BQ", 0x80 | 127, len(data))
    return head + key + mask(data, key)


def text_frame(value, key=b"\x11\x22\x33\x44"):
    return frame(TEXT, json.dumps(value, separators=(",", ":")).encode(), key)


def handshake(port, key, nonce="dGhlIHNhbXBsZSBub25jZQ==", origin=ORIGIN):
    """The request that asks for a socket."""
    extra = f"Origin: {origin}\r\n" if origin else ""
    return (f"GET /v1/socket?key={key} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{extra}Upgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {nonce}\r\nSec-WebSocket-Protocol: parley.v1\r\n\r\n").encode()


def post_head(path, length, key=None, origin=None, expect=False):
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {length}", "Content-Type: application/json"]
    if key:
        lines.append(f"Authorization: Bearer {key}")
    if origin:
        lines.append(f"Origin: {origin}")
    if expect:
        lines.append("Expect: 100-continue")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def dial(port, source=None, receive_buffer=None, timeout=15):
    """A connection to a port of this machine, from an address of this machine."""
    line = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    line.setblocking(False)
    try:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source:
            line.bind((source, 0))
        async with asyncio.timeout(timeout):
            await asyncio.get_running_loop().sock_connect(line, ("127.0.0.1", port))
        return await asyncio.open_connection(sock=line, limit=1 << 20)
    except BaseException:
        line.close()
        raise


def reset(writer):
    """Ends a connection with RST, as a crash or a lost route does."""
    line = writer.get_extra_info("socket")
    if line is not None:
        try:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass
    writer.transport.abort()


async def read_head(reader):
    """The status and the headers of an HTTP answer."""
    text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *rest = text[:-4].split("\r\n")
    headers = {}
    for line in rest:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return int(first.split(" ", 2)[1]), headers


async def read_body(reader, headers):
    if headers.get("transfer-encoding", "").lower() == "chunked":
        pieces = []
        while True:
            size = int((await reader.readuntil(b"\r\n"))[:-2].split(b";")[0], 16)
            pieces.append(await reader.readexactly(size))
            await reader.readexactly(2)
            if size == 0:
                return b"".join(pieces)
    if "content-length" in headers:
        return await reader.readexactly(int(headers["content-length"]))
    return await reader.read(-1)


class Line:
    """One HTTP connection, kept alive; it dials again when it was cut."""

    def __init__(self, port, source=None):
        self.port, self.source = port, source
        self.reader = self.writer = None

    async def request(self, method, path, body=b"", headers=(), timeout=30):
        """Sends one request; answers status, headers and body. It does not try again: the caller knows what that means."""
        async with asyncio.timeout(timeout):
            return await self._request(method, path, body, headers)

    async def _request(self, method, path, body, headers):
        if self.writer is None:
            self.reader, self.writer = await dial(self.port, self.source)
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", *(f"{name}: {value}" for name, value in headers)]
        if body or method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        try:
            self.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
            await self.writer.drain()
            status, answered = await read_head(self.reader)
            content = await read_body(self.reader, answered)
        except BaseException:
            self.abort()
            raise
        if answered.get("connection", "").lower() == "close":
            self.close()
        return status, answered, content

    async def get(self, path, key, timeout=60):
        status, _, body = await self.request("GET", path, headers=[("Authorization", f"Bearer {key}")], timeout=timeout)
        return status, body

    async def post(self, events, key, sent_at=None, timeout=30):
        """Posts events to the door of the key's lane; answers status, parsed body and headers."""
        body = {"events": events} if sent_at is None else {"events": events, "sentAt": sent_at}
        headers = [("Authorization", f"Bearer {key}"), ("Content-Type", "application/json")]
        if key.startswith("pk_"):
            headers.append(("Origin", ORIGIN))
        status, answered, content = await self.request(
            "POST", "/v1/events", json.dumps(body, separators=(",", ":")).encode(), headers, timeout)
        return status, json.loads(content) if content else None, answered

    async def beacon(self, events, key, timeout=30):
        status, answered, content = await self.request(
            "POST", f"/v1/beacon?key={key}", json.dumps({"events": events}, separators=(",", ":")).encode(),
            [("Content-Type", "text/plain;charset=UTF-8"), ("Origin", ORIGIN)], timeout)
        return status, json.loads(content) if content else None, answered

    def close(self):
        if self.writer is not None:
            self.writer.close()
        self.reader = self.writer = None

    def abort(self):
        if self.writer is not None:
            reset(self.writer)
        self.reader = self.writer = None


class Socket:
    """One WebSocket that speaks parley.v1, frame by frame. It answers pings, and nothing else, by itself."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.welcome = None
        self.error = None

    @classmethod
    async def open(cls, port, key, source=None, hello=True, receive_buffer=None, timeout=20):
        """Dials, upgrades, reads the welcome and says hello. A close in place of a welcome is thrown as `Closed`."""
        async def opening():
            reader, writer = await dial(port, source, receive_buffer)
            try:
                nonce = base64.b64encode(os.urandom(16)).decode()
                writer.write(handshake(port, key, nonce, ORIGIN if key.startswith("pk_") else None))
                status, headers = await read_head(reader)
                if status != 101:
                    raise Refused(status, headers, await read_body(reader, headers))
                expected = base64.b64encode(hashlib.sha1(nonce.encode() + GUID).digest()).decode()
                if headers.get("sec-websocket-accept") != expected or headers.get("sec-websocket-protocol") != "parley.v1":
                    raise AssertionError(f"the upgrade's answer is no answer to ours: {headers}")
                made = cls(reader, writer)
                made.welcome = await made.receive()
                if made.welcome["type"] != "welcome":
                    made.error = made.welcome
                    await made.receive()
                    raise AssertionError(f"the server spoke first, but not a welcome: {made.welcome}")
                if hello:
                    made.send({"type": "hello", "client": "scenarios/1"})
                return made
            except BaseException:
                reset(writer)
                raise
        async with asyncio.timeout(timeout):
            return await opening()

    def send(self, value):
        self.writer.write(text_frame(value))

    async def raw(self):
        """The next frame as opcode and data, pings among them."""
        head = await self.reader.readexactly(2)
        if head[0] & 0x70 or not head[0] & 0x80 or head[1] & 0x80:
            raise AssertionError(f"the server broke RFC 6455: {head.hex()}")
        length = head[1]
        if length == 126:
            length = struct.unpack(">H", await self.reader.readexactly(2))[0]
        elif length == 127:
            length = struct.unpack(">Q", await self.reader.readexactly(8))[0]
        return head[0] & 15, await self.reader.readexactly(length) if length else b""

    async def receive(self):
        """The next frame of the protocol. A close is thrown, after it was answered."""
        while True:
            opcode, data = await self.raw()
            if opcode == TEXT:
                value = json.loads(data)
                if value["type"] == "error" and value["code"]:
                    self.error = value
                    continue
                return value
            if opcode == PING:
                self.writer.write(frame(PONG, data))
            elif opcode == CLOSE:
                code = struct.unpack(">H", data[:2])[0] if len(data) >= 2 else None
                try:
                    self.writer.write(frame(CLOSE, data[:2]))
                except OSError:
                    pass
                raise Closed(code, self.error)

    async def close(self, timeout=5):
        """The closing handshake, then the end of the connection."""
        try:
            self.writer.write(frame(CLOSE, struct.pack(">H", 1000)))
            async with asyncio.timeout(timeout):
                while True:
                    await self.receive()
        except (Closed, TimeoutError, *CUT):
            pass
        self.abandon()

    def abandon(self):
        """FIN, no close frame."""
        self.writer.close()

    def abort(self):
        """RST."""
        reset(self.writer)


class Backoff:
    """How long to wait before the next try: random, longer after each failure, short as tests are."""

    def __init__(self, rng, longest=0.5):
        self.rng, self.longest, self.failures = rng, longest, 0

    async def wait(self):
        self.failures += 1
        await asyncio.sleep(self.rng.uniform(0.01, min(self.longest, 0.03 * 2 ** min(self.failures, 6))))

    def succeeded(self):
        self.failures = 0


class Writer:
    """Sends its events until each has a verdict that ends it. What was not acked when a connection ends goes again, same ids.

    `stop()` makes it end early; `left` is what has no verdict then.
    """

    def __init__(self, port, key, book, events, rng, source=None, batch=10, in_flight=2, pause=0.0, stamps=False):
        self.port, self.key, self.book, self.rng, self.source = port, key, book, rng, source
        self.waiting = deque(events)
        self.batch, self.in_flight, self.pause, self.stamps = batch, in_flight, pause, stamps
        self.out = {}
        self.cuts = 0
        self.closes = {}
        self.retries = 0
        self.slowest = 0.0
        self.is_stopped = False
        self.backoff = Backoff(rng)

    @property
    def left(self):
        return [event for events, _ in self.out.values() for event in events] + list(self.waiting)

    def stop(self):
        self.is_stopped = True

    def _take(self, most):
        taken = [self.waiting.popleft() for _ in range(min(most, len(self.waiting)))]
        for event in taken:
            self.book.wrote(event)
        return taken

    def _give_back(self):
        for number in sorted(self.out, reverse=True):
            self.waiting.extendleft(reversed(self.out[number][0]))
        self.out = {}

    def _heard(self, event, verdict, result):
        self.book.heard(event, verdict, result)
        if verdict == "retry":
            self.retries += 1
            self.waiting.append(event)

    async def run(self):
        raise NotImplementedError

    async def _forever(self, once):
        """Runs one connection after another until nothing is left."""
        while (self.waiting or self.out) and not self.is_stopped:
            try:
                await once()
            except Refused as refused:
                if refused.status not in (429, 503):
                    raise AssertionError(f"an upgrade was refused: {refused}") from refused
                self.closes[refused.status] = self.closes.get(refused.status, 0) + 1
            except Closed as closed:
                self.closes[closed.code] = self.closes.get(closed.code, 0) + 1
                if closed.code is not None and 4000 <= closed.code < 4100:
                    raise AssertionError(f"a socket that kept the rules was told not to come back: {closed}") from closed
            except (TimeoutError, *CUT):
                self.cuts += 1
            self._give_back()
            if self.waiting and not self.is_stopped:
                await self.backoff.wait()


class SocketWriter(Writer):
    """Writes over a socket, in numbered batches, within its credits."""

    silence = 20.0  # seconds without any frame while acks are due: then the connection is taken for dead

    async def run(self):
        await self._forever(self._once)

    async def _once(self):
        line = await Socket.open(self.port, self.key, self.source)
        try:
            await self._speak(line)
            if not self.is_stopped:
                await line.close()
        finally:
            line.abort()

    async def _speak(self, line):
        limits = line.welcome["limits"]
        credits = line.welcome["credits"]
        number = 0
        is_leaving = False
        while (self.waiting or self.out) and not self.is_stopped:
            while self.waiting and len(self.out) < self.in_flight and credits > 0 and not is_leaving:
                number += 1
                events = self._take(min(self.batch, credits, limits["batchEvents"]))
                credits -= len(events)
                self.out[number] = (events, time.monotonic())
                self.send_batch(line, number, events)
            async with asyncio.timeout(self.silence):
                await line.writer.drain()
                said = await line.receive()
            if said["type"] == "ack":
                events, since = self.out.pop(said["batch"])
                self.slowest = max(self.slowest, time.monotonic() - since)
                credits += said["credits"]
                self.backoff.succeeded()
                retries = self.retries
                for event, verdict, result in verdicts_of_ack(events, said):
                    self._heard(event, verdict, result)
                if self.pause or self.retries > retries:
                    await asyncio.sleep(max(self.pause, 0.05 if self.retries > retries else 0))
            elif said["type"] == "credits":
                credits += said["credits"]
            elif said["type"] == "goodbye":
                is_leaving = True
                if not self.out:
                    raise Closed(4200)

    def send_batch(self, line, number, events):
        value = {"type": "batch", "batch": number, "events": events}
        if self.stamps:
            value["sentAt"] = int(time.time() * 1000)
        line.send(value)


def verdicts_of_ack(events, ack):
    """Each event of a batch with its verdict; an ack names only those that were not stored (P-ACK-4)."""
    named = {}
    last = {event.get("id"): index for index, event in enumerate(events)}
    for result in ack.get("results", []):
        index = result["index"] if "index" in result else last[result["id"]]
        if index in named:
            raise AssertionError(f"an ack names one event twice: {ack}")
        named[index] = result
    for index, event in enumerate(events):
        result = named.get(index)
        yield event, result["verdict"] if result else "stored", result


class PostWriter(Writer):
    """Writes over HTTP, one request after another."""

    path = "events"

    async def run(self):
        line = Line(self.port, self.source)

        async def once():
            while self.waiting and not self.is_stopped:
                events = self._take(self.batch)
                self.out = {1: (events, time.monotonic())}
                status, answer = await self._post(line, events)
                self.slowest = max(self.slowest, time.monotonic() - self.out[1][1])
                retries = self.retries
                if status in (200, 429, 503) and isinstance(answer, dict) and "results" in answer:
                    if len(answer["results"]) != len(events):
                        raise AssertionError(f"{len(events)} events got {len(answer['results'])} results")
                    self.out = {}
                    for event, result in zip(events, answer["results"]):
                        self._heard(event, result["verdict"], result)
                    self.backoff.succeeded()
                elif status in (408, 429, 500, 503):
                    self._give_back()
                    self.retries += 1
                else:
                    raise AssertionError(f"a request that kept the rules was answered {status} {answer}")
                if self.pause or self.retries > retries:
                    await asyncio.sleep(max(self.pause, 0.05 if self.retries > retries else 0))

        try:
            await self._forever(once)
        finally:
            line.close()

    async def _post(self, line, events):
        status, answer, _ = await line.post(events, self.key, int(time.time() * 1000) if self.stamps else None)
        return status, answer


class BeaconWriter(PostWriter):
    """Writes to the beacon's address, and reads the answer that no page ever reads."""

    async def _post(self, line, events):
        status, answer, _ = await line.beacon(events, self.key)
        return status, answer


class Maker:
    """Makes events. Ids and words follow from the generator, so the same seed makes the same."""

    users = 200

    def __init__(self, rng):
        self.rng = rng
        self.count = 0

    def id(self):
        bits = f"{self.rng.getrandbits(128):032x}"
        return f"{bits[:8]}-{bits[8:12]}-4{bits[13:16]}-a{bits[17:20]}-{bits[20:]}"

    def message(self, thread, role="user", words=None, **fields):
        self.count += 1
        made = self.id()
        if "user" not in fields and self.rng.random() < 0.3:
            fields["user"] = {"id": f"u-{self.rng.randrange(self.users)}"}
        return {"type": "message", "id": made, "thread": thread, "role": role, "content": words or f"{self.count} of {made}", **fields}

    def event(self, thread, **fields):
        self.count += 1
        return {"type": "event", "id": self.id(), "thread": thread, "name": f"clicked {self.count}", **fields}

    def some(self, thread, count):
        """Mostly messages, some custom events."""
        return [self.event(thread) if self.rng.random() < 0.2 else self.message(thread) for _ in range(count)]


def generator(seed, name):
    """A generator of its own for each name, so that one plan does not depend on another's."""
    return random.Random(f"{seed}:{name}")
