"""A page as a person uses it, the same in Chromium and in Firefox: found by role and name, pointed at, typed into.

`Page` holds what both share; Chromium (Playwright) is below, Firefox (WebDriver BiDi) in firefox.py. Pointer and keys are the
browsers' own input, never events made by script; nothing is waited for by time, only by a condition with a bound.
"""

import json
import re
import time
from pathlib import Path

EYES = (Path(__file__).parent / "eyes.js").read_text()
PATIENCE = 10  # seconds for anything the page is to show by itself


def thing(role=None, name=None, css=None, within=None, text=None, all=False):
    """What to look for: by role and accessible name, by what it says, or by selector where neither can tell it."""
    what = {"role": role, "css": css, "within": within, "all": all}
    if isinstance(name, re.Pattern):
        what["pattern"] = name.pattern
    else:
        what["name"] = name
    if text is not None:
        what["text"] = text
    return what


class Page:
    """One tab with storage of its own."""

    browser = None  # "chromium" or "firefox"

    def __init__(self):
        self.faults = []  # what the console and the page's scripts complained of
        self.dialogs = []
        self.requests = []
        self.forgiven = []

    def forgives(self, pattern):
        """Complaints of the console that belong to the test, such as an answer of 401."""
        self.forgiven.append(pattern)
        return self

    def complaints(self):
        return [fault for fault in self.faults if not any(re.search(pattern, fault) for pattern in self.forgiven)]

    # What each browser does in its own way

    def goto(self, url):
        raise NotImplementedError

    def reload(self):
        raise NotImplementedError

    def evaluate(self, function, *arguments):
        """Calls a function of the page's language, given as text, and answers its value."""
        raise NotImplementedError

    def pointer(self, x, y, clicks=1):
        raise NotImplementedError

    def type(self, text):
        raise NotImplementedError

    def press(self, keys):
        """One key or a chord: "Enter", "Shift+Tab"."""
        raise NotImplementedError

    def cookie(self, url, name, value):
        raise NotImplementedError

    def resize(self, width, height):
        raise NotImplementedError

    def screenshot(self, path):
        raise NotImplementedError

    def close(self):
        raise NotImplementedError

    # Looking

    def wait_for(self, function, *arguments, timeout=PATIENCE, what=None):
        """Until the function answers something true; answers that."""
        deadline = time.monotonic() + timeout
        pause = 0.01
        while True:
            value = self.evaluate(function, *arguments)
            if value:
                return value
            assert time.monotonic() < deadline, f"{self.browser}: not within {timeout} s: {what or function}\n{self.words()[:700]}"
            time.sleep(pause)
            pause = min(pause * 1.5, 0.1)

    def names(self, role=None, **what):
        """The accessible names of all there are, in the order of the page."""
        return self.evaluate("(what) => eyes.find(what).map(eyes.name)", thing(role, **what))

    def count(self, role=None, name=None, **what):
        return self.evaluate("(what) => (what.text !== undefined ? eyes.holding(what.text, what.within) : eyes.find(what)).length", thing(role, name, **what))

    def sees(self, role=None, name=None, timeout=PATIENCE, **what):
        """Waits until it is there."""
        what = thing(role, name, **what)
        self.wait_for(
            "(what) => (what.text !== undefined ? eyes.holding(what.text, what.within) : eyes.find(what)).length", what, timeout=timeout,
            what=f"{told(what)} to be seen")
        return self

    def reads(self, text, timeout=PATIENCE, **within):
        """Waits until the words stand there to be read."""
        return self.sees(text=text, timeout=timeout, **within)

    def misses(self, role=None, name=None, timeout=PATIENCE, **what):
        """Waits until it is gone."""
        what = thing(role, name, **what)
        self.wait_for(
            "(what) => (what.text !== undefined ? eyes.holding(what.text, what.within) : eyes.find(what)).length === 0", what, timeout=timeout,
            what=f"{told(what)} to be gone")
        return self

    def words(self, role=None, name=None, nth=0, **what):
        """What is written there, as it is seen; of the whole page by default."""
        if role is None and name is None and not what:
            return self.evaluate("() => document.body?.innerText ?? ''")
        return self.evaluate("(what, nth) => eyes.find(what).at(nth)?.innerText ?? null", thing(role, name, **what), nth)

    def value(self, role=None, name=None, **what):
        return self.evaluate("(what) => eyes.find(what)[0]?.value ?? null", thing(role, name, **what))

    def attribute(self, attribute, role=None, name=None, nth=0, **what):
        return self.evaluate("(what, attribute, nth) => eyes.find(what).at(nth)?.getAttribute(attribute) ?? null", thing(role, name, **what), attribute, nth)

    def address(self):
        return self.evaluate("() => location.href")

    def refused(self):
        """What the content policy stopped."""
        return self.evaluate("() => refusedByPolicy")

    # Doing

    def spot(self, what, nth=0, timeout=PATIENCE):
        deadline = time.monotonic() + timeout
        while True:
            spot = self.evaluate("(what, nth) => eyes.target(what, nth)", what, nth)
            if "x" in spot:
                return spot
            if spot.get("at"):
                self.pointer(*spot["at"], 0)  # some things come forth when one points at their place
            assert time.monotonic() < deadline, f"{self.browser}: can't point at {told(what)}: {spot.get('cover', 'it is not there')}\n{self.words()[:700]}"
            time.sleep(0.03)

    def click(self, role=None, name=None, nth=0, timeout=PATIENCE, clicks=1, **what):
        spot = self.spot(thing(role, name, **what), nth, timeout)
        self.pointer(spot["x"], spot["y"], clicks)
        return self

    def hover(self, role=None, name=None, nth=0, **what):
        spot = self.spot(thing(role, name, **what), nth)
        self.pointer(spot["x"], spot["y"], 0)
        return self

    def fill(self, role=None, name=None, text="", nth=0, **what):
        """Into a field, in place of what is there."""
        field = thing(role, name, **what)
        hit, deadline = False, time.monotonic() + PATIENCE
        while not hit:  # what a person just did may still move the field away under the pointer; they would click again
            assert time.monotonic() < deadline, f"{self.browser}: {told(field)} does not take the focus\n{self.words()[:700]}"
            self.click(role, name, nth, **what)
            for _ in range(50):
                hit = self.evaluate("(what, nth) => eyes.find(what).at(nth) === document.activeElement", field, nth)
                if hit:
                    break
                time.sleep(0.01)
        self.press("Control+a")
        self.press("Delete")
        self.type(text)
        self.wait_for("(text) => document.activeElement.value === text", text, what=f"{text!r} to stand in {told(field)}")
        return self

    def choose(self, name, option, **what):
        """In a drop-down list, by the option's words, with the keys."""
        self.evaluate("(what) => eyes.find(what)[0]?.focus()", self._there(thing("combobox", name, **what)))
        place = self.evaluate(
            """(option) => { const list = document.activeElement, texts = [...list.options].map((o) => eyes.squeeze(o.text));
                return [texts, texts.indexOf(option), list.selectedIndex] }""", option)
        assert place[1] >= 0, f"{name} has no {option}: {place[0]}"
        for _ in range(abs(place[1] - place[2])):
            self.press("ArrowDown" if place[1] > place[2] else "ArrowUp")
        return self

    def _there(self, what):
        self.wait_for("(what) => eyes.find(what).length", what, what=told(what))
        return what

    def focused(self):
        """The role and name of what has the focus."""
        return self.evaluate("() => { const e = document.activeElement; return e && e !== document.body ? [eyes.role(e), eyes.name(e)] : null }")

    def elsewhere(self, *origins):
        """The requests that went to neither of these."""
        kept = ("data:", "about:", "blob:", *origins)
        return [url for url in self.requests if not url.startswith(kept)]


def told(what):
    parts = [what.get("role"), what.get("name") or what.get("pattern"), what.get("css"), what.get("text")]
    words = " ".join(repr(part) if number else part for number, part in enumerate(parts) if part)
    return f"{words} in {told(what['within'])}" if what.get("within") else words


def called(function, arguments):
    """An expression that calls the function; what it answers comes as JSON, the same from both browsers."""
    call = f"({function})({', '.join(json.dumps(each) for each in arguments)})"
    return f"(async () => {{ const value = await {call}; return JSON.stringify(value instanceof Node ? true : value ?? null) }})()"


class Chromium(Page):
    browser = "chromium"

    def __init__(self, browser, dark=False, width=1440, height=900, still=False):
        super().__init__()
        self.context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light", reduced_motion="reduce" if still else "no-preference",
            locale="en-US", timezone_id="UTC", accept_downloads=True)
        self.context.add_init_script(EYES)
        self.tab = self.context.new_page()
        self.tab.set_default_timeout(PATIENCE * 1000)
        self.tab.on("console", lambda line: self.faults.append(f"{line.type}: {line.text}") if line.type in ("error", "warning") else None)
        self.tab.on("pageerror", lambda error: self.faults.append(f"thrown: {error}"))
        self.tab.on("request", lambda request: self.requests.append(request.url))
        self.tab.on("dialog", self._dialog)

    def _dialog(self, dialog):
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def goto(self, url):
        self.tab.goto(url)
        return self

    def reload(self):
        self.tab.reload()
        return self

    def evaluate(self, function, *arguments):
        return json.loads(self.tab.evaluate(called(function, arguments)))

    def pointer(self, x, y, clicks=1):
        self.tab.mouse.move(x, y)
        if clicks:
            self.tab.mouse.click(x, y, click_count=clicks)

    def type(self, text):
        self.tab.keyboard.type(text)

    def press(self, keys):
        self.tab.keyboard.press(keys)

    def cookie(self, url, name, value):
        self.context.add_cookies([{"url": url, "name": name, "value": value, "httpOnly": True, "sameSite": "Strict"}])

    def resize(self, width, height):
        self.tab.set_viewport_size({"width": width, "height": height})

    def screenshot(self, path):
        self.tab.screenshot(path=str(path))

    def close(self):
        self.context.close()
