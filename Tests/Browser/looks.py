"""Pictures of every view of the review page, at three widths, in light and dark, of a shop's week of conversations.

    .venv/bin/python Tests/Browser/looks.py FOLDER [--browser firefox]

They are for people to look at; what a program can judge of them is in test_review_accessible.py.
"""

import argparse
import os
import random
import shutil
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from parley_process import Gateway, new_id  # noqa: E402

WIDTHS = {390: 844, 1440: 900, 2560: 1440}
MINUTE, DAY = 60_000, 86_400_000
TALK = "order-7"  # the conversation that has everything in it
ANSWER = "Order **7** is in Oslo:\n\n- packed on Monday\n- sent on Tuesday\n\n> Expected: Thursday"

VIEWS = {
    "list": {}, "conversation": {"thread": TALK}, "filtered": {"feedback": "down"}, "overview": {"view": "overview"}, "users": {"view": "users"}, "user": {"view": "users", "id": "u-1"},
    "quarantine": {"view": "quarantine"}, "outcomes": {"view": "outcomes"}, "setup": {"view": "setup"}, "keys": {"view": "setup", "section": "keys"}, "origins": {"view": "setup", "section": "origins"},
    "rules": {"view": "setup", "section": "rules"}, "members": {"view": "setup", "section": "members"}, "privacy": {"view": "setup", "section": "privacy"}, "audit": {"view": "setup", "section": "audit"},
    "new": {"view": "setup", "section": "new"},
}

PEOPLE = [("u-1", "Zoë Berg", "gold"), ("u-2", "Omar Haddad", "basic"), ("u-3", "Li Wei", "gold"), ("u-4", "Ana Souza", "basic"), (None, None, None)]
TALKS = [
    ("Where is my parcel?", "It left Oslo this morning and should reach you **tomorrow before noon**.", ["shipping"]),
    ("Can I return shoes that I have worn once?", "Yes, within 30 days:\n\n1. open *My orders*\n2. choose **Return**\n3. print the label", ["returns"]),
    ("I was charged twice!", "I'm sorry about that. I see one charge of 49.90 € and one *reservation* of the same sum, which lapses in 3 days.", ["billing"]),
    ("Do you have this in green?", "Yes, in sizes 38 to 41.", []),
    ("كيف يمكنني تغيير عنوان التسليم؟", "يمكنك تغييره من صفحة الطلب قبل الشحن.", ["shipping"]),
    ("How do I use the API to list my orders?", "With your key:\n\n```python\nimport requests\n\norders = requests.get(\"https://shop.example/api/orders\", timeout=10).json()\nprint(len(orders))  # newest first\n```\n\n| Field | Meaning |\n|---|---|\n| `id` | number of the order |\n| `state` | packed, sent or there |", ["api"]),
    ("My discount code doesn't work", "Which code is it?", ["billing"]),
]


def populate(project, seed=7):
    """A week of conversations, the same every time but for the clock."""
    chance = random.Random(seed)
    now = time.time() * 1000
    events, public = [], []
    for number in range(42):
        question, answer, tags = TALKS[number % len(TALKS)]
        person, name, plan = PEOPLE[chance.randrange(len(PEOPLE))]
        at, thread = now - 8 * MINUTE - number * 4.1 * 60 * MINUTE, f"talk-{number:02}"
        asked, answered, run = new_id(), new_id(), new_id()
        user = {"user": {"id": person, "props": {"name": name, "plan": plan}}} if person else {}
        latency = chance.randrange(700, 4800)
        public.append({"type": "message", "id": asked, "thread": thread, "role": "user", "content": question, "at": at, "tags": tags, **user})
        public.append({"type": "message", "id": answered, "thread": thread, "role": "assistant", "content": answer, "at": at + latency, "replyTo": asked})
        failed = number % 13 == 4
        events.append({"type": "run", "id": run, "thread": thread, "parent": answered if number % 2 else asked, "kind": "llm", "name": "answer", "model": "small-2", "provider": "house", "input": [{"role": "user", "content": question}],
                       "output": answer, "usage": {"input": 210 + number, "output": 40 + number}, "startedAt": at + 80, "endedAt": at + latency, "success": not failed, **({"error": {"message": "the model took too long"}} if failed else {})})
        if number % 3 == 0:
            public.append({"type": "feedback", "id": new_id(), "target": answered, "thumb": "down" if number % 2 else "up", **({"comment": "That didn't help."} if number % 2 else {}), **user})
        if number % 6 == 5:
            events.append({"type": "score", "id": new_id(), "target": thread, "name": "quality", "value": round(chance.random(), 2), "reason": "judged by the nightly check", "author": "nightly", "judge": "program"})
    talk(project, now - 50 * MINUTE, public, events)
    for start in range(0, len(public), 50):
        project.post(public[start:start + 50], key=project.public)
    project.post(events)
    project.post([{"type": "message", "id": new_id(), "thread": "talk-00", "role": "customer", "content": "Hello?"}, {"type": "message", "id": "1", "thread": "talk-00", "role": "user", "content": "Anyone?"},
                  {"type": "run", "id": new_id(), "thread": "talk-00", "kind": "llm"}], key=project.public)


def talk(project, at, public, events):
    """The conversation with everything in it."""
    ids = [new_id() for _ in range(8)]
    user = {"user": {"id": "u-1", "props": {"name": "Zoë Berg", "plan": "gold"}}}
    public += [
        {"type": "message", "id": ids[0], "thread": TALK, "role": "user", "content": "Hello! Where is order 7?\nI need it on Friday.", "at": at, "tags": ["shipping", "urgent"], "metadata": {"page": "/orders/7", "locale": "nb-NO"}, **user},
        {"type": "message", "id": ids[1], "thread": TALK, "role": "assistant", "content": "Let me look…", "at": at + 1800, "replyTo": ids[0]},
        {"type": "message", "id": ids[2], "thread": TALK, "role": "assistant", "content": ANSWER, "at": at + 6200, "replyTo": ids[0], "retryOf": ids[1]},
        {"type": "event", "id": new_id(), "thread": TALK, "name": "opened-document", "metadata": {"document": "delivery-terms.pdf"}, "at": at + 40_000},
        {"type": "message", "id": ids[3], "thread": TALK, "role": "user", "content": "Thanks! And what does express cost?", "at": at + 14 * MINUTE, **user},
        {"type": "message", "id": ids[4], "thread": TALK, "role": "assistant", "content": "Express costs 10 euros.", "at": at + 14 * MINUTE + 1400, "replyTo": ids[3]},
        {"type": "feedback", "id": new_id(), "target": ids[4], "thumb": "down", "comment": "The page says 100.", **user},
    ]
    run = new_id()
    events += [
        {"type": "message", "id": ids[5], "thread": TALK, "role": "tool", "content": '{"order": 7, "state": "sent", "city": "Oslo"}', "at": at + 4000},
        {"type": "run", "id": run, "kind": "agent", "name": "answerer", "thread": TALK, "parent": ids[0], "input": {"question": "Where is order 7?"}, "output": ANSWER, "model": "small-2", "usage": {"input": 320, "output": 64}, "startedAt": at + 200, "endedAt": at + 6000, "success": True},
        {"type": "run", "id": new_id(), "kind": "tool", "name": "find_order", "thread": TALK, "parent": run, "input": {"order": 7}, "output": {"state": "sent"}, "startedAt": at + 900, "endedAt": at + 3900, "success": True},
        {"type": "run", "id": new_id(), "kind": "retriever", "name": "search_terms", "thread": TALK, "parent": run, "input": "delivery", "error": {"message": "index is being rebuilt"}, "startedAt": at + 950, "endedAt": at + 1500, "success": False},
        {"type": "run", "id": new_id(), "kind": "llm", "name": "write_answer", "thread": TALK, "parent": run, "input": "…", "output": "Order 7 is in Oslo.", "model": "small-2", "startedAt": at + 4000, "endedAt": at + 5900, "success": True},
        {"type": "run", "id": new_id(), "kind": "llm", "name": "price", "thread": TALK, "parent": ids[4], "output": "Express costs 100 euros.", "model": "small-2", "startedAt": at + 14 * MINUTE, "endedAt": at + 14 * MINUTE + 1300, "success": True},
        {"type": "score", "id": new_id(), "target": ids[4], "name": "correct", "value": 0, "reason": "the price is wrong", "author": "nightly", "judge": "program"},
    ]


def main():
    from playwright.sync_api import sync_playwright

    from browsers import CHROMIUM, Browsers
    from review import House

    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("folder")
    words.add_argument("--browser", default="chromium", choices=["chromium", "firefox"])
    words.add_argument("--only", nargs="*", default=list(VIEWS), choices=list(VIEWS))
    given = words.parse_args()
    os.makedirs(given.folder, exist_ok=True)
    gateway = Gateway().start()
    try:
        house = House(gateway)
        project = house.project("shop")
        populate(project)
        with sync_playwright() as playwright:
            browsers = Browsers(playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"]))
            for dark in (False, True):
                page = browsers.page(given.browser, dark=dark)
                house.enter(page, project, role="admin")
                for view in given.only:
                    query = dict(VIEWS[view])
                    page.goto(house.address(project, query.pop("thread", None), **query))
                    page.wait_for("() => document.querySelector('main')?.innerText.length > 60 && !/Loading…/.test(document.querySelector('main').innerText)", what=view)
                    page.wait_for("() => !document.querySelector('[aria-busy=true]') && document.getAnimations().every((each) => each.playState !== 'running')", what=view)
                    for width, height in WIDTHS.items():
                        page.resize(width, height)
                        page.evaluate("() => document.fonts.ready.then(() => new Promise(requestAnimationFrame))")
                        page.screenshot(os.path.join(given.folder, f"{view}-{width}-{'dark' if dark else 'light'}.png"))
                page.close()
            browsers.stop()
        print(f"{given.folder}: {len(given.only) * 2 * len(WIDTHS)} pictures")
    finally:
        gateway.stop()
        shutil.rmtree(gateway.folder, ignore_errors=True)


if __name__ == "__main__":
    main()
