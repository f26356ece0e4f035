"""The unmodified opik SDK against a running gateway: every step is a process of its own (scripts/opik_steps.py).

Needs an interpreter with `requirements-opik.txt`: this one, or the one that OPIK_PYTHON names.
"""

import gzip
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

PYTHON = os.environ.get("OPIK_PYTHON", sys.executable)
STEPS = Path(__file__).resolve().parent / "scripts" / "opik_steps.py"

if subprocess.run([PYTHON, "-c", "import importlib.util as u, sys; sys.exit(u.find_spec('opik') is None)"]).returncode != 0:
    raise ImportError("install Tests/SDKs/requirements-opik.txt first: scripts/test --only sdks does")


def sdk(gateway, key, step, project="Default Project", prefix="/api", **arguments):
    """Runs a step; answers what it found and what the SDK logged."""
    environment = {
        **os.environ, "OPIK_URL_OVERRIDE": f"{gateway.url}{prefix}/", "OPIK_API_KEY": key, "OPIK_PROJECT_NAME": project,
        "OPIK_SENTRY_ENABLE": "false", "OPIK_ANALYTICS_ENABLE": "false", "OPIK_ANALYTICS_URL": "", "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "OPIK_CONFIG_PATH": os.devnull, "HOME": gateway.folder,
    }
    done = subprocess.run(
        [PYTHON, str(STEPS), step, json.dumps(arguments)], capture_output=True, text=True, timeout=180, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1]), done.stdout + done.stderr


@pytest.fixture
def run(gateway, project):
    """Runs a step with the project's secret key."""
    return lambda step, **arguments: sdk(gateway, project.secret, step, project.name, **arguments)[0]


def run_of(project, id):
    return project.read(f"/v1/runs/{id}")["run"]


def runs_of(conversation):
    """All runs of a conversation, by ID, with the message they stand under."""
    found = {}

    def walk(runs, message):
        for run in runs:
            found[run["id"]] = {**run, "under": message}
            walk(run.get("runs", []), message)

    for item in conversation["items"]:
        walk(item.get("runs", []), item.get("id"))
    walk(conversation.get("runs", []), None)
    return found


def texts(conversation):
    return [(item["role"], item["content"]) for item in conversation["items"] if item["type"] == "message"]


def test_a_trace_with_a_thread_is_a_turn_also_when_its_end_overtakes_it(run, project):
    found = run("trace_turns", thread="t-1")
    assert found["flushed"] is True
    conversation = project.conversation("t-1")
    assert texts(conversation) == [
        ("user", "Where is my order?"), ("assistant", "On its way."), ("user", "And when?"), ("assistant", "Tomorrow.")]
    assert set(found["ids"]) <= set(runs_of(conversation))
    second = run_of(project, found["ids"][1])
    assert second["name"] == "turn-2" and second["input"] == {"question": "And when?"} and second["output"] == {"answer": "Tomorrow."}
    assert second["startedAt"] and second["endedAt"]


def test_spans_are_the_runs_below_with_usage_model_and_scores(run, project):
    found = run("spans", thread="t-1")
    trace = run_of(project, found["trace"])
    assert [below["id"] for below in trace["runs"]] == [found["llm"]]
    llm = trace["runs"][0]
    assert (llm["kind"], llm["model"], llm["provider"], llm["usage"]["total_tokens"]) == ("llm", "gpt-4o", "openai", 5)
    assert llm["output"] == {"text": "hello"} and llm["scores"][0]["name"] == "quality"
    assert [(below["id"], below["kind"]) for below in llm["runs"]] == [(found["tool"], "tool")]
    assert (trace["scores"][0]["name"], trace["scores"][0]["value"], trace["scores"][0]["reason"]) == ("thumbs", 1, "good")


@pytest.mark.parametrize("late, seconds", [(True, 0), (True, 2.6), (False, 2.6)], ids=["short", "two-batches", "in-arguments"])
def test_track_sends_twice_and_is_one_turn_in_its_thread(run, project, late, seconds):
    run("track", thread="t-1", late=late, seconds=seconds)
    conversation = project.conversation("t-1")
    assert texts(conversation) == [("user", "hello"), ("assistant", "answer to hello")]
    assert len(runs_of(conversation)) == 3
    trace = run("search", text='thread_id = "t-1"')["found"]
    assert len(trace) == 1 and trace[0]["output"] == {"output": "answer to hello"}
    assert trace[0]["metadata"]["providers"] == ["openai"] and trace[0]["span_count"] == 2
    if late:
        assert trace[0]["metadata"]["k"] == "v" and trace[0]["tags"] == ["t"] and trace[0]["feedback_scores"][0]["name"] == "thumbs"


def test_an_exception_is_the_runs_error(run, project):
    found = run("track_error", thread="t-1")
    trace = run_of(project, found["trace"])
    assert trace["error"]["exception_type"] == "ValueError" and trace["error"]["message"] == "boom"
    assert run("search", text="error_info is_not_empty")["found"][0]["id"] == found["trace"]


@pytest.mark.parametrize("in_metadata", [False, True], ids=["by-its-own-id", "in-metadata"])
@pytest.mark.parametrize("message_first", [True, False], ids=["message-first", "trace-first"])
def test_a_trace_hangs_under_the_browsers_message(run, project, in_metadata, message_first):
    message = "019a0000-0000-7000-8000-00000000abcd"
    event = {"type": "message", "id": message, "thread": "t-1", "role": "user", "content": "Hello"}
    if message_first:
        assert project.send(event) == ["stored"]
    found = run("under_message", message=message, thread="t-1", in_metadata=in_metadata)
    if not message_first:
        assert project.send(event) == ["stored"]
    conversation = project.conversation("t-1")
    assert texts(conversation).count(("user", "Hello")) == 1
    assert runs_of(conversation)[found["trace"]]["under"] == message


def test_without_batching_each_record_is_a_request(run, project):
    found = run("no_batching", thread="t-1")
    trace = run_of(project, found["trace"])
    assert trace["name"] == "turn" and trace["output"] == {"a": "hello"} and trace["metadata"] == {"m": 1} and trace["tags"] == ["x"]
    assert trace["runs"][0]["output"] == {"o": 1}


def test_an_update_before_its_create_loses_nothing(run, project):
    found = run("update_first", thread="t-1")
    trace = run_of(project, found["trace"])
    assert (trace["name"], trace["input"], trace["output"], trace["tags"]) == ("turn", {"q": "hi"}, {"late": True}, ["upd"])
    assert trace["thread"] == "t-1"


def test_scores_may_come_before_what_they_score(run, project):
    found = run("score_first", thread="t-1")
    score = run_of(project, found["trace"])["scores"][0]
    assert (score["name"], score["value"], score["reason"], score["category"]) == ("early", 0.25, "r", "c")
    assert project.conversation("t-1")["thread"]["scores"][0]["value"] == 0.75


def test_the_last_score_counts_and_a_deleted_one_is_gone(run):
    trace = run("trace_turns", thread="t-1")["ids"][0]
    found = run("rescore", trace=trace, values=[1.0, 0.0, 1.0])
    assert [(score["name"], score["value"]) for score in found["scores"]] == [("s", 1.0)]
    assert found["after"] is None


def test_the_threads_client_searches_scores_and_closes(run, project):
    run("trace_turns", thread="t-1")
    found = run("threads", thread="t-1")
    thread = found["by_id"][0]
    assert (thread["id"], thread["number_of_messages"], thread["status"]) == ("t-1", 4, "active")
    assert thread["first_message"] == {"question": "Where is my order?"} and thread["last_message"] == {"answer": "Tomorrow."}
    assert [thread["id"] for thread in found["active"]] == ["t-1"]
    assert [thread["status"] for thread in found["inactive"]] == ["inactive"]
    assert found["scored"][0]["feedback_scores"][0]["reason"] == "r"
    assert found["none"] == [] and found["unknown"] == 404
    thread = project.conversation("t-1")["thread"]
    assert thread["status"] == "inactive" and thread["scores"][0]["value"] == 0.8


def test_a_new_turn_opens_a_closed_thread(run):
    run("trace_turns", thread="t-1")
    assert run("threads", thread="t-1")["inactive"]
    run("trace_turns", thread="t-1")
    assert run("threads", thread="t-1")["by_id"][0]["status"] == "active"


def test_a_thread_without_a_new_turn_becomes_inactive(gateway):
    project = gateway.project("opik-inactive", "--inactive-after", "1s")
    sdk(gateway, project.secret, "trace_turns", project.name, thread="t-1")
    time.sleep(1.5)
    thread = requests.post(
        f"{gateway.url}/api/v1/private/traces/threads/retrieve", headers={"Authorization": project.secret},
        json={"project_name": project.name, "thread_id": "t-1"}, timeout=5).json()
    assert thread["status"] == "inactive"


def test_the_rest_client_tags_comments_closes_and_opens(run, project):
    trace = run("trace_turns", thread="t-1")["ids"][0]
    found = run("rest", thread="t-1", trace=trace)
    assert sorted(found["thread"]["tags"]) == ["b", "c", "z"]
    assert found["comment"]["text"] == "edited" and found["thread"]["comments"][0]["text"] == "edited"
    assert "comments" not in found["closed"] and found["closed"]["status"] == "inactive" and found["opened"]["status"] == "active"
    assert found["trace"]["comments"][0]["text"] == "on the trace" and "comments" not in found["without"]
    assert found["page"] == {"total": 1, "ids": ["t-1"]}
    assert sorted(project.conversation("t-1")["thread"]["tags"]) == ["b", "c", "z"]


def test_an_annotation_queue_of_threads(run):
    run("trace_turns", thread="t-1")
    found = run("queue", thread="t-1")
    assert (found["count"], found["description"], found["emptied"]) == (1, "d2", 0) and "deleted" in found


@pytest.mark.parametrize("text, names", [
    ('thread_id = "t-1"', ["turn-2", "turn-1"]),
    ('tags contains "a"', ["turn-1"]),
    ('metadata.model = "m1"', ["turn-1"]),
    ('input contains "when"', ["turn-2"]),
    ('name = "turn-2" AND duration >= 0', ["turn-2"]),
    ('start_time > "2020-01-01T00:00:00Z"', ["turn-2", "turn-1"]),
    ('output_json.answer = "Tomorrow."', ["turn-2"]),
    ('llm_span_count > 0', []),
])
def test_search_finds_traces_by_what_they_hold(shared_turns, text, names):
    assert [trace["name"] for trace in shared_turns("search", text=text)["found"]] == names


@pytest.fixture(scope="module")
def shared_turns(gateway):
    project = gateway.project("opik-search")
    def run(step, **arguments):
        return sdk(gateway, project.secret, step, project.name, **arguments)[0]
    run("trace_turns", thread="t-1")
    return run


def test_search_leaves_out_what_is_excluded_and_reads_spans(run):
    found = run("spans", thread="t-1")
    spans = run("search", what="spans", text='type = "llm"', trace_id=found["trace"])["found"]
    assert [(span["id"], span["usage"]["total_tokens"], span["metadata"]) for span in spans] == [(found["llm"], 5, {"provider": "openai"})]
    trace = run("search", text="", exclude=["feedback_scores", "metadata"])["found"][0]
    assert "feedback_scores" not in trace and "metadata" not in trace


def test_reads_by_id(run, project):
    sent = run("spans", thread="t-1")
    found = run("read", trace=sent["trace"], span=sent["tool"])
    assert found["trace"]["thread_id"] == "t-1" and found["trace"]["duration"] >= 0
    assert found["span"]["parent_span_id"] == sent["llm"] and found["span"]["type"] == "tool"
    assert found["missing"] == 404 and found["project"] == project.name


def test_more_than_one_batch_and_page(run):
    assert run("many", thread="t", count=2500) == {"flushed": True, "sent": 2500, "found": 2500, "threads": 3}


def test_a_workspace_key_writes_to_any_project(gateway):
    key = gateway.answer("key", "create", "--lane", "secret", "--scope", "workspace")["key"]
    gateway.wait_until_known(key)
    found, log = sdk(gateway, key, "projects", names=["opik-one", "opik-two"])
    assert found["flushed"] is True and found["opik-one"] == ["opik-one"] and found["opik-two"] == ["opik-two"]
    assert "404" in str(found["unknown"]) and "is ignored" not in log


def test_a_project_is_deleted(gateway):
    key = gateway.answer("key", "create", "--lane", "secret", "--scope", "workspace")["key"]
    gateway.wait_until_known(key)
    found, _ = sdk(gateway, key, "delete_project", name="opik-gone")
    assert found == {"flushed": True, "beside": 1, "left": 404}


def test_a_project_key_keeps_to_its_project_and_says_so(gateway, project):
    found, log = sdk(gateway, project.secret, "projects", project.name, names=["somewhere-else"])
    assert found["flushed"] is True and found["somewhere-else"] == ["somewhere-else"]
    assert "project_name 'somewhere-else' is ignored" in log
    assert project.conversation("same-thread")["thread"]["id"] == "same-thread"


@pytest.mark.parametrize("prefix", ["/api", "", "/opik/api"], ids=["api", "none", "deep"])
def test_any_prefix_serves(gateway, project, prefix):
    assert sdk(gateway, project.secret, "trace_turns", project.name, prefix=prefix, thread="t-1")[0]["flushed"] is True
    assert requests.get(f"{gateway.url}{prefix}/is-alive/ping", timeout=5).json() == {"healthy": True}


@pytest.mark.parametrize("which", ["wrong", "public"])
def test_a_key_that_is_not_for_this_is_refused_aloud(gateway, project, which):
    key = project.public if which == "public" else project.secret[:-6] + "abcdef"
    found, _ = sdk(gateway, key, "refused", project.name)
    assert found["flushed"] is False
    answer = requests.post(
        f"{gateway.url}/api/v1/private/traces/search", headers={"Authorization": key}, json={"project_name": project.name}, timeout=5)
    assert answer.status_code in (401, 403) and answer.json()["errors"]


def test_the_link_that_the_sdk_logs_leads_to_the_review_page(gateway):
    answer = requests.get(f"{gateway.url}/api/v1/session/redirect/projects/?trace_id=x&path=y", allow_redirects=False, timeout=5)
    assert answer.status_code == 302 and answer.headers["Location"] == "/ui/"


def test_a_batch_of_many_megabytes_is_taken_compressed(gateway, project):
    words = "all work and no play " * 50_000
    traces = [{"id": f"big-{number:02}", "thread_id": "t-1", "input": {"q": words}, "output": {"a": str(number)}} for number in range(30)]
    body = gzip.compress(json.dumps({"traces": traces}).encode())
    answer = requests.post(
        f"{gateway.url}/api/v1/private/traces/batch", data=body, timeout=60,
        headers={"Authorization": project.secret, "Content-Encoding": "gzip", "Content-Type": "application/json"})
    assert answer.status_code == 204, answer.text
    assert len(project.read("/v1/runs/big-29")["run"]["input"]["q"]) == len(words)
