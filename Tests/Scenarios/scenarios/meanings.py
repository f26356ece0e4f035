"""What order, clocks and credits mean for what is stored."""

import asyncio
import time
from datetime import datetime

from book import hold
from client import Closed, Line, PostWriter, Socket, SocketWriter, verdicts_of_ack
from stage import at_once, scenario


@scenario(
    "parents",
    "Messages come from pages, their runs from backends, parents before children and after, in random order over all lanes: "
    "every link ends bound, under its message",
    exact=True)
async def parents(stage):
    turns = stage.many(150)
    dice = stage.rng
    pages, backends = [], []
    where = {}
    for number in range(turns):
        thread = f"chat-{number % 25}"
        message = stage.maker.message(thread)
        pages.append(message)
        run = {"type": "run", "id": stage.maker.id(), "kind": "chain", "name": "answer", "parent": message["id"]}
        where[run["id"]] = (message["id"], message["id"])
        backends.append(run)
        if number % 2:
            # The same run's end, as a part of its own.
            backends.append({"type": "run", "id": run["id"], "output": f"answer {number}", "success": True, "endedAt": int(time.time() * 1000)})
        above = run["id"]
        for depth in range(number % 4):
            child = {"type": "run", "id": stage.maker.id(), "kind": "tool", "name": f"step {depth}", "parent": above}
            where[child["id"]] = (above, message["id"])
            backends.append(child)
            above = child["id"]
        if number % 5 == 0:
            # A run that carries the message's own id, and hangs under it without naming it.
            own = {"type": "run", "id": message["id"], "kind": "llm", "name": "of the same id"}
            where[own["id"]] = (None, message["id"])
            backends.append(own)
    dice.shuffle(pages)
    dice.shuffle(backends)
    writers = []
    for number in range(12):
        if number < 6:
            writers.append(stage.writer(SocketWriter if number % 2 else PostWriter, pages[number::6], number, batch=3))
        else:
            writer = stage.writer(PostWriter, backends[number - 6::6], number, batch=4)
            writer.key = stage.project.secret
            writers.append(writer)
    await stage.all(writers)
    stage.counts_match = False  # parts of a run are read as one
    line = Line(stage.world.port)
    try:
        status, body = await line.get("/v1/threads?runs=pending", stage.project.secret)
        hold(status == 200 and b'"threads":[]' in body.replace(b" ", b""), "bound", f"threads with pending runs: {body[:300]}")
    finally:
        line.close()
    readings, _ = await stage.world.settle(stage.project, stage.book, exact=True, counts_match=False)
    for name, (parent, message) in where.items():
        run = readings.runs.get(("run", name))
        hold(run is not None, "bound", f"run {name} can't be read")
        hold(run["under"] == message, "bound", f"run {name} is under {run['under']} and belongs under {message}")
        if parent:
            hold(run["link"] == "bound" and run["parent"] == parent, "bound", f"run {name}: link {run['link']}, parent {run['parent']}")
    checks = await stage.world.doctor()
    look = next(check for check in checks if check["check"] == "parents: parents")
    hold(look["state"] == "fine", "bound", f"doctor: {look}")
    stage.counts = {"messages": turns, "runs": len(where), "parts": len(backends)}


@scenario(
    "skewed-clocks",
    "Clients whose clocks are seconds, hours or days off, or jump: times more than 5 s off are set right, smaller ones "
    "stand, nothing lies in the future, a client's own order stands",
    exact=True)
async def skewed_clocks(stage):
    skews = [-3 * 86400, -7200, -60, -8, -3, 0, 3, 8, 60, 7200, 3 * 86400, 40 * 365 * 86400]
    line = Line(stage.world.port)
    sent = {}
    try:
        for number, skew in enumerate(skews):
            thread = f"clock-{number}"
            socket = await Socket.open(stage.world.port, stage.project.public, stage.address(number))
            for batch in range(1, 4):
                if batch == 3:
                    skew = -skew  # the clock is set while the page is open
                now = time.time()
                events = []
                for place in range(4):
                    # Said over the last two seconds.
                    true = now - 2 + place * 0.5
                    event = stage.maker.message(thread, at=int((true + skew) * 1000))
                    sent[event["id"]] = (true, skew, batch, place)
                    events.append(event)
                    stage.book.wrote(event)
                message = {"type": "batch", "batch": batch, "sentAt": int((time.time() + skew) * 1000), "events": events}
                socket.send(message)
                said = await asyncio.wait_for(socket.receive(), 20)
                for event, verdict, result in verdicts_of_ack(events, said):
                    stage.book.heard(event, verdict, result)
                # A retry has a later `sentAt` and the same events: a duplicate that moves nothing.
                status, answer, _ = await line.post(events, stage.project.secret, int((time.time() + skew + 30) * 1000))
                for event, result in zip(events, answer["results"], strict=True):
                    hold(result["verdict"] == "duplicate", "same content", f"{event} sent again with another sentAt: {result}")
                    stage.book.heard(event, result["verdict"], result)
            await socket.close()
    finally:
        line.close()
    readings, _ = await stage.world.settle(stage.project, stage.book, exact=True)
    worst = 0.0
    orders = {}
    for (kind, name), item in readings.items.items():
        true, skew, batch, place = sent[name]
        at = datetime.fromisoformat(item["at"]).timestamp()
        received = datetime.fromisoformat(item["receivedAt"]).timestamp()
        hold(at <= received + 5.001, "no future", f"{item['at']} was received {item['receivedAt']}")
        off = at - true
        if abs(skew) > 5:
            worst = max(worst, abs(off))
            # What stands between the clock and the receipt is the way here, on a busy machine.
            hold(-0.1 < off < 4, "set right", f"a clock {skew} s off: a time that was {off:.2f} s off was stored")
        else:
            hold(abs(off - skew) < 0.01 or at >= received + 4.9, "stands", f"a clock {skew} s off: stored {off:.2f} s off")
        orders.setdefault((item["thread"], batch), []).append((at, place))
    for group, places in orders.items():
        hold([place for _, place in sorted(places)] == sorted(place for _, place in places), "order", f"{group}: {sorted(places)}")
    stage.counts = {"clocks": len(skews), "worst ms": round(worst * 1000)}


async def rush(stage, number, count, size, totals):
    """One client that sends `count` batches in one go, whatever its credits; answers what has to be sent again."""
    batches = {batch: [stage.maker.message(f"rush-{number}") for _ in range(size)] for batch in range(1, count + 1)}
    socket = await Socket.open(stage.world.port, stage.project.public, stage.address(number))
    total = balance = socket.welcome["credits"]
    hold(total >= 100, "credits", f"the welcome gives {total}")
    for batch, events in batches.items():
        for event in events:
            stage.book.wrote(event)
        socket.send({"type": "batch", "batch": batch, "events": events})
    again = []
    acked = in_a_row = 0
    try:
        while acked < count:
            said = await asyncio.wait_for(socket.receive(), 60)
            balance += said.get("credits", 0)
            if said["type"] == "credits":
                continue
            acked += 1
            hold(said["type"] == "ack" and said["batch"] == acked, "acks in order", str(said)[:200])
            results = list(verdicts_of_ack(batches[acked], said))
            for event, verdict, result in results:
                stage.book.heard(event, verdict, result)
                if verdict == "retry":
                    again.append(event)
            kinds = {(verdict, (result or {}).get("reason")) for _, verdict, result in results}
            if kinds == {("retry", "over_credits")}:
                in_a_row += 1
                totals["over credits"] += 1
                hold(said["credits"] == size, "credits", f"a batch that was not taken gives back {said['credits']} of {size}")
            else:
                hold(kinds in ({("stored", None)}, {("retry", "overloaded")}), "credits",
                     f"batch {acked} got {kinds}: it is taken whole or not at all")
                in_a_row = 0
            balance -= size
            hold(balance <= total, "credits", f"{balance} of {total} credits are held")
        # When nothing is on its way all of them are back.
        while balance < total:
            async with asyncio.timeout(15):
                balance += (await socket.receive()).get("credits", 0)
        hold(balance == total, "credits", f"{balance} of {total} credits are held")
        await socket.close()
    except Closed as closed:
        hold(closed.code == 4101 and closed.error and closed.error["name"] == "over_credits", "credits", f"{closed}")
        totals["4101"] += 1
        totals["4101 after all acks"] += in_a_row == 3
        again += [event for batch in range(acked + 1, count + 1) for event in batches[batch]]
    except TimeoutError:
        hold(False, "credits", f"{acked} of {count} batches are acked, {balance} of {total} credits came back")
    finally:
        socket.abort()
    return again


async def rushes(stage, clients, count, size):
    totals = {"over credits": 0, "4101": 0, "4101 after all acks": 0}
    again = await at_once(rush(stage, number, count, size, totals) for number in range(clients))
    await stage.all([stage.writer(SocketWriter, events, number, batch=200) for number, events in enumerate(again)])
    hold(stage.book.acked == clients * size * count, "delivered", f"{stage.book.acked} of {clients * size * count} were acked")
    stage.counts = {"clients": clients, **totals, "sent again": sum(map(len, again))}
    return totals


@scenario(
    "credits",
    "Clients send two batches beyond their credits: those are told retry, over_credits, cost nothing and are stored when "
    "they come again; no credit is lost or made",
    exact=True)
async def credits(stage):
    totals = await rushes(stage, stage.many(6), 6, 250)
    hold(totals["over credits"] > 0, "load", f"nobody went beyond the credits: {totals}")
    hold(totals["4101"] == 0, "credits", f"two batches beyond the credits were enough to be let go: {totals}")


@scenario(
    "over-credits",
    "Clients send twenty batches beyond their credits: three in a row are acked, each event retry, and then the socket ends "
    "with 4101; what was taken is acked before (P-CREDIT-3)")
async def over_credits(stage):
    # Many, since a credit that comes back in time lets one of them in, and three in a row are wanted.
    totals = await rushes(stage, stage.many(4), 24, 250)
    hold(totals["4101"] > 0, "load", f"nobody went three batches beyond the credits: {totals}")
    hold(totals["4101 after all acks"] == totals["4101"], "acked, then closed",
         f"{totals['4101']} sockets ended with 4101, {totals['4101 after all acks']} of them after the acks of the three batches")
