"""The client for Python backends: the cases that all clients pass, and what is Python's own. `pytest clients/python`."""

import ast
import asyncio
import dataclasses
import datetime
import http.server
import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import parley  # noqa: E402

KEY = "sk_00000000000000000000000000000000000000"
NOW = 1795229470887
CORPUS = Path(__file__).parents[2] / "protocol/conformance/client.json"
UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


class Backend(parley.Client):
    """A client without a thread: a clock that only the test moves, and a gateway that only the test answers."""

    def __init__(self, **options):
        self.ms = NOW
        self.refuses = False
        self.sent = []
        self.under_way = None
        # Whether bodies are to ask for receipts; None: it is not looked at.
        self.asks = None
        self.notices = []
        super().__init__(KEY, "https://gateway.test", **options)
        self._outbox.random = lambda: 0.5
        self.on_verdict(self.notices.append)

    def _wall(self):
        return self.ms

    def _monotonic(self):
        return (self.ms - NOW) / 1000 + 1

    def _begin(self):
        return False

    def step(self):
        """What the thread would do now; answers in how many seconds to do it again."""
        items, wait = self._outbox.next(self._monotonic(), self._wall())
        if not items:
            return wait
        if self.refuses:
            return self.finish(items, OSError("refused"))
        self.sent.append([item.json for item in items])
        self.under_way = items
        return None

    def finish(self, items, answer):
        def transport(url, headers, body, timeout):
            assert json.loads(body)["events"] == [json.loads(item.json) for item in items]
            assert self.asks in (None, json.loads(body).get("receipts", False))
            assert url == "https://gateway.test/v1/events" and headers["Authorization"] == "Bearer " + KEY
            if isinstance(answer, Exception):
                raise answer
            status, content, *more = answer
            return status, more[0] if more else {}, content if isinstance(content, bytes) else json.dumps(content).encode()

        self._transport = transport
        self._deliver(items)
        self.under_way = None
        return 0

    def answer(self, *answer):
        assert self.under_way, "nothing is under way"
        self.finish(self.under_way, answer[0] if isinstance(answer[0], Exception) else answer)

    def stored(self):
        self.answer(200, {"results": [{"id": item.id, "verdict": "stored"} for item in self.under_way]})

    def advance(self, ms, until=lambda: False):
        end = self.ms + ms
        while not until() and self.ms <= end:
            wait = self.step()
            if until():
                return
            if wait is None or self.ms + wait * 1000 > end:
                break
            self.ms += max(1, round(wait * 1000))
        self.ms = end

    def events(self, place=-1):
        return [json.loads(text) for text in self.sent[place]]

    def flown(self):
        """Everything tracked so far, as it was sent."""
        self.advance(50)
        return self.events()


# ------------------------------------------------------------------------------------ the cases that all clients pass

BOUND = 600


class Play:
    def __init__(self, receipts=False):
        self.hook = None
        self.backend = Backend(receipts=receipts, queue_events=BOUND, before_send=lambda event: self.hook(event) if self.hook else event)
        self.ids, self.unnamed, self.streams, self.first, self.seen = {}, [], {}, {}, 0
        self.told = []
        self.backend.on_verdict(lambda n: self.told.append([self.name_of(n.id, n.type), n.verdict, *filter(None, [n.reason or n.receipt])]))

    def name_of(self, id, kind):
        for name, known in self.ids.items():
            if known == id:
                return name
        if kind == "client_report":
            return "<client_report>"
        if kind == "event" and self.unnamed:
            self.ids[self.unnamed[0]] = id
            return self.unnamed.pop(0)
        return id

    def track(self, event, name):
        event = dict(event)
        thread = self.backend.open_thread(event.pop("thread"))
        if event.pop("type") == "event":
            self.unnamed.append(name)
            return thread.track_event(event["name"], event.get("metadata"))
        id = self.ids[name] = thread.track_message(event.pop("role"), event.pop("content"), **event)
        for each in self.told:
            each[0] = name if each[0] == id else each[0]

    def step(self, step):
        backend = self.backend
        if "track" in step:
            event = {k: "x" * 20971521 if v == "${beyondEventBytes}" else v for k, v in step["track"].items()}
            times = BOUND if step.get("times") == "bound" else step.get("times")
            for turn in range(times or 1):
                self.track(event, step["as"] + str(turn) if times else step["as"])
        elif "sent" in step:
            backend.advance(1000, lambda: len(backend.sent) > self.seen)
            assert len(backend.sent) > self.seen, "nothing was sent"
            self.seen += 1
            names = [self.name_of(event["id"], event["type"]) for event in backend.events()]
            expected = step["sent"]
            if expected[-1] == "...":
                expected, names = expected[:-1], names[:len(expected) - 1]
            assert names == expected
            for text in backend.sent[-1]:
                self.first.setdefault(json.loads(text)["id"], text)
        elif "same" in step:
            for name in step["same"]:
                assert self.first[self.ids[name]] in backend.sent[-1]
        elif "report" in step:
            assert [event["reasons"] for event in backend.events() if event["type"] == "client_report"] == [step["report"]]
        elif "fields" in step:
            for name, fields in step["fields"].items():
                event = next(event for event in backend.events() if event["id"] == self.ids[name])
                assert {field: event[field] for field in fields} == fields
        elif "asked" in step:
            backend.asks = step["asked"]
        elif "answer" in step:
            if step["answer"] == "stored":
                backend.stored()
            else:
                backend.answer(200, {"results": step["answer"]})
        elif "lost" in step:
            backend.answer(ConnectionResetError())
        elif "refused" in step:
            backend.answer(step["refused"]["status"], {"error": step["refused"]})
        elif "advanceMs" in step:
            backend.advance(step["advanceMs"])
        elif "quiet" in step:
            backend.advance(step["quiet"])
            assert len(backend.sent) == self.seen
        elif "heard" in step:
            assert sorted(map(str, self.told)) == sorted(map(str, step["heard"]))
            self.told.clear()
        elif "refuseToConnect" in step:
            backend.refuses = step["refuseToConnect"]
        elif "beforeSend" in step:
            rule = step["beforeSend"] or {}

            def hook(event):
                if rule.get("throw"):
                    raise RuntimeError("the hook's own")
                return None if rule.get("drop") else {**event, **rule.get("set", {})}

            self.hook = hook
        elif "stream" in step:
            options = dict(step["stream"])
            stream = self.streams[step["as"]] = backend.open_thread(options.pop("thread")).stream_message(**options)
            self.ids[step["as"]] = stream.id
        elif "append" in step:
            self.streams[step["to"]].append(step["append"])
        elif "end" in step:
            assert self.streams[step["end"]].end(**step.get("more", {})) == self.ids[step["end"]]
        else:
            raise AssertionError("the harness knows no such step")


@pytest.mark.parametrize("case", json.loads(CORPUS.read_text())["cases"], ids=lambda case: f"{case['clause']}: {case['name']}")
def test_conformance(case):
    play = Play(case.get("receipts", False))
    for step in case["steps"]:
        try:
            play.step(step)
        except AssertionError as error:
            raise AssertionError(f"at {json.dumps(step)}: {error}") from error


# ------------------------------------------------------------------------------------------------------------- receipts


def test_a_parents_receipt_stands_beside_it_in_each_part_and_goes_to_no_other():
    backend = Backend()
    with backend.start_run("llm", parent="m-1", receipt="r1.one"):
        backend.start_run("tool")
    start, step, end = backend.flown()
    assert (start["receipt"], end["receipt"], start["parent"]) == ("r1.one", "r1.one", "m-1")
    assert step["parent"] == start["id"] and "receipt" not in step


def test_a_context_hands_the_receipt_to_the_runs_begun_in_it():
    backend = Backend()
    with parley.parent("m-1", receipt="r1.one"):
        backend.track_run("llm")
        backend.track_run("llm", parent="m-2")
        with parley.parent("m-3"):
            backend.track_run("llm")
    backend.track_run("llm", parent=None, receipt="r1.lonely")
    assert [(run.get("parent"), run.get("receipt")) for run in backend.flown()] == [
        ("m-1", "r1.one"), ("m-2", None), ("m-3", None), (None, None)]


@pytest.mark.parametrize("answer, expected", [
    ((200, {}, b'{"valid":true,"at":"2026-11-21T12:00:00.000Z"}'), parley.Receipt(True, "2026-11-21T12:00:00.000Z")),
    ((200, {}, b'{"valid":false}'), parley.Receipt(False)), ((503, {}, b'{"error":{"code":"draining"}}'), None),
    ((200, {}, b"<html>"), None), ((200, {}, b'{"valid":"yes"}'), None), (OSError("away"), None),
])
def test_a_receipt_is_checked_by_asking_and_nothing_is_said_where_nobody_answers(answer, expected):
    backend = Backend()
    asked = []

    def transport(url, headers, body, timeout):
        asked.append((url, headers["Authorization"], json.loads(body), timeout))
        if isinstance(answer, Exception):
            raise answer
        return answer

    backend._transport = transport
    assert backend.verify_receipt("m-1", "r1.one", timeout=3) == expected
    assert asked == [("https://gateway.test/v1/receipts", "Bearer " + KEY, {"id": "m-1", "receipt": "r1.one"}, 3)]


def test_no_receipt_is_checked_without_a_key_or_after_the_end():
    assert parley.Client("pk_public", "https://gateway.test").verify_receipt("m-1", "r1.one") is None
    backend = Backend()
    backend.close(0)
    assert backend.verify_receipt("m-1", "r1.one") is None


# ---------------------------------------------------------------------------------------------------- what is tracked


def bare(events):
    return [{k: v for k, v in event.items() if k != "id"} for event in events]


def test_a_run_is_a_start_and_an_end_that_share_an_id_and_each_says_whose_it_is():
    backend = Backend()
    with backend.run(kind="llm", name="answer", parent="m-1", thread="t-1", model="small-1", input="Hello") as run:
        backend.ms += 800
        run.update(output="Hi!", usage={"inputTokens": 1}, cost=0.1)
    start, end = backend.flown()
    whose = {"type": "run", "id": run.id, "kind": "llm", "name": "answer", "thread": "t-1", "parent": "m-1"}
    assert UUID7.fullmatch(run.id)
    assert start == {**whose, "input": "Hello", "model": "small-1", "startedAt": NOW}
    assert end == {**whose, "output": "Hi!", "usage": {"inputTokens": 1}, "cost": 0.1, "success": True, "endedAt": NOW + 800}


def test_what_is_raised_in_a_run_is_its_error_and_goes_on_to_the_application():
    backend = Backend()
    with pytest.raises(KeyError):
        with backend.run(kind="tool"):
            {}["nothing"]
    run = backend.start_run("tool")
    run.end(error="no luck")
    run.end(output="again")
    backend.track_run("retriever", started_at=datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc), ended_at=5, output=[1])
    events = backend.flown()
    assert len(events) == 5
    assert events[1]["success"] is False and events[1]["error"]["name"] == "KeyError" and "test_parley.py" in events[1]["error"]["stack"]
    assert events[3]["success"] is False and events[3]["error"] == "no luck"
    assert bare(events[4:]) == [
        {"type": "run", "kind": "retriever", "endedAt": 5, "startedAt": "2026-01-01T00:00:00Z", "output": [1], "success": True}]


def test_runs_begun_inside_are_steps_also_in_coroutines():
    backend = Backend()

    async def answer(message):
        with parley.parent(message):
            await asyncio.sleep(0)
            with backend.run(kind="agent", name=message) as agent:
                await asyncio.sleep(0.001)
                await asyncio.to_thread(backend.track_run, "tool", name="tool of " + agent.id)
                backend.track_run("llm", parent="m-9")
                backend.track_run("llm", parent=None)

    async def both():
        await asyncio.gather(answer("m-1"), answer("m-2"))

    asyncio.run(both())
    backend.track_run("chain")
    events = backend.flown()
    agents = {event["id"]: event for event in events if event["kind"] == "agent" and "startedAt" in event}
    assert {event["name"]: event["parent"] for event in agents.values()} == {"m-1": "m-1", "m-2": "m-2"}
    for event in events:
        if event["kind"] == "tool":
            assert event["name"] == "tool of " + event["parent"]
    assert sorted(str(event.get("parent")) for event in events if event["kind"] == "llm") == ["None", "None", "m-9", "m-9"]
    assert "parent" not in events[-1]


def test_traced_functions_of_every_kind_are_runs():
    backend = Backend()

    @backend.traced
    def add(a, b=1):
        return a + b

    @backend.traced(kind="tool", name="look-up", capture=False)
    async def look_up(what):
        return add(what)

    @backend.traced(kind="llm")
    def words(text):
        yield from text.split()

    @backend.traced(kind="llm")
    async def later(count):
        for number in range(count):
            yield number

    @backend.traced
    def fails():
        raise LookupError("no")

    async def everything():
        assert await look_up(2) == 3
        assert [n async for n in later(3)] == [0, 1, 2]

    asyncio.run(everything())
    assert list(words("a b")) == ["a", "b"]
    with pytest.raises(LookupError):
        fails()
    with pytest.raises(TypeError):
        add()
    for word in words("c d"):
        break
    del word
    events = backend.flown()
    ends = {}
    for event in events:
        ends.setdefault(event["id"], {}).update(event)
    said = [(run["name"], run["kind"], run.get("input"), run.get("output"), run["success"]) for run in ends.values()]
    assert said == [
        ("look-up", "tool", None, None, True), ("add", "chain", {"a": 2}, 3, True), ("later", "llm", {"count": 3}, [0, 1, 2], True),
        ("words", "llm", {"text": "a b"}, "ab", True), ("fails", "chain", {}, None, False), ("add", "chain", None, None, False),
        ("words", "llm", {"text": "c d"}, "c", False)]
    runs = list(ends.values())
    assert runs[1]["parent"] == runs[0]["id"] and "parent" not in runs[3]


def test_messages_votes_with_an_author_scores_and_users_go_in_the_fields_of_the_protocol():
    backend = Backend()
    thread = backend.open_thread("t-1", tags=["billing"], user={"id": "u1", "props": {"plan": "pro"}})
    asked = thread.track_message("user", "Hello", at=5)
    thread.track_message("user", "Hello?", is_retry=True, reply_to="m-0")
    thread.track_event("opened", {"page": 1})
    thread.track_run("llm", parent=asked)
    backend.track_feedback(asked, thumb="up", author="Ann")
    backend.track_feedback(asked)
    backend.track_score(asked, "helpfulness", 0.5, reason="short")
    backend.identify(7, {"plan": "free"})
    assert bare(backend.flown()) == [
        {"type": "thread", "at": NOW, "thread": "t-1", "tags": ["billing"], "user": {"id": "u1", "props": {"plan": "pro"}}},
        {"type": "message", "at": 5, "thread": "t-1", "role": "user", "content": "Hello", "user": {"id": "u1"}},
        {"type": "message", "at": NOW, "thread": "t-1", "role": "user", "content": "Hello?", "replyTo": "m-0", "retryOf": asked, "user": {"id": "u1"}},
        {"type": "event", "at": NOW, "thread": "t-1", "name": "opened", "user": {"id": "u1"}, "metadata": {"page": 1}},
        {"type": "run", "kind": "llm", "thread": "t-1", "parent": asked, "user": {"id": "u1"}, "success": True, "endedAt": NOW},
        {"type": "feedback", "at": NOW, "target": asked, "thumb": "up", "author": "Ann"},
        {"type": "feedback", "at": NOW, "target": asked, "thumb": None},
        {"type": "score", "at": NOW, "target": asked, "name": "helpfulness", "value": 0.5, "reason": "short"},
        {"type": "identify", "at": NOW, "user": {"id": "7", "props": {"plan": "free"}}},
    ]


def test_a_streamed_message_keeps_its_pace_within_200_entries_and_ends_once():
    backend = Backend()
    with pytest.raises(RuntimeError):
        with backend.open_thread().stream_message(reply_to="m-1", metadata={"model": "small-1"}) as stream:
            for _ in range(5000):
                stream.append("😀")
                backend.ms += 7
            raise RuntimeError("the model is gone")
    stream.append("late")
    assert stream.end() == stream.id
    (event,) = backend.flown()
    deltas = event["metadata"].pop("deltas")
    assert (event["role"], event["replyTo"], event["at"], event["metadata"]) == ("assistant", "m-1", NOW, {"model": "small-1", "interrupted": True})
    assert 50 < len(deltas) <= 200 and deltas[0] == [0, 2] and deltas[-1] == [34993, 10000] and deltas == sorted(deltas)


@dataclasses.dataclass
class Point:
    x: int


class Model:
    def model_dump(self):
        return {"tokens": 3}


def test_values_that_json_has_no_word_for_are_said_in_others():
    backend = Backend()
    thread = backend.open_thread()
    values = {
        "point": Point(1), "model": Model(), "set": {1}, "tuple": (1, 2), "bytes": b"a\xff", "nan": float("nan"), ("a", 1): 2, 3: 4,
        "time": datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc), "id": uuid.UUID(int=5), "half": "\ud83d", "other": re,
    }
    thread.track_event("odd", values)
    circle = []
    circle.append(circle)
    deep = []
    for _ in range(100_000):
        deep = [deep]
    thread.track_event("circle", {"circle": circle})
    thread.track_event("deep", {"deep": deep})
    # Taken apart by hand: a list of that depth is more than the interpreter's own clean-up of a failed test would bear.
    while deep:
        deep = deep.pop()
    event, report = backend.flown()
    metadata = event["metadata"]
    assert metadata.pop("other").startswith("<module 're'")
    assert metadata == {
        "point": {"x": 1}, "model": {"tokens": 3}, "set": [1], "tuple": [1, 2], "bytes": "a\ufffd", "nan": None, "('a', 1)": 2, "3": 4,
        "time": "2026-01-01T00:00:00Z", "id": "00000000-0000-0000-0000-000000000005", "half": "\ud83d"}
    assert report["reasons"] == {"unserializable": 2}


# --------------------------------------------------------------------------------------------------- what is delivered


def test_delays_double_up_to_a_minute_with_no_end_of_trying():
    backend = Backend()
    backend.open_thread().track_event("opened")
    at = []
    for turn in range(12):
        backend.advance(60000, lambda: len(backend.sent) > turn)
        at.append(backend.ms)
        backend.answer(503, b"<html>")
    assert [b - a for a, b in zip(at, at[1:])] == [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000, 30000, 30000]


@pytest.mark.parametrize("header, ms", [("7", 7000), ("Sat, 21 Nov 2026 13:04:40 GMT", None), ("99999", 300000)])
def test_retry_after_is_obeyed_as_seconds_and_as_a_date_up_to_five_minutes(header, ms):
    backend = Backend()
    if ms is None:
        backend.ms = round(datetime.datetime(2026, 11, 21, 13, 4, 31, tzinfo=datetime.timezone.utc).timestamp() * 1000)
        ms = 9000
    backend.open_thread().track_event("opened")
    backend.flown()
    backend.answer(429, {}, {"Retry-After": header})
    backend.advance(ms - 100)
    assert len(backend.sent) == 1
    backend.advance(200)
    assert len(backend.sent) == 2


def test_a_body_that_is_refused_is_halved_until_the_guilty_event_is_alone_and_only_that_is_dropped():
    backend = Backend()
    thread = backend.open_thread()
    ids = [thread.track_message("user", "guilty" if number == 5 else "fine") for number in range(9)]
    backend.flown()
    while backend.under_way:
        if any(event.get("content") == "guilty" for event in backend.events()):
            backend.answer(400, {"error": {"code": "too_deep"}})
        else:
            backend.stored()
        backend.step()
    messages = [notice for notice in backend.notices if notice.type == "message"]
    assert [notice for notice in messages if notice.verdict != "stored"] == [parley.Notice(ids[5], "message", "dropped", "too_deep")]
    assert len(messages) == 9


def test_bodies_stay_within_their_limits_one_after_the_other_in_order():
    backend = Backend()
    thread = backend.open_thread()
    ids = [thread.track_message("user", "x") for _ in range(1200)]
    ids += [thread.track_message("user", "y" * 3_000_000), thread.track_message("user", "z")]
    backend.flown()
    while backend.under_way:
        backend.stored()
        backend.step()
    assert [len(body) for body in backend.sent] == [500, 500, 200, 1, 1]
    assert [json.loads(text)["id"] for body in backend.sent for text in body] == ids


def test_the_queue_is_bounded_in_bytes_and_what_is_under_way_stays():
    backend = Backend(queue_bytes=2000)
    thread = backend.open_thread()
    sent = thread.track_message("user", "s" * 500)
    backend.flown()
    for _ in range(10):
        thread.track_message("user", "x" * 500)
    thread.track_message("user", "y" * 3000)
    assert [notice.reason for notice in backend.notices] == ["queue_full"] * 8 + ["event_too_large"]
    assert sent not in [notice.id for notice in backend.notices]
    backend.stored()
    backend.step()
    assert backend.events()[-1]["reasons"] == {"queue_full": 8, "event_too_large": 1}


@pytest.mark.parametrize("body", [
    b"", b"<html>", b"[]", b"null", b'{"results":7}', b'{"results":[]}', b'{"results":[7]}', b'{"results":[{"verdict":"retry","retryAfterMs":"x"}]}', b'{"error":7}'])
@pytest.mark.parametrize("status", [200, 302, 429, 500])
def test_an_answer_that_makes_no_sense_is_as_good_as_none(status, body):
    backend = Backend()
    backend.open_thread().track_event("opened")
    backend.flown()
    backend.answer(status, body)
    backend.advance(60000)
    assert len(backend.sent) == 2 and backend.sent[0] == backend.sent[1]


def test_nothing_that_is_handed_in_wrong_raises(caplog):
    class Hostile:
        def __getattribute__(self, name):
            raise RuntimeError("hostile")

        __str__ = __repr__ = __bool__ = __hash__ = __eq__ = lambda *_: 1 / 0

    backend = Backend()
    for bad in [None, 7, "text", [], {}, print, Hostile(), {"id": {}}]:
        thread = backend.open_thread(bad, user=bad, tags=bad)
        assert isinstance(thread.id, str)
        assert isinstance(thread.track_message(bad, bad, metadata=bad), str)
        assert isinstance(thread.track_message(), str) and isinstance(thread.track_message("user", "x", nonsense=1), str)
        thread.track_event(bad, bad)
        stream = thread.stream_message(nonsense=bad)
        stream.append(bad)
        assert isinstance(stream.end(metadata=bad), str)
        run = backend.start_run(bad, id=bad, nonsense=bad)
        assert isinstance(run.id, str)
        run.update(output=bad)
        run.end(usage=bad)
        assert isinstance(backend.track_run(bad, parent=bad), str)
        backend.track_feedback(bad)
        backend.track_feedback()
        backend.track_score(bad, bad, bad)
        backend.identify(bad, bad)
        backend.on_verdict(bad)
        backend.off_verdict(bad)
    backend.on_verdict(lambda notice: 1 / 0)
    assert len(backend.flown()) > 20
    backend.stored()


def test_a_public_key_no_key_and_no_url_are_named_and_what_is_tracked_is_told_as_dropped(monkeypatch):
    monkeypatch.delenv("PARLEY_SECRET_KEY", raising=False)
    monkeypatch.delenv("PARLEY_URL", raising=False)
    for key, url, reason in [("pk_0", "http://x", "secret_key_needed"), (None, "http://x", "secret_key_needed"), (KEY, "x", "url_needed")]:
        client = parley.Client(key, url)
        notices = []
        client.on_verdict(notices.append)
        client.open_thread().track_event("opened")
        assert [notice.reason for notice in notices] == [reason]
        assert client.flush() is False and client.close() is False


def test_ids_are_in_order_and_never_twice_also_from_many_threads():
    made = [[] for _ in range(8)]
    threads = [threading.Thread(target=lambda own=own: own.extend(parley.new_id() for _ in range(3000))) for own in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    everything = [id for own in made for id in own]
    assert len(set(everything)) == 24000 and all(own == sorted(own) for own in made) and UUID7.fullmatch(everything[0])


def test_the_file_reads_on_python_3_9():
    ast.parse(Path(parley.__file__).read_text(), feature_version=(3, 9))


# ----------------------------------------------------------------------------------------- real sockets and processes


class FakeGateway:
    """Stores everything; answers 503 to the first `refusals` requests, and nothing while `silent`."""

    def __init__(self, refusals=0):
        self.stored, self.refusals, self.silent = [], refusals, threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                events = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["events"]
                while outer.silent.is_set():
                    time.sleep(0.01)
                outer.refusals -= 1
                if outer.refusals >= 0:
                    return self.send_error(503)
                outer.stored += events
                body = json.dumps({"results": [{"id": event["id"], "verdict": "stored"} for event in events]}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def ids(self):
        return [event["id"] for event in self.stored]


@pytest.fixture
def gateway():
    gateway = FakeGateway()
    yield gateway
    gateway.silent.clear()
    gateway.server.shutdown()
    gateway.server.server_close()


def run_python(source, **environment):
    folder = str(Path(parley.__file__).parent)
    return subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": folder, **environment})


def test_threads_track_at_once_and_everything_is_there_once(gateway):
    client = parley.Client(KEY, gateway.url)
    heard = []
    client.on_verdict(lambda notice: heard.append(notice.verdict))
    threads = [threading.Thread(target=lambda: [client.open_thread("t-1").track_message("user", "x") for _ in range(250)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.flush() is True
    assert len(gateway.ids()) == len(set(gateway.ids())) == 1000 and heard == ["stored"] * 1000
    assert client.close() is True


def test_tracking_never_waits_and_flush_and_close_no_longer_than_told(gateway):
    gateway.silent.set()
    client = parley.Client(KEY, gateway.url)
    began = time.monotonic()
    for _ in range(1000):
        client.open_thread().track_message("user", "x")
    assert time.monotonic() - began < 1
    assert client.flush(0.2) is False and client.close(0.2) is False
    assert time.monotonic() - began < 3
    notices = []
    client.on_verdict(notices.append)
    client.open_thread().track_event("late")
    assert notices[0].reason == "closed"


def test_a_loop_goes_on_while_a_flush_waits(gateway):
    gateway.silent.set()
    client = parley.Client(KEY, gateway.url)

    async def chat():
        client.open_thread().track_event("opened")
        waiting = asyncio.create_task(asyncio.to_thread(client.flush))
        for _ in range(20):
            await asyncio.sleep(0.005)
        assert not waiting.done()
        gateway.silent.clear()
        return await waiting

    assert asyncio.run(chat()) is True
    assert len(gateway.stored) == 1


def test_a_listener_may_flush_and_track(gateway):
    client = parley.Client(KEY, gateway.url)
    done = threading.Event()

    @client.on_verdict
    def again(notice):
        if notice.type == "event":
            client.open_thread().track_message("user", "said by a listener")
            client.flush(1)
            done.set()

    client.open_thread().track_event("opened")
    assert done.wait(5) and client.flush()
    assert [event["type"] for event in gateway.stored] == ["event", "message"]


def test_a_process_that_ends_right_after_tracking_loses_nothing(gateway):
    gateway.refusals = 1
    ended = run_python("""
import atexit
# Registered before the client's own, so it runs after it.
atexit.register(lambda: print("end"))
import parley
thread = parley.open_thread("t-1")
for n in range(1234):
    thread.track_message("user", str(n))
""", PARLEY_SECRET_KEY=KEY, PARLEY_URL=gateway.url)
    assert ended.returncode == 0 and ended.stdout == "end\n", ended.stderr
    assert len(gateway.ids()) == len(set(gateway.ids())) == 1234


def test_what_is_tracked_as_the_interpreter_ends_still_leaves(gateway):
    ended = run_python("""
import atexit, parley
parley.init()
atexit.register(lambda: parley.open_thread().track_event("ending"))
""", PARLEY_SECRET_KEY=KEY, PARLEY_URL=gateway.url)
    assert ended.returncode == 0 and len(gateway.stored) == 1, ended.stderr


def test_an_interpreter_whose_gateway_is_gone_ends_in_time_and_says_so():
    began = time.monotonic()
    ended = run_python("""
import parley
parley.init(exit_timeout=1)
parley.open_thread().track_event("opened")
""", PARLEY_SECRET_KEY=KEY, PARLEY_URL="http://127.0.0.1:9")
    assert ended.returncode == 0 and "1 events were not delivered" in ended.stderr
    assert time.monotonic() - began < 10


def test_a_forked_child_sends_its_own_and_not_its_parents(gateway):
    ended = run_python("""
import os, parley, threading
thread = parley.open_thread("t-1")
for turn in range(20):
    thread.track_message("user", f"parent {turn}")
    child = os.fork()
    if not child:
        thread.track_message("user", f"child {turn}")
        os._exit(0 if parley.flush() else 1)
    assert os.waitpid(child, 0)[1] == 0
""", PARLEY_SECRET_KEY=KEY, PARLEY_URL=gateway.url)
    assert ended.returncode == 0, ended.stderr
    assert sorted(event["content"] for event in gateway.stored) == sorted(f"{who} {turn}" for who in ("child", "parent") for turn in range(20))
    assert len(set(gateway.ids())) == 40


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_of_multiprocessing_lose_nothing_at_their_end(gateway, method, tmp_path):
    script = tmp_path / "job.py"
    script.write_text(f"""
import multiprocessing, parley
def work(number):
    parley.open_thread("t-1").track_message("user", str(number))
if __name__ == "__main__":
    parley.open_thread("t-1").track_message("user", "parent")
    context = multiprocessing.get_context({method!r})
    all = [context.Process(target=work, args=(n,)) for n in range(3)]
    [each.start() for each in all]
    [each.join() for each in all]
""")
    ended = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, env={
        **os.environ, "PYTHONPATH": str(Path(parley.__file__).parent), "PARLEY_SECRET_KEY": KEY, "PARLEY_URL": gateway.url})
    assert ended.returncode == 0, ended.stderr
    assert sorted(event["content"] for event in gateway.stored) == ["0", "1", "2", "parent"]


def test_forks_under_load_hang_nobody(gateway):
    ended = run_python("""
import os, parley, threading
stop = threading.Event()
def load():
    while not stop.wait(0.0005):
        parley.open_thread("t-1").track_message("user", "load")
threads = [threading.Thread(target=load) for _ in range(4)]
[each.start() for each in threads]
for turn in range(30):
    child = os.fork()
    if not child:
        parley.open_thread("t-2").track_message("user", "child")
        os._exit(0 if parley.flush() else 1)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
[each.join() for each in threads]
""", PARLEY_SECRET_KEY=KEY, PARLEY_URL=gateway.url)
    assert ended.returncode == 0, ended.stderr
    assert len([event for event in gateway.stored if event["thread"] == "t-2"]) == 30
    assert len(gateway.ids()) == len(set(gateway.ids()))


def test_init_is_idempotent_and_the_functions_speak_to_the_first_client(gateway):
    ended = run_python(f"""
import parley
one = parley.init({KEY!r}, {gateway.url + '/'!r})
assert parley.init({KEY!r}, {gateway.url!r}) is one
@parley.traced
def work():
    return 1
with parley.run(kind="llm", parent="m-1"):
    work()
parley.track_feedback("m-1", thumb="up")
parley.track_score("m-1", "good", 1)
parley.identify("u1")
heard = []
parley.on_verdict(heard.append)
assert parley.close() and len(heard) == 7, heard
assert parley.init({KEY!r}, {gateway.url!r}) is not one
""")
    assert ended.returncode == 0, ended.stderr
    assert len(gateway.stored) == 7


def test_each_warning_is_said_once(caplog):
    backend = Backend()
    with caplog.at_level(logging.WARNING, logger="parley"):
        for _ in range(3):
            backend.open_thread().track_event(None)
    assert len([record for record in caplog.records if "track_event needs" in record.message]) <= 1
