"""Agnost's real SDKs, unmodified, against a running gateway."""

import json
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
import requests

from parley_process import message, new_id, until

SCRIPTS = Path(__file__).parent / "scripts"


def run(script, project, key=None, prefix="", **options):
    options = {"endpoint": project.gateway.url + prefix, "key": key or project.secret, **options}
    done = subprocess.run([sys.executable, str(SCRIPTS / script), json.dumps(options)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def record(project, *calls, **options):
    return run("agnost_backend.py", project, calls=calls, **options)


def messages(project, thread):
    return [item for item in project.conversation(thread)["items"] if item["type"] == "message"]


def said(project, thread):
    return [(item["role"], item["content"]) for item in messages(project, thread)]


def the_run(project, id):
    answer = project.read(f"/v1/runs/{id}")
    return answer.get("run", answer)


def runs_of(project, thread):
    whole = project.conversation(thread)
    return [run for item in whole["items"] for run in item.get("runs", [])] + whole.get("runs", [])


def call(project, name, body, key=None, path="/api/v1/"):
    return requests.post(project.gateway.url + path + name, json=body, headers={"X-Org-Id": key or project.secret}, timeout=20)


@pytest.mark.parametrize("prefix", ["", "/agnost/in"])
def test_a_turn_is_a_question_an_answer_and_a_run(project, prefix):
    [id] = record(
        project,
        ["track", {
            "user_id": "u1", "input": "What is the weather?", "output": "Sunny, 漢字.", "agent_name": "weather", "conversation_id": "c-1",
            "latency": 250, "properties": {"model": "gpt-4o"}}], prefix=prefix)
    assert said(project, "c-1") == [("user", "What is the weather?"), ("assistant", "Sunny, 漢字.")]
    made = the_run(project, id)
    assert (made["kind"], made["name"], made["success"], made["latencyMs"]) == ("agent", "weather", True, 250)
    assert made["metadata"]["model"] == "gpt-4o"
    assert project.conversation("c-1")["thread"]["user"]["id"] == "u1"


def test_begin_and_end_are_one_turn_with_its_latency(project):
    record(project, ["turn", {"user_id": "u1", "input": "q", "conversation_id": "c-1", "end": {"output": "a"}}])
    assert said(project, "c-1") == [("user", "q"), ("assistant", "a")]
    [made] = runs_of(project, "c-1")
    assert made["latencyMs"] >= 0


def test_a_failed_turn_has_an_error_and_no_answer(project):
    record(project, ["track", {"input": "q", "output": "ValueError: no", "conversation_id": "c-1", "success": False}])
    assert said(project, "c-1") == [("user", "q")]
    [made] = runs_of(project, "c-1")
    assert made["success"] is False and "ValueError: no" in json.dumps(made["error"])


def test_traits_are_the_users(project):
    record(
        project, ["identify", {"user_id": "u1", "traits": {"name": "Ada", "age": 30}}],
        ["track", {"user_id": "u1", "input": "q", "output": "a", "conversation_id": "c-1"}])
    user = project.conversation("c-1")["thread"]["user"]
    assert user["id"] == "u1" and user["props"]["name"] == "Ada" and user["props"]["age"] == 30


def test_an_unknown_user_does_not_replace_a_known_one(project):
    for user in ["u1", ""]:
        record(project, ["track", {"user_id": user, "input": "q " + user, "output": "a", "conversation_id": "c-1"}])
    assert project.conversation("c-1")["thread"]["user"]["id"] == "u1"


def test_a_turn_that_names_the_pages_message_hangs_under_it(project):
    asked = message(thread="c-1", text="What is the weather?")
    assert project.send(asked, key=project.public) == ["stored"]
    [id] = record(
        project,
        ["track", {
            "input": "What is the weather?", "output": "Sunny.", "conversation_id": "c-1", "properties": {"message_id": asked["id"]}}])
    assert said(project, "c-1") == [("user", "What is the weather?"), ("assistant", "Sunny.")]
    assert messages(project, "c-1")[0]["id"] == asked["id"]
    assert the_run(project, id)["parent"] == asked["id"]


def test_the_same_words_in_the_thread_are_said_once(project):
    asked = message(thread="c-1", text="What is the weather?")
    project.send(asked, key=project.public)
    record(project, ["track", {"input": "What is the weather?", "output": "Sunny.", "conversation_id": "c-1"}])
    assert said(project, "c-1") == [("user", "What is the weather?"), ("assistant", "Sunny.")]


def test_any_text_is_a_conversation_and_any_value_an_input(project):
    thread = "conv ü/é #1"
    record(project, ["track", {"input": {"query": "why"}, "output": [1, 2], "conversation_id": thread}])
    # The address of a thread takes its name percent-encoded.
    whole = project.read("/v1/threads/" + requests.utils.quote(thread, safe=""))
    assert [item["content"] for item in whole["items"] if item["type"] == "message"] == ["why", "[1,2]"]


def test_many_turns_all_arrive(project):
    record(project, *[["track", {"input": f"q{n}", "output": f"a{n}", "conversation_id": "c-1"}] for n in range(50)])
    assert len(said(project, "c-1")) == 100


def test_a_public_keys_texts_are_claimed_messages(project):
    record(project, ["track", {"input": "q", "output": "a", "conversation_id": "c-1"}], key=project.public)
    assert said(project, "c-1") == [("user", "q"), ("assistant", "a")]
    assert all(item["provenance"] != "verified" for item in messages(project, "c-1"))
    assert "lane_forbidden" in json.dumps(project.read("/v1/quarantine"))


@pytest.mark.parametrize("user", [None, {"userId": "u1", "email": "u@example.com"}])
def test_tool_calls_of_an_mcp_server_are_tool_runs(project, user):
    run("agnost_mcp_server.py", project, user=user)
    [thread] = until("the thread", lambda: project.read("/v1/threads")["threads"])
    made = {each["name"]: each for each in runs_of(project, thread["id"])}
    assert made["get_weather"]["kind"] == "tool" and made["get_weather"]["success"] is True
    assert made["get_weather"]["input"]["location"] == "Paris"
    assert made["boom"]["success"] is False and "bad thing" in json.dumps(made["boom"]["error"])
    assert said(project, thread["id"]) == []
    if user:
        assert thread["user"]["id"] == "u1"


# What the SDKs of other languages send, by hand.

def test_the_same_event_again_is_one_run(project):
    body = {
        "event_id": new_id(), "session_id": "c-1", "args": '"q"', "result": '"a"', "success": True, "latency": 5,
        "timestamp": int(time.time() * 1000)}
    for _ in range(2):
        answer = call(project, "capture-event", body)
        assert (answer.status_code, answer.json()) == (200, {"success": True, "event_id": body["event_id"]})
    assert said(project, "c-1") == [("user", "q"), ("assistant", "a")] and len(runs_of(project, "c-1")) == 1
    assert project.assert_law()["duplicate"] == 1


def test_an_event_without_a_session_before_it_opens_the_conversation(project):
    answer = call(project, "capture-event", {"session_id": "c-9", "args": '"q"', "result": "plain text"})
    assert answer.status_code == 200 and uuid.UUID(answer.json()["event_id"])
    assert said(project, "c-9") == [("user", "q"), ("assistant", "plain text")]


def test_a_tool_call_hangs_under_the_turn_it_names(project):
    turn, tool = new_id(), new_id()
    call(project, "capture-event", {
        "event_id": tool, "parent_id": turn, "session_id": "c-1", "primitive_type": "tool", "primitive_name": "search", "args": "{}"})
    call(project, "capture-event", {"event_id": turn, "session_id": "c-1", "args": '"q"', "result": '"a"'})
    assert [each["id"] for each in the_run(project, turn)["runs"]] == [tool]


def test_answers_speak_the_vendors_words(project):
    answer = call(project, "capture-session", {"session_id": "c-1", "user_data": None})
    assert (answer.status_code, answer.json()) == (200, {"session_id": "c-1"})
    for headers in [{}, {"X-Org-Id": ""}, {"X-Org-Id": "11111111-2222-4333-8444-555555555555"}]:
        answer = requests.post(
            project.gateway.url + "/api/v1/capture-session", json={"session_id": "c-1"}, headers=headers, timeout=20)
        assert answer.status_code == 401 and answer.json()["error"]
    answer = call(project, "capture-session", {})
    assert answer.status_code == 400 and "session_id" in answer.json()["error"]
