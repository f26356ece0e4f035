"""The client of Parley for Python backends: it records runs, and messages where the backend is the one that knows them.

    import parley
    parley.init(key="sk_…", url="https://chat.example.com")
    with parley.run(kind="llm", parent=message_id, input=question) as run:
        answer = model(question)
        run.update(output=answer, usage={"inputTokens": 12})

The path of an event: a tracking call gives it an id and returns at once → the outbox (bounded) → POST /v1/events, from a
thread of its own → its verdict. What has no verdict is sent again under the same id, with the same bytes; the gateway
keeps the first of each.

Two promises to the application: nothing in this file ever raises into it, and nothing in this file grows without bound.
It may be called from any thread, and from coroutines: no call but `flush` and `close` waits for anything, and those not
for longer than told. A forked child has an empty outbox: what was waiting is its parent's to send. What waits when the
interpreter ends is sent before it does.

One file, no packages, Python 3.9 or newer: copy it, or put its folder on the path.
"""

from __future__ import annotations

import atexit
import codecs
import collections
import contextlib
import contextvars
import dataclasses
import datetime
import functools
import inspect
import json
import logging
import math
import os
import random
import sys
import threading
import time
import traceback
import urllib.error
import urllib.request
import weakref
from email.utils import parsedate_to_datetime
from typing import Any, Callable, Iterator, Mapping, NamedTuple, Optional, TypeVar

__version__ = "0.1"
__all__ = [
    "Client", "MessageStream", "Notice", "Run", "Thread", "close", "flush", "identify", "init", "new_id", "off_verdict",
    "Receipt", "on_verdict", "open_thread", "parent", "run", "start_run", "traced", "track_feedback", "track_run", "track_score",
    "verify_receipt",
]

# Minutes of a busy backend with the gateway away, and little beside a process that talks to models.
QUEUE_EVENTS = 10_000
# More than three events of the largest size.
QUEUE_BYTES = 64 * 1024 * 1024
# P-LIMIT-2: a body holds 20 MiB and 10,000 events. Smaller ones are on disk, and answered, sooner.
BODY_EVENTS = 500
BODY_BYTES = 1024 * 1024
# Room for the words around the events in a body; they need about 40 bytes.
ENVELOPE = 128
# P-LIMIT-1, less what a body of one event adds to it.
EVENT_BYTES = 20 * 1024 * 1024 - ENVELOPE
# A request's calls in one body, in seconds. Shorter than anybody waits for a run to be shown.
COALESCE = 0.05
# The gateway answers after commit, in milliseconds; what is silent for longer is gone.
ANSWER = 30.0
# flush() gives up after this.
FLUSH = 10.0
# What an interpreter that ends waits for its last events: supervisors kill after ten seconds.
EXIT = 5.0
# P-CLOSE-3: first delay, doubled each time, full jitter.
RETRY = 1.0
RETRY_CAP = 60.0
# What a gateway may ask for in Retry-After; past five minutes it is a mistake.
RETRY_WISH = 300.0
# Of a streamed message: enough to show its pace, 3 KB at most.
DELTAS = 200
# No answer of a gateway to BODY_EVENTS is larger.
ANSWER_BYTES = 16 * 1024 * 1024

_log = logging.getLogger("parley")
_warned: set[str] = set()


def _warn(text: str) -> None:
    """Says each thing once. Bound: 50 texts."""
    if len(_warned) < 50 and text not in _warned:
        _warned.add(text)
        _log.warning(text)


def _shown(value: Any) -> str:
    try:
        return repr(value)[:200]
    except Exception:
        return type(value).__name__


F = TypeVar("F", bound=Callable[..., Any])


def _guard(otherwise: Callable[..., Any]) -> Callable[[F], F]:
    """Every function that the application calls passes through here; wrong arguments are a warning too."""

    def decorate(work: F) -> F:
        @functools.wraps(work)
        def guarded(*args: Any, **fields: Any) -> Any:
            try:
                return work(*args, **fields)
            except Exception as error:
                _warn(f"ignored, in {work.__name__}: {_shown(error)}")
                return otherwise(args[0] if args else None)

        return guarded  # type: ignore[return-value]

    return decorate


def _nothing(_: Any) -> None:
    return None


# ---------------------------------------------------------------------------------------------------------------- ids

# Reentrant, as a signal's handler may track while its thread is in here.
_id_lock = threading.RLock()
_last_ms = 0
_counter = 0


def new_id() -> str:
    """A UUIDv7 (RFC 9562, 5.7): 48 bits of time, a 12-bit counter that keeps the order within a millisecond (6.2,
    method 1), 62 random bits. A counter that runs over borrows the next millisecond; a clock set back changes nothing."""
    global _last_ms, _counter
    octets = os.urandom(9)
    with _id_lock:
        now = time.time_ns() // 1_000_000
        if now > _last_ms:
            _last_ms, _counter = now, octets[8]
        elif _counter < 4095:
            _counter += 1
        else:
            _last_ms, _counter = _last_ms + 1, 0
        ms, counter = _last_ms, _counter
    rest = int.from_bytes(octets[:8], "big") & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000
    digits = f"{ms:012x}7{counter:03x}{rest:016x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _id_from(given: Any) -> str:
    """The application's own id where it can be one, a new one where it cannot."""
    if given is not None and not isinstance(given, str) and type(given).__name__ == "UUID":
        given = str(given)
    if isinstance(given, str) and 0 < len(given) <= 128:
        return given
    if given is not None:
        _warn(f"not an id: {_shown(given)}")
    return new_id()


# --------------------------------------------------------------------------------------------------------------- JSON


def _plain(value: Any) -> Any:
    """What JSON has no word for."""
    if isinstance(value, BaseException):
        stack = "".join(traceback.format_exception(type(value), value, value.__traceback__))
        return {"name": type(value).__name__, "message": str(value), "stack": stack[-8000:]}
    if isinstance(value, datetime.datetime):
        # A time without a zone is this machine's.
        return value.astimezone(datetime.timezone.utc).isoformat().replace("+00:00", "Z")
    if isinstance(value, (bytes, bytearray)):
        return value.decode("utf-8", "replace")
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return list(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    # Pydantic's models, which the SDKs of model makers answer with; arrays and numbers of NumPy.
    for name in ("model_dump", "tolist"):
        method = getattr(type(value), name, None)
        if callable(method):
            return method(value)
    return str(value)[:1000]


def _mended(value: Any, inside: tuple[int, ...] = ()) -> Any:
    """Without what JSON cannot say: numbers that are none become null, keys texts. Raises ValueError for a circle."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    if id(value) in inside:
        raise ValueError("a circle")
    if isinstance(value, Mapping):
        return {str(key): _mended(each, (*inside, id(value))) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_mended(each, (*inside, id(value))) for each in value]
    return _mended(_plain(value), (*inside, id(value)))


def _json(event: Any) -> bytes:
    """UTF-8, with half surrogates as escapes. Raises ValueError or RecursionError for what can't be said."""
    write = functools.partial(json.dumps, allow_nan=False, separators=(",", ":"), default=_plain)
    try:
        text = write(event, ensure_ascii=False)
    except (TypeError, ValueError):
        # A number that is none, a key that is no text; or a circle, which is found out again.
        event = _mended(event)
        text = write(event, ensure_ascii=False)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return write(event).encode()


def _fields(**fields: Any) -> dict[str, Any]:
    """In the protocol's spelling, without those that are None."""
    return {_camel(name): value for name, value in fields.items() if value is not None}


def _camel(name: str) -> str:
    first, *more = name.split("_")
    return first + "".join(word.capitalize() for word in more)


def _units(text: str) -> int:
    """The length of a text in UTF-16 units, as pages count."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


# ------------------------------------------------------------------------------------------------------------- outbox


class Notice(NamedTuple):
    """What became of an event. All verdicts but `retry` are final."""

    id: str
    type: str
    verdict: str
    #: Why, unless `stored` or `duplicate`.
    reason: Optional[str] = None
    #: The gateway's signed word that it is stored, where the client asks for receipts.
    receipt: Optional[str] = None


class Receipt(NamedTuple):
    """What the gateway says of a receipt."""

    valid: bool
    #: When the thing was stored, ISO 8601; of a valid one.
    at: Optional[str] = None


@dataclasses.dataclass(eq=False)
class _Item:
    id: str
    type: str
    json: bytes
    number: int
    sent: bool = False


class _Outbox:
    """What has no verdict yet, and when it may be sent. It has no lock, no clock and no socket: times, in seconds, are
    passed in, and what is to be told comes out.

    Bound: `most_events` and `most_bytes`. At the bound the oldest custom event that is not under way is dropped, then the
    oldest of any kind; drops are counted by reason and reported."""

    def __init__(self, most_events: int, most_bytes: int) -> None:
        self.most_events = most_events
        self.most_bytes = most_bytes
        self.clear()
        # The reason nothing is sent any more, once there is one.
        self.stopped: Optional[str] = None

    def clear(self) -> None:
        # Number → item, in the order of tracking.
        self.items: dict[int, _Item] = {}
        self.bytes = 0
        # How many of them are custom events.
        self.customs = 0
        self.numbers = 0
        self.dropped: dict[str, int] = {}
        self.failures = 0
        # Nothing is sent before.
        self.held_until = 0.0
        # When what waits is to go; None while nothing does.
        self.due: Optional[float] = None
        # Halved to find the one event for which a whole body is refused.
        self.body_events = BODY_EVENTS
        self.under_way = False

    def admit(self, kind: str, id: str, text: bytes, now: float) -> list[Notice]:
        if self.stopped:
            return [Notice(id, kind, "dropped", self.stopped)]
        self.numbers += 1
        item = _Item(id, kind, text, self.numbers)
        if len(text) > min(EVENT_BYTES, self.most_bytes):
            return [self._settle(item, "dropped", "event_too_large")]
        self.items[item.number] = item
        self.bytes += len(text)
        self.customs += kind == "event"
        if self.due is None:
            self.due = now + COALESCE
        notices = []
        while len(self.items) > self.most_events or self.bytes > self.most_bytes:
            least = self._least_missed()
            if not least:
                break
            notices.append(self._settle(least, "dropped", "queue_full"))
        return notices

    def refuse(self, kind: str, id: str, reason: str) -> list[Notice]:
        """For an event that did not come to a text."""
        return [self._settle(_Item(id, kind, b"", 0), "dropped", reason)]

    def next(self, now: float, wall_ms: int) -> tuple[list[_Item], Optional[float]]:
        """What is to be sent now, or in how many seconds to ask again; None: not before something is tracked."""
        if self.stopped or self.under_way:
            return [], None
        self.report(wall_ms, now)
        if not self.items:
            self.due = None
            return [], None
        wait = max(self.held_until, self.due or now) - now
        if wait > 0:
            return [], wait
        items: list[_Item] = []
        size = ENVELOPE
        # At least one, since an event may be larger than a body should be.
        for item in self.items.values():
            size += len(item.json) + 1
            if items and (len(items) >= self.body_events or size > BODY_BYTES):
                break
            item.sent = True
            items.append(item)
        self.under_way = True
        return items, None

    def answered(self, items: list[_Item], status: int, body: Any, after: Optional[float], now: float) -> list[Notice]:
        """`status` 0: no answer came. `after`: the answer's Retry-After, in seconds."""
        self.under_way = False
        self.due = now
        for item in items:
            item.sent = False
        if self.stopped:
            return []
        body = body if isinstance(body, dict) else {}
        results = body.get("results")
        error = body.get("error")
        error = error if isinstance(error, dict) else {}
        code = str(error.get("code") or f"http_{status}")
        message = str(error.get("message") or "")
        if status == 200 and isinstance(results, list):
            self.failures = 0
            self.body_events = BODY_EVENTS
            results += [{"verdict": "retry"}] * (len(items) - len(results))
            return [self._conclude(item, result, now) for item, result in zip(items, results)]
        if status in (401, 403, 404):
            return self.stop(code, message)
        if 400 <= status < 500 and status not in (408, 429):
            self.body_events = len(items) // 2 or BODY_EVENTS
            return [self._settle(items[0], "dropped", code, message)] if len(items) == 1 else []
        wish = error.get("retryAfterMs")
        wish = wish / 1000 if isinstance(wish, (int, float)) else after or 0
        delay = self.random() * min(RETRY_CAP, RETRY * 2 ** min(self.failures, 10))
        self.failures += 1
        self._hold(max(wish, delay), now)
        return []

    # From 0 to 1. A test's own where it must know the delay.
    random = staticmethod(random.random)

    def _hold(self, seconds: float, now: float) -> None:
        self.held_until = now + min(seconds, RETRY_WISH)

    def _conclude(self, item: _Item, result: Any, now: float) -> Notice:
        result = result if isinstance(result, dict) else {"verdict": "retry"}
        verdict, reason = result.get("verdict"), result.get("reason")
        if verdict != "retry":
            return self._settle(item, str(verdict), reason, str(result.get("message") or ""), result.get("receipt"))
        wish = result.get("retryAfterMs")
        self._hold(wish / 1000 if isinstance(wish, (int, float)) else RETRY, now)
        return Notice(item.id, item.type, "retry", reason)

    def _settle(
        self, item: _Item, verdict: str, reason: Optional[str], message: str = "", receipt: Optional[str] = None,
    ) -> Notice:
        """The end of an event's way."""
        if self.items.pop(item.number, None):
            self.bytes -= len(item.json)
            self.customs -= item.type == "event"
        if verdict == "dropped":
            self.dropped[str(reason)] = self.dropped.get(str(reason), 0) + 1
        if reason:
            _warn(f"{item.type} {verdict}: {reason}. {message}")
        return Notice(item.id, item.type, verdict, reason, receipt)

    def _least_missed(self) -> Optional[_Item]:
        """What is under way stays, as it may be stored already."""
        idle = None
        for item in self.items.values():
            if item.sent:
                continue
            if item.type == "event" or not self.customs:
                return item
            idle = idle or item
        return idle

    def report(self, wall_ms: int, now: float) -> None:
        """What had to be dropped is itself an event, sent beside the next ones; past the bound, as it is one at most."""
        if not self.dropped or any(item.type == "client_report" for item in self.items.values()):
            return
        event = {"type": "client_report", "id": new_id(), "at": wall_ms, "reasons": self.dropped}
        self.dropped = {}
        self.numbers += 1
        text = _json(event)
        self.items[self.numbers] = _Item(event["id"], "client_report", text, self.numbers)
        self.bytes += len(text)
        self.due = self.due or now

    def stop(self, reason: str, message: str = "") -> list[Notice]:
        if reason != "closed":
            _warn(f"stopped: {reason}. {message}")
        self.stopped = reason
        return [self._settle(item, "dropped", reason) for item in list(self.items.values())]

    def settled(self, mark: int) -> bool:
        """Whether all that was tracked up to this number has its verdict."""
        return next(iter(self.items), mark + 1) > mark


# ------------------------------------------------------------------------------------------------------------ transport


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would make a GET of it, and take the key to wherever it points."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirect)
# The first connection of a process would import it, and a fork in that moment leave the child a lock that nobody opens.
codecs.lookup("idna")


def _post(url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers and body of the answer. Raises OSError or HTTPException where none comes. Proxies and
    certificates are as the environment says."""
    request = urllib.request.Request(url, body, dict(headers), method="POST")
    try:
        with _opener.open(request, timeout=timeout) as answer:
            return answer.status, answer.headers, answer.read(ANSWER_BYTES)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.headers, refusal.read(ANSWER_BYTES)


def _seconds(after: Optional[str], now: float) -> Optional[float]:
    """A Retry-After, which is seconds or a date (RFC 9110, 10.2.3)."""
    if not after:
        return None
    try:
        return float(after)
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(after).timestamp() - now
    except (TypeError, ValueError):
        return None


# -------------------------------------------------------------------------------------------------------------- parent

# The message or run that runs begun from here on are for. Follows coroutines and asyncio.to_thread; a thread of one's own
# takes it along with contextvars.copy_context().run.
_parent: contextvars.ContextVar[Optional[str]] = contextvars.ContextVar("parley_parent", default=None)
# Of the parent that has one: its id, its receipt.
_proof: contextvars.ContextVar[tuple[Optional[str], Optional[str]]] = contextvars.ContextVar("parley_receipt", default=(None, None))

# A parent that was not named, which is not the same as none.
_INHERITED: Any = type("Inherited", (), {"__repr__": lambda self: "INHERITED"})()


@contextlib.contextmanager
def parent(id: Optional[str], *, receipt: Optional[str] = None) -> Iterator[None]:
    """Runs begun inside are for this message or run, unless they name another; with its receipt they prove it."""
    token, proof = _parent.set(id), _proof.set((id, receipt))
    try:
        yield
    finally:
        # A generator may be closed in another context than it was begun in; then there is nothing to set back.
        with contextlib.suppress(ValueError):
            _parent.reset(token)
            _proof.reset(proof)


def _link(parent: Any, receipt: Optional[str]) -> dict[str, Any]:
    """Whose a run is. P-RCPT-2: the parent's receipt stands beside it in each part."""
    if parent is _INHERITED:
        parent = _parent.get()
        proven, receipt = _proof.get()
        receipt = receipt if proven == parent else None
    return _fields(parent=parent, receipt=receipt if parent else None)


# -------------------------------------------------------------------------------------------------------------- client

_RUN_FACTS = ("name", "input", "output", "model", "provider", "usage", "cost", "success", "error", "tags", "metadata",
              "question", "answer", "trace", "linked_traces", "extra")


def _facts(fields: dict[str, Any]) -> dict[str, Any]:
    for name in fields:
        if name not in _RUN_FACTS:
            _warn(f"a run has no {name}")
    return _fields(**{name: fields.get(name) for name in _RUN_FACTS})


class Client:
    """Everything about one key: its outbox, its thread, its retries.

    `key` (a secret one, `sk_…`) and `url` may come from the environment's PARLEY_SECRET_KEY and PARLEY_URL.
    `before_send` takes an event as a dict and gives it back, changed or not, or None to drop it; `id` and `type` stay.
    With `receipts` the verdict of what is stored comes with the gateway's signed word for it."""

    def __init__(
        self,
        key: Optional[str] = None,
        url: Optional[str] = None,
        *,
        before_send: Optional[Callable[[dict[str, Any]], Optional[dict[str, Any]]]] = None,
        receipts: bool = False,
        queue_events: int = QUEUE_EVENTS,
        queue_bytes: int = QUEUE_BYTES,
        exit_timeout: float = EXIT,
        transport: Callable[[str, Mapping[str, str], bytes, float], tuple[int, Mapping[str, str], bytes]] = _post,
    ) -> None:
        self._condition = threading.Condition()
        self._outbox = _Outbox(queue_events, queue_bytes)
        self._thread: Optional[threading.Thread] = None
        self._process = os.getpid()
        # Bound: what the application adds itself.
        self._listeners: list[Callable[[Notice], Any]] = []
        self._transport = transport
        self._receipts = bool(receipts)
        self._key: Optional[str] = None
        self._url = ""
        self._configure(key, url, before_send, queue_events, queue_bytes, exit_timeout)
        _all.add(self)

    def _configure(self, key: Any, url: Any, before_send: Any, queue_events: int, queue_bytes: int, exit_timeout: float) -> None:
        key = key or os.environ.get("PARLEY_SECRET_KEY")
        url = str(url or os.environ.get("PARLEY_URL") or "").rstrip("/")
        self._before_send = before_send
        self._exit_timeout = exit_timeout
        self._outbox.most_events, self._outbox.most_bytes = queue_events, queue_bytes
        if not str(key).startswith("sk_"):
            self._refuse("secret_key_needed", "A client for backends needs a secret key, sk_….")
        elif not url.startswith(("http://", "https://")):
            self._refuse("url_needed", "A client needs the gateway's url, http(s)://….")
        else:
            self._key, self._url = key, url

    def _refuse(self, reason: str, message: str) -> None:
        with self._condition:
            notices = self._outbox.stop(reason, message)
        self._tell(notices)

    # A test's own where it moves them: milliseconds since 1970, and seconds that only go forward.
    _wall = staticmethod(lambda: time.time_ns() // 1_000_000)
    _monotonic = staticmethod(time.monotonic)

    # ------------------------------------------------------------------------------------------------------ the queue

    def _admit(self, kind: str, id: str, fields: dict[str, Any]) -> str:
        try:
            text: Optional[bytes] = _json({"type": kind, "id": id, **fields})
            reason = ""
            if self._before_send and not self._outbox.stopped:
                text, reason = self._hooked(text, kind, id)
        except Exception:
            # Circles, depth, and whatever the application's own objects raise when they are read.
            text, reason = None, "unserializable"
        with self._condition:
            if text is None:
                notices = self._outbox.refuse(kind, id, reason)
            else:
                notices = self._outbox.admit(kind, id, text, self._monotonic())
            self._begin()
            self._condition.notify_all()
        self._tell(notices)
        return id

    def _hooked(self, text: Any, kind: str, id: str) -> tuple[Optional[bytes], str]:
        """What the application's hook makes of an event: its fields may change, its id and type may not."""
        try:
            made = self._before_send(json.loads(text))
        except Exception as error:
            _warn(f"before_send failed: {_shown(error)}")
            return None, "before_send_failed"
        if isinstance(made, dict):
            return _json({**made, "type": kind, "id": id}), ""
        if made is not None:
            _warn("before_send gives the event back, or None, and nothing else")
        return None, "before_send"

    def _tell(self, notices: list[Notice]) -> None:
        for notice in notices:
            for listener in list(self._listeners):
                try:
                    listener(notice)
                except Exception as error:
                    _warn(f"a listener failed: {_shown(error)}")

    # ----------------------------------------------------------------------------------------------------- the thread

    def _begin(self) -> bool:
        """Whether the thread runs. It is begun by the first event, as a web server may fork before that."""
        if self._thread and self._thread.is_alive():
            return True
        if self._outbox.stopped:
            return False
        thread = threading.Thread(target=self._work, name="parley", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # The interpreter is ending: what is left is sent by flush().
            return False
        self._thread = thread
        self._finish_with_process()
        return True

    def _finish_with_process(self) -> None:
        """The processes of `multiprocessing` end without atexit, and have a list of their own."""
        module = sys.modules.get("multiprocessing")
        if module and module.parent_process():
            from multiprocessing.util import Finalize

            Finalize(self, self._leave, exitpriority=10)

    def _work(self) -> None:
        while True:
            with self._condition:
                items, wait = self._outbox.next(self._monotonic(), self._wall())
                if self._outbox.stopped:
                    return
                if not items:
                    self._condition.wait(wait)
                    continue
            self._deliver(items)

    def _deliver(self, items: list[_Item]) -> None:
        asked = b'"receipts":true,' if self._receipts else b""
        body = b'{%s"sentAt":%d,"events":[%s]}' % (asked, self._wall(), b",".join(item.json for item in items))
        headers = self._headers()
        status, answer, after = 0, None, None
        why: Any = None
        try:
            status, answered, octets = self._transport(self._url + "/v1/events", headers, body, ANSWER)
            after = _seconds(answered.get("Retry-After"), self._wall() / 1000)
            answer = json.loads(octets)
        except Exception as error:
            # Away, or cut short: as good as no answer. A gateway's refusals can be read; a proxy's need not be.
            why = error
        with self._condition:
            notices = self._outbox.answered(items, status, answer, after, self._monotonic())
            if self._outbox.failures:
                _warn(f"no answer from {self._url} yet: {f'HTTP {status}' if status else _shown(why)}. It is tried again.")
        # Before whoever waits for a flush goes on.
        self._tell(notices)
        with self._condition:
            self._condition.notify_all()

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json", "User-Agent": f"parley-python/{__version__}"}

    def _leave(self) -> None:
        """Before the process ends."""
        with self._condition:
            if self._outbox.stopped or self._process != os.getpid():
                return
            self._outbox.report(self._wall(), self._monotonic())
        if not self.flush(self._exit_timeout) and self._outbox.items:
            _warn(f"{len(self._outbox.items)} events were not delivered when the process ended")

    def _forked(self) -> None:
        """In a forked child, which has neither the parent's thread nor its duties."""
        self._condition = threading.Condition()
        self._outbox.clear()
        self._thread = None
        self._process = os.getpid()

    # ------------------------------------------------------------------------------------- what the application calls

    @_guard(lambda self: Thread(self, new_id()))
    def open_thread(
        self, id: Optional[str] = None, *, tags: Optional[list[str]] = None, user: Optional[dict[str, Any]] = None,
        metadata: Optional[dict[str, Any]] = None,
    ) -> Thread:
        """A conversation. Says so to the gateway only if there are tags, a user or metadata."""
        thread = Thread(self, _id_from(id), {"id": user["id"]} if user and user.get("id") else None)
        if tags or user or metadata:
            self._admit("thread", new_id(), _fields(at=self._wall(), thread=thread.id, tags=tags, user=user, metadata=metadata))
        return thread

    @_guard(lambda self: Run(self, new_id(), {}))
    def start_run(
        self, kind: str = "chain", *, id: Optional[str] = None, parent: Optional[str] = _INHERITED, thread: Optional[str] = None,
        within: Optional[str] = None, user: Optional[dict[str, Any]] = None, started_at: Any = None, receipt: Optional[str] = None,
        **facts: Any,
    ) -> Run:
        """Work that begins now. Its start and its end are two events with one id. `with` ends it, and makes the runs
        that are begun inside its steps.

        `kind`: llm, agent, tool, chain, retriever or embedding. `receipt`: the one that `parent` was given with. `facts`: name, input, output, model, provider, usage,
        cost, success, error, tags, metadata, question, answer, trace, linked_traces, extra."""
        # Where a part of a run is alone, the other having been lost, it still says whose it is.
        place = {**_fields(kind=kind, name=facts.get("name"), thread=thread, within=within, user=user), **_link(parent, receipt)}
        run = Run(self, _id_from(id), place)
        self._admit("run", run.id, {**place, **_facts(facts), "startedAt": self._wall() if started_at is None else started_at})
        return run

    #: As it reads behind `with`.
    run = start_run

    @_guard(lambda _: new_id())
    def track_run(
        self, kind: str = "chain", *, id: Optional[str] = None, parent: Optional[str] = _INHERITED, thread: Optional[str] = None,
        within: Optional[str] = None, user: Optional[dict[str, Any]] = None, started_at: Any = None, ended_at: Any = None,
        receipt: Optional[str] = None, **facts: Any,
    ) -> str:
        """Work that is over. Answers its id."""
        facts.setdefault("success", facts.get("error") is None)
        fields = _fields(
            kind=kind, thread=thread, within=within, user=user, started_at=started_at,
            ended_at=self._wall() if ended_at is None else ended_at)
        return self._admit("run", _id_from(id), {**fields, **_link(parent, receipt), **_facts(facts)})

    @_guard(_nothing)
    def track_feedback(
        self, target: str, *, thumb: Optional[str] = None, comment: Optional[str] = None, author: Optional[str] = None,
        user: Optional[dict[str, Any]] = None, thread: Optional[str] = None, at: Any = None,
    ) -> None:
        """A vote on a message or run, `up` or `down`; None takes it back. With `author` it is a reviewer's."""
        if not target:
            return _warn("track_feedback needs the id of a message or run")
        fields = _fields(at=self._wall() if at is None else at, target=target, comment=comment, author=author, user=user, thread=thread)
        self._admit("feedback", new_id(), {**fields, "thumb": thumb})

    @_guard(_nothing)
    def track_score(
        self, target: str, name: str, value: Optional[float] = None, *, category: Optional[str] = None, reason: Optional[str] = None,
        author: Optional[str] = None, judge: Optional[str] = None, removed: Optional[bool] = None, thread: Optional[str] = None, at: Any = None,
    ) -> None:
        """A judgement on a thread, message or run: a number, a word (`category`) or both."""
        if not target or not name:
            return _warn("track_score needs the id of a thread, message or run, and a name")
        self._admit("score", new_id(), _fields(
            at=self._wall() if at is None else at, target=target, name=name, value=value, category=category, reason=reason,
            author=author, judge=judge, removed=removed, thread=thread))

    @_guard(_nothing)
    def identify(self, id: Any, props: Optional[dict[str, Any]] = None) -> None:
        """What is known of a user. A backend speaks of many people: this marks no thread."""
        if not id:
            return _warn("identify needs an id")
        self._admit("identify", new_id(), {"at": self._wall(), "user": _fields(id=str(id), props=props)})

    def traced(self, work: Any = None, *, kind: str = "chain", name: Optional[str] = None, capture: bool = True, **facts: Any) -> Any:
        """Makes each call of a function a run: its arguments the input, its answer the output, what it raises the error,
        and runs begun in it its steps. For functions, coroutines, generators and asynchronous generators.

        `capture=False` leaves input and output out. Also `@traced(kind="tool")`."""
        if work is None:
            return functools.partial(self.traced, kind=kind, name=name, capture=capture, **facts)
        return _traced(lambda: self, work, kind, name, capture, facts)

    @_guard(_nothing)
    def on_verdict(self, listener: Callable[[Notice], Any]) -> Callable[[Notice], Any]:
        """Hears what becomes of each event, from the client's own thread. Can be a decorator."""
        if callable(listener):
            self._listeners.append(listener)
        else:
            _warn("on_verdict needs a function")
        return listener

    @_guard(_nothing)
    def off_verdict(self, listener: Callable[[Notice], Any]) -> None:
        with contextlib.suppress(ValueError):
            self._listeners.remove(listener)

    @_guard(_nothing)
    def verify_receipt(self, id: str, receipt: str, timeout: float = FLUSH) -> Optional[Receipt]:
        """Whether a receipt is the gateway's word that this id is stored; None where the gateway could not be asked in
        time. In a coroutine: `await asyncio.to_thread(parley.verify_receipt, id, receipt)`."""
        if not self._key or self._outbox.stopped:
            return _warn(f"a receipt was not checked: {self._outbox.stopped}")
        try:
            status, _, octets = self._transport(
                self._url + "/v1/receipts", self._headers(), _json({"id": str(id), "receipt": str(receipt)}), timeout)
            said = json.loads(octets)
            if status == 200 and isinstance(said.get("valid"), bool):
                return Receipt(said["valid"], said.get("at") if said["valid"] else None)
            return _warn(f"a receipt was not checked: HTTP {status}")
        except Exception as error:
            return _warn(f"a receipt was not checked: {_shown(error)}")

    @_guard(lambda self: False)
    def flush(self, timeout: float = FLUSH) -> bool:
        """True when all that was tracked before the call has its verdict; False when it has not in time (seconds). In a
        coroutine: `await asyncio.to_thread(parley.flush)`."""
        deadline = time.monotonic() + timeout
        with self._condition:
            mark = self._outbox.numbers
            if self._outbox.due:
                self._outbox.due = self._monotonic()
            self._condition.notify_all()
            while not self._outbox.settled(mark) and not self._outbox.stopped:
                left = deadline - time.monotonic()
                if left <= 0 or self._thread is threading.current_thread():
                    return False
                if self._begin():
                    self._condition.wait(left)
                else:
                    self._work_here(left)
            return not self._outbox.stopped

    def _work_here(self, seconds: float) -> None:
        """One step of what the thread would do, where there can be none any more."""
        items, wait = self._outbox.next(self._monotonic(), self._wall())
        if items:
            self._deliver(items)
        else:
            time.sleep(min(seconds, wait or seconds))

    @_guard(lambda self: False)
    def close(self, timeout: float = FLUSH) -> bool:
        """Flushes, then drops what is left, and what comes, as `closed`."""
        with self._condition:
            if self._outbox.stopped:
                return False
            self._outbox.report(self._wall(), self._monotonic())
        arrived = self.flush(timeout)
        with self._condition:
            notices = [] if self._outbox.stopped else self._outbox.stop("closed")
            self._condition.notify_all()
        self._tell(notices)
        return arrived


class Thread:
    """A conversation, made by `open_thread`."""

    def __init__(self, client: Client, id: str, user: Optional[dict[str, Any]] = None) -> None:
        self.id = id
        self._client = client
        self._user = user
        # Role → the thread's last message of it.
        self._last: dict[str, str] = {}

    @_guard(lambda self: new_id())
    def track_message(
        self, role: str, content: Any, *, id: Optional[str] = None, reply_to: Optional[str] = None, retry_of: Optional[str] = None,
        is_retry: bool = False, tags: Optional[list[str]] = None, user: Optional[dict[str, Any]] = None,
        metadata: Optional[dict[str, Any]] = None, trace: Optional[str] = None, at: Any = None,
    ) -> str:
        """Records a message and answers its id, now. `content`: a text, or a list of blocks. `at`: milliseconds since 1970,
        or a datetime. `is_retry` stands for `retry_of` with the thread's last message of that role."""
        if role not in ("user", "assistant", "system", "tool") or content is None:
            _warn("track_message needs a role and content")
        again = retry_of or (self._last.get(role) if is_retry else None)
        fields = _fields(
            at=self._client._wall() if at is None else at, thread=self.id, role=role, content=content, reply_to=reply_to, retry_of=again,
            tags=tags, user=user or self._user, metadata=metadata, trace=trace)
        message = self._client._admit("message", _id_from(id), fields)
        self._last[role] = message
        return message

    @_guard(lambda self: MessageStream(self, new_id(), "assistant", {}))
    def stream_message(self, role: str = "assistant", *, id: Optional[str] = None, **fields: Any) -> MessageStream:
        """A message that comes piece by piece. `fields`: those of `track_message`, but for content and time."""
        known = ("reply_to", "retry_of", "is_retry", "tags", "user", "metadata", "trace")
        for name in set(fields).difference(known):
            _warn(f"a streamed message has no {name}")
        return MessageStream(self, _id_from(id), role, {name: fields[name] for name in known if name in fields})

    @_guard(_nothing)
    def track_event(self, name: str, metadata: Optional[dict[str, Any]] = None) -> None:
        """Anything that happened in the chat."""
        if not name:
            return _warn("track_event needs a name")
        self._client._admit("event", new_id(), _fields(
            at=self._client._wall(), thread=self.id, name=name, user=self._user, metadata=metadata))

    @_guard(lambda self: self._client.start_run())
    def start_run(self, kind: str = "chain", **fields: Any) -> Run:
        return self._client.start_run(kind, **{"thread": self.id, "user": self._user, **fields})

    run = start_run

    @_guard(lambda _: new_id())
    def track_run(self, kind: str = "chain", **fields: Any) -> str:
        return self._client.track_run(kind, **{"thread": self.id, "user": self._user, **fields})


class MessageStream:
    """A message that is still being written. Tracked once, whole, when it ends, with its pace. `with` ends it, as
    interrupted where something is raised."""

    def __init__(self, thread: Thread, id: str, role: str, fields: dict[str, Any]) -> None:
        self.id = id
        self._thread = thread
        self._role = role
        self._fields = fields
        self._pieces: list[str] = []
        self._units = 0
        self._start: Optional[int] = None
        # Milliseconds since the first piece, UTF-16 units there by then. Bound: DELTAS; past it every other is left out
        # and the pause doubled.
        self._deltas: list[list[int]] = []
        self._pause = 0
        self._over = False

    @_guard(_nothing)
    def append(self, text: str) -> None:
        if self._over:
            return _warn("a streamed message had ended already")
        self._units += _units(text)
        self._pieces.append(text)
        now = self._thread._client._wall()
        if self._start is None:
            self._start = now
        passed = now - self._start
        if len(self._deltas) > 1 and passed - self._deltas[-2][0] < self._pause:
            self._deltas.pop()
        self._deltas.append([passed, self._units])
        if len(self._deltas) > DELTAS:
            self._pause = self._pause * 2 or 16
            self._deltas = self._deltas[::2]

    @_guard(lambda self: self.id)
    def end(self, *, interrupted: bool = False, tags: Optional[list[str]] = None, metadata: Optional[dict[str, Any]] = None) -> str:
        if self._over:
            _warn("a streamed message had ended already")
            return self.id
        self._over = True
        fields = {**self._fields, **_fields(tags=tags)}
        said = [more for more in (fields.get("metadata"), metadata) if isinstance(more, dict)]
        fields["metadata"] = dict(collections.ChainMap({"deltas": self._deltas}, {"interrupted": True} if interrupted else {}, *reversed(said)))
        return self._thread.track_message(self._role, "".join(self._pieces), **{**fields, "id": self.id, "at": self._start})

    def __enter__(self) -> MessageStream:
        return self

    def __exit__(self, kind: Any, error: Any, stack: Any) -> None:
        if not self._over:
            self.end(interrupted=kind is not None)


class Run:
    """A piece of work that goes on, made by `start_run`."""

    def __init__(self, client: Client, id: str, place: dict[str, Any]) -> None:
        self.id = id
        self.ended = False
        self._client = client
        self._place = place
        self._facts: dict[str, Any] = {}
        self._token: Optional[contextvars.Token[Optional[str]]] = None

    @_guard(lambda self: self._client.start_run())
    def start_run(self, kind: str = "chain", **fields: Any) -> Run:
        """A step of this run."""
        return self._client.start_run(kind, **{"thread": self._place.get("thread"), "user": self._place.get("user"), "parent": self.id, **fields})

    run = start_run

    @_guard(_nothing)
    def update(self, **facts: Any) -> None:
        """What its end will say."""
        self._facts.update(facts)

    @_guard(_nothing)
    def end(self, *, ended_at: Any = None, **facts: Any) -> None:
        """Once. `success` is True without an `error`, unless said."""
        if self.ended:
            return _warn("a run had ended already")
        self.ended = True
        facts = {**self._facts, **facts}
        facts.setdefault("success", facts.get("error") is None)
        end = self._client._wall() if ended_at is None else ended_at
        self._client._admit("run", self.id, {**self._place, **_facts(facts), "endedAt": end})

    def __enter__(self) -> Run:
        self._token = _parent.set(self.id)
        return self

    def __exit__(self, kind: Any, error: Any, stack: Any) -> None:
        if self._token:
            with contextlib.suppress(ValueError):
                _parent.reset(self._token)
        if not self.ended:
            self.end(**({"error": error, "success": False} if error is not None else {}))


# -------------------------------------------------------------------------------------------------------------- traced


def _traced(client: Callable[[], Client], work: Any, kind: str, name: Optional[str], capture: bool, facts: dict[str, Any]) -> Any:
    name = name or getattr(work, "__name__", None) or type(work).__name__
    try:
        signature: Optional[inspect.Signature] = inspect.signature(work)
    except (TypeError, ValueError):
        signature = None

    def begin(args: Any, fields: Any) -> Run:
        given: Any = None
        if capture and signature:
            try:
                given = dict(signature.bind(*args, **fields).arguments)
                given.pop("self", None)
                given.pop("cls", None)
            except TypeError:
                # The call itself is about to say what is wrong with it.
                given = None
        return client().start_run(kind, name=name, input=given, **facts)

    def gather(run: Run, pieces: list[Any]) -> None:
        if capture:
            run.update(output="".join(pieces) if pieces and all(isinstance(piece, str) for piece in pieces) else pieces)

    if inspect.isasyncgenfunction(work):
        @functools.wraps(work)
        async def wrapper(*args: Any, **fields: Any) -> Any:
            run, pieces, source = begin(args, fields), [], work(*args, **fields)
            try:
                while True:
                    with parent(run.id):
                        try:
                            piece = await source.__anext__()
                        except StopAsyncIteration:
                            break
                    if capture:
                        pieces.append(piece)
                    yield piece
            except BaseException as error:
                run.update(error=error, success=False)
                raise
            finally:
                gather(run, pieces)
                run.end()
                await source.aclose()
    elif inspect.isgeneratorfunction(work):
        @functools.wraps(work)
        def wrapper(*args: Any, **fields: Any) -> Any:
            run, pieces, source = begin(args, fields), [], work(*args, **fields)
            try:
                while True:
                    with parent(run.id):
                        try:
                            piece = next(source)
                        except StopIteration:
                            break
                    if capture:
                        pieces.append(piece)
                    yield piece
            except BaseException as error:
                run.update(error=error, success=False)
                raise
            finally:
                gather(run, pieces)
                run.end()
                source.close()
    elif inspect.iscoroutinefunction(work):
        @functools.wraps(work)
        async def wrapper(*args: Any, **fields: Any) -> Any:
            with begin(args, fields) as run:
                answer = await work(*args, **fields)
                if capture:
                    run.update(output=answer)
                return answer
    else:
        @functools.wraps(work)
        def wrapper(*args: Any, **fields: Any) -> Any:
            with begin(args, fields) as run:
                answer = work(*args, **fields)
                if capture:
                    run.update(output=answer)
                return answer
    return wrapper


# ------------------------------------------------------------------------------------------------ the module's surface

_all: weakref.WeakSet[Client] = weakref.WeakSet()
# Key and address → client.
_clients: dict[tuple[Any, Any], Client] = {}
_clients_lock = threading.RLock()
_first: Optional[Client] = None


_OPTIONS = ("before_send", "receipts", "queue_events", "queue_bytes", "exit_timeout", "transport")


@_guard(lambda _: _current())
def init(key: Optional[str] = None, url: Optional[str] = None, **options: Any) -> Client:
    """Idempotent for a key and address, and what the functions below speak to from the first one on. `options`: those of
    Client."""
    global _first
    name = (key or os.environ.get("PARLEY_SECRET_KEY"), str(url or os.environ.get("PARLEY_URL") or "").rstrip("/"))
    with _clients_lock:
        known = _clients.get(name)
        if known and known._outbox.stopped != "closed":
            return known
        for option in set(options).difference(_OPTIONS):
            _warn(f"init has no option {option}")
        client = Client(*name, **{option: options[option] for option in _OPTIONS if option in options})
        _clients[name] = client
        if not _first or _first._outbox.stopped:
            _first = client
        return client


def _current() -> Client:
    """The first client; without an init() the environment's."""
    return _first or init()


@_guard(lambda _: _current().open_thread())
def open_thread(id: Optional[str] = None, **fields: Any) -> Thread:
    return _current().open_thread(id, **fields)


@_guard(lambda _: _current().start_run())
def start_run(kind: str = "chain", **fields: Any) -> Run:
    return _current().start_run(kind, **fields)


run = start_run


@_guard(lambda _: new_id())
def track_run(kind: str = "chain", **fields: Any) -> str:
    return _current().track_run(kind, **fields)


@_guard(_nothing)
def track_feedback(target: str, **fields: Any) -> None:
    _current().track_feedback(target, **fields)


@_guard(_nothing)
def track_score(target: str, name: str, value: Optional[float] = None, **fields: Any) -> None:
    _current().track_score(target, name, value, **fields)


@_guard(_nothing)
def identify(id: Any, props: Optional[dict[str, Any]] = None) -> None:
    _current().identify(id, props)


def traced(work: Any = None, *, kind: str = "chain", name: Optional[str] = None, capture: bool = True, **facts: Any) -> Any:
    """As Client.traced, for functions that are defined before init()."""
    if work is None:
        return functools.partial(traced, kind=kind, name=name, capture=capture, **facts)
    return _traced(_current, work, kind, name, capture, facts)


def on_verdict(listener: Callable[[Notice], Any]) -> Callable[[Notice], Any]:
    return _current().on_verdict(listener)


def off_verdict(listener: Callable[[Notice], Any]) -> None:
    _current().off_verdict(listener)


def verify_receipt(id: str, receipt: str, timeout: float = FLUSH) -> Optional[Receipt]:
    return _current().verify_receipt(id, receipt, timeout)


def flush(timeout: float = FLUSH) -> bool:
    return _current().flush(timeout)


def close(timeout: float = FLUSH) -> bool:
    return _current().close(timeout)


# ------------------------------------------------------------------------------------------------- forks, and the end

# Those whose locks are held while the process forks, so that no child begins with a half-told outbox.
_holding: list[Client] = []


def _before_fork() -> None:
    _id_lock.acquire()
    _clients_lock.acquire()
    for client in list(_all):
        client._condition.acquire()
        _holding.append(client)


def _after_fork_in_parent() -> None:
    while _holding:
        _holding.pop()._condition.release()
    _clients_lock.release()
    _id_lock.release()


def _after_fork_in_child() -> None:
    global _id_lock, _clients_lock
    _id_lock, _clients_lock = threading.RLock(), threading.RLock()
    _holding.clear()
    for client in list(_all):
        client._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)


@atexit.register
def _at_exit() -> None:
    for client in list(_all):
        client._leave()
