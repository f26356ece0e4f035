"""Setting up and looking after a project by the review page alone: keys, origins, first event, quarantine, quotas, keeping, users."""

import itertools
import re
import time

import pytest
import requests

from page import thing
from parley_process import Project, message, new_id, until
from review import House

MINUTE = 60_000
MAIN = thing("main")


@pytest.fixture(scope="module")
def house(gateway):
    return House(gateway)


numbers = itertools.count()


@pytest.fixture
def project(house):
    project = house.project(f"set-up-{next(numbers)}")
    yield project
    project.assert_law()


def ago(milliseconds):
    return time.time() * 1000 - milliseconds


def settings(house, project):
    return house.ask("GET", f"/v1/projects/{house.project_id(project.name)}")["project"]["settings"]


def test_from_nothing_to_the_first_event(open_page, house, project, elsewhere):
    page = open_page()
    house.enter(page, project, role="admin", view="setup", section="new")
    name = f"fresh-{page.browser}"
    page.fill("textbox", "Name", text=name, within=MAIN)
    page.fill("textbox", "Origins", text="https://shop.example/path", within=MAIN)
    page.click("button", "Create the project").reads("has a path")
    page.fill("textbox", "Origins", text=elsewhere.origin, within=MAIN)
    page.click("button", "Create the project").reads(f"{name} is there").reads("Waiting for the first event")
    words = page.words("main")
    public, secret = re.search(r"pk_\w+", words)[0], re.search(r"sk_\w+", words)[0]
    # A visitor's page, from the origin that was let in.
    shop = open_page()
    shop.goto(elsewhere.serve(f"""<!doctype html><title>Shop</title><link rel="icon" href="data:,"><script src="{house.url}/parley-loader.js" data-url="{house.url}" data-key="{public}"></script>
        <button onclick="window.chat ??= parley.openThread(); chat.trackMessage({{ role: 'user', content: 'Hello from the shop' }})">Say it</button>"""))
    shop.click("button", "Say it")
    page.reads("Events arrive.", timeout=15)
    colour = page.evaluate("() => getComputedStyle(eyes.holding('Events arrive.')[0]).color.match(/[\\d.]+/g).map(Number)")
    made = Project(house.gateway, {"project": {"name": name}, "publicKey": public, "secretKey": secret})
    assert [thread["firstMessage"]["text"] for thread in made.read("/v1/threads")["threads"]] == ["Hello from the shop"], colour
    # The keys were shown this once.
    page.goto(house.address(made, view="setup", section="keys")).reads("secret", within=MAIN)
    assert secret not in page.evaluate("() => document.documentElement.outerHTML")
    page.goto(house.address(made)).reads("Hello from the shop")


def test_keys_are_made_and_revoked(page, house, project):
    house.enter(page, project, role="admin", view="setup", section="keys")
    page.click("button", "New key")
    page.choose("Kind", "Secret key")
    page.fill("textbox", "Label", text="batch jobs")
    page.click("button", "New key", within=thing("dialog")).reads("Copy it now")
    secret = re.search(r"sk_\w+", page.words("dialog"))[0]
    page.click("button", "I have kept it").misses("dialog").reads("batch jobs")
    ask = lambda: requests.get(f"{house.url}/v1/threads", headers={"Authorization": f"Bearer {secret}"}, timeout=5).status_code  # noqa: E731
    until("the key to be known", lambda: ask() == 200)
    page.click("button", "Revoke the key batch jobs")
    page.click("button", "Revoke", within=thing("dialog")).misses("dialog").reads("revoked", within=MAIN)
    until("the key to be refused", lambda: ask() == 401)


def test_what_is_sent_while_a_save_is_under_way_is_saved_behind_it(page, house, project):
    house.enter(page, project, role="admin", view="setup", section="rules")
    page.sees("spinbutton", "Minutes without anything new")
    page.evaluate("""() => {
      const send = window.fetch;
      window.fetch = async (...request) => {
        if (request[1]?.method === 'PATCH') await new Promise((resolve) => setTimeout(resolve, 500));
        return send(...request);
      };
      return true;
    }""")
    for minutes in ("20", "30", "40"):
        page.fill("spinbutton", "Minutes without anything new", text=minutes)
        page.press("Enter")
    until("the last of them", lambda: settings(house, project)["inactiveAfterSeconds"] == 2400)


def test_origins_quotas_and_retention_are_kept(page, house, project):
    house.enter(page, project, role="admin", view="setup", section="origins")
    page.fill("textbox", "Another origin", text="shop.example")
    page.press("Enter")
    page.reads("isn't an origin")
    page.fill("textbox", "Another origin", text="https://shop.example")
    page.press("Enter")
    page.reads("https://shop.example", within=MAIN)
    until("the origin", lambda: "https://shop.example" in settings(house, project)["origins"])
    page.click("button", "Remove https://shop.example")
    page.click("button", "Remove", within=thing("dialog")).misses("dialog")
    until("the origin to go", lambda: "https://shop.example" not in settings(house, project)["origins"])

    page.goto(house.address(project, view="setup", section="rules"))
    page.fill("spinbutton", "Minutes without anything new", text="20")
    page.press("Enter")
    until("the minutes", lambda: settings(house, project)["inactiveAfterSeconds"] == 1200)
    page.click("radio", re.compile("^Strict"))
    form = "(text) => { const e = eyes.find({ role: 'radio', pattern: '^Strict' })[0].closest('form').querySelector('[type=submit]'); e.id ||= 'save-scoring'; return true }"
    page.evaluate(form, "")
    page.click(css="#save-scoring")
    until("the policy", lambda: settings(house, project)["scoring"] == "strict")
    key = thing("group", "Of each public key")
    if page.evaluate("(key) => eyes.find({ role: 'checkbox', name: 'No limit on events', within: key })[0].checked", key):
        page.click("checkbox", "No limit on events", within=key)
    page.fill("spinbutton", "Events a second", text="5", within=key)
    page.fill("spinbutton", "At once at most", text="7", within=key)
    page.press("Enter")
    until("the quota", lambda: settings(house, project)["keyQuota"] == {"perSecond": 5, "burst": 7})
    page.goto(house.address(project, view="setup", section="rules"))
    page.click(css=".fold > summary")
    talk = thing("group", "Of each conversation")
    page.click("checkbox", "No limit on kilobytes", within=talk)
    page.fill("spinbutton", "Kilobytes a second", text="2.5", within=talk)
    page.fill("spinbutton", "Kilobytes at once", text="40", within=talk)
    page.press("Enter")
    until("the quota of bytes", lambda: settings(house, project)["quotas"]["thread.bytes"] == {"perSecond": 2500, "burst": 40000})
    kept = settings(house, project)
    assert kept["keyQuota"] == {"perSecond": 5, "burst": 7} and kept["quotas"]["thread"] is None, kept

    page.goto(house.address(project, view="setup", section="privacy"))
    page.sees("checkbox", "For ever")
    if page.evaluate("() => eyes.find({ role: 'checkbox', name: 'For ever' })[0].checked"):
        page.click("checkbox", "For ever")
    page.fill("spinbutton", "Days", text="30")
    page.press("Enter")
    until("the days", lambda: settings(house, project)["retentionDays"] == 30)
    page.fill("textbox", "Rules, one a line", text="email=mask")
    page.fill("textbox", "A text to try them on", text="to ann@shop.example")
    page.press("Enter")
    page.reads("to [email]", within=MAIN)
    assert settings(house, project)["scrubbing"] == []
    form = "(text) => { const e = eyes.find({ role: 'textbox', name: 'Rules, one a line' })[0].closest('form').querySelector('[type=submit]'); e.id ||= 'save-rules'; return true }"
    page.evaluate(form, "")
    page.click(css="#save-rules")
    until("the rules", lambda: [rule["text"] for rule in settings(house, project)["scrubbing"]] == ["email=mask"])
    # Who did it is on record.
    page.goto(house.address(project, view="setup", section="audit")).sees("table")
    assert page.count("row") > 3 and "Some admin" in page.words("main")


def test_what_waits_in_quarantine_is_mended_and_sent_through(page, house, project):
    thread = "q-1"
    for number in range(3):
        answer = project.post([{"type": "message", "id": new_id(), "thread": thread, "role": "customer", "content": f"Held back {number}", "at": ago(MINUTE)}])
        assert answer.json()["results"][0]["verdict"] == "quarantined", answer.text
    house.enter(page, project, role="admin", view="quarantine")
    page.reads("3 events wait").reads("invalid_field")
    page.click("button", "Mend")
    page.fill("textbox", "Set the field role to", text="user")
    page.click("button", "Try without storing").reads("Tried with 3 events, nothing stored").reads("Stored")
    assert project.read("/v1/threads")["threads"] == []
    page.click("button", "Send all 3 through").reads("3 events went through")
    until("them to be stored", lambda: len(project.conversation(thread)["items"]) == 3)
    assert project.read("/v1/quarantine")["items"] == []
    # What is no good at all is dismissed.
    project.post([{"type": "message", "id": new_id(), "thread": thread, "role": "nobody", "content": "x"}])
    page.reload()
    page.reads("1 event waits").click("button", "Dismiss").click("button", "Dismiss", within=thing("dialog")).misses("dialog").reads("Nothing is set aside")


def test_a_member_is_invited_changed_and_sent_away(open_page, house, project):
    page = open_page()
    house.enter(page, project, role="admin", view="setup", section="members")
    name = f"Guest {page.browser}"
    page.click("button", "Invite somebody")
    page.fill("textbox", "Name", text=name, within=thing("dialog"))
    page.choose("Role", "Reader")
    page.click("button", "Invite somebody", within=thing("dialog")).reads("It signs in once")
    link = re.search(r"http://\S+#signin=[\w-]+", page.words("dialog"))[0]
    page.press("Escape")
    guest = open_page()
    guest.goto(link).sees("navigation", "Views")
    assert guest.count("link", "Set-up") == 0
    guest.forgives("status of 401")
    page.click("button", f"Remove {name}").click("button", "Remove", within=thing("dialog")).misses("dialog").misses(text=name)
    guest.reload()
    guest.sees("textbox", "Password")


def test_a_user_is_found_read_and_erased(page, house, project):
    for number in range(2):
        project.send(message(f"t-{number}", f"Mine {number}", at=ago(MINUTE), user={"id": "u-1", "props": {"name": "Zoë Berg"}}))
    project.send(message("t-9", "Not mine", at=ago(MINUTE), user={"id": "u-2"}))
    house.enter(page, project, role="admin", view="users")
    page.sees("table").reads("Zoë Berg").reads("u-2")
    page.fill("searchbox", "Search by id, name or property", text="berg")
    page.misses(text="u-2").click("link", re.compile("Zoë Berg|u-1"))
    page.reads("Mine 0").reads("Mine 1")
    assert "Not mine" not in page.words("main")
    page.click("button", "Erase this user").sees("dialog")
    field = page.evaluate("() => eyes.find({ role: 'dialog' })[0].querySelector('input')?.getAttribute('type') ?? null")
    if field:
        page.fill(css="dialog input", text="u-1")
    page.click("button", re.compile("^Erase"), within=thing("dialog"))
    until("them to be gone", lambda: [thread["id"] for thread in project.read("/v1/threads")["threads"]] == ["t-9"])
    # What a sender repeats stays out.
    answer = project.post([message("t-0", "Mine again", user={"id": "u-1"})]).json()["results"][0]
    assert (answer["verdict"], answer["reason"]) == ("dropped", "erased")


def test_the_overview_counts_in_pictures_and_in_words(page, house, project):
    for day in range(4):
        for number in range(day + 1):
            asked, answered, at = new_id(), new_id(), ago(day * 24 * 60 * MINUTE + 3000)
            project.send({**message(f"d-{day}-{number}", "Question", at=at, user={"id": f"u-{number}"}), "id": asked}, {**message(f"d-{day}-{number}", "Answer", "assistant", at=at + 1000, replyTo=asked), "id": answered},
                         {"type": "run", "id": new_id(), "thread": f"d-{day}-{number}", "parent": asked, "kind": "llm", "startedAt": at, "endedAt": at + 800, "success": number != 2})
            project.send({"type": "feedback", "id": new_id(), "target": answered, "thumb": "down" if number else "up", "user": {"id": f"u-{number}"}})
    house.enter(page, project, role="reader", view="overview")
    page.sees("heading", "Overview").reads("Conversations", within=MAIN)
    total = house.session("Some reader", "reader").get(f"{house.url}/v1/overview?project={project.name}&from={time.strftime('%Y-%m-%dT00:00:00Z', time.gmtime(time.time() - 6 * 86400))}", timeout=10).json()["total"]
    assert (total["conversations"], total["messages"], total["up"], total["down"], total["errors"]) == (10, 20, 4, 6, 2)
    # Answer times are kept in classes, a few per cent wide.
    assert abs(total["latencyP50Ms"] - 800) < 40
    assert "Median answer" in page.words("main") and f"{round(total['latencyP50Ms'])} ms" in page.words("main"), page.words("main")
    charts = page.evaluate("() => eyes.find({ role: 'img', within: { role: 'main' } }).map(eyes.name)")
    assert charts and all(len(name) > 20 for name in charts), charts
    page.click("button", "As a table").sees("table")
    assert page.count("row") >= 4
    page.click("button", "7 days").wait_for("() => location.hash.includes('section=7')")


def test_the_law_is_there_to_be_read(page, house, project):
    project.send(message())
    house.enter(page, project, role="admin", view="outcomes")
    page.reads("The law holds")
