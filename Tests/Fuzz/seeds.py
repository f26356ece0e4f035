"""Writes the inputs that fuzzing begins with into a folder: one of each shape, so that libFuzzer need not find them by chance.

    seeds.py FOLDER

They are the shapes of the recordings in Tests/*/Captures and of protocol/conformance, with words of our own.
"""

import gzip
import json
import sys
import zlib
from pathlib import Path

ID = "01976ad2-8c4b-7c1d-9a00-00000000000"
TRACE = "01976ad28c4b7c1d9a00000000000001"


def text(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def frame(opcode, payload=b"", last=True, mask=b"\1\2\3\4"):
    head = bytes([opcode | 0x80 * last])
    head += bytes([0x80 | len(payload)]) if len(payload) < 126 else bytes([0x80 | 126]) + len(payload).to_bytes(2, "big")
    return head + mask + bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))


def field(number, value):
    """A field of a protobuf message: bytes, or an integer as fixed64 where it is marked so."""
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    if isinstance(value, tuple):
        return varint(number << 3 | 1) + value[0].to_bytes(8, "little")
    return varint(number << 3) + varint(value)


def varint(number):
    octets = b""
    while number > 127:
        octets += bytes([number & 127 | 128])
        number >>= 7
    return octets + bytes([number])


def attribute(name, value):
    return field(1, name.encode()) + field(2, field(1, value.encode()) if isinstance(value, str) else field(3, value))


EVENTS = [
    {"type": "message", "id": ID + "1", "thread": "t-1", "role": "user", "content": "Hello", "at": 1795262400000, "user": {"id": "u", "props": {"plan": "pro"}},
     "tags": ["a"], "metadata": {"n": 1.5}, "replyTo": ID + "0"},
    {"type": "message", "id": ID + "2", "thread": "t-1", "role": "assistant", "content": [{"type": "text", "text": "Hi"}], "at": "2026-11-21T12:00:00Z"},
    {"type": "event", "id": ID + "3", "thread": "t-1", "name": "opened"}, {"type": "feedback", "id": ID + "4", "target": ID + "2", "thumb": "up", "comment": "good"},
    {"type": "thread", "id": ID + "5", "thread": "t-1", "tags": ["x"], "status": "inactive"}, {"type": "identify", "id": ID + "6", "user": {"id": "u"}},
    {"type": "client_report", "id": ID + "7", "reasons": {"queue_full": 2}},
    {"type": "run", "id": ID + "8", "kind": "llm", "name": "answer", "parent": ID + "1", "input": {"q": "Hello"}, "output": "Hi", "model": "m", "usage": {"inputTokens": 3},
     "cost": 0.01, "success": True, "startedAt": 1795262400000, "endedAt": 1795262401000, "receipt": "r1.x"},
    {"type": "score", "id": ID + "9", "target": "t-1", "name": "quality", "value": 0.5, "reason": "why", "author": "a"},
    {"type": "trace", "id": ID + "a", "target": ID + "1", "trace": TRACE},
    {"type": "message", "id": ID + "b", "thread": "t\ud7ff", "role": "tool", "content": "nul \0 and \u2028", "unheard": {"of": [None]}},
]
LUNARY = [
    {"type": "llm", "event": "start", "runId": ID + "1", "parentRunId": ID + "0", "timestamp": "2026-11-21T12:00:00.000Z", "name": "m", "params": {"temperature": 0},
     "input": [{"role": "user", "content": "Hello"}], "userId": "u", "userProps": {"a": 1}, "tags": ["x"], "metadata": {"k": 1}},
    {"type": "llm", "event": "end", "runId": ID + "1", "timestamp": "2026-11-21T12:00:01Z", "output": {"role": "assistant", "content": "Hi"}, "tokensUsage": {"prompt": 1, "completion": 2}},
    {"type": "tool", "event": "error", "runId": ID + "2", "timestamp": 1795262400, "error": {"message": "no", "stack": "s"}},
    {"type": "thread", "event": "chat", "runId": ID + "3", "threadId": "t", "parentRunId": "t", "timestamp": "2026-11-21T12:00:00Z", "message": {"role": "user", "content": "Hello"}},
    {"type": "thread", "event": "open", "runId": "t", "timestamp": "2026-11-21T12:00:00Z", "tags": ["a"]},
    {"event": "feedback", "runId": ID + "3", "extra": {"thumb": "down", "comment": "bad"}, "timestamp": "2026-11-21T12:00:00Z"},
]
TRACES = [{"id": ID + "1", "project_name": "p", "name": "n", "start_time": "2026-11-21T12:00:00Z", "end_time": "2026-11-21T12:00:01Z", "input": {"q": "Hello"},
           "output": {"a": "Hi"}, "metadata": {"message_id": ID + "0"}, "tags": ["x"], "thread_id": "t", "error_info": {"exception_type": "E", "message": "m", "traceback": "t"}}]
SPANS = [{"id": ID + "2", "trace_id": ID + "1", "parent_span_id": ID + "3", "type": "llm", "name": "s", "start_time": "2026-11-21T12:00:00Z", "model": "m", "provider": "p",
          "usage": {"prompt_tokens": 1, "completion_tokens": 2}, "total_estimated_cost": 0.1}]
SCORES = [{"id": ID + "1", "project_name": "p", "name": "quality", "value": 0.5, "source": "sdk", "reason": "r", "category_name": "c"}]
AGNOST = [
    {"session_id": "s", "client_config": "web", "connection_type": "sdk", "ip": "", "user_data": {"user_id": "u"}, "tools": []},
    {"session_id": "s", "primitive_type": "tool", "primitive_name": "chat", "latency": 12, "success": True, "args": "{\"input\":\"Hello\"}", "result": "{\"output\":\"Hi\"}",
     "event_id": ID + "1", "timestamp": 1795262400000, "metadata": {"message_id": ID + "0"}, "parent_id": ID + "2"},
]
SPAN = {"traceId": TRACE, "spanId": "0000000000000001", "parentSpanId": "0000000000000002", "name": "chat m", "kind": 3, "startTimeUnixNano": "1795262400000000000",
        "endTimeUnixNano": "1795262401000000000", "status": {"code": 2, "message": "no"},
        "attributes": [{"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}}, {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "3"}},
                       {"key": "chat.message.id", "value": {"stringValue": ID + "0"}}, {"key": "gen_ai.input.messages", "value": {"stringValue": "[{\"role\":\"user\",\"parts\":[{\"type\":\"text\",\"content\":\"Hello\"}]}]"}},
                       {"key": "list", "value": {"arrayValue": {"values": [{"boolValue": True}, {"doubleValue": 0.5}]}}}, {"key": "map", "value": {"kvlistValue": {"values": []}}}],
        "events": [{"name": "gen_ai.choice", "timeUnixNano": "1795262400500000000", "attributes": [{"key": "gen_ai.event.content", "value": {"stringValue": "{\"message\":{\"content\":\"Hi\"}}"}}]}],
        "links": [{"traceId": TRACE, "spanId": "0000000000000003"}]}
EXPORT = {"resourceSpans": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "s"}}]}, "scopeSpans": [{"scope": {"name": "n"}, "spans": [SPAN]}]}]}
PROTO = field(1, field(1, field(1, attribute("service.name", "s"))) + field(2, field(1, field(1, b"n")) + field(2, (
    field(1, bytes.fromhex(TRACE)) + field(2, bytes(7) + b"\1") + field(4, bytes(7) + b"\2") + field(5, b"chat m") + field(6, 3)
    + field(7, (1795262400000000000,)) + field(8, (1795262401000000000,)) + field(9, attribute("gen_ai.operation.name", "chat"))
    + field(9, attribute("gen_ai.usage.input_tokens", 3)) + field(9, attribute("chat.message.id", ID + "0"))
    + field(11, field(1, (1795262400500000000,)) + field(2, b"gen_ai.choice")) + field(13, field(1, bytes.fromhex(TRACE)) + field(2, bytes(7) + b"\3"))
    + field(15, field(2, b"no") + field(3, 2))))))
CLAIMS = {"sub": "u", "aud": "prj_1", "exp": 1795262460, "nbf": 1795262400, "thread": "t"}

SEEDS = {
    "frames": [frame(1, b"Hello"), frame(1, b"Hel", last=False) + frame(9, b"?") + frame(0, b"lo"), frame(8, b"\3\xe8bye"), frame(8), frame(10), frame(2, b"\0" * 200),
               frame(1, b"x" * 4000), bytes([0xC1, 0x80, 1, 2, 3, 4]), bytes([0x81, 0xFF]) + b"\x7f" + b"\xff" * 7 + b"\1\2\3\4", bytes([0x81, 0x05]) + b"Hello",
               bytes([0x81, 0xFE, 0, 5, 1, 2, 3, 4]) + b"Hello"],
    "json": [text(EVENTS), text(SPAN), b'{"a":[1,-0,0.1e-7,12345678901234567890,true,null,"\\ud83d\\ude00\\u0000"]}', b'"\\ud83d"', b"[NaN,Infinity,-Infinity]",
             b"[" * 64 + b"]" * 64, b'{"a":1,"a":2}', b' {"b" : "x" , "a" : {} } '],
    "gzip": [b"\4" + gzip.compress(b"Hello" * 9, mtime=0), b"\4" + gzip.compress(b"a", mtime=0) + gzip.compress(b"b", mtime=0), b"\4" + gzip.compress(bytes(70_000), mtime=0),
             b"\5" + zlib.compress(b"Hello" * 9), b"\5" + zlib.compress(b"Hello")[2:-4], b"\0" + gzip.compress(b"Hello", mtime=0)[:-4]],
    "origins": [b"https://shop.example", b"https://a.shop.example:443", b"HTTPS://SHOP.EXAMPLE", b"http://localhost:3000", b"https://[::1]:8443", b"https://evilshop.example",
                b"https://*.shop.example", b"https://.shop.example", b"https://shop.example.", b"null", b"https://shop.example@evil.example", b"http://localhost:*"],
    "tokens": [b"\1" + text({"alg": "HS256", "typ": "JWT"}) + b"\0" + text(CLAIMS), b"\1" + text({"alg": "HS256", "kid": "idk_1"}) + b"\0" + text({**CLAIMS, "aud": ["a", "shop"]}),
               b"\1" + text({"alg": "none"}) + b"\0" + text(CLAIMS), b"\1" + text({"alg": "HS256", "crit": ["x"]}) + b"\0" + text(CLAIMS),
               b"\1" + text({"alg": "HS256"}) + b"\0" + text({**CLAIMS, "exp": 1e300}), b"\0e30.e30.c2ln", b"\0eyJhbGciOiJIUzI1NiJ9.e30."],
    "native": [lane + text({"events": EVENTS, "sentAt": 1795262400000, "receipts": True, "token": "x.y.z"}) for lane in (b"\0\0", b"\0\1", b"\1\4")]
              + [b"\0\1" + text({"events": [event]}) for event in EVENTS],
    "socket": [lane + text(said) for lane in (b"\0", b"\1") for said in (
        {"type": "hello", "client": "c/1", "token": "x.y.z", "receipts": True}, {"type": "batch", "batch": 1, "sentAt": 1795262400000, "events": EVENTS},
        {"type": "heartbeat"}, {"type": "auth", "token": "x"}, {"type": "batch", "batch": -1, "events": {}})],
    "lunary": [bytes([place, 1]) + text(said) for place in range(4) for said in ({"events": LUNARY}, LUNARY, LUNARY[3])],
    "opik": [bytes([place, 1]) + text(said) for place in range(16) for said in ({"traces": TRACES, "spans": SPANS, "scores": SCORES},)]
            + [bytes([place, 1]) + text(said) for place in range(16) for said in (TRACES[0], SPANS[0], SCORES[0])][::3],
    "agnost": [bytes([place, 1]) + text(said) for place in range(4) for said in AGNOST],
    "otlp": [b"\0\1" + text(EXPORT), b"\0\3" + PROTO, b"\0\1" + text({"resourceSpans": []}), b"\0\3"],
}


def main(folder):
    for target, inputs in SEEDS.items():
        room = Path(folder) / target
        room.mkdir(parents=True, exist_ok=True)
        for number, given in enumerate(inputs):
            (room / f"seed-{number:02}").write_bytes(given)


if __name__ == "__main__":
    main(sys.argv[1])
