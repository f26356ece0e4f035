"""What an operator looks at: figures by the names that are documented, and a log that can be read by programs and tells no secrets."""

import contextlib
import http.client
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from parley_process import Gateway, message, new_id

DOCUMENT = Path(__file__).parents[2] / "OPERATIONS.md"


def families(text):
    """The families of a page in Prometheus' text format, with their samples; fails where a sample has no family or isn't a number."""
    found, current = {}, None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            current = line.split()[2]
            assert current not in found and len(line.split(" ", 3)[3]) > 3, line
            found[current] = []
        elif line.startswith("# TYPE "):
            assert line.split()[2] == current and line.split()[3] in ("counter", "gauge", "histogram"), line
        else:
            sample = re.fullmatch(r'([a-z_]+)(?:\{((?:[a-z]+="[^"\\\n]*",?)+)\})? (\S+)', line)
            assert sample and re.sub("_(bucket|sum|count)$", "", sample[1]) in (current, sample[1]), line
            assert sample[1] == current or current.endswith("_seconds"), line
            found[current].append((sample[1], dict(re.findall(r'([a-z]+)="([^"]*)"', sample[2] or "")), float(sample[3])))
    return found


def test_the_metrics_are_those_that_are_documented(project):
    documented = set(re.findall(r"`((?:parley|process)_[a-z_]+)`", re.search(r"## Metrics\n.*?\n## ", DOCUMENT.read_text(), re.S)[0]))
    assert project.send(message(), message(), {"type": "nonsense"}) == ["stored", "stored", "quarantined"]
    found = families(requests.get(project.gateway.url + "/metrics", timeout=10).text)
    # Tests/Scale looks at those that are told only where there is a stream, a drain or another gateway.
    shared = {name for name in documented if name.startswith(("parley_stream_", "parley_spool_", "parley_drain_", "parley_bus_"))}
    assert shared and set(found) == documented - shared - {"parley_tls_certificate_ends_seconds"}
    commits = found["parley_commit_seconds"]
    classes = [value for name, labels, value in commits if name.endswith("_bucket")]
    assert classes == sorted(classes) and classes[-1] >= 1 and commits[-1][2] == classes[-1]
    value = {name: samples[0][2] for name, samples in found.items() if samples}
    assert 10e6 < value["process_resident_memory_bytes"] < 2e9 and 5 < value["process_open_fds"] < value["process_max_fds"]
    assert value["process_cpu_seconds_total"] > 0 and value["process_start_time_seconds"] > 1.7e9
    assert value["parley_commit_failures_total"] == 0 and value["parley_queue_events"] == 0


def test_the_metrics_have_one_address_that_a_proxy_can_close(gateway):
    for path, status in [("/metrics", 200), ("/metrics?x=1", 200), *[(other, 404) for other in (
            "//metrics", "/metrics/", "/metrics//", "/./metrics", "/%6detrics", "/x/../metrics", "/METRICS")]]:
        line = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
        line.request("GET", path)
        assert line.getresponse().status == status, path
        line.close()


@pytest.mark.parametrize("format", ["text", "json"])
def test_the_log_tells_no_texts_tokens_or_keys(format):
    secrets = [new_id() for _ in range(4)]
    text, user, token, wrong = secrets
    gateway = Gateway().start("--log-level", "trace", "--log-format", format)
    try:
        project = gateway.project("logged")
        project.send(message(text=text, user={"id": user}), {"type": "message", "id": "0", "content": text, "role": "king"})
        project.post([message(text=text)], headers={"Parley-User-Token": token})
        requests.post(gateway.url + "/v1/events?key=pk_" + wrong, json={"events": [message(text=text)]}, timeout=10)
        requests.post(gateway.url + "/v1/events", data="{" + text, headers={"Authorization": "Bearer " + project.secret}, timeout=10)
        requests.post(gateway.url + "/ui/session", json={"token": token}, timeout=10)
        requests.get(gateway.url + "/v1/threads", params={"q": text}, headers={"Authorization": "Bearer " + project.secret}, timeout=10)
    finally:
        gateway.stop()
    log = Path(gateway.log.name).read_text()
    assert log.strip(), "nothing was logged"
    for secret in [*secrets, project.secret, project.public]:
        assert secret not in log, [line for line in log.splitlines() if secret in line][0]
    if format == "json":
        # What the start says to people is on standard output, which is the same file here.
        lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
        assert lines and all({"time", "level", "message"} <= line.keys() for line in lines)
        assert " info parley" not in log and " warning parley" not in log


def test_an_unknown_log_format_is_refused_in_words():
    gateway = Gateway()
    try:
        done = gateway.command("serve", "--log-format", "xml", check=False)
        assert done.returncode != 0 and "text or json" in done.stderr
    finally:
        gateway.stop()


@contextlib.contextmanager
def collector(status=200):
    """A collector of traces; answers its address and the requests it got, each its headers and body."""
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/traces", got
    finally:
        server.shutdown()
        thread.join()


def spans_of(got):
    spans = []
    for _, body in got:
        for resource in json.loads(body)["resourceSpans"]:
            assert {"key": "service.name", "value": {"stringValue": "parley"}} in resource["resource"]["attributes"]
            spans += [span for scope in resource["scopeSpans"] for span in scope["spans"]]
    return spans


def test_the_gateways_own_spans_go_to_a_collector_and_tell_no_more_than_counts():
    secret = new_id()
    with collector() as (url, got):
        gateway = Gateway().start("--otlp-traces", url, env={"OTEL_EXPORTER_OTLP_HEADERS": "X-Token=t-1, X-Other=a=b"})
        try:
            project = gateway.project("traced")
            began = time.time()
            assert project.send(message(text=secret, user={"id": secret}), {"type": "message"}) == ["stored", "quarantined"]
            deadline = time.monotonic() + 10
            while not [span for span in spans_of(got) if span["name"] == "ingest"]:
                assert time.monotonic() < deadline, "no span after 10 s"
                time.sleep(0.1)
            ended = time.time()
        finally:
            gateway.stop()
    headers, _ = got[0]
    assert (headers["X-Token"], headers["X-Other"], headers["Content-Type"]) == ("t-1", "a=b", "application/json")
    spans = {span["name"]: span for span in spans_of(got)}
    root = spans["ingest"]
    assert {item["key"]: list(item["value"].values())[0] for item in root["attributes"]} == {
        "parley.transport": "http", "parley.lane": "secret", "parley.events": "2", "parley.events.stored": "1", "parley.events.quarantined": "1"}
    assert re.fullmatch("[0-9a-f]{32}", root["traceId"]) and re.fullmatch("[0-9a-f]{16}", root["spanId"]) and root["kind"] == 2
    for name in ("admit", "commit"):
        assert spans[name]["parentSpanId"] == root["spanId"] and spans[name]["traceId"] == root["traceId"]
    start, middle, again, end = (int(spans[name][f"{part}TimeUnixNano"]) for name in ("admit", "commit") for part in ("start", "end"))
    assert int(root["startTimeUnixNano"]) == start <= middle == again <= end == int(root["endTimeUnixNano"])
    assert began - 1 < start / 1e9 and end / 1e9 < ended + 1
    told = b"".join(body for _, body in got).decode()
    for each in (secret, project.public, project.secret, "t-1"):
        assert each not in told


@pytest.mark.parametrize("status", [500, None])
def test_a_collector_that_is_away_costs_nothing_but_its_spans(status):
    with collector(status or 200) as (url, _):
        gateway = Gateway().start("--otlp-traces", url if status else "http://127.0.0.1:1/v1/traces")
        try:
            project = gateway.project("alone")
            assert project.send(message()) == ["stored"]
            deadline = time.monotonic() + 15
            while "spans of the gateway's own were not told" not in Path(gateway.log.name).read_text():
                assert time.monotonic() < deadline, "the log says nothing of it"
                time.sleep(0.2)
            assert project.send(message()) == ["stored"]
            project.assert_law()
        finally:
            gateway.stop()


@pytest.mark.parametrize("words, complaint", [
    (["--otlp-traces", "collector:4318"], "http://"), (["--otlp-traces", "http://127.0.0.1:1", "--otlp-traces-ratio", "2"], "0 to 1")])
def test_a_collector_that_can_be_none_is_refused_in_words(words, complaint):
    gateway = Gateway()
    try:
        done = gateway.command("serve", *words, check=False)
        assert done.returncode != 0 and complaint in done.stderr
    finally:
        gateway.stop()
