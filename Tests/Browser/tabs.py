"""Tabs as a visitor has them, to be left, closed, hidden, taken offline and killed: the same in Chromium and in Firefox.

Unlike page.py these hold no automation of their own in the page and change none of its ways: Chromium is driven over its
DevTools protocol (https://chromedevtools.github.io/devtools-protocol/) and not by Playwright, which switches the
back/forward cache off; Firefox over WebDriver BiDi.
"""

import contextlib
import itertools
import json
import queue
import re
import shutil
import subprocess
import tempfile
import threading
import time

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from browsers import CHROMIUM
from firefox import BiDiError, Firefox
from page import called

PATIENCE = 15  # seconds for anything the page is to reach by itself
ANSWER = 30  # seconds for one command

# Nothing of this touches what pages can do: it keeps the browser from asking questions and from calling its makers.
FLAGS = [
    "--headless=new", "--no-sandbox", "--remote-debugging-port=0", "--no-first-run", "--no-default-browser-check", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-default-apps", "--password-store=basic", "--use-mock-keychain", "--mute-audio", "--disable-gpu",
]


class Left(Exception):
    """The page was on its way elsewhere when it was asked."""


class Tab:
    """One tab; `thrown` is what its scripts let escape, `lines` what they wrote to the console."""

    def __init__(self):
        self.thrown = []
        self.lines = []
        self.gesture = False  # whether what is evaluated counts as the visitor's own doing

    def wait_for(self, function, *arguments, timeout=PATIENCE):
        """Until the function answers something true; answers that. A page on its way elsewhere is asked again."""
        deadline = time.monotonic() + timeout
        while True:
            with contextlib.suppress(Left):
                if value := self.evaluate(function, *arguments):
                    return value
            assert time.monotonic() < deadline, f"not within {timeout} s: {function}; thrown: {self.thrown}; console: {self.lines}"
            time.sleep(0.02)

    def ready(self):
        """Waits until the client itself has taken the loader's place."""
        self.wait_for("() => window.parley && parley.version && true")
        return self

    def arrives(self, url):
        self.wait_for("(url) => location.href === url && document.readyState !== 'loading'", url)
        return self


class Chromium:
    """A headless Chromium with a profile of its own, or in a folder that is kept; ended by its own process id."""

    name = "chromium"

    def __init__(self, folder=None, flags=()):
        self.kept = folder is not None
        self.folder = folder or tempfile.mkdtemp(prefix="parley-chromium-")
        self.process = subprocess.Popen(
            [CHROMIUM, *FLAGS, *flags, f"--user-data-dir={self.folder}", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace")
        self.closing = contextlib.ExitStack()
        address = queue.Queue()
        threading.Thread(target=self._listen, args=(address,), daemon=True).start()
        try:
            self.socket = self.closing.enter_context(connect(address.get(timeout=30), max_size=None, ping_interval=None))
        except Exception:
            self.process.kill()
            raise
        self.ids = itertools.count(1)
        self.answers = {}
        self.tabs = {}
        threading.Thread(target=self._read, daemon=True).start()

    def _listen(self, address):
        with contextlib.suppress(ValueError):
            for line in self.process.stderr:
                if found := re.search(r"DevTools listening on (ws://\S+)", line):
                    address.put(found[1])

    def _read(self):
        with contextlib.suppress(ConnectionClosed):
            for frame in self.socket:
                told = json.loads(frame)
                if "id" in told:
                    if waiting := self.answers.pop(told["id"], None):
                        waiting.put(told)
                elif tab := self.tabs.get(told.get("sessionId")):
                    tab.heard(told["method"], told["params"])

    def call(self, method, session=None, **parameters):
        number, answer = next(self.ids), queue.Queue()
        self.answers[number] = answer
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters, **({"sessionId": session} if session else {})}))
        try:
            told = answer.get(timeout=ANSWER)
        except queue.Empty:
            raise AssertionError(f"Chromium did not answer {method} within {ANSWER} s") from None
        if "error" in told:
            raise Left(f"{method}: {told['error']['message']}")
        return told["result"]

    def visitor(self):
        """Storage of one's own, as an incognito window has it."""
        return self.call("Target.createBrowserContext")["browserContextId"]

    def forget(self, visitor):
        self.call("Target.disposeBrowserContext", browserContextId=visitor)

    def tab(self, visitor=None, beside=None):
        """A tab in a window of its own, or `beside` another one, in front of it. Without a visitor: of the profile itself."""
        return ChromiumTab(self, visitor, beside)

    def kill(self):
        """Ends it as the system would, without a word."""
        self.process.kill()
        self._gone()

    def stop(self):
        with contextlib.suppress(Exception):
            self.call("Browser.close")
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self._gone()

    def _gone(self):
        self.process.wait(10)
        with contextlib.suppress(Exception):
            self.closing.close()
        self.process.stderr.close()
        if not self.kept:
            shutil.rmtree(self.folder, ignore_errors=True)


class ChromiumTab(Tab):
    def __init__(self, browser, visitor, beside):
        super().__init__()
        self.browser = browser
        where = {"browserContextId": visitor} if visitor else {}
        self.target = browser.call("Target.createTarget", url="about:blank", newWindow=not beside, **where)["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        self.loaded = threading.Event()
        browser.tabs[self.session] = self
        self.call("Page.enable")
        self.call("Runtime.enable")
        if beside:
            browser.call("Target.activateTarget", targetId=self.target)

    def heard(self, method, told):
        if method == "Page.domContentEventFired":
            self.loaded.set()
        elif method == "Runtime.exceptionThrown":
            details = told["exceptionDetails"]
            self.thrown.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Runtime.consoleAPICalled":
            self.lines.append(" ".join(str(each.get("value", each.get("description", ""))) for each in told["args"]))

    def call(self, method, **parameters):
        return self.browser.call(method, self.session, **parameters)

    def goto(self, url):
        self.loaded.clear()
        answer = self.call("Page.navigate", url=url)
        assert "errorText" not in answer, answer
        assert self.loaded.wait(PATIENCE), f"{url} did not load"
        return self

    def evaluate(self, function, *arguments):
        answer = self.call("Runtime.evaluate", expression=called(function, arguments), awaitPromise=True, returnByValue=True, userGesture=self.gesture)
        if "exceptionDetails" in answer:
            raise AssertionError(json.dumps(answer["exceptionDetails"])[:600])
        return json.loads(answer["result"]["value"])

    def offline(self, off=True):
        self.call("Network.enable")
        self.call("Network.emulateNetworkConditions", offline=off, latency=0, downloadThroughput=-1, uploadThroughput=-1)

    def front(self):
        self.browser.call("Target.activateTarget", targetId=self.target)

    def close(self):
        self.browser.tabs.pop(self.session, None)
        with contextlib.suppress(Left):
            self.browser.call("Target.closeTarget", targetId=self.target)


class Fox(Firefox):
    """Firefox by the same names."""

    name = "firefox"

    def visitor(self):
        return self.call("browser.createUserContext")["userContext"]

    def forget(self, visitor):
        self.call("browser.removeUserContext", userContext=visitor)

    def tab(self, visitor=None, beside=None):
        return FoxTab(self, visitor, beside)


# Firefox notes on its own that something could not be had or was forbidden; no script threw that.
NETWORK = re.compile(r"^(Firefox can.t establish a connection|The connection to ws|Cross-Origin Request Blocked|Content-Security-Policy: |None of the .sha)")


class FoxTab(Tab):
    def __init__(self, browser, visitor, beside):
        super().__init__()
        self.browser = browser
        where = {"referenceContext": beside.context} if beside else {}
        self.context = browser.call("browsingContext.create", type="tab" if beside else "window", userContext=visitor or "default", **where)["context"]
        browser.listeners[self.context] = self._heard

    def _heard(self, method, told):
        if method == "log.entryAdded":
            if told["type"] == "console":
                self.lines.append(told["text"])
            elif told["level"] == "error" and not NETWORK.match(told["text"]):
                self.thrown.append(told["text"])

    def call(self, method, **parameters):
        try:
            return self.browser.call(method, context=self.context, **parameters)
        except BiDiError as error:
            raise Left(str(error)) from error

    def goto(self, url):
        self.call("browsingContext.navigate", url=url, wait="interactive")
        return self

    def evaluate(self, function, *arguments):
        try:
            answer = self.browser.call(
                "script.evaluate", expression=called(function, arguments), target={"context": self.context}, awaitPromise=True, userActivation=self.gesture)
        except BiDiError as error:
            raise Left(str(error)) from error
        if answer["type"] == "exception":
            raise AssertionError(answer["exceptionDetails"]["text"])
        return json.loads(answer["result"]["value"])

    def offline(self, off=True):
        self.browser.call("emulation.setNetworkConditions", networkConditions={"type": "offline"} if off else None, contexts=[self.context])

    def front(self):
        self.call("browsingContext.activate")

    def close(self):
        self.browser.listeners.pop(self.context, None)
        with contextlib.suppress(Left):
            self.call("browsingContext.close")


def start(name, **options):
    return {"chromium": Chromium, "firefox": Fox}[name](**options)
