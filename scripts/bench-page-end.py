#!/usr/bin/env python3
"""Measures what the browser client delivers of messages said right before their page is left, in real browsers.

    PARLEY_BIN=… scripts/bench-page-end.py [--navigations 1000] [--browsers chromium,firefox] [--storage no,yes] [--late 10] [--reconnects 100]

Each navigation is a visit of its own: a page with the client says one message and leaves for a page without it 0 to 100 ms
later; then the visitor comes back to the first. Every other page has an open socket by then, on the others the message is
the first thing said. All goes over a line that takes `--late` milliseconds each way. At the end the store is read.

    at page end           a beacon carried it, or the gateway had it before the visitor came back
    after the next visit  the gateway had it later: storage kept it
    lost                  it never had it
    reported              what client reports say was lost
    stored twice          the text stands there more than once
    copies sent           what the gateway answered as duplicates, and kept out

After that one page has its connection cut `--reconnects` times in the middle of what it says.
"""

import argparse
import json
import random
import sys
import time
from collections import Counter
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "Tests"), str(ROOT / "Tests/Browser")]

import tabs  # noqa: E402
from faults import Loop, Pages  # noqa: E402
from parley_process import Gateway  # noqa: E402
from visits import Projects, Visit, wait_for  # noqa: E402

CHAT = """
const number = Number(location.search.slice(1));
const go = () => {
  say("message " + number);
  setTimeout(() => { location.href = BETWEEN + "?" + number }, number * 37 % 101);
};
const begin = setInterval(() => {
  if (!parley.version || document.readyState !== "complete") return;
  clearInterval(begin);
  if (number % 2) { say("hello " + number); parley.flush().then(go) } else go();
}, 1);
"""
BETWEEN = """<!doctype html><meta charset=utf-8><title>Between</title><script>
const number = Number(location.search.slice(1)) + 1;
setTimeout(() => { location.href = number < LAST ? CHAT + "?" + number : "/over" }, 60);
</script>"""


class Logged(Pages):
    """Pages, and when each address was asked for first, in seconds since 1970."""

    def __init__(self, loop):
        self.asked = {}
        super().__init__(loop)

    def asked_for(self, path):
        self.asked.setdefault(path, time.time())


def seconds(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def navigations(visit, count, storage):
    """One row of the table."""
    site = visit.site
    site.asked.clear()
    site.put("<!doctype html><title>Over</title>", "/over")
    between = site.url + f"/between-{visit.project.name}"
    data = {"storage": "true"} if storage else {}
    chat = visit.page(after=CHAT.replace("BETWEEN", json.dumps(between)), **data)
    site.put(BETWEEN.replace("LAST", str(count)).replace("CHAT", json.dumps(chat)), between.removeprefix(site.url))
    tab = visit.tab()
    tab.goto(chat + "?0")
    wait_for("the last page", lambda: "/over" in site.asked, 60 + count * 2)
    end = time.time()
    time.sleep(1)
    if storage:  # one more visit, as visitors come back
        tab.goto(visit.page(storage="true")).ready()
        time.sleep(2)
    path = chat.removeprefix(site.url)
    stored, received = Counter(), {}
    for each in visit.events():
        text = each["event"].get("content", "")
        if text.startswith("message "):
            stored[text] += 1
            received[text] = 0 if each["transport"] == "beacon" else seconds(each["receivedAt"])
    row = Counter(copies=visit.total()["duplicate"])
    for number in range(count):
        text = f"message {number}"
        returned = site.asked.get(f"{path}?{number + 1}", end)
        row["lost" if text not in stored else "end" if received[text] <= returned else "later"] += 1
        row["twice"] += max(stored[text] - 1, 0)
    row["reported"] = sum(visit.reported().values())
    tab.close()
    return row


def reconnects(visit, times):
    """How often the page said something, and what became of it, while its line was cut again and again."""
    tab = visit.opened(storage="true")
    dice = random.Random(5)
    said = 0
    for _ in range(times):
        for _ in range(3):
            tab.evaluate("(text) => { say(text) }", f"message {said}")
            said += 1
        time.sleep(dice.random() * 0.05)  # some acks are under way then
        before = len(visit.line.sockets)
        visit.line.cut()
        wait_for("a new socket", lambda: len(visit.line.sockets) > before and visit.line.open_sockets(), 90)
    wait_for("everything", lambda: len(visit.kept()) >= said, 120)
    time.sleep(1)
    kept = visit.kept()
    tab.close()
    return said, len(kept) - len(set(kept)), said - len(set(kept)), visit.total()["duplicate"], len(visit.line.sockets)


def main():
    words = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    words.add_argument("--navigations", type=int, default=1000)
    words.add_argument("--browsers", default="chromium,firefox")
    words.add_argument("--storage", default="no,yes")
    words.add_argument("--late", type=float, default=10, help="milliseconds each way")
    words.add_argument("--reconnects", type=int, default=100)
    asked = words.parse_args()
    loop = Loop()
    site = Logged(loop)
    gateway = Gateway().start()
    projects = Projects(gateway, ahead=0)
    quotas = ("--no-quotas",)
    print("| browser | storage | navigations | at page end | after the next visit | lost | reported | stored twice | copies sent | seconds |")
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    again = []
    try:
        for name in asked.browsers.split(","):
            browser = tabs.start(name)
            try:
                for storage in asked.storage.split(",") if asked.navigations else ():
                    visit = Visit(browser, projects, loop, site, *quotas)
                    visit.line.faults.late = asked.late / 1000
                    began = time.monotonic()
                    row = navigations(visit, asked.navigations, storage == "yes")
                    cells = [name, storage, asked.navigations, *(row[each] for each in ("end", "later", "lost", "reported", "twice", "copies"))]
                    print("| " + " | ".join(map(str, [*cells, round(time.monotonic() - began)])) + " |", flush=True)
                if asked.reconnects:
                    visit = Visit(browser, projects, loop, site, *quotas)
                    visit.line.faults.late = asked.late / 1000
                    again.append((name, *reconnects(visit, asked.reconnects)))
            finally:
                browser.stop()
        if again:
            print("\n| browser | messages | stored twice | lost | copies sent | sockets |\n|---|---|---|---|---|---|")
        for row in again:
            print("| " + " | ".join(map(str, row)) + " |")
    finally:
        projects.stop()
        gateway.stop()


if __name__ == "__main__":
    main()
