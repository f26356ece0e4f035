"""Bytes as an attacker writes them: nothing is mended on the way, and every answer on the line is read, one by one."""

import os
import select
import socket
import struct
import time


class Answer:
    """One HTTP answer as it came."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:200]!r}>"

    def all(self, name):
        """Every value of a header, in order."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def one(self, name):
        values = self.all(name)
        assert len(values) <= 1, f"{name} is there {len(values)} times: {values}"
        return values[0] if values else None


class Line:
    """A TCP connection to a gateway. Another address of the loopback block is another sender to it."""

    def __init__(self, gateway, source="127.0.0.1", timeout=15, receive_buffer=None):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.bind((source, 0))
        self.socket.connect(("127.0.0.1", gateway.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.is_over = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Ends it with a reset, as a machine does that lost its network."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def send(self, data):
        """Sends all of it; False where the other side no longer takes it."""
        try:
            self.socket.sendall(data.encode("latin-1") if isinstance(data, str) else data)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def more(self, seconds):
        """Reads what is there; False when nothing came in time or the line is over."""
        if self.is_over or not select.select([self.socket], [], [], max(0, seconds))[0]:
            return False
        try:
            piece = self.socket.recv(65536)
        except ConnectionResetError:
            piece = b""
        self.buffer += piece
        self.is_over = piece == b""
        return not self.is_over

    def read_until(self, is_there, seconds):
        deadline = time.monotonic() + seconds
        while not is_there():
            if not self.more(deadline - time.monotonic()):
                return is_there()
        return True

    def answer(self, seconds=10, has_body=True):
        """The next answer, or None when the line ends or stays quiet before one is whole."""
        if not self.read_until(lambda: b"\r\n\r\n" in self.buffer, seconds):
            return None
        head, rest = self.buffer.split(b"\r\n\r\n", 1)
        words, *fields = head.decode("latin-1").split("\r\n")
        assert words.startswith("HTTP/1.1 "), words
        headers = [tuple(part.strip() for part in field.split(":", 1)) for field in fields]
        answer = Answer(int(words.split()[1]), headers, b"")
        self.buffer = rest
        if not has_body or answer.status in (204, 304) or answer.status < 200:
            return answer
        if answer.one("Transfer-Encoding"):
            answer.body = self._chunks(seconds)
        elif (length := answer.one("Content-Length")) is not None:
            length = int(length)
            self.read_until(lambda: len(self.buffer) >= length, seconds)
            answer.body, self.buffer = self.buffer[:length], self.buffer[length:]
        else:
            self.read_until(lambda: self.is_over, seconds)
            answer.body, self.buffer = self.buffer, b""
        return answer

    def _chunks(self, seconds):
        body = b""
        while True:
            if not self.read_until(lambda: b"\r\n" in self.buffer, seconds):
                return body
            size, rest = self.buffer.split(b"\r\n", 1)
            count = int(size, 16)
            if not self.read_until(lambda: len(self.buffer) >= len(size) + 2 + count + 2, seconds):
                return body
            rest = self.buffer[len(size) + 2:]
            body, self.buffer = body + rest[:count], rest[count + 2:]
            if count == 0:
                return body

    def answers(self, quiet=0.4, at_most=50):
        """All answers up to the end of the line, or until it stays quiet; the first may take three seconds."""
        found = []
        while len(found) < at_most and (answer := self.answer(quiet if found else 3)):
            found.append(answer)
        return found

    def ends_within(self, seconds):
        """Whether the other side ends the line in time; what it says before is dropped."""
        deadline = time.monotonic() + seconds
        while self.more(deadline - time.monotonic()):
            self.buffer = b""
        return self.is_over

    def frame(self, seconds=10):
        """The next WebSocket frame as (opcode, payload), or None when the line ends or stays quiet."""
        if not self.read_until(lambda: self._size() is not None, seconds):
            return None
        head, length = self._size()
        opcode, payload = self.buffer[0] & 15, self.buffer[head:head + length]
        self.buffer = self.buffer[head + length:]
        return opcode, payload

    def _size(self):
        """(head, payload) of the frame that is in the buffer; None while it is not whole."""
        if len(self.buffer) < 2:
            return None
        length, head = self.buffer[1] & 127, 2
        if length == 126:
            head, length = 4, int.from_bytes(self.buffer[2:4], "big")
        elif length == 127:
            head, length = 10, int.from_bytes(self.buffer[2:10], "big")
        return (head, length) if len(self.buffer) >= head + length else None


def ask(gateway, data, source="127.0.0.1", has_body=True, seconds=10):
    """One request, one answer."""
    with Line(gateway, source) as line:
        line.send(data)
        answer = line.answer(seconds, has_body)
        assert answer, f"no answer to {data[:200]!r}"
        return answer


def request(method, target, headers=(), body=b"", host="gateway.example"):
    """A well-formed request, but for what the caller puts into it."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers)]
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


# ------------------------------------------------------------------------------------------------------------ sockets

UPGRADE = [
    ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
]


def frame(opcode, payload=b"", fin=True):
    """A masked frame of a client (RFC 6455, section 5.2)."""
    head = bytes([(0x80 if fin else 0) | opcode])
    if len(payload) < 126:
        head += bytes([0x80 | len(payload)])
    elif len(payload) < 65536:
        head += bytes([0x80 | 126]) + struct.pack(">H", len(payload))
    else:
        head += bytes([0x80 | 127]) + struct.pack(">Q", len(payload))
    mask = os.urandom(4)
    return head + mask + bytes(byte ^ mask[index & 3] for index, byte in enumerate(payload))


TEXT, PING, PONG, CLOSE, CONTINUATION = 1, 9, 10, 8, 0


class Socket(Line):
    """A connection that was upgraded."""

    def __init__(self, project, headers=None, **options):
        super().__init__(project.gateway, **options)
        self.send(request("GET", f"/v1/socket?key={project.public}", [*UPGRADE, ("Origin", project.ORIGIN), *(headers or [])]))
        self.opening = self.answer(has_body=False)

    def end(self, seconds=10):
        """Reads on to the close frame; answers its code, None where the line just ended."""
        while got := self.frame(seconds):
            if got[0] == CLOSE:
                return int.from_bytes(got[1][:2], "big") if len(got[1]) >= 2 else 1005
        return None
