"""The review page is light and quick: bytes of the first load, and how soon a long conversation can be read."""

import json

import pytest

from page import Chromium
from parley_process import new_id
from review import House

FIRST_LOAD = 80 * 1024  # bytes on the wire, compressed, of all that the empty page asks for
LONG = 2000  # messages
READABLE = 300  # milliseconds until they are on screen, of a page that is there already


@pytest.fixture(scope="module")
def house(gateway):
    return House(gateway)


@pytest.fixture
def page(browsers):
    page = browsers.page("chromium").forgives("status of 401")
    yield page
    page.close()
    assert page.complaints() == []


def test_the_first_load_is_small(page: Chromium, house):
    project = house.project("light")
    project.send({"type": "message", "id": new_id(), "thread": "t-1", "role": "user", "content": "Hello"})
    link = house.member("Some reviewer", "reviewer")
    fresh = page.tab.context.new_cdp_session(page.tab)
    fresh.send("Network.enable")
    fresh.send("Network.setCacheDisabled", {"cacheDisabled": True})
    loaded, names = {}, {}
    fresh.on("Network.responseReceived", lambda told: names.update({told["requestId"]: (told["response"]["url"], {k.lower(): v for k, v in told["response"]["headers"].items()})}))
    fresh.on("Network.loadingFinished", lambda told: loaded.update({told["requestId"]: told["encodedDataLength"]}))
    page.goto(link).sees("banner").reads("Hello")
    sizes = {url: loaded[each] for each, (url, _) in names.items() if each in loaded and "/ui/" in url and not url.endswith("/ui/session")}
    page.goto(house.address(project, "t-1")).sees("log", "Conversation")
    total = sum(sizes.values())
    assert len(sizes) > 5 and total <= FIRST_LOAD, f"{total} bytes: {json.dumps(sizes, indent=1)}"
    for url, headers in names.values():
        if url.endswith((".js", ".css")):
            assert headers.get("content-encoding") == "gzip", url


@pytest.fixture(scope="module")
def long(house):
    project = house.project("long")
    text = "Here is *what* to do:\n\n1. open **orders**\n2. choose `return`\n\n| Day | State |\n|---|---|\n| Mon | sent |\n"
    for start in range(0, LONG, 500):
        sent = project.send(*[{"type": "message", "id": f"{number:04}-{new_id()}", "thread": "long", "role": "assistant" if number % 2 else "user", "content": text if number % 2 else f"Question {number}?", "at": 1795229470000 + number * 1000}
                              for number in range(start, start + 500)])
        assert set(sent) == {"stored"}
    project.send({"type": "message", "id": new_id(), "thread": "short", "role": "user", "content": "Short", "at": 1795229470000})
    return project


# From the click to the picture in which the first messages can be read; then how long until all are there.
WATCH = """() => {
    performance.clearMarks();
    window.first = window.all = null;
    addEventListener("click", () => performance.mark("clicked"), { capture: true, once: true });
    const look = () => {
        const articles = document.querySelectorAll("article").length, seen = articles > 5 && [...document.querySelectorAll("article")].some((a) => { const box = a.getBoundingClientRect(); return box.height > 0 && box.top < innerHeight && box.bottom > 0; });
        const clicked = performance.getEntriesByName("clicked")[0]?.startTime;
        if (seen && clicked && first === null) requestAnimationFrame(() => { window.first = performance.now() - clicked; });
        if (articles >= 2000 && all === null) window.all = performance.now() - clicked;
        if (all === null) setTimeout(look, 4);
    };
    look();
}"""


def test_a_long_conversation_is_soon_on_screen(page, house, long):
    house.enter(page, long, "short")
    page.reads("Short", within={"role": "log"})
    page.sees("link", within={"role": "list", "name": "Conversations"})
    times = []
    for _ in range(3):
        page.goto(house.address(long, "short")).wait_for("() => document.querySelectorAll('article').length === 1")
        page.evaluate(WATCH)
        page.click(css="a[href*='/long/long']")
        page.wait_for("() => window.first && window.all", timeout=30, what="all 2,000 messages")
        times.append(page.evaluate("() => [window.first, window.all]"))
    best = min(first for first, _ in times)
    print(f"first messages after {best:.0f} ms, all after {min(every for _, every in times):.0f} ms")
    assert best < READABLE, times
    # And it answers a key with all of them there.
    page.evaluate("() => addEventListener('keydown', (event) => requestAnimationFrame(() => setTimeout(() => { window.answered = performance.now() - event.timeStamp })), { capture: true, once: true })")
    page.press("?")
    page.sees("dialog")
    assert page.evaluate("() => window.answered") < 1000
