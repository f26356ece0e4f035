"""What people do over the review page's API, against a real gateway: signing in, judging, looking on, setting up, erasing."""

import http.client
import json
import re
import socket
import sqlite3
import threading
import time
import urllib.parse

import pytest
import requests

from parley_process import Gateway, message, new_id, until


class Person:
    """Somebody's browser: a session, and the headers of the review page's own requests."""

    def __init__(self, gateway, link=None, name=None, password=None):
        self.gateway = gateway
        self.http = requests.Session()
        self.http.headers.update({"Sec-Fetch-Site": "same-origin", "Origin": gateway.url})
        body = {"token": link.split("#signin=")[1]} if link else {"name": name, "password": password}
        self.signed_in = self.http.post(gateway.url + "/ui/session", json=body, timeout=20)

    def ask(self, method, path, body=None, status=200, **params):
        answer = self.http.request(method, self.gateway.url + path, params=params, json=body, timeout=20)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.text and "json" in answer.headers.get("Content-Type", "") and "ndjson" not in answer.headers["Content-Type"] else answer


@pytest.fixture
def admin(gateway):
    return Person(gateway, gateway.answer("review", "link")["url"])


def person(gateway, admin, name, role, projects=None):
    made = admin.ask("POST", "/v1/members", {"name": name, "role": role, "projects": projects}, status=201)
    return Person(gateway, made["link"].replace("http://parley.example", gateway.url))


def talk(project, thread, *texts, **fields):
    roles = ["user", "assistant"]
    sent = [message(thread=thread, text=text, role=roles[number % 2], **fields) for number, text in enumerate(texts)]
    assert project.send(*sent) == ["stored"] * len(sent)
    return sent


def test_a_link_works_once_a_password_again_and_guessing_is_slowed(gateway, admin):
    link = gateway.answer("review", "link", "--name", "Pat", "--role", "reviewer")["url"]
    pat = Person(gateway, link)
    assert pat.signed_in.status_code == 204
    assert Person(gateway, link).signed_in.status_code == 401
    assert pat.ask("GET", "/ui/session")["reviewer"]["role"] == "reviewer"
    pat.ask("PUT", "/ui/session/password", {"new": "correct horse battery"}, status=204)
    assert Person(gateway, name="pat", password="correct horse battery").signed_in.status_code == 204
    answers = []
    while not answers or answers[-1].status_code != 429:
        answers.append(Person(gateway, name="Pat", password="wrong horse battery").signed_in)
        assert len(answers) < 60, "nobody slows the guesses"  # a try comes back each 5 s, and a slow machine takes a second for one
    assert {answer.status_code for answer in answers[:-1]} == {401}
    assert int(answers[-1].headers["Retry-After"]) >= 1
    text = sqlite3.connect(f"file:{gateway.folder}/parley.sqlite?mode=ro", uri=True).execute("SELECT group_concat(password) FROM member").fetchone()[0]
    assert "scrypt$" in text and "horse" not in text
    pat.ask("DELETE", "/ui/session", status=204)
    pat.ask("GET", "/ui/session", status=401)


def test_judging_shows_in_the_conversation_and_the_policy_takes_scores_off_again(gateway, admin, project):
    first, answer = talk(project, "t-1", "Where is my order?", "On its way.")
    at = {"project": project.name}
    refused = admin.ask("POST", "/v1/scores", {"target": "t-1", "name": "quality", "value": 1}, status=409, **at)
    assert refused["error"]["code"] == "conversation_active"
    admin.ask("PATCH", "/v1/threads/t-1", {"status": "inactive", "tags": {"add": ["vip"]}}, **at)
    admin.ask("POST", "/v1/scores", {"target": "t-1", "name": "quality", "value": 0.75, "reason": "Short"}, **at)
    admin.ask("PUT", f"/v1/messages/{answer['id']}/feedback", {"thumb": "down", "comment": "No date"}, **at)
    admin.ask("PUT", f"/v1/messages/{answer['id']}/feedback", {"thumb": "up"}, **at)
    admin.ask("POST", "/v1/comments", {"target": answer["id"], "text": "Which order?"}, **at)
    whole = project.conversation("t-1")
    assert whole["thread"]["status"] == "inactive" and whole["thread"]["tags"] == ["vip"]
    assert [(s["name"], s["value"], s["author"], s["judge"]) for s in whole["thread"]["scores"]] == [("quality", 0.75, "admin", "person")]
    vote, = whole["items"][1]["feedback"]["votes"]
    assert (vote["by"], vote["name"], vote["thumb"], vote["comment"]) == ("reviewer", "admin", "up", "No date")
    comment, = whole["items"][1]["comments"]
    admin.ask("POST", "/v1/comments", {"target": comment["id"], "text": "The blue one."}, **at)
    admin.ask("PATCH", f"/v1/comments/{comment['id']}", {"text": "Which of them?"}, **at)
    comment, = project.conversation("t-1")["items"][1]["comments"]
    assert comment["text"] == "Which of them?" and [reply["text"] for reply in comment["replies"]] == ["The blue one."]

    # Tagging and scoring moved nothing; the next message does, and takes the score off.
    again, = talk(project, "t-1", "Still here?")
    whole = project.conversation("t-1")
    assert whole["thread"]["status"] == "active" and whole["thread"]["scores"] == []
    removed, = whole["thread"]["removedScores"]
    assert removed["value"] == 0.75 and removed["why"] == "reactivated"
    assert removed["removedAt"] == [item for item in whole["items"] if item["id"] == again["id"]][0]["at"]
    until("the removal in the audit log", lambda: [e for e in admin.ask("GET", "/v1/audit", **at)["entries"] if e["action"] == "scores.removed"])


def test_roles_and_projects_hold(gateway, admin):
    a, b = gateway.project("a-" + new_id()[:8]), gateway.project("b-" + new_id()[:8])
    talk(a, "t-a", "Hello from A")
    talk(b, "t-b", "Hello from B")
    ids = {p["name"]: p["id"] for p in admin.ask("GET", "/v1/projects")["projects"]}
    reader = person(gateway, admin, "reader " + new_id()[:8], "reader")
    only_a = person(gateway, admin, "only a " + new_id()[:8], "reviewer", [ids[a.name]])
    assert len(reader.ask("GET", "/v1/threads", project=a.name)["threads"]) == 1
    for method, path, body in [("PATCH", "/v1/threads/t-a", {"status": "inactive"}), ("POST", "/v1/scores", {"target": "t-a", "name": "q", "value": 1}),
                               ("POST", "/v1/comments", {"target": "t-a", "text": "x"}), ("DELETE", "/v1/users/u1", None), ("POST", "/v1/keys", {"lane": "secret"})]:
        assert reader.ask(method, path, body, status=403, project=a.name)["error"]["code"] == "role_forbidden"
    only_a.ask("PATCH", "/v1/threads/t-a", {"tags": {"add": ["x"]}}, project=a.name)
    for path in ["/v1/threads", "/v1/threads/t-b", "/v1/export", "/v1/live", "/v1/users", "/v1/overview", "/v1/quarantine"]:
        only_a.ask("GET", path, status=404, project=b.name)
    assert [p["name"] for p in only_a.ask("GET", "/v1/projects")["projects"]] == [a.name]
    only_a.ask("GET", "/v1/threads/t-b", status=404, project=a.name)
    # Keys are no better: each reads and judges in its own project.
    assert a.get("/v1/threads/t-b").status_code == 404
    assert requests.post(gateway.url + "/v1/comments", headers={"Authorization": f"Bearer {a.secret}"}, json={"target": "t-b", "text": "x"}, timeout=20).status_code == 404
    forged = reader.http.post(gateway.url + "/v1/scores", headers={"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, json={}, timeout=20)
    assert forged.status_code == 403
    a.assert_law()
    b.assert_law()


def test_filters_find_what_they_name(gateway, admin, project):
    at = {"project": project.name}
    calm, = talk(project, "calm", "All is well")
    asked, answered = talk(project, "wrong", "How much?", "Ten euros")
    page = message(thread="page", text="From a page")
    assert project.send(page, key=project.public) == ["stored"]
    assert project.send(
        {"type": "run", "id": new_id(), "kind": "llm", "parent": answered["id"], "output": "Twelve euros", "success": True, "startedAt": 1, "endedAt": 2},
        {"type": "run", "id": new_id(), "kind": "tool", "parent": asked["id"], "name": "prices", "success": False, "error": "timeout"},
        {"type": "run", "id": new_id(), "kind": "llm", "thread": "calm", "name": "loose", "success": True},
        {"type": "run", "id": new_id(), "kind": "llm", "thread": "page", "parent": new_id(), "name": "early"},
        {"type": "score", "id": new_id(), "target": answered["id"], "name": "price", "value": 0.25, "author": "eval"},
        {"type": "feedback", "id": new_id(), "target": answered["id"], "thumb": "down", "thread": "wrong"}) == ["stored"] * 6
    def found(**filters):
        return sorted(t["id"] for t in admin.ask("GET", "/v1/threads", **at, **filters)["threads"])
    until("both to be found", lambda: found(provenance="differs") == ["wrong"] and found(runs="pending"))
    assert found(error="true") == ["wrong"] and found(error="false") == ["calm", "page"]
    # A run whose parent has not come hangs under no message either.
    assert found(runs="orphan") == ["calm", "page"] and found(runs="pending") == ["page"]
    assert found(provenance="anonymous") == ["page"] and found(provenance="verified") == ["calm", "wrong"] and found(provenance="confirmed") == []
    assert found(score="price<0.5") == ["wrong"] and found(score="price>0.5") == [] and found(score="none") == ["calm", "page"]
    assert found(feedback="down") == ["wrong"] and found(role="assistant") == ["wrong"]
    assert found(reviewed="false") == ["calm", "page", "wrong"]
    admin.ask("PATCH", "/v1/threads/calm", {"reviewed": True}, **at)
    assert found(reviewed="true") == ["calm"] and found(reviewed="false") == ["page", "wrong"]
    admin.ask("POST", "/v1/threads/page/seen", {}, status=204, **at)
    assert found(seen="true") == ["page"] and found(seen="false") == ["calm", "wrong"]
    talk(project, "calm", "One more")
    assert found(reviewed="true") == []
    difference, = [i for i in project.conversation("wrong")["items"] if i["id"] == answered["id"]]
    assert difference["confirmation"] == "differs" and difference["finding"]["produced"] == "Twelve euros"
    for filters in [{"error": "true"}, {"provenance": "anonymous"}, {"score": "price<0.5"}]:
        lines = [json.loads(line) for line in admin.ask("GET", "/v1/export", **at, **filters).text.splitlines()]
        assert sorted({line["thread"] for line in lines}) == found(**filters)


def test_exports_carry_authors_and_threads(gateway, admin, project):
    first, answer = talk(project, "t-1", "Hello", "Hi", user={"id": "u1"})
    project.send({"type": "score", "id": new_id(), "target": answer["id"], "name": "tone", "category": "kind", "author": "eval"})
    chat, = [json.loads(line) for line in project.get("/v1/export", format="chat").text.splitlines()]
    assert chat["thread"] == "t-1" and chat["user"] == "u1"
    assert [(m["role"], m["content"]) for m in chat["messages"]] == [("user", "Hello"), ("assistant", "Hi")]
    assert chat["messages"][1]["scores"][0]["author"] == "eval"
    head, *rows = project.get("/v1/export", format="csv").text.strip().split("\r\n")
    assert "tone=kind (eval)" in rows[1] and rows[0].startswith("t-1,message,")


class Stream(threading.Thread):
    """Reads a live stream as a browser does."""

    def __init__(self, session, url, headers=None):
        super().__init__(daemon=True)
        self.events, self.last = [], None
        place = urllib.parse.urlsplit(url)
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in session.cookies)
        # requests gives a line away only when the next one has begun, which on a quiet stream is the heartbeat.
        self.line = http.client.HTTPConnection(place.hostname, place.port, timeout=20)
        self.line.request("GET", f"{place.path}?{place.query}", headers={"Cookie": cookies, "Sec-Fetch-Site": "same-origin", **(headers or {})})
        self.answer = self.line.getresponse()
        assert self.answer.status == 200, self.answer.read()
        self.start()

    def end(self):
        self.line.sock.shutdown(socket.SHUT_RDWR) if self.line.sock else self.answer.close()

    def run(self):
        event = {}
        try:
            while line := self.answer.readline():
                line = line.decode().rstrip("\n")
                if line == "":
                    if "id" in event:
                        self.last = event["id"]
                    if "event" in event:
                        self.events.append((event["event"], json.loads(event["data"])))
                    event = {}
                elif not line.startswith(":"):
                    name, value = line.split(": ", 1)
                    event[name] = value
        except (OSError, ValueError, http.client.HTTPException):
            pass  # the line was cut, which is what some of the tests are about

    def threads(self):
        return [change["thread"] for kind, data in self.events if kind == "change" for change in data["changes"]]


def test_live_tells_what_changes_and_goes_on_after_a_break(gateway, admin, project):
    other = gateway.project("other-" + new_id()[:8])
    url = f"{gateway.url}/v1/live?project={project.name}"
    stream = Stream(admin.http, url)
    until("the stream to be ready", lambda: ("ready", ) == tuple(kind for kind, _ in stream.events))
    talk(project, "t-1", "Hello")
    talk(other, "t-other", "Not yours")
    talk(project, "t-2", "Hello")
    until("two threads to be told", lambda: stream.threads() == ["t-1", "t-2"])
    stream.end()
    talk(project, "t-3", "While nobody looked")
    again = Stream(admin.http, url, headers={"Last-Event-ID": stream.last})
    until("the third to be told", lambda: again.threads() == ["t-3"])
    again.end()
    far = Stream(admin.http, url, headers={"Last-Event-ID": "999999999"})
    until("a reset", lambda: [kind for kind, _ in far.events] == ["reset", "ready"])
    far.end()
    other.assert_law()


def test_a_gateway_that_stops_ends_its_streams():
    gateway = Gateway().start()
    try:
        project = gateway.project("streams")
        stream = Stream(requests.Session(), f"{gateway.url}/v1/live", headers={"Authorization": f"Bearer {project.secret}"})
        until("anything to be told", lambda: stream.events)
        begun = time.monotonic()
        gateway.stop()
        assert time.monotonic() - begun < 10
    finally:
        gateway.stop()


def test_what_was_erased_stays_away(gateway, admin, project):
    at = {"project": project.name}
    secret_words = "xylophone-" + new_id()
    asked = message(thread="mine", text=secret_words, user={"id": "u1", "props": {"mail": secret_words}})
    run = {"type": "run", "id": new_id(), "kind": "llm", "parent": asked["id"], "input": secret_words, "success": True}
    assert project.send(asked, run) == ["stored", "stored"]
    talk(project, "theirs", "Something else", user={"id": "u2"})
    assert project.send(dict(asked, content=secret_words + " other")) == ["conflict"]
    erased = admin.ask("DELETE", "/v1/users/u1", **at)["erased"]
    assert erased["threads"] == 1 and erased["messages"] == 1 and erased["runs"] == 1 and erased["quarantined"] == 1
    assert project.get("/v1/threads/mine").status_code == 404
    assert [t["id"] for t in project.read("/v1/threads")["threads"]] == ["theirs"]
    # The page's outbox, and a backend that is late.
    assert project.send(asked, run) == ["dropped", "dropped"]
    assert project.send(message(thread="mine", text=secret_words)) == ["dropped"]
    assert project.send({"type": "run", "id": new_id(), "kind": "llm", "parent": asked["id"], "output": secret_words}) == ["dropped"]
    result, = project.post([asked]).json()["results"]
    assert result["reason"] == "erased"
    assert project.read("/v1/threads", q=secret_words)["threads"] == []
    with sqlite3.connect(f"file:{gateway.folder}/parley.sqlite?mode=ro", uri=True) as store:
        for table, in store.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'search%'").fetchall():
            for row in store.execute(f"SELECT * FROM {table}"):
                assert secret_words not in " ".join(str(cell) for cell in row), table
    # The law holds with what was dropped: asserted when the test is over.


def test_a_project_is_set_up_over_the_page(gateway, admin):
    name = "shop-" + new_id()[:8]
    made = admin.ask("POST", "/v1/projects", {"name": name, "origins": ["http://127.0.0.1:*"]}, status=201)
    at = {"project": name}
    told = admin.ask("GET", f"/v1/projects/{made['project']['id']}")["project"]
    assert told["lastEventAt"] is None and told["publicKey"] == made["publicKey"] and "sk_" not in json.dumps(told)
    from_page = {"Authorization": f"Bearer {made['publicKey']}", "Origin": "http://127.0.0.1:9999"}
    sent = requests.post(gateway.url + "/v1/events", headers=from_page, json=message(), timeout=20)
    assert sent.json()["results"][0]["verdict"] == "stored"
    assert admin.ask("GET", f"/v1/projects/{name}")["project"]["lastEventAt"]
    admin.ask("PATCH", f"/v1/projects/{name}", {"origins": ["https://elsewhere.example"]})
    until("the origin to be refused", lambda: requests.post(gateway.url + "/v1/events", headers=from_page, json=message(), timeout=20).status_code == 403)
    key = admin.ask("POST", "/v1/keys", {"lane": "secret", "label": "worker"}, status=201, **at)
    reads = {"Authorization": f"Bearer {key['text']}"}
    assert requests.get(gateway.url + "/v1/threads", headers=reads, timeout=20).status_code == 200
    admin.ask("DELETE", f"/v1/keys/{key['key']['id']}", status=204, **at)
    until("the key to be refused", lambda: requests.get(gateway.url + "/v1/threads", headers=reads, timeout=20).status_code == 401)
    admin.ask("DELETE", f"/v1/projects/{name}", {"name": "another"}, status=400)
    actions = [entry["action"] for entry in admin.ask("GET", "/v1/audit", **at)["entries"]]
    assert actions == ["key.revoke", "key.create", "project.change", "project.create"]
    admin.ask("DELETE", f"/v1/projects/{name}", {"name": name}, status=204)
    admin.ask("GET", f"/v1/projects/{name}", status=404)


def test_quarantine_is_mended_and_replayed(gateway, admin, project):
    at = {"project": project.name}
    weak = [dict(message(text=f"weak {n}"), id=f"weak-{n}") for n in range(3)]
    assert project.send(*weak, key=project.public) == ["quarantined"] * 3
    assert project.send({"type": "score", "id": new_id(), "target": "t-1", "name": "q", "value": 1}, key=project.public) == ["quarantined"]
    groups = {(g["reason"], g["field"]): g["count"] for g in admin.ask("GET", "/v1/quarantine/groups", **at)["groups"]}
    assert groups == {("weak_id", "id"): 3, ("lane_forbidden", "type"): 1}
    item = admin.ask("GET", "/v1/quarantine", **at, reason="weak_id", limit=1)["items"][0]
    mended = {"ids": [item["id"]], "patch": {"id": new_id()}}
    dry = admin.ask("POST", "/v1/quarantine/replay", {**mended, "dryRun": True}, **at)
    assert dry["results"][0]["verdict"] == "stored"
    assert len(admin.ask("GET", "/v1/quarantine", **at, reason="weak_id")["items"]) == 3
    assert admin.ask("POST", "/v1/quarantine/replay", mended, **at)["results"][0]["verdict"] == "stored"
    left = admin.ask("POST", "/v1/quarantine/replay", {"reason": "weak_id"}, **at)["results"]
    assert [r["verdict"] for r in left] == ["quarantined"] * 2
    trusted = admin.ask("POST", "/v1/quarantine/replay", {"reason": "weak_id", "trust": True}, **at)["results"]
    assert [r["verdict"] for r in trusted] == ["stored"] * 2
    assert admin.ask("DELETE", "/v1/quarantine", {"reason": "lane_forbidden"}, **at)["removed"] == 1
    assert admin.ask("GET", "/v1/quarantine", **at)["counts"] == {}
    assert project.read("/v1/threads/t-1")["thread"]["messageCount"] == 3


def test_figures_add_up(gateway, admin, project):
    at = {"project": project.name}
    asked, answered = talk(project, "t-1", "Hello", "Hi", user={"id": "u1", "props": {"plan": "pro"}})
    project.send({"type": "run", "id": new_id(), "kind": "llm", "parent": asked["id"], "startedAt": "2026-01-01T00:00:00Z", "endedAt": "2026-01-01T00:00:02Z", "success": True},
                 {"type": "feedback", "id": new_id(), "target": answered["id"], "thumb": "up", "user": {"id": "u1"}, "thread": "t-1"})
    admin.ask("PUT", f"/v1/messages/{answered['id']}/feedback", {"thumb": "down"}, **at)
    total = until("two messages to be counted", lambda: (lambda t: t if t["messages"] == 2 else None)(admin.ask("GET", "/v1/overview", **at)["total"]))
    assert (total["conversations"], total["users"], total["up"], total["down"]) == (1, 1, 1, 0)
    past = until("a run to be counted", lambda: (lambda t: t if t["runs"] == 1 else None)(
        admin.ask("GET", "/v1/overview", **at, **{"from": "2025-12-31T00:00:00Z", "to": "2026-01-02T00:00:00Z"})["total"]))
    assert past["latencyP50Ms"] == pytest.approx(2000, rel=0.05)
    user, = admin.ask("GET", "/v1/users", **at)["users"]
    assert (user["id"], user["threads"], user["messages"], user["props"]) == ("u1", 1, 2, {"plan": "pro"})
    assert admin.ask("GET", "/v1/users", **at, q="nobody")["users"] == []
    assert re.match(r"\d{4}-\d\d-\d\d$", admin.ask("GET", "/v1/overview", **at)["days"][0]["day"])
