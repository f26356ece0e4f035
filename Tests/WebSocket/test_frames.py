"""RFC 6455, clause by clause, against a real gateway over bare TCP.

Each case names its clause: a section of RFC 6455 unless another document is named (4.2.1.3 is item 3 of section 4.2.1), or a
clause of protocol/README.md.
`wire.py` is the client; it also holds every frame the gateway sends to the RFC.
"""

import json
import random
import re
import socket
import struct
import time
import zlib

import pytest
import requests

from parley_process import ROOT, Gateway, message, new_id
from wire import (
    BINARY, CLOSE, CONTINUATION, KEY, PING, PONG, TEXT, Wire, accept_of, close, fragments, frame, handshake, opened, text)

HEARTBEAT = {"type": "heartbeat"}
# P-SOCK-7: a message may have 256 KiB and 4 KiB for what stands around its batch.
LIMIT = 256 * 1024 + 4096
CODES = {code["code"]: code for code in json.loads((ROOT / "protocol/codes.json").read_text())["codes"]}


@pytest.fixture(scope="module")
def gateway():
    """It believes X-Forwarded-For: some hundreds of sockets come from one address here, and each names its own."""
    gateway = Gateway().start("--trusted-proxy", "127.0.0.1")
    yield gateway
    gateway.stop()


@pytest.fixture(scope="module")
def project(gateway):
    """One project for all. P-LAW-1 is asserted when the last test is over."""
    project = gateway.project("frames", "--no-quotas")
    yield project
    total = project.assert_law()
    assert total["stored"] > 400 and total["dropped"] > 400, f"the ledger saw little of these tests: {total}"


@pytest.fixture(autouse=True)
def the_gateway_lives(gateway):
    """No test ends the gateway."""
    yield
    assert gateway.process.poll() is None, "the gateway has ended"


def table(words, rows):
    """Cases whose names are their first two columns: clause and what is said."""
    values = [row[2:] if len(row) > 3 else row[2] for row in rows]
    return pytest.mark.parametrize(words, values, ids=[f"{row[0]}: {row[1]}" for row in rows])


def batch(number, *events):
    return {"type": "batch", "batch": number, "events": list(events)}


def contents(project, thread):
    return [item["content"] for item in project.conversation(thread)["items"]]


def refused(wire, *codes, cleanly=False):
    """The server fails the connection: an error frame, a close frame of the same code, the end (sections 7.1.7 and 7.4, P-SOCK-7)."""
    end = wire.end(cleanly=cleanly)
    assert end.code in codes, f"closed with {end.code} {end.reason!r}, not {codes}; before: {end.before}"
    assert [error["code"] for error in end.errors] == [end.code], end.before
    return end


def padded(size):
    """A heartbeat of exactly so many bytes, which is answered like any other (P-SOCK-6)."""
    start, rest = b'{"type":"heartbeat","pad":"', b'"}'
    return start + b"x" * (size - len(start) - len(rest)) + rest


# ------------------------------------------------------------------------------------------------ 4: the handshake


def test_the_handshake_of_the_rfcs_own_example_is_answered_as_there(project):
    """Sections 1.3 and 4.2.2: 101, `websocket`, `Upgrade`, and the digest of the key. No subprotocol and no extension that nobody offered."""
    with Wire(project) as wire:
        answer = wire.upgrade()
        assert answer.one("Sec-WebSocket-Accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert answer.one("Upgrade").lower() == "websocket"
        assert answer.one("Connection").lower() == "upgrade"
        assert answer.all("Sec-WebSocket-Protocol") == answer.all("Sec-WebSocket-Extensions") == []
        assert answer.all("Content-Length") == answer.all("Transfer-Encoding") == []
        wire.hear_json("welcome")


@table("lines, words", [
    ("4.2.1", "names in other letters", ("HOST: x.example", "uPGRADE: websocket"), {"without": ("host", "upgrade")}),
    ("4.2.1.3", "WebSocket in other letters", (), {"upgrade": "WebSocket"}),
    ("4.2.1.4", "Connection is a list", (), {"connection": "keep-alive, Upgrade"}),
    ("4.2.1.4", "Connection is two lines", ("Connection: upgrade",), {"connection": "keep-alive"}),
    ("4.2.1.5", "another key", (), {"sec_websocket_key": "AQIDBAUGBwgJCgsMDQ4PEC=="}),
    ("4.2.1.5", "blanks around the key", (), {"sec_websocket_key": f"  {KEY} \t"}),
    ("4.2.1.10", "a body of no bytes", ("Content-Length: 0",), {}),
    ("4.2.1.10", "headers that nobody knows", ("Cookie: a=b", "Sec-WebSocket-Later: 1"), {}),
])
def test_a_handshake_may_be_spelled_otherwise(project, lines, words):
    with Wire(project) as wire:
        answer = wire.upgrade(*lines, **words)
        assert answer.one("Sec-WebSocket-Accept") == accept_of(words.get("sec_websocket_key", KEY).strip())
        wire.hear_json("welcome")
        wire.is_alive()


def test_a_handshake_may_name_the_whole_address(project):
    """Section 4.2.1, item 1: the request names the resource, or an absolute HTTP address that contains it. RFC 9112, section 3.2.2."""
    with Wire(project) as wire:
        wire.upgrade(target=f"{project.gateway.url}/v1/socket?key={project.public}")
        wire.hear_json("welcome")


def test_a_handshake_may_come_byte_by_byte(project):
    with Wire(project) as wire:
        wire.say_slowly(handshake(project))
        assert wire.answer().status == 101
        wire.hear_json("welcome")


def test_frames_may_stand_in_the_segment_of_the_handshake(project):
    """TCP keeps no borders: what follows the blank line are frames."""
    with Wire(project) as wire:
        wire.say(handshake(project) + frame(PING, b"early") + text(HEARTBEAT))
        assert wire.answer().status == 101
        wire.hear_json("welcome")
        wire.hear_pong(b"early")
        wire.hear_json("heartbeat")


@table("lines, words, statuses", [
    ("4.2.1.1", "POST", (), {"method": "POST"}, (400, 405)),
    ("4.2.1.1", "PUT", (), {"method": "PUT"}, (400, 405)),
    ("4.2.1.1", "HTTP/1.0", (), {"version": "HTTP/1.0"}, (400, 426, 505)),
    ("4.2.1.1", "HTTP/0.9", (), {"version": "HTTP/0.9"}, (400, 426, 505)),
    ("4.2.1.1", "HTTP/2.0 as text", (), {"version": "HTTP/2.0"}, (400, 426, 505)),
    ("4.2.1.2", "no Host", (), {"without": ("host",)}, (400,)),
    ("RFC 9112, 3.2", "two Hosts", ("Host: other.example",), {}, (400,)),
    ("4.2.1.3", "no Upgrade", (), {"without": ("upgrade",)}, (400, 426)),
    ("4.2.1.3", "an Upgrade to something else", (), {"upgrade": "h2c"}, (400, 426)),
    ("4.2.1.4", "no Connection", (), {"without": ("connection",)}, (400, 426)),
    ("4.2.1.4", "Connection without Upgrade", (), {"connection": "keep-alive"}, (400, 426)),
    ("4.2.1.5", "no key", (), {"without": ("sec_websocket_key",)}, (400, 426)),
    ("4.2.1.5", "an empty key", (), {"sec_websocket_key": ""}, (400, 426)),
    ("4.2.1.5", "a key of 15 bytes", (), {"sec_websocket_key": "AQIDBAUGBwgJCgsMDQ4P"}, (400, 426)),
    ("4.2.1.5", "a key of 17 bytes, its padding lost", (), {"sec_websocket_key": "AQIDBAUGBwgJCgsMDQ4PEBE"}, (400, 426)),
    ("4.2.1.5", "a key of 32 bytes", (), {"sec_websocket_key": "A" * 43 + "="}, (400, 426)),
    ("11.3.1", "a key twice", ("Sec-WebSocket-Key: " + KEY,), {}, (400, 426)),
    ("4.2.1.6", "no version", (), {"without": ("sec_websocket_version",)}, (400, 426)),
    ("4.2.1.6", "an empty version", (), {"sec_websocket_version": ""}, (400, 426)),
    ("11.3.5", "a version twice", ("Sec-WebSocket-Version: 13",), {}, (400, 426)),
    ("4.2.1.6", "13.0", (), {"sec_websocket_version": "13.0"}, (400, 426)),
    ("4.2.2.4", "a path that is nobody's", (), {"target": "/v1/sockets"}, (404,)),
    ("4.2.2.4", "a path in other letters", (), {"target": "/V1/SOCKET"}, (404,)),
    ("4.2.2.4, P-SOCK-1", "a path with a slash behind it", (), {"target": "/v1/socket/"}, (404,)),
    ("4.1", "a body", ("Content-Length: 5",), {"body": b"hello"}, (400, 426)),
    ("4.1", "a body in chunks", ("Transfer-Encoding: chunked",), {"body": b"5\r\nhello\r\n0\r\n\r\n"}, (400, 426)),
])
def test_what_is_no_handshake_is_answered_in_http(project, lines, words, statuses):
    """Section 4.2.1: the server stops, and answers with an error status. What follows is not read as frames."""
    with Wire(project) as wire:
        wire.say(handshake(project, *lines, **words))
        answer = wire.answer()
        assert answer.status in statuses, answer
        assert answer.all("Sec-WebSocket-Accept") == []
        wire.take(int(answer.one("Content-Length")))
        wire.say_what_it_takes(frame(PING, b"anybody?"))
        try:
            while wire.more():
                pass
        except ConnectionResetError:
            pass
        assert wire.unread == b"" or wire.unread.startswith(b"HTTP/1.1 400 "), wire.unread


def test_an_answer_to_head_has_no_body(project):
    """Section 4.2.1, item 1: GET alone. RFC 9110, section 9.3.2: what is sent behind the head is taken for the next answer."""
    with Wire(project) as wire:
        wire.say(handshake(project, method="HEAD"))
        assert wire.answer().status in (400, 405)
        while wire.more():
            pass
        assert wire.unread == b""


@pytest.mark.parametrize("version", ["0", "7", "8", "12", "14", "255"])
def test_another_version_is_answered_with_the_one_that_is_spoken(project, version):
    """Section 4.4, P-SOCK-1: 426, and the header names 13."""
    with Wire(project) as wire:
        wire.say(handshake(project, sec_websocket_version=version))
        answer = wire.answer()
        assert answer.status == 426 and answer.one("Sec-WebSocket-Version") == "13", answer


def test_an_answer_that_says_upgrade_says_so_in_connection_too(project):
    """RFC 9110, section 7.8: who sends Upgrade sends the connection option of that name, or a proxy hands it on as its own."""
    with Wire(project) as wire:
        wire.say(handshake(project, sec_websocket_version="8"))
        answer = wire.answer()
        assert answer.status == 426 and answer.one("Upgrade") == "websocket"
        options = [option.strip().lower() for value in answer.all("Connection") for option in value.split(",")]
        assert "upgrade" in options, answer


def test_a_connection_that_spoke_http_before_is_not_upgraded_halfway(project):
    """RFC 9110, section 7.8: a server may decline. Then the answer is whole HTTP, and frames behind it are not taken for another request."""
    with Wire(project) as wire:
        wire.say(f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{project.gateway.port}\r\n\r\n".encode())
        answer = wire.answer()
        assert answer.status == 200
        wire.take(int(answer.one("Content-Length")))
        wire.say(handshake(project))
        answer = wire.answer()
        assert answer.status in (400, 426), answer
        wire.take(int(answer.one("Content-Length")))
        wire.hear_end_of_connection()


@table("offers, chosen", [
    ("4.2.2.5.5", "ours", ["parley.v1"], "parley.v1"),
    ("4.2.2.5.5", "ours behind another", ["chat, parley.v1"], "parley.v1"),
    ("4.2.2.5.5", "ours before another", ["parley.v1,chat"], "parley.v1"),
    ("4.2.2.5.5", "ours in a line of its own", ["chat", "superchat, parley.v1"], "parley.v1"),
    ("4.2.2.5.5", "ours among fifty", [", ".join([f"p{n}" for n in range(49)] + ["parley.v1"])], "parley.v1"),
    ("4.2.2.5.5", "none", [], None),
])
def test_of_several_subprotocols_ours_is_chosen(project, offers, chosen):
    """One of those that were offered, or no header."""
    with Wire(project) as wire:
        answer = wire.upgrade(*[f"Sec-WebSocket-Protocol: {offer}" for offer in offers])
        assert answer.all("Sec-WebSocket-Protocol") == ([chosen] if chosen else [])
        wire.hear_json("welcome")


@pytest.mark.parametrize("offer", ["chat", "chat, superchat", "PARLEY.V1", "parley.v2", "parley.v1.1"])
def test_subprotocols_that_are_not_spoken_here_are_told_so_on_the_socket(project, offer):
    """P-SOCK-1: the first is echoed, as a browser wants it (section 4.1), then 4004. Names are compared letter by letter (section 1.9)."""
    with Wire(project) as wire:
        answer = wire.upgrade(sec_websocket_protocol=offer)
        assert answer.one("Sec-WebSocket-Protocol") == offer.split(",")[0]
        refused(wire, 4004)


@pytest.mark.parametrize("offer", ["two words", "a/b", "caf\u00e9", '"quoted"', "semi;colon"])
def test_what_is_no_name_of_a_subprotocol_is_not_said_back(project, offer):
    """Section 4.3: a subprotocol is a token. A server's header holds nothing else, whatever was offered."""
    with Wire(project) as wire:
        wire.say(handshake(project, sec_websocket_protocol=offer))
        answer = wire.answer()
        for said in answer.all("Sec-WebSocket-Protocol"):
            assert re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", said), f"{said!r} is no token"
        assert answer.status == 101 or 400 <= answer.status < 500, answer


# ---------------------------------------------------------------------------------------------- 9: no extensions


@pytest.mark.parametrize("offer", [
    "permessage-deflate",
    "permessage-deflate; client_max_window_bits",
    "permessage-deflate; server_no_context_takeover; client_max_window_bits=10, permessage-deflate",
    "x-webkit-deflate-frame",
    "bbf-usp-protocol; a=1, something-else",
])
def test_no_extension_is_agreed_on(project, offer):
    """Section 9.1, RFC 7692 section 5: a server that wants none leaves the header out, and the connection works without."""
    with Wire(project) as wire:
        answer = wire.upgrade(f"Sec-WebSocket-Extensions: {offer}")
        assert answer.all("Sec-WebSocket-Extensions") == []
        wire.hear_json("welcome")
        wire.say(text(HEARTBEAT))
        wire.hear_json("heartbeat")


def test_a_compressed_message_is_refused(project):
    """RFC 7692, section 6: only after an agreement may RSV1 say that a message is compressed. Section 5.2: else the connection fails."""
    deflate = zlib.compressobj(wbits=-15)
    packed = deflate.compress(b'{"type":"heartbeat"}') + deflate.flush(zlib.Z_SYNC_FLUSH)
    with Wire(project) as wire:
        wire.upgrade("Sec-WebSocket-Extensions: permessage-deflate")
        wire.hear_json("welcome")
        wire.say(frame(TEXT, packed.removesuffix(b"\x00\x00\xff\xff"), reserved=0b100))
        refused(wire, 1002)


# ------------------------------------------------------------------------------------------- 5: what breaks a frame


def whole(opcode, **words):
    """A frame in which nothing is wrong but what `words` make so."""
    payload = {TEXT: json.dumps(HEARTBEAT), CLOSE: struct.pack("!H", 1000)}.get(opcode, b"x")
    return frame(opcode, payload, **words)


BROKEN = [
    # Masks.
    *[("5.1", f"an unmasked frame of opcode {opcode:#x}", whole(opcode, mask=None), (1002,)) for opcode in (TEXT, BINARY, CLOSE, PING, PONG)],
    ("5.1", "an unmasked frame without payload", frame(TEXT, mask=None), (1002,)),
    ("5.1", "an unmasked end of a masked message", frame(TEXT, b"{", fin=False) + frame(CONTINUATION, b"}", mask=None), (1002,)),
    ("5.1", "an unmasked frame of 65536 bytes", frame(TEXT, padded(65536), mask=None), (1002,)),
    # Reserved bits.
    *[("5.2", f"reserved bits {bits:03b} on opcode {opcode:#x}", whole(opcode, reserved=bits), (1002,))
      for opcode in (TEXT, CLOSE, PING, PONG) for bits in range(1, 8)],
    ("5.2", "a reserved bit on a binary frame", frame(BINARY, b"x", reserved=0b100), (1002,)),
    ("5.2", "a reserved bit on a continuation", frame(TEXT, b"{", fin=False) + frame(CONTINUATION, b"}", reserved=0b100), (1002,)),
    # Opcodes.
    *[("5.2", f"opcode {opcode:#x}, {'whole' if fin else 'begun'}, {len(payload)} bytes", frame(opcode, payload, fin=fin), (1002,))
      for opcode in (3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF) for fin in (True, False) for payload in (b"", b"x")],
    ("5.2", "a reserved opcode inside a fragmented message", frame(TEXT, b"{", fin=False) + frame(3, b"x"), (1002,)),
    # Lengths. A sender uses the shortest form; P-SOCK-7 calls a frame that breaks the RFC broken.
    ("5.2", "a length of 0 in 16 bits", frame(TEXT, b"", size=16), (1002,)),
    ("5.2", "a length of 20 in 16 bits", frame(TEXT, json.dumps(HEARTBEAT), size=16), (1002,)),
    ("5.2", "a length of 125 in 16 bits", frame(TEXT, padded(125), size=16), (1002,)),
    ("5.2", "a length of 20 in 64 bits", frame(TEXT, json.dumps(HEARTBEAT), size=64), (1002,)),
    ("5.2", "a length of 126 in 64 bits", frame(TEXT, padded(126), size=64), (1002,)),
    ("5.2", "a length of 65535 in 64 bits", frame(TEXT, padded(65535), size=64), (1002,)),
    ("5.2", "a ping's length of 4 in 16 bits", frame(PING, b"ping", size=16), (1002,)),
    ("5.2", "a ping's length of 4 in 64 bits", frame(PING, b"ping", size=64), (1002,)),
    # Such a length is too large whatever else it is.
    ("5.2", "the top bit of a length of 64 bits", frame(TEXT, size=64, length=1 << 63), (1002, 4006)),
    ("5.2", "all bits of a length of 64 bits", frame(TEXT, size=64, length=(1 << 64) - 1), (1002, 4006)),
    ("5.2", "the top bit of a length, the rest of it small", frame(TEXT, b"hello", size=64, length=1 << 63 | 5), (1002, 4006)),
    ("5.2", "the top bit of an unmasked length", frame(TEXT, size=64, length=1 << 63, mask=None), (1002, 4006)),
    # Control frames.
    *[("5.5", f"opcode {opcode:#x} in fragments", frame(opcode, b"", fin=False) + frame(CONTINUATION, b""), (1002,)) for opcode in (CLOSE, PING, PONG)],
    *[("5.5", f"opcode {opcode:#x} of {length} bytes", frame(opcode, struct.pack("!H", 1000) + b"x" * (length - 2)), (1002,))
      for opcode in (CLOSE, PING, PONG) for length in (126, 127, 65535, 65536)],
    ("5.5", "the head of a ping of 126 bytes, no more", frame(PING, length=126), (1002,)),
    ("5.5", "a ping of 2 MiB announced", frame(PING, size=64, length=1 << 21), (1002, 4006)),
    ("5.5", "a ping of 126 bytes inside a fragmented message", frame(TEXT, b"{", fin=False) + frame(PING, b"x" * 126), (1002,)),
    # Fragments.
    ("5.4", "a continuation of nothing", frame(CONTINUATION, b"x"), (1002,)),
    ("5.4", "a continuation of nothing that goes on", frame(CONTINUATION, b"x", fin=False), (1002,)),
    ("5.4", "an empty continuation of nothing", frame(CONTINUATION), (1002,)),
    ("5.4", "a continuation behind a whole message", text(HEARTBEAT) + frame(CONTINUATION, b"x"), (1002,)),
    ("5.4", "a continuation behind a fragmented message", fragments('{"type":', '"heartbeat"}') + frame(CONTINUATION, b"x"), (1002,)),
    ("5.4", "a continuation behind a ping", frame(PING, b"x") + frame(CONTINUATION, b"x"), (1002,)),
    ("5.4", "a new text inside a message", frame(TEXT, b"{", fin=False) + frame(TEXT, b"{}"), (1002,)),
    ("5.4", "a new text that goes on, inside a message", frame(TEXT, b"{", fin=False) + frame(TEXT, b"{}", fin=False), (1002,)),
    ("5.4", "a new text inside a message of no bytes yet", frame(TEXT, b"", fin=False) + text(HEARTBEAT), (1002,)),
    ("5.4", "a new text behind two fragments", frame(TEXT, b"{", fin=False) + frame(CONTINUATION, b" ", fin=False) + text(HEARTBEAT), (1002,)),
    ("5.4", "a new text behind a fragment and a ping", frame(TEXT, b"{", fin=False) + frame(PING) + text(HEARTBEAT), (1002,)),
    ("5.4", "a binary frame inside a message", frame(TEXT, b"{", fin=False) + frame(BINARY, b"x"), (1002, 1003)),
    # Binary messages.
    ("P-SOCK-7", "a binary message", frame(BINARY, b"\x00\xff"), (1003,)),
    ("P-SOCK-7", "a binary message of JSON", frame(BINARY, json.dumps(HEARTBEAT)), (1003,)),
    ("P-SOCK-7", "an empty binary message", frame(BINARY), (1003,)),
    ("P-SOCK-7", "a binary message in fragments", frame(BINARY, b"\x00", fin=False) + frame(CONTINUATION, b"\x01"), (1003,)),
    # Sizes.
    ("P-SOCK-7", "a frame of one byte more than a message may have", frame(TEXT, padded(LIMIT + 1)), (4006,)),
    ("P-SOCK-7", "a frame of 1 MiB", frame(TEXT, padded(1 << 20)), (4006,)),
    ("P-SOCK-7", "the head of a frame that is too large, no more", frame(TEXT, size=64, length=LIMIT + 1), (4006,)),
    ("P-SOCK-7", "the head of a frame of 4 GiB", frame(TEXT, size=64, length=1 << 32), (4006,)),
    ("P-SOCK-7", "the head of a frame of 2^63 - 1 bytes", frame(TEXT, size=64, length=(1 << 63) - 1), (4006,)),
    ("P-SOCK-7", "a message that its last fragment makes too large", fragments(padded(LIMIT), b" "), (4006,)),
    ("P-SOCK-7", "a message in many fragments that is too large", fragments(*[b" " * 4096] * 65, b"  " * 2049), (4006,)),
    # The grammar above: proof that a frame of no bytes is a message.
    ("5.6, P-SOCK-5", "a text message of no bytes", frame(TEXT), (4005,)),
    ("5.6, P-SOCK-5", "a text message of two empty fragments", fragments(b"", b""), (4005,)),
    ("5.6, P-SOCK-5", "a zero byte is a character, but no JSON", frame(TEXT, b"\x00"), (4005,)),
]


def test_the_table_names_each_case_once():
    names = [row[:2] for row in BROKEN]
    assert len(set(names)) == len(names)


@table("data, codes", BROKEN)
def test_a_broken_frame_ends_the_connection(project, data, codes):
    """Section 7.1.7: the server says why in a close frame, and closes."""
    with opened(project) as wire:
        wire.say_what_it_takes(data)
        refused(wire, *codes)


@table("data, code", [
    ("P-CLOSE-1", "1002", frame(TEXT, b"{}", mask=None), 1002),
    ("P-CLOSE-1", "1003", frame(BINARY, b"x"), 1003),
    ("P-CLOSE-1", "1007", frame(TEXT, b"\xff"), 1007),
    ("P-CLOSE-1", "4005", frame(TEXT, b"{"), 4005),
    ("P-CLOSE-1", "4006", frame(TEXT, size=64, length=LIMIT + 1), 4006),
])
def test_the_error_frame_has_the_name_that_codes_json_gives(project, data, code):
    """P-CLOSE-1: `name` is a reason, or the name of the close code where no reason says more."""
    with opened(project) as wire:
        wire.say(data)
        end = refused(wire, code)
        reasons = {reason["code"] for reason in json.loads((ROOT / "protocol/reasons.json").read_text())["reasons"]}
        assert end.errors[0]["name"] in {CODES[code]["name"], *reasons}, end.errors
        assert len(end.reason.encode()) <= 123


@table("data", [
    ("5.1", "an unmasked frame", frame(PING, mask=None)),
    ("5.5", "a ping of 126 bytes", frame(PING, b"x" * 126)),
    ("8.1", "text that is not UTF-8", frame(TEXT, b"\xff")),
    ("P-SOCK-5", "text that is not JSON", frame(TEXT, b"{")),
    ("5.5.1", "a close frame", close(1000)),
])
def test_nothing_is_taken_behind_the_frame_that_ended_the_connection(project, data):
    """Sections 1.4 and 7.1.7: what follows is discarded. No event of it is stored, and no ping of it is answered."""
    late = message(thread="t-late", text="too late")
    with opened(project) as wire:
        wire.say(data + frame(PING, b"late") + text(batch(1, late)))
        end = wire.end(echo=data != close(1000))
        assert [heard for heard in end.before if heard.opcode != TEXT] == []
        assert "ack" not in [heard.json["type"] for heard in end.before]
    assert project.get(f"/v1/messages/{late['id']}").status_code == 404


def test_a_connection_that_failed_ends_though_the_client_says_nothing(project):
    """Section 7.1.1: the server closes after a while, even if no close frame comes back."""
    with opened(project) as wire:
        wire.say(frame(TEXT, b"{}", mask=None))
        while wire.hear().opcode != CLOSE:
            pass
        wire.hear_end_of_connection()


@table("data, code", [
    ("7.1.1", "a frame that is too large", frame(TEXT, padded(1 << 20)), 4006),
    ("7.1.1", "a ping of 126 bytes, then more", frame(PING, b"x" * 126) + frame(TEXT, padded(200_000)) * 5, 1002),
    ("7.1.1", "an unmasked frame, then more", frame(PING, mask=None) + frame(TEXT, padded(200_000)) * 5, 1002),
])
def test_a_client_that_is_still_sending_learns_why(project, data, code):
    """Section 7.1.1, P-SOCK-7: the server discards what still comes, and closes cleanly. A reset may take the close frame with it."""
    with opened(project) as wire:
        for start in range(0, len(data), 50_000):
            wire.say_what_it_takes(data[start:start + 50_000])
        refused(wire, code, cleanly=True)


# --------------------------------------------------------------------------------------------- 5: what is well formed


@pytest.mark.parametrize("mask", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x01\x02\x03\x04", b"\x00\xff\x00\xff"], ids=bytes.hex)
def test_any_mask_is_taken_off(project, mask):
    """Section 5.3, at every length around a word."""
    with opened(project) as wire:
        for length in range(40):
            wire.say(frame(PING, bytes(range(length)), mask=mask))
            wire.hear_pong(bytes(range(length)))
        wire.say(frame(TEXT, padded(300), mask=mask))
        wire.hear_json("heartbeat")


@pytest.mark.parametrize("size", [50, 125, 126, 127, 128, 65534, 65535, 65536, 65537, LIMIT - 1, LIMIT])
def test_every_form_of_length_is_read(project, size):
    """Section 5.2: 7, 16 and 64 bits, up to the largest message there may be (P-SOCK-7)."""
    with opened(project) as wire:
        wire.say(frame(TEXT, padded(size)))
        wire.hear_json("heartbeat")


def test_a_message_of_the_largest_size_may_come_in_fragments(project):
    """P-SOCK-7: what counts is the message, not the frame."""
    largest = padded(LIMIT)
    with opened(project) as wire:
        wire.say(fragments(*[largest[start:start + 5000] for start in range(0, LIMIT, 5000)]))
        wire.hear_json("heartbeat")


def test_what_the_welcome_allows_is_taken(project):
    """P-SOCK-7 and the welcome: a batch of nearly `batchBytes`, in events of nearly `eventBytes`."""
    with opened(project) as wire:
        limits = wire.welcome["limits"]
        assert limits["batchBytes"] + 4096 == LIMIT
        count = limits["batchBytes"] // limits["eventBytes"]
        events = [message(thread="t-large", text="x" * (limits["eventBytes"] - 300)) for _ in range(count)]
        wire.say(text(batch(1, *events)))
        assert "results" not in wire.hear_json("ack")


def test_a_message_may_be_cut_anywhere(project):
    """Section 5.4: a batch in two fragments, cut at each place, is the same batch, and so are three with an empty one between."""
    with opened(project) as wire:
        place, number = 0, 0
        while True:
            number += 1
            said = json.dumps(batch(number, message(thread="t-cut", text=f"cut at {place}"))).encode()
            if place > len(said):
                break
            wire.say(fragments(said[:place], *[b""] * (place % 2), said[place:]))
            ack = wire.hear_json("ack")
            assert ack["batch"] == number and "results" not in ack, ack
            place += 1
    assert contents(project, "t-cut") == [f"cut at {place}" for place in range(number - 1)]


def test_a_message_may_come_one_byte_a_fragment(project):
    """Section 5.4: with a ping between every two, each answered at once, and then the ack."""
    said = json.dumps(batch(1, message(thread="t-bytes", text="byte by byte"))).encode()
    with opened(project) as wire:
        for place, byte in enumerate(said):
            wire.say(frame(CONTINUATION if place else TEXT, bytes([byte]), fin=False))
            wire.is_alive(b"%d" % place)
        wire.say(frame(CONTINUATION))
        assert "results" not in wire.hear_json("ack")
    assert contents(project, "t-bytes") == ["byte by byte"]


@pytest.mark.parametrize("count", [1, 2, 10_000])
def test_fragments_may_be_empty(project, count):
    """Section 5.4 sets no lower bound, and no bound on their number."""
    said = json.dumps(HEARTBEAT).encode()
    with opened(project) as wire:
        wire.say(fragments(*[b""] * count, said[:7], *[b""] * count, said[7:], *[b""] * count))
        wire.hear_json("heartbeat")
        wire.is_alive()


@table("control, heard", [
    ("5.4", "a ping", frame(PING, b"between"), b"between"),
    ("5.4", "an empty ping", frame(PING), b""),
    ("5.4", "a pong, then a ping", frame(PONG, b"nobody asked") + frame(PING, b"now"), b"now"),
])
def test_control_frames_stand_between_fragments(project, control, heard):
    """Sections 5.4 and 5.5.2: a ping is answered while a message is not whole, and leaves the message as it was."""
    said = json.dumps({**HEARTBEAT, "pad": "x" * 200}).encode()
    with opened(project) as wire:
        wire.say(frame(TEXT, said[:9], fin=False) + control)
        wire.hear_pong(heard)
        wire.say(frame(CONTINUATION, said[9:99], fin=False) + control)
        wire.hear_pong(heard)
        wire.say(frame(CONTINUATION, said[99:]))
        wire.hear_json("heartbeat")


def test_a_close_between_fragments_is_answered(project):
    """Section 5.4: control frames may stand there, this one too. The message that was begun is not looked at."""
    with opened(project) as wire:
        wire.say(frame(TEXT, b'{"type":', fin=False) + close(1001))
        end = wire.end(echo=False)
        assert end.code == 1001 and end.before == []


# ----------------------------------------------------------------------------------------------- 5.5.2: ping and pong


def test_a_pong_has_the_bytes_of_its_ping(project):
    """Sections 5.5.2 and 5.5.3: of every length from 0 to 125, of any bytes, also before hello."""
    with opened(project, hello=False) as wire:
        for length in range(126):
            wire.is_alive(bytes((length * 7 + place) % 256 for place in range(length)))


def test_many_pings_in_one_segment_are_answered(project):
    """Section 5.5.3: in their order; of several that wait, the latest at least."""
    sent = [b"%d" % number for number in range(1000)]
    with opened(project) as wire:
        wire.say(b"".join(frame(PING, payload) for payload in sent))
        heard = []
        while not heard or heard[-1] != sent[-1]:
            pong = wire.hear()
            assert pong.opcode == PONG
            heard.append(pong.payload)
        places = [sent.index(payload) for payload in heard]
        assert places == sorted(set(places))


def test_a_pong_that_nobody_asked_for_is_ignored(project):
    """Section 5.5.3: it is a sign of life and wants no answer."""
    with opened(project) as wire:
        wire.say(b"".join(frame(PONG, b"x" * length) for length in (0, 1, 125)))
        wire.is_alive()


# ------------------------------------------------------------------------------------------------------ 5.5.1: close


@table("data, code", [
    ("5.5.1", "no code", close(), None),
    *[("7.4", f"{code}", close(code), code)
      for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4001, 4999)],
    ("5.5.1", "a reason", close(1000, "done, adieu, \u518d\u89c1".encode()), 1000),
    ("5.5", "a reason of 123 bytes", close(1000, b"x" * 123), 1000),
    ("5.1", "a mask of zeros", frame(CLOSE, struct.pack("!H", 1000), mask=bytes(4)), 1000),
])
def test_a_close_is_echoed(project, data, code):
    """Section 5.5.1: with the code that came. Then the server closes the connection (section 7.1.1)."""
    with opened(project) as wire:
        wire.is_alive()
        wire.say(data)
        end = wire.end(echo=False)
        assert end.code == code and end.before == [] and end.reason == ""


@table("data, codes", [
    ("5.5.1", "half a code", frame(CLOSE, b"\x03"), (1002,)),
    *[("7.4", f"{code}", close(code), (1002,))
      for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 9999, 65535)],
    *[("8.1", f"the reason {reason.hex()}", close(1000, reason), (1002, 1007))
      for reason in (b"\xff", b"done \xc3", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"x" * 121 + b"\xe2\x82")],
])
def test_a_close_that_may_not_be_sent_is_refused(project, data, codes):
    """Sections 5.5.1, 7.4.1, 7.4.2 and 8.1. No such code comes back."""
    with opened(project) as wire:
        wire.say(data)
        refused(wire, *codes)


def test_data_behind_a_close_is_discarded(project):
    """Section 1.4: neither a frame behind it nor the rest of a message before it is looked at, broken or not."""
    for behind in (text(HEARTBEAT), frame(PING, b"x"), close(1001), frame(TEXT, b"{}", mask=None), b"\xff" * 100, b"GET / HTTP/1.1\r\n\r\n"):
        with opened(project) as wire:
            wire.say(close(4321) + behind)
            end = wire.end(echo=False)
            assert end.code == 4321 and end.before == []


def test_a_close_may_come_before_the_welcome_is_read(project):
    with Wire(project) as wire:
        wire.say(handshake(project) + close(1000))
        assert wire.answer().status == 101
        end = wire.end(echo=False)
        assert end.code == 1000 and [heard.json["type"] for heard in end.before] == ["welcome"]


def test_a_batch_right_before_a_close_is_not_lost_silently(project):
    """P-ACK-5: without an ack it may be stored or not; said again on the next connection, it has a verdict."""
    event = message(thread="t-closing", text="on the way out")
    with opened(project) as wire:
        wire.say(text(batch(1, event)) + close(1000))
        assert wire.end(echo=False).code == 1000
    with opened(project) as wire:
        wire.say(text(batch(1, event)))
        wire.hear_json("ack")
    assert contents(project, "t-closing") == ["on the way out"]


# ------------------------------------------------------------------------------------------------------- 8.1: UTF-8

NOT_UTF8 = {
    "a byte that never occurs": b"\xff",
    "another that never occurs": b"\xfe",
    "a continuation without start": b"\x80",
    "a slash in two bytes": b"\xc0\xaf",
    "a zero in two bytes": b"\xc0\x80",
    "an A in two bytes": b"\xc1\x81",
    "a slash in three bytes": b"\xe0\x80\xaf",
    "U+07FF in three bytes": b"\xe0\x9f\xbf",
    "U+FFFF in four bytes": b"\xf0\x8f\xbf\xbf",
    "the first surrogate": b"\xed\xa0\x80",
    "the last surrogate": b"\xed\xbf\xbf",
    "a pair of surrogates": b"\xed\xa0\xbd\xed\xb8\x80",
    "U+110000": b"\xf4\x90\x80\x80",
    "four bytes beyond all planes": b"\xf5\x80\x80\x80",
    "five bytes": b"\xf8\x88\x80\x80\x80",
    "six bytes": b"\xfc\x84\x80\x80\x80\x80",
    "two bytes, one lost": b"\xc3",
    "three bytes, one lost": b"\xe2\x82",
    "three bytes, two lost": b"\xe2",
    "four bytes, one lost": b"\xf0\x9f\x98",
    "four bytes, two lost": b"\xf0\x9f",
    "four bytes, three lost": b"\xf0",
    "a start behind a start": b"\xc3\xc3\xa9",
    "Latin-1": "caf\u00e9".encode("latin-1"),
    "UTF-16": b"\xff\xfea\x00",
}
UTF8 = {
    "two bytes": "\u0080\u00e9\u07ff",
    "three bytes": "\u0800\u20ac\ud7ff\ue000\ufffd",
    "four bytes": "\U00010000\U0001f600\U0010ffff",
    "no characters, yet valid": "\ufffe\uffff\U0001fffe",
    "combined": "e\u0301 \U0001f468\u200d\U0001f469\u200d\U0001f467",
}
VESSELS = {
    "alone": lambda said: said,
    "as the type": lambda said: b'{"type":"' + said + b'"}',
    "in a field that nobody reads": lambda said: b'{"type":"heartbeat","x":"' + said + b'"}',
    "as a name that nobody reads": lambda said: b'{"type":"heartbeat","' + said + b'":1}',
    "in hello": lambda said: b'{"type":"hello","client":"' + said + b'"}',
    "in a message": lambda said: json.dumps(batch(1, message(thread="t-bad", text="@"))).encode().replace(b"@", said),
    "in an unknown field of an event": lambda said: json.dumps(batch(1, {**message(), "x": ["@"]})).encode().replace(b"@", said),
    "behind the JSON": lambda said: b'{"type":"heartbeat"}' + said,
    "far back": lambda said: b'{"type":"heartbeat","x":"' + b"x" * 100_000 + said + b'"}',
}


@pytest.mark.parametrize("said", NOT_UTF8.values(), ids=NOT_UTF8)
def test_text_that_is_not_utf8_is_refused_wherever_it_stands(project, said):
    """Section 8.1, P-SOCK-7: 1007, in each part of a message. Nothing of it is stored."""
    for where, vessel in VESSELS.items():
        with opened(project, hello=where != "in hello") as wire:
            wire.say(frame(TEXT, vessel(said)))
            end = wire.end()
            assert end.code == 1007, f"{where}: {end}"
            assert [error["code"] for error in end.errors] == [1007], where
    assert project.get("/v1/threads/t-bad").status_code == 404


@pytest.mark.parametrize("said", NOT_UTF8.values(), ids=NOT_UTF8)
def test_text_that_is_not_utf8_is_refused_across_fragments(project, said):
    """Section 8.1 counts the whole message: cut at each place around the fault, it is the same fault."""
    message_bytes = VESSELS["in a field that nobody reads"](said)
    start = message_bytes.index(said)
    for place in range(start, start + len(said) + 1):
        with opened(project) as wire:
            wire.say(fragments(message_bytes[:place], message_bytes[place:]))
            refused(wire, 1007)


@pytest.mark.parametrize("said", UTF8.values(), ids=UTF8)
def test_characters_may_be_cut_between_fragments(project, said):
    """Sections 5.4 and 8.1: at each byte, with a ping inside. What is stored is what was written."""
    thread = f"t-{new_id()}"
    with opened(project) as wire:
        bytes_of_text = said.encode()
        for number in range(1, len(bytes_of_text) + 2):
            whole_batch = json.dumps(batch(number, message(thread=thread, text="@"))).encode().replace(b"@", bytes_of_text)
            place = whole_batch.index(bytes_of_text) + number - 1
            wire.say(frame(TEXT, whole_batch[:place], fin=False) + frame(PING) + frame(CONTINUATION, whole_batch[place:]))
            wire.hear_pong(b"")
            assert "results" not in wire.hear_json("ack")
        every = json.dumps(batch(number + 1, message(thread=thread, text="@"))).encode().replace(b"@", bytes_of_text)
        wire.say(fragments(*[bytes([byte]) for byte in every]))
        assert "results" not in wire.hear_json("ack")
    assert contents(project, thread) == [said] * (number + 1)


# ---------------------------------------------------------------------------------------------- TCP: where bytes break


def test_everything_may_come_one_byte_at_a_time(project):
    """TCP has no borders (section 5.2 reads a stream): hello, a batch in fragments, a ping, a close, each byte in a segment of its own."""
    said = json.dumps(batch(1, message(thread="t-slow", text="slow \U0001f422"), message(thread="t-slow", text="and steady"))).encode()
    with opened(project, hello=False) as wire:
        wire.say_slowly(text({"type": "hello", "client": "test/1"}) + fragments(said[:60], said[60:]) + frame(PING, b"p"))
        # The ack waits for its commit, the pong for nothing.
        assert {wire.hear().opcode, wire.hear().opcode} == {TEXT, PONG}
        wire.say_slowly(close(1000))
        assert wire.end(echo=False).code == 1000
    assert contents(project, "t-slow") == ["slow \U0001f422", "and steady"]


def test_a_pause_may_stand_at_any_byte(project):
    """Two frames of 16-bit length and a ping, cut into two segments at each byte of their heads and around their ends."""
    first, second = frame(TEXT, padded(126)), frame(PING, b"second")
    said = first + second
    places = [*range(1, 12), *range(len(first) - 2, len(said))]
    with opened(project) as wire:
        for place in places:
            wire.say(said[:place])
            time.sleep(0.005)
            wire.say(said[place:])
            wire.hear_json("heartbeat")
            wire.hear_pong(b"second")


def test_many_frames_may_stand_in_one_segment(project):
    """Batches, heartbeats and pings at once: every ack comes, in the order of batches (P-ACK-3)."""
    events = [message(thread="t-many", text=f"number {number}") for number in range(300)]
    with opened(project) as wire:
        wire.say(b"".join(
            text(batch(number, event)) + text(HEARTBEAT) + frame(PING, b"%d" % number) for number, event in enumerate(events, 1)))
        acked, beats, pongs = [], 0, []
        while len(acked) < 300 or beats < 300 or len(pongs) < 300:
            heard = wire.hear()
            if heard.opcode == PONG:
                pongs.append(int(heard.payload))
            elif heard.json["type"] == "ack":
                assert "results" not in heard.json
                acked.append(heard.json["batch"])
            else:
                assert heard.json["type"] == "heartbeat"
                beats += 1
        assert acked == pongs == list(range(1, 301))
    assert contents(project, "t-many") == [event["content"] for event in events]


def sockets_open(gateway):
    page = requests.get(gateway.url + "/metrics", timeout=5).text
    return int(re.search(r"^parley_sockets_open (\d+)$", page, re.MULTILINE).group(1))


def test_a_connection_may_be_cut_anywhere(gateway, project):
    """A TCP reset or an end at any byte of a handshake and of a frame: the server goes on, forgets the socket, and takes the next client."""
    said = text({"type": "hello", "client": "test/1"}) + fragments(
        json.dumps(batch(1, message(thread="t-torn", text="x" * 200))).encode()[:100], b"y" * 200)
    places = [0, 1, 2, 3, 5, 6, 7, 40, 41, 42, 43, 44, 46, 47, 100, len(said) - 201, len(said) - 1]
    for place in places:
        for ends in (Wire.reset, lambda wire: wire.socket.close(), lambda wire: wire.socket.shutdown(socket.SHUT_WR)):
            with opened(project, hello=False) as wire:
                wire.say(said[:place])
                ends(wire)
    request = handshake(project)
    for place in (0, 1, 20, len(request) - 2, len(request)):
        wire = Wire(project)
        wire.say(request[:place])
        wire.reset()
    assert requests.get(gateway.url + "/healthz", timeout=5).status_code == 200
    deadline = time.monotonic() + 5
    while still := sockets_open(gateway):
        assert time.monotonic() < deadline, f"{still} sockets are still open"
        time.sleep(0.05)
    with opened(project) as wire:
        wire.say(text(batch(1, message(thread="t-after", text="next"))))
        assert "results" not in wire.hear_json("ack")
    assert contents(project, "t-after") == ["next"]
    assert project.get("/v1/threads/t-torn").status_code == 404, "a message that never was whole is stored"


def test_chance_bytes_end_in_a_close_frame_or_in_silence(gateway, project):
    """Whatever comes, the server says nothing but well-formed frames, closes with a code that protocol/ knows, and lives on."""
    chance = random.Random(6455)
    good = text(HEARTBEAT) + frame(PING, b"ping") + frame(TEXT, padded(200)) + fragments(*[b'{"type":', b'"heart', b'beat"}'])
    ended = 0
    for _ in range(150):
        data = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        if chance.random() < 0.3:
            data = bytearray(chance.randbytes(chance.randint(1, 300)))
        with opened(project) as wire:
            wire.say(bytes(data))
            wire.socket.shutdown(socket.SHUT_WR)
            try:
                while heard := wire.hear():
                    if heard.opcode == TEXT:
                        assert heard.json["type"] in ("heartbeat", "error"), heard
                    if heard.opcode == CLOSE:
                        ended += 1
                        # Chance may have made a close frame, whose code comes back.
                        code = struct.unpack("!H", heard.payload[:2])[0] if heard.payload else 1000
                        assert code in CODES or code in (1000, 1001) or code >= 3000, code
            except ConnectionResetError:
                pass
    assert ended > 75, f"only {ended} of 150 were told why"
    assert requests.get(gateway.url + "/healthz", timeout=5).status_code == 200
    with opened(project) as wire:
        wire.is_alive()
