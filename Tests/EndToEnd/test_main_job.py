"""A chat recorded over each transport, parented by a backend, read back as one conversation."""

import asyncio
import json

import pytest
import websockets

from parley_process import message, new_id


async def over_socket(project, events):
    url = project.gateway.url.replace("http", "ws") + f"/v1/socket?key={project.public}"
    async with websockets.connect(url, subprotocols=["parley.v1"], origin=project.ORIGIN) as socket:
        assert json.loads(await socket.recv())["type"] == "welcome"
        await socket.send(json.dumps({"type": "hello", "client": "test/1"}))
        await socket.send(json.dumps({"type": "batch", "batch": 1, "events": events}))
        ack = json.loads(await socket.recv())
        assert ack["type"] == "ack" and ack["batch"] == 1
        return ack.get("results", [])


def send_over(transport, project, *events):
    if transport == "socket":
        assert asyncio.run(over_socket(project, list(events))) == []
    elif transport == "beacon":
        assert [r["verdict"] for r in project.beacon(*events).json()["results"]] == ["stored"] * len(events)
    else:
        assert project.send(*events, key=project.public) == ["stored"] * len(events)


def parts(run, parent):
    return [
        {"type": "run", "id": run, "kind": "llm", "name": "answer", "parent": parent, "model": "m-1", "input": "Hello",
         "startedAt": "2026-11-21T12:00:00Z"},
        {"type": "run", "id": run, "output": "Hi!", "usage": {"prompt": 1, "completion": 2}, "success": True,
         "endedAt": "2026-11-21T12:00:01Z"},
    ]


@pytest.mark.parametrize("transport", ["socket", "http", "beacon"])
@pytest.mark.parametrize("order", ["message first", "run first", "run around the message"])
def test_a_run_finds_the_message_of_a_page_in_every_order(project, transport, order):
    asked = message(user={"id": "u1", "props": {"plan": "free"}})
    start, end = parts(new_id(), asked["id"])
    if order == "message first":
        send_over(transport, project, asked)
        assert project.send(start, end) == ["stored", "stored"]
    elif order == "run first":
        assert project.send(end, start) == ["stored", "stored"]
        send_over(transport, project, asked)
    else:
        assert project.send(start) == ["stored"]
        send_over(transport, project, asked)
        assert project.send(end) == ["stored"]
    tool = {"type": "run", "id": new_id(), "kind": "tool", "name": "look-up", "parent": start["id"]}
    assert project.send(tool) == ["stored"]
    answer = message(text="Hi!", role="assistant", replyTo=asked["id"], user={"id": "u1"})
    send_over(transport, project, answer, {"type": "event", "id": new_id(), "thread": "t-1", "name": "opened-document"},
              {"type": "feedback", "id": new_id(), "thread": "t-1", "target": answer["id"], "thumb": "up", "user": {"id": "u1"}})

    whole = project.conversation("t-1")
    assert [(i["type"], i.get("role")) for i in whole["items"]] == [("message", "user"), ("message", "assistant"), ("event", None)]
    first, second, _ = whole["items"]
    assert first["provenance"] == "claimed" and first["user"]["id"] == "u1"
    (run,) = first["runs"]
    assert (run["link"], run["input"], run["output"], run["latencyMs"]) == ("bound", "Hello", "Hi!", 1000)
    assert [child["name"] for child in run["runs"]] == ["look-up"]
    assert second["feedback"]["up"] == 1 and second["replyTo"] == asked["id"]
    assert whole["runs"] == [] and whole["thread"]["user"]["props"] == {"plan": "free"}
    (listed,) = project.read("/v1/threads")["threads"]
    assert listed["messageCount"] == 2 and listed["feedback"] == {"up": 1, "down": 0}


def test_the_same_event_over_another_transport_is_a_duplicate(project):
    event = message()
    send_over("socket", project, event)
    assert project.send(event, key=project.public) == ["duplicate"]
    assert project.beacon(event).json()["results"][0]["verdict"] == "duplicate"
    assert len(project.conversation("t-1")["items"]) == 1


def test_the_first_content_of_an_id_stands_and_the_other_is_kept_beside_it(project):
    event = message(text="first")
    assert project.send(event, key=project.public) == ["stored"]
    assert project.send({**event, "content": "second"}, key=project.public) == ["conflict"]
    assert project.conversation("t-1")["items"][0]["content"] == "first"
    (kept,) = project.read("/v1/quarantine")["items"]
    assert kept["reason"] == "id_conflict" and kept["payload"]["content"] == "second"
    assert kept["differs"] == [{"field": "content", "stored": "first", "received": "second"}]


def test_a_public_key_writes_no_run_and_reads_nothing_and_an_operator_may_vouch_for_it(project):
    asked = message()
    run = {"type": "run", "id": new_id(), "kind": "llm", "parent": asked["id"]}
    answer = project.post([asked, run], key=project.public).json()["results"]
    assert [r["verdict"] for r in answer] == ["stored", "quarantined"] and answer[1]["reason"] == "lane_forbidden"
    assert project.gateway.command("doctor", "--url", project.gateway.url).returncode == 0
    replayed = project.gateway.answer("quarantine", "replay", "--project", project.name, "--reason", "lane_forbidden", "--trust")
    assert project.read("/v1/quarantine")["items"] == [], replayed
    assert project.conversation("t-1")["items"][0]["runs"][0]["id"] == run["id"]


def test_what_projects_share_is_nothing(gateway, project):
    other = gateway.project("other")
    event = message(text="mine")
    assert project.send(event) == ["stored"] and other.send({**event, "content": "theirs"}) == ["stored"]
    assert project.conversation("t-1")["items"][0]["content"] == "mine"
    assert other.conversation("t-1")["items"][0]["content"] == "theirs"


def test_words_are_found_soon_and_exports_are_whole(project):
    for number in range(120):
        assert project.send(message(thread=f"t-{number % 3}", text=f"word{number} =cmd|' /C calc'!A0")) == ["stored"]
    lines = [json.loads(line) for line in project.get("/v1/export", format="jsonl").text.splitlines()]
    assert [line["thread"] for line in lines if line["type"] == "thread"] == ["t-2", "t-1", "t-0"], "the newest first"
    assert sorted(line["content"].split()[0] for line in lines if line["type"] == "message") == sorted(f"word{n}" for n in range(120))
    rows = project.get("/v1/export", format="csv").text.splitlines()
    assert len(rows) == 121
    deadline = asyncio.get_event_loop_policy().new_event_loop().time() + 10
    loop = asyncio.new_event_loop()
    while len(project.read("/v1/threads", q="word77")["threads"]) != 1:
        assert loop.time() < deadline, "a word is not found after 10 s"
    assert project.read("/v1/threads", q="word77")["threads"][0]["id"] == "t-2"
