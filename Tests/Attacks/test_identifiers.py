"""IDs are made by pages, and the public key is in every page. So anybody may write under any ID: what that must not do is said here."""

import asyncio
import gzip
import json
import time
import uuid
from urllib.parse import quote

import pytest
import requests
import websockets

import doors
from parley_process import message, new_id, until
from watch import MEGABYTE, Neighbour
from wire import TEXT, Line, Socket, frame, request

SQUATTED, TRUE = "the stranger's words", "the owner's words"


def verdicts(answer):
    assert answer.status_code == 200, answer.text
    return [result["verdict"] for result in answer.json()["results"]]


async def through_socket(project, events):
    url = project.gateway.url.replace("http", "ws") + f"/v1/socket?key={project.public}"
    async with websockets.connect(url, subprotocols=["parley.v1"], origin=project.ORIGIN) as socket:
        await socket.recv()
        await socket.send(json.dumps({"type": "hello", "client": "test/1"}))
        await socket.send(json.dumps({"type": "batch", "batch": 1, "events": events}))
        return json.loads(await socket.recv()).get("results", [])


def public_send(project, transport, *events):
    """The verdicts' names, in order, whatever way a page takes."""
    if transport == "socket":
        refused = {result["index"]: result["verdict"] for result in asyncio.run(through_socket(project, list(events)))}
        return [refused.get(index, "stored") for index in range(len(events))]
    if transport == "beacon":
        return verdicts(project.beacon(*events))
    return project.send(*events, key=project.public)


def lunary_message(id, text, role="user"):
    return {"events": [{"event": "chat", "type": "thread", "runId": id, "parentRunId": "t-1", "timestamp": doors.START, "message": {
        "role": role, "content": text}}]}


# ------------------------------------------------------------------------------------------------ squatting, overwriting


@pytest.mark.parametrize("transport", ["http", "beacon", "socket"])
def test_a_page_that_takes_an_id_first_is_seen_as_a_stranger_and_the_owner_as_a_conflict(project, transport):
    """Threat: a page writes under a message ID before its owner does. First write wins, and both sides stay on record with their lanes."""
    event = message(text=SQUATTED)
    assert public_send(project, transport, event) == ["stored"]
    assert project.send({**event, "content": TRUE}) == ["conflict"]
    (item,) = project.conversation("t-1")["items"]
    assert item["content"] == SQUATTED and item["provenance"] == "anonymous"
    (kept,) = project.read("/v1/quarantine")["items"]
    assert kept["lane"] == "secret" and kept["payload"]["content"] == TRUE
    assert kept["differs"] == [{"field": "content", "stored": SQUATTED, "received": TRUE}]


@pytest.mark.parametrize("change", [
    {"content": SQUATTED}, {"role": "assistant"}, {"role": "system"}, {"thread": "t-2"}, {"replyTo": "other"}, {"retryOf": "other"}, {"tags": ["x"]},
    {"trace": "4bf92f3577b34da6a3ce929d0e0e4736"}, {"user": {"id": "eve"}}, {"user": {"id": "owner", "props": {"plan": "free"}}},
    {"metadata": {"x": 1}},
    {"content": [{"type": "text", "text": TRUE}]}, {"content": TRUE + " "}, {"content": TRUE + "\u200b"}, {"content": TRUE.replace("'", "\u2019")},
    {"at": 1000}, {"unknownField": True},
], ids=lambda change: next(iter(change)) + " " + ascii(next(iter(change.values())))[:24])
def test_a_page_overwrites_nothing(project, change):
    """Threat: a page sends other content under the ID of somebody's message. It is a conflict, and the original stands to the letter."""
    event = message(text=TRUE, user={"id": "owner", "props": {"plan": "pro"}}, at="2026-11-21T02:00:00Z")
    assert project.send(event) == ["stored"]
    before = project.read(f"/v1/messages/{event['id']}")
    assert project.send({**event, **change}, key=project.public) == ["conflict"]
    assert project.read(f"/v1/messages/{event['id']}") == before and before["message"]["provenance"] == "verified"
    assert project.get("/v1/threads/t-2").status_code == 404


def test_no_door_overwrites_what_another_stored(project):
    """Threat: the dialect of another door reaches a stored message. All doors share one space of IDs, so the original stands."""
    event = message(text=TRUE)
    assert project.send(event) == ["stored"]
    id, public = event["id"], project.public
    attempts = [
        doors.call(project, public, "POST", "/v1/runs/ingest", lunary_message(id, SQUATTED)),
        doors.call(project, public, "POST", "/v1/runs/ingest", lunary_message(id, SQUATTED, "assistant")),
        doors.call(project, public, "POST", "/api/v1/capture-event", {
            "event_id": id, "session_id": "t-1", "args": SQUATTED, "result": SQUATTED, "success": True}),
        doors.call(project, public, "POST", "/v1/runs/ingest", {"events": [{
            "event": "update", "type": "thread", "runId": id, "parentRunId": "t-1", "message": {"role": "user", "content": SQUATTED}}]}),
    ]
    assert all(answer.status_code < 500 for answer in attempts)
    assert project.read(f"/v1/messages/{id}")["message"]["content"] == TRUE


@pytest.fixture
def turn(project):
    """A turn that a backend told, whose answer stands under the run's ID and `:answer`; a page has taken that ID."""
    run = new_id()
    answer = doors.call(project, project.secret, "POST", "/api/v1/private/traces/batch", {"traces": [{
        "id": run, "name": "turn", "start_time": doors.START, "end_time": doors.END, "input": {"content": "May I?"},
        "output": {"content": TRUE}, "thread_id": "t-1", "source": "sdk"}]})
    assert answer.status_code == 204
    assert [item["content"] for item in project.conversation("t-1")["items"]] == ["May I?", TRUE]
    assert project.send(message(id=f"{run}:answer", role="assistant", text=SQUATTED), key=project.public) == ["stored"]
    return run


def test_a_page_that_takes_the_id_of_a_derived_answer_does_not_speak_for_the_backend(project, turn):
    """Threat: a turn's answer is read out of the backend's run as ID:answer, and a page takes that ID. The backend's words stay, and only they are
    verified."""
    said = {item["content"]: item["provenance"] for item in project.conversation("t-1")["items"]}
    assert said == {"May I?": "verified", TRUE: "verified", SQUATTED: "anonymous"}
    assert project.read(f"/v1/runs/{turn}")["run"]["answer"] == TRUE


def test_no_two_messages_of_a_conversation_have_one_id(project, turn):
    """Threat: a page takes the ID of a derived answer, so that a vote or a score on it speaks of either. An ID means one message."""
    ids = [item["id"] for item in project.conversation("t-1")["items"]]
    assert len(ids) == len(set(ids)), ids


def test_a_page_that_takes_a_runs_id_changes_nothing_of_the_run(project):
    """Threat: a page writes under the ID of a run, before it or after it. Messages and runs have spaces of their own."""
    asked, first, second = message(), new_id(), new_id()
    assert project.send(asked) == ["stored"]
    assert project.send(message(id=first, text=SQUATTED), key=project.public) == ["stored"]
    for run in (first, second):
        assert project.send({"type": "run", "id": run, "kind": "llm", "parent": asked["id"], "output": TRUE, "success": True}) == ["stored"]
    hostile = [{"type": kind, "id": second, **fields} for kind, fields in [
        ("message", {"thread": "t-1", "role": "assistant", "content": SQUATTED}), ("event", {"name": SQUATTED}),
        ("identify", {"user": {"id": "eve"}}),
        ("run", {"output": SQUATTED, "success": False, "endedAt": "2099-01-01T00:00:00Z"})]]
    assert project.send(*hostile, key=project.public)[-1] == "quarantined"
    for run in (first, second):
        stored = project.read(f"/v1/runs/{run}")["run"]
        assert (stored["output"], stored["success"], stored["parent"], stored["link"]) == (TRUE, True, asked["id"], "bound")


def test_an_event_of_another_type_takes_no_messages_id(project):
    """Threat: a page burns a message's ID with a custom event, a vote or a type nobody knows. They live in another space."""
    event = message(text=TRUE)
    others = [{"type": "event", "name": "x"}, {"type": "feedback", "target": "x", "thumb": "up"}, {"type": "identify", "user": {"id": "x"}},
              {"type": "thread", "thread": "t-9"}, {"type": "client_report", "reasons": {}}, {"type": "trace", "target": "x", "trace": "a" * 32},
              {"type": "novelty"}]
    for other in others:
        project.send({**other, "id": event["id"]}, key=project.public)
    assert project.send(event) == ["stored"]
    assert project.read(f"/v1/messages/{event['id']}")["message"]["content"] == TRUE


def test_what_was_refused_has_not_taken_its_id(project):
    """Threat: a page burns an ID with something that is set aside. Only what is stored takes an ID."""
    event = message(text=TRUE)
    refused = [{**event, "role": "king"}, {**event, "lane": "secret"}, {**event, "type": "run", "kind": "llm"},
        {"type": "message", "id": event["id"]},
               {**event, "content": "x" * 70_000}, {**event, **{f"k{number}": 0 for number in range(10_001)}}]
    for attempt in refused:
        assert project.send(attempt, key=project.public)[0] in ("quarantined", "dropped")
    assert project.send(event, key=project.public) == ["stored"]


def test_ids_that_look_the_same_are_others(project):
    """Threat: an ID is imitated with other letters, other case, spaces or joined marks. IDs are compared to the byte."""
    event = message(text=TRUE, id="\u00e9-Case-0197f3c2-5b1e-7c40")
    assert project.send(event) == ["stored"]
    alike = ["e\u0301-Case-0197f3c2-5b1e-7c40", "\u00e9-case-0197f3c2-5b1e-7c40", " \u00e9-Case-0197f3c2-5b1e-7c40",
        "\u00e9-Case-0197f3c2-5b1e-7c40 ",
             "\u00e9-Case-0197f3c2-5b1e-7c40\u200b", "\u00e9-\u0421ase-0197f3c2-5b1e-7c40", "\u00e9-Case-0197f3c2\u20115b1e-7c40",
             "%C3%A9-Case-0197f3c2-5b1e-7c40"]
    for id in alike:
        assert project.send({**event, "id": id, "content": SQUATTED}, key=project.public) == ["stored"], ascii(id)
    for id in [event["id"], *alike]:
        stored = project.read("/v1/messages/" + quote(id, safe=""))["message"]
        assert stored["id"] == id and stored["content"] == (TRUE if id == event["id"] else SQUATTED)


# -------------------------------------------------------------------------------------------------------- one batch


@pytest.mark.parametrize("key", ["public", "secret"])
def test_duplicate_ids_within_one_batch_are_judged_in_order(project, key):
    """Threat: a batch carries one ID several times, to confuse which content counts. The first does, as if they had come one by one."""
    event = message(text="first")
    batch = [event, {**event, "content": "second"}, event, {**event, "content": "third"}, {**event, "content": "second"}]
    assert project.send(*batch, key=getattr(project, key)) == ["stored", "conflict", "duplicate", "conflict", "conflict"]
    assert [item["content"] for item in project.conversation("t-1")["items"]] == ["first"]
    assert project.read("/v1/outcomes")["total"]["received"] == 5


def test_a_thousand_times_one_id_in_a_batch_is_stored_once(project):
    """Threat: one batch repeats one ID as often as it may. One is stored, the rest are counted."""
    event = message(text="x")
    counts = project.send(*[event] * 500, *[{**event, "content": str(number)} for number in range(499)], event, key=project.public)
    assert counts.count("stored") == 1 and counts.count("duplicate") == 500 and counts.count("conflict") == 499
    assert len(project.conversation("t-1")["items"]) == 1


def test_two_members_of_one_name_are_read_alike_everywhere(project):
    """Threat: an object says one name twice, so that what is checked and what is stored differ. The last counts for both."""
    id = new_id()
    def raw(key, text):
        return project.gateway and requests.post(
            project.gateway.url + "/v1/events", data=text.encode(), headers={"Authorization": f"Bearer {key}", "Origin": project.ORIGIN}
            if key == project.public else {"Authorization": f"Bearer {key}"}, timeout=20)
    hidden = f'{{"type":"message","id":"{id}","thread":"t-1","role":"user","content":"x","kind":"llm","type":"run"}}'
    assert verdicts(raw(project.public, hidden)) == ["quarantined"]
    assert project.get(f"/v1/runs/{id}").status_code == 404
    cloaked = f'{{"type":"run","kind":"llm","id":"{id}","thread":"t-1","role":"user","content":"seen","type":"message","content":"told"}}'
    assert verdicts(raw(project.public, cloaked)) == ["stored"]
    assert project.read(f"/v1/messages/{id}")["message"]["content"] == "told" and project.get(f"/v1/runs/{id}").status_code == 404
    weak = '{"type":"message","id":"0197f3c2-5b1e-7c40-9d2a-6f1b8e4a7d10","thread":"t-1","role":"user","content":"x","id":"0"}'
    assert verdicts(raw(project.public, weak)) == ["quarantined"]
    other = new_id()
    twice = [f'{{"type":"message","id":"{other}","thread":"t-1","role":"user","content":"x","note":{a},"note":{b}}}' for a, b in ((1, 2), (2, 1))]
    assert verdicts(raw(project.public, twice[0])) == ["stored"]
    assert verdicts(raw(project.public, twice[1])) == ["conflict"], "another last value is other content"


# ----------------------------------------------------------------------------------------------------------- weak ids

WEAK = [
    "", "0", "1", "null", "NULL", "undefined", "[object Object]", "[OBJECT object]", "NaN", "None", "true", "false", "id", "uuid", "a" * 64,
    "0" * 128,
    "ab" * 40, "01" * 64, "-" * 40, "_" * 40, "-_" * 30, "12345", "1234567890123456789", "deadbeef", "0123456789abcde", "abc-def-ghi", "msg-1",
    "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
    "11111111-1111-1111-1111-111111111111",
    "undefined-undefined-undefined", "x" * 129, "\u0000" * 20, "a\u0000b0197f3c25b1e7c40", "0-0-0-0-0-0-0-0-0-0-0-0", "1-2-3", "a_b_c_d_e_f",
]


@pytest.mark.parametrize("id", WEAK, ids=lambda id: ascii(id)[:32])
def test_an_id_that_others_could_guess_or_make_by_accident_is_refused_from_a_page(shared, id):
    """Threat: a page takes IDs that other pages will make, too. From a public key an ID has 64 bits or more and is no known accident."""
    (result,) = shared.post([message(id=id)], key=shared.public).json()["results"]
    assert result["verdict"] == "quarantined" and result["reason"] in ("weak_id", "invalid_field", "missing_field") and result["field"] == "id"


@pytest.mark.parametrize("id", [None, 0, 1, True, {}, [], 1.5, {"id": "x"}, ["0197f3c2-5b1e-7c40-9d2a-6f1b8e4a7d10"]], ids=str)
@pytest.mark.parametrize("key", ["public", "secret"])
def test_an_id_that_is_no_text_is_no_id(shared, key, id):
    """Threat: an ID of another kind is turned into a text that others share. It is refused, from either lane."""
    (result,) = shared.post([message(id=id)], key=getattr(shared, key)).json()["results"]
    assert result["verdict"] == "quarantined" and result["field"] == "id"


# ------------------------------------------------------------------------------------------------------ other projects


@pytest.fixture
def other(made):
    """A project of somebody else, with a conversation of every kind of thing in it."""
    other = made()
    asked, answered, run = message(thread="t-other", text="hidden-words", user={"id": "u-other", "props": {"p": 1}}), new_id(), "run-other"
    assert set(other.send(
        asked, message(id=answered, thread="t-other", role="assistant", text="hidden-answer"),
        {"type": "run", "id": run, "kind": "llm", "parent": asked["id"], "thread": "t-other", "output": "hidden-output", "success": True},
        {"type": "feedback", "id": new_id(), "target": answered, "thumb": "down", "comment": "hidden-comment", "user": {"id": "u-other"}},
        {"type": "score", "id": new_id(), "target": answered, "name": "hidden-score", "value": 1},
        {"type": "comment", "id": "comment-other", "target": answered, "text": "hidden-remark", "author": "Ann"},
        {"type": "thread", "id": new_id(), "thread": "t-other", "tags": ["hidden-tag"]})) == {"stored"}
    assert other.send({**asked, "content": "hidden-conflict"}) == ["conflict"]
    other.asked, other.answered, other.run = asked["id"], answered, run
    return other


def test_the_secret_key_of_one_project_reads_nothing_of_another(project, other):
    """Threat: a tenant asks for another's IDs, in every dialect. What another project holds is not there."""
    tried = 0
    for method, path, body in doors.reads(other.asked, "t-other", other.run, "comment-other", "u-other") + [
            ("GET", f"/v1/runs/{other.answered}/feedback", None), ("GET", f"/v1/messages/{other.answered}", None),
            ("GET", f"/v1/runs/{other.answered}/related", None)]:
        answer = doors.call(project, project.secret, method, path, body, stream=True)
        if path.startswith("/v1/live"):
            text = live(project, project.secret, "after=0", 0.5)
        else:
            text = answer.text
        answer.close()
        assert answer.status_code in (200, 400, 401, 403, 404, 501), f"{method} {path}: {answer.status_code}"
        for secret in ("hidden-", "t-other", other.answered, "comment-other"):
            # A refusal may name what was asked for; it must say nothing else.
            assert secret not in text or answer.status_code == 404 and secret in f"{path} {body}", f"{method} {path} tells {secret}: {text[:300]}"
        tried += 1
    assert tried > 40


def live(project, key, query, seconds):
    """What a live stream says within that time."""
    with Line(project.gateway) as line:
        line.send(request("GET", f"/v1/live?{query}", [("Authorization", f"Bearer {key}")]))
        line.answer(has_body=False)
        line.read_until(lambda: False, seconds)
        return line.buffer.decode()


def test_naming_another_project_does_not_open_it(project, other):
    """Threat: a key of one project names another in the address or a header. It is refused, or has no effect."""
    ids = {item["name"]: item["id"] for item in other.read("/v1/projects")["projects"]}
    for name in (other.name, ids[other.name]):
        for params, headers in (({"project": name}, {}), ({}, {"Parley-Project": name}), ({"project_name": name}, {}), ({"project_id": name}, {})):
            for path in ("/v1/threads", "/v1/export", "/v1/users", "/v1/outcomes", "/v1/threads/t-other", f"/v1/messages/{other.asked}",
                         "/api/v1/private/traces", "/api/v1/private/traces/threads", f"/api/v1/private/projects/{name}"):
                answer = doors.call(project, project.secret, "GET", path, params=params, headers=headers)
                assert answer.status_code in (200, 403,
                    404) and "hidden-" not in answer.text and "t-other" not in answer.text, f"{path} {params} {headers}"
    event = message(thread="t-meant")
    assert doors.call(project, project.secret, "POST", "/v1/events", [event], params={"project": other.name}).status_code in (200, 403)
    body = {"traces": [{"id": new_id(), "name": "x", "start_time": doors.START, "project_name": other.name, "thread_id": "t-meant", "input": "x"}]}
    doors.call(project, project.secret, "POST", "/api/v1/private/traces/batch", body)
    lunary = lunary_message(new_id(), "x")
    lunary["events"][0].update(appId=other.secret, parentRunId="t-meant")
    doors.call(project, project.secret, "POST", "/v1/runs/ingest", lunary)
    lunary["events"][0].update(appId=other.public, runId=new_id())
    doors.call(project, project.secret, "POST", "/v1/runs/ingest", lunary)
    assert other.get("/v1/threads/t-meant").status_code == 404


def test_a_cursor_or_a_quarantine_id_of_another_project_opens_nothing(project, other):
    """Threat: opaque values of one project are used with the key of another. They are looked up within the key's project."""
    for number in range(3):
        other.send(message(thread=f"t-other-{number}"))
        project.send(message(thread=f"t-mine-{number}"))
    for path in ("/v1/threads", "/v1/threads/t-other", "/v1/quarantine"):
        cursor = other.read(path, limit=1)["next"]
        assert cursor or path == "/v1/quarantine"
        if cursor:
            answer = project.get(path.replace("t-other", "t-mine-1"), cursor=cursor, limit=100)
            assert answer.status_code in (200, 400) and "t-other" not in answer.text and "hidden-" not in answer.text
    (kept,) = other.read("/v1/quarantine")["items"]
    for method, path, body in [("POST", "/v1/quarantine/replay", {"ids": [kept["id"]], "trust": True}),
        ("DELETE", "/v1/quarantine", {"ids": [kept["id"]]}),
                               ("POST", "/v1/quarantine/replay", {"ids": [kept["id"]], "dryRun": True})]:
        answer = doors.call(project, project.secret, method, path, body)
        assert answer.status_code == 404 or answer.json() == {"removed": 0}, answer.text
    assert [item["id"] for item in other.read("/v1/quarantine")["items"]] == [kept["id"]]


def lasting(conversation):
    """A conversation without what is counted in the background."""
    for name in ("errors", "findings"):
        conversation["thread"].pop(name)
    return conversation


def test_the_secret_key_of_one_project_judges_nothing_of_another(project, other):
    """Threat: a tenant scores, tags, closes, remarks or erases in another's project. Those IDs are not there."""
    before = lasting(other.conversation("t-other"))
    for name, calls in doors.judgements(other.answered, "t-other").items():
        for method, path, body in calls:
            if not path.startswith("/v1/beacon"):
                doors.call(project, project.secret, method, path, body)
    for method, path, body in [("PATCH", "/v1/comments/comment-other", {"text": "changed", "author": "Ann"}),
        ("DELETE", "/v1/comments/comment-other?author=Ann", None),
                               ("DELETE", "/v1/users/u-other", None), ("PATCH", f"/api/v1/private/traces/{other.run}", {"output": "changed"})]:
        doors.call(project, project.secret, method, path, body)
    assert lasting(other.conversation("t-other")) == before


def test_a_run_names_no_message_of_another_project(project, other):
    """Threat: a tenant hangs a run, a vote, a reply or a trace on another's message. Links never cross projects, in either order."""
    early = new_id()
    for parent in (other.asked, other.answered, other.run, early):
        assert project.send({"type": "run", "id": f"mine-{parent}", "kind": "llm", "parent": parent, "output": "intruder"}) == ["stored"]
        assert project.send({"type": "feedback", "id": new_id(), "target": parent, "thumb": "up"}) == ["stored"]
    assert project.send({"type": "trace", "id": new_id(), "target": other.asked, "trace": "a" * 32},
        message(thread="t-mine", replyTo=other.asked)) == ["stored"] * 2
    assert project.send({"type": "run", "id": "by-trace", "kind": "llm", "trace": uuid.UUID(other.asked).hex, "output": "intruder"}) == ["stored"]
    assert other.send(message(id=early, thread="t-other")) == ["stored"]
    for parent in (other.asked, other.answered, other.run, early):
        assert project.read(f"/v1/runs/mine-{parent}")["run"]["link"] == "pending"
    whole = other.conversation("t-other")
    assert "intruder" not in json.dumps(whole) and all(item["feedback"]["up"] == 0 for item in whole["items"])
    assert project.read("/v1/runs/by-trace")["run"]["message"] is None


# ------------------------------------------------------------------------------------------------- forged provenance

RESERVED = ["lane", "key", "origin", "transport", "identity", "receivedAt", "provenance"]


def escaped(name):
    """The same name in spellings that a JSON parser makes one."""
    return [name, "\\u%04x" % ord(name[0]) + name[1:], "".join("\\u%04X" % ord(letter) for letter in name), name[:-1] + "\\u%04x" % ord(name[-1])]


@pytest.mark.parametrize("name", RESERVED)
@pytest.mark.parametrize("key", ["public", "secret"])
def test_what_only_the_server_says_cannot_be_said_in_a_payload(project, key, name):
    """Threat: an event brings its own lane or provenance, in every spelling of the name and beside a second one. It is set aside, from either
    lane."""
    values = ['"secret"', '"verified"', "null", "true", "{}", "[]", "1"]
    tried = []
    for spelling in escaped(name):
        for value in values:
            tried.append(f'{{"type":"message","id":"{new_id()}","thread":"t-1","role":"user","content":"x","{spelling}":{value}}}')
        tried.append(f'{{"{spelling}":"x","type":"message","id":"{new_id()}","thread":"t-1","role":"user","content":"x"}}')
        tried.append(f'{{"type":"message","id":"{new_id()}","thread":"t-1","role":"user","content":"x","{spelling}":"x","{name}":null}}')
        tried.append(f'{{"type":"event","id":"{new_id()}","name":"x","{spelling}":"x"}}')
        tried.append(f'{{"type":"novelty","id":"{new_id()}","{spelling}":"x"}}')
    headers = {"Authorization": f"Bearer {getattr(project, key)}", **({"Origin": project.ORIGIN} if key == "public" else {})}
    answer = requests.post(project.gateway.url + "/v1/events", data="[" + ",".join(tried) + "]", headers=headers, timeout=20)
    for text, result in zip(tried, answer.json()["results"], strict=True):
        assert (result["verdict"], result["reason"], result["field"]) == ("quarantined", "reserved_field", name), text
    assert project.get("/v1/threads/t-1").status_code == 404


def test_names_that_only_look_reserved_and_names_of_the_read_api_have_no_effect(project):
    """Threat: a payload brings what the read API says itself (confirmation, scores, runs, votes), or a name beside the reserved ones.
    Unknown fields are kept with the event and never come up beside our own."""
    forged = {
        "Lane": "secret", "LANE": "secret", " lane": "secret", "lane ": "secret", "lane\u0000": "secret", "\uff4cane": "secret",
        "l\u0430ne": "secret",
        "confirmation": "confirmed", "finding": None, "derivedFrom": "run-1", "scores": [{"name": "quality", "value": 1}],
        "comments": [{"text": "good"}],
        "runs": [{"id": "forged", "output": "x"}], "feedback": {"up": 1000, "down": 0, "votes": []}, "number": 1, "status": "inactive",
        "session": "s",
        "confirmed": True, "verified": True, "__proto__": {"provenance": "verified"}, "constructor": {"prototype": {"lane": "secret"}},
        "project": "other",
        "nodes": [["html", "<script>"]], "receivedat": "1970-01-01T00:00:00Z", "received_at": "1970-01-01T00:00:00Z", "key_id": "key_1",
        "toString": "x",
        "metadata": {name: "forged" for name in RESERVED}, "user": {"id": "u1", "props": {}, "verified": True, "provenance": "verified",
        "identity": "verified"},
    }
    event = message(role="assistant", **forged)
    assert project.send(event, key=project.public) == ["stored"]
    (item,) = project.conversation("t-1")["items"]
    assert item["provenance"] == "claimed" and item["confirmation"] is None and item["derivedFrom"] is None and item["finding"] is None
    assert item["scores"] == item["comments"] == item["runs"] == [] and item["feedback"] == {"up": 0, "down": 0, "votes": []}
    assert item["metadata"] == forged["metadata"] and item["receivedAt"] > "2026"
    assert item["user"]["id"] == "u1" and not {"verified", "provenance", "identity"} & set(item["user"])
    (thread,) = project.read("/v1/threads")["threads"]
    assert thread["status"] == "active" and thread["scores"] == [] and thread["feedback"] == {"up": 0, "down": 0}
    allowed = set(project.read(f"/v1/messages/{event['id']}")["message"])
    assert not allowed & {"Lane", "LANE", "confirmed", "verified", "__proto__", "nodes", "project", "session", "status", "number", "key_id"}


def test_an_event_cannot_come_from_another_time(project):
    """Threat: a page dates its message before the conversation or far ahead of it, to change who seems to have spoken first. Receipt is the
    server's word."""
    assert project.send(message(at="1970-01-01T00:00:00Z", text="past"), message(at="9999-12-31T23:59:59Z", text="future"),
        key=project.public) == ["stored"] * 2
    items = {item["content"]: item for item in project.conversation("t-1")["items"]}
    assert items["future"]["at"] < "2100" and all(item["receivedAt"] > "2026" for item in items.values())


# ------------------------------------------------------------------------------------------------ what a public key does


def test_a_public_key_reads_nothing(project):
    """Threat: somebody takes the key out of a page and asks for conversations, in every dialect and wherever a key may be. It is refused."""
    asked = message(thread="t-private", text="hidden-words", user={"id": "u1"})
    project.send(asked, {"type": "run", "id": "run-private", "kind": "llm", "parent": asked["id"], "output": "hidden-output"},
                 message(thread="t-private", role="assistant", text="hidden-answer"))
    for method, path, body in doors.reads(asked["id"], "t-private", "run-private"):
        for headers, query in (({"Authorization": f"Bearer {project.public}"}, ""), ({"X-API-Key": project.public}, ""),
            ({}, f"key={project.public}"),
                               ({"Authorization": project.public}, ""), ({"Cookie": f"parley_session={project.public}"}, "")):
            for origin in ({}, {"Origin": project.ORIGIN}):
                address = project.gateway.url + path + (("&" if "?" in path else "?") + query if query else "")
                answer = requests.request(method, address, json=body, headers={**headers, **origin}, timeout=20)
                assert answer.status_code in (401, 403,
                    404) and "hidden-" not in answer.text, f"{method} {address} {headers}: {answer.status_code} {answer.text[:200]}"


def test_a_public_key_reads_no_reviewers_votes_or_comments(project):
    """Threat: Lunary's feedback address tells any key the latest vote with its comment, and whether an ID is there. It tells a public key what
    visitors voted and nothing more (P-LANE-3)."""
    voted, judged = message(), message()
    project.send(voted, judged, {"type": "feedback", "id": new_id(), "target": voted["id"], "thumb": "up", "user": {"id": "u1"}},
        *[{"type": "feedback", "id": new_id(), "target": each["id"], "thumb": "down", "comment": "the reviewer's private remark", "author": "Ann"}
          for each in (voted, judged)])

    def told(id, key):
        answer = doors.call(project, key, "GET", f"/v1/runs/{id}/feedback")
        return answer.status_code, answer.text

    assert told(voted["id"], project.public) == (200, '{"thumb":"up"}')
    assert told(judged["id"], project.public) == told("not-there", project.public) == (200, "null")
    assert "private remark" in told(judged["id"], project.secret)[1] and told("not-there", project.secret)[0] == 404


def asserted_untouched(project, asked, thread="t-1"):
    """Nothing that only a backend may say has come in."""
    whole = project.conversation(thread)
    assert whole["runs"] == [] and whole["thread"]["status"] == "active" and whole["thread"]["scores"] == [] and whole["thread"]["comments"] == []
    assert whole["thread"]["reviewed"] is None and "kept" in whole["thread"]["tags"]
    for item in whole["items"]:
        assert item["runs"] == [] and item["scores"] == [] and item["comments"] == []
        assert not [vote for vote in item["feedback"]["votes"] if vote["by"] == "reviewer"]
        assert item["id"] == asked or item["provenance"] != "verified"


@pytest.mark.parametrize("door", list(doors.runs("", "", "")))
def test_a_public_key_writes_no_run_through_any_door(project, door):
    """Threat: a page makes up LLM calls, costs and outputs under a message. Runs from a public key wait in quarantine, whatever dialect says them."""
    asked, run = message(tags=["kept"]), new_id()
    assert project.send(asked) == ["stored"]
    statuses = [
        doors.call(project, project.public, method, path.replace("{key}", project.public), body).status_code
        for method, path, body in doors.runs(run, asked["id"], "t-1")[door]]
    assert all(status < 500 for status in statuses), statuses
    asserted_untouched(project, asked["id"])
    for id in (run, "52951203cec4d67cb43541ec4f8f4dad-f5d6ae81fbcae10c"):
        assert project.get(f"/v1/runs/{id}").status_code == 404
    kept = project.read("/v1/quarantine")["items"]
    assert kept and {(item["reason"], item["lane"], item["type"]) for item in kept} == {("lane_forbidden", "public", "run")}


@pytest.mark.parametrize("door", list(doors.judgements("", "")))
def test_a_public_key_judges_nothing_through_any_door(project, door):
    """Threat: a page scores, closes, untags, remarks, or votes as a reviewer. It is set aside or refused, and nothing of the conversation changes."""
    asked = message(tags=["kept"])
    assert project.send(asked, {"type": "thread", "id": new_id(), "thread": "t-1", "tags": ["kept"]}) == ["stored"] * 2
    for method, path, body in doors.judgements(asked["id"], "t-1")[door]:
        answer = doors.call(project, project.public, method, path.replace("{key}", project.public), body)
        if answer.status_code == 200 and answer.text:
            assert [result["verdict"] for result in answer.json()["results"]][-1] == "quarantined", f"{path}: {answer.text}"
        else:
            assert answer.status_code in (204, 401, 403, 404), f"{path}: {answer.status_code} {answer.text}"
    asserted_untouched(project, asked["id"])
    assert {item["reason"] for item in project.read("/v1/quarantine")["items"]} <= {"lane_forbidden"}


def test_a_public_key_runs_and_judges_nothing_over_a_socket(project):
    """Threat: the socket is asked for what HTTP refuses. The lane is the key's on every transport."""
    asked = message(tags=["kept"])
    assert project.send(asked, {"type": "thread", "id": new_id(), "thread": "t-1", "tags": ["kept"]}) == ["stored"] * 2
    hostile = [event for door, calls in {**doors.runs(new_id(), asked["id"], "t-1"), **doors.judgements(asked["id"], "t-1")}.items()
               for _, path, body in calls if path == "/v1/events" and not isinstance(body, str)
               for event in (body if isinstance(body, list) else body.get("events", [body]))]
    results = asyncio.run(through_socket(project, hostile))
    assert len(hostile) > 8 and [result["reason"] for result in results] == ["lane_forbidden"] * len(hostile)
    asserted_untouched(project, asked["id"])


# ------------------------------------------------------------------------------------------------------- hostile JSON

KEYS = [f"{number:x}" for number in range(40_000)]


def nested(levels, kind):
    """Containers in each other around a one, as bytes."""
    opening, closing = {"lists": (b"[", b"]"), "objects": (b'{"a":', b"}"), "both": (b'[{"a":', b"}]")}[kind]
    return opening * levels + b"1" + closing * levels


def places(value):
    """By door: a body that carries that value where a sender may put anything."""
    span = json.dumps(doors.spans("f5d6ae81fbcae10c", "52951203cec4d67cb43541ec4f8f4dad", "m", "t")).encode()
    return {
        "native": ("/v1/events", b'{"events":[{"type":"message","id":"%s","thread":"t","role":"user","content":"x","metadata":%s}]}'),
        "native, content": ("/v1/events", b'{"events":[{"type":"message","id":"%s","thread":"t","role":"user","content":[{"type":"x","y":%s}]}]}'),
        "native, unknown": ("/v1/events", b'{"events":[{"type":"novelty","id":"%s","x":%s}]}'),
        "native, line": ("/v1/events",
        b'{"type":"novelty","id":"%s","x":%s}\n{"type":"event","id":"0197f3c2-5b1e-7c40-9d2a-6f1b8e4a7d10","name":"x"}'),
        "native, bare": ("/v1/events", b'%.0s%s'),
        "Lunary": ("/v1/runs/ingest",
        b'{"events":[{"event":"chat","type":"thread","runId":"%s","parentRunId":"t","message":{"role":"user","content":%s}}]}'),
        "Lunary, metadata": ("/v1/runs/ingest", b'{"events":[{"event":"start","type":"llm","runId":"%s","metadata":%s,"params":{}}]}'),
        "Lunary, cut": ("/v1/runs/ingest", b'{"events":[{"event":"start","type":"llm","runId":"%s","metadata":%s}'),
        "Opik": ("/api/v1/private/traces/batch", b'{"traces":[{"id":"%s","start_time":"2026-11-21T02:47:48Z","input":%s}]}'),
        "Opik, metadata": ("/api/v1/private/traces/batch", b'{"traces":[{"id":"%s","start_time":"2026-11-21T02:47:48Z","metadata":%s}]}'),
        "Agnost": ("/api/v1/capture-event", b'{"event_id":"%s","session_id":"t","args":%s}'),
        "Agnost, session": ("/api/v1/capture-session", b'{"session_id":"%s","user_data":%s}'),
        "Agnost, metadata": ("/api/v1/capture-session", b'{"session_id":"%s","metadata":%s}'),
        "OTLP": ("/v1/traces", b'{"x":"%s",' + span[1:-1].replace(b"%", b"%%") + b',"y":%s}'),
        "OTLP, attribute": ("/v1/traces", b'{"x":"%s",' + span[1:-1].replace(b'"chat.message.id"', b'"deep"').replace(b'{"stringValue": "m"}',
        b"%s") + b"}"),
    }, value


def hostile(project, key, door, value):
    path, template = places(value)[0][door]
    return doors.call(project, key, "POST", path, template % (new_id().encode(), value))


@pytest.mark.parametrize("door", list(places(b"")[0]))
@pytest.mark.parametrize("levels", [65, 1000, 100_000])
def test_deep_json_costs_nothing_and_ends_nothing(shared, door, levels):
    """Threat: JSON that is nested deep fills a parser's stack. Depth is bounded before anything is made of it, in every door, also where the end is
    cut off."""
    for key in (shared.public, shared.secret):
        for kind in ("lists", "objects", "both"):
            for value in (nested(levels, kind), nested(levels, kind)[:-levels]):
                begun = time.monotonic()
                answer = hostile(shared, key, door, value)
                taken = time.monotonic() - begun
                assert answer.status_code < 500 and taken < 5, f"{kind}: {answer.status_code} after {taken:.1f} s"
    assert shared.send(message(thread="afterwards")) == ["stored"]


@pytest.mark.parametrize("count, verdict", [(9_990, "stored"), (10_001, "dropped"), (40_000, "dropped")])
def test_an_event_has_ten_thousand_keys_at_most(shared, count, verdict):
    """Threat: an object of very many keys. The bound is 10,000, the event alone pays for more."""
    results = shared.post([message(metadata=dict.fromkeys(KEYS[:count], 1)), message()], key=shared.secret).json()["results"]
    assert [result["verdict"] for result in results] == [verdict, "stored"]


@pytest.mark.parametrize("door", [door for door in places(b"")[0] if not door.startswith(("native", "OTLP"))])
def test_the_bound_on_keys_holds_in_every_door(project, door):
    """Threat: a door takes what the native one refuses, and everything behind it has to cope. The bound is the event's, whoever says it
    (P-LIMIT-3)."""
    answer = hostile(project, project.secret, door, json.dumps(dict.fromkeys(KEYS[:10_100], 1)).encode())
    total = project.read("/v1/outcomes")["total"]
    assert total["stored"] == 0 and total["dropped"] == 1, f"{answer.status_code} {answer.text[:200]} {total}"


@pytest.mark.parametrize("key", ["public", "secret"])
@pytest.mark.parametrize("door", list(places(b"")[0]))
def test_many_keys_take_no_longer_than_they_are_many(shared, door, key):
    """Threat: a body of many keys where work grows with their square stops everybody else. Each door reads as many as are allowed
    at once, and no neighbour waits."""
    value = json.dumps(dict.fromkeys(KEYS[:9_900], 1)).encode()
    with Neighbour(shared.gateway) as neighbour:
        begun = time.monotonic()
        answer = hostile(shared, getattr(shared, key), door, value)
        taken = time.monotonic() - begun
    assert answer.status_code < 500
    assert taken < 1.5 and neighbour.longest < 1.5, f"{len(value)} bytes took {taken:.1f} s, others waited {neighbour.longest:.1f} s"


def test_a_runs_extra_fields_fold_in_time_that_grows_with_their_number(project):
    """Threat: a run's `extra` has as many keys as an event may have, in two parts. The fold is made within the commit that everybody waits for, and
    at each read."""
    def part(name, **fields):
        return {"type": "run", "id": "run-1", "extra": dict.fromkeys((name + key for key in KEYS[:5000]), 1), **fields}
    begun = time.monotonic()
    assert project.send(part("a", kind="llm")) == ["stored"] and project.send(part("b", success=True)) == ["stored"]
    written = time.monotonic() - begun
    begun = time.monotonic()
    assert len(project.read("/v1/runs/run-1")["run"]["extra"]) == 10_000
    read = time.monotonic() - begun
    assert written < 1 and read < 1, f"written in {written:.1f} s, read in {read:.1f} s"


def test_keys_made_to_collide_do_not(shared):
    """Threat: keys that a known hash puts into one bucket. Tables are keyed with a secret of the process, so such keys are as good as any."""
    # Of one hash each in languages whose hash is known: Java's 31-polynomial, DJB's 33-polynomial, plain sums, and zeros around numbers.
    pair, alike = ["Aa", "BB"], [""]
    for _ in range(12):
        alike = [prefix + part for prefix in alike for part in pair]
    djb = [""]
    for _ in range(12):
        djb = [prefix + part for prefix in djb for part in ("Ez", "FY")]
    families = {"31": alike, "33": djb, "sum": ["".join(chr(97 + ((number >> bit) & 1)) for bit in range(12)) + "".join(
        chr(98 - ((number >> bit) & 1)) for bit in range(12)) for number in range(4096)],
        "number": ["0" * (number % 60) + str(number) for number in range(4096)]}
    for family, keys in families.items():
        with Neighbour(shared.gateway) as neighbour:
            begun = time.monotonic()
            stored = shared.send(message(metadata=dict.fromkeys(keys, 1)), {"type": "identify", "id": new_id(),
                "user": {"id": "u1", "props": dict.fromkeys(keys, 1)}})
            taken = time.monotonic() - begun
        assert stored == ["stored",
            "stored"] and taken < 1.5 and neighbour.longest < 1.5, f"{family} took {taken:.1f} s, others waited {neighbour.longest:.1f} s"


@pytest.mark.parametrize("body", [
    b'{"type":"event","id":"0197f3c2-5b1e-7c40-9d2a-6f1b8e4a7d11","name":"x","n":1e400}',
    b'{"type":"event","id":"0197f3c2-5b1e-7c40-9d2a-6f1b8e4a7d12","name":"x","n":-1e400}',
    b'{"type":"event","id":"0197f3c2-5b1e-7c40-9d2a-6f1b8e4a7d13","name":"x","n":' + b"9" * 5000 + b"}",
    b'{"type":"event","id":"0197f3c2-5b1e-7c40-9d2a-6f1b8e4a7d14","name":"x","n":0.' + b"0" * 5000 + b"1}",
    b'{"type":"event","id":"0197f3c2-5b1e-7c40-9d2a-6f1b8e4a7d15","name":"x","n":NaN}',
    b'{"type":"event","id":"0197f3c2-5b1e-7c40-9d2a-6f1b8e4a7d16","name":"\\ud800\\udc00\\ud800"}',
    b'{"type":"event","id":"0197f3c2-5b1e-7c40-9d2a-6f1b8e4a7d17","name":"\xed\xa0\x80"}',
    b'{"type":"event","id":"0197f3c2-5b1e-7c40-9d2a-6f1b8e4a7d18","name":"\xc0\xae"}',
    b'\xef\xbb\xbf{"type":"event","id":"0197f3c2-5b1e-7c40-9d2a-6f1b8e4a7d19","name":"x"}',
    b'{"type":"event","id":"0197f3c2-5b1e-7c40-9d2a-6f1b8e4a7d20","name":"x"}\x00',
    b'{"type":"event","id":"0197f3c2-5b1e-7c40-9d2a-6f1b8e4a7d21","name":"x","at":-1}',
    b'{"type":"event","id":"0197f3c2-5b1e-7c40-9d2a-6f1b8e4a7d22","name":"x","at":9e15}',
    b'{"type":"event","id":"0197f3c2-5b1e-7c40-9d2a-6f1b8e4a7d23","name":"x","at":1e308}',
    b'{"type":"event","id":"0197f3c2-5b1e-7c40-9d2a-6f1b8e4a7d24","name":"x","at":"99999-01-01T00:00:00Z"}',
    b'{"events":[],"sentAt":-9223372036854775808}',
    b'{"events":[{"type":"event","id":"0197f3c2-5b1e-7c40-9d2a-6f1b8e4a7d25","name":"x","at":1}],"sentAt":1}',
    b'{"events":[{"type":"event","id":"0197f3c2-5b1e-7c40-9d2a-6f1b8e4a7d26","name":"x","at":253402300799999}],"sentAt":0}',
    b'{"events":{"events":[]}}', b"[[[]]]", b"[[],{},0,null,true,\"x\"]",
    b'{"events":[{"events":[{"type":"event"}]}]}', b'{"type":"batch","events":[]}', b"0", b'"x"', b"null", b"[]", b"{}", b"{}\n{}\n[]\n0\nnull",
], ids=lambda body: ascii(body[-40:])[2:-1])
def test_numbers_texts_and_times_at_the_edge_are_judged_and_not_fatal(shared, body):
    """Threat: values at the edge of what JSON can say trip arithmetic or decoding. Each body is answered, and the next event is stored."""
    for key in (shared.public, shared.secret):
        answer = doors.call(shared, key, "POST", "/v1/events", body)
        assert answer.status_code in (200, 400), answer.text
        for result in answer.json().get("results", []):
            assert result["verdict"] in ("stored", "duplicate", "conflict", "quarantined", "dropped"), result
    assert shared.send(message(thread="afterwards")) == ["stored"]
    assert shared.get("/v1/threads").status_code == 200 and shared.get("/v1/export").status_code == 200


LINE_ENDS = [b"\n", b"\n\n\n", b"\n" * 60_000, b"\r\n", b"\r", b" \n ", b"", b" ", b"\t", b"\n{", b"\n{}\n", b"\n\x00\n", b"\xef\xbb\xbf\n", b"\n,\n",
    b"{}\n\n\n{"]


@pytest.mark.parametrize("way", ["events", "lines", "beacon", "gzip", "Lunary", "Agnost", "OTLP", "socket"])
def test_a_body_of_line_ends_is_judged_and_not_fatal(mortal, way):
    """Threat: a body of nothing but line ends, sent with the key that is in every page, ends the process. It is no JSON, and answered so."""
    project = mortal()
    path = {"beacon": f"/v1/beacon?key={project.public}", "Lunary": "/v1/runs/ingest", "Agnost": "/api/v1/capture-event",
        "OTLP": "/v1/traces"}.get(way, "/v1/events")
    headers = {"lines": {"Content-Type": "application/x-ndjson"}, "gzip": {"Content-Encoding": "gzip"}}.get(way, {})
    for body in LINE_ENDS:
        if way == "socket":
            with Socket(project) as line:
                line.frame()
                line.send(frame(TEXT, b'{"type":"hello","client":"test/1"}') + frame(TEXT, body))
                assert line.end() == 4005, body[:12]
            continue
        try:
            status = doors.call(project, project.public, "POST", path, gzip.compress(body) if way == "gzip" else body, headers=headers).status_code
        except requests.ConnectionError:
            project.gateway.process.wait(30)
            said = [line for line in open(project.gateway.log.name) if "Fatal error" in line][:1]
            raise AssertionError(f"the process ended at {body[:12]}: {said}") from None
        assert status in (200, 400), f"{body[:12]}: {status}"
    assert project.gateway.process.poll() is None and project.send(message()) == ["stored"]


# ------------------------------------------------------------------------------------- growth that a public key causes


def test_a_users_properties_do_not_grow_without_bound(project):
    """Threat: a page claims another's user ID and gives it new properties with each event. They stand beside every thread of that user and are
    rewritten with each commit, so there must be a bound."""
    assert project.send(message(user={"id": "u1"})) == ["stored"]
    before = len(project.get("/v1/threads").content)
    for round_number in range(3):
        project.send(*[{"type": "identify", "id": new_id(),
            "user": {"id": "u1", "props": {f"{round_number}-{batch}-{key}": "" for key in KEYS[:4000]}}}
                       for batch in range(13)], key=project.public)
    grown = len(project.get("/v1/threads").content) - before
    assert grown < MEGABYTE, f"39 events of a page made each row of that user {grown / MEGABYTE:.1f} MB larger"


def test_a_threads_tags_do_not_grow_without_bound(project):
    """Threat: a page tags somebody's thread over and over. They stand in every row of the list, so there must be a bound."""
    assert project.send(message()) == ["stored"]
    for round_number in range(3):
        project.send(*[{"type": "thread", "id": new_id(), "thread": "t-1", "tags": [f"{round_number}-{event}-{tag}-" + "x" * 48 for tag in range(32)]}
                       for event in range(300)], key=project.public)
    tags = len(project.read("/v1/threads")["threads"][0]["tags"])
    assert tags <= 10_000, f"900 events of a page gave one thread {tags} tags"


def test_what_is_excerpted_is_short_whatever_it_is_made_of(project):
    """Threat: a message is one letter with sixty thousand accents. An excerpt of 300 characters must not be all of it."""
    assert project.send(message(text="e" + "\u0301" * 30_000), key=project.public) == ["stored"]
    (thread,) = project.read("/v1/threads")["threads"]
    for name in ("firstMessage", "lastMessage"):
        assert len(thread[name]["text"]) <= 300, f"{name} has {len(thread[name]['text'])} characters"


def test_a_flood_of_conflicts_stays_countable_and_the_list_of_them_short(project):
    """Threat: a page fills quarantine with newcomers. Each is counted, lists are paged, and the law holds."""
    event = message(text="original")
    assert project.send(event) == ["stored"]
    for round_number in range(3):
        results = project.send(*[{**event, "content": f"{round_number}-{number}"} for number in range(1000)], key=project.public)
        assert set(results) <= {"conflict", "dropped"}
    assert len(project.read("/v1/quarantine", limit=50)["items"]) == 50
    assert project.conversation("t-1")["items"][0]["content"] == "original"
    until("all to be counted", lambda: project.read("/v1/outcomes")["total"]["received"] == 3001)
