"""Runs the conformance cases against a live gateway.

    python3 run.py --url http://127.0.0.1:8787 --public KEY --secret KEY [--transport http|beacon|socket|all] [--only TEXT]

One line a failing case, then `N passed, N failed`; exit 1 when any failed. The project must have its default settings and
allow the origin that is sent (--origin). Socket scripts that need a clock, settings or a hand inside the server are skipped
here: the server's own tests run those.
"""
import argparse
import base64
import gzip
import http.client
import json
import sys
import zlib
from contextlib import ExitStack
from urllib.parse import quote, urlsplit

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import connect

from cases import PROTOCOL, Expander, body, differences, events, suites

PATIENCE = 15  # seconds; a whole socket hello may take 10
REASONS = {reason["code"]: reason for reason in json.loads((PROTOCOL / "reasons.json").read_text("utf-8"))["reasons"]}
PACK = {"gzip": gzip.compress, "deflate": zlib.compress}


class Gateway:
    """The server under test, and who we are to it."""

    def __init__(self, url, public, secret, origin):
        self.at = urlsplit(url)
        self.keys = {"public": public, "secret": secret}
        self.origin = origin or f"{self.at.scheme}://{self.at.netloc}"

    def credentials(self, case, expander):
        """The key and origin a case comes with: its lane's, unless it says otherwise. Only browsers have an origin."""
        lane = case.get("lane", "public")
        key = case.get("key", self.keys[lane])
        origin = case.get("origin", self.origin if lane == "public" else None)
        return key and expander.text(key), origin

    def request(self, method, path, data=None, headers={}):
        kind = http.client.HTTPSConnection if self.at.scheme == "https" else http.client.HTTPConnection
        connection = kind(self.at.netloc, timeout=PATIENCE)
        try:
            try:
                connection.request(method, path, body=data, headers=headers)
            except (BrokenPipeError, ConnectionResetError):
                pass  # a refusal may come before the whole body is sent; it can still be read
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, answer.headers, json.loads(text) if text else None
        finally:
            connection.close()

    def write(self, case, transport, expander):
        key, origin = self.credentials(case, expander)
        method, path = "POST", "/v1/events" if transport == "http" else "/v1/beacon"
        if "request" in case:
            method, path = case["request"]["method"], expander.text(case["request"]["path"])
        headers, where = {}, "query" if transport == "beacon" else case.get("keyIn", "bearer")
        if key and where == "query":
            path += "?key=" + quote(key)
        elif key:
            headers |= {"X-API-Key": key} if where == "x-api-key" else {"Authorization": f"Bearer {key}"}
        if origin:
            headers["Origin"] = origin
        data, packing = body(case, expander), case.get("contentEncoding")
        content_type = case.get("contentType", "application/json" if transport == "http" else "text/plain;charset=UTF-8")
        if content_type and method == "POST":
            headers["Content-Type"] = content_type
        if packing:
            headers["Content-Encoding"], data = packing, PACK.get(packing, bytes)(data)
        return self.request(method, path, data if method != "GET" else None, headers)

    def socket(self, case, expander):
        key, origin = self.credentials(case, expander)
        url = f"{'wss' if self.at.scheme == 'https' else 'ws'}://{self.at.netloc}/v1/socket" + (f"?key={quote(key)}" if key else "")
        return connect(url, origin=origin, subprotocols=case.get("subprotocols", ["parley.v1"]), compression=None,
                       max_size=None, ping_interval=None, open_timeout=PATIENCE, close_timeout=1, proxy=None)

    def prepare(self, case, expander):
        """Stores what a case takes as given: a bare event by the secret key, or {"lane", "event"}."""
        for step in case.get("given", []):
            step = step if "event" in step else {"lane": "secret", "event": step}
            status, _, answer = self.write({"lane": step["lane"], "input": {"events": [step["event"]]}}, "http", expander)
            if status != 200:
                raise AssertionError(f"the given event was refused: {status} {answer}")

    def look(self, case, expander):
        for step in case.get("then", []):
            path, wanted = expander.text(step["get"]), expander.expand(step["body"])
            status, _, answer = self.request("GET", path, headers={"Authorization": f"Bearer {self.keys['secret']}"})
            yield from differences(wanted, answer, now=expander.now) if status == 200 else [f"GET {path}: {status} {answer}"]


def check_results(case, results, expander):
    wanted = expander.expand(case["verdicts"])
    if len(results) != len(wanted):
        yield f"expected {len(wanted)} results, got {results}"
        return
    for place, (expected, got) in enumerate(zip(wanted, results)):
        yield from (f"result {place}: {line}" for line in differences(expected, got))
        bad = got.get("verdict") not in ("stored", "duplicate")
        if bad and (got.get("index") != place or got.get("doc") != f"/docs/reasons#{got.get('reason')}" or not got.get("message")):
            yield f"result {place}: a verdict of this kind needs index, message and doc, got {got}"
        if bad and got.get("verdict") not in REASONS.get(got.get("reason"), {}).get("verdicts", []):
            yield f"result {place}: {got.get('reason')!r} is no reason for {got.get('verdict')!r}"


def check_error(case, status, headers, answer):
    expected, error = case["error"], (answer or {}).get("error", {})
    if (status, error.get("code")) != (expected["status"], expected["code"]):
        yield f"expected {expected['status']} {expected['code']}, got {status} {answer}"
        return
    if not error.get("message") or error.get("doc") != f"/docs/reasons#{error['code']}" or not isinstance(error.get("temporary"), bool):
        yield f"an error needs message, temporary and doc, got {error}"
    if status in (429, 503) and "Retry-After" not in headers:
        yield "this status needs a Retry-After header"


def run_case(gateway, case, transport):
    """Everything that is not as the case says, as lines."""
    expander = Expander()
    gateway.prepare(case, expander)
    if transport == "socket":
        results = over_socket(gateway, case, expander)
    else:
        status, headers, answer = gateway.write(case, transport, expander)
        if "error" in case:
            return list(check_error(case, status, headers, answer))
        if status != 200:
            return [f"expected 200, got {status} {answer}"]
        results = answer["results"]
    return list(check_results(case, results, expander)) + list(gateway.look(case, expander))


def over_socket(gateway, case, expander):
    """Sends the case as one batch, and fills the ack up to one result an event."""
    input = expander.expand(case["input"])
    sent = events(input)
    batch = {"type": "batch", "batch": 1, "events": sent} | ({"sentAt": input["sentAt"]} if "sentAt" in input else {})
    with gateway.socket(case, expander) as socket:
        for frame in ({"type": "hello", "client": "conformance/1", "token": None}, batch):
            socket.send(json.dumps(frame))
        ack = receive(socket, skip=("welcome", "credits"))
    if ack.get("type") != "ack" or ack.get("batch") != 1:
        raise AssertionError(f"expected the ack of batch 1, got {ack}")
    results = [{"verdict": "stored"} | ({"id": event["id"]} if isinstance(event, dict) and "id" in event else {}) for event in sent]
    for result in ack.get("results", []):
        # A duplicate may come by id alone; of an id that came twice it is then the later one.
        named = [place for place, event in enumerate(results) if event.get("id") == result.get("id") and event["verdict"] == "stored"]
        place = result.get("index", named[-1] if named and result.get("verdict") == "duplicate" else None)
        if result.get("verdict") == "stored" or place is None:
            raise AssertionError(f"an ack names what was not stored, by index; got {result}")
        results[place] = result
    return results


def receive(socket, skip=()):
    while (frame := json.loads(socket.recv(timeout=PATIENCE))).get("type") in skip:
        pass
    return frame


def run_script(gateway, case):
    """Plays one socket script; the first step that goes wrong ends it."""
    expander = Expander()
    with ExitStack() as sockets:
        socket = sockets.enter_context(gateway.socket(case, expander))
        for number, step in enumerate(case["steps"], 1):
            try:
                if "client" in step:
                    say(socket, step["client"], expander)
                elif "server" in step:
                    wanted = expander.expand(step["server"])
                    got = receive(socket, skip=() if wanted["type"] == "credits" else ("credits",))
                    if found := differences(wanted, got, now=expander.now):
                        return [f"step {number}: {'; '.join(found)}"]
                elif "close" in step:
                    try:
                        # An error frame that explains this very close may still be read, or be lost to the close itself.
                        frame = receive(socket, skip=("credits",))
                        if frame.get("type") == "error" and frame.get("code") == step["close"]:
                            frame = receive(socket, skip=("credits",))
                        return [f"step {number}: expected close {step['close']}, got {frame}"]
                    except ConnectionClosed as closed:
                        code = closed.rcvd and closed.rcvd.code
                        return [] if code == step["close"] else [f"step {number}: expected close {step['close']}, got {code}"]
                elif "reconnect" in step:
                    socket.close()
                    socket = sockets.enter_context(gateway.socket(case, expander))
            except (ConnectionClosed, TimeoutError) as end:
                return [f"step {number}: expected {step}, got {type(end).__name__} {end}"]
        return []


def say(socket, frame, expander):
    try:
        if "binaryBase64" in frame:
            socket.send(base64.b64decode(frame["binaryBase64"]))
        elif "textBase64" in frame:
            socket.send(base64.b64decode(frame["textBase64"]), text=True)
        else:
            socket.send(expander.text(frame["text"]) if "text" in frame else json.dumps(expander.expand(frame)))
    except ConnectionClosed:
        pass  # the next step says what the close should have been


def main():
    parser = argparse.ArgumentParser(description="Runs the conformance cases against a live gateway.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--public", required=True, metavar="KEY")
    parser.add_argument("--secret", required=True, metavar="KEY")
    parser.add_argument("--transport", choices=["http", "beacon", "socket", "all"], default="all")
    parser.add_argument("--origin", help="sent with the public key; the gateway's own address by default")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose suite, clause or name contains this")
    options = parser.parse_args()
    gateway = Gateway(options.url, options.public, options.secret, options.origin)
    passed = failed = skipped = 0
    for suite in suites():
        for case in suite["cases"]:
            if options.only not in f"{suite['suite']} {case['clause']} {case['name']}":
                continue
            for transport in case.get("transports", ["socket"]):
                if options.transport not in ("all", transport):
                    continue
                if set(case.get("needs", [])) - {"server"}:
                    skipped += 1
                    continue
                try:
                    problems = run_script(gateway, case) if "steps" in case else run_case(gateway, case, transport)
                except (AssertionError, OSError, ValueError, KeyError, TypeError, IndexError, WebSocketException, http.client.HTTPException) as problem:
                    problems = [f"{type(problem).__name__}: {problem}"]
                passed, failed = passed + (not problems), failed + bool(problems)
                if problems:
                    print(f"FAIL {suite['suite']} [{transport}] {case['clause']} {case['name']}: {' | '.join(problems)[:1000]}", flush=True)
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
