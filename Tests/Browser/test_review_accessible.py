"""Every view of the review page by the rules of accessibility, in light and dark, wide and narrow, and by keyboard alone."""

import pytest

import accessibility
from looks import VIEWS, populate
from review import House


@pytest.fixture(scope="module")
def house(gateway):
    return House(gateway)


@pytest.fixture(scope="module")
def shop(house):
    project = house.project("shop")
    populate(project)
    yield project
    project.assert_law()


def opened(page, house, project, view):
    query = {**VIEWS[view]}
    thread = query.pop("thread", None)
    page.goto(house.address(project, thread, **query))
    page.wait_for("() => document.querySelector('main')?.innerText.length > 60 && !/Loading…/.test(document.querySelector('main').innerText)", what=f"{view} to show")
    # What is being asked for anew is dimmed until it is there.
    page.wait_for("() => !document.querySelector('[aria-busy=true]') && document.getAnimations().every((each) => each.playState !== 'running') && [...document.querySelectorAll('main, main ul')].every((e) => getComputedStyle(e).opacity === '1')", what=f"{view} to be at rest")


# Nothing runs past the window, and no text is squeezed to nothing.
CUT = """() => [document.documentElement.scrollWidth - innerWidth, [...document.querySelectorAll("body *")].filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) && !e.closest(".spoken, .offscreen, option, [hidden], dialog:not([open]), noscript, svg, [aria-hidden=true], details:not([open])")
    && e.checkVisibility({ visibilityProperty: true }) && getComputedStyle(e).position !== "absolute" && (e.getBoundingClientRect().width < 1 || e.getBoundingClientRect().height < 1) && getComputedStyle(e).display !== "contents").map(eyes.told)]"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_view_keeps_the_rules_and_the_width(open_page, house, shop, dark):
    page = open_page(dark=dark)
    house.enter(page, shop, role="admin")
    found = []
    for width in (1440, 390, 2560):
        page.resize(width, 900)
        for view in VIEWS:
            opened(page, house, shop, view)
            # Rules don't change between wide and widest.
            if width < 2560:
                found += [f"{view}, {width} px: {fault}" for fault in accessibility.faults(page)]
            over, cut = page.evaluate(CUT)
            if over > 0 or cut:
                found.append(f"{view}, {width} px: {over} px too wide, squeezed: {cut[:3]}")
    assert found == [], "\n".join(found)


@pytest.mark.parametrize("view", ["list", "conversation", "overview", "users", "quarantine", "setup", "keys"])
def test_the_keyboard_goes_everywhere_and_round(page, house, shop, view):
    house.enter(page, shop, role="admin")
    opened(page, house, shop, view)
    stops, complaints = accessibility.walk(page)
    assert complaints == [], "\n".join(complaints)
    assert len(stops) > 5 and all(name for role, name in stops if role in ("link", "button", "textbox")), stops


def test_each_message_is_reached_by_arrows_and_what_is_in_it_by_tab(page, house, shop):
    house.enter(page, shop, "order-7")
    page.sees("article")
    page.evaluate("() => document.querySelector('article').focus()")
    met = []
    for _ in range(6):
        met.append(page.evaluate("() => document.activeElement.closest('article')?.dataset.message ?? null"))
        page.press("ArrowDown")
    assert len(set(met)) >= 5 and None not in met, met
    page.press("Home")
    page.evaluate("() => document.querySelector('article').focus()")
    inside = []
    for _ in range(6):
        page.press("Tab")
        inside.append(page.focused())
    assert ["button", "Copy text"] in inside and ["button", "Thumb up"] in inside, inside


def test_signing_in_keeps_the_rules(open_page, house):
    for dark in (False, True):
        page = open_page(dark=dark).forgives("status of 401")
        page.goto(house.url + "/ui/").sees("textbox", "Password")
        assert accessibility.faults(page) == []
        if not dark:
            assert accessibility.walk(page)[1] == []


def test_a_dialog_holds_the_focus_and_gives_it_back(page, house, shop):
    house.enter(page, shop, role="admin")
    page.click("button", "Keys").sees("dialog", "Keys")
    assert accessibility.faults(page) == []
    for _ in range(6):
        page.press("Tab")
        assert page.evaluate("() => document.activeElement === document.body || Boolean(document.activeElement.closest('dialog')) || !document.hasFocus()")
    page.press("Escape")
    page.misses("dialog")
    assert page.focused() == ["button", "Keys"]


def test_a_phone_shows_one_thing_at_a_time_with_a_way_back(open_page, house, shop):
    page = open_page(width=390, height=844)
    house.enter(page, shop, role="reviewer")
    page.click("link", nth=0, within={"role": "list", "name": "Conversations"})
    page.sees("log", "Conversation").misses("list", "Conversations")
    page.click("button", "Details").sees("complementary", "Details")
    page.click("button", "Close details").misses("complementary", "Details")
    page.click("button", "Back to the list").sees("list", "Conversations").misses("log")
    page.click("button", "Menu").click("link", "Users").sees("heading", "Users")
