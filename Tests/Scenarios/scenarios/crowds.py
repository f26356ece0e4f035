"""Many at once: they come, they come back, they are asked to go."""

import asyncio
import json
import time

from book import hold
from client import CUT, ORIGIN, Closed, Line, Refused, Socket, SocketWriter, PostWriter, post_head, dial, read_body, read_head
from stage import at_once, scenario


@scenario(
    "storm",
    "500 sockets are opened at once from 10 addresses, wave after wave: each is welcomed, acked in order, and leaves "
    "nothing behind",
    exact=True, memory=96 << 20)
async def storm(stage):
    size = stage.many(500)
    loud, silent = 2, 3
    openings = []

    async def visit(number, plan, everybody_is_in, began):
        socket = await Socket.open(stage.world.port, stage.project.public, stage.address(number, max(10, size // 40)), timeout=40)
        try:
            for batch, events in enumerate(plan, 1):
                for event in events:
                    stage.book.wrote(event)
                socket.send({"type": "batch", "batch": batch, "events": events})
            socket.send({"type": "heartbeat"})
            acked, is_answered = 0, False
            while acked < len(plan) or not is_answered:
                said = await asyncio.wait_for(socket.receive(), 40)
                if said["type"] == "heartbeat":
                    is_answered = True
                    continue
                acked += 1
                hold(said["type"] == "ack" and said["batch"] == acked, "acks in order", f"{said} where the ack of batch {acked} was due")
                hold(not said.get("results"), "stored", f"new events were not stored: {said}")
                for event in plan[acked - 1]:
                    stage.book.heard(event, "stored")
            await everybody_is_in.wait()
            openings.append(time.monotonic() - began)
            if number % 3 == 0:
                await socket.close()
            elif number % 3 == 1:
                socket.abandon()
        finally:
            socket.abort()

    memory = []
    for wave in range(loud + silent):
        before = stage.world.level()
        everybody_is_in = asyncio.Barrier(size)
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(size):
                plan = [stage.maker.some(f"storm-{wave}-{number}", 2) for _ in (1, 2)] if wave < loud else []
                group.create_task(visit(number, plan, everybody_is_in, began))
        await stage.world.back_to(before, 96 << 20)
        # The gate gives each address 200 sockets at once, and 20 a second.
        await asyncio.sleep(max(0.2, 2.2 - (time.monotonic() - began)))
        memory.append(stage.world.level().memory)
    # Events fill the store's caches up to their bounds; sockets that bring none leave nothing.
    kept = (memory[-1] - memory[loud - 1]) / silent / size
    hold(kept < 2048 + (2 << 20) / (silent * size), "memory",
         f"{kept:.0f} bytes stay of each socket that came and went: {[m >> 10 for m in memory]} KB")
    stage.counts = {"sockets": size * (loud + silent), "all in after s": round(max(openings), 1), "bytes kept a socket": round(kept)}


@scenario(
    "flood",
    "One address opens 300 sockets at once: 200 or a few more get in, the rest are told 429 with Retry-After, and other "
    "addresses don't notice",
    exact=True)
async def flood(stage):
    told = []

    async def knock(source):
        try:
            return await Socket.open(stage.world.port, stage.project.public, source, timeout=40)
        except Refused as refused:
            told.append(refused)
            return None

    began = time.monotonic()
    came = await at_once(knock(stage.address(0 if number < 300 else 1 + number % 5)) for number in range(350))
    seconds = time.monotonic() - began
    sockets, guests = [socket for socket in came[:300] if socket], came[300:]
    try:
        hold(200 <= len(sockets) <= 202 + 20 * seconds, "floods", f"{len(sockets)} of 300 sockets of one address got in within {seconds:.1f} s")
        hold(len(told) == 300 - len(sockets), "floods", "others were refused too")
        for refused in told:
            hold(refused.status == 429 and int(refused.headers.get("retry-after", 0)) > 0, "floods", f"told {refused.status} {refused.headers}")
            hold(json.loads(refused.body)["error"]["code"] == "rate_limited", "floods", str(refused.body))
        hold(all(guests), "floods", "another address was refused")
        writers = [stage.writer(SocketWriter, stage.maker.some(f"guest-{number}", 10), 6 + number) for number in range(5)]
        await stage.all(writers)
        stage.counts = {"let in": len(sockets), "told 429": len(told)}
    finally:
        for socket in [*sockets, *filter(None, guests)]:
            socket.abort()


@scenario(
    "recovery-storm",
    "The gateway is killed (SIGKILL) twice while hundreds of clients wait for acks: all come back at once, send again under "
    "the same ids, and each event is there once",
    memory=128 << 20)
async def recovery_storm(stage):
    clients = stage.many(240)
    writers = [
        stage.writer(SocketWriter if number % 4 else PostWriter, stage.maker.some(f"storm-{number}", 20), number, batch=2)
        for number in range(clients)]
    work = asyncio.create_task(stage.all(writers, 100))
    everything = clients * 20
    unacked = []
    try:
        for share in (0.2, 0.4):
            while stage.book.acked < everything * share:
                await asyncio.sleep(0.002)
            # However fast the gateway is: it stands until clients have queued up, and dies in the middle of their work.
            # Some are done by then, others wait to be let in.
            stage.world.hold_still()
            patience = time.monotonic() + 1
            while (waiting := sum(1 for writer in writers if writer.out)) < clients / 2 and time.monotonic() < patience:
                await asyncio.sleep(0.002)
            hold(waiting >= clients / 10, "load", f"only {waiting} of {clients} clients wait for acks as the gateway is killed")
            unacked.append(waiting)
            stage.world.go_on()
            await asyncio.sleep(0.003 * share)
            stage.world.kill()
            await stage.world.begin()
        await work
    finally:
        work.cancel()
    hold(stage.book.acked == everything, "delivered", f"{stage.book.acked} of {everything} events were acked")
    # A storm of reconnects is over when the last one has its acks.
    stage.counts = {"clients": clients, "kills": 2, "waiting at the kills": min(unacked), "cuts": sum(writer.cuts for writer in writers),
                    "duplicates": stage.book.verdicts["duplicate"]}


@scenario(
    "drain",
    "SIGTERM under the load of 200 sockets: each hears goodbye and a close with 4200, what was begun is finished, the "
    "process ends in time, and after a restart nothing is missing",
    memory=128 << 20)
async def drain(stage):
    world = stage.world
    clients = stage.many(200)
    seconds = 6
    world.end()
    world.options = ("--drain-seconds", str(seconds))
    await world.begin()
    try:
        writers = [stage.writer(SocketWriter, stage.maker.some(f"drain-{number}", 400), number, batch=4, pause=0.05) for number in range(clients)]
        heard = {"goodbye": 0, 4200: 0, "other ends": []}
        begun = set()

        async def until_told(writer):
            """One connection: batches until the goodbye, acks until the close."""
            line = await Socket.open(writer.port, writer.key, writer.source, timeout=40)
            number = 0
            is_leaving = False
            try:
                while True:
                    if not is_leaving and not writer.out:
                        number += 1
                        writer.out[number] = (writer._take(4), 0)
                        writer.send_batch(line, number, writer.out[number][0])
                    said = await asyncio.wait_for(line.receive(), seconds + 10)
                    if said["type"] == "goodbye":
                        hold(said["code"] == 4200 and said["reason"] == "draining", "goodbye", str(said))
                        heard["goodbye"] += 1
                        is_leaving = True
                    elif said["type"] == "ack":
                        begun.add(writer)
                        events, _ = writer.out.pop(said["batch"])
                        refused = {result["id"]: result for result in said.get("results", [])}
                        for event in events:
                            result = refused.get(event["id"])
                            writer._heard(event, result["verdict"] if result else "stored", result)
                        await asyncio.sleep(0.02)
            except Closed as closed:
                if closed.code == 4200 and is_leaving:
                    heard[4200] += 1
                else:
                    heard["other ends"].append(f"{closed}")
            except CUT as cut:
                heard["other ends"].append(f"{type(cut).__name__}")
            finally:
                line.abort()
                writer._give_back()

        crowd = asyncio.create_task(at_once(until_told(writer) for writer in writers))
        while stage.book.acked < clients * 8 or len(begun) < clients:
            await asyncio.sleep(0.01)
            hold(not crowd.done() and not heard["other ends"], "load", f"sockets ended before the drain: {heard}")
        # Half a request, begun before and ended after. The 100 says that its head has been read.
        half = stage.maker.message("half")
        body = json.dumps({"events": [half]}).encode()
        reader, writer = await dial(world.port)
        writer.write(post_head("/v1/events", len(body), stage.project.public, ORIGIN, expect=True) + body[:20])
        status, _ = await asyncio.wait_for(read_head(reader), 10)
        hold(status == 100, "begun", f"a head that expects 100 was answered {status}")

        pid = world.pid
        world.process.terminate()
        began = time.monotonic()
        await asyncio.sleep(0.5)
        stage.book.wrote(half)
        writer.write(body[20:])
        status, headers = await asyncio.wait_for(read_head(reader), 10)
        answer = json.loads(await read_body(reader, headers))
        hold(status == 200 and answer["results"][0]["verdict"] == "stored", "begun requests are finished", f"{status} {answer}")
        stage.book.heard(half, "stored")
        writer.close()
        newcomer = Line(world.port)
        try:
            status, _, text = await newcomer.request("GET", "/readyz", timeout=5)
            hold(status == 503, "not ready", f"/readyz says {status} while draining")
        except CUT:
            pass  # the listener is closed: that says it too
        finally:
            newcomer.close()
        await asyncio.wait_for(crowd, seconds + 15)
        code = await world.ended(seconds + 8)
        took = time.monotonic() - began
        hold(code == 0, "ends", f"process {pid} ended with {code}: {world.last_words()}")
        hold(took < seconds + 6, "ends", f"the drain took {took:.1f} s, {seconds} s were set")
        hold(not heard["other ends"], "goodbye", f"{len(heard['other ends'])} sockets ended otherwise: {heard['other ends'][:5]}")
        hold(heard["goodbye"] == clients and heard[4200] == clients, "goodbye", f"{heard} of {clients}")
    finally:
        world.end()
        world.options = ()
        await world.begin()
    # They come back and send what has no verdict, and some of what follows.
    for writer in writers:
        for event in list(writer.waiting)[20:]:
            writer.waiting.remove(event)
        writer.batch, writer.pause = 20, 0
    await stage.all(writers)
    stage.counts = {"sockets": clients, "goodbyes": heard["goodbye"], "seconds to the end": round(took, 1)}
