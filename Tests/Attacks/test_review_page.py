"""People sign in to the review page and read there what strangers typed. No other website may act in their name, and no stranger's words may do
anything."""

import contextlib
import csv
import http.cookies
import io
import json
import re
import subprocess
import threading
import time
from urllib.parse import quote

import pytest
import requests

from parley_process import Gateway, Project, message, new_id, until
from watch import Neighbour
from wire import Line, ask, request

EVIL = "https://evil.example"


class Browser:
    """Somebody's session, and requests in its name that carry exactly the headers that are given."""

    def __init__(self, gateway, link=None, **body):
        self.gateway = gateway
        self.answer = requests.post(gateway.url + "/ui/session", json=body or {"token": link.split("#signin=")[1]}, timeout=20, headers={
            "Sec-Fetch-Site": "same-origin", "Origin": gateway.url})
        self.cookie = self.answer.cookies.get("parley_session")

    def ask(self, method, path, body=None, cookie=True, **headers):
        sent = {"Cookie": f"parley_session={self.cookie}"} if cookie else {}
        sent.update({name.replace("_", "-"): value for name, value in headers.items() if value is not None})
        return requests.request(method, self.gateway.url + path, data=body, headers=sent, timeout=20, allow_redirects=False)

    def own(self, method, path, body=None):
        """As the page itself asks."""
        return self.ask(method, path, None if body is None else json.dumps(body), Sec_Fetch_Site="same-origin", Origin=self.gateway.url,
            Content_Type="application/json")


@pytest.fixture(scope="module")
def person(gateway):
    """An admin, who may do everything that can be forged."""
    return Browser(gateway, gateway.answer("review", "link", "--name", "Ann", "--role", "admin")["url"])


@pytest.fixture
def target(project):
    """What a forged request would change: a conversation, its people, a view, a comment, something in quarantine."""
    asked = message(user={"id": "u1"})
    assert project.send(asked, {"type": "comment", "id": f"c-{asked['id']}", "target": asked["id"], "text": "kept",
        "author": "Ann"}) == ["stored"] * 2
    assert project.send(message(id="0"), key=project.public) == ["quarantined"]
    project.asked = asked["id"]
    return project


def acts(project, member):
    """Every request that changes something, with a body that would work."""
    id, at = project.asked, f"?project={project.name}"
    return [
        ("PATCH", f"/v1/threads/t-1{at}", {"status": "inactive"}), ("PATCH", f"/v1/threads/t-1{at}", {"tags": {"add": ["forged"]}}),
        ("PATCH", f"/v1/threads/t-1{at}", {"reviewed": True}), ("POST", f"/v1/threads/t-1/seen{at}", {}),
        ("PUT", f"/v1/messages/{id}/feedback{at}", {"thumb": "up"}), ("POST", f"/v1/scores{at}", {"target": id, "name": "forged", "value": 1}),
        ("DELETE", f"/v1/scores{at}&target={id}&name=forged", None), ("POST", f"/v1/comments{at}", {"target": id, "text": "forged"}),
        ("PATCH", f"/v1/comments/c-{id}{at}", {"text": "forged"}), ("DELETE", f"/v1/comments/c-{id}{at}", None),
        ("POST", f"/v1/views{at}", {"name": "forged", "query": "q=x"}), ("DELETE", f"/v1/users/u1{at}", None),
        ("POST", f"/v1/projects{at}", {"name": f"forged {new_id()}"}), ("PATCH", f"/v1/projects/{quote(project.name)}{at}", {"origins": [EVIL]}),
        ("DELETE", f"/v1/projects/{quote(project.name)}{at}", {"name": project.name}),
        ("POST", f"/v1/keys{at}", {"lane": "secret"}), ("POST", f"/v1/quarantine/replay{at}", {"reason": "weak_id", "trust": True}),
        ("DELETE", f"/v1/quarantine{at}", {"reason": "weak_id"}),
        ("POST", "/v1/members", {"name": f"Eve {new_id()}", "role": "admin"}), ("PATCH", f"/v1/members/{member}", {"role": "reader"}),
        ("POST", f"/v1/members/{member}/link", {}), ("DELETE", f"/v1/members/{member}", None),
        ("PUT", "/ui/session/password", {"new": "correct horse battery"}), ("DELETE", "/ui/session", None),
    ]


# What a browser says of a request that another website's page had it send.
FOREIGN = {
    "cross-site": {"Sec_Fetch_Site": "cross-site", "Origin": EVIL}, "same-site": {"Sec_Fetch_Site": "same-site", "Origin": "http://127.0.0.1:9"},
    "cross-site, no origin": {"Sec_Fetch_Site": "cross-site"}, "another origin": {"Origin": EVIL},
    "an opaque origin": {"Origin": "null"}, "another port": {"Origin": "http://127.0.0.1:9"},
    "a name that begins alike": {"Origin": "{url}.evil.example"}, "a user before it": {"Origin": "http://{host}@evil.example"},
    "an empty origin": {"Origin": ""},
    "two sites": {"Sec_Fetch_Site": "same-origin, cross-site", "Origin": EVIL}, "an unknown site": {"Sec_Fetch_Site": "SAME-ORIGIN", "Origin": EVIL},
    "from the address bar": {"Sec_Fetch_Site": "none", "Origin": None}, "in the user's own tab": {"Sec_Fetch_Site": "none", "Origin": EVIL},
}
FORMS = ["application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]


@pytest.mark.parametrize("name", list(FOREIGN))
def test_another_websites_page_changes_nothing_with_somebodys_session(target, person, name):
    """Threat: cross-site request forgery, on every address that changes something, in every content type a form can send. Only the page itself may
    ask with a session."""
    gateway = target.gateway
    members = {member["name"]: member["id"] for member in person.own("GET", "/v1/members").json()["members"]}
    headers = {key: value and value.format(url=gateway.url, host=gateway.url.removeprefix("http://")) for key, value in FOREIGN[name].items()}
    before, projects = target.conversation("t-1"), person.own("GET", "/v1/projects").json()
    for method, path, body in acts(target, members["Ann"]):
        for form in FORMS if name in ("cross-site", "another origin", "an opaque origin") else FORMS[:2]:
            answer = person.ask(method, path, None if body is None else json.dumps(body), Content_Type=form, **headers)
            assert answer.status_code in (401, 403), f"{method} {path} as {form!r}: {answer.status_code} {answer.text[:200]}"
            assert not answer.headers.get("Set-Cookie") and "Access-Control-Allow-Origin" not in answer.headers
    assert person.own("GET", "/ui/session").status_code == 200, "the session is gone"
    assert person.own("GET", "/v1/projects").json() == projects
    after = target.conversation("t-1")
    for conversation in (before, after):
        for volatile in ("errors", "findings"):
            conversation["thread"].pop(volatile)
    assert after == before
    assert len(target.read("/v1/quarantine")["items"]) == 1


@pytest.mark.parametrize("name", [name for name in FOREIGN if "address bar" not in name])
def test_another_websites_page_reads_nothing_with_somebodys_session(target, person, name):
    """Threat: a page of another website loads what a signed-in person may read, as script, image or fetch. It is refused before anything is read."""
    gateway = target.gateway
    headers = {key: value and value.format(url=gateway.url, host=gateway.url.removeprefix("http://")) for key, value in FOREIGN[name].items()}
    if name == "in the user's own tab":
        headers.pop("Sec_Fetch_Site")
    at = f"project={target.name}"
    for path in (f"/v1/threads?{at}", f"/v1/threads/t-1?{at}", f"/v1/export?{at}", f"/v1/export?format=csv&{at}", f"/v1/live?{at}", f"/v1/users?{at}",
        f"/v1/quarantine?{at}", f"/v1/keys?{at}", "/v1/members", "/v1/projects", f"/v1/audit?{at}", "/ui/session"):
        for method in ("GET", "HEAD"):
            answer = person.ask(method, path, **headers)
            assert answer.status_code == 403, f"{method} {path}: {answer.status_code}"


def test_a_form_of_another_website_signs_nobody_in_and_nobody_out(gateway, person):
    """Threat: login forgery: somebody is signed in to the attacker's account, or out of their own. The sign-in asks where it came from as well, and
    takes no link by GET."""
    link = gateway.answer("review", "link", "--name", "Eve", "--role", "reader")["url"]
    token = link.split("#signin=")[1]
    for headers in ({"Origin": EVIL}, {"Origin": "null"}, {"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "none"}):
        for body in (json.dumps({"token": token}), f"token={token}", json.dumps({"token": token}) + "="):
            answer = person.ask("POST", "/ui/session", body, cookie=False, Content_Type="text/plain", **headers)
            assert answer.status_code in (400, 403) and "Set-Cookie" not in answer.headers
    for path in (f"/ui/?signin={token}", f"/ui/session?token={token}", f"/ui/?token={token}#signin={token}", f"/?signin={token}"):
        assert "Set-Cookie" not in person.ask("GET", path, cookie=False).headers
    assert Browser(gateway, link).answer.status_code == 204, "the link was used up by a forged request"


def test_a_session_is_no_key_and_a_key_is_no_session(gateway, person, project):
    """Threat: a cookie opens the doors that write, or a key opens what only people may do. Each is good for its own."""
    for path in ("/v1/events", "/v1/beacon", "/v1/runs/ingest", "/api/v1/capture-event", "/v1/traces", "/api/v1/private/traces/batch"):
        answer = person.ask("POST", path, json.dumps([message()]), Sec_Fetch_Site="same-origin", Origin=gateway.url)
        assert answer.status_code == 401, f"{path}: {answer.status_code}"
    for method, path, body in (("POST", "/v1/members", {"name": "Eve"}), ("GET", "/v1/members", None), ("POST", "/v1/projects", {"name": "x"}),
        ("POST", "/v1/keys", {"lane": "secret"}), ("GET", "/v1/keys", None), ("DELETE", "/v1/keys/x", None), ("GET", "/v1/audit", None),
                               ("PUT", "/ui/session/password", {"new": "correct horse battery"}),
                               ("PATCH", f"/v1/projects/{project.name}", {"origins": []}),
                               ("DELETE", f"/v1/projects/{project.name}", {"name": project.name}), ("GET", "/ui/session", None)):
        answer = requests.request(method, gateway.url + path, json=body, headers={"Authorization": f"Bearer {project.secret}"}, timeout=20)
        assert answer.status_code in (401, 403), f"{method} {path}: {answer.status_code}"


# -------------------------------------------------------------------------------------------------- sessions and links


def cookie_of(answer):
    jar = http.cookies.SimpleCookie(answer.headers["Set-Cookie"])
    return jar["parley_session"]


def test_the_sessions_cookie_is_out_of_reach_of_scripts_and_other_sites(gateway, person):
    """Threat: a script reads the session, or another site's request carries it. It is HttpOnly and SameSite=Strict, has no domain, and enough
    chance in it."""
    cookie = cookie_of(person.answer)
    assert cookie["httponly"] and cookie["samesite"].lower() == "strict" and not cookie["domain"] and cookie["path"] == "/"
    assert 0 < int(cookie["max-age"]) <= 14 * 86400 and re.fullmatch(r"[A-Za-z0-9_-]{43}", cookie.value)
    assert person.answer.headers["Cache-Control"] == "no-store" and not person.answer.text


@pytest.fixture(scope="module")
def public():
    """A gateway behind a proxy that speaks https to the world."""
    gateway = Gateway().start("--public-url", "https://parley.example")
    yield gateway
    gateway.stop()


@pytest.mark.parametrize("headers", [
    [("Origin", "https://parley.example"), ("Sec-Fetch-Site", "same-origin")], [("Origin", "https://parley.example")],
    [("Sec-Fetch-Site", "same-origin")], [("Sec-Fetch-Site", "same-origin"), ("Origin", "null")], [],
    [("X-Forwarded-Proto", "http"), ("Origin", "https://parley.example")]], ids=str)
def test_behind_https_the_sessions_cookie_is_sent_over_https_only(public, headers):
    """Threat: a session goes over plain http, where anybody on the way reads it. Where the public address is https, the cookie is Secure, whatever
    a request's headers say or leave out."""
    token = public.answer("review", "link", "--name", f"P {new_id()[:8]}", "--role", "reader", "--url",
        "https://parley.example")["url"].split("#signin=")[1]
    body = json.dumps({"token": token}).encode()
    answer = ask(public, request("POST", "/ui/session", headers, body, host="parley.example"))
    assert answer.status == 204 and re.search(r";\s*secure", answer.one("Set-Cookie"), re.IGNORECASE), answer.headers


def test_a_sign_in_link_works_once_even_for_two_at_the_same_moment(gateway):
    """Threat: a link is used by two, because both ask at once. One gets a session."""
    for _ in range(5):
        link = gateway.answer("review", "link", "--name", "Pat", "--role", "reader")["url"]
        statuses, gate = [], threading.Barrier(8)

        def use():
            gate.wait()
            statuses.append(Browser(gateway, link).answer.status_code)
        threads = [threading.Thread(target=use) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert sorted(statuses) == [204] + [401] * 7


@pytest.mark.parametrize("token", ["", " ", "x", "0" * 43, "A" * 43, "a" * 4000, "null", "' OR 1=1 --", "%00", "\u0000", "../../", "*", "_", "%",
    "\ud83d", 0, 1, True, None, [], {}, ["x"], {"$ne": ""}], ids=ascii)
def test_no_made_up_token_signs_anybody_in(gateway, token):
    """Threat: an odd token matches something: an empty one, a pattern, another kind. A token is looked up by its digest, or is none."""
    answer = Browser(gateway, token=token).answer
    assert answer.status_code in (400, 401) and "Set-Cookie" not in answer.headers, answer.text
    assert requests.get(gateway.url + "/ui/session", headers={"Cookie": f"parley_session={quote(str(token), errors='replace')}"},
        timeout=20).status_code == 401


def test_a_session_that_a_client_made_up_is_never_taken_over(gateway):
    """Threat: session fixation. Whoever signs in gets a session that nobody knew before, and the one that was brought along stays worth nothing."""
    planted = "A" * 43
    for place in ({"Cookie": f"parley_session={planted}"}, {"Cookie": f"parley_session={planted}; parley_session={planted}"},
        {"Cookie": f"__Host-parley_session={planted}"}, {"X-Session": planted}):
        link = gateway.answer("review", "link", "--name", "Fix", "--role", "reader")["url"]
        answer = requests.post(gateway.url + f"/ui/session?parley_session={planted}", json={"token": link.split("#signin=")[1], "session": planted},
            timeout=20, headers={**place, "Sec-Fetch-Site": "same-origin", "Origin": gateway.url})
        assert answer.status_code == 204 and cookie_of(answer).value != planted
        assert requests.get(gateway.url + "/ui/session", headers={"Cookie": f"parley_session={planted}"}, timeout=20).status_code == 401


def test_who_signs_out_or_is_taken_away_or_changes_the_password_has_no_other_session_left(gateway, person):
    """Threat: a stolen session outlives the sign-out. It is ended in the store, not only in the browser."""
    def session(name):
        return Browser(gateway, gateway.answer("review", "link", "--name", name, "--role", "reader")["url"])
    def status(browser):
        return browser.own("GET", "/ui/session").status_code
    first, stolen = session("Sue"), session("Sue")
    assert first.own("DELETE", "/ui/session").status_code == 204 and status(first) == 401 and status(stolen) == 200
    again = session("Sue")
    assert again.own("PUT", "/ui/session/password", {"new": "correct horse battery"}).status_code == 204
    assert status(again) == 200 and status(stolen) == 401, "a session outlived the new password"
    members = {member["name"]: member["id"] for member in person.own("GET", "/v1/members").json()["members"]}
    assert person.own("DELETE", f"/v1/members/{members['Sue']}").status_code == 204 and status(again) == 401
    link = gateway.answer("review", "link", "--name", "Tom", "--role", "reader")["url"]
    tom = next(member["id"] for member in person.own("GET", "/v1/members").json()["members"] if member["name"] == "Tom")
    assert person.own("DELETE", f"/v1/members/{tom}").status_code == 204
    assert Browser(gateway, link).answer.status_code == 401, "the link of somebody who was taken away still works"


def test_guesses_are_slowed_however_the_name_is_spelled(gateway):
    """Threat: the limit on guesses is by name, and a name has many spellings. All that lead to one person share one limit."""
    browser = Browser(gateway, gateway.answer("review", "link", "--name", "Ren\u00e9e", "--role", "reader")["url"])
    assert browser.own("PUT", "/ui/session/password", {"new": "correct horse battery"}).status_code == 204
    spellings = ["Ren\u00e9e", "ren\u00e9e", "REN\u00c9E", "Rene\u0301e", "rene\u0301e", "RENE\u0301E", "rEn\u00e9E", "ReN\u00c9e"]
    assert Browser(gateway, name=spellings[3], password="correct horse battery").answer.status_code == 204, "the spellings are not one person's"
    statuses = []
    for number in range(60):
        statuses.append(Browser(gateway, name=spellings[number % len(spellings)], password=f"wrong horse {number}").answer.status_code)
        if statuses[-1] == 429:
            break
    assert statuses[-1] == 429 and len(statuses) < 30 and set(statuses[:-1]) == {401}, statuses
    # Who guesses is told nothing by the right one either, as long as it is too soon.
    assert Browser(gateway, name=spellings[0], password="correct horse battery").answer.status_code == 429


def test_a_name_that_is_not_there_is_not_told_from_one_that_is(gateway, person):
    """Threat: answers tell which people there are. The same status, the same words and headers, whether the name, its password or both are wrong."""
    gateway.answer("review", "link", "--name", "Known", "--role", "reader")
    answers = [Browser(gateway, name=name, password="wrong horse battery").answer for name in ("Known", "Nobody", "Ann", "")]
    seen = {(answer.status_code, answer.text, tuple(sorted(name for name in answer.headers))) for answer in answers}
    assert len(seen) == 1, seen


def test_many_guesses_at_once_do_not_stop_the_gateway(gateway):
    """Threat: a password check is made to be slow, so a hundred of them stop everything. They wait for each other, and nobody else waits for them."""
    with Neighbour(gateway) as neighbour:
        threads = [threading.Thread(target=Browser, args=(gateway,), kwargs={"name": f"nobody {number}",
            "password": "x" * 500}) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert not neighbour.failed and neighbour.longest < 2, f"others waited {neighbour.longest:.1f} s"


def test_a_link_says_where_it_leads_by_the_pages_own_word_only(gateway, person):
    """Threat: a link for a colleague is made to lead to another host, by a forged Host or forwarding header. Whoever can forge those is not the
    page."""
    members = {member["name"]: member["id"] for member in person.own("GET", "/v1/members").json()["members"]}
    path = f"/v1/members/{members['Ann']}/link"
    for headers in ({"Origin": EVIL}, {"Sec_Fetch_Site": "cross-site"}, {"Host": "evil.example", "Origin": gateway.url}):
        assert person.ask("POST", path, "{}", **headers).status_code == 403
    answer = person.ask("POST", path, "{}", Sec_Fetch_Site="same-origin", Origin=gateway.url, X_Forwarded_Host="evil.example",
        Forwarded="host=evil.example", X_Forwarded_Proto="evil")
    assert answer.json()["link"].startswith(gateway.url + "/ui/#signin=")


# ------------------------------------------------------------------------------------------------- headers of every page

PAGES = ["/ui/", "/ui//", "/docs/reasons"]
ADDRESSES = [
    *PAGES, "/", "/ui", "/ui/app.js", "/ui/app.css", "/ui/nowhere", "/ui/<script>alert(1)</script>", "/nowhere", "/%3Cscript%3E", "/parley.js",
    "/parley.mjs", "/parley-loader.js", "/healthz", "/readyz", "/metrics", "/v1/threads", "/v1/threads/%3Cscript%3E", "/v1/events", "/v1/beacon",
    "/v1/socket",
    "/v1/export", "/v1/live", "/v1/runs/x/feedback", "/api/v1/private/traces", "/api/v1/is-alive/ping", "/v1/session/redirect/projects",
    "/ui/session", "/v1/members", "/v1/keys",
]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"])
def test_every_answer_forbids_sniffing_and_framing(gateway, method):
    """Threat: an answer is taken for what it is not, or shown in a frame under somebody's cursor. Every answer says nosniff, and every one that
    could be shown says who may frame it: nobody."""
    for path in ADDRESSES:
        answer = ask(gateway, request(method, path, [("Accept", "text/html")], b"{}" if method in ("POST", "PUT", "PATCH") else b""),
            has_body=method != "HEAD")
        where = f"{method} {path}: {answer.status} {answer.headers}"
        assert answer.one("X-Content-Type-Options") == "nosniff", where
        type = answer.one("Content-Type") or ""
        policy = answer.one("Content-Security-Policy") or ""
        is_script = type.startswith(("text/javascript", "text/css"))
        if not is_script:
            assert "frame-ancestors 'none'" in policy and "default-src 'none'" in policy, where
        assert "unsafe" not in policy and "*" not in policy and "http" not in policy and "strict-dynamic" not in policy, where
        if type.startswith("text/html"):
            assert path.split("?")[0] in PAGES and answer.status == 200, f"only the pages themselves are HTML: {where}"
        if answer.status >= 400 and answer.body and method != "HEAD":
            assert type.startswith("application/json"), where
        assert (answer.one("Referrer-Policy") == "no-referrer") or is_script, where
        assert not answer.all("Server") and not answer.all("X-Powered-By"), where


@pytest.mark.parametrize("path", PAGES)
def test_every_page_runs_only_our_own_files_and_stands_in_no_frame(gateway, path):
    """Threat: clickjacking, and markup that gets in after all. The policy allows no inline script, no other host, no form, no base and no frame,
    and the older header says the same of frames."""
    answer = ask(gateway, request("GET", path))
    policy = dict((part.strip().split(" ", 1) + [""])[:2] for part in answer.one("Content-Security-Policy").split(";"))
    for name in ("default-src", "frame-ancestors", "base-uri", "form-action"):
        assert policy[name] == "'none'", policy
    assert policy.get("script-src", "'none'") in ("'self'", "'none'") and policy.get("style-src", "'none'") in ("'self'",
        "'none'") and policy.get("connect-src", "'none'") in ("'self'", "'none'")
    text = answer.body.decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son[a-z]+\s*=|javascript:|<base|<iframe|(src|href|action)\s*=\s*.?https?:", text, re.IGNORECASE)
    if path.startswith("/ui"):
        assert policy["require-trusted-types-for"] == "'script'"
        assert answer.one("X-Frame-Options") == "DENY" and answer.one("Cross-Origin-Opener-Policy") == "same-origin"


@pytest.mark.parametrize("path", ["/ui/", "/ui/app.js", "/ui/app.css", "/parley.js"])
def test_a_confirmed_page_keeps_its_policy(gateway, path):
    """Threat: a 304 without the policy replaces the headers that were kept with the page. It repeats them."""
    first = ask(gateway, request("GET", path))
    tag = first.one("ETag")
    assert tag
    again = ask(gateway, request("GET", path, [("If-None-Match", tag)]))
    assert again.status == 304 and again.one("X-Content-Type-Options") == "nosniff"
    assert again.one("Content-Security-Policy") == first.one("Content-Security-Policy") and again.one("Cache-Control") == first.one("Cache-Control")


# -------------------------------------------------------------------------------------------------- stored words of strangers

PAYLOADS = {
    "script": "<script>alert(1)</script>", "image": "<img src=x onerror=alert(1)>", "svg": "<svg/onload=alert(1)>",
    "breakout": "\"'></script></title></textarea><script>alert(1)</script>", "template": "{{constructor.constructor('alert(1)')()}}${alert(1)}<%=1%>",
    "uri": "javascript:alert(1)//", "data": "data:text/html,<script>alert(1)</script>", "utf-7": "+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
    "comment": "<!--<script>--><script>alert(1)</script>", "line": "x\u2028y\u2029z\u0085", "bidi": "\u202egnp.exe",
    "html": "<!doctype html><html><body onload=alert(1)>",
}


def everywhere(text, tag):
    """Every type of event with that text in every field that takes text; IDs and threads as well, where they take it."""
    id, named, word = new_id(), text[:120], text[:60]
    user = {"id": named, "props": {text: text, "nested": {text: [text]}}}
    common = {"user": user, "metadata": {text: text, "list": [text], "deep": {"x": {text: text}}}, text: text}
    thread = f"{tag} {named}"[:128]
    return thread, id, [
        {"type": "message", "id": id, "thread": thread, "role": "assistant", "content": text, "tags": [word], "replyTo": named, "retryOf": named,
        **common},
        {"type": "message", "id": new_id(), "thread": thread, "role": "user", "content": [{"type": "text", "text": text}, {"type": text, text: text}],
        **common},
        {"type": "event", "id": new_id(), "thread": thread, "name": named, **common},
        {"type": "feedback", "id": new_id(), "thread": thread, "target": id, "thumb": "down", "comment": text, **common},
        {"type": "identify", "id": new_id(), **common}, {"type": "thread", "id": new_id(), "thread": thread, "tags": [word], **common},
        {"type": "client_report", "id": new_id(), "reasons": {text: 1}, **common},
        {"type": "trace", "id": new_id(), "target": named, "trace": named, **common}, {"type": word, "id": new_id(), "thread": thread, **common},
    ], [
        {"type": "run", "id": f"{tag}-{new_id()} {named}"[:128], "kind": "llm", "parent": id, "thread": thread, "name": named, "input": {text: text},
        "output": text, "model": named, "provider": named, "error": {"message": text}, "success": False, "usage": {text: 1}, "tags": [word],
         "question": text, "answer": text, "extra": {text: text}, **common},
        {"type": "score", "id": new_id(), "target": id, "name": named, "category": named, "reason": text, "author": named, "judge": "person",
        **common}, {"type": "comment", "id": f"c-{new_id()} {named}"[:128], "target": id, "text": text, "author": named, **common},
        {"type": "feedback", "id": new_id(), "target": id, "thumb": "up", "comment": text, "author": named, **common},
    ]


@pytest.mark.parametrize("name", list(PAYLOADS))
def test_what_strangers_write_comes_back_as_data_from_every_answer(made, person, name):
    """Threat: stored cross-site scripting through any field of any event. Whatever asks for it, and as whatever type, the answer is JSON (or lines,
    or a table), never a page, and may not be sniffed."""
    text = PAYLOADS[name]
    project = made(scoring="open")
    thread, id, pages, backends = everywhere(text, name)
    assert set(project.send(*pages, key=project.public)) == {"stored"} and set(project.send(*backends)) == {"stored"}
    project.send({**pages[0], "content": text + "!"}, {"type": text, "id": "0", "lane": text}, key=project.public)
    person.own("POST", f"/v1/views?project={project.name}", {"name": text[:80], "query": "q=" + quote(text)})
    run, comment = (quote(backends[index]["id"], safe="") for index in (0, 2))
    at, path = f"project={quote(project.name)}", quote(thread, safe="")
    addresses = [
        "/v1/threads?" + at, f"/v1/threads/{path}?{at}", f"/v1/threads/{path}?render=markdown&whole=true&{at}", f"/v1/messages/{id}?{at}",
        f"/v1/messages/{id}?render=markdown&{at}", f"/v1/runs/{run}?{at}", "/v1/users?" + at, f"/v1/users/{quote(text[:120], safe='')}?{at}",
        "/v1/tags?" + at, "/v1/score-names?" + at, "/v1/views?" + at, "/v1/quarantine?" + at, "/v1/quarantine/groups?" + at, "/v1/outcomes?" + at,
        "/v1/overview?" + at, "/v1/export?" + at, "/v1/export?format=csv&" + at, "/v1/export?format=chat&" + at, "/v1/audit?" + at, "/v1/projects",
        "/v1/members",
        f"/v1/threads?q={quote(text)}&{at}", f"/v1/threads?user={quote(text)}&{at}", f"/v1/threads?cursor={quote(text)}&{at}",
        f"/v1/threads?project={quote(text)}", f"/v1/threads?score={quote(text)}&{at}", f"/v1/threads/{quote(text, safe='')}?{at}",
        f"/v1/comments/{comment}?{at}", f"/v1/runs?type=thread&{at}",
        f"/v1/runs?type=chat&parentRunId={path}&{at}", f"/v1/runs/{run}/related?{at}", f"/v1/runs/{id}/feedback", f"/api/v1/private/traces/{run}",
        "/api/v1/private/traces", "/api/v1/private/spans", "/api/v1/private/traces/threads", "/api/v1/private/traces/feedback-scores/names",
        "/metrics", "/ui/" + quote(text, safe=""),
    ]
    told = 0
    for address in addresses:
        for accept in ("text/html", "*/*"):
            for headers in ({"Cookie": f"parley_session={person.cookie}", "Sec-Fetch-Site": "same-origin"},
                {"Authorization": f"Bearer {project.secret}"}):
                answer = requests.get(project.gateway.url + address, headers={**headers, "Accept": accept}, timeout=20)
                type = answer.headers.get("Content-Type", "")
                assert type.split(";")[0] in ("application/json", "application/x-ndjson", "text/csv", "text/plain"), f"{address}: {type}"
                assert type.split(";")[0] != "text/plain" or address == "/metrics" and text not in answer.text, f"{address}: {type}"
                assert answer.headers["X-Content-Type-Options"] == "nosniff" and answer.status_code != 500, f"{address}: {answer.status_code}"
                if type.startswith("text/csv") or address.startswith("/v1/export"):
                    assert answer.headers["Content-Disposition"].startswith("attachment;")
                if "json" in type and answer.text:
                    for line in answer.text.strip("\n").split("\n") if "ndjson" in type else [answer.text]:
                        json.loads(line)
                told += answer.status_code == 200 and json.dumps(text, ensure_ascii=False)[1:-1] in answer.text
    assert told > 10, "the words were hardly there, so nothing was shown"
    assert text not in open(project.gateway.log.name, errors="replace").read(), "a stranger's words are in the log"


def test_markdown_comes_as_nodes_without_a_script_in_them(project):
    """Threat: an answer's markdown has HTML, images and links that run. What comes is a tree of plain nodes, links of few schemes, and no markup of
    the sender's."""
    text = "\n\n".join(["<script>alert(1)</script>", "a <b onclick=alert(1)>b</b> <img src=x onerror=alert(1)>",
        "[x](javascript:alert(1)) [y](data:text/html,x) [z](vbscript:x)",
        "[w](JaVaScRiPt:alert(1)) [v](java&#115;cript:alert(1)) [u](\x01javascript:alert(1))",
                        "![p](http://127.0.0.1:9/p.gif)", "<javascript:alert(1)>", "[r][1]\n\n[1]: javascript:alert(1)",
                        "```html\n<script>alert(1)</script>\n```", "<!-- <script> -->", "| <script> |\n|---|\n| [a](javascript:b) |"])
    event = message(role="assistant", text=text)
    assert project.send(event, key=project.public) == ["stored"]
    nodes = project.read(f"/v1/messages/{event['id']}", render="markdown")["message"]["nodes"]

    def every(value):
        if isinstance(value, list):
            for part in value:
                yield from every(part)
        elif isinstance(value, dict):
            yield value
            for part in value.values():
                yield from every(part)
    found = list(every(nodes))
    assert found
    for node in found:
        for key, value in node.items():
            if isinstance(value, str) and key.lower() in ("href", "url", "src", "link", "target", "destination"):
                assert re.match(r"(https?:|mailto:|#|$)", value, re.IGNORECASE), node
    kinds = {value for node in found for key, value in node.items() if key in ("type", "kind", "t", "tag") and isinstance(value, str)}
    assert not kinds & {"html", "html_block", "html_inline", "raw", "script", "iframe", "htmlBlock", "htmlInline"}, kinds


@pytest.mark.parametrize("name, text", [
    ("emphasis", "*a_ " * 15_000), ("stars", "**" * 30_000), ("brackets", "[" * 40_000 + "](" * 10_000), ("images", "![" * 30_000),
    ("ticks", "".join("`" * (number % 300 + 1) + " " for number in range(400))), ("quotes", ">" * 60_000),
    ("lists", "\n".join(" " * 2 * level + "- x" for level in range(240))),
    ("entities", "&amp;" * 12_000), ("angles", "<" * 60_000), ("comments", "<!--" * 15_000),
    ("references", "\n".join(f"[{number}]: x" for number in range(5000)) + "[1]" * 5000),
    ("table", "|" + "h|" * 500 + "\n|" + "-|" * 500 + "\n" + ("|" + "c|" * 500 + "\n") * 50), ("backslashes", "\\" * 60_000),
    ("tildes", "~" * 60_000),
    ("links", "<a:" * 20_000), ("mails", "a@" * 30_000), ("urls", "https://" * 8_000), ("underscores", "_a" * 30_000), ("headings", "# x\n" * 15_000),
    ("rules", "---\n" * 15_000), ("footnotes", "[^a]" * 15_000)])
def test_no_markdown_takes_long_to_read(shared, name, text):
    """Threat: markdown whose parsing takes time by its square. What a page may send is rendered at once or given as text, and no neighbour waits."""
    event = message(thread=f"t-{name}", role="assistant", text=text[:60_000])
    assert shared.send(event, key=shared.public) == ["stored"]
    with Neighbour(shared.gateway) as neighbour:
        begun = time.monotonic()
        assert shared.get(f"/v1/messages/{event['id']}", render="markdown", whole="true").status_code == 200
        taken = time.monotonic() - begun
    assert taken < 3 and not neighbour.failed and neighbour.longest < 3, f"it took {taken:.1f} s, others waited {neighbour.longest:.1f} s"


# ---------------------------------------------------------------------------------------------------------- spreadsheets

FORMULAS = ["=1+1", "=cmd|'/C calc'!A0", "+1+1", "-1+1", "@SUM(1)", "\t=1+1", "\r=1+1", "=HYPERLINK(\"http://127.0.0.1:9/\")", "=\u0301x", "=1\n=2",
    "=1,=2", '="x"', "==", "--", "-", "\t", "+\u200b1", "@@"]


def test_a_spreadsheet_takes_no_cell_for_a_formula(made):
    """Threat: CSV injection. A cell that begins like a formula is run when the export is opened, so an apostrophe stands before it: in every
    column, whoever wrote it."""
    project = made(scoring="open")
    for number, text in enumerate(FORMULAS):
        named = text.replace("\r", "").replace("\n", "")[:60]
        answered = message(thread=f"{named} {number}"[:100], role="assistant", text=text, user={"id": named}, tags=[named])
        assert set(project.send(answered, {"type": "event", "id": new_id(), "thread": answered["thread"], "name": named},
            {"type": "thread", "id": new_id(), "thread": answered["thread"], "tags": [named, "x"], "user": {"id": named}},
            key=project.public)) == {"stored"}
        assert set(project.send({"type": "score", "id": new_id(), "target": answered["id"], "name": named, "category": named, "author": named},
            {"type": "score", "id": new_id(), "target": answered["thread"], "name": named, "value": -1, "author": named},
                                {"type": "comment", "id": new_id(), "target": answered["id"], "text": text, "author": named},
                                message(thread=answered["thread"], id=f"{named}{new_id()}", text=[{"type": "text", "text": text}]))) == {"stored"}
    answer = project.get("/v1/export", format="csv")
    assert answer.headers["Content-Type"].startswith("text/csv") and answer.headers["Content-Disposition"].startswith("attachment;")
    rows = list(csv.reader(io.StringIO(answer.content.decode(), newline="")))
    assert len(rows) == 1 + 3 * len(FORMULAS) and {len(row) for row in rows} == {len(rows[0])}
    guarded = 0
    for row in rows:
        for cell in row:
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r")), cell
            guarded += cell.startswith("'")
    assert guarded > 5 * len(FORMULAS)
    words = [row[rows[0].index("content")] for row in rows if row[rows[0].index("role")] == "assistant"]
    assert sorted(words) == sorted("'" + text for text in FORMULAS), "a text came out as another one"


def test_no_cell_breaks_out_of_its_row(project):
    """Threat: quotes, commas and line ends make columns and rows of their own. Each cell is quoted as RFC 4180 has it, and reads back as it was
    written."""
    texts = ['a"b', 'a""b', '"', '""', '",', ',"', "a,b", "a\nb", "a\r\nb", 'a"\r\n"=1,x', "a;b", "\ufeff", "a\u2028b",
        "\u0000x".replace("\u0000", "\u0001"), ",,,,", "\n", " x ", "'quoted'", '"\n=1+1']
    for number, text in enumerate(texts):
        assert project.send(message(thread=f"t-{number:02}", text=text), key=project.public) == ["stored"]
    rows = list(csv.reader(io.StringIO(project.get("/v1/export", format="csv").content.decode(), newline="")))
    assert len(rows) == 1 + len(texts)
    assert {row[0]: row[rows[0].index("content")] for row in rows[1:]} == {f"t-{number:02}": text for number, text in enumerate(texts)}


def test_a_change_that_lives_tells_ids_and_no_words(project):
    """Threat: the live stream carries what strangers wrote, in a format of lines that a line end breaks. It names IDs only, each on a line of
    JSON."""
    hostile = "x\n\nevent: reset\ndata: {}\n\nid: 1\r\n\r\n"
    seen = []

    def listen():
        with requests.get(project.gateway.url + "/v1/live", headers={"Authorization": f"Bearer {project.secret}"}, stream=True, timeout=10) as answer:
            assert answer.headers["Content-Type"].startswith("text/event-stream") and answer.headers["X-Content-Type-Options"] == "nosniff"
            for line in answer.iter_lines(chunk_size=1):
                seen.append(line.decode())
                if "hostile-end" in seen[-1]:
                    return
    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    until("the stream to be ready", lambda: any("ready" in line for line in seen))
    assert set(project.send(message(thread=hostile[:100], text=hostile), {"type": "event", "id": new_id(), "thread": hostile[:100],
        "name": hostile[:100]}, {"type": hostile[:60], "id": new_id(), "thread": hostile[:100]}, key=project.public)) == {"stored"}
    assert project.send(message(thread="hostile-end")) == ["stored"]
    thread.join(10)
    assert not thread.is_alive() and not [line for line in seen if "reset" in line and not line.startswith("data: ")]
    for line in seen:
        name, _, value = line.partition(": ")
        assert line == "" or name in ("id", "event", "data", "retry"), line
        if name == "data":
            assert all(set(change) == {"thread", "type", "id"} for change in json.loads(value).get("changes", []))


# ------------------------------------------------------------------------------------------------- numbers at the edge

EDGES = [
    "-9223372036854775808", "9223372036854775807", "9223372036854775808", "-9223372036854775809", "-1", "0", "-0", "1e400", "-1e400", "nan", "inf",
    "0x10", "1e18",
    "99999999999", "+5", "1_0", "%D9%A1", "9" * 400, "",
]


@pytest.mark.parametrize("path", [
    "/v1/live?after={n}", "/v1/threads?limit={n}", "/v1/threads/t-1?limit={n}", "/v1/quarantine?limit={n}", "/v1/users?limit={n}",
    "/v1/overview?offset={n}",
    "/v1/threads?score=quality>={n}", "/v1/threads?from={n}", "/v1/threads?cursor={n}", "/v1/export?from={n}&to={n}", "/v1/outcomes?from={n}",
    "/v1/runs?type=thread&page={n}&limit={n}", "/api/v1/private/traces?page={n}&size={n}", "/api/v1/private/spans?page=2&size={n}",
    "/api/v1/private/traces/threads?page={n}&size=100", "/api/v1/private/projects?page={n}&size={n}",
    "/api/v1/private/annotation-queues?page={n}&size={n}"])
def test_no_number_in_an_address_ends_the_process(mortal, path):
    """Threat: whoever may read, the least of readers, asks with a number at the edge of what a number can be, and arithmetic traps. It is refused
    or bounded."""
    project = mortal()
    project.send(message())
    for number in EDGES:
        answer = ask_carefully(project, path.replace("{n}", number).replace(">", "%3E"))
        assert project.gateway.process.poll() is None and answer is not None, f"{path} with {number} ended the process"
        assert answer.status in (200, 400, 404), f"{number}: {answer}"


def ask_carefully(project, path, headers=()):
    """The head of an answer, or None where the line or the process ended; streams are not waited for."""
    with Line(project.gateway) as line:
        line.send(request("GET", path, [("Authorization", f"Bearer {project.secret}"), *headers]))
        answer = line.answer(has_body=False)
    if answer is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            project.gateway.process.wait(3)
    return answer


def test_no_place_in_a_stream_ends_the_process(mortal):
    """Threat: the same in the header by which a browser goes on with a stream."""
    for number in EDGES:
        project = mortal()
        answer = ask_carefully(project, "/v1/live", [("Last-Event-ID", number)])
        assert project.gateway.process.poll() is None and answer is not None, f"Last-Event-ID: {number} ended the process"
        assert answer.status in (200, 400), f"{number}: {answer}"


@pytest.mark.parametrize("rate", [1e-300, 5e-324, 1e-12, 1e-9, 1e9])
def test_no_quota_that_is_taken_ends_the_process_when_it_is_used_up(mortal, rate):
    """Threat: a quota so small that the wait for it is no number of milliseconds any more: each event of a page ends the process, also
    after a restart. Such a quota is refused, or its wait is bounded."""
    project = mortal()
    gateway = project.gateway
    person = Browser(gateway, gateway.answer("review", "link")["url"])
    answer = person.own("POST", "/v1/projects", {"name": f"small {new_id()}", "origins": ["http://127.0.0.1:*"],
        "keyQuota": {"perSecond": rate, "burst": 1}, "addressQuota": None})
    assert answer.status_code in (201, 400), answer.text
    if answer.status_code == 400:
        return
    small = Project(gateway, answer.json())
    for _ in range(3):
        try:
            status = small.post([message(), message()], key=small.public).status_code
        except requests.ConnectionError:
            with contextlib.suppress(subprocess.TimeoutExpired):
                gateway.process.wait(5)
            raise AssertionError(f"an event of a page ended the process, where the quota is {rate} a second") from None
        assert status in (200, 429)
    assert gateway.process.poll() is None
