"""What was sent and what was said about it, and whether the gateway's own records agree.

Each scenario ends here. What must hold:

  acked      each event that got `stored` or `duplicate` is read back once, with the content that was acked
  once       nothing is read back twice, and no id was called `stored` twice
  sent       nothing is read back that was never sent
  law        in each row of the ledger received = stored + duplicate + conflict + quarantined + dropped + retry
  ledger     the ledger counts at least what was heard, and exactly that where no connection was cut
  stored     the ledger says `stored` as often as there are events to be read, also over kills: both are written in one commit
  counts     a thread's messageCount is the number of its messages
"""

import json
from collections import Counter

VERDICTS = ("stored", "duplicate", "conflict", "quarantined", "dropped", "retry")


class Broken(AssertionError):
    """An invariant does not hold."""

    def __init__(self, invariant, detail):
        super().__init__(f"[{invariant}] {detail}")
        self.invariant, self.detail = invariant, detail


def hold(condition, invariant, detail=""):
    if not condition:
        raise Broken(invariant, detail() if callable(detail) else detail)


def content(event):
    """What of an event is its own and comes back when it is read."""
    kind = event["type"]
    user = event.get("user")
    user = user.get("id") if isinstance(user, dict) else None
    if kind == "message":
        return ("message", event.get("thread"), user, event.get("role"), json.dumps(event.get("content"), sort_keys=True))
    if kind == "event":
        return ("event", event.get("thread"), user, event.get("name"))
    if kind == "run":
        return ("run", event["id"])
    return (kind, event["id"])


def key(event):
    """Messages, runs, and all other types have a space of ids each (P-ID-6)."""
    kind = event["type"]
    return (kind if kind in ("message", "run") else "event", event["id"])


class Book:
    """The events of one project, from the senders' side."""

    def __init__(self):
        self.sent = {}       # key -> contents that were put on the wire
        self.stored = {}     # key -> contents that were called stored, one entry each time
        self.kept = {}       # key -> content that was acked, stored or duplicate
        self.verdicts = Counter()
        self.reasons = Counter()
        self.unlisted = 0    # stored things that a conversation does not show, like votes

    def wrote(self, event):
        self.sent.setdefault(key(event), set()).add(content(event))

    def heard(self, event, verdict, result=None):
        hold(verdict in VERDICTS, "verdicts", f"there is no verdict {verdict}")
        self.verdicts[verdict] += 1
        if verdict in ("stored", "duplicate"):
            hold(not (result or {}).get("reason"), "verdicts", f"{verdict} with a reason: {result}")
            where, what = key(event), content(event)
            if verdict == "stored":
                self.stored.setdefault(where, []).append(event)
            known = self.kept.setdefault(where, what)
            hold(known == what, "first content stands", f"{where} was acked with two contents: {known} and {what}")
        else:
            hold((result or {}).get("reason"), "verdicts", f"{verdict} without a reason: {result}")
            self.reasons[result["reason"]] += 1

    @property
    def acked(self):
        return len(self.kept)

    def twice_stored(self):
        """Ids that two senders were told `stored` for; parts of runs share an id and differ."""
        for where, events in self.stored.items():
            if len(events) > 1 and (where[0] != "run" or len({json.dumps(event, sort_keys=True) for event in events}) < len(events)):
                yield where


class Readings:
    """What the gateway shows of one project."""

    def __init__(self, lines):
        self.items = {}
        self.twice = []
        self.runs = {}
        self.threads = {}
        messages = Counter()
        for line in lines:
            if line["type"] == "thread":
                if line["thread"] in self.threads:
                    self.twice.append(("thread", line["thread"]))
                self.threads[line["thread"]] = line["summary"]
                continue
            if line["type"] == "run":
                self._run(line, None)
                continue
            where = key(line)
            if where in self.items:
                self.twice.append(where)
            self.items[where] = line
            if line["type"] == "message":
                messages[line["thread"]] += 1
            for run in line.get("runs", []):
                self._run(run, line["id"])
        self.miscounted = {
            thread: (summary["messageCount"], messages[thread]) for thread, summary in self.threads.items()
            if summary["messageCount"] != messages[thread]}

    def _run(self, run, message):
        where = ("run", run["id"])
        if where in self.runs:
            self.twice.append(where)
        self.runs[where] = {**run, "under": message}
        for child in run.get("runs", []):
            self._run(child, message)

    @property
    def keys(self):
        return self.items.keys() | self.runs.keys()


def check(book, readings, ledger, exact=False, counts_match=True):
    """Holds the three against one another. `exact`: every verdict was heard, since no connection was cut."""
    hold(not readings.twice, "once", lambda: f"{len(readings.twice)} are read twice, {readings.twice[:3]} among them")
    twice = list(book.twice_stored())
    hold(not twice, "once", lambda: f"{len(twice)} ids were called stored twice, {twice[:3]} among them")
    there = readings.keys
    missing = [where for where in book.kept if where not in there]
    hold(not missing, "acked", lambda: f"{len(missing)} of {len(book.kept)} acked events can't be read, {missing[:3]} among them")
    for where, item in readings.items.items():
        known = book.sent.get(where)
        hold(known is not None, "sent", lambda: f"{where} is read and was never sent: {item}")
        what = content(item)
        hold(what in known, "sent", lambda: f"{where} is read with content that was never sent: {what}, sent were {list(known)[:3]}")
        if where in book.kept:
            hold(book.kept[where] == what, "acked", lambda: f"{where} was acked as {book.kept[where]} and is read as {what}")
    for where in readings.runs:
        hold(where in book.sent, "sent", lambda: f"{where} is read and was never sent")
    hold(not readings.miscounted, "counts", lambda: f"threads with other counts than messages: {dict(list(readings.miscounted.items())[:3])}")
    for row in [*ledger["outcomes"], ledger["total"]]:
        hold(row["received"] == sum(row[name] for name in VERDICTS), "law", lambda: f"received is not the sum of verdicts in {row}")
    total = ledger["total"]
    for name in VERDICTS:
        said = book.verdicts[name]
        if exact:
            hold(total[name] == said, "ledger", f"{name}: {said} were heard, {total[name]} are booked")
        elif name in ("stored", "duplicate", "conflict", "quarantined"):
            hold(total[name] >= said, "ledger", f"{name}: {said} were heard, only {total[name]} are booked")
    if counts_match and not readings.runs:
        listed = len(readings.items) + book.unlisted
        hold(total["stored"] == listed, "stored", f"the ledger says {total['stored']} stored, {listed} can be read")


async def read(line, secret):
    """All that a project shows, and its ledger, by HTTP."""
    status, body = await line.get("/v1/export?format=jsonl", secret)
    hold(status == 200, "readable", f"the export was answered {status} {body[:200]!r}")
    readings = Readings(json.loads(text) for text in body.splitlines())
    status, body = await line.get("/v1/outcomes", secret)
    hold(status == 200, "readable", f"the ledger was answered {status} {body[:200]!r}")
    return readings, json.loads(body)
