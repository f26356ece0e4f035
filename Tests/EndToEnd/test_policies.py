"""When a conversation is inactive, and who may score it when: the installation's word and the project's."""

import subprocess

import pytest

from parley_process import PARLEY, Gateway, message, new_id, until


@pytest.mark.parametrize("name", ["PARLEY_INACTIVE_AFTER", "OPIK_TRACE_THREAD_TIMEOUT_TO_MARK_AS_INACTIVE"])
def test_the_environment_says_when_threads_are_inactive(name):
    gateway = Gateway().start(env={name: "2s"})
    try:
        ours = gateway.project("ours")
        own = gateway.project("own", "--inactive-after", "1h")
        for project in (ours, own):
            assert project.send(message()) == ["stored"]
            assert project.get("/v1/threads/t-1").json()["thread"]["status"] == "active"
        until("it to be inactive", lambda: ours.get("/v1/threads/t-1").json()["thread"]["status"] != "active")
        assert own.get("/v1/threads/t-1").json()["thread"]["status"] == "active"
        assert ours.send(message()) == ["stored"]
        assert ours.get("/v1/threads/t-1").json()["thread"]["status"] == "active"
    finally:
        gateway.stop()


def test_a_time_that_is_none_is_refused_with_a_sentence(gateway):
    done = gateway.command("project", "list", check=False, env={"PARLEY_INACTIVE_AFTER": "soon"})
    assert done.returncode != 0 and "PARLEY_INACTIVE_AFTER" in done.stderr and "15m" in done.stderr


def score(judge, thread="t-1", **fields):
    return {"type": "score", "id": new_id(), "target": thread, "name": judge, "value": 1, "author": judge, "judge": judge, **fields}


@pytest.mark.parametrize("policy, early, left", [
    ("review", ["dropped", "stored"], [("program", True)]),
    ("open", ["stored", "stored"], [("person", False), ("program", False)]),
    ("strict", ["dropped", "dropped"], []),
])
def test_scores_follow_the_project(gateway, policy, early, left):
    project = gateway.project(f"scores-{policy}", "--scoring", policy)
    assert project.send(message()) == ["stored"]
    answer = project.post([score("person"), score("program")]).json()["results"]
    assert [result["verdict"] for result in answer] == early
    assert all(result["reason"] == "conversation_active" for result in answer if result["verdict"] == "dropped")
    assert project.send({"type": "thread", "id": new_id(), "thread": "t-1", "status": "inactive"}) == ["stored"]
    assert project.send(score("person"), score("program")) == ["stored", "stored"]
    scores = project.get("/v1/threads/t-1").json()["thread"]["scores"]
    assert [(score["name"], score["stale"]) for score in scores] == [("person", False), ("program", False)]
    # It goes on: what was said of the whole speaks of a part now.
    assert project.send(message()) == ["stored"]
    scores = project.get("/v1/threads/t-1").json()["thread"]["scores"]
    assert [(score["name"], score["stale"]) for score in scores] == left
    project.assert_law()


def test_the_policy_is_set_and_shown(gateway):
    project = gateway.project("shown")
    assert gateway.answer("project", "show", project.name)["scoring"] == "review"
    gateway.command("project", "set", project.name, "--scoring", "strict")
    assert gateway.answer("project", "show", project.name)["scoring"] == "strict"
    assert "strict" in gateway.command("project", "show", project.name).stdout
    assert gateway.command("project", "set", project.name, "--scoring", "sometimes", check=False).returncode != 0


def test_a_project_is_taken_away_by_its_operator(gateway):
    gone, beside = gateway.project("gone"), gateway.project("beside")
    for project in (gone, beside):
        assert project.send(message()) == ["stored"]
    assert gateway.command("project", "delete", "gone", check=False).returncode != 0
    assert gone.get("/v1/threads/t-1").status_code == 200
    assert gateway.answer("project", "delete", "gone", "--yes") == {"deleted": "gone"}
    until("its key to be refused", lambda: gone.get("/v1/threads/t-1").status_code == 401)
    assert beside.get("/v1/threads/t-1").status_code == 200


def test_a_broken_sealing_key_is_told(tmp_path):
    (tmp_path / "sealing.key").write_text("nonsense")
    done = subprocess.run(
        [PARLEY, "serve", "--listen", "127.0.0.1:0", "--data", str(tmp_path)], capture_output=True, text=True, timeout=30)
    assert done.returncode != 0 and "sealing.key" in done.stderr and "64 hex digits" in done.stderr
