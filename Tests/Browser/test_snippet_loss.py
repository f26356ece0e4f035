"""The browser client in a real Chromium and a real Firefox, while all goes wrong that does on real pages and lines.

Each test ends by reading the store: every message that was tracked is there, once, or its loss is in a client report.
When it is over, nothing may have escaped into the page, and the console may have heard one line.
"""

import json
import os
import re
import shutil
import signal
import tempfile
import time
from pathlib import Path

import pytest
import requests

import tabs
from faults import Loop, Pages
from parley_process import until
from visits import NONE, TRACES, Projects, Visit, on_disk, uncompressible

# Where Debian's packages node-react and node-react-dom put their script-tag builds.
REACT = Path(os.environ.get("REACT_UMD", "/usr/share/nodejs"))


@pytest.fixture(scope="module")
def loop():
    loop = Loop()
    yield loop
    loop.stop()


@pytest.fixture(scope="module")
def site(loop):
    site = Pages(loop)
    yield site
    site.stop()


@pytest.fixture(scope="module", params=["chromium", "firefox"])
def one(request):
    """One browser, for all its tests."""
    browser = tabs.start(request.param)
    yield browser
    browser.stop()


@pytest.fixture(scope="module")
def projects(gateway):
    projects = Projects(gateway)
    yield projects
    projects.stop()


@pytest.fixture
def make_visit(one, projects, loop, site, request):
    made = []

    def make(*options):
        made.append(Visit(one, projects, loop, site, *options))
        return made[-1]

    failed = request.session.testsfailed
    yield make
    for visit in made:
        visit.end(request.session.testsfailed == failed)


@pytest.fixture
def visit(make_visit):
    return make_visit()


LEAVE = """(texts, delay, next) => {
  texts.forEach((text) => say(text));
  const leave = () => { location.href = next };
  delay === null ? leave() : setTimeout(leave, delay);
}"""


def leave(tab, url, *texts, delay=None):
    """Says the texts and goes elsewhere, in one turn of the page, or some milliseconds later."""
    tab.evaluate(LEAVE, texts, delay, url)
    return tab.arrives(url)


# ------------------------------------------------------------------------------------------------------ the page ends


@pytest.mark.parametrize("late", [0, 0.04], ids=["near", "far"])
@pytest.mark.parametrize("delay", [None, 20, 100], ids=["0ms", "20ms", "100ms"])
def test_what_is_said_right_before_leaving_arrives(visit, delay, late):
    visit.line.faults.late = late
    url = visit.page()
    tab = visit.tab(url)
    texts = [f"leaving, {number}" for number in range(5)]
    for number, text in enumerate(texts):
        if number % 2:
            tab.ready()  # else it may be the loader that hears it
        leave(tab, f"{url}?{number}", text, delay=delay)
    visit.keeps(*texts)


def test_what_is_said_in_the_first_line_of_a_page_that_leaves_at_once_arrives(visit):
    there = visit.plain()
    tab = visit.tab(visit.page(after=f"say('in passing'); location.href = {json.dumps(there)};"))
    tab.arrives(there)
    visit.keeps("in passing")


def test_what_is_said_in_pagehide_itself_arrives(visit):
    tab = visit.opened(after="addEventListener('pagehide', () => say('good-bye'));")
    tab.evaluate("() => say('hello')")
    leave(tab, visit.plain())
    visit.keeps("hello", "good-bye")


def test_a_tab_closed_right_after_a_message_loses_nothing(visit):
    tab = visit.opened()
    tab.evaluate("() => say('settled')")
    visit.keeps("settled")
    tab.evaluate("() => say('closing')")
    tab.close()
    visit.keeps("settled", "closing")


def test_a_window_that_closes_itself_in_the_same_turn_loses_nothing(visit):
    """Once before its script is there, once with a socket open."""
    tab = visit.tab(visit.plain())
    tab.gesture = True  # a window opened without one is refused
    for after in ("say('early words'); close();", "const poll = setInterval(() => { if (parley.version) { clearInterval(poll); parley.flush().then(() => { say('last words'); close() }) } }, 5);"):
        assert tab.evaluate("(url) => Boolean(window.popup = window.open(url, '', 'width=300,height=300'))", visit.page(after=after))
        tab.wait_for("() => popup.closed")
    visit.keeps("early words", "last words")


def test_a_long_goodbye_leaves_in_bodies_that_browsers_take(visit):
    """60 KiB may be on their way at a page's end; 50 messages of 1 KB are within that."""
    visit.line.faults.upgrades = "swallowed"
    tab = visit.opened()
    texts = [f"{number:02} " + "x" * 1000 for number in range(50)]
    leave(tab, visit.plain(), *texts)
    visit.keeps(*texts)


@pytest.mark.parametrize("scripts", ["swallowed", 404])
def test_the_loader_alone_saves_what_was_said_where_the_script_never_comes(visit, scripts):
    visit.line.faults.scripts = scripts
    tab = visit.tab(visit.page())
    ids = tab.evaluate("() => [say('one'), say('two', { tags: ['t'] })]")
    assert len(set(ids)) == 2
    leave(tab, visit.plain(), "three")
    visit.keeps("one", "two", "three")
    assert {each["event"]["id"] for each in visit.events()} >= set(ids)


AROUND = "addEventListener('pagehide', () => say('leaving'), { once: true }); addEventListener('pageshow', (event) => { window.persisted = event.persisted });"


@pytest.mark.parametrize("over", ["socket", "fetch"])
def test_a_page_that_comes_back_from_the_cache_goes_on(one, visit, over):
    """Firefox keeps no page that had an open socket or a request under way as it was left, even if pagehide closes it: the
    page is loaded anew then. So a second page has no sockets, by its policy, and says its last word in pagehide."""
    headers = {"Content_Security_Policy": f"connect-src {visit.line.url}"} if over == "fetch" else None
    url, there = visit.page(after=AROUND, headers=headers), visit.plain()
    tab = visit.tab(url).ready()
    tab.evaluate("() => { window.born = 1; say('before') }")
    visit.keeps("before")
    assert len(visit.line.open_sockets()) == (over == "socket")
    leave(tab, there)
    until("the socket to be closed", lambda: not visit.line.open_sockets(), 5)
    tab.evaluate("() => { setTimeout(() => history.back()) }")
    tab.arrives(url)
    if over == "fetch" or one.name == "chromium":
        assert tab.wait_for("() => window.persisted", timeout=5) is True and tab.evaluate("() => window.born") == 1, "the page was not kept in the cache"
    tab.ready().evaluate("() => say('after')")
    visit.keeps("before", "leaving", "after")
    assert len(visit.line.open_sockets()) == (over == "socket")


def test_a_hidden_page_sends_and_what_it_sent_twice_is_stored_once(visit):
    tab = visit.opened()
    tab.evaluate("() => say('seen')")
    other = visit.tab(visit.plain(), beside=tab)
    tab.wait_for("() => document.hidden")
    tab.evaluate("() => { say('unseen'); document.dispatchEvent(new Event('visibilitychange')); say('unseen too') }")
    visit.keeps("seen", "unseen", "unseen too")
    tab.front()
    other.wait_for("() => document.hidden")
    tab.wait_for("() => !document.hidden")
    tab.evaluate("() => say('seen again')")
    visit.keeps("seen", "unseen", "unseen too", "seen again")


# --------------------------------------------------------------------------------------------------- the line, the gateway


def test_what_is_said_offline_arrives_once_the_line_is_back(visit):
    tab = visit.opened()
    tab.evaluate("() => say('online')")
    visit.keeps("online")
    tab.offline()
    visit.line.away()
    tab.wait_for("() => !navigator.onLine")
    tab.evaluate("() => { say('offline'); say('still offline') }")
    time.sleep(0.5)
    visit.line.back()
    tab.offline(False)
    visit.keeps("online", "offline", "still offline", within=10)


def test_a_line_that_is_cut_again_and_again_loses_and_doubles_nothing(visit):
    tab = visit.opened()
    texts = [f"piece {number}" for number in range(12)]
    for number, text in enumerate(texts):
        tab.evaluate("(text) => { say(text) }", text)
        if number % 4 == 3:
            time.sleep(0.05)
            visit.line.cut()
    visit.keeps(*texts, within=20)


def test_an_ack_that_is_lost_is_heard_again_as_a_duplicate(visit):
    visit.line.faults.late = 0.25
    tab = visit.opened(after="parley.on('verdict', (verdict) => heard.push(verdict));")
    tab.evaluate("() => say('first')")
    visit.keeps("first")
    tab.wait_for("() => heard.length === 1")
    name = tab.evaluate("() => say('unsure')")
    visit.keeps("first", "unsure")
    visit.line.cut()  # the store has it, the page does not know
    visit.line.faults.late = 0
    verdicts = tab.wait_for("(id) => { const own = heard.filter((each) => each.id === id); return own.length && own }", name)
    assert [each["verdict"] for each in verdicts] in (["duplicate"], ["stored"])
    visit.keeps("first", "unsure")


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGKILL], ids=["drained", "killed"])
def test_a_gateway_restarted_in_mid_chat_loses_and_doubles_nothing(visit, sign):
    tab = visit.opened()
    tab.evaluate("() => say('before')")
    visit.keeps("before")
    visit.projects.settle()
    tab.evaluate("() => say('as it goes')")
    visit.gateway.stop(sign)
    try:
        tab.evaluate("() => say('while it is away')")
        time.sleep(0.3)
    finally:
        visit.gateway.start()
    tab.evaluate("() => say('after')")
    visit.keeps("before", "as it goes", "while it is away", "after", within=25)


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_obeyed(visit, status):
    visit.line.faults.upgrades = "refused"
    visit.line.faults.answers = [(status, 3)]
    tab = visit.opened()
    tab.evaluate("() => say('asked to wait')")
    until("the refusal", lambda: visit.line.posts() and visit.line.posts()[0].answered)
    tab.evaluate("() => say('meanwhile')")
    visit.keeps("asked to wait", "meanwhile")
    first, second = visit.line.posts()[:2]
    assert first.status == status and second.at - first.answered >= 2.98, "the request came too early"


@pytest.mark.parametrize("status", [400, 413])
def test_a_body_that_is_refused_for_good_costs_one_event_at_most(visit, status):
    """The next six posts are refused whatever they hold: halved down to one, which is given up and reported."""
    visit.line.faults.upgrades = "refused"
    visit.line.faults.answers = [(status, 0)] * 3
    tab = visit.opened()
    tab.evaluate("() => { for (let number = 0; number < 4; number++) say('m' + number) }")
    until("the refusals to be used up", lambda: not visit.line.faults.answers, 20)
    until("a report", lambda: sum(visit.reported().values()) == 4 - len(visit.kept()) <= 1, 20)
    visit.keeps(*visit.kept())


def test_a_quota_holds_the_page_back_and_loses_nothing(make_visit):
    visit = make_visit("--key-quota", "20/s:10", "--address-quota", "none")
    tab = visit.opened()
    texts = [f"quick {number:02}" for number in range(50)]
    tab.evaluate("(texts) => { texts.forEach((text) => say(text)) }", texts)
    visit.keeps(*texts, within=25)


@pytest.mark.parametrize("upgrades", ["refused", "cut", "swallowed"])
def test_fetch_takes_the_place_of_a_socket_that_a_proxy_blocks(visit, upgrades):
    visit.line.faults.upgrades = upgrades
    tab = visit.opened()
    tab.evaluate("() => say('by fetch')")
    visit.keeps("by fetch", within=15)  # ten seconds may go by until an upgrade without an answer is given up
    tab.evaluate("() => say('by fetch too')")
    visit.keeps("by fetch", "by fetch too", within=5)
    assert {each["transport"] for each in visit.events()} == {"http"} and not visit.line.sockets
    visit.line.faults.upgrades = ""
    visit.line.cut()
    until("a socket after all", lambda: visit.line.open_sockets(), 20)


def test_a_message_of_200_kb_is_dropped_and_reported_and_holds_nothing_up(visit):
    tab = visit.opened()
    tab.evaluate("() => { say('small'); say('x'.repeat(200000)); say('small too') }")
    visit.keeps("small", "small too", lost={"event_too_large": 1})


def test_a_message_too_large_for_a_beacon_goes_at_once(visit):
    tab = visit.opened()
    large = "y" * 62_000
    tab.evaluate("(text) => { say(text); say('small') }", large)
    visit.keeps(large, "small")


# --------------------------------------------------------------------------------------------------------- storage


def test_what_could_not_leave_is_sent_by_the_next_visit_which_hears_its_verdict(visit):
    url = visit.page(storage="true", after="parley.on('verdict', (verdict) => heard.push(verdict));")
    tab = visit.tab(url).ready()
    tab.evaluate("() => say('settled')")
    visit.keeps("settled")
    visit.line.away()
    first = tab.evaluate("() => say('stranded')")
    stored = tab.wait_for("() => { const key = Object.keys(localStorage).find((key) => localStorage[key].includes('stranded')); return key }", timeout=2)
    assert stored.startswith("parley:")
    leave(tab, visit.plain(), "stranded at the end")
    assert visit.kept() == ["settled"]
    visit.line.back()
    tab.goto(url).ready()
    verdict = tab.wait_for("(id) => heard.find((each) => each.id === id)", first)
    assert verdict["verdict"] in ("stored", "duplicate")
    visit.keeps("settled", "stranded", "stranded at the end")
    tab.wait_for("() => !Object.keys(localStorage).some((key) => localStorage[key].includes('stranded'))")


def test_the_next_visit_hears_what_became_of_the_last_beacon(visit):
    url = visit.page(storage="true", after="parley.on('verdict', (verdict) => heard.push(verdict));")
    tab = visit.tab(url).ready()
    tab.evaluate("() => { window.id = say('by beacon'); sessionStorage.id = id }")
    leave(tab, url + "?again")
    leave(tab, url + "?and-again", "one more")
    tab.ready()
    until("both", lambda: visit.kept() == ["by beacon", "one more"])
    visit.keeps("by beacon", "one more")
    tab.wait_for("() => Object.keys(localStorage).every((key) => !localStorage[key].includes('by beacon') && !localStorage[key].includes('one more'))")


def test_without_being_asked_to_nothing_is_stored_on_the_visitors_machine(visit):
    url = visit.page()
    tab = visit.tab(url).ready()
    visit.line.away()
    tab.evaluate("() => say('in memory only')")
    time.sleep(1.3)  # what is stored is stored within a second
    assert tab.evaluate(TRACES) == NONE
    tab.evaluate("() => { document.dispatchEvent(new Event('visibilitychange')); dispatchEvent(new Event('pagehide')) }")
    assert tab.evaluate(TRACES) == NONE
    visit.line.back()
    tab.evaluate("() => { dispatchEvent(new Event('pageshow')); dispatchEvent(new Event('online')) }")
    visit.keeps("in memory only")
    assert tab.evaluate(TRACES) == NONE


@pytest.mark.parametrize("count, size", [(250, 10), (12, 40_000)], ids=["count", "bytes"])
def test_what_storage_does_not_hold_is_reported_by_the_next_visit(visit, count, size):
    """Where no beacon is taken, so that the client knows that nothing else took them either."""
    visit.noise = 2
    url = visit.page(storage="true", before="navigator.sendBeacon = () => false;")
    tab = visit.tab(url).ready()
    tab.evaluate("() => say('settled')")
    visit.keeps("settled")
    visit.line.away()
    tab.evaluate("(count, size) => { for (let number = 0; number < count; number++) say(number + ':' + 'x'.repeat(size)) }", count, size)
    leave(tab, visit.plain())
    visit.line.back()
    tab.goto(url).ready()
    until(lambda: f"{count} in all: {len(visit.kept()) - 1} stored, {visit.reported()}", lambda: len(visit.kept()) - 1 + sum(visit.reported().values()) == count)
    kept = visit.kept()
    assert len(kept) == len(set(kept)) and (len(kept) - 1 >= 200 if size < 100 else sum(map(len, kept)) > 190_000)
    visit.keeps(*kept)


def ago(hours):
    """A clock that is so far behind."""
    return f"const now = Date.now; Date.now = () => now() - {hours} * 3600e3;"


def test_what_is_a_day_old_is_not_sent_any_more_but_reported(visit):
    tab = visit.opened(before=ago(25), storage="true")
    tab.evaluate("() => say('settled')")
    visit.keeps("settled")
    visit.line.away()
    tab.evaluate("() => say('yesterday')")
    leave(tab, visit.plain())
    visit.line.back()
    tab.goto(visit.page(storage="true")).ready().evaluate("() => say('today')")
    visit.keeps("settled", "today", lost={"expired": 1})


def test_what_is_carried_from_visit_to_visit_does_not_get_younger(visit):
    tab = visit.opened(before=ago(25), storage="true")
    visit.line.faults.away = True
    visit.line.cut()
    tab.evaluate("() => say('yesterday')")
    leave(tab, visit.plain())
    tab.goto(visit.page(before=ago(2), storage="true")).ready().evaluate("() => say('two hours ago')")
    leave(tab, visit.plain())
    visit.line.faults.away = False
    tab.goto(visit.page(storage="true")).ready()
    visit.keeps("two hours ago", lost={"expired": 1})


def test_another_projects_page_does_not_take_over_what_is_not_its_own(visit, make_visit):
    other = make_visit()
    tab = visit.opened(storage="true")
    visit.line.away()
    tab.evaluate("() => say('ours')")
    leave(tab, visit.plain())
    tab.goto(other.page(storage="true")).ready().evaluate("() => say('theirs')")
    other.keeps("theirs")
    visit.line.back()
    tab.goto(visit.page(storage="true")).ready()
    visit.keeps("ours")


DENIED = {
    "getter throws": "for (const name of ['localStorage', 'sessionStorage']) Object.defineProperty(window, name, { get() { throw new DOMException('denied', 'SecurityError') } });",
    "null": "for (const name of ['localStorage', 'sessionStorage']) Object.defineProperty(window, name, { value: null });",
    "every call throws": "for (const name of ['getItem', 'setItem', 'removeItem', 'key', 'clear']) Storage.prototype[name] = () => { throw new DOMException('denied', 'SecurityError') };",
}


@pytest.mark.parametrize("how", DENIED)
def test_storage_that_is_denied_costs_nothing_but_the_next_visit(visit, how):
    tab = visit.opened(before=DENIED[how], storage="true")
    tab.evaluate("() => say('one')")
    visit.keeps("one")
    leave(tab, visit.plain(), "two")
    visit.keeps("one", "two")


def test_a_sandboxed_page_that_really_has_no_storage_is_served(make_visit):
    visit = make_visit("--allow-null-origin", "true", "--address-quota", "none")
    tab = visit.opened(storage="true", headers={"Content_Security_Policy": "sandbox allow-scripts"})
    assert tab.evaluate("() => { try { return String(localStorage) } catch (error) { return error.name } }") == "SecurityError"
    tab.evaluate("() => say('one')")
    visit.keeps("one")
    leave(tab, visit.plain(), "two")
    visit.keeps("one", "two")


def test_storage_that_is_full_costs_nothing_and_leaves_the_pages_own_alone(visit):
    fill = """
    for (let size = 1 << 20, number = 0; size >= 1; number++) {
      try { localStorage.setItem("own" + number, "x".repeat(size)) } catch { size = Math.floor(size / 2) }
    }
    window.mine = () => JSON.stringify(Object.entries(localStorage).filter(([key]) => key.startsWith("own")).map(([key, value]) => key + value.length));
    window.had = mine();"""
    tab = visit.opened(before=fill, storage="true")
    visit.line.away()
    tab.evaluate("() => say('one')")
    time.sleep(1.3)
    assert tab.evaluate("() => mine() === had") is True
    visit.line.back()
    visit.keeps("one")
    leave(tab, visit.plain(), "two")
    visit.keeps("one", "two")
    assert tab.evaluate("() => Object.keys(localStorage).every((key) => key.startsWith('own') || key.startsWith('parley:'))")


def test_two_tabs_share_a_storage_and_double_nothing(visit):
    url = visit.page(storage="true")
    tab = visit.tab(url).ready()
    other = visit.tab(url).ready()
    for each, text in ((tab, "first"), (other, "second")):
        each.evaluate("(text) => say(text)", text)
    visit.keeps("first", "second")
    visit.line.faults.away = True
    visit.line.cut()
    for each, text in ((tab, "first away"), (other, "second away")):
        each.evaluate("(text) => say(text)", text)
        each.wait_for("(text) => Object.values(localStorage).some((value) => value.includes(text))", text, timeout=2)
    tab.close()
    third = visit.tab(url).ready()
    third.evaluate("() => say('third away')")
    visit.line.faults.away = False
    visit.keeps("first", "second", "first away", "second away", "third away", within=25)
    other.wait_for("() => Object.values(localStorage).every((value) => !value.includes('away'))")
    total = visit.total()
    assert total["received"] <= 15, f"five messages were sent {total['received']} times"


def test_a_browser_that_was_killed_sends_at_its_next_start(one, visit):
    """localStorage is on the disk some seconds late in both browsers; killed before that, no page could have kept anything."""
    folder = tempfile.mkdtemp(prefix="parley-profile-")
    url = visit.page(storage="true", after="parley.on('verdict', (verdict) => heard.push(verdict));")
    mark = uncompressible()
    try:
        browser = tabs.start(one.name, folder=folder)
        try:
            tab = visit.tab(url, browser=browser).ready()
            tab.evaluate("() => say('settled')")
            visit.keeps("settled")
            visit.line.away()
            name = tab.evaluate("(text) => say(text)", mark)
            print(f"{one.name}: on the disk after {on_disk(folder, mark):.1f} s")
        finally:
            browser.kill()
        visit.tabs.remove(tab)
        visit.line.back()
        browser = tabs.start(one.name, folder=folder)
        try:
            tab = visit.tab(url, browser=browser).ready()
            assert tab.wait_for("(id) => heard.find((each) => each.id === id)", name)["verdict"] == "stored"
            visit.keeps("settled", mark)
            assert tab.thrown == []
        finally:
            visit.tabs.remove(tab)
            browser.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_a_private_window_loses_nothing_and_has_its_own_storage_while_it_lasts(one, visit):
    """Chromium's contexts are incognito; Firefox is started in permanent private browsing."""
    private = tabs.start("firefox", preferences={"browser.privatebrowsing.autostart": True}) if one.name == "firefox" else None
    url = visit.page(storage="true")
    tab = visit.tab(browser=private)
    try:
        tab.goto(url).ready()
        tab.evaluate("() => say('one')")
        visit.keeps("one")
        leave(tab, url + "?2", "two").ready()  # while only the loader is there, nothing can be kept
        visit.keeps("one", "two")
        visit.line.away()
        leave(tab, visit.plain(), "three")
        visit.line.back()
        tab.goto(url).ready()
        visit.keeps("one", "two", "three")
        assert tab.thrown == []
    finally:
        if private:
            visit.tabs.remove(tab)
            private.stop()


# --------------------------------------------------------------------------------------------------------- consent


def test_nothing_leaves_and_nothing_is_stored_before_consent(visit):
    url = visit.page(consent="required", storage="true")
    tab = visit.tab(url).ready()
    tab.evaluate("() => { say('before'); parley.trackFeedback(say('before too'), { thumb: 'up' }) }")
    time.sleep(1.3)
    tab.evaluate("() => { document.dispatchEvent(new Event('visibilitychange')) }")
    assert tab.evaluate(TRACES) == NONE and visit.line.sent() == []
    tab.evaluate("() => { parley.setConsent(true); say('after') }")
    visit.keeps("before", "before too", "after")


@pytest.mark.parametrize("scripts", ["", "swallowed"], ids=["client", "loader"])
def test_a_visitor_who_leaves_without_consenting_was_not_recorded(visit, scripts):
    visit.line.faults.scripts = scripts
    tab = visit.tab(visit.page(consent="required", storage="true"))
    if not scripts:
        tab.ready()
    there = visit.plain()
    leave(tab, there, "not yours")
    assert tab.evaluate(TRACES) == NONE
    time.sleep(0.3)
    assert visit.line.sent() == []
    visit.keeps()


def test_a_no_forgets_what_was_said_and_records_nothing_from_then_on(visit):
    tab = visit.opened(consent="required", storage="true")
    tab.evaluate("() => { say('before'); parley.setConsent(false) }")
    assert len(tab.evaluate("() => say('after')")) == 36
    time.sleep(1.3)
    assert tab.evaluate(TRACES) == NONE
    leave(tab, visit.plain(), "leaving")
    time.sleep(0.3)
    assert visit.line.sent() == []
    visit.keeps()


def test_consent_that_is_taken_back_wipes_the_storage(visit):
    url = visit.page(storage="true")
    tab = visit.tab(url).ready()
    tab.evaluate("() => say('agreed')")
    visit.keeps("agreed")
    visit.line.away()
    tab.evaluate("() => { localStorage.own = 'kept'; say('no longer') }")
    tab.wait_for("() => Object.keys(localStorage).some((key) => key.startsWith('parley:'))", timeout=2)
    tab.evaluate("() => { parley.setConsent(false) }")
    tab.wait_for("() => Object.keys(localStorage).join() === 'own'", timeout=2)
    visit.line.back()
    before = len(visit.line.requests)
    leave(tab, visit.plain(), "nor this")
    time.sleep(0.5)
    assert len(visit.line.requests) == before
    visit.keeps("agreed")


def test_consent_to_sending_alone_stores_nothing_and_to_storing_too_does(visit):
    tab = visit.opened(consent="required", storage="true")
    tab.evaluate("() => { parley.setConsent({ send: true, storage: false }); say('sent') }")
    visit.keeps("sent")
    visit.line.away()
    tab.evaluate("() => say('sent later')")
    time.sleep(1.3)
    assert tab.evaluate(TRACES) == NONE
    tab.evaluate("() => { parley.setConsent({ storage: true }) }")
    tab.wait_for("() => Object.values(localStorage).some((value) => value.includes('sent later'))", timeout=2)
    visit.line.back()
    visit.keeps("sent", "sent later")


# ---------------------------------------------------------------------------------------------------- beforeSend, streams


def test_what_the_page_takes_back_before_it_is_sent_is_reported_by_reason(visit):
    visit.noise = 3
    script = """
    const settings = SETTINGS;
    parley.init({ ...settings, beforeSend(event) {
      if (event.content === "secret") return null;
      if (event.content === "broken") throw new Error("beforeSend");
      return { ...event, content: String(event.content).toUpperCase(), id: "mine", type: "event" };
    } });
    say("secret"); say("broken"); say("loud");""".replace("SETTINGS", json.dumps({"key": visit.project.public, "url": visit.line.url}))
    tab = visit.tab(visit.page("bare", after=script)).ready()
    visit.keeps("LOUD", lost={"before_send": 1, "before_send_failed": 1})
    assert tab.evaluate("() => errors") == []


STREAM = """async (end) => {
  const asked = say("tell me");
  const stream = thread.streamMessage({ role: "assistant", replyTo: asked });
  for (const piece of ["Once ", "upon ", "a time \\u{1F642}"]) {
    stream.append(piece);
    await new Promise((done) => setTimeout(done, 120));
  }
  return [asked, stream.id, end ? stream.end() : null];
}"""


def the_message(visit, name):
    return visit.project.read(f"/v1/messages/{name}")["message"]


def test_a_streamed_message_is_stored_whole_with_its_pace(visit):
    tab = visit.opened()
    asked, name, ended = tab.evaluate(STREAM, True)
    assert name == ended
    visit.keeps("tell me", "Once upon a time \U0001F642")
    message = the_message(visit, name)
    deltas = message["metadata"]["deltas"]
    assert message["role"] == "assistant" and message["replyTo"] == asked and "interrupted" not in message["metadata"]
    assert [shown for _, shown in deltas] == [5, 10, 19], "UTF-16 units shown by then"
    assert deltas[0][0] == 0 and 100 <= deltas[1][0] <= 1000 and deltas[1][0] + 100 <= deltas[2][0] <= 2000


def test_a_stream_that_the_visitor_leaves_is_stored_as_far_as_it_came(visit):
    tab = visit.opened()
    _, name, _ = tab.evaluate(STREAM, False)
    leave(tab, visit.plain())
    visit.keeps("tell me", "Once upon a time \U0001F642")
    assert the_message(visit, name)["metadata"]["interrupted"] is True


def test_a_stream_begun_before_the_script_is_there_is_stored_with_its_pace(visit):
    visit.line.faults.late = 0.4
    tab = visit.tab(visit.page())
    _, name, _ = tab.evaluate(STREAM, True)
    visit.keeps("tell me", "Once upon a time \U0001F642")
    deltas = the_message(visit, name)["metadata"]["deltas"]
    assert [shown for _, shown in deltas] == [5, 10, 19] and deltas[1][0] >= 100


# ------------------------------------------------------------------------------------------------------------- pages


def test_the_strictest_policy_with_a_nonce_is_obeyed(visit):
    host = visit.line.url.removeprefix("http://")
    policy = f"default-src 'none'; script-src 'nonce-n0nce'; connect-src http://{host} ws://{host}"
    violations = "window.violations = []; document.addEventListener('securitypolicyviolation', (event) => violations.push(event.violatedDirective + ' ' + event.blockedURI));"
    for how in ("loader", "script", "module"):
        url = visit.page(how, before=violations, nonce="n0nce", headers={"Content_Security_Policy": policy}, storage="true")
        tab = visit.tab(url).ready()
        tab.evaluate("(text) => say(text)", how)
        until(f"{how} to arrive", lambda how=how: how in visit.kept())
        assert [each for each in tab.evaluate("() => violations") if "favicon" not in each] == []
        leave(tab, visit.plain(), how + ", leaving")
    visit.keeps(*[how + end for how in ("loader", "script", "module") for end in ("", ", leaving")])


@pytest.mark.parametrize("right", [True, False], ids=["right", "wrong"])
def test_a_pinned_script_runs_with_its_digest_and_not_with_another(visit, right):
    """Where the digest is wrong the loader stays alone, and what is said leaves with the page."""
    name, digest = next((name, digest) for name, digest in requests.get(visit.gateway.url + "/parley-sri.json", timeout=5).json()["files"].items()
                        if re.fullmatch(r"parley-[0-9.]+[0-9]\.js", name))
    pinned = {"src": f"{visit.line.url}/{name}", "integrity": digest if right else "sha384-" + "A" * 64}
    tab = visit.tab(visit.page(**pinned))
    tab.evaluate("() => say('pinned')")
    if right:
        tab.ready()
        visit.keeps("pinned")
    leave(tab, visit.plain(), "leaving")
    visit.keeps("pinned", "leaving")
    assert not visit.line.faults.scripts and bool(visit.line.sockets) == right


def test_a_policy_without_sockets_falls_back_to_fetch(visit):
    policy = f"default-src 'none'; script-src 'nonce-n0nce'; connect-src {visit.line.url}"
    tab = visit.opened(nonce="n0nce", headers={"Content_Security_Policy": policy})
    tab.evaluate("() => say('without a socket')")
    visit.keeps("without a socket", within=5)
    assert not visit.line.sockets


REACT_PAGE = """
const settings = SETTINGS;
function Chat() {
  React.useEffect(() => {
    const client = parley.init(settings);
    const thread = client.openThread({ id: "strict" });
    window.mounts = (window.mounts || 0) + 1;
    const began = performance.now();
    while (performance.now() - began < 5);  // the two mounts of a real tree are not in one millisecond
    thread.trackMessage({ role: "user", content: "mounted", id: settings.first });
  }, []);
  return React.createElement("p", null, "A chat");
}
addEventListener("load", () => ReactDOM.createRoot(document.getElementById("root")).render(
  React.createElement(React.StrictMode, null, React.createElement(Chat))));
"""


@pytest.mark.parametrize("how", ["bare", "loader"])
def test_strict_mode_mounts_twice_and_records_once(visit, how):
    umd = {name: REACT / name / "umd" / f"{name}.development.js" for name in ("react", "react-dom")}
    if not all(file.exists() for file in umd.values()):
        pytest.fail("React's builds for pages are not here: install Debian's packages node-react and node-react-dom, or set REACT_UMD")
    scripts = "".join(f'<script src="{visit.site.put(file.read_bytes(), f"/{name}.js", "text/javascript")}"></script>' for name, file in umd.items())
    settings = {"key": visit.project.public, "url": visit.line.url, "first": "0197f3c2-5b1e-7c40-9d2a-6f1b8e4a7d10"}
    tab = visit.tab(visit.page([scripts, visit.tag(how)], after=REACT_PAGE.replace("SETTINGS", json.dumps(settings)), text="<div id=root></div>"))
    tab.wait_for("() => window.mounts === 2")
    tab.ready()
    visit.keeps("mounted")
    assert tab.evaluate("(id) => parley.flush()", "") is True
    assert len(visit.line.sockets) == 1


@pytest.mark.parametrize("tags", [("script", "script"), ("loader", "loader"), ("loader", "script"), ("loader", "module"), ("module", "module")], ids="+".join)
def test_the_client_included_twice_is_one_client(visit, tags):
    tab = visit.tab(visit.page([visit.tag(tag) for tag in tags])).ready()
    tab.wait_for("() => document.readyState === 'complete'")
    tab.evaluate("() => { say('once'); say('and again') }")
    visit.keeps("once", "and again")
    assert tab.evaluate("() => parley.flush()") is True
    assert len(visit.line.sockets) == 1
    leave(tab, visit.plain(), "leaving")
    visit.keeps("once", "and again", "leaving")


def test_two_keys_on_one_page_are_two_clients(visit, make_visit):
    other = make_visit()
    script = """const theirs = parley.init(SETTINGS); theirs.openThread().trackMessage({ role: "user", content: "theirs" });
        say("ours");""".replace("SETTINGS", json.dumps({"key": other.project.public, "url": other.line.url}))
    visit.tab(visit.page("script", after=script)).ready()
    visit.keeps("ours")
    other.keeps("theirs")


FRAME = """(settings) => new Promise((done) => {
  const frame = document.querySelector("iframe");
  const page = frame.contentDocument;
  const script = page.createElement("script");
  Object.assign(script.dataset, settings);
  script.src = settings.url + "/parley.js";
  script.onload = () => {
    window.inside = frame.contentWindow.parley.openThread();
    inside.trackMessage({ role: "user", content: "in the frame" });
    done(frame.contentWindow.location.href);
  };
  page.head.append(script);
})"""


def test_a_blank_frame_is_a_page_too_and_its_end_an_end(visit):
    tab = visit.tab(visit.site.put("<!doctype html><title>A frame</title><iframe></iframe>"))
    tab.wait_for("() => document.readyState === 'complete'")
    assert tab.evaluate(FRAME, {"key": visit.project.public, "url": visit.line.url}) == "about:blank"
    visit.keeps("in the frame")
    tab.evaluate("() => { inside.trackMessage({ role: 'user', content: 'as it goes' }); document.querySelector('iframe').remove() }")
    visit.keeps("in the frame", "as it goes")


# Each: what the page's other scripts have done, whether only fetch is left, whether the message needs the next visit.
HOSTILE = {
    "fetch throws": ("window.fetch = () => { throw new Error('patched') }", True),
    "fetch answers undefined": ("window.fetch = () => undefined", True),
    "fetch answers something else": ("window.fetch = async () => ({ ok: true })", True),
    "fetch is gone": ("window.fetch = undefined", True),
    "beacon throws": ("navigator.sendBeacon = () => { throw new TypeError('patched') }", False),
    "beacon refuses": ("navigator.sendBeacon = () => false", False),
    "beacon is gone": ("navigator.sendBeacon = undefined", False),
    "WebSocket is gone": ("window.WebSocket = undefined", False),
    "WebSocket throws": ("window.WebSocket = function () { throw new Error('patched') }", False),
    "arrays are frozen": ("Object.freeze(Array.prototype)", False),
    "objects are frozen": ("Object.freeze(Object.prototype)", False),
    "functions are frozen": ("Object.freeze(Function.prototype)", False),
    "all is frozen": ("for (const each of [Object, Array, Function, String, Promise, Map, Set, Error, Uint8Array]) Object.freeze(each.prototype)", False),
    "arrays say their own JSON": ("Array.prototype.toJSON = function () { return 'an array' }", False),
    "texts say their own JSON": ("String.prototype.toJSON = function () { return String(this) }", False),
    "prototypes are extended": ("Object.prototype.extra = () => 1; Array.prototype.extra = () => 1; Array.prototype.flat = undefined", False),
    "the console is gone": ("window.console = undefined", False),
    "the console throws": ("console.warn = () => { throw new Error('patched') }", False),
    "addEventListener is patched": ("const listen = EventTarget.prototype.addEventListener; EventTarget.prototype.addEventListener = function (name, work, more) { "
                                    "return listen.call(this, name, work && function (event) { return work.call(this, event) }, more) }", False),
    "timers throw": ("window.AbortSignal.timeout = () => { throw new Error('patched') }", True),
    "MooTools has an Array.from of its own": ("Array.from = (item) => item == null ? [] : typeof item === 'object' && 'length' in item ? [].slice.call(item) : [item]", False),
    "newer functions are gone": ("delete window.queueMicrotask; delete window.AbortSignal.timeout; delete Promise.prototype.finally", False),
}


@pytest.mark.parametrize("how", HOSTILE)
def test_hostile_pages_are_survived_and_not_disturbed(visit, how):
    script, only_fetch = HOSTILE[how]
    if only_fetch:
        visit.line.faults.upgrades = "refused"
    tab = visit.opened(before=script, storage="true")
    ids = [tab.evaluate("() => say('one')"), tab.evaluate("() => say('two', { metadata: { n: 1 } })")]
    assert len(set(ids)) == 2 and all(len(each) == 36 for each in ids)
    time.sleep(0.2)
    assert tab.evaluate("() => errors.join()") == ""
    tab.evaluate(LEAVE, ["leaving"], None, there := visit.page(storage="true"))
    tab.arrives(there).ready()  # what had no way to leave is sent by this visit
    visit.keeps("one", "two", "leaving")
