"""What a test of the browser client needs around it: a project, pages that carry the client, the line they speak over,
and the question that every one of these tests ends with: is everything that was tracked in the store, once, or its loss
in a client report?
"""

import html
import itertools
import json
import os
import secrets
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests

from faults import SCRIPTS, Line
from parley_process import until

# The page's own part: it listens for what escapes, and says things.
HARNESS = """
window.errors = [];
window.heard = [];
addEventListener("error", (event) => errors.push(String(event.message)));
addEventListener("unhandledrejection", (event) => errors.push(String(event.reason)));
function say(content, fields) {
  window.thread = window.thread || parley.openThread();
  return thread.trackMessage({ role: "user", content, ...fields });
}
"""

# All that a page may leave on a visitor's machine.
TRACES = """async () => ({
  local: Object.fromEntries(Object.entries(localStorage)), session: Object.fromEntries(Object.entries(sessionStorage)), cookie: document.cookie,
  databases: indexedDB.databases ? (await indexedDB.databases()).length : 0,
  caches: window.caches ? (await caches.keys().catch(() => [])).length : 0 })"""
NONE = {"local": {}, "session": {}, "cookie": "", "databases": 0, "caches": 0}

numbers = itertools.count()


class Projects:
    """Projects of the tests' own, made ahead of them: a new key takes a second until the gateway knows it."""

    def __init__(self, gateway, ahead=3):
        self.gateway = gateway
        self.makers = ThreadPoolExecutor(1)
        self.waiting = deque(self.makers.submit(self.make) for _ in range(ahead))

    def make(self, *options):
        quotas = ("--no-quotas",)
        return self.gateway.project(f"visit-{next(numbers)}", *(options or quotas))

    def next(self):
        self.waiting.append(self.makers.submit(self.make))
        return self.waiting.popleft().result()

    def settle(self):
        """Waits until none is being made: the gateway may be stopped then."""
        for each in self.waiting:
            each.result()

    def stop(self):
        self.makers.shutdown(cancel_futures=True)


class Visit:
    """One test's project, line and tabs, all of them fresh; the browser, the gateway and the site are shared."""

    def __init__(self, browser, projects, loop, site, *options):
        gateway = projects.gateway
        self.browser = browser
        self.projects = projects
        self.gateway = gateway
        self.loop = loop
        self.site = site
        self.project = projects.make(*options) if options else projects.next()
        self.line = Line(loop, gateway.url)
        self.visitor = browser.visitor()
        self.tabs = []
        self.told = None  # what `keeps` found, to be found again at the end
        self.noise = 1  # lines of the client's that the console may get

    # The page

    def tag(self, how="loader", nonce="", **data):
        """The client's script tag; `data` are its settings beside key and url, as data attributes."""
        settings = {"key": self.project.public, "url": self.line.url, **data}
        words = "".join(f' data-{name}="{html.escape(value)}"' for name, value in settings.items())
        nonce = f' nonce="{nonce}"' if nonce else ""
        if how == "loader":
            return f"<script{nonce}{words}>{self.loader()}</script>"
        if how == "script":
            return f'<script{nonce}{words} src="{self.line.url}/parley.js"></script>'
        if how == "bare":
            return f'<script{nonce} src="{self.line.url}/parley.js"></script>'
        assert how == "module"
        return f"""<script{nonce} type="module">import * as parley from "{self.line.url}/parley.mjs";
            parley.init({json.dumps(settings)}); window.parley = window.parley || parley;</script>"""

    def loader(self):
        if SCRIPTS:
            return (Path(SCRIPTS) / "parley-loader.js").read_text()
        return requests.get(self.gateway.url + "/parley-loader.js", timeout=5).text

    def page(self, how="loader", before="", after="", headers=None, nonce="", text="", **data):
        """The address of a page with the client in it, and with scripts `before` and `after` that."""
        attribute = f' nonce="{nonce}"' if nonce else ""
        scripts = [f"<script{attribute}>{script}</script>" if script else "" for script in (HARNESS + before, after)]
        tag = self.tag(how, nonce, **data) if isinstance(how, str) else "".join(how)
        return self.site.put(
            f"<!doctype html><html><head><meta charset=utf-8><title>A page</title>{scripts[0]}{tag}{scripts[1]}</head><body>{text}</body></html>", **(headers or {}))

    def plain(self):
        """The address of a page without the client."""
        return self.site.put("<!doctype html><title>Elsewhere</title>Elsewhere")

    def tab(self, url=None, beside=None, browser=None):
        tab = (browser or self.browser).tab(None if browser else self.visitor, beside)
        self.tabs.append(tab)
        if url:
            tab.goto(url)
        return tab

    def opened(self, *arguments, **options):
        """A tab with the client in it and up."""
        return self.tab(self.page(*arguments, **options)).ready()

    # The store

    def kept(self):
        """The texts of the messages that are stored."""
        lines = self.project.get("/v1/export").text.splitlines()
        return sorted(item["content"] for item in map(json.loads, lines) if item["type"] == "message")

    def events(self):
        """Every stored event, as it came, and how."""
        words = ["tail", "--project", self.project.name, "--last", "100000", "--once", "--json"]
        return [json.loads(line) for line in self.gateway.command(*words).stdout.splitlines()]

    def reported(self):
        """What client reports say was lost, by reason."""
        sums = {}
        for each in self.events():
            for reason, count in each["event"].get("reasons", {}).items() if each["event"]["type"] == "client_report" else ():
                sums[reason] = sums.get(reason, 0) + count
        return sums

    def keeps(self, *texts, lost=None, within=15):
        """Every text is stored once, nothing else is, and client reports say what was lost."""
        expected = sorted(texts)
        until(lambda: f"{brief(expected)} to be stored; there is {brief(self.kept())}", lambda: self.kept() == expected, within)
        if lost:
            until(lambda: f"{lost} to be reported; there is {self.reported()}", lambda: self.reported() == lost, within)
        self.told = expected
        return self

    def total(self):
        return self.project.read("/v1/outcomes")["total"]

    def end(self, well=True):
        thrown, lines = [], []
        for tab in self.tabs:
            thrown += tab.thrown
            lines += [line for line in tab.lines if "[parley]" in line]
            tab.close()
        self.browser.forget(self.visitor)
        self.line.stop()
        if not well:
            return
        assert thrown == [], "something escaped into the page"
        assert len(lines) <= self.noise, lines
        if self.told is not None:
            assert self.kept() == self.told, "more came in later"
        total = self.total()
        assert total["conflict"] == total["quarantined"] == 0, total
        self.project.assert_law()


def brief(texts):
    return [text if len(text) < 60 else f"{text[:20]}… ({len(text)})" for text in texts[:20]] + ([f"… ({len(texts)})"] if len(texts) > 20 else [])


def uncompressible():
    """A text that stands as it is in what Snappy has compressed, as Firefox does with localStorage: Snappy takes out what was
    there before from four bytes on, and in a row of IDs one hexadecimal group in ten was. None of these letters is in an ID."""
    return "".join(secrets.choice("GHJKMNPQRSTUVWXYZghjkmnpqrstuvwxyz") for _ in range(24))


def on_disk(folder, text, seconds=30):
    """Waits until the text stands in a file of the profile; answers how long that took. Browsers write localStorage to the
    disk some seconds late, and a browser that is killed before has never stored it. One half of the text is enough: Firefox's database
    has pages of 1,024 bytes, and a text on two of them does not stand there in one piece. Where even that is not found, a database that
    was written since, and rests, has to do: what is asked at the next start shows whether it was in there."""
    began, began_at = time.monotonic(), time.time()
    halves = text[:len(text) // 2], text[len(text) // 2:]
    words = [half.encode(form) for half in halves for form in ("utf-8", "utf-16-le")]

    def there():
        rests = time.monotonic() - began > seconds / 2
        for root, _, names in os.walk(folder):
            for name in names:
                if not any(part in root + name for part in ("Cache", "cache", "History", "places")):
                    path = Path(root, name)
                    try:
                        content = path.read_bytes()
                        if rests and root.endswith("/ls") and began_at + 1 < path.stat().st_mtime < time.time() - 3:
                            return True
                    except OSError:
                        continue
                    if any(word in content for word in words):
                        return True
        return False

    until(f"{text} to be on the disk", there, seconds)
    return time.monotonic() - began
