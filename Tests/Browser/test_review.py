"""The review page by what a person sees and does: finding, reading, following live, judging. In Chromium and in Firefox."""

import itertools
import json
import re
import time
from urllib.parse import urljoin

import pytest

from page import thing
from parley_process import message, new_id, until
from review import House

MINUTE = 60_000
LIST = thing("list", "Conversations")
LOG = thing("log", "Conversation")
DETAILS = thing("complementary", "Details")
HEAD = thing("toolbar", "Conversation tools")

ROWS = """() => eyes.find({ role: "list", name: "Conversations" }).flatMap((list) => [...list.querySelectorAll("a[href]")])
    .map((a) => decodeURIComponent(a.getAttribute("href").split("?")[0].split("/")[2]))"""


@pytest.fixture(scope="module")
def house(gateway):
    return House(gateway)


numbers = itertools.count()


@pytest.fixture
def project(house):
    project = house.project(f"page-{next(numbers)}")
    yield project
    project.assert_law()


def ago(milliseconds):
    return time.time() * 1000 - milliseconds


def rows(page):
    return page.evaluate(ROWS)


def close(project, thread):
    assert project.send({"type": "thread", "id": new_id(), "thread": thread, "status": "inactive"}) == ["stored"]


def article(page, text):
    """The name and the words of the message that says it, scrolled to."""
    page.reads(text, within=LOG)
    return page.evaluate("""async (text) => {
        const article = [...document.querySelectorAll("article")].find((a) => a.textContent.includes(text));
        article.scrollIntoView({ block: "center", behavior: "instant" });
        await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
        return [eyes.name(article), article.innerText];
    }""", text)


# MARK: who is there


def test_a_link_signs_in_once_and_a_password_after_that(open_page, house, project):
    page = open_page()
    page.forgives("status of 40[19]|status of 429")
    link = house.member(f"Ann {new_id()[:8]}", "reviewer")
    name = list(house.members)[-1]
    page.goto(link).sees("banner")
    page.wait_for("(link) => !location.href.includes(link.split('#')[1])", link)
    page.goto(house.address(project)).reads("No conversations yet")
    page.click(css="header summary").click("button", "Set a password")
    page.fill("textbox", "New password", text="correct horse battery")
    page.fill("textbox", "New password, again", text="correct horse batterz")
    page.click("button", "Save")
    assert page.count("dialog") == 1
    page.fill("textbox", "New password, again", text="correct horse battery")
    page.click("button", "Save").reads("Password saved").misses("dialog")
    page.click(css="header summary").click("button", "Sign out").reads("You are signed out")

    page.fill("textbox", "Name", text=name)
    page.fill("textbox", "Password", text="not this one")
    page.click("button", "Sign in").sees("alert")
    assert page.count("textbox", "Password") == 1
    page.fill("textbox", "Password", text="correct horse battery")
    page.press("Enter")
    page.sees("navigation", "Views").sees(css="header summary")
    assert name in page.words(css="header summary")

    other = open_page().forgives("status of 401")
    other.goto(link).reads("Each link works once")
    other.sees("textbox", "Password")


def test_each_role_sees_what_it_may_do(page, house, project):
    project.send(message(text="Hello there", at=ago(MINUTE)))
    for role, views, judges in [("reader", False, 0), ("reviewer", False, 1), ("admin", True, 1)]:
        page.goto(house.member(f"One {role}", role)).sees("banner").sees(css="header summary")
        page.goto(house.address(project, "t-1")).sees("article")
        assert (page.count("link", "Set-up") == 1) == views, role
        assert page.count("button", "Thumb up") == judges, role
        page.click(css="header summary").reads({"reader": "Reader", "reviewer": "Reviewer", "admin": "Administrator"}[role])
        page.click("button", "Sign out").reads("You are signed out")


# MARK: finding


@pytest.fixture(scope="module")
def varied(house):
    """Conversations that differ in everything one can filter by; answers the project."""
    project = house.project("varied")
    for number in range(8):
        thread, asked, answered = f"v-{number}", new_id(), new_id()
        at = ago((30 - number) * MINUTE * (60 * 24 if number < 2 else 1))
        key = project.public if number % 2 else project.secret
        project.send({**message(thread, f"Question {number} about {'refunds' if number % 3 == 0 else 'shipping'}", at=at, user={"id": f"u-{number % 3}"}, tags=["billing"] if number % 4 == 0 else []), "id": asked}, key=key)
        project.send({**message(thread, f"Answer {number}", "assistant", at=at + 2000, replyTo=asked), "id": answered})
        if number == 5:
            project.send(message(thread, "tool says", "tool", at=at + 2500))
        if number in (1, 2, 4):
            project.send({"type": "feedback", "id": new_id(), "target": answered, "thumb": "up" if number == 2 else "down", "user": {"id": "u"}})
        project.send({"type": "run", "id": new_id(), "thread": thread, "kind": "llm", "parent": asked, "name": "answer", "output": f"Answer {number}", "success": number != 3, **({"error": "timeout"} if number == 3 else {})})
        if number == 6:
            project.send({"type": "run", "id": new_id(), "thread": thread, "kind": "llm", "parent": new_id(), "name": "early"})
        if number in (0, 7):
            close(project, thread)
            project.send({"type": "score", "id": new_id(), "target": thread, "name": "quality", "value": 0.9 if number else 0.2, "author": "judge", "judge": "program"})
    yield project
    project.assert_law()


FILTERS = [
    ("Feedback", "Thumbs down", "feedback=down"), ("Feedback", "None", "feedback=none"), ("Has a message by", "Tool", "role=tool"), ("Status", "Inactive", "status=inactive"),
    ("Where from", "Verified", "provenance=verified"), ("Where from", "Anonymous", "provenance=anonymous"), ("Errors", "With errors", "error=true"), ("Runs", "Waiting for their parent", "runs=pending"),
    ("Reviewed", "Not yet", "reviewed=false"), ("Seen by you", "Not yet", "seen=false"),
]


def assert_as_the_api_says(page, session, house, project, query):
    answer = session.get(f"{house.url}/v1/threads?project={project.name}&limit=50&{query}", timeout=10)
    assert answer.status_code == 200, answer.text
    expected = [thread["id"] for thread in answer.json()["threads"]]
    page.wait_for(f"(expected) => JSON.stringify(({ROWS})()) === JSON.stringify(expected)", expected, what=f"the rows {expected} of {query}, not {rows(page)}")
    return expected


def test_each_filter_stands_in_the_address_and_means_what_the_api_means(page, house, varied):
    who = f"Finder {page.browser}"
    house.enter(page, varied, name=who)
    session = house.session(who)
    everything = assert_as_the_api_says(page, session, house, varied, "")
    assert len(everything) == 8
    page.click("button", "Filters")
    found = {}
    for label, option, query in FILTERS:
        page.choose(label, option)
        page.wait_for("(query) => location.hash.includes(query)", query, what=f"{query} in the address")
        found[query] = assert_as_the_api_says(page, session, house, varied, query)
        page.click(css=".active-filter")
        page.wait_for("(query) => !location.hash.includes(query)", query)
    assert len(found["feedback=down"]) == 2 and found["role=tool"] == ["v-5"] and sorted(found["status=inactive"])[:1] == ["v-0"] and found["error=true"] == ["v-3"] and found["runs=pending"] == ["v-6"]
    page.fill("textbox", "User id", text="u-1")
    page.press("Enter")
    page.wait_for("() => location.hash.includes('user=u-1')")
    assert_as_the_api_says(page, session, house, varied, "user=u-1")
    page.fill("combobox", "Tag", text="billing")
    page.press("Enter")
    page.wait_for("() => location.hash.includes('tag=billing')")
    assert assert_as_the_api_says(page, session, house, varied, "user=u-1&tag=billing") == ["v-4"]
    # The address is the view: somebody else opens it and sees the same.
    page.reload()
    assert_as_the_api_says(page, session, house, varied, "user=u-1&tag=billing")
    page.click("button", "Clear all")
    assert_as_the_api_says(page, session, house, varied, "")
    if not page.count("combobox", "Name of the score, any or none"):
        page.click("button", "Filters")
    page.fill("combobox", "Name of the score, any or none", text="quality")
    page.choose("How the score compares", "at least")
    page.fill("textbox", "Value of the score", text="0.5")
    page.press("Enter")
    page.wait_for("() => decodeURIComponent(location.hash).includes('score=quality>=0.5')")
    assert assert_as_the_api_says(page, session, house, varied, "score=quality%3E%3D0.5") == ["v-7"]
    page.click(css=".active-filter")
    page.click("button", "7 days")
    page.wait_for("() => location.hash.includes('from=')")
    since = page.evaluate("() => new URLSearchParams(location.hash.split('?')[1]).get('from')")
    assert len(assert_as_the_api_says(page, session, house, varied, f"from={since}")) == 6


def test_the_words_people_said_are_found(page, house, varied):
    house.enter(page, varied, name=f"Searcher {page.browser}")
    session = house.session(f"Searcher {page.browser}")
    page.press("/")
    assert page.focused() == ["searchbox", "Search what was said"]
    page.type("refunds")
    page.wait_for("() => location.hash.includes('q=refunds')")
    assert len(assert_as_the_api_says(page, session, house, varied, "q=refunds")) == 3
    page.fill("searchbox", "Search what was said", text="nobody-said-this")
    page.reads("Nothing matches").click("button", "Clear all")
    assert_as_the_api_says(page, session, house, varied, "")


def test_a_view_is_saved_shared_and_exported_as_filtered(open_page, house, varied):
    page = open_page()
    house.enter(page, varied, feedback="down", name="Saver", **{"from": "2020-01-01T00:00:00.000Z"})
    page.wait_for(f"() => ({ROWS})().length === 2")
    name = f"Unhappy {page.browser}"
    page.click(css=".list-tools summary").click("button", "Save this view")
    page.fill("textbox", "Name", text=name)
    page.click("checkbox", "Everybody in this project sees it")
    page.click("button", "Save").reads("View saved").misses("dialog")
    other = open_page()
    house.enter(other, varied, name="Colleague")
    other.click(css=".list-tools summary").click("link", name)
    other.wait_for(f"() => location.hash.includes('feedback=down') && ({ROWS})().length === 2")
    # What is downloaded is what is listed, no more.
    other.click("button", "Export")
    session = house.session("Colleague")
    for label, form in [("JSONL", "jsonl"), ("CSV", "csv"), ("Chat dataset", "chat")]:
        href = other.attribute("href", "link", name=re.compile(f"^{label}"))
        assert f"format={form}" in href and "feedback=down" in href
        answer = session.get(urljoin(house.url, href), timeout=20)
        assert answer.status_code == 200 and "attachment" in answer.headers.get("Content-Disposition", "attachment")
        assert "Question 1" in answer.text and "Question 4" in answer.text and not any(f"Question {n}" in answer.text for n in (0, 2, 3, 5, 6, 7)), label
    assert len(answer.text.splitlines()) == 2 and all(json.loads(line)["messages"][0]["content"].startswith("Question") for line in answer.text.splitlines())
    page.click(css=".list-tools summary").click("button", f"Delete the view {name}")
    page.click("button", "Delete", within=thing("dialog")).misses("dialog")


# MARK: live


def test_what_arrives_shows_by_itself_but_moves_nothing_under_the_reader(page, house, project):
    for number in range(3):
        project.send(message(f"t-{number}", f"Number {number}", at=ago((9 - number) * MINUTE)))
    house.enter(page, project)
    page.wait_for(f"() => ({ROWS})().length === 3")
    page.sees(css="[title^='Live']")
    page.hover("link", within=LIST, nth=1)
    before = rows(page)
    for number in range(3, 6):
        project.send(message(f"t-{number}", f"Number {number}", at=ago(0)))
    page.sees("button", "3 new")
    assert rows(page) == before
    page.click("button", "3 new")
    page.wait_for(f"() => ({ROWS})().length === 6")
    assert rows(page)[:3] == ["t-5", "t-4", "t-3"]
    # Nobody is at the list: it goes on by itself.
    page.evaluate("() => document.activeElement.blur()")
    page.hover(css="header .brand")
    project.send(message("t-6", "Number 6", at=ago(0)))
    page.wait_for(f"() => ({ROWS})()[0] === 't-6'")


def test_an_open_conversation_follows_what_is_said(page, house, project):
    project.send(message(text="First words", at=ago(MINUTE)))
    house.enter(page, project, "t-1")
    page.reads("First words", within=LOG)
    project.send(message(text="Later words", at=ago(0)))
    page.reads("Later words", within=LOG)
    # Whoever reads further up is told, not moved.
    project.send(*[message(text=f"Line {number}\n" * 6, at=ago(0) + number) for number in range(12)])
    page.wait_for("() => document.querySelectorAll('article').length === 14")
    page.evaluate("() => { const scroll = eyes.find({ role: 'group', name: 'Messages' })[0]; scroll.scrollTop = 0; scroll.focus() }")
    page.wait_for("() => eyes.find({ role: 'group', name: 'Messages' })[0].scrollTop === 0")
    project.send(message(text="Down below", at=ago(0) + 100))
    page.sees("button", "1 new item below")
    assert page.evaluate("() => eyes.find({ role: 'group', name: 'Messages' })[0].scrollTop") < 5
    page.click("button", "1 new item below")
    page.wait_for("() => { const box = [...document.querySelectorAll('article')].at(-1).getBoundingClientRect(); return box.top >= 0 && box.bottom <= innerHeight }", what="the end to be in sight")


# MARK: by keyboard


def test_the_keys_go_through_the_list_and_back(page, house, project):
    for number in range(4):
        project.send(message(f"t-{number}", f"Number {number}", at=ago((9 - number) * MINUTE)))
    house.enter(page, project)
    page.wait_for(f"() => ({ROWS})().length === 4")
    page.press("j")
    page.press("j")
    page.press("k")
    page.press("j")
    page.press("Enter")
    page.reads("Number 2", within=LOG)
    page.press("j")
    page.reads("Number 1", within=LOG)
    page.press("k")
    page.reads("Number 2", within=LOG)
    # In a field the keys are letters.
    page.press("/")
    page.type("jk?")
    assert page.value("searchbox", "Search what was said") == "jk?" and page.count("dialog") == 0
    page.fill("searchbox", "Search what was said", text="")
    page.press("Escape")
    page.press("?")
    page.sees("dialog", "Keys")
    assert "next conversation" in page.words("dialog")
    page.press("Escape")
    page.misses("dialog")
    before = page.count("complementary", "Details")
    page.press("o")
    page.wait_for("(before) => eyes.find({ role: 'complementary', name: 'Details' }).length !== before", before)
    page.press("Escape")
    page.wait_for("() => !/\\/t-/.test(location.hash)")


# MARK: reading

MARKDOWN = """## Your order

It is **on its way**, see [the page](https://example.com/order) and `parcel-7`.

1. packed
2. sent

| Day | Where |
|---|---|
| Mon | Oslo |

```swift
let order = try await shop.order(id: 7) // found
```
"""


@pytest.fixture(scope="module")
def told(house):
    """One conversation with everything in it; answers the project and the ids."""
    project = house.project("told")
    ids = {name: new_id() for name in ("asked", "first", "second", "third", "later", "tool", "same", "other", "run", "child")}
    at = ago(60 * MINUTE)
    page, back = project.public, project.secret
    user = {"id": "u-7", "props": {"name": "Zoë Berg", "plan": "gold"}}
    for key, event in [
        (page, {**message("t-1", "Where is my order?\nIt was <b>urgent</b>. https://example.com/a?b=1.", at=at, user=user, tags=["billing"], metadata={"page": "/orders"}), "id": ids["asked"]}),
        (page, {**message("t-1", "Let me look", "assistant", at=at + 2300, replyTo=ids["asked"]), "id": ids["first"]}),
        (page, {**message("t-1", "Still looking", "assistant", at=at + 9000, replyTo=ids["asked"], retryOf=ids["first"]), "id": ids["second"]}),
        (back, {**message("t-1", MARKDOWN, "assistant", at=at + 15_000, replyTo=ids["asked"], retryOf=ids["second"]), "id": ids["third"]}),
        (page, {"type": "event", "id": new_id(), "thread": "t-1", "name": "opened-document", "metadata": {"document": "terms.pdf"}, "at": at + 20_000}),
        (back, {**message("t-1", '{"parcel": 7, "state": "sent"}', "tool", at=at + 25_000), "id": ids["tool"]}),
        (page, {**message("t-1", "Thanks!", at=at + 12 * MINUTE, user=user), "id": ids["later"]}),
        (page, {**message("t-1", "You are welcome.", "assistant", at=at + 12 * MINUTE + 1200, replyTo=ids["later"]), "id": ids["same"]}),
        (page, {**message("t-1", "The price is 10 euros.", "assistant", at=at + 13 * MINUTE), "id": ids["other"]}),
        (back, {"type": "run", "id": ids["run"], "kind": "agent", "name": "answerer", "thread": "t-1", "parent": ids["asked"], "input": {"question": "Where is my order?"}, "output": MARKDOWN, "model": "small-1",
                "usage": {"input": 120, "output": 45}, "startedAt": at + 100, "endedAt": at + 2200, "success": True}),
        (back, {"type": "run", "id": ids["child"], "kind": "tool", "name": "find_order", "thread": "t-1", "parent": ids["run"], "input": {"order": 7}, "error": {"message": "shop is closed"}, "startedAt": at + 600, "endedAt": at + 1600, "success": False}),
        (back, {"type": "run", "id": new_id(), "kind": "llm", "name": "polite", "thread": "t-1", "parent": ids["same"], "output": "You are welcome.", "startedAt": at + 12 * MINUTE, "endedAt": at + 12 * MINUTE + 900, "success": True}),
        (back, {"type": "run", "id": new_id(), "kind": "llm", "name": "priced", "thread": "t-1", "parent": ids["other"], "output": "The price is 100 euros.", "startedAt": at + 13 * MINUTE - 900, "endedAt": at + 13 * MINUTE, "success": True}),
        (page, {"type": "feedback", "id": new_id(), "target": ids["same"], "thumb": "down", "comment": "too late", "user": user}),
    ]:
        assert project.send(event, key=key) == ["stored"], event
    yield project, ids
    project.assert_law()


def test_a_conversation_reads_as_it_went(page, house, told):
    project, ids = told
    house.enter(page, project, "t-1")
    page.reads("Thanks!", within=LOG)
    # Who said what stands on whose side, with times and how long the answer took.
    article(page, "You are welcome.")
    sides = page.evaluate("""() => { const log = eyes.find({ role: "log" })[0].getBoundingClientRect(), at = (text) => { const box = eyes.holding(text, { role: "log" })[0].getBoundingClientRect();
        return [box.left - log.left, log.right - box.right] }; return { asked: at("Thanks!"), answered: at("You are welcome.") } }""")
    assert sides["asked"][0] > sides["asked"][1] and sides["answered"][0] < sides["answered"][1], sides
    label, words = article(page, "You are welcome.")
    assert label.startswith("Assistant, ") and re.search(r"\d\d?:\d\d", label) and "1.2 s" in words
    assert page.count("time", within=LOG) >= 5
    # What a visitor typed is text, with its line ends; an address in it is a link.
    assert page.count(text="It was <b>urgent</b>.", within=LOG) == 1
    assert page.attribute("href", "link", "https://example.com/a?b=1", within=LOG) == "https://example.com/a?b=1"
    # What the assistant said is marked up.
    page.sees("heading", "Your order", within=LOG).sees("strong", within=LOG)
    assert page.count("columnheader", within=LOG) == 2 and page.count("cell", within=LOG) == 2
    assert page.attribute("href", "link", "the page", within=LOG) == "https://example.com/order" and "noopener" in page.attribute("rel", "link", "the page", within=LOG)
    colours = page.evaluate("() => new Set([...document.querySelectorAll('article pre code *')].map((e) => getComputedStyle(e).color)).size")
    assert colours >= 2, "the code isn't highlighted"
    # A silence, an event and a tool stand where they were.
    everything = page.evaluate("() => eyes.find({ role: 'log' })[0].textContent")
    assert re.search(r"1[12] min\w* later", everything), everything
    order = [everything.index(each) for each in ("Where is my order?", "opened-document", "Thanks!", "You are welcome.", "The price is 10 euros.")]
    assert order == sorted(order)
    assert "Tool" in page.evaluate("(id) => document.querySelector(`[data-message='${id}']`).textContent", ids["tool"])
    assert "too late" in article(page, "You are welcome.")[1]


def test_tries_are_turned_like_pages(page, house, told):
    project, ids = told
    house.enter(page, project, "t-1")
    tries = thing("group", "Tries")
    page.reads("3 of 3", within=tries)
    assert page.count(text="Still looking", within=LOG) == 0
    page.click("button", "Previous try").reads("2 of 3", within=tries).reads("Still looking", within=LOG)
    page.click("button", "Previous try").reads("Let me look", within=LOG)
    page.click("button", "Next try").click("button", "Next try").sees("heading", "Your order", within=LOG)


def test_where_a_message_came_from_is_explained(page, house, told):
    project, _ = told
    house.enter(page, project, "t-1")
    page.reads("Thanks!", within=LOG)
    page.hover(css="article.user [data-tip]")
    page.sees("tooltip")
    assert page.words("tooltip").startswith("Claimed:")
    page.press("Escape")
    page.misses("tooltip")
    # The keyboard gets there too.
    page.evaluate("() => document.querySelector('article.user [data-tip]').closest('article').focus()")
    for _ in range(12):
        page.press("Tab")
        if page.count("tooltip"):
            break
    page.sees("tooltip")


def test_page_and_run_are_compared(page, house, told):
    project, ids = told
    items = {item["id"]: item for item in project.conversation("t-1")["items"] if item["type"] == "message"}
    assert items[ids["same"]]["confirmation"] == "confirmed" and items[ids["other"]]["confirmation"] == "differs"
    assert items[ids["other"]]["finding"]["produced"] == "The price is 100 euros."
    house.enter(page, project, "t-1", provenance="differs")
    page.reads("differ", within=LIST)
    assert "confirmed" in article(page, "You are welcome.")[1]
    page.reads("The page showed something else than the run produced", within=LOG)
    difference = page.evaluate("() => { const d = [...document.querySelectorAll('.diff')].at(-1); return [[...d.querySelectorAll('del')].map((e) => e.textContent), [...d.querySelectorAll('ins')].map((e) => e.textContent)] }")
    assert "10" in difference[0][0] and "100" in difference[1][0]


def test_only_the_talk_or_every_letter(page, house, told):
    project, _ = told
    house.enter(page, project, "t-1")
    page.reads("opened-document", within=LOG)
    page.click("button", "Conversation only (v)")
    page.misses(text="opened-document").reads("Thanks!", within=LOG)
    assert page.count(text="parcel\": 7", within=LOG) == 0
    page.reads("shop is closed", within=LOG)  # what failed stays
    page.press("v")
    page.reads("opened-document", within=LOG)
    page.press("r")
    page.reads("## Your order", within=LOG).reads("It is **on its way**", within=LOG)
    assert page.count("heading", "Your order", within=LOG) == 0
    page.press("r")
    page.sees("heading", "Your order", within=LOG)


def test_a_link_leads_to_a_message_a_run_and_a_moment(page, house, told):
    project, ids = told
    house.enter(page, project, "t-1")
    page.resize(1440, 500)
    page.goto(house.address(project, "t-1", m=ids["other"]))
    page.wait_for("(id) => { const box = document.querySelector(`[data-message='${id}']`)?.getBoundingClientRect(); return box && box.top >= 0 && box.top < innerHeight }", ids["other"], what="the linked message in sight")
    # A link that names only the message finds its conversation.
    page.goto(house.address(project, m=ids["asked"]))
    page.wait_for("(id) => { const box = document.querySelector(`[data-message='${id}']`)?.getBoundingClientRect(); return box && box.top > -40 && box.top < innerHeight }", ids["asked"], what="the message named alone")
    page.goto(house.address(project, run=ids["child"]))
    page.reads("find_order", within=LOG).reads("shop is closed", within=LOG)
    page.forgives("status of 404").goto(house.address(project, "t-1", m="no-such-message")).reads("Thanks!", within=LOG).reads("There is no message of that ID")


def test_what_is_copied_can_be_pasted(page, house, told):
    project, ids = told
    house.enter(page, project, "t-1")
    page.reads("Thanks!", within=LOG)
    asked = thing(css=f"[data-message='{ids['later']}']")
    page.click("button", "Copy link to this message", within=asked).reads("Link copied")
    page.press("/")
    page.press("Control+v")
    page.wait_for("(id) => document.activeElement.value.includes(`m=${id}`)", ids["later"], what="the link to be pasted")


# MARK: traces


def test_the_runs_behind_a_message(page, house, told):
    project, ids = told
    house.enter(page, project, "t-1")
    page.reads("Thanks!", within=LOG)
    asked = thing(css=f"[data-message='{ids['asked']}']")
    page.evaluate("(id) => { const d = document.querySelector(`[data-message='${id}'] details.trace, [data-message='${id}'] .trace details`) ?? [...document.querySelectorAll(`[data-message='${id}'] details`)].find((d) => d.innerText.includes('run')); if (d.open) d.querySelector('summary').click() }", ids["asked"])
    page.click("button", re.compile(r"2 runs|answerer"), within=asked)
    page.sees("list", "Runs", within=asked).reads("answerer", within=asked).reads("find_order", within=asked)
    bars = page.evaluate("""(id) => [...document.querySelectorAll(`[data-message='${id}'] .bar, [data-message='${id}'] [class*=track] > *`)].map((e) => e.getBoundingClientRect()).filter((b) => b.width > 0).map((b) => [b.left, b.right])""", ids["asked"])
    assert len(bars) >= 2 and bars[1][0] > bars[0][0] and bars[1][1] < bars[0][1] + 1, bars
    page.click("button", re.compile("answerer"), within=asked) if not page.count(text="small-1", within=asked) else None
    page.click(text="find_order", within=asked)
    page.reads("shop is closed", within=asked)
    assert "165" in page.evaluate("(id) => document.querySelector(`[data-message='${id}']`).textContent", ids["asked"])
    page.click("link", "To the message", within=asked)
    page.wait_for("(id) => location.hash.includes(`m=${id}`)", ids["asked"])


# MARK: judging


@pytest.fixture
def judged(project):
    """A conversation of one question and one answer, still active; answers the project and the answer's id."""
    asked, answered = new_id(), new_id()
    assert project.send({**message(text="May I return it?", at=ago(MINUTE)), "id": asked}, {**message(text="Within 30 days.", role="assistant", at=ago(MINUTE - 2000), replyTo=asked), "id": answered}) == ["stored"] * 2
    return project, answered


def thread_of(project):
    return project.read("/v1/threads/t-1")["thread"]


def test_a_thumb_and_why(page, house, judged):
    project, answered = judged
    house.enter(page, project, "t-1", name="Thumbs")
    there = thing(css=f"[data-message='{answered}']")
    page.click("button", "Thumb down", within=there)
    vote = until("the thumb", lambda: [vote for vote in project.read(f"/v1/messages/{answered}")["message"]["feedback"]["votes"] if vote["thumb"] == "down"])[0]
    assert (vote["by"], vote["name"]) == ("reviewer", "Thumbs")
    page.wait_for("(what) => eyes.find(what)[0]?.getAttribute('aria-pressed') === 'true'", thing("button", "Thumb down", within=there))
    page.click("button", re.compile("^Score"), within=there)
    page.fill("textbox", "Why this thumb", text="it is 14 days", within=there)
    page.click("button", "Keep", within=there).reads("Reason kept")
    assert [vote["comment"] for vote in project.read(f"/v1/messages/{answered}")["message"]["feedback"]["votes"]] == ["it is 14 days"]
    page.click("button", "Thumb up", within=there)
    until("the other thumb", lambda: [v["thumb"] for v in project.read(f"/v1/messages/{answered}")["message"]["feedback"]["votes"]] == ["up"])
    page.click("button", "Thumb up", within=there)
    until("no thumb", lambda: all(v["thumb"] in (None, "null") for v in project.read(f"/v1/messages/{answered}")["message"]["feedback"]["votes"]))
    page.wait_for("(what) => eyes.find(what)[0]?.getAttribute('aria-pressed') === 'false'", thing("button", "Thumb up", within=there))
    # By key, on the message that is selected.
    page.evaluate("(id) => document.querySelector(`[data-message='${id}']`).focus()", answered)
    page.press("u")
    until("the thumb by key", lambda: [v["thumb"] for v in project.read(f"/v1/messages/{answered}")["message"]["feedback"]["votes"]] == ["up"])


def test_an_answer_that_was_asked_for_before_a_vote_leaves_it(page, house, judged):
    project, answered = judged
    house.enter(page, project, "t-1", name="Hasty")
    page.evaluate("""() => {
        const real = window.fetch;
        Object.assign(window, { held: 0, isHolding: true });
        window.fetch = async (...asked) => {
            const answer = await real(...asked);
            if (isHolding && new URL(asked[0], location).pathname.endsWith("/v1/threads/t-1")) {
                held += 1;
                await new Promise((go) => { window.release = go; });
            }
            return answer;
        };
    }""")
    project.send(message(text="And may I keep it?", at=ago(1000)))
    page.wait_for("() => held > 0")
    down = thing("button", "Thumb down", within=thing(css=f"[data-message='{answered}']"))
    pressed = "(what) => eyes.find(what)[0]?.getAttribute('aria-pressed') === 'true'"
    page.click("button", "Thumb down", within=thing(css=f"[data-message='{answered}']"))
    page.wait_for(pressed, down)
    until("the thumb", lambda: [vote["thumb"] for vote in project.read(f"/v1/messages/{answered}")["message"]["feedback"]["votes"]] == ["down"])
    page.evaluate("""(what) => {
        window.seen = [];
        const look = () => { seen.push(eyes.find(what)[0]?.getAttribute("aria-pressed")); setTimeout(look, 4); };
        isHolding = false;
        release();
        look();
    }""", down)
    # It came with the answer that is thrown away, and comes again with the next.
    page.reads("And may I keep it?")
    assert page.evaluate("() => seen.length > 0 && seen.every((state) => state === 'true')"), page.evaluate("() => [...new Set(seen)]")


def test_a_score_waits_for_the_end_and_goes_when_it_goes_on(page, house, judged):
    project, _ = judged
    house.enter(page, project, "t-1", name="Scores")
    page.reads("The conversation is active. People score it once it is inactive", within=DETAILS)
    page.reads("Scoring by review", within=DETAILS)
    session = house.session("Scores")
    refused = session.post(f"{house.url}/v1/scores?project={project.name}", json={"target": "t-1", "name": "quality", "value": 1}, timeout=10)
    assert refused.status_code == 409 and refused.json()["error"]["code"] == "conversation_active" and "inactive" in refused.json()["error"]["message"]
    page.click("button", "Close now", within=DETAILS).sees("button", "Re-open", within=DETAILS)
    assert thread_of(project)["status"] == "inactive"
    page.fill("spinbutton", "Value", text="0.25", within=DETAILS)
    page.fill("textbox", "Reason", text="too curt", within=DETAILS)
    page.click("button", "Give score", within=DETAILS).reads("Scored: quality 0.25")
    page.reads("too curt", within=DETAILS)
    (score,) = thread_of(project)["scores"]
    assert (score["name"], score["value"], score["reason"], score["author"], score["judge"], score["stale"]) == ("quality", 0.25, "too curt", "Scores", "person", False)
    # It goes on: what was said of the whole would speak of a part.
    project.send(message(text="One more thing", at=ago(0)))
    page.reads("when the conversation went on", within=DETAILS)
    thread = thread_of(project)
    assert thread["scores"] == [] and [(s["name"], s["why"]) for s in thread["removedScores"]] == [("quality", "reactivated")]
    page.reads("The conversation is active.", within=DETAILS)


def test_a_key_scores_and_a_category_is_no_number(page, house, judged):
    project, _ = judged
    close(project, "t-1")
    house.enter(page, project, "t-1", name="Keys")
    page.reads("Within 30 days.", within=LOG)
    page.press("4")
    page.reads("Scored: quality 0.75")
    page.fill("combobox", "Name", text="tone", within=DETAILS)
    page.click("radio", "Category", within=DETAILS)
    page.fill("textbox", "Category", text="friendly", within=DETAILS)
    page.click("button", "Give score", within=DETAILS).reads("Scored: tone friendly")
    scores = {score["name"]: (score["value"], score["category"]) for score in thread_of(project)["scores"]}
    assert scores == {"quality": (0.75, None), "tone": (None, "friendly")}
    page.click("button", "Take back your score tone", within=DETAILS)
    until("the score to go", lambda: [score["name"] for score in thread_of(project)["scores"]] == ["quality"])
    names = [each["name"] for each in project.read("/v1/score-names")["names"]]
    assert "quality" in names


def test_tags_are_put_on_and_taken_off(page, house, judged):
    project, _ = judged
    house.enter(page, project, "t-1", name="Tags")
    page.fill("combobox", "Tag", text="refund", within=DETAILS)
    page.click("button", "Add", within=DETAILS).reads("Tag added")
    assert thread_of(project)["tags"] == ["refund"]
    page.sees("link", "refund", within=DETAILS)
    page.click("button", "Remove tag refund", within=DETAILS)
    until("the tag to go", lambda: thread_of(project)["tags"] == [])
    page.misses("link", "refund")


def test_comments_are_a_talk_among_reviewers(open_page, house, judged):
    project, _ = judged
    page = open_page()
    house.enter(page, project, "t-1", name="Comments")
    page.fill("textbox", "Comment", text="Is this **right**? <i>", within=DETAILS)
    page.click("button", "Send", within=DETAILS).reads("Is this **right**? <i>", within=DETAILS)
    other = open_page()
    house.enter(other, project, "t-1", name="Answers")
    other.click("button", "Reply", within=DETAILS)
    other.fill("textbox", "Reply to Comments", text="It is not.", within=DETAILS)
    other.press("Control+Enter")
    page.reads("It is not.", within=DETAILS)
    assert page.count("button", "Edit", within=DETAILS) == 1, "one edits only one's own"
    page.click("button", "Edit", within=DETAILS)
    page.fill("textbox", "Edit", text="Is this so?", within=DETAILS)
    page.press("Control+Enter")
    page.reads("edited", within=DETAILS)
    (comment,) = thread_of(project)["comments"]
    assert (comment["text"], comment["author"], [reply["text"] for reply in comment["replies"]]) == ("Is this so?", "Comments", ["It is not."]) and comment["changedAt"]
    other.click("button", "Delete", within=DETAILS).click("button", "Really delete?", within=DETAILS)
    until("the answer to go", lambda: thread_of(project)["comments"][0]["replies"] == [])


def test_done_and_the_next_one(page, house, project):
    for number in range(3):
        project.send(message(f"t-{number}", f"Number {number}", at=ago((9 - number) * MINUTE)))
    house.enter(page, project, "t-2", name="Done", reviewed="false")
    page.reads("Number 2", within=LOG)
    page.press("e")
    page.reads("Number 1", within=LOG)
    page.click("button", "Done, next unreviewed", within=DETAILS).reads("Number 0", within=LOG)
    page.press("e")
    page.reads("Nothing unreviewed is left")
    assert [thread["reviewed"]["by"] for thread in project.read("/v1/threads")["threads"]] == ["Done"] * 3
    assert project.read("/v1/threads", reviewed="false")["threads"] == []


def test_what_was_opened_is_seen_by_this_person_only(page, house, project):
    project.send(message(at=ago(MINUTE)))
    reader, other = house.session("Seer", "reader"), house.session("Other", "reader")

    def seen(session):
        return session.get(f"{house.url}/v1/threads?project={project.name}", timeout=10).json()["threads"][0]["seen"]

    assert seen(reader) is False
    house.enter(page, project, "t-1", role="reader", name="Seer")
    until("seen", lambda: seen(reader) is True)
    assert seen(other) is False
    project.send(message(thread="t-2", text="Elsewhere", at=ago(0)))
    page.goto(house.address(project, "t-2")).reads("Elsewhere", within=LOG)
    project.send(message(text="Again", at=ago(0)))
    until("unseen again", lambda: [t["seen"] for t in reader.get(f"{house.url}/v1/threads?project={project.name}", timeout=10).json()["threads"] if t["id"] == "t-1"] == [False])


# MARK: the replay

SHOWN = "() => [...document.querySelectorAll('article')].filter(eyes.visible).length"


@pytest.fixture(scope="module")
def played(house):
    """Six messages over two minutes with one long silence and one event."""
    project = house.project("played")
    at = ago(30 * MINUTE)
    for number, offset in enumerate((0, 1500, 4000, 90_000, 91_000, 120_000)):
        project.send(message("t-1", f"Word {number}", "user" if number % 2 == 0 else "assistant", at=at + offset))
    project.send({"type": "event", "id": new_id(), "thread": "t-1", "name": "clicked", "at": at + 5000})
    return project


def test_a_conversation_plays_at_its_own_pace(page, house, played):
    house.enter(page, played, "t-1")
    page.wait_for("() => document.querySelectorAll('article').length === 6")
    page.press("p")
    player = thing("group", "Replay")
    page.sees("slider", "Position", within=player)
    assert page.evaluate(SHOWN) < 3
    page.wait_for("() => document.querySelectorAll('[role=slider] .tick').length >= 6", what="a tick for each")
    page.wait_for(f"() => ({SHOWN})() >= 2", timeout=6)  # after a second and a half
    page.press("Space")
    page.sees("button", "Play (space)")
    shown = page.evaluate(SHOWN)
    page.press("ArrowRight")
    page.wait_for(f"(before) => ({SHOWN})() === before + 1 || document.querySelector('.event')", shown)
    page.press("End")
    page.wait_for(f"() => ({SHOWN})() === 6")
    page.press("Home")
    page.wait_for(f"() => ({SHOWN})() <= 1")
    # Sixteen times as fast, and silences cut to three seconds: two minutes are over in one.
    page.click("radio", "16×")
    page.click("button", "Play (space)")
    page.wait_for(f"() => ({SHOWN})() === 6", timeout=6)
    page.press("p")
    page.misses("group", "Replay")
    assert page.evaluate(SHOWN) == 6


def test_silences_can_be_played_whole_and_a_link_names_the_moment(page, house, played):
    house.enter(page, played, "t-1")
    page.goto(house.address(played, "t-1", play=1, t=91))
    player = thing("group", "Replay")
    page.sees("slider", "Position", within=player)
    page.wait_for(f"() => ({SHOWN})() >= 5")
    page.press("Space")
    length = "() => Number(eyes.find({ role: 'slider', name: 'Position' })[0].getAttribute('aria-valuemax'))"
    cut = page.evaluate(length)
    page.click("checkbox", "cut silences to 3 s", within=player)
    whole = page.evaluate(length)
    assert cut <= 15 and whole == 120
    page.click("button", "Copy link to this moment", within=player).reads("Link copied")


def test_who_asks_for_stillness_goes_step_by_step(open_page, house, played):
    page = open_page(still=True)
    house.enter(page, played, "t-1")
    page.press("p")
    page.reads("step by step")
    shown = page.evaluate(SHOWN)
    page.press("ArrowRight")
    page.press("ArrowRight")
    page.wait_for(f"(before) => ({SHOWN})() > before", shown)
    assert page.evaluate("() => document.getAnimations().filter((a) => a.playState === 'running' && a.effect.getComputedTiming().duration > 10).length") == 0
