#!/usr/bin/env python3
"""Measures the vendors' doors: durable rate in batches, and the time of an answer at 200 requests a second.

    scripts/bench-doors.py --url http://127.0.0.1:8787 --secret sk_… [--only otlp] [--seconds 10]

Every request is new (its IDs are), has a connection of its worker's own, and is counted only when it is answered as stored. At the
end the ledger of the gateway must have as many events stored as were answered. Needs nothing but Python.
"""

import argparse
import http.client
import json
import os
import struct
import threading
import time
import urllib.parse
import urllib.request
import uuid

TEXT = "The order left our warehouse this morning and should be with you on Friday. " * 5


def iso(at):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1e6):06d}Z"


def uuid7():
    ms = int(time.time() * 1000)
    return str(uuid.UUID(int=ms << 80 | 7 << 76 | int.from_bytes(os.urandom(9), "big") & ((1 << 76) - 1) & ~(3 << 62) | 2 << 62))


# ------------------------------------------------------------------------------------------------------------ bodies

def lunary(count):
    """Messages and model calls of one thread, as lunary-py 1.4.41 sends them."""
    thread, events = str(uuid.uuid4()), []
    for number in range(count):
        run, now = str(uuid.uuid4()), iso(time.time())
        if number % 3 == 0:
            events.append({"event": "chat", "type": "thread", "runId": run, "parentRunId": thread, "timestamp": now, "runtime": "lunary-js",
                           "message": {"id": run, "role": "user", "content": TEXT}})
        else:
            events.append({"event": "start", "type": "llm", "name": "gpt-4o", "runId": run, "timestamp": now, "runtime": "lunary-js",
                           "input": [{"role": "user", "content": TEXT}], "params": {"temperature": 0.3}})
    return "/v1/runs/ingest", json.dumps({"events": events}).encode(), "application/json", count


def opik(count):
    """A trace a turn, as opik 2.2.122 sends them."""
    thread, now = str(uuid.uuid4()), iso(time.time())
    traces = [{"id": uuid7(), "project_name": "bench", "name": "turn", "start_time": now, "end_time": now, "input": {"message": TEXT},
               "output": {"reply": "On Friday."}, "last_updated_at": now, "thread_id": f"{thread}-{number // 20}", "source": "sdk"}
              for number in range(count)]
    return "/api/v1/private/traces/batch", json.dumps({"traces": traces}).encode(), "application/json", count


def agnost(count):
    """One turn: this dialect has no batches."""
    return "/api/v1/capture-event", json.dumps({
        "event_id": str(uuid.uuid4()), "session_id": str(uuid.uuid4()), "primitive_type": "", "primitive_name": "agent", "latency": 250,
        "success": True, "args": json.dumps(TEXT), "result": json.dumps("On Friday."), "metadata": {"model": "gpt-4o"}}).encode(), \
        "application/json", 1


def varint(number):
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def attribute(key, value):
    content = field(1, value.encode()) if isinstance(value, str) else varint(3 << 3) + varint(value)
    return field(9, field(1, key.encode()) + field(2, content))


ATTRIBUTES = b"".join([
    attribute("gen_ai.operation.name", "chat"), attribute("gen_ai.provider.name", "openai"), attribute("gen_ai.request.model", "gpt-4o"),
    attribute("gen_ai.usage.input_tokens", 120), attribute("gen_ai.usage.output_tokens", 12),
    attribute("gen_ai.input.messages", json.dumps([{"role": "user", "parts": [{"type": "text", "content": TEXT}]}]))])


def otlp(count):
    """Model calls of one trace each ten, as the Python exporter sends them."""
    spans, now = [], time.time_ns()
    for number in range(count):
        if number % 10 == 0:
            trace, thread = os.urandom(16), attribute("gen_ai.conversation.id", str(uuid.uuid4()))
        spans.append(field(2, field(1, trace) + field(2, os.urandom(8)) + field(5, b"chat gpt-4o") + bytes([6 << 3, 3])
                           + bytes([7 << 3 | 1]) + struct.pack("<Q", now) + bytes([8 << 3 | 1]) + struct.pack("<Q", now + 10**6) + thread + ATTRIBUTES))
    return "/v1/traces", field(1, field(2, b"".join(spans))), "application/x-protobuf", count


# Door → what makes a body, a batch for the rate, a usual batch of its SDK, headers, statuses that say stored.
DOORS = {
    "otlp": (otlp, 100, 10, lambda key: {"Authorization": f"Bearer {key}"}, (200,)),
    "opik": (opik, 100, 5, lambda key: {"Authorization": key, "Comet-Workspace": "default"}, (204,)),
    "lunary": (lunary, 100, 6, lambda key: {"Authorization": f"Bearer {key}"}, (200,)),
    "agnost": (agnost, 1, 1, lambda key: {"X-Org-Id": key}, (200,)),
}


# -------------------------------------------------------------------------------------------------------------- load

class Load:
    def __init__(self, url, headers, fine):
        self.target = urllib.parse.urlsplit(url)
        self.headers, self.fine = headers, fine
        self.lock = threading.Lock()
        self.times, self.events, self.errors = [], 0, []

    def send(self, connection, request, due):
        path, body, kind, events = request
        connection.request("POST", path, body, {"Content-Type": kind, **self.headers})
        answer = connection.getresponse()
        text = answer.read()
        took = time.perf_counter() - due
        refused = answer.status == 200 and (b'"success":false' in text or len(text) > 2 and b"results" not in text and b"event_id" not in text)
        with self.lock:
            if answer.status in self.fine and not refused:
                self.times.append(took)
                self.events += events
            else:
                self.errors.append(f"{answer.status} {text[:200]!r}")

    def run(self, bodies, workers, rate=None):
        """As fast as it goes, or at a rate of requests, each due at its time whether those before it are answered or not."""
        began = time.perf_counter()
        turn = iter(range(len(bodies)))

        def work():
            connection = http.client.HTTPConnection(self.target.hostname, self.target.port)
            while True:
                with self.lock:
                    number = next(turn, None)
                if number is None:
                    return connection.close()
                due = time.perf_counter()
                if rate:
                    due = began + number / rate
                    time.sleep(max(0, due - time.perf_counter()))
                self.send(connection, bodies[number], due)

        threads = [threading.Thread(target=work) for _ in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - began

    def percentile(self, share):
        return sorted(self.times)[min(len(self.times) - 1, int(len(self.times) * share))] * 1000


def stored(url, secret):
    request = urllib.request.Request(url + "/v1/outcomes", headers={"Authorization": f"Bearer {secret}"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["total"]["stored"]


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--url", default="http://127.0.0.1:8787")
    options.add_argument("--secret", required=True)
    options.add_argument("--only", choices=DOORS)
    options.add_argument("--seconds", type=int, default=10, help="of the run at a set rate (default 10)")
    options = options.parse_args()
    print(f"{'door':8} {'batch':>5} {'events/s':>9} {'p50 ms':>7} {'p99 ms':>7}   at 200 requests/s: {'batch':>5} {'p50 ms':>7} {'p99 ms':>7}")
    for name in [options.only] if options.only else DOORS:
        make, batch, usual, headers, fine = DOORS[name]
        before = stored(options.url, options.secret)
        bodies = [make(batch) for _ in range(400 if batch > 1 else 8000)]
        fast = Load(options.url, headers(options.secret), fine)
        took = fast.run(bodies, 8 if batch > 1 else 32)
        time.sleep(1)
        bodies = [make(usual) for _ in range(200 * options.seconds)]
        even = Load(options.url, headers(options.secret), fine)
        even.run(bodies, 32, rate=200)
        if fast.errors or even.errors:
            raise SystemExit(f"{name}: {len(fast.errors + even.errors)} requests were not answered as stored, as {(fast.errors + even.errors)[0]}")
        print(f"{name:8} {batch:5} {fast.events / took:9.0f} {fast.percentile(.5):7.1f} {fast.percentile(.99):7.1f}   {'':18} "
              f"{usual:5} {even.percentile(.5):7.1f} {even.percentile(.99):7.1f}", flush=True)
        time.sleep(1)
        missing = fast.events + even.events - (stored(options.url, options.secret) - before)
        # A Lunary message with tags or a vote is more than one event of ours; none here has either.
        if missing > 0:
            raise SystemExit(f"{name}: {missing} events that were answered as stored are not in the ledger")


if __name__ == "__main__":
    main()
