"""An origin stops other websites, as far as browsers say it truly. Every imitation of one that is on the list has to be told from it."""

import json
import time

import pytest

from parley_process import Gateway, Project, message
from wire import CLOSE, UPGRADE, Line, ask, request

ALLOWED = ["https://shop.example", "https://*.wild.example", "http://plain.example:8080", "https://any.example:*", "https://[2001:db8::1]",
    "capacitor://localhost"]


@pytest.fixture(scope="module")
def shop():
    """A project that lists what a shop would, alone in its gateway: a preflight carries no key, so any project's list would do for it."""
    gateway = Gateway().start()
    words = [word for origin in ALLOWED for word in ("--origin", origin)]
    project = Project(gateway, gateway.answer("project", "create", "shop", *words, "--no-quotas"))
    project.wait_until_known()
    yield project
    project.assert_law()
    gateway.stop()


def event():
    return json.dumps({"events": [message(thread="t-origin")]}).encode()


def post(project, *origins, path="/v1/events", key=True):
    """A write that carries these Origin headers to the letter."""
    address = f"{path}?key={project.public}" if key else path
    return ask(project.gateway, request("POST", address, [("Content-Type", "text/plain"), *(("Origin", origin) for origin in origins)], event()))


def refusal(answer):
    return answer.status, json.loads(answer.body)["error"]["code"] if answer.status != 200 else None


# What a browser would send from a page that is on the list.
TRUE = [
    "https://shop.example", "https://shop.example:443", "https://a.wild.example", "https://a.b.wild.example", "http://plain.example:8080",
    "https://any.example",
    "https://any.example:1", "https://any.example:65535", "https://[2001:db8::1]", "https://[2001:db8::1]:443", "capacitor://localhost",
]

FALSE = [
    # Something behind it, something before it.
    "https://shop.example.evil.com", "https://shop.example.", "https://shop.example..", "https://shop.exampleevil.com",
    "https://shop.example-evil.com",
    "https://evilshop.example", "https://evil-shop.example", "https://www.shop.example", "https://.shop.example", "https://shop",
    "https://hop.example", "https://example",
    # Port, scheme, user, path.
    "https://shop.example:444", "https://shop.example:80", "https://shop.example:0443", "https://shop.example:", "https://shop.example:443:443",
    "https://shop.example:443@evil.com",
    "https://shop.example:+443", "https://shop.example:443 ", "https://shop.example:65979", "https://shop.example:*", "http://shop.example",
    "http://shop.example:443", "ftp://shop.example",
    "wss://shop.example", "ws://shop.example", "file://shop.example", "javascript://shop.example", "blob:https://shop.example",
    "view-source:https://shop.example",
    "https://shop.example@evil.com", "https://evil.com@shop.example", "https://shop.example:pass@evil.com", "https://shop.example/",
    "https://shop.example/path", "https://shop.example/..",
    "https://shop.example?x", "https://shop.example#x", "https://shop.example\\", "https://shop.example\\@evil.com",
    "https://shop.example%2f@evil.com", "https://evil.com/https://shop.example",
    "https://evil.com#https://shop.example", "https://evil.com?https://shop.example", "https:shop.example", "https:/shop.example",
    "https:///shop.example", "//shop.example", "shop.example",
    "https//shop.example", "https:\\\\shop.example", "https://https://shop.example", "https://shop.example://shop.example",
    # Names that only look the same: other scripts, their punycode, full width, soft hyphens, escapes.
    "https://sh\u043ep.example", "https://xn--shp-0nd.example", "https://shop.ex\u0430mple", "https://\uff53hop.example", "https://shop\u3002example",
    "https://sho\u00adp.example", "https://shop.example\u200b",
    "https://%73hop.example", "https://shop%2eexample", "https://shop.example%00", "https://shop.example%20", "https://s\u0068\u0323op.example",
    "https://shop.e\u0445ample", "https://SHOP.\u212axample",
    # The wildcard: not the name itself, nothing glued to it, no wildcard said back.
    "https://wild.example", "https://evilwild.example", "https://.wild.example", "https://*.wild.example", "https://a.wild.example.evil.com",
    "https://a.wild.example.", "https://a.wild.example:444",
    "http://a.wild.example", "https://a@b.wild.example", "https://evil.com/a.wild.example", "https://evil.com#.wild.example",
    "https://evil.com\\.wild.example", "https://evil.com:80.wild.example",
    "https://a:1.wild.example", "https://[::1].wild.example", "https://]a.wild.example", "https://a:b:c.wild.example", "https://*", "*",
    "https://*.example",
    # Any port, but a port.
    "https://any.example:x", "https://any.example:", "https://any.example:1.evil.com", "https://any.example:1@evil.com", "https://any.example:*",
    "https://any.example:123456", "https://any.example.evil.com:1",
    # IPv6, spelled otherwise: browsers have one spelling only.
    "https://[2001:db8::2]", "https://[2001:db8:0:0:0:0:0:1]", "https://2001:db8::1", "https://[2001:db8::1", "https://2001:db8::1]",
    "https://[2001:db8::1]evil.com", "https://[2001:db8::1].evil.com",
    "https://[2001:db8::1%25lo]", "https://[[2001:db8::1]]", "https://[::ffff:2001:db8::1]", "https://[2001:db8::1]:444",
    "https://evil.com[2001:db8::1]",
    # Neighbours in a list, line ends and blanks that a header may have within.
    "https://shop.example,https://evil.com", "https://shop.example, https://evil.com", "https://evil.com https://shop.example",
    "https://shop.example https://evil.com", "https://shop.example\thttps://evil.com",
    "https://evil.com, https://shop.example", "NULL", "Null", "null ,null", "undefined", "about:blank", "data:", "0", "https://", "https://:443",
    "://shop.example", "capacitor://localhost:443", "capacitor://localhost.evil.com",
]


@pytest.mark.parametrize("origin", TRUE)
def test_an_origin_on_the_list_is_let_in_and_told_so(shop, origin):
    """What is on the list works in every spelling that a browser sends, or the rest of this file would prove nothing."""
    answer = post(shop, origin)
    assert answer.status == 200 and answer.one("Access-Control-Allow-Origin") == origin and "Origin" in answer.one("Vary")


def test_case_is_no_way_in_and_no_way_out(shop):
    """Threat: a host in capitals is another host to a careless comparison. Host and scheme have no case (RFC 6454), so it is the same one, and only
    that one."""
    assert post(shop, "HTTPS://Shop.EXAMPLE").status == 200
    assert post(shop, "HTTPS://Shop.EXAMPLE.EVIL.COM").status == 403


@pytest.mark.parametrize("origin", FALSE, ids=ascii)
def test_an_imitated_origin_is_refused(shop, origin):
    """Threat: another website has an origin that looks like one of the list. The whole origin is compared, part by part, and nothing but an origin
    is one."""
    answer = post(shop, origin.encode("utf-8").decode("latin-1"))
    assert refusal(answer) in ((403, "origin_forbidden"), (400, None)) if answer.body else answer.status == 400, answer
    assert answer.status != 200


@pytest.mark.parametrize("path", ["/v1/events", "/v1/beacon", "/v1/runs/ingest", "/api/v1/capture-event", "/v1/traces",
    "/api/v1/private/traces/batch"])
def test_every_door_refuses_another_websites_page(shop, path):
    """Threat: a page of another website uses the key at the door of some other dialect. All doors ask for the origin."""
    bearer = [("Authorization", f"Bearer {shop.public}")]
    for origin in ("https://evil.example", "https://shop.example.evil.com", "null"):
        answer = ask(shop.gateway, request("POST", f"{path}?key={shop.public}", [*bearer, ("X-Org-Id", shop.public), ("Origin", origin)], event()))
        assert answer.status == 403, f"{path} {origin}: {answer}"


@pytest.mark.parametrize("first, second", [
    ("https://shop.example", "https://evil.example"), ("https://evil.example", "https://shop.example"), ("https://shop.example", "null"),
    ("null", "https://shop.example")])
def test_two_origins_are_none(shop, first, second):
    """Threat: a request says two origins, and the gateway and whoever stands before it look at different ones. No browser sends two, so it is
    refused."""
    assert post(shop, first, second).status in (400, 403), "two Origin headers were let in"


def test_no_origin_an_empty_one_and_null_are_refused_unless_the_project_says_otherwise(shop):
    """Threat: sandboxed frames, files and scripts come without an origin of their own. Each is a switch of the project, and both are off."""
    assert refusal(post(shop)) == (403, "origin_missing")
    assert refusal(post(shop, "null")) == (403, "origin_null")
    assert post(shop, "").status == 403


def test_each_switch_opens_only_what_it_names(made):
    """Threat: the switch for files opens the gate for scripts, or for other websites. Each is for one case only."""
    for settings, opened in (({"allowsNullOrigin": True}, ["null"]), ({"allowsMissingOrigin": True}, [None])):
        project = made(origins=["https://shop.example"], **settings)
        for origin in ("null", None, "https://evil.example", "NULL", "https://null"):
            answer = post(project, *([origin] if origin else []))
            assert (answer.status == 200) == (origin in opened), f"{settings} {origin}: {answer}"


def test_a_project_without_origins_lets_no_page_in(made):
    """Threat: an empty list means everybody. It means nobody."""
    project = made(origins=[])
    for origin in ("https://shop.example", "null", "", "*", "https://", project.gateway.url):
        assert post(project, origin).status == 403


def test_one_projects_origin_is_not_anothers(made):
    """Threat: a page that one project allows uses the key of another. The list is the key's project's."""
    mine, yours = made(origins=["https://mine.example"]), made(origins=["https://yours.example"])
    assert post(mine, "https://mine.example").status == 200 and post(yours, "https://yours.example").status == 200
    assert refusal(post(yours, "https://mine.example")) == (403, "origin_forbidden") and refusal(post(mine, "https://yours.example")) == (403,
        "origin_forbidden")


@pytest.mark.parametrize("pattern", [
    "*", "https://*", "https://*.*.example", "https://shop.*", "https://s*p.example", "https://*.", "https://.", "https://", "*://shop.example",
    "null", "shop.example", "https://shop.example/x",
    "https://u@shop.example", "https://shop.example?", "https://shop.example#", "https://shop.example, https://evil.example",
    "https://sh\u043ep.example", "https://shop.example:99999x", "javascript:alert(1)", "https://*shop.example"])
def test_a_list_takes_nothing_that_allows_more_than_it_says(gateway, admin, pattern):
    """Threat: an operator's slip in the list opens a project to everybody. What is no origin, or has a star elsewhere than left-most, is not
    taken."""
    answer = admin.post(gateway.url + "/v1/projects", json={"name": f"slip {time.monotonic()}", "origins": [pattern]}, timeout=20)
    assert answer.status_code == 400 and answer.json()["error"]["field"] == "origins", answer.text


@pytest.mark.parametrize("pattern, refused", [("https://*.example", ["https://example", "https://.example", "https://evilexample"]),
    ("https://*.co.example:*", ["https://co.example", "https://xco.example"])])
def test_a_wildcard_is_a_part_of_a_host(made, pattern, refused):
    """Threat: a wildcard matches across dots into another site, or matches nothing at all. One label at least stands for the star."""
    project = made(origins=[pattern])
    for origin in [*refused, "https://a.example.evil.com", "https://evil.com/.example", "https://evil.com?.example", "https://evil.com#.example",
        "https://evil.com@.example"]:
        assert post(project, origin).status == 403, origin


# ------------------------------------------------------------------------------------------------- preflights and CORS


def preflight(gateway, path, *origins, method="POST", headers="authorization,content-type"):
    return ask(gateway, request("OPTIONS", path, [*(("Origin", origin) for origin in origins), ("Access-Control-Request-Method", method),
        ("Access-Control-Request-Headers", headers)]))


@pytest.mark.parametrize("origin", ["https://evil.example", "https://shop.example.evil.com", "https://evilshop.example",
    "https://shop.example@evil.com", "http://shop.example", "null", "",
                                    "https://shop.example:444", "https://shop.example/", "https://wild.example", "*",
                                    "https://shop.example,https://evil.com"])
@pytest.mark.parametrize("path", ["/v1/events", "/v1/beacon", "/v1/runs/ingest", "/api/v1/capture-event"])
def test_a_preflight_grants_a_forbidden_origin_nothing(shop, path, origin):
    """Threat: a preflight says yes to whoever asks. For an origin that no project lists it names no origin, no method and no header, and caches are
    told why."""
    answer = preflight(shop.gateway, path, origin)
    assert not [name for name, _ in answer.headers if name.lower().startswith("access-control-")], answer
    assert "Origin" in answer.one("Vary")


def test_a_preflight_grants_an_allowed_origin_only_what_pages_need(shop):
    """Threat: a preflight grants every header and method that is asked for. It grants ours."""
    answer = preflight(shop.gateway, "/v1/events", "https://shop.example", method="DELETE",
        headers="authorization, x-evil, cookie, parley-upgrade-refused, x-forwarded-for, host")
    assert answer.one("Access-Control-Allow-Origin") == "https://shop.example" and answer.one("Access-Control-Allow-Methods") == "POST"
    assert answer.one("Access-Control-Allow-Headers").lower() == "authorization"


@pytest.mark.parametrize("path", ["/v1/threads", "/v1/threads/t-1", "/v1/export", "/v1/users/u1", "/v1/keys", "/v1/members", "/v1/projects",
    "/v1/quarantine", "/ui/session", "/ui/", "/metrics", "/healthz", "/v1/live"])
@pytest.mark.parametrize("origin", ["https://shop.example", "https://evil.example", "null"])
def test_no_page_of_another_origin_may_read_what_people_read(shop, path, origin):
    """Threat: a page reads the read API or the review page across origins. Those answers carry no CORS header at all, preflight or not, key or
    not."""
    for answer in (preflight(shop.gateway, path, origin, method="GET"), ask(shop.gateway, request("GET", path, [("Origin", origin)])),
                   ask(shop.gateway, request("GET", path, [("Origin", origin), ("Authorization", f"Bearer {shop.secret}")]))):
        assert not [name for name, _ in answer.headers if name.lower().startswith("access-control-")], f"{path}: {answer}"


def test_credentials_are_never_allowed_to_everybody(shop):
    """Threat: `Access-Control-Allow-Origin: *` beside credentials, or a star where a key was used. Wherever there are credentials the origin is
    named."""
    answers = []
    for path in ("/v1/events", "/v1/beacon", "/v1/runs/ingest", "/api/v1/capture-event", "/v1/traces", "/api/v1/private/traces/batch",
        "/v1/runs/x/feedback", "/v1/threads", "/parley.js", "/parley.mjs",
                 "/parley-loader.js", "/ui/app.js", "/nowhere", "/docs/reasons"):
        for method in ("GET", "POST", "OPTIONS", "HEAD", "PUT"):
            for origin in ("https://shop.example", "https://evil.example", "null", "*"):
                has_body = method != "HEAD"
                answers.append((path, method, origin, ask(
                    shop.gateway, request(method, f"{path}?key={shop.public}", [("Origin", origin), ("Cookie", "parley_session=x")],
                    event() if method in ("POST", "PUT") else b""), has_body=has_body)))
    for path, method, origin, answer in answers:
        allowed = answer.one("Access-Control-Allow-Origin")
        if answer.one("Access-Control-Allow-Credentials") is not None:
            assert allowed not in (None, "*", ""), f"{method} {path} from {origin}: {answer}"
        if allowed == "*":
            assert path.startswith("/parley"), f"{method} {path} from {origin}: {answer}"


def test_an_origin_is_named_only_as_it_came_and_only_if_it_could_be_one(shop):
    """Threat: what is sent as Origin comes back as a header of the answer. Only printable characters, of a length that an origin may have, are said
    back."""
    for origin in ("https://evil.example\tX", "https://" + "a" * 5000, "https://sh\u00f6p.example", "https://a b", "https://\u043e"):
        answer = post(shop, origin.encode().decode("latin-1"))
        assert answer.status in (400, 403) and not answer.all("Access-Control-Allow-Origin"), answer


# ------------------------------------------------------------------------------------------------------------- sockets


@pytest.mark.parametrize("origin, code", [
    ("https://shop.example", None), ("https://evil.example", 4003), ("https://shop.example.evil.com", 4003), ("https://shop.example@evil.com", 4003),
    ("http://shop.example", 4003), ("null", 4003), (None, 4003),
    ("https://wild.example", 4003), ("https://shop.example:444", 4003), ("", 4003)])
def test_a_socket_of_another_websites_page_is_closed_before_it_says_anything(shop, origin, code):
    """Threat: cross-site hijack of the socket, which no browser's same-origin policy covers. The origin is asked for at the upgrade, and no welcome
    is said."""
    with Line(shop.gateway) as line:
        line.send(request("GET", f"/v1/socket?key={shop.public}", [*UPGRADE, *([("Origin", origin)] if origin is not None else [])]))
        assert line.answer(has_body=False).status == 101
        first = json.loads(line.frame()[1])
        assert first["type"] == ("error" if code else "welcome") and first.get("code") == code
        if code:
            opcode, payload = line.frame()
            assert opcode == CLOSE and int.from_bytes(payload[:2], "big") == code


def test_a_secret_key_with_any_origin_is_no_way_in(shop):
    """Threat: a secret key that leaked into a page is used there. With an Origin of whatever kind it is refused, on every transport."""
    for origin in ("https://shop.example", "null", "https://evil.example", ""):
        headers = [("Authorization", f"Bearer {shop.secret}"), ("Origin", origin)]
        for method, path, body in (("POST", "/v1/events", event()), ("GET", "/v1/threads", b""), ("GET", "/v1/export", b"")):
            answer = ask(shop.gateway, request(method, path, headers, body))
            assert answer.status == 403 and b"secret_key_in_browser" in answer.body, f"{path} {origin!r}: {answer}"
