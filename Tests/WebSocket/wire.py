"""A WebSocket client of bare bytes. It says what it is told to, right or wrong, and holds every frame it hears to RFC 6455."""

import base64
import hashlib
import itertools
import json
import socket
import struct
from dataclasses import dataclass, field

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
MASK = b"\x37\xfa\x21\x3d"
# RFC 6455, section 1.3: the key of its example, and the text that every server puts behind a key.
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# Nothing here takes this long unless it never comes.
PATIENCE = 5.0
visitors = itertools.count(1)


def masked(payload, mask=MASK):
    return bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))


def frame(opcode, payload=b"", fin=True, reserved=0, mask=MASK, size=None, length=None):
    """A frame of section 5.2. `size` (7, 16 or 64 bits) and `length` say the length otherwise than it is to be said."""
    if isinstance(payload, str):
        payload = payload.encode()
    length = len(payload) if length is None else length
    size = size or (7 if length < 126 else 16 if length < 65536 else 64)
    short = {7: length, 16: 126, 64: 127}[size]
    head = bytes([fin << 7 | reserved << 4 | opcode, (mask is not None) << 7 | short])
    if size > 7:
        head += length.to_bytes(size // 8, "big")
    return head + payload if mask is None else head + mask + masked(payload, mask)


def close(code=None, reason=b""):
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason)


def fragments(*payloads):
    """One text message in so many frames (section 5.4)."""
    last = len(payloads) - 1
    return b"".join(
        frame(CONTINUATION if place else TEXT, payload, fin=place == last) for place, payload in enumerate(payloads))


def text(value):
    return frame(TEXT, json.dumps(value))


def accept_of(key):
    return base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()


@dataclass
class Answer:
    """The head of an HTTP answer."""

    status: int
    headers: list

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def one(self, name):
        values = self.all(name)
        assert len(values) == 1, f"{name} is there {len(values)} times: {self.headers}"
        return values[0]


@dataclass
class Heard:
    opcode: int
    payload: bytes

    @property
    def json(self):
        assert self.opcode == TEXT, self
        return json.loads(self.payload.decode("utf-8", "strict"))


@dataclass
class End:
    """How a connection ended: what came before the close frame, and the close frame."""

    code: int = None
    reason: str = ""
    before: list = field(default_factory=list)

    @property
    def errors(self):
        return [heard.json for heard in self.before if heard.opcode == TEXT and heard.json["type"] == "error"]


def handshake(project, *lines, method="GET", target=None, version="HTTP/1.1", without=(), body=b"", **replaced):
    """The bytes of a handshake (section 4.1). `without` leaves headers out, `replaced` gives others, `lines` adds whole lines."""
    headers = {
        "host": f"127.0.0.1:{project.gateway.port}",
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec_websocket_key": KEY,
        "sec_websocket_version": "13",
        "origin": project.ORIGIN,
        # Each connection is somebody else's, so that the bound on new sockets of one address does not count here.
        "x_forwarded_for": "10.{}.{}.{}".format(*next(visitors).to_bytes(3, "big")),
        **replaced,
    }
    if target is None:
        target = f"/v1/socket?key={project.public}"
    head = [f"{method} {target} {version}"]
    head += [f"{name.replace('_', '-').title()}: {value}" for name, value in headers.items() if name not in without]
    return "\r\n".join([*head, *lines, "", ""]).encode() + body


class Wire:
    """One TCP connection to the gateway."""

    def __init__(self, project):
        self.socket = socket.create_connection(("127.0.0.1", project.gateway.port), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.project = project
        self.unread = b""
        self.has_heard_close = False
        self.was_reset = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    # What is said.

    def say(self, data):
        self.socket.sendall(data)

    def say_what_it_takes(self, data):
        """As much as is said before the server ends the connection."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            self.was_reset = True

    def say_slowly(self, data):
        """Each byte in a segment of its own."""
        for byte in data:
            self.socket.sendall(bytes([byte]))

    def reset(self):
        """Ends the connection with a TCP reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    # What is heard.

    def more(self):
        """Whether more bytes came; false at the end of the connection."""
        chunk = self.socket.recv(65536)
        self.unread += chunk
        return bool(chunk)

    def take(self, count):
        while len(self.unread) < count:
            assert self.more(), f"the connection ended inside a frame: {self.unread!r}"
        taken, self.unread = self.unread[:count], self.unread[count:]
        return taken

    def answer(self):
        while b"\r\n\r\n" not in self.unread:
            assert self.more(), f"the connection ended inside an HTTP head: {self.unread!r}"
        head, _, self.unread = self.unread.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        return Answer(int(first.split(" ")[1]), [tuple(line.split(": ", 1)) for line in lines])

    def hear(self):
        """The next frame; None where the connection has ended."""
        if not self.unread and not self.more():
            return None
        assert not self.has_heard_close, "section 5.5.1: nothing is sent behind a close frame"
        first, second = self.take(2)
        fin, reserved, opcode, size = first >> 7, first >> 4 & 7, first & 0xF, second & 0x7F
        assert fin and opcode in (TEXT, CLOSE, PING, PONG), f"the gateway sends whole frames of known opcodes, not {first:#x}"
        assert reserved == 0, "section 5.2: no extension was agreed on"
        assert not second & 0x80, "section 5.1: a server masks nothing"
        if size == 126:
            size = int.from_bytes(self.take(2), "big")
            assert size > 125, "section 5.2: the shortest form of a length"
        elif size == 127:
            size = int.from_bytes(self.take(8), "big")
            assert 65535 < size < 1 << 63, "section 5.2: the shortest form of a length"
        assert opcode < 8 or size < 126, "section 5.5: a control frame has 125 bytes at most"
        heard = Heard(opcode, self.take(size))
        self.has_heard_close = opcode == CLOSE
        return heard

    def hear_json(self, kind):
        heard = self.hear()
        assert heard, f"the connection ended where {kind} was due"
        said = heard.json
        assert said["type"] == kind, said
        return said

    def hear_pong(self, payload):
        heard = self.hear()
        assert heard == Heard(PONG, payload), heard

    def hear_end_of_connection(self, cleanly=False):
        """The server closes the TCP connection, first and soon (section 7.1.1); cleanly, if it matters here."""
        try:
            heard = self.hear()
            assert heard is None, f"the connection goes on: {heard}"
        except ConnectionResetError:
            self.was_reset = True
        assert not (cleanly and self.was_reset), "section 7.1.1: the connection was reset"

    def end(self, echo=True, cleanly=False):
        """Reads to the close frame, echoes it unless it is an echo itself, and reads to the end of the connection."""
        end = End()
        while True:
            heard = self.hear()
            assert heard, f"the connection ended without a close frame; before: {end.before}"
            if heard.opcode == CLOSE:
                break
            end.before.append(heard)
        assert len(heard.payload) != 1, "section 5.5.1: a close code has two bytes"
        if heard.payload:
            end.code = struct.unpack("!H", heard.payload[:2])[0]
            end.reason = heard.payload[2:].decode("utf-8", "strict")
        if echo:
            # Section 7.1.1 lets a server close without waiting for it.
            self.say_what_it_takes(frame(CLOSE, heard.payload))
        self.hear_end_of_connection(cleanly)
        return end

    # Whole exchanges.

    def upgrade(self, *lines, **words):
        self.say(handshake(self.project, *lines, **words))
        answer = self.answer()
        assert answer.status == 101, answer
        return answer

    def is_alive(self, payload=b"alive"):
        self.say(frame(PING, payload))
        self.hear_pong(payload)


def opened(project, hello=True):
    """A connection that has heard its welcome, and has said hello."""
    wire = Wire(project)
    wire.upgrade(sec_websocket_protocol="parley.v1")
    wire.welcome = wire.hear_json("welcome")
    if hello:
        wire.say(text({"type": "hello", "client": "test/1"}))
    return wire
