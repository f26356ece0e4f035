"""The demo chat and the review page in a real Chromium: typed into, left in haste, reloaded, read back whole."""

import json
import os
import re
import subprocess
import time

import pytest
import requests

from parley_process import ROOT, Gateway, Project, free_port, until


@pytest.fixture(scope="module")
def demo():
    """The gateway with its demo backend; answers the project, the chat's address and the one-time link."""
    gateway = Gateway(demo=True).start()
    keys = json.load(open(os.path.join(gateway.folder, "demo.json")))
    project = Project(gateway, {**keys, "project": {"name": keys["project"]}})
    listen = f"127.0.0.1:{free_port()}"
    backend = subprocess.Popen(
        [str(ROOT / ".venv/bin/python"), str(ROOT / "demo/backend.py"), "--keys", os.path.join(gateway.folder, "demo.json"), "--listen", listen],
        env={**os.environ, "PARLEY_URL": gateway.url}, stdout=gateway.log, stderr=subprocess.STDOUT)
    chat = f"http://{listen}/"
    deadline = time.monotonic() + 30
    while True:
        try:
            if requests.get(chat, timeout=1).ok:
                break
        except requests.RequestException:
            assert time.monotonic() < deadline and backend.poll() is None, "the demo backend did not start"
            time.sleep(0.1)
    yield project, chat
    backend.terminate()
    backend.wait(10)
    project.assert_law()
    gateway.stop()


def say(page, text):
    page.fill("#text", text)
    page.click("#send")


def items(project):
    threads = project.read("/v1/threads", limit=200)["threads"]
    return [item for thread in threads for item in project.conversation(thread["id"])["items"]]


def texts(project, role="user"):
    return sorted(item["content"] for item in items(project) if item["type"] == "message" and item["role"] == role)


def test_what_is_typed_is_stored_once_answered_and_parented(browser, demo):
    project, chat = demo
    page = browser.new_page()
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
    page.goto(chat)
    typed = ["Hello there!", "What is your name?", "<script>alert(1)</script><img src=x onerror=alert(2)>", "Tell me a joke"]
    for number, text in enumerate(typed):
        say(page, text)
        until("an answer", lambda: page.locator(".bubble[data-id]").count() >= 2 * number + 2)
    until("all bubbles say stored", lambda: page.locator(".bubble[data-id]:not([data-state=stored])").count() == 0)
    page.locator("button[aria-pressed]").first.click()
    page.close()
    until("all is stored", lambda: texts(project) == sorted(typed) and len(texts(project, "assistant")) == 4)
    whole = items(project)
    assert len({item["id"] for item in whole}) == len(whole)
    for item in whole:
        if item.get("role") == "user":
            until("a run under its message", lambda: project.read(f"/v1/messages/{item['id']}")["message"]["runs"])
            (run, *_) = project.read(f"/v1/messages/{item['id']}")["message"]["runs"]
            assert run["link"] == "bound" and run["output"] and run["endedAt"]
        elif item.get("role") == "assistant":
            assert item["replyTo"] in {other["id"] for other in whole}
    until("the click on thumbs up", lambda: sum(i["feedback"]["up"] for i in items(project) if i["type"] == "message") == 1)
    assert faults == []


@pytest.mark.parametrize("delay", [0, 20, 100])
def test_a_message_typed_right_before_leaving_arrives(browser, demo, delay):
    project, chat = demo
    page = browser.new_page()
    page.goto(chat)
    for number in range(3):
        text = f"leaving after {delay} ms, {number}"
        page.fill("#text", text)
        # Click and leave within one turn of the page's own clock.
        page.evaluate(f"""() => {{ document.querySelector('#send').click();
            const leave = () => {{ location.href = '/?left={delay}-{number}' }}
            {delay} ? setTimeout(leave, {delay}) : leave() }}""")
        page.wait_for_url(f"**/?left={delay}-{number}")
        page.wait_for_selector("#text")
        if number == 1:
            page.reload()
    until("what was typed in haste", lambda: [t for t in texts(project) if t.startswith(f"leaving after {delay} ms,")] == [
        f"leaving after {delay} ms, {number}" for number in range(3)])
    page.close()


def test_messages_wait_for_a_gateway_that_is_away(browser, demo):
    project, chat = demo
    page = browser.new_page()
    page.goto(chat)
    say(page, "before the fall")
    until("the first", lambda: "before the fall" in texts(project))
    project.gateway.stop()
    say(page, "while it is away")
    time.sleep(1)
    project.gateway.start()
    until("what was said in between", lambda: "while it is away" in texts(project), 40)
    assert texts(project).count("before the fall") == 1
    page.close()


def test_a_reviewer_signs_in_and_reads_what_was_said_as_text(browser, demo):
    project, _ = demo
    hostile = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    link = re.search(r"http://[^\s\"]+#signin=[\w-]+", project.gateway.command("review", "link", "--url", project.gateway.url).stdout).group(0)
    faults = []
    shots = os.path.join(project.gateway.folder, "screenshots")
    os.makedirs(shots)
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.on("console", lambda line: faults.append(line.text) if line.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("dialog", lambda dialog: faults.append("dialog: " + dialog.message))
    page.goto(link)
    page.get_by_text("Hello there!").first.click()
    page.get_by_text(hostile).first.wait_for()
    page.get_by_text(re.compile(r"^\d+ runs?$")).first.click()
    page.screenshot(path=os.path.join(shots, "wide.png"))
    page.fill("input[type=search]", "joke")
    until("the search narrows the list", lambda: "q=joke" in page.evaluate("() => location.hash"))
    asked = next(item for item in items(project) if item.get("content") == "Tell me a joke")
    thread = project.read(f"/v1/messages/{asked['id']}")["message"]["thread"]
    thread = thread["id"] if isinstance(thread, dict) else thread
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(f"{project.gateway.url}/ui/#/demo/{thread}?m={asked['id']}")
    page.get_by_text("Tell me a joke").last.wait_for()
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), "the narrow page scrolls sideways"
    page.screenshot(path=os.path.join(shots, "narrow.png"))
    assert faults == []
    print("screenshots:", shots)
    # The link opens once.
    other = browser.new_context().new_page()
    other.goto(link)
    other.get_by_text("review link").first.wait_for()
    assert requests.get(project.gateway.url + "/v1/threads", timeout=5).status_code == 401
    context.close()
