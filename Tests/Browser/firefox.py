"""Firefox over WebDriver BiDi (https://w3c.github.io/webdriver-bidi/), as much of it as the tests need.

Playwright drives only a Firefox of its own; BiDi drives the one people have. One process serves many pages, each in a user
context (cookies and storage of its own).
"""

import base64
import contextlib
import itertools
import json
import os
import queue
import re
import shutil
import subprocess
import tempfile
import threading
from urllib.parse import urlsplit

from websockets.sync.client import connect

from page import EYES, Page, called

FIREFOX = os.environ.get("FIREFOX") or shutil.which("firefox-esr") or shutil.which("firefox") or "/usr/bin/firefox-esr"
ANSWER = 60  # seconds for one command: a frozen page fails its test, not the whole run

# The rest of what keeps Firefox from talking to its makers comes with remote.prefs.recommended, which is on by itself.
PREFERENCES = {
    "browser.shell.checkDefaultBrowser": False, "browser.startup.page": 0, "browser.newtabpage.enabled": False, "app.update.disabledForTesting": True,
    "datareporting.policy.dataSubmissionEnabled": False, "network.captive-portal-service.enabled": False, "network.connectivity-service.enabled": False,
    "browser.safebrowsing.update.enabled": False, "extensions.update.enabled": False, "services.settings.server": "data:,", "intl.accept_languages": "en-US, en",
    # A headless Firefox has no mouse of its own; a person's has: fine pointer, hovers.
    "ui.primaryPointerCapabilities": 6, "ui.allPointerCapabilities": 6,
    # Files go to the tests' own folder, unasked.
    "browser.download.folderList": 2, "browser.download.useDownloadDir": True, "browser.download.always_ask_before_handling_new_types": False,
}

# https://w3c.github.io/webdriver/#keyboard-actions
KEYS = {
    "Backspace": "\ue003", "Tab": "\ue004", "Enter": "\ue007", "Shift": "\ue008", "Control": "\ue009", "Alt": "\ue00a", "Escape": "\ue00c", "PageUp": "\ue00e",
    "PageDown": "\ue00f", "End": "\ue010", "Home": "\ue011", "ArrowLeft": "\ue012", "ArrowUp": "\ue013", "ArrowRight": "\ue014", "ArrowDown": "\ue015",
    "Delete": "\ue017", "Meta": "\ue03d", "Space": " ",
}


class BiDiError(Exception):
    """A command that Firefox refused."""


class Firefox:
    """A headless Firefox with a profile of its own, or in a folder that is kept; ended by its own process id."""

    def __init__(self, dark=False, still=False, folder=None, preferences=None):
        self.kept = folder is not None
        self.folder = folder or tempfile.mkdtemp(prefix="parley-firefox-")
        self.downloads = os.path.join(self.folder, "downloads")
        preferences = {
            **PREFERENCES, "browser.download.dir": self.downloads,
            # Firefox has no command for the media features yet: a process a scheme.
            "layout.css.prefers-color-scheme.content-override": 0 if dark else 1, "ui.prefersReducedMotion": int(still),
            **(preferences or {}),
        }
        with open(os.path.join(self.folder, "user.js"), "w") as file:
            file.writelines(f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in preferences.items())
        self.process = subprocess.Popen(
            [FIREFOX, "--headless", "--no-remote", "--profile", self.folder, "--remote-debugging-port=0", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.closing = contextlib.ExitStack()
        address = queue.Queue()
        threading.Thread(target=self._listen, args=(address,), daemon=True).start()
        try:
            self.socket = self.closing.enter_context(connect(address.get(timeout=30) + "/session", max_size=None, ping_interval=None))
        except Exception:
            self.process.kill()
            raise
        self.ids = itertools.count(1)
        self.answers = {}
        self.listeners = {}  # by browsing context
        self.lock = threading.Lock()
        self.acting = None  # the page that was last typed into or pointed at
        threading.Thread(target=self._read, daemon=True).start()
        self.call("session.new", capabilities={"alwaysMatch": {"unhandledPromptBehavior": {"default": "dismiss"}}})
        self.call("session.subscribe", events=["log.entryAdded", "network.beforeRequestSent", "browsingContext.userPromptOpened"])

    def _listen(self, address):
        for line in self.process.stderr:
            if found := re.search(r"WebDriver BiDi listening on (ws://\S+)", line):
                address.put(found[1])

    def _read(self):
        with contextlib.suppress(Exception):
            for frame in self.socket:
                told = json.loads(frame)
                if told.get("id") is not None:
                    with self.lock:
                        waiting = self.answers.pop(told["id"], None)
                    if waiting:
                        waiting.put(told)
                elif told["type"] == "event":
                    parameters = told["params"]
                    context = parameters.get("context") or parameters.get("source", {}).get("context")
                    listener = self.listeners.get(context)
                    if listener:
                        listener(told["method"], parameters)

    def call(self, method, timeout=ANSWER, **parameters):
        number, answer = next(self.ids), queue.Queue()
        with self.lock:
            self.answers[number] = answer
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        try:
            told = answer.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"Firefox did not answer {method} within {timeout} s") from None
        if told["type"] == "error":
            raise BiDiError(f"{method}: {told['error']}: {told['message']}")
        return told["result"]

    def page(self, **options):
        return FirefoxPage(self, **options)

    def stop(self):
        with contextlib.suppress(Exception):
            self.call("browser.close", timeout=10)
        with contextlib.suppress(Exception):
            self.closing.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        self._gone()

    def kill(self):
        """Ends it as the system would, without a word; its children notice and end by themselves."""
        self.process.kill()
        self.process.wait(10)
        with contextlib.suppress(Exception):
            self.closing.close()
        self._gone()

    def _gone(self):
        self.process.stderr.close()
        if not self.kept:
            shutil.rmtree(self.folder, ignore_errors=True)


class FirefoxPage(Page):
    browser = "firefox"

    def __init__(self, firefox, width=1440, height=900):
        super().__init__()
        self.firefox = firefox
        self.user = firefox.call("browser.createUserContext")["userContext"]
        firefox.call("script.addPreloadScript", functionDeclaration=f"() => {{ {EYES} }}", userContexts=[self.user])
        firefox.call("emulation.setTimezoneOverride", timezone="UTC", userContexts=[self.user])
        firefox.call("emulation.setLocaleOverride", locale="en-US", userContexts=[self.user])
        # A window each: of the tabs of one window all but one are hidden, and a hidden page rests.
        self.context = firefox.call("browsingContext.create", type="window", userContext=self.user)["context"]
        firefox.listeners[self.context] = self._heard
        self.resize(width, height)

    def _heard(self, method, told):
        if method == "network.beforeRequestSent":
            self.requests.append(told["request"]["url"])
        elif method == "browsingContext.userPromptOpened":
            self.dialogs.append(told["message"])
        elif told["level"] in ("error", "warn"):
            kind = "thrown" if told["type"] == "javascript" else "warning" if told["level"] == "warn" else "error"
            self.faults.append(f"{kind}: {told['text']}")

    def call(self, method, **parameters):
        return self.firefox.call(method, context=self.context, **parameters)

    def goto(self, url):
        self.call("browsingContext.navigate", url=url, wait="complete")
        return self

    def reload(self):
        self.call("browsingContext.reload", wait="complete")
        return self

    def evaluate(self, function, *arguments):
        answer = self.firefox.call(
            "script.evaluate", expression=called(function, arguments), target={"context": self.context}, awaitPromise=True, userActivation=False)
        if answer["type"] == "exception":
            raise AssertionError(answer["exceptionDetails"]["text"])
        return json.loads(answer["result"]["value"])

    def act(self, *sources):
        if self.firefox.acting != self.context:
            self.call("browsingContext.activate")
            self.firefox.acting = self.context
        self.call("input.performActions", actions=list(sources))

    def pointer(self, x, y, clicks=1):
        x, y = round(x), round(y)
        press = [{"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        self.act({"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": [{"type": "pointerMove", "x": x, "y": y}, *press * clicks]})

    def type(self, text):
        strokes = [{"type": kind, "value": KEYS["Enter"] if each == "\n" else each} for each in text for kind in ("keyDown", "keyUp")]
        self.act({"type": "key", "id": "keys", "actions": strokes})

    def press(self, keys):
        values = [KEYS.get(key, key) for key in (keys.split("+") if len(keys) > 1 else [keys])]
        down = [{"type": "keyDown", "value": value} for value in values]
        self.act({"type": "key", "id": "keys", "actions": [*down, *({"type": "keyUp", "value": value} for value in reversed(values))]})

    def cookie(self, url, name, value):
        self.firefox.call(
            "storage.setCookie", partition={"type": "storageKey", "userContext": self.user},
            cookie={"name": name, "value": {"type": "string", "value": value}, "domain": urlsplit(url).hostname, "path": "/", "httpOnly": True, "sameSite": "strict"})

    def resize(self, width, height):
        self.call("browsingContext.setViewport", viewport={"width": width, "height": height})

    def screenshot(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.call("browsingContext.captureScreenshot")["data"]))

    def close(self):
        self.firefox.listeners.pop(self.context, None)
        self.firefox.call("browser.removeUserContext", userContext=self.user)
