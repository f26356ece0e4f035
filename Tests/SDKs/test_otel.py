"""Real OpenTelemetry instrumentations of the OpenAI SDK, unmodified, against a running gateway."""

import json
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
import requests

from parley_process import message, new_id

sys.path.insert(0, str(Path(__file__).parent))
from fake_openai import ANSWER, FakeOpenAI  # noqa: E402

BACKEND = Path(__file__).parent / "scripts" / "otel_backend.py"
INSTRUMENTATIONS = ["genai", "traceloop", "openinference"]


@pytest.fixture(scope="module")
def openai():
    with FakeOpenAI() as fake:
        yield fake


def answer_in_backend(project, openai, key=None, **options):
    """Runs the backend as a process of its own; answers what it printed."""
    options = {
        "endpoint": f"{project.gateway.url}/v1/traces", "key": key or project.secret, "openai": openai.url, **options}
    done = subprocess.run([sys.executable, str(BACKEND), json.dumps(options)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return {**json.loads(done.stdout.splitlines()[-1]), "log": done.stderr}


def uuid7():
    milliseconds = int(time.time() * 1000)
    tail = uuid.uuid4().int & ((1 << 62) - 1)
    return str(uuid.UUID(int=milliseconds << 80 | 7 << 76 | (uuid.uuid4().int & 0xFFF) << 64 | 2 << 62 | tail))


def traceparent(id):
    return f"00-{id.replace('-', '')}-{uuid.uuid4().hex[:16]}-01"


def baggage(id, thread):
    return f"chat.message.id={id},chat.thread.id={thread}"


def all_runs(runs):
    for run in runs:
        yield run
        yield from all_runs(run.get("runs", []))


def runs_under(project, thread, id):
    """The runs under a message at any depth."""
    items = project.conversation(thread)["items"]
    found = [item for item in items if item["type"] == "message" and item["id"] == id]
    assert len(found) == 1, items
    return list(all_runs(found[0].get("runs", [])))


def call_among(runs):
    calls = [run for run in runs if run["kind"] == "llm"]
    assert len(calls) == 1, runs
    return calls[0]


def the_run(project, id):
    answer = project.read(f"/v1/runs/{id}")
    return answer.get("run", answer)


def check_call(call):
    assert call["provider"] == "openai"
    assert call["model"].startswith("gpt-4o")
    assert call["usage"]["inputTokens"] == 11 and call["usage"]["outputTokens"] == 5
    assert "Weather in Paris?" in json.dumps(call["input"])
    assert ANSWER in json.dumps(call["output"])
    assert call["success"] is True and call["latencyMs"] >= 0


@pytest.mark.parametrize("instrumentation", INSTRUMENTATIONS)
@pytest.mark.parametrize("encoding,gzip", [("protobuf", False), ("protobuf", True), ("json", False), ("json", True)])
def test_a_model_call_hangs_under_the_message_of_the_page(project, openai, instrumentation, encoding, gzip):
    asked = message(id=uuid7(), thread="t-1", text="Weather in Paris?")
    assert project.send(asked, key=project.public) == ["stored"]
    told = answer_in_backend(
        project, openai, instrumentation=instrumentation, encoding=encoding, gzip=gzip,
        incoming={"traceparent": traceparent(asked["id"]), "baggage": baggage(asked["id"], "t-1")})
    assert told["exported"] == ["SUCCESS"]
    check_call(call_among(runs_under(project, "t-1", asked["id"])))


@pytest.mark.parametrize("instrumentation", INSTRUMENTATIONS)
def test_the_trace_alone_names_the_message(project, openai, instrumentation):
    asked = message(id=uuid7(), thread="t-1")
    project.send(asked, key=project.public)
    told = answer_in_backend(
        project, openai, instrumentation=instrumentation, baggage=False, incoming={"traceparent": traceparent(asked["id"])})
    assert told["trace"] == asked["id"].replace("-", "")
    runs = runs_under(project, "t-1", asked["id"])
    check_call(call_among(runs))
    # The request's span stands between the message and the call.
    assert {f"{told['trace']}-{told['span']}", call_among(runs)["id"]} == {run["id"] for run in runs}


def test_the_message_may_come_after_its_runs(project, openai):
    asked = message(id=uuid7(), thread="t-1")
    answer_in_backend(project, openai, incoming={"baggage": baggage(asked["id"], "t-1")})
    assert project.send(asked, key=project.public) == ["stored"]
    check_call(call_among(runs_under(project, "t-1", asked["id"])))


def test_an_attribute_on_the_span_around_is_enough(project, openai):
    asked = message(id=new_id(), thread="t-1")
    project.send(asked, key=project.public)
    told = answer_in_backend(project, openai, baggage=False, attributes={"chat.message.id": asked["id"], "chat.thread.id": "t-1"})
    runs = runs_under(project, "t-1", asked["id"])
    assert call_among(runs)["parent"] == f"{told['trace']}-{told['span']}"


def test_openinference_names_session_user_message_and_tags(project, openai):
    asked = message(id=new_id(), thread="t-1")
    project.send(asked, key=project.public)
    answer_in_backend(
        project, openai, instrumentation="openinference", baggage=False,
        session={"session_id": "t-1", "user_id": "u1", "metadata": {"message_id": asked["id"], "plan": "pro"}, "tags": ["beta"]})
    call = call_among(runs_under(project, "t-1", asked["id"]))
    assert call["tags"] == ["beta"] and call["metadata"]["plan"] == "pro"


@pytest.mark.parametrize("instrumentation", INSTRUMENTATIONS)
def test_a_streamed_answer_is_whole(project, openai, instrumentation):
    asked = message(id=uuid7(), thread="t-1")
    project.send(asked, key=project.public)
    answer_in_backend(
        project, openai, instrumentation=instrumentation, stream=True, incoming={"baggage": baggage(asked["id"], "t-1")})
    call = call_among(runs_under(project, "t-1", asked["id"]))
    assert ANSWER in json.dumps(call["output"])


@pytest.mark.parametrize("instrumentation", INSTRUMENTATIONS)
def test_a_failed_call_is_a_failed_run(project, openai, instrumentation):
    asked = message(id=uuid7(), thread="t-1")
    project.send(asked, key=project.public)
    answer_in_backend(
        project, openai, instrumentation=instrumentation, model="fail-500", incoming={"baggage": baggage(asked["id"], "t-1")})
    call = call_among(runs_under(project, "t-1", asked["id"]))
    assert call["success"] is False and call["error"]


def test_without_captured_content_the_run_is_there(project, openai):
    asked = message(id=uuid7(), thread="t-1")
    project.send(asked, key=project.public)
    answer_in_backend(project, openai, capture="NO_CONTENT", incoming={"baggage": baggage(asked["id"], "t-1")})
    call = call_among(runs_under(project, "t-1", asked["id"]))
    assert call.get("input") is None and call["usage"]["inputTokens"] == 11


@pytest.mark.parametrize("header", ["X-API-Key", "x-agnost-org-id", "X-Org-Id"])
def test_the_key_may_come_in_other_headers_and_the_path_under_a_prefix(project, openai, header):
    told = answer_in_backend(
        project, openai, endpoint=f"{project.gateway.url}/otel/v1/traces", headers={header: project.secret})
    assert told["exported"] == ["SUCCESS"]
    assert the_run(project, f"{told['trace']}-{told['span']}")["name"] == "POST /chat"


def test_a_public_key_is_told_and_its_runs_wait_in_quarantine(project, openai):
    told = answer_in_backend(project, openai, key=project.public)
    assert told["exported"] == ["SUCCESS"]  # partial success: nothing an exporter could do
    held = project.read("/v1/quarantine")
    assert "lane_forbidden" in json.dumps(held)
    assert project.get(f"/v1/runs/{told['trace']}-{told['span']}").status_code == 404


def test_an_unknown_key_fails_the_export(project, openai):
    assert answer_in_backend(project, openai, key="sk_wrong")["exported"] == ["FAILURE"]


# What no SDK of Python's sends, by hand.

def spans(*made):
    return {"resourceSpans": [{"scopeSpans": [{"scope": {"name": "hand"}, "spans": list(made)}]}]}


def span(id, trace, parent=None, **attributes):
    return {
        "traceId": trace.upper(), "spanId": id, **({"parentSpanId": parent} if parent else {}), "name": "hand",
        "startTimeUnixNano": time.time_ns() - 10**9, "endTimeUnixNano": str(time.time_ns()),
        "attributes": [{"key": key.replace("__", "."), "value": {"stringValue": value}} for key, value in attributes.items()]}


def export(project, body, **options):
    return project.post(body, path="/v1/traces", **options)


def test_the_same_export_again_is_a_duplicate(project):
    trace = uuid.uuid4().hex
    body = spans(span("00000000000000aa", trace, gen_ai__operation__name="chat"))
    for _ in range(2):
        answer = export(project, body)
        assert (answer.status_code, answer.json().get("partialSuccess", {}).get("rejectedSpans")) == (200, None)
        assert answer.headers["Content-Type"].startswith("application/json")
    total = project.assert_law()
    assert (total["stored"], total["duplicate"]) == (1, 1)


def test_spans_of_other_programs_are_let_go_uncounted(project):
    answer = export(project, spans(span("00000000000000ab", uuid.uuid4().hex, db__system="redis")))
    assert (answer.status_code, answer.json()) == (200, {})
    assert project.assert_law()["received"] == 0


def test_children_may_come_first_and_in_other_requests(project):
    asked = message(id=uuid7(), thread="t-1")
    trace = asked["id"].replace("-", "")
    made = [
        span("0000000000000001", trace, gen_ai__operation__name="invoke_agent", chat__message__id=asked["id"], chat__thread__id="t-1"),
        span("0000000000000002", trace, "0000000000000001", gen_ai__operation__name="execute_tool"),
        span("0000000000000003", trace, "0000000000000002", gen_ai__operation__name="chat"),
    ]
    for part in reversed(made):
        assert export(project, spans(part)).status_code == 200
    project.send(asked, key=project.public)
    [agent] = [item for item in project.conversation("t-1")["items"] if item["type"] == "message"][0]["runs"]
    assert [agent["kind"], agent["runs"][0]["kind"], agent["runs"][0]["runs"][0]["kind"]] == ["agent", "tool", "llm"]


def test_refusals_speak_the_encoding_of_the_request(project):
    headers = {"Authorization": f"Bearer {project.secret}"}
    url = project.gateway.url + "/v1/traces"
    text = requests.post(url, data=b"{", headers={**headers, "Content-Type": "application/json"}, timeout=20)
    assert text.status_code == 400 and "malformed_json" in text.json()["message"]
    binary = requests.post(url, data=b"\xff\xff", headers={**headers, "Content-Type": "application/x-protobuf"}, timeout=20)
    assert binary.status_code == 400 and binary.headers["Content-Type"] == "application/x-protobuf" and binary.content[0] == 0x12
    assert requests.post(url, data=b"x", headers={**headers, "Content-Type": "text/csv"}, timeout=20).status_code == 415


@pytest.mark.parametrize("path", ["/v1/metrics", "/v1/logs"])
def test_metrics_and_logs_are_answered(project, path):
    answer = requests.post(
        project.gateway.url + path, data=b"\x0a\x00", timeout=20,
        headers={"Authorization": f"Bearer {project.secret}", "Content-Type": "application/x-protobuf"})
    assert (answer.status_code, answer.content) == (200, b"")
