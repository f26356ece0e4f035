"""The React binding in real browsers, in StrictMode, beside a real gateway: what is said in the page is in the store, once.

React is Debian's (node-react, node-react-dom), in its development build, which is the one that mounts twice.
"""

import base64
import json
import os
import time
from pathlib import Path

import pytest

from parley_process import ROOT

PACKAGES = Path(os.environ.get("REACT_PACKAGES", "/usr/share/nodejs"))

# Says so at each mount, so that the test sees that there were two.
CHAT = """
import { useChat } from "parley-react";
const { createElement: e, StrictMode, useEffect } = window.React;
window.mounts = window.answers = 0;
async function* answer(text) {
  for (const word of ["You", " said", ": ", text]) {
    await new Promise((done) => setTimeout(done, 20));
    yield word;
  }
  window.answers++;
}
function Chat() {
  const { messages, status, ask, regenerate, vote } = useChat({ send: answer, tags: ["strict"] });
  useEffect(() => { window.mounts++; }, []);
  return e("main", null,
    messages.map(({ id, role, content }) => e("p", { key: id }, role + ": " + content)),
    e("output", null, status),
    e("button", { onClick: () => ask("Hello") }, "Ask"),
    e("button", { onClick: regenerate }, "Again"),
    e("button", { onClick: () => vote(messages[1].id, "up") }, "Good"));
}
window.ReactDOM.createRoot(document.querySelector("#root")).render(e(StrictMode, null, e(Chat)));
"""


def module(source):
    return "data:text/javascript;base64," + base64.b64encode(source.encode()).decode()


def html(project):
    names = "createContext, createElement, useContext, useEffect, useRef, useState, useSyncExternalStore"
    imports = {
        "react": module(f"export const {{ {names} }} = window.React;"),
        "parley-react": module((ROOT / "web-snippet/react.js").read_text()),
    }
    umd = "".join(f"<script>{(PACKAGES / name).read_text()}</script>" for name in ("react/umd/react.development.js", "react-dom/umd/react-dom.development.js"))
    return f"""<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>Chat</title><div id="root"></div>{umd}
      <script type="importmap">{json.dumps({"imports": imports})}</script>
      <script src="{project.gateway.url}/parley.js" data-key="{project.public}"></script>
      <script type="module">{CHAT}</script>"""


def test_a_chat_in_strict_mode_is_recorded_once(page, project, elsewhere):
    if not (PACKAGES / "react/umd").exists():
        pytest.fail("React's builds for pages are not there: install Debian's packages node-react and node-react-dom")
    page.goto(elsewhere.serve(html(project)))
    page.wait_for("() => window.mounts === 2", what="the second mount of StrictMode")
    page.click("button", "Ask").reads("assistant: You said: Hello").reads("ready")
    page.click("button", "Again").wait_for("() => window.answers === 2", what="the second answer")
    page.reads("ready")
    page.click("button", "Good")
    deadline = time.monotonic() + 15
    while True:
        threads = project.read("/v1/threads")["threads"]
        items = project.conversation(threads[0]["id"])["items"] if threads else []
        if len(items) == 3 and items[2]["feedback"]["up"] == 1:
            break
        assert time.monotonic() < deadline, items
        time.sleep(0.1)
    asked, first, second = items
    assert len(threads) == 1 and threads[0]["tags"] == ["strict"]
    assert [item["content"] for item in items] == ["Hello", "You said: Hello", "You said: Hello"]
    assert first["replyTo"] == second["replyTo"] == asked["id"] and second["retryOf"] == first["id"]
    assert second["metadata"]["deltas"][-1][1] == len("You said: Hello")
    assert len(second["metadata"]["deltas"]) == 4
