"""The conformance cases as a runner sees them: files read, placeholders expanded, answers compared.

The format is described in protocol/conformance/README.md; this module is that description in Python.
"""
import base64
import json
import random
import re
import string
import uuid
import zlib
from datetime import datetime, timedelta, timezone
from pathlib import Path

PROTOCOL = Path(__file__).resolve().parents[2] / "protocol"
BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
PLACEHOLDER = re.compile(r"\$\{([^{}]*)\}")
MATCHERS = ("any", "absent", "about")  # these stand in what is expected and are left for `differences`


def suites():
    """What is asked of the gateway."""
    return [json.loads(path.read_text("utf-8")) for path in sorted((PROTOCOL / "conformance").glob("*.json")) if path.name != "client.json"]


def client_suite():
    """What is asked of every client."""
    return json.loads((PROTOCOL / "conformance" / "client.json").read_text("utf-8"))


def iso(instant):
    return instant.strftime("%Y-%m-%dT%H:%M:%S.") + f"{instant.microsecond // 1000:03d}Z"


def key(prefix="pk_", length=22):
    """A well-formed key that nobody gave out: random characters, then their CRC-32 as six base62 digits."""
    body = prefix + "".join(random.choices(BASE62, k=length))
    crc, check = zlib.crc32(body.encode()), ""
    for _ in range(6):
        crc, digit = divmod(crc, 62)
        check = BASE62[digit] + check
    return body + check


class Expander:
    """Replaces placeholders. One expander a run of a case: the same placeholder has one value inside it, another next time."""

    def __init__(self, now=None):
        self.now = now or datetime.now(timezone.utc)
        self.values = {}

    def value(self, text):
        name, *rest = text.split(":", 2)
        if name in ("now", "nowMs"):
            instant = self.now + timedelta(seconds=float(rest[0]) if rest else 0)
            return iso(instant) if name == "now" else int(instant.timestamp() * 1000)
        if name == "repeat":
            return rest[1] * int(rest[0])
        if text not in self.values:
            self.values[text] = self.fresh(name, rest)
        return self.values[text]

    @staticmethod
    def fresh(name, rest):
        def pick(alphabet, count):
            return "".join(random.choices(alphabet, k=count))
        match name:
            case "uuid": return str(uuid.uuid4())
            case "thread": return "t-" + pick(string.ascii_lowercase + string.digits, 8)
            case "short": return pick(string.ascii_lowercase + string.digits, 8)
            # The first character is fixed, so that the alphabet is the one that was asked for.
            case "digits": return "7" + pick(string.digits, int(rest[0]) - 1)
            case "hex": return "f" + pick("0123456789abcdef", int(rest[0]) - 1)
            case "alnum": return "z" + pick(string.ascii_letters + string.digits, int(rest[0]) - 1)
            case "publicKey":
                good = key()
                return good if rest[0] == "unknown" else good[:-1] + ("1" if good[-1] == "0" else "0")
        raise ValueError(f"no placeholder is called {name!r}")

    def text(self, text):
        """Innermost first, until none is left: `${uuid:e${i}}` is `${uuid:e7}` is a UUID."""
        def one(match):
            return match.group(0) if match.group(1).split(":")[0] in MATCHERS else str(self.value(match.group(1)))
        while (expanded := PLACEHOLDER.sub(one, text)) != text:
            text = expanded
        return text

    def expand(self, value):
        if isinstance(value, str):
            whole = PLACEHOLDER.fullmatch(value)
            # A string that is one placeholder becomes its value, which may be a number.
            return self.value(whole.group(1)) if whole and whole.group(1).startswith("nowMs") else self.text(value)
        if isinstance(value, list):
            return [expanded for element in value for expanded in self.elements(element)]
        if isinstance(value, dict):
            if "$keys" in value:
                return {f"k{i}": 0 for i in range(value["$keys"])}
            return {self.text(name): self.expand(field) for name, field in value.items()}
        return value

    def elements(self, element):
        if isinstance(element, dict) and "$repeat" in element:
            pattern = json.dumps(element["of"])
            return [self.expand(json.loads(pattern.replace("${i}", str(i)))) for i in range(element["$repeat"])]
        return [self.expand(element)]


def body(case, expander):
    """The bytes of a case's body, before any compression."""
    if "rawBase64" in case:
        return base64.b64decode(case["rawBase64"])
    if "raw" in case:
        return expander.text(case["raw"]).encode()
    if "input" in case:
        return json.dumps(expander.expand(case["input"]), ensure_ascii=False).encode()
    return b""


def events(input):
    """The events in a body, whichever of its forms it has."""
    if isinstance(input, list):
        return input
    return [input] if "type" in input else input["events"]


def differences(expected, got, path="", now=None):
    """What is not as expected: an object may have more fields than expected, a list must be as long, a value must be equal."""
    here = path or "answer"
    if expected == "${any}":
        return []
    if isinstance(expected, str) and expected.startswith("${about:"):
        wanted = (now or datetime.now(timezone.utc)) + timedelta(seconds=float(expected[8:-1]))
        try:
            off = abs((datetime.fromisoformat(got.replace("Z", "+00:00")) - wanted).total_seconds())
        except (AttributeError, TypeError, ValueError):
            return [f"{here}: expected a time, got {got!r}"]
        return [] if off <= 60 else [f"{here}: expected about {iso(wanted)}, got {got}"]
    if isinstance(expected, dict) and isinstance(got, dict):
        found = []
        for name, value in expected.items():
            inner = f"{path}.{name}".lstrip(".")
            if value == "${absent}":
                found += [f"{inner}: expected to be absent, got {got[name]!r}"] if name in got else []
            elif name not in got:
                found += [f"{inner}: expected {value!r}, got nothing"]
            else:
                found += differences(value, got[name], inner, now)
        return found
    if isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        return [line for i, (a, b) in enumerate(zip(expected, got)) for line in differences(a, b, f"{path}[{i}]", now)]
    same = expected == got and isinstance(expected, bool) == isinstance(got, bool)
    return [] if same else [f"{here}: expected {expected!r}, got {got!r}"]
