"""A small chat with a backend of its own, recorded by Parley: the page by the public key, the answers' runs by the secret one.

    python backend.py --keys parley-data/demo.json --listen 127.0.0.1:8788

POST /chat {"messageId","thread","text","language"} answers {"replyId","reply","source"}. The answer is the best match in
the corpus of the PyPI package chatterbot-corpus or, where OPENAI_BASE_URL is set (with OPENAI_API_KEY and OPENAI_MODEL),
what that server's chat completions say. Every answer is logged as a run whose parent is the visitor's message.

PARLEY_URL is the gateway (http://127.0.0.1:8787). PARLEY_DATA is its data folder, where demo.json with the keys lies.
"""

import argparse
import collections
import functools
import html
import importlib.util
import json
import os
import queue
import random
import re
import secrets
import sys
import threading
import time
import unicodedata
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

try:
    import yaml
except ImportError:  # set-up could not reach PyPI: the demo runs all the same, with one answer for everything
    yaml = None

HERE = Path(__file__).resolve().parent
LOADER = HERE.parent / "web-snippet" / "dist" / "parley-loader.js"

LANGUAGES = {
    "en": "english", "de": "german", "fr": "french", "es": "spanish", "it": "italian", "pt": "portuguese", "nl": "dutch",
    "sv": "swedish", "tr": "turkish", "ru": "russian", "uk": "ukrainian", "hi": "hindi", "zh": "chinese", "ja": "japanese",
}
NO_IDEA = {
    "en": "I have no answer to that. Ask me something else?",
    "de": "Darauf habe ich keine Antwort. Frag mich etwas anderes?",
    "fr": "Je n'ai pas de réponse à cela. Une autre question ?",
    "es": "No tengo respuesta para eso. ¿Otra pregunta?",
    "it": "Non ho una risposta. Un'altra domanda?",
    "pt": "Não tenho resposta para isso. Outra pergunta?",
    "ja": "それには答えられません。別の質問をどうぞ。",
    "zh": "这个我答不上来。换个问题？",
}

BODY_LIMIT = 64 * 1024  # a chat message is short; the gateway takes no longer one from a page either
MODEL_TIMEOUT = 60  # seconds; a visitor has gone by then
PATIENCE = 0.4  # seconds that a reply may wait for the gateway in the turns that log before they answer
LAG = 0.5  # seconds after the reply that a run is logged in the other turns: the page's own event is there by then


def uuid7():
    """A UUIDv7 (RFC 9562, 5.7)."""
    digits = f"{time.time_ns() // 1_000_000:012x}7{secrets.randbits(12):03x}{0b10 << 62 | secrets.randbits(62):016x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def now_ms():
    return time.time_ns() // 1_000_000


# ------------------------------------------------------------------------------------------------------------- answers

Match = collections.namedtuple("Match", "prompt reply source score")


def tokens(text):
    """The words of a text; of writing without spaces, its pairs of characters."""
    found = set()
    for word in re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold()):
        if re.search(r"[\u3040-\u30ff\u3400-\u9fff]", word):
            found.update(word[i:i + 2] for i in range(max(1, len(word) - 1)))
        else:
            found.add(word)
    return found


@functools.lru_cache(maxsize=None)  # bound: one entry a language
def corpus(language):
    """Every (tokens, prompt, reply, file) of a language: each line of a conversation and the one after it."""
    if yaml is None or importlib.util.find_spec("chatterbot_corpus") is None:
        return []
    root = Path(importlib.util.find_spec("chatterbot_corpus").submodule_search_locations[0]) / "data" / LANGUAGES[language]
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    pairs = []
    for file in sorted(root.glob("*.yml")):
        with open(file, encoding="utf-8") as stream:
            conversations = (yaml.load(stream, Loader=loader) or {}).get("conversations") or []
        for lines in conversations:
            lines = [str(line).strip() for line in lines if isinstance(line, (str, int, float))] if isinstance(lines, list) else []
            for prompt, reply in zip(lines, lines[1:]):
                if prompt and reply:
                    pairs.append((tokens(prompt), prompt, reply, f"{root.name}/{file.stem}"))
    return pairs


def look_up(text, language):
    """The best matches, at most three: shared words against all words of both (Dice)."""
    asked = tokens(text)
    scored = []
    for known, prompt, reply, source in corpus(language):
        shared = len(asked & known)
        if shared:
            scored.append(Match(prompt, reply, source, round(2 * shared / (len(asked) + len(known)), 3)))
    random.shuffle(scored)  # so that equally good answers take turns
    scored.sort(key=lambda match: -match.score)
    return scored[:3]


class Model:
    """An OpenAI-compatible chat completion, with a short memory of each thread."""

    def __init__(self, base, key, name):
        self.url = base.rstrip("/") + "/chat/completions"
        self.key = key
        self.name = name
        self.provider = urllib.parse.urlsplit(base).hostname
        self.threads = collections.OrderedDict()  # bound: 200 threads of 20 messages, the longest silent one goes
        self.lock = threading.Lock()

    def messages(self, thread, text, matches):
        hint = "\n".join(f"{match.prompt} -> {match.reply}" for match in matches)
        system = "You are a friendly chat partner. Answer briefly, in the language you are asked in." + (f"\nSmall talk you know:\n{hint}" if hint else "")
        with self.lock:
            return [{"role": "system", "content": system}, *self.threads.get(thread, ()), {"role": "user", "content": text}]

    def answer(self, thread, messages):
        headers = {"Content-Type": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        body = json.dumps({"model": self.name, "messages": messages}).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url, body, headers), timeout=MODEL_TIMEOUT) as response:
            answer = json.load(response)
        reply = answer["choices"][0]["message"]["content"]
        with self.lock:
            memory = self.threads.setdefault(thread, collections.deque(maxlen=20))
            memory.extend((messages[-1], {"role": "assistant", "content": reply}))
            self.threads.move_to_end(thread)
            while len(self.threads) > 200:
                self.threads.popitem(last=False)
        usage = answer.get("usage") or {}
        return reply, {"inputTokens": usage.get("prompt_tokens", 0), "outputTokens": usage.get("completion_tokens", 0)}


# ---------------------------------------------------------------------------------------------------------------- runs


class RunLog:
    """Sends runs to the gateway from one thread of its own: a chat must not fail because its recorder is away."""

    def __init__(self, gateway, secret_key):
        self.url = gateway.rstrip("/") + "/v1/events"
        self.key = secret_key
        self.waiting = queue.Queue(maxsize=500)  # bound; at the bound the newcomer is dropped, and said so
        threading.Thread(target=self.work, name="run log", daemon=True).start()

    def send(self, events):
        """Returns an event that is set once the gateway has answered."""
        sent = threading.Event()
        try:
            self.waiting.put_nowait((events, sent))
        except queue.Full:
            print("run log: full, dropped", [event["id"] for event in events], file=sys.stderr)
            sent.set()
        return sent

    def send_later(self, events, delay):
        timer = threading.Timer(delay, self.send, (events,))
        timer.daemon = True
        timer.start()

    def work(self):
        while True:
            events, sent = self.waiting.get()
            self.deliver(events)
            sent.set()

    def deliver(self, events):
        """The same ids each time: a part that arrives twice is a duplicate, which is success."""
        for attempt in range(6):
            time.sleep(random.random() * 2 ** attempt if attempt else 0)
            try:
                body = json.dumps({"events": events, "sentAt": now_ms()}).encode()
                headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
                with urllib.request.urlopen(urllib.request.Request(self.url, body, headers), timeout=5) as response:
                    results = json.load(response)["results"]
            except urllib.error.HTTPError as error:
                answer = error.read(500).decode(errors="replace")
                if error.code not in (408, 429) and error.code < 500:
                    print(f"run log: refused with {error.code}: {answer}", file=sys.stderr)
                    return
            except (OSError, ValueError, KeyError) as error:
                print(f"run log: the gateway is away: {error}", file=sys.stderr)
            else:
                again = [event for event, result in zip(events, results) if result["verdict"] == "retry"]
                for result in results:
                    if result["verdict"] in ("conflict", "quarantined", "dropped"):
                        print(f"run log: {result}", file=sys.stderr)
                if not again:
                    return
                events = again
        print("run log: gave up on", [event["id"] for event in events], file=sys.stderr)


# ---------------------------------------------------------------------------------------------------------------- chat


class Chat:
    """One answer: look up, ask the model if there is one, log both as runs."""

    def __init__(self, log, model):
        self.log = log
        self.model = model

    def reply(self, message_id, thread, text, language, early):
        """`early` turns log their runs before the page's own event can have arrived, the others well after it."""
        run, lookup = uuid7(), uuid7()
        start = {
            "type": "run", "id": run, "kind": "llm", "name": "answer", "thread": thread, "parent": message_id,
            "model": self.model.name if self.model else "corpus-overlap", "provider": self.model.provider if self.model else "chatterbot-corpus",
            "startedAt": now_ms(), "metadata": {"language": language, "early": early},
        }
        began = now_ms()
        matches = look_up(text, language)
        retrieval = {
            "type": "run", "id": lookup, "kind": "retriever", "name": "corpus look-up", "thread": thread, "parent": run, "input": text,
            "output": [match._asdict() for match in matches], "success": True, "startedAt": began, "endedAt": now_ms(),
        }
        start["input"] = self.model.messages(thread, text, matches) if self.model else [{"role": "user", "content": text}]
        first = self.log.send([start, retrieval]) if early else None

        best = matches[0] if matches and matches[0].score >= 0.25 else None
        reply = best.reply if best else NO_IDEA.get(language, NO_IDEA["en"])
        end = {"type": "run", "id": run, "success": True, "usage": {"inputTokens": len(tokens(text)), "outputTokens": len(tokens(reply))}}
        if self.model:
            try:
                reply, end["usage"] = self.model.answer(thread, start["input"])
                best = None
            except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
                end.update(success=False, error={"message": f"{type(error).__name__}: {error}"})
                end.pop("usage")
        if end["success"]:
            end["output"] = reply
        end["endedAt"] = now_ms()

        if early:
            self.log.send([end])
            first.wait(PATIENCE)  # the reply waits no longer than this, whatever the gateway does
        else:
            self.log.send_later([start, retrieval, end], LAG)
        source = {"name": best.source, "prompt": best.prompt, "reply": best.reply} if best else None
        return {"replyId": uuid7(), "reply": reply, "source": source}


# ---------------------------------------------------------------------------------------------------------------- HTTP

FILES = {"/chat.js": "text/javascript; charset=utf-8", "/chat.css": "text/css; charset=utf-8"}


class Handler(BaseHTTPRequestHandler):
    """The page, its two files and POST /chat."""

    protocol_version = "HTTP/1.1"
    timeout = 75  # seconds a kept-alive connection may be silent
    chat = gateway = public_key = None  # set by main()

    def do_GET(self):
        path = urllib.parse.urlsplit(self.path).path
        if path == "/":
            self.page()
        elif path in FILES:
            self.answer(200, FILES[path], (HERE / path[1:]).read_bytes())
        else:
            self.answer(404, "text/plain; charset=utf-8", b"not found\n")

    do_HEAD = do_GET

    def page(self):
        """The loader stands in the page itself, as its README says, so a nonce lets it run and it lets the script in."""
        nonce = secrets.token_urlsafe(16)
        text = (HERE / "index.html").read_text(encoding="utf-8")
        for name, value in (("NONCE", nonce), ("KEY", self.public_key), ("GATEWAY", self.gateway)):
            text = text.replace(f"{{{{{name}}}}}", html.escape(value, quote=True))
        text = text.replace("{{LOADER}}", LOADER.read_text(encoding="utf-8").replace("</script", "<\\/script"))
        socket = re.sub("^http", "ws", self.gateway)
        policy = (
            f"default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self'; img-src 'self' data:; "
            f"connect-src 'self' {self.gateway} {socket}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        self.answer(200, "text/html; charset=utf-8", text.encode(), {"Content-Security-Policy": policy})

    def do_POST(self):
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > BODY_LIMIT:
            self.close_connection = True  # the body stays unread
            return self.error(413, "a body of at most 64 KiB, with its Content-Length")
        body = self.rfile.read(int(length))
        if urllib.parse.urlsplit(self.path).path != "/chat":
            return self.error(404, "POST goes to /chat")
        # A page of another origin cannot send this type without asking first, and is never told yes.
        if self.headers.get_content_type() != "application/json":
            return self.error(415, "application/json, please")
        try:
            given = json.loads(body)
            message_id, thread, text = (given[name] for name in ("messageId", "thread", "text"))
        except (ValueError, KeyError, TypeError):
            return self.error(400, "expected {messageId, thread, text, language}")
        if not all(isinstance(value, str) and value for value in (message_id, thread, text)):
            return self.error(400, "messageId, thread and text are strings")
        language = str(given.get("language") or given.get("locale") or "en")[:2]
        answer = self.chat.reply(message_id, thread, text, language if language in LANGUAGES else "en", given.get("runs") == "early")
        self.answer(200, "application/json", json.dumps(answer, ensure_ascii=False).encode())

    def error(self, status, message):
        self.answer(status, "application/json", json.dumps({"error": message}).encode())

    # no-cache, not no-store: the page may come back from the browser's back/forward cache.
    def answer(self, status, content_type, body, headers=None):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-cache")
        self.send_header("X-Content-Type-Options", "nosniff")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format, *args):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):  # a visitor who left is no error
            super().handle_error(request, client_address)


def read_keys(path, patience=60.0):
    """The gateway writes the file on its first start, so a backend that starts beside it waits."""
    until = time.monotonic() + patience
    while True:
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            if time.monotonic() > until:
                sys.exit(f"no keys in {path}: start the gateway with --demo first")
            time.sleep(0.2)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--listen", default="127.0.0.1:8788", metavar="HOST:PORT")
    parser.add_argument("--keys", type=Path, default=Path(os.environ.get("PARLEY_DATA", "parley-data")) / "demo.json", help='{"project","publicKey","secretKey"}')
    options = parser.parse_args()
    host, _, port = options.listen.rpartition(":")

    keys = read_keys(options.keys)
    base = os.environ.get("OPENAI_BASE_URL")
    model = Model(base, os.environ.get("OPENAI_API_KEY"), os.environ.get("OPENAI_MODEL", "gpt-4o-mini")) if base else None
    Handler.gateway = os.environ.get("PARLEY_URL", "http://127.0.0.1:8787").rstrip("/")
    Handler.public_key = keys["publicKey"]
    Handler.chat = Chat(RunLog(Handler.gateway, keys["secretKey"]), model)
    corpus("en")  # read before the first visitor asks

    server = Server((host.strip("[]"), int(port)), Handler)
    print(f"demo chat: http://{host}:{server.server_address[1]}/", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
