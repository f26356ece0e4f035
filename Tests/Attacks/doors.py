"""The requests of each dialect, as its SDK shapes them, for whoever has a key and bad intentions."""

import json

import requests

from parley_process import new_id

START, END = "2026-11-21T02:47:48.946Z", "2026-11-21T02:47:49.946Z"


def call(project, key, method, path, body=None, **options):
    """One request with a key where its dialect puts it; from a page's origin where the key is public."""
    headers = {"Authorization": f"Bearer {key}", **options.pop("headers", {})}
    if "/capture-" in path:
        headers["X-Org-Id"] = key
    if key.startswith("pk_") and options.pop("origin", True):
        headers["Origin"] = project.ORIGIN
    data = body if isinstance(body, (bytes, str)) or body is None else json.dumps(body)
    if data is not None:
        headers.setdefault("Content-Type", "application/json")
    return requests.request(method, project.gateway.url + path, headers=headers, data=data, timeout=60, **options)


def spans(run, trace, message, thread, text="made up"):
    """An OTLP request with one span of a model."""
    def attribute(key, value):
        return {"key": key, "value": {"stringValue": value}}
    return {"resourceSpans": [{"scopeSpans": [{"spans": [{
        "traceId": trace, "spanId": run, "name": "chat", "startTimeUnixNano": "1795229637389279631", "endTimeUnixNano": "1795229637389329275",
        "attributes": [attribute("gen_ai.operation.name", "chat"), attribute("gen_ai.completion.0.content", text),
                       attribute("chat.message.id", message), attribute("gen_ai.conversation.id", thread)],
    }]}]}]}


def runs(run, message, thread, text="made up"):
    """By door: requests that say a run of that id, under that message."""
    lunary = [
        {"event": "start", "type": "llm", "runId": run, "parentRunId": message, "name": "gpt", "input": "x", "timestamp": START},
        {"event": "end", "type": "llm", "runId": run, "output": text, "timestamp": END},
    ]
    native = {"type": "run", "id": run, "kind": "llm", "parent": message, "output": text, "cost": 9.5, "success": True}
    trace = {"id": run, "project_name": "x", "name": "turn", "start_time": START, "output": {"output": text}, "metadata": {"message_id": message},
             "thread_id": thread, "source": "sdk"}
    span = {"id": run, "project_name": "x", "trace_id": new_id(), "name": "span", "type": "llm", "start_time": START, "output": {"output": text}}
    return {
        "native": [("POST", "/v1/events", {"events": [native]})],
        "native, a start and an end": [("POST", "/v1/events", [
            {"type": "run", "id": run, "kind": "tool", "parent": message}, {"type": "run", "id": run, "output": text}])],
        "native, as lines": [("POST", "/v1/events", json.dumps(native) + "\n" + json.dumps(native))],
        "native, beacon": [("POST", "/v1/beacon?key={key}", {"events": [native]})],
        "Lunary": [("POST", "/v1/runs/ingest", {"events": lunary})],
        "Lunary, old": [("POST", "/api/report", {"events": lunary})],
        "Opik, traces": [("POST", "/api/v1/private/traces/batch", {"traces": [trace]}), ("POST", "/api/v1/private/traces", trace)],
        "Opik, spans": [("POST", "/api/v1/private/spans/batch", {"spans": [span]}), ("POST", "/api/v1/private/spans", span)],
        "Opik, patch": [("PATCH", f"/api/v1/private/traces/{run}", {"output": {"output": text}, "end_time": END}),
                        ("PATCH", f"/api/v1/private/spans/{run}", {"output": {"output": text}, "end_time": END})],
        "Agnost": [("POST", "/api/v1/capture-event", {
            "event_id": run, "session_id": thread, "primitive_type": "tool", "primitive_name": "look-up", "latency": 10, "success": True,
            "args": "x", "result": text, "metadata": {"message_id": message}})],
        "OTLP": [("POST", "/v1/traces", spans("f5d6ae81fbcae10c", "52951203cec4d67cb43541ec4f8f4dad", message, thread, text))],
    }


def judgements(message, thread):
    """By door: requests that score, close, open, tag off, remark, or vote in a reviewer's name."""
    score = {"name": "quality", "value": 1, "source": "sdk"}
    return {
        "native, score": [("POST", "/v1/events", [
            {"type": "score", "id": new_id(), "target": target, "name": "quality", "value": 1} for target in (message, thread)])],
        "native, status": [("POST", "/v1/events", {"type": "thread", "id": new_id(), "thread": thread, "status": "inactive"})],
        "native, untag": [("POST", "/v1/events", {"type": "thread", "id": new_id(), "thread": thread, "untag": ["kept"]})],
        "native, comment": [("POST", "/v1/events", {"type": "comment", "id": new_id(), "target": message, "text": "made up"})],
        "native, a reviewer's vote": [("POST", "/v1/events", {
            "type": "feedback", "id": new_id(), "target": message, "thumb": "up", "author": "Ann"})],
        "native, queue": [("POST", "/v1/events", {"type": "queue", "id": new_id(), "name": "x"})],
        "native, beacon": [("POST", "/v1/beacon?key={key}", {"type": "score", "id": new_id(), "target": message, "name": "quality", "value": 1})],
        "review API": [
            ("PATCH", f"/v1/threads/{thread}", {"status": "inactive"}), ("PATCH", f"/v1/threads/{thread}", {"reviewed": True}),
            ("PATCH", f"/v1/threads/{thread}", {"tags": {"remove": ["kept"]}}),
            ("POST", "/v1/scores", {"target": message, "name": "quality", "value": 1}), ("DELETE", "/v1/scores?target=x&name=quality", None),
            ("POST", "/v1/comments", {"target": message, "text": "made up"}), ("PUT", f"/v1/messages/{message}/feedback", {"thumb": "up"}),
            ("DELETE", "/v1/users/u1", None), ("POST", "/v1/quarantine/replay", {"reason": "lane_forbidden", "trust": True}),
            ("DELETE", "/v1/quarantine", {"reason": "lane_forbidden"}), ("POST", "/v1/keys", {"lane": "secret"}),
            ("POST", "/v1/views", {"name": "x", "query": "q=x"}), ("POST", "/v1/projects", {"name": "mine"}),
            ("POST", "/v1/members", {"name": "Eve"})],
        "Lunary": [("PATCH", f"/v1/runs/{message}/score", {"label": "quality", "value": 1})],
        "Opik, scores": [
            ("PUT", "/api/v1/private/traces/feedback-scores", {"scores": [{**score, "id": message}]}),
            ("PUT", "/api/v1/private/spans/feedback-scores", {"scores": [{**score, "id": message}]}),
            ("PUT", f"/api/v1/private/traces/{message}/feedback-scores", score),
            ("PUT", "/api/v1/private/traces/threads/feedback-scores", {"scores": [{**score, "thread_id": thread}]}),
            ("POST", "/api/v1/private/traces/threads/feedback-scores/delete", {"thread_id": thread, "names": ["quality"]})],
        "Opik, threads": [
            ("PUT", "/api/v1/private/traces/threads/close", {"thread_id": thread}),
            ("PUT", "/api/v1/private/traces/threads/open", {"thread_id": thread}),
            ("PATCH", f"/api/v1/private/traces/threads/{thread}", {"tags": []}),
            ("PATCH", "/api/v1/private/traces/threads/batch", {"ids": [thread], "update": {"tags_to_remove": ["kept"]}}),
            ("POST", f"/api/v1/private/traces/threads/{thread}/comments", {"text": "made up"}),
            ("POST", "/api/v1/private/traces/threads/delete", {"thread_ids": [thread]})],
        "Opik, the rest": [
            ("POST", "/api/v1/private/projects", {"name": "mine"}), ("DELETE", "/api/v1/private/projects/x", None),
            ("POST", "/api/v1/private/annotation-queues", {"name": "mine", "scope": "thread"}),
            ("POST", "/api/v1/private/annotation-queues/delete", {"ids": ["x"]})],
    }


def reads(message, thread, run, comment="x", user="u1"):
    """Every address that answers with what was recorded, in all dialects."""
    return [
        *[("GET", path, None) for path in (
            "/v1/threads", "/v1/threads?q=words", f"/v1/threads/{thread}", f"/v1/messages/{message}", f"/v1/runs/{run}", "/v1/export",
            "/v1/export?format=csv", "/v1/export?format=chat", "/v1/live?after=0", "/v1/outcomes", "/v1/quarantine", "/v1/quarantine/groups",
            "/v1/overview", "/v1/users", f"/v1/users/{user}", "/v1/tags", "/v1/score-names", "/v1/views", "/v1/projects", "/v1/keys", "/v1/audit",
            "/v1/members", "/ui/session", "/v1/runs?type=thread", f"/v1/runs?type=chat&parentRunId={thread}", f"/v1/runs/{message}/related",
            f"/v1/runs/{thread}/related", "/api/v1/private/traces", "/api/v1/private/spans", f"/api/v1/private/traces/{run}",
            f"/api/v1/private/spans/{run}", "/api/v1/private/traces/threads", "/api/v1/private/traces/threads/stats", "/api/v1/private/projects",
            "/api/v1/private/traces/feedback-scores/names", f"/api/v1/private/traces/{run}/comments/{comment}",
            f"/api/v1/private/traces/threads/{thread}/comments/{comment}", "/api/v1/private/annotation-queues")],
        ("POST", "/api/v1/private/traces/threads/search", {"limit": 100}), ("POST", "/api/v1/private/traces/threads/retrieve", {"thread_id": thread}),
        ("POST", "/api/v1/private/traces/search", {"limit": 100}), ("POST", "/api/v1/private/spans/search", {"limit": 100}),
        ("POST", "/api/v1/private/projects/retrieve", {"name": "x"}),
    ]
