"""The same id from many senders at once."""

import asyncio
import json
from collections import Counter

from book import hold
from client import Line, Socket, generator, verdicts_of_ack
from stage import at_once, scenario


class Voice:
    """One sender on one of the three ways, that says what it is given and hears the verdicts."""

    def __init__(self, stage, number):
        self.stage, self.number = stage, number
        self.kind = ("socket", "http", "beacon", "secret")[number % 4]
        self.batches = 0

    async def __aenter__(self):
        stage = self.stage
        if self.kind == "socket":
            self.socket = await Socket.open(stage.world.port, stage.project.public, stage.address(self.number))
        else:
            self.line = Line(stage.world.port, stage.address(self.number))
            await self.line.request("GET", "/healthz")
        return self

    async def __aexit__(self, *_):
        if self.kind == "socket":
            await self.socket.close()
        else:
            self.line.close()

    async def say(self, events):
        """Sends all in one go; answers the verdicts in order."""
        stage = self.stage
        for event in events:
            stage.book.wrote(event)
        if self.kind == "socket":
            self.batches += 1
            self.socket.send({"type": "batch", "batch": self.batches, "events": events})
            said = await asyncio.wait_for(self.socket.receive(), 40)
            while said["type"] == "credits":
                said = await asyncio.wait_for(self.socket.receive(), 40)
            hold(said["type"] == "ack", "acks", str(said))
            results = list(verdicts_of_ack(events, said))
        else:
            key = stage.project.secret if self.kind == "secret" else stage.project.public
            status, answer, _ = await (self.line.beacon if self.kind == "beacon" else self.line.post)(events, key)
            hold(status == 200, "answers", f"{status} {answer}")
            results = [(event, result["verdict"], result) for event, result in zip(events, answer["results"], strict=True)]
        for event, verdict, result in results:
            stage.book.heard(event, verdict, result)
        return [verdict for _, verdict, _ in results]


async def voices(stage, count):
    made = [Voice(stage, number) for number in range(count)]
    for voice in made:
        await voice.__aenter__()
    return made


async def silence(made):
    for voice in made:
        await voice.__aexit__()


@scenario(
    "racing-duplicates",
    "The same events come at once over sockets, HTTP in both lanes and beacons from 32 senders: one hears stored, 31 hear "
    "duplicate, one copy is there",
    exact=True)
async def racing_duplicates(stage):
    senders, rounds, size = 32, stage.many(12), 12
    made = await voices(stage, senders)
    try:
        for turn in range(rounds):
            events = stage.maker.some(f"race-{turn}", size)
            heard = await at_once(
                voice.say(generator(stage.seed, f"{turn}/{voice.number}").sample(events, size) if turn % 2 else events) for voice in made)
            tally = Counter(verdict for verdicts in heard for verdict in verdicts)
            hold(tally == {"stored": size, "duplicate": size * (senders - 1)}, "one wins", f"{size} events from {senders} senders got {dict(tally)}")
    finally:
        await silence(made)
    stage.counts = {"senders": senders, "copies": senders * rounds * size}


@scenario(
    "racing-conflicts",
    "16 writers race for each id with different content: one is stored and stands, 15 conflict and wait in quarantine, "
    "whole; saying it all again changes nothing",
    exact=True)
async def racing_conflicts(stage):
    writers, ids = 16, stage.many(24)
    made = await voices(stage, writers)
    names = [stage.maker.id() for _ in range(ids)]
    said = [
        [{"type": "message", "id": name, "thread": "contested", "role": "user", "content": f"{name} as {number} has it"} for name in names]
        for number in range(writers)]
    try:
        order = stage.rng.sample(range(writers), writers)
        heard = dict(zip(order, await at_once(
            made[number].say(said[number] if number % 2 else list(reversed(said[number]))) for number in order)))
        heard = [heard[number] if number % 2 else list(reversed(heard[number])) for number in range(writers)]
        winners = {}
        for place, name in enumerate(names):
            tally = Counter(verdicts[place] for verdicts in heard)
            hold(tally == {"stored": 1, "conflict": writers - 1}, "one wins", f"{name} from {writers} writers got {dict(tally)}")
            winners[name] = next(number for number, verdicts in enumerate(heard) if verdicts[place] == "stored")
        await quarantine_holds(stage, winners, writers)
        again = await at_once(voice.say(events) for voice, events in zip(made, said))
        for number, verdicts in enumerate(again):
            for name, verdict in zip(names, verdicts):
                right = "duplicate" if winners[name] == number else "conflict"
                hold(verdict == right, "the first stands", f"{name} of writer {number}, sent again, got {verdict} and not {right}")
        await quarantine_holds(stage, winners, writers)
    finally:
        await silence(made)
    stage.counts = {"writers": writers, "ids": ids, "in quarantine": ids * (writers - 1)}


async def quarantine_holds(stage, winners, writers):
    """Each loser is kept once, whole, with what differs."""
    kept = Counter()
    cursor = ""
    while True:
        status, page = await stage.world.fetch(stage.project, f"/v1/quarantine?reason=id_conflict&limit=200{cursor}")
        hold(status == 200, "quarantine", f"{status} {page}")
        for item in page["items"]:
            payload = item["payload"] if isinstance(item["payload"], dict) else json.loads(item["payload"])
            name, number = payload["id"], int(payload["content"].split(" as ")[1].split()[0])
            kept[name, number] += 1
            hold([entry["field"] for entry in item["differs"]] == ["content"], "quarantine", f"differs says {item['differs']}")
            hold(f"as {winners[name]} has" in json.dumps(item["differs"][0]["stored"]), "quarantine", f"beside another winner: {item['differs']}")
        if not page["next"]:
            break
        cursor = f"&cursor={page['next']}"
    right = Counter({(name, number): 1 for name in winners for number in range(writers) if winners[name] != number})
    hold(kept == right, "quarantine", f"{len(kept)} are kept, {len(right)} lost; missing {list(right - kept)[:3]}, too many {list(kept - right)[:3]}")
