"""What a visitor or a vendor's SDK could send to trouble whoever reads it, and a seeder that puts it wherever text can go."""

import json
import time
import uuid

import requests

from parley_process import new_id

NOWHERE = "http://127.0.0.1:9"  # the discard port: a request to it is a request to elsewhere
HIT = "window.__hit=1;document.title='hit'"

TEXTS = {
    "script": f"<script>{HIT}</script><script src='{NOWHERE}/a.js'></script>",
    "handlers": f"<img src=x onerror=\"{HIT}\"><svg onload=\"{HIT}\"><body onload=\"{HIT}\"><details open ontoggle=\"{HIT}\"><input autofocus onfocus=\"{HIT}\">",
    "pixels": f"<img src='{NOWHERE}/p.gif'><link rel=stylesheet href='{NOWHERE}/s.css'><video poster='{NOWHERE}/v.png'></video><style>@import '{NOWHERE}/i.css';body{{display:none}}</style>",
    "frames": f"<iframe srcdoc='&lt;script&gt;parent.__hit=1&lt;/script&gt;'></iframe><object data='{NOWHERE}/o'></object><embed src='{NOWHERE}/e'><base href='{NOWHERE}/'>",
    "leave": f"<meta http-equiv=refresh content='0;url={NOWHERE}/r'><form action='{NOWHERE}/f'><button>Sign in</button></form><a href='javascript:{HIT}' ping='{NOWHERE}'>go</a>",
    "close": f"</script></title></textarea></style></template>--><![CDATA[<script>{HIT}</script>]]>\"'><b onmouseover={HIT}>",
    "svg": f"<svg xmlns='http://www.w3.org/2000/svg'><script>{HIT}</script><a xlink:href='javascript:{HIT}'><text>x</text></a><use href='{NOWHERE}/u#x'/></svg>",
    "links": f"[a](javascript:{HIT}) [b](jAvAsCrIpT:{HIT}) [c](&#106;avascript:{HIT}) [d](java\tscript:{HIT}) [e](data:text/html,<script>{HIT}</script>) [f](vbscript:x) "
             f"<javascript:{HIT}> [g](file:///etc/passwd) [h][r] [i](//127.0.0.1:9/x) [j](\x01javascript:{HIT})\n\n[r]: javascript:{HIT}",
    "images": f"![pixel]({NOWHERE}/m.gif) ![x](data:image/svg+xml,<svg onload='{HIT}'>) ![y](javascript:{HIT}) [![z]({NOWHERE}/n.gif)]({NOWHERE}/click) ![\" onerror=\"{HIT}](x)",
    "titles": f"[a](http://127.0.0.1:9/ \"\\\" onmouseover=\\\"{HIT}\") `<b>` ```html\n<script>{HIT}</script>\n```\n\n| <script>{HIT}</script> |\n|---|\n| <img src=x onerror={HIT}> |",
    "bidi": "invoice_\u202egnp.exe\u202c and \u2067then \u2066more \u202b\u202a\u202d, never closed: \u202e 123 !)",
    "arabic": "مرحبا \u200f (hello) ١٢٣ \u202eshalom שלום",
    "invisible": "pass\u200bword \ufeffadm\u00adin \u2060\u180e\u3164 tags: \U000e0069\U000e0067\U000e006e\U000e006f\U000e0072\U000e0065\U000e007f end",
    "control": "bell\x07 back\x08\x08 escape\x1b[2J\x1b[31m null-ish\x01 del\x7f c1\x9b separator\u2028next\u2029last\r\nwindows",
    "stacked": "Z" + "\u0301\u0316\u0489" * 300 + "algo " + "\U0001f468\u200d" * 200,
    "wide": "W" * 4000 + " " + "ﷺ" * 200 + " " + "𒐫" * 100,
    "flood": "first\n" + "\n" * 600 + "last",
    "template": "{{constructor.constructor('window.__hit=1')()}} ${window.__hit=1} {name} {n} %s %n <%= 1 %> #{x} __proto__ constructor toString",
    "formula": '=HYPERLINK("http://127.0.0.1:9/","x") @SUM(1) +1 -1 \t=1',
    "fake": "Your session is over. [Sign in again](http://127.0.0.1:9/signin)\n\n<header class=\"bar\" style=\"position:fixed;inset:0;z-index:99999\"><button>Delete project</button></header>\n\n"
            "<dialog open class=\"sheet\">Enter your password</dialog>\n\n- [x] Verified by Parley ✔\n\n# Set-up",
}

MONSTERS = {
    "emphasis": "*a_ " * 37_500,
    "stars": "**" * 75_000,
    "brackets": "[" * 75_000 + "](" * 37_500,
    "ticks": "".join("`" * (number % 300 + 1) + " " for number in range(900)),
    "quotes": ">" * 5000 + " at the bottom",
    "lists": "\n".join(" " * 2 * level + "- x" for level in range(400)),
    "table": "|" + "h|" * 200 + "\n|" + "-|" * 200 + "\n" + ("|" + "c|" * 200 + "\n") * 300,
    "rows": "|a|b|\n|-|-|\n" + "|1|2|\n" * 12_000,
    "entities": "&amp;" * 30_000,
    "words": ("word " * 30 + "\n\n") * 1000,
    "line": "x" * 200_000,
    "json": json.dumps([{"deep": "x" * 10, "n": number} for number in range(4000)]),
}

SHORT = [name for name in TEXTS if len(TEXTS[name]) < 1000]


def clip(text, most):
    return text[:most]


def blocks(text):
    """A content of every kind of block that chat APIs know."""
    return [
        {"type": "text", "text": text},
        {"type": "image_url", "image_url": {"url": f"javascript:{HIT}"}, "alt": text},
        {"type": "image_url", "image_url": {"url": f"{NOWHERE}/pixel.gif"}},
        {"type": "image_url", "image_url": {"url": f"data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' onload=\"{HIT}\"></svg>"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/svg+xml", "data": "PHN2ZyBvbmxvYWQ9J3dpbmRvdy5fX2hpdD0xJy8+"}},
        {"type": "tool_use", "id": clip(text, 100), "name": text, "input": {text: text, "__proto__": {"x": text}}},
        {"type": "tool_result", "tool_use_id": clip(text, 100), "is_error": True, "content": text},
        {"type": "file", "name": text, "url": f"javascript:{HIT}"},
        {"type": "thinking", "thinking": text},
        {"type": "refusal", "refusal": text},
        {"type": text, "text": 7, text: text},
        text,
        None,
    ]


def everywhere(name, text, thread=None):
    """The events of one conversation that say the text wherever a backend can say something. Answers (thread, events)."""
    thread = thread or clip(f"{name} {text}", 100)
    asked, answered, blocked = clip(f"{name}-q-{text}", 100), new_id(), new_id()
    user = {"id": clip(text, 120) or "nobody", "props": {"name": text, clip(text, 60): text, "__proto__": text, "nested": {"a": [text]}}}
    run, tool = clip(f"{name}-r-{text}", 100), new_id()
    at = time.time() * 1000 - 60_000
    return thread, [
        {"type": "thread", "id": new_id(), "thread": thread, "user": user, "tags": [clip(text, 64)], "metadata": {clip(text, 100): text}},
        {"type": "identify", "id": new_id(), "thread": thread, "user": user},
        {"type": "message", "id": asked, "thread": thread, "role": "user", "content": text, "at": at, "user": user, "tags": [clip(text, 64), name], "metadata": {clip(text, 100): text, "deep": {"x": [text, {"y": text}]}}},
        {"type": "message", "id": answered, "thread": thread, "role": "assistant", "content": text, "at": at + 2000, "replyTo": asked, "metadata": {"title": text, "deltas": text}},
        {"type": "message", "id": new_id(), "thread": thread, "role": "assistant", "content": text, "at": at + 2500, "retryOf": answered, "replyTo": clip(text, 100)},
        {"type": "message", "id": blocked, "thread": thread, "role": "assistant", "content": blocks(text), "at": at + 3000},
        {"type": "message", "id": new_id(), "thread": thread, "role": "user", "content": blocks(text), "at": at + 3500},
        {"type": "message", "id": new_id(), "thread": thread, "role": "tool", "content": text, "at": at + 4000},
        {"type": "message", "id": new_id(), "thread": thread, "role": "system", "content": text, "at": at + 4500},
        {"type": "event", "id": new_id(), "thread": thread, "name": clip(text, 200), "metadata": {clip(text, 100): text, "url": f"javascript:{HIT}"}, "at": at + 5000},
        {"type": "feedback", "id": new_id(), "target": answered, "thumb": "down", "comment": text, "user": user},
        {"type": "run", "id": run, "kind": "agent", "thread": thread, "parent": asked, "name": clip(text, 200), "model": text, "provider": text, "input": text, "output": {text: text},
         "usage": {"input": text, "output": 1e308, text: text}, "cost": -1, "metadata": {clip(text, 100): text}, "tags": [clip(text, 64)], "startedAt": at + 100, "endedAt": at + 90, "success": False,
         "error": {"message": text, "stack": text, text: text}},
        {"type": "run", "id": tool, "kind": text, "thread": thread, "parent": run, "name": text, "input": [text], "output": text, "error": text, "startedAt": at, "endedAt": at + 86_400_000},
        {"type": "run", "id": new_id(), "kind": "llm", "thread": thread, "parent": clip(f"nobody-{text}", 100), "name": text, "output": text},
        {"type": "score", "id": new_id(), "target": answered, "name": clip(text, 200), "category": text, "reason": text, "author": clip(text, 100)},
        {"type": "score", "id": new_id(), "target": asked, "name": name, "value": 0.5, "reason": text, "author": clip(text, 100)},
        {"type": "comment", "id": new_id(), "target": answered, "text": text, "author": clip(text, 100)},
    ]


def visitor(name, text):
    """What a page with only the public key can say."""
    thread = f"visitor {name}"
    first = new_id()
    return thread, [
        {"type": "message", "id": first, "thread": thread, "role": "user", "content": text, "user": {"id": clip(text, 120), "props": {"name": text}}, "tags": [clip(text, 64)], "metadata": {clip(text, 100): text}},
        {"type": "message", "id": new_id(), "thread": thread, "role": "assistant", "content": blocks(text), "replyTo": first},
        {"type": "event", "id": new_id(), "thread": thread, "name": clip(text, 200), "metadata": {"url": text}},
        {"type": "feedback", "id": new_id(), "target": first, "thumb": "up", "comment": text},
        # What it may not say waits in quarantine, to be read there.
        {"type": "score", "id": new_id(), "target": first, "name": clip(text, 200), "reason": text, "value": 1},
        {"type": "message", "id": "weak", "thread": thread, "role": "user", "content": text},
        {"type": "message", "id": new_id(), "thread": thread, "role": text, "content": text},
    ]


def seed(project, texts=TEXTS):
    """Each text in a conversation by the backend and one by a visitor. Answers {name: thread}."""
    threads = {}
    for name, text in texts.items():
        threads[name], events = everywhere(name, text)
        answer = project.post(events)
        assert answer.status_code == 200, answer.text
        stored = {each["verdict"] for each in answer.json()["results"][2:4]}
        assert stored == {"stored"}, (name, answer.text[:2000])
        threads[f"visitor {name}"], events = visitor(name, text)
        assert project.post(events, key=project.public).status_code == 200
    return threads


def seed_monsters(project):
    threads = {}
    for name, text in MONSTERS.items():
        threads[name] = f"monster {name}"
        sent = project.send(
            {"type": "message", "id": new_id(), "thread": threads[name], "role": "user", "content": text},
            {"type": "message", "id": new_id(), "thread": threads[name], "role": "assistant", "content": text},
            {"type": "message", "id": new_id(), "thread": threads[name], "role": "assistant", "content": "The end of it."})
        assert sent == ["stored"] * 3, (name, sent)
    return threads


# MARK: as the vendors' SDKs say it


def uuid7():
    head = int(time.time() * 1000) << 80 | 7 << 76 | (uuid.uuid4().int & ((1 << 76) - 1))
    return str(uuid.UUID(int=head & ~(0b11 << 62) | 0b10 << 62))


def lunary(project, name, text):
    thread, message, run = f"lunary {name}", new_id(), new_id()
    now = int(time.time() * 1000)
    chat = {"event": "chat", "type": "thread", "userId": clip(text, 120), "userProps": {"email": text}, "parentRunId": thread, "timestamp": now, "runtime": "lunary-js", "threadTags": [clip(text, 64)]}
    events = [
        {**chat, "runId": message, "feedback": {"thumb": "down", "comment": text}, "message": {"id": message, "role": "user", "content": text, "tags": [clip(text, 64)], "extra": {clip(text, 60): text}, "feedback": {"comment": text}}},
        {"event": "start", "type": "llm", "userId": clip(text, 120), "parentRunId": message, "timestamp": now, "runtime": "lunary-js", "runId": run, "name": clip(text, 200),
         "input": [{"role": "user", "content": text}], "params": {"model": text}, "metadata": {clip(text, 60): text}, "tags": [clip(text, 64)]},
        {"event": "error", "type": "llm", "timestamp": now + 1, "runId": run, "error": {"message": text, "stack": text}},
    ]
    return thread, requests.post(f"{project.gateway.url}/v1/runs/ingest", headers={"Authorization": f"Bearer {project.secret}"}, json={"events": events}, timeout=20)


def opik(project, name, text):
    thread, trace = f"opik {name}", uuid7()
    now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
    body = {"traces": [{"id": trace, "project_name": project.name, "name": clip(text, 200), "start_time": now, "end_time": now, "input": {"question": text}, "output": {"answer": text},
                        "metadata": {clip(text, 60): text}, "tags": [clip(text, 64)], "thread_id": thread, "error_info": {"exception_type": text, "message": text, "traceback": text}}]}
    answer = requests.post(f"{project.gateway.url}/api/v1/private/traces/batch", headers={"Authorization": project.secret}, json=body, timeout=20)
    if answer.ok:
        scores = {"scores": [{"id": trace, "project_name": project.name, "name": clip(text, 150), "category_name": clip(text, 100), "value": 0.5, "reason": text, "source": "sdk"}]}
        requests.put(f"{project.gateway.url}/api/v1/private/traces/feedback-scores", headers={"Authorization": project.secret}, json=scores, timeout=20)
    return thread, answer


def agnost(project, name, text):
    thread = f"agnost {name}"
    headers = {"X-Org-Id": project.secret}
    requests.post(f"{project.gateway.url}/api/v1/capture-session", headers=headers, json={
        "session_id": thread, "client_config": text, "connection_type": "sdk", "ip": "", "user_data": {"user_id": clip(text, 120), "name": text}}, timeout=20)
    return thread, requests.post(f"{project.gateway.url}/api/v1/capture-event", headers=headers, json={
        "event_id": new_id(), "session_id": thread, "primitive_type": text, "primitive_name": clip(text, 200), "latency": -5, "success": False, "args": json.dumps(text), "result": json.dumps(text),
        "metadata": {clip(text, 60): text, "model": text, "event_type": ""}}, timeout=20)


def otlp(project, name, text):
    thread, now = f"otlp {name}", time.time_ns()

    def attribute(key, value):
        return {"key": key, "value": {"stringValue": value}}

    span = {
        "traceId": uuid.uuid4().hex, "spanId": uuid.uuid4().hex[:16], "name": clip(text, 200), "kind": 3, "startTimeUnixNano": str(now - 10**9), "endTimeUnixNano": str(now),
        "attributes": [
            attribute("gen_ai.operation.name", "chat"), attribute("gen_ai.conversation.id", thread), attribute("gen_ai.request.model", text), attribute("gen_ai.provider.name", text),
            attribute("gen_ai.input.messages", json.dumps([{"role": "user", "parts": [{"type": "text", "content": text}]}])),
            attribute("gen_ai.output.messages", json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": text}]}])), attribute(clip(text, 60), text)],
        "status": {"code": 2, "message": text}, "events": [{"timeUnixNano": str(now), "name": "exception", "attributes": [attribute("exception.message", text)]}]}
    body = {"resourceSpans": [{"resource": {"attributes": [attribute("service.name", text)]}, "scopeSpans": [{"scope": {"name": text}, "spans": [span]}]}]}
    return thread, requests.post(f"{project.gateway.url}/v1/traces", headers={"Authorization": f"Bearer {project.secret}"}, json=body, timeout=20)


VENDORS = {"lunary": lunary, "opik": opik, "agnost": agnost, "otlp": otlp}


def seed_vendors(project, texts=None):
    for name in texts or ("script", "links", "bidi", "fake"):
        for vendor, send in VENDORS.items():
            _, answer = send(project, name, TEXTS[name])
            assert answer.status_code < 300, (vendor, name, answer.status_code, answer.text[:500])
