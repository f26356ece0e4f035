"""The clients for Python and for node beside a gateway that is killed: everything they tracked is there, once."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from parley_process import ROOT, Gateway

MESSAGES = 500

# Each prints a line when it is half through, and its flush's answer at the end.
PYTHON = """
import sys, time
import parley
told = []
parley.on_verdict(lambda notice: told.append(notice.verdict))
thread = parley.open_thread("t-1")
for n in range(500):
    message = thread.track_message("user", f"message {n}")
    with parley.run(kind="llm", name=f"run {n}", parent=message, input=n) as run:
        run.update(output=n)
    time.sleep(0.004)
    if n == 250:
        print("half", flush=True)
print(parley.flush(60), len(told), sorted(set(told)))
"""

NODE = """
import { init } from "./parley-node.mjs";
const parley = init();
const told = [];
parley.on("verdict", ({ verdict }) => verdict === "retry" || told.push(verdict));
const thread = parley.openThread({ id: "t-1" });
for (let n = 0; n < 500; n++) {
  const parent = thread.trackMessage({ role: "user", content: "message " + n });
  parley.run({ kind: "llm", name: "run " + n, parent, input: n }, () => n);
  await new Promise((done) => setTimeout(done, 4));
  if (n === 250) console.log("half");
}
console.log(await parley.flush(60000), told.length, [...new Set(told)].sort());
"""

# Ends by itself the moment it has tracked.
PYTHON_END = """
import parley
thread = parley.open_thread("t-end")
for n in range(50):
    parley.track_run("llm", parent=thread.track_message("user", f"message {n}"), name=f"run {n}", output=n)
"""

NODE_END = """
import { init } from "./parley-node.mjs";
const parley = init();
const thread = parley.openThread({ id: "t-end" });
for (let n = 0; n < 50; n++) {
  parley.trackRun({ kind: "llm", parent: thread.trackMessage({ role: "user", content: "message " + n }), name: "run " + n, output: n });
}
"""


@pytest.fixture(scope="module")
def parley_node(tmp_path_factory):
    """A folder with the client for node as it is shipped."""
    folder = tmp_path_factory.mktemp("node")
    built = ROOT / "web-snippet/dist/parley-node.mjs"
    source = built if built.exists() else ROOT / "web-snippet/node.js"
    (folder / "parley-node.mjs").write_bytes(source.read_bytes())
    return folder


def begin(language, source, project, folder):
    (folder / "job.mjs").write_text(source)
    words = [sys.executable, "-c", source] if language == "python" else ["node", "job.mjs"]
    return subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={
        **os.environ, "PYTHONPATH": str(ROOT / "clients/python"), "PARLEY_SECRET_KEY": project.secret, "PARLEY_URL": project.gateway.url})


def check(project, thread, count):
    """Each message is there once, and under it its run, whole."""
    whole = project.conversation(thread)
    messages = [item for item in whole["items"] if item["type"] == "message"]
    assert sorted(item["content"] for item in messages) == sorted(f"message {n}" for n in range(count))
    for item in messages:
        (run,) = item["runs"]
        number = item["content"].split()[1]
        assert (run["name"], run["link"], json.loads(str(run["output"])), run["success"]) == ("run " + number, "bound", int(number), True)
    assert whole["runs"] == []
    assert project.read("/v1/quarantine")["items"] == []
    project.assert_law()


@pytest.mark.parametrize("language, source", [("python", PYTHON), ("node", NODE)], ids=["python", "node"])
def test_what_was_tracked_while_the_gateway_is_killed_is_there_once(language, source, parley_node):
    gateway = Gateway().start()
    try:
        project = gateway.project("killed")
        job = begin(language, source, project, parley_node)
        assert job.stdout.readline() == "half\n", job.stderr.read()
        gateway.stop(signal.SIGKILL)
        # Long enough for tries that fail.
        time.sleep(1)
        gateway.start()
        said, complaints = job.communicate(timeout=120)
        assert job.returncode == 0, complaints
        words = said.split()
        # 500 messages, and a start and an end of each run; a batch whose answer was lost comes back as duplicates.
        assert words[0].lower() == "true" and words[1] == str(3 * MESSAGES) and "stored" in said, said + complaints
        assert not {"dropped", "conflict", "quarantined"} & set(said.replace("'", " ").split()), said
        check(project, "t-1", MESSAGES)
    finally:
        gateway.stop()


@pytest.mark.parametrize("language, source", [("python", PYTHON_END), ("node", NODE_END)], ids=["python", "node"])
def test_a_process_that_ends_right_after_tracking_loses_nothing(project, language, source, parley_node):
    job = begin(language, source, project, parley_node)
    said, complaints = job.communicate(timeout=60)
    assert job.returncode == 0 and said == complaints == "", complaints
    check(project, "t-end", 50)


@pytest.mark.parametrize("language", ["python", "node"])
def test_votes_scores_and_streams_read_as_what_they_are(project, language, parley_node):
    job = begin(language, {
        "python": """
import parley
thread = parley.open_thread("t-1", tags=["billing"], user={"id": "u1"})
asked = thread.track_message("user", "Hello")
with thread.stream_message(reply_to=asked) as answer:
    answer.append("Hi")
    answer.append(" there")
parley.track_feedback(answer.id, thumb="up", author="Ann")
parley.track_score(answer.id, "helpfulness", 0.5, author="eval")
parley.identify("u1", {"plan": "pro"})
thread.track_event("opened", {"page": 1})
assert parley.close()
""",
        "node": """
import { init } from "./parley-node.mjs";
const parley = init();
const thread = parley.openThread({ id: "t-1", tags: ["billing"], user: { id: "u1" } });
const replyTo = thread.trackMessage({ role: "user", content: "Hello" });
const answer = thread.streamMessage({ replyTo });
answer.append("Hi");
answer.append(" there");
answer.end();
parley.trackFeedback(answer.id, { thumb: "up", author: "Ann" });
parley.trackScore(answer.id, { name: "helpfulness", value: 0.5, author: "eval" });
parley.identify("u1", { plan: "pro" });
thread.trackEvent("opened", { page: 1 });
if (!await parley.close()) process.exitCode = 1;
""",
    }[language], project, parley_node)
    said, complaints = job.communicate(timeout=60)
    assert job.returncode == 0 and complaints == "", complaints
    whole = project.conversation("t-1")
    asked, answer, opened = whole["items"]
    assert asked["provenance"] == "verified" and whole["thread"]["tags"] == ["billing"] and whole["thread"]["user"]["props"] == {"plan": "pro"}
    assert answer["content"] == "Hi there" and answer["replyTo"] == asked["id"] and answer["metadata"]["deltas"][-1][1] == 8
    assert answer["feedback"]["up"] == 1 and [score["value"] for score in answer["scores"]] == [0.5]
    assert opened["name"] == "opened"
    assert project.read("/v1/quarantine")["items"] == []
