"""Whatever a visitor or a vendor's SDK wrote is read as text: nothing runs, nothing is fetched, nothing hides or imitates the page."""

import pytest
import requests

import hostile
from page import thing
from review import House

NARROW = 390

# The run of letters and digits of each line of our own must go from left to right: a mark that turns the direction and gets out
# of what a visitor wrote would turn it round. Places that hold foreign text are theirs to turn.
TURNED = r"""() => {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), turned = [], range = document.createRange();
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        if (/[^\s\x20-\x7e]/.test(node.data) || !/[A-Za-z]{2}/.test(node.data) || !eyes.visible(node.parentElement)) continue;
        if (node.parentElement.closest("bdi, [dir=auto], pre, .md, .token")) continue;
        const first = node.data.search(/[A-Za-z]{2}/), place = (at) => { range.setStart(node, at); range.setEnd(node, at + 1); return range.getBoundingClientRect(); };
        const a = place(first), b = place(first + 1);
        if (a.width && b.width && Math.abs(a.top - b.top) < 2 && b.left < a.left) turned.push(node.data.slice(0, 60));
    }
    return turned;
}"""

# What stands in the place of a message shown as it was sent, with each name of an invisible character turned back into it.
LETTERS = r"""(number) => {
    const article = [...document.querySelectorAll("article")][number];
    const shown = article.querySelector(".raw") ?? article;
    const copy = shown.cloneNode(true);
    for (const token of copy.querySelectorAll(".token")) token.textContent = String.fromCodePoint(Number.parseInt(token.title.replace("U+", ""), 16));
    for (const button of copy.querySelectorAll("button")) button.remove();
    return { text: copy.textContent, tokens: [...shown.querySelectorAll(".token")].filter(eyes.visible).length };
}"""

OPEN_ALL = """async () => {
    for (let round = 0; round < 6; round += 1) {
        const closed = [...document.querySelectorAll("main details:not([open]):not(.menu):not(.filters) > summary")];
        for (const summary of closed) summary.click();
        for (const more of document.querySelectorAll("main button.more[aria-expanded=false], main .twist[aria-expanded=false], main .run-line .run[aria-expanded=false]")) more.click();
        await new Promise((done) => setTimeout(done, 0));
        if (closed.length === 0) break;
    }
}"""

# Our own controls can be hit where they stand.
COVERED = """() => eyes.find({ role: "banner" }).flatMap((bar) => [...bar.querySelectorAll("a[href], button, select, summary")].filter(eyes.visible)
    .map((e) => { const box = e.getBoundingClientRect(), top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2); return e.contains(top) ? null : `${eyes.told(e)} under ${eyes.told(top)}`; })).filter(Boolean)"""


@pytest.fixture(scope="module")
def house(gateway):
    return House(gateway)


@pytest.fixture(scope="module")
def target(house):
    """A project full of hostile text; answers it and {name: thread}."""
    project = house.project("hostile")
    threads = hostile.seed(project)
    hostile.seed_vendors(project)
    yield project, threads
    project.assert_law()


def assert_unharmed(page, house, where):
    told = page.evaluate("() => [window.__hit, document.title, location.origin, document.querySelectorAll('main iframe, main object, main embed, main script, main style, main link, main base, main meta, main form[action]').length]")
    assert told[0] is None and told[1] != "hit" and told[2] == house.url and told[3] == 0, (where, told)
    assert page.dialogs == [], where
    assert page.refused() == [], where
    assert page.elsewhere(house.url) == [], where
    assert page.evaluate(COVERED) == [], where
    assert page.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0, f"{where}: the page scrolls sideways"
    assert page.evaluate(TURNED) == [], f"{where}: the direction leaks"
    bad = page.evaluate("() => [...document.querySelectorAll('main a[href]')].map((a) => a.href).filter((href) => !/^(https?:|mailto:)/.test(href))")
    assert bad == [], where
    foreign = page.evaluate("(own) => [...document.querySelectorAll('main a[href]')].filter((a) => !a.href.startsWith(own) && !(/noopener/.test(a.rel) && /noreferrer/.test(a.rel) || a.href.startsWith('mailto:'))).map((a) => a.href)", house.url)
    assert foreign == [], f"{where}: links to elsewhere that tell who links"
    assert page.evaluate("() => document.querySelectorAll('main img:not([src^=\"data:image/\"])').length") == 0, where


@pytest.mark.parametrize("view", ["threads", "users", "quarantine", "outcomes", "overview", "setup"])
def test_every_view_of_it_stays_itself(page, house, target, view):
    project, _ = target
    house.enter(page, project, role="admin", **({} if view == "threads" else {"view": view}))
    page.wait_for("() => document.querySelector('main')?.innerText.length > 60 && !/^Loading/.test(document.querySelector('main').innerText)", what=f"{view} to show")
    page.evaluate(OPEN_ALL)
    assert_unharmed(page, house, view)
    page.resize(NARROW, 844)
    assert_unharmed(page, house, f"{view}, narrow")


def test_every_conversation_is_read_as_it_was_typed(page, house, target):
    project, threads = target
    house.enter(page, project, role="reviewer")
    for name, thread in threads.items():
        text = hostile.TEXTS[name.removeprefix("visitor ")]
        page.goto(house.address(project, thread))
        page.wait_for("(thread) => document.querySelector('article') && decodeURIComponent(location.hash).includes(thread)", thread, what=f"{name} to open")
        page.wait_for("(text) => [...document.querySelectorAll('article')].some((a) => a.textContent.includes(text.slice(0, 30)))", text, what=f"{name} to be drawn")
        page.evaluate(OPEN_ALL)
        assert_unharmed(page, house, name)
        # What a person typed stands there whole, though some of it can't be seen.
        typed = page.evaluate("(text) => [...document.querySelectorAll('article')].some((a) => a.textContent.includes(text))", text)
        assert typed, f"{name}: what was typed isn't there whole"
        # As it was sent, letter by letter, nothing is left unseen.
        page.press("r")
        page.wait_for("() => document.querySelector('article .raw')", what=f"{name} letter by letter")
        page.evaluate(OPEN_ALL)
        shown = page.evaluate(LETTERS, 0)
        assert text in shown["text"], (name, shown["text"][:200])
        unseen = sum(1 for each in text.replace("\r\n", "") if each in "\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff\u00ad\x07\x08\x1b\x01\x7f\u2028\u2029" or "\U000e0000" <= each <= "\U000e007f")
        assert shown["tokens"] >= unseen, (name, shown["tokens"], unseen)
        assert_unharmed(page, house, f"{name}, raw")
        page.press("r")
    # Whoever looks at a phone sees the same.
    page.resize(NARROW, 844)
    for name in ("wide", "bidi", "fake", "stacked"):
        page.goto(house.address(project, threads[name]))
        page.wait_for("() => document.querySelector('article')")
        page.evaluate(OPEN_ALL)
        assert_unharmed(page, house, f"{name}, narrow")


def test_an_sdk_of_a_vendor_changes_nothing_about_that(page, house, target):
    project, _ = target
    house.enter(page, project, role="reviewer")
    for thread in project.read("/v1/threads", limit=200)["threads"]:
        if not thread["id"].startswith(tuple(hostile.VENDORS)):
            continue
        page.goto(house.address(project, thread["id"]))
        page.wait_for("(thread) => (document.querySelector('article') || /Nothing in this conversation|Runs under no message/.test(document.querySelector('main').innerText)) && decodeURIComponent(location.hash).includes(thread)", thread["id"], what=f"{thread['id']} to open")
        page.evaluate(OPEN_ALL)
        assert_unharmed(page, house, thread["id"])


# Stamps how long the page took from a key press to the next picture.
STAMP = """() => addEventListener("keydown", (event) => requestAnimationFrame(() => setTimeout(() => { window.answered = performance.now() - event.timeStamp })), { capture: true })"""


@pytest.fixture(scope="module")
def monsters(house):
    project = house.project("monsters")
    return project, hostile.seed_monsters(project)


def quickness(page):
    """Milliseconds from a key to the picture that answers it."""
    page.evaluate("() => { window.answered = 0 }")
    page.press("?")
    page.sees("dialog", timeout=5)
    took = page.wait_for("() => window.answered", timeout=5)
    page.press("Escape")
    page.misses("dialog")
    return took


def test_the_page_stays_quick_with_a_monster_open(page, house, monsters):
    project, threads = monsters
    house.enter(page, project)
    page.evaluate(STAMP)
    slow = []
    for name, thread in threads.items():
        page.goto(house.address(project, thread))
        page.wait_for("(thread) => decodeURIComponent(location.hash).includes(thread) && document.querySelectorAll('article').length === 3", thread, timeout=15, what=f"{name} to open")
        page.reads("The end of it.", timeout=15)
        slow.append((name, "plain", quickness(page)))
        reason = project.read(f"/v1/threads/{thread}", render="markdown")["items"][1]["unrendered"]
        assert reason in (("long",) if len(hostile.MONSTERS[name]) > 20_000 else ("deep", "long", None)), (name, reason)
        if reason:
            page.click("button", "Render anyway")
            page.wait_for("() => document.querySelector('article.assistant .md') || /can't be rendered/.test(document.querySelector('article.assistant').textContent)", timeout=15, what=f"the rest of {name} to be rendered")
            slow.append((name, "rendered", quickness(page)))
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), name
    assert all(took < 1000 for _, _, took in slow), slow


# MARK: who may


def test_a_reader_reads_and_cannot_write(page, house, target):
    project, threads = target
    house.enter(page, project, threads["fake"], role="reader")
    for word in ("Thumb up", "Thumb down", "Give score", "Send", "Close now", "Re-open", "Done, next unreviewed", "Erase this user"):
        assert page.count("button", word) == 0, word
    assert page.count("textbox") == 0 and page.count("link", "Set-up", within=thing("banner")) == 0
    page.goto(house.address(project, view="setup"))
    page.reads("For administrators")
    session = house.session("Some reader", "reader")
    item = session.get(f"{house.url}/v1/threads/{requests.utils.quote(threads['fake'], safe='')}?project={project.name}", timeout=10).json()["items"][0]
    for method, path, body in [
        ("PUT", f"/v1/messages/{requests.utils.quote(item['id'], safe='')}/feedback", {"thumb": "up"}), ("POST", "/v1/scores", {"target": item["id"], "name": "quality", "value": 1}),
        ("POST", "/v1/comments", {"target": item["id"], "text": "x"}), ("PATCH", f"/v1/threads/{requests.utils.quote(threads['fake'], safe='')}", {"tags": {"add": ["x"]}}),
        ("POST", "/v1/views", {"name": "x", "query": "", "shared": True}), ("POST", "/v1/projects", {"name": "x", "origins": []}), ("POST", "/v1/keys", {"lane": "secret"}),
        ("POST", "/v1/members", {"name": "x", "role": "admin", "projects": None}), ("DELETE", "/v1/users/nobody", None), ("POST", "/v1/quarantine/replay", {"reason": "weak_id"}), ("PATCH", "/v1/projects/" + house.project_id(project.name), {"name": "x"}),
    ]:
        answer = session.request(method, f"{house.url}{path}?project={project.name}", json=body, timeout=10)
        assert answer.status_code == 403 and answer.json()["error"]["code"] == "role_forbidden", (method, path, answer.status_code, answer.text[:300])
    for path in ("/v1/members", "/v1/keys", "/v1/audit"):
        assert session.get(f"{house.url}{path}?project={project.name}", timeout=10).status_code == 403, path


READS = ["/v1/threads", "/v1/export?format=jsonl", "/v1/overview", "/v1/users", "/v1/live", "/v1/quarantine", "/v1/outcomes", "/v1/projects", "/v1/members", "/v1/keys", "/v1/views", "/v1/tags", "/v1/score-names", "/v1/audit"]


@pytest.mark.parametrize("path", READS)
def test_a_stranger_reads_nothing(house, target, path):
    for headers in ({}, {"Cookie": "parley_session=made-up"}, {"Authorization": f"Bearer {target[0].public}"}):
        answer = requests.get(house.url + path, headers=headers, timeout=10, stream=True)
        assert answer.status_code in (401, 403), (path, headers, answer.status_code)
        answer.close()


def test_another_projects_reader_sees_none_of_it(page, house, target):
    project, threads = target
    beside, guest = f"beside-{page.browser}", f"Guest in {page.browser}"
    other = house.project(beside)
    other.send(hostile.everywhere("script", "harmless")[1][2])
    own = house.project_id(beside)
    session = house.session(guest, "reviewer", [own])
    assert [each["name"] for each in session.get(house.url + "/v1/projects", timeout=10).json()["projects"]] == [beside]
    thread = requests.utils.quote(threads["fake"], safe="")
    for path in [f"/v1/threads/{thread}", *READS]:
        mark = "&" if "?" in path else "?"
        for name in (project.name, house.project_id(project.name)):
            answer = session.get(f"{house.url}{path}{mark}project={name}", timeout=10, stream=True)
            if path not in ("/v1/projects",):
                assert answer.status_code in (403, 404), (path, answer.status_code)
            answer.close()
    assert session.get(f"{house.url}/v1/threads/{thread}?project={beside}", timeout=10).status_code == 404
    assert other.get(f"/v1/threads/{thread}").status_code == 404
    page.forgives("status of 40[34]").goto(house.member(guest))
    page.sees(css="header summary")
    page.goto(house.address(project, threads["fake"]))
    page.reads("No such project")
    assert "Sign in again" not in page.words()


def test_another_site_cannot_ask_in_the_readers_name(page, house, target, elsewhere):
    """A page of another origin, opened in the browser of somebody who is signed in."""
    project, _ = target
    house.enter(page, project, role="admin", name="Signed in")
    page.forgives(".*").goto(elsewhere.serve(f"""<!doctype html><title>Elsewhere</title><link rel="icon" href="data:,"><script>
        const ask = (path, options) => fetch("{house.url}" + path, {{ credentials: "include", ...options }}).then((a) => a.status, () => "refused");
        Promise.all([ask("/v1/threads?project={project.name}"), ask("/v1/projects", {{ method: "POST", mode: "no-cors", body: JSON.stringify({{ name: "forged", origins: [] }}) }}),
            ask("/v1/comments?project={project.name}", {{ method: "POST", headers: {{ "Content-Type": "text/plain" }}, body: "{{}}" }})]).then((all) => {{ window.told = all }});
    </script>"""))
    told = page.wait_for("() => window.told")
    assert 200 not in told and 201 not in told, told
    assert "forged" not in [each["name"] for each in house.ask("GET", "/v1/projects")["projects"]]
    page.evaluate("""(address) => new Promise((done) => { const frame = document.createElement("iframe"); frame.src = address; frame.onload = frame.onerror = done; setTimeout(done, 3000); document.body.append(frame) })""", house.url + "/ui/")
    assert page.evaluate("() => { try { return document.querySelector('iframe').contentDocument?.body?.innerText ?? 'closed' } catch { return 'closed' } }") in ("", "closed")
