#!/usr/bin/env python3
"""Measures the reads of the review page over a project of many messages.

    scripts/bench-review.py --url http://127.0.0.1:8787 --secret sk_… [--messages 1000000] [--threads 100000] [--skip-seed] [--rounds 20]

Seeds conversations first (ten messages each, some with votes, failed runs, tags, scores, and words of all frequencies), waits until
the search index has caught up, then asks for each kind of list, page and figure, and prints p50, p95 and p99 of the whole request in
milliseconds, the connection kept. Needs nothing but Python.
"""

import argparse
import http.client
import json
import math
import multiprocessing
import random
import time
import urllib.parse

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--url", default="http://127.0.0.1:8787")
parser.add_argument("--secret", required=True)
parser.add_argument("--messages", type=int, default=1_000_000)
parser.add_argument("--threads", type=int, default=100_000)
parser.add_argument("--rounds", type=int, default=20)
parser.add_argument("--size", type=int, default=0, help="about so many bytes of JSON a message; more than its 25 words are words that are rare")
parser.add_argument("--workers", type=int, default=1, help="processes that seed")
parser.add_argument("--skip-seed", action="store_true")
parser.add_argument("--seed-only", action="store_true")
parser.add_argument("--json", action="store_true", help="print the figures as JSON too, as the last line")
options = parser.parse_args()
place = urllib.parse.urlsplit(options.url)
line = http.client.HTTPConnection(place.hostname, place.port, timeout=600)
figures = []
HEADERS = {"Authorization": f"Bearer {options.secret}", "Content-Type": "application/json"}
COMMON = "the order left our warehouse this morning and should be with you on friday".split()


def call(method, path, body=None):
    line.request(method, path, None if body is None else json.dumps(body), HEADERS)
    answer = line.getresponse()
    text = answer.read()
    if answer.status >= 300:
        raise SystemExit(f"{method} {path}: {answer.status} {text[:300]}")
    return json.loads(text)


def rare_words(chance):
    """A text of 5,000 made-up words, the first of them much more frequent than the last."""
    syllables = "ba de fi go lu ma ne pi ro su ta ve".split()
    words = ["".join(chance.choices(syllables, k=chance.randint(2, 5))) for _ in range(5000)]
    return " ".join(words[int(5000 * chance.random() ** 3)] for _ in range(200_000))


def seed(worker, begun):
    """Spread over the last 60 days, thread after thread, so that rare things lie anywhere; workers take turns, 200 threads each."""
    global line
    line = http.client.HTTPConnection(place.hostname, place.port, timeout=600)
    chance = random.Random(7 + worker)
    rare = rare_words(chance) if options.size else ""
    # 320: what a message is besides the words that are rare.
    more = max(0, options.size - 320)
    each = max(2, options.messages // options.threads)
    start, batch, sent = begun - 60 * 86400, [], 0
    mine = [number for number in range(options.threads) if number // 200 % options.workers == worker]
    for number in mine:
        at = start + 60 * 86400 * number / options.threads
        thread = f"bench-{number}"
        question = None
        for turn in range(each):
            role = "assistant" if turn % 2 else "user"
            words = chance.choices(COMMON, k=25)
            if chance.random() < 0.01:
                words.append("refund")
            if chance.random() < 0.00002:
                words.append("zeppelin")
            if more:
                at_word = rare.index(" ", int(chance.random() * (len(rare) - more - 100))) + 1
                words.append(rare[at_word:at_word + more].rsplit(" ", 1)[0])
            message = {"type": "message", "id": f"{thread}-m{turn}", "thread": thread, "role": role, "content": " ".join(words),
                       "at": int((at + turn * 20) * 1000), "user": {"id": f"user-{number % 20000}"}}
            if role == "user":
                question = message["id"]
                if turn == 0 and number % 50 == 0:
                    message["tags"] = ["billing"]
                if turn == 0 and number % 9973 == 0:
                    message["tags"] = ["rare"]
            else:
                message["replyTo"] = question
            batch.append(message)
        if number % 20 == 0:
            batch.append({"type": "feedback", "id": f"{thread}-f", "thread": thread, "target": f"{thread}-m1", "thumb": "down" if number % 60 else "up"})
        if number % 100 == 0:
            batch.append({"type": "run", "id": f"{thread}-r", "kind": "llm", "parent": f"{thread}-m0", "name": "answer", "success": number % 1000 != 0,
                          "output": "something else" if number % 500 == 0 else "the same", "startedAt": int(at * 1000), "endedAt": int((at + 2) * 1000)})
        if number % 200 == 0:
            batch.append({"type": "score", "id": f"{thread}-s", "target": thread, "name": "quality", "value": chance.random(), "author": "eval"})
        if len(batch) >= 2000 or number == mine[-1]:
            call("POST", "/v1/events", {"events": batch})
            sent += len(batch)
            batch = []
            if worker == 0 and number % 5000 < 200:
                print(f"\rseeded {sent * options.workers:,} events", end="", flush=True)
    if worker == 0:
        print(f"\rseeded some {sent * options.workers:,} events", flush=True)


def seed_all():
    begun = time.time()
    workers = [multiprocessing.Process(target=seed, args=(worker, begun)) for worker in range(options.workers)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        raise SystemExit("not all could be seeded")


def wait_for_index():
    begun = time.time()
    last = f"bench-{options.threads - 1}-m{max(2, options.messages // options.threads) - 1}"
    # Its last words, which are the rare ones: of many common words a search looks at the latest messages only.
    words = " ".join(call("GET", f"/v1/messages/{last}")["message"]["content"].split()[-12:])
    while True:
        found = call("GET", "/v1/threads?" + urllib.parse.urlencode({"q": words, "limit": 1}))["threads"]
        if found and found[0]["id"] == f"bench-{options.threads - 1}":
            break
        time.sleep(1)
    print(f"the index is up to date after {time.time() - begun:.0f} s")


def measure(name, path):
    times = []
    started = time.perf_counter()
    for round in range(options.rounds):
        # What is slow is known after twenty.
        if round >= 20 and time.perf_counter() - started > 15:
            break
        begun = time.perf_counter()
        answer = call("GET", path)
        times.append((time.perf_counter() - begun) * 1000)
    times.sort()
    count = len(answer.get("threads", answer.get("items", answer.get("users", answer.get("days", [])))))
    p50, p95, p99 = (times[math.ceil(len(times) * share) - 1] for share in (.5, .95, .99))
    figures.append({"read": name, "p50": p50, "p95": p95, "p99": p99, "rows": count})
    print(f"| {name} | {p50:.1f} | {p95:.1f} | {p99:.1f} | {count} |", flush=True)


if not options.skip_seed:
    seed_all()
wait_for_index()
if options.seed_only:
    raise SystemExit()
print("| read | p50 ms | p95 ms | p99 ms | rows |\n|---|---|---|---|---|")
deep = call("GET", "/v1/threads?limit=200")["next"]
for _ in range(20):
    # A project of few has no such depth.
    deep = deep and call("GET", f"/v1/threads?limit=200&cursor={deep}")["next"]
for name, query in [
    ("list", ""), ("list, 4,000 rows down", f"cursor={deep}" if deep else ""), ("user", "user=user-77"), ("user, nobody", "user=none"), ("tag, 2 %", "tag=billing"), ("tag, 11 of them", "tag=rare"),
    ("role tool, none", "role=tool"), ("role user, all", "role=user"), ("thumbs down", "feedback=down"), ("thumbs up", "feedback=up"), ("no feedback", "feedback=none"),
    ("score", "score=any"), ("score quality>=0.9", "score=quality%3E%3D0.9"), ("score of no such name", "score=none-such"), ("no score", "score=none"),
    ("status active", "status=active"), ("status inactive", "status=inactive"), ("provenance verified, all", "provenance=verified"),
    ("provenance anonymous, none", "provenance=anonymous"), ("confirmed", "provenance=confirmed"), ("differs", "provenance=differs"), ("with errors", "error=true"),
    ("without errors", "error=false"), ("orphan runs", "runs=orphan"), ("pending runs", "runs=pending"), ("not reviewed", "reviewed=false"), ("reviewed", "reviewed=true"),
    ("words: every message", "q=order"), ("words: 1 %", "q=refund"), ("words: 20 messages", "q=zeppelin"), ("words: none", "q=xylophone"), ("words: two common", "q=order+friday"),
    ("a day two weeks ago", "from=" + time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime(time.time() - 14 * 86400)) + "&to=" + time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime(time.time() - 13 * 86400))),
    ("thumbs down, tag, errors", "feedback=down&tag=billing&error=true"), ("words and tag", "q=refund&tag=billing"),
]:
    measure(name, "/v1/threads?" + query)
measure("conversation", f"/v1/threads/bench-{min(500, options.threads - 1)}?render=markdown")
measure("overview, 30 days", "/v1/overview")
measure("users", "/v1/users")
measure("users, by a word", "/v1/users?q=user-1234")
if options.json:
    print(json.dumps(figures))
