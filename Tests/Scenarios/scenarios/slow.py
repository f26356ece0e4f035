"""Those who do not read, do not send, or are not there any more. Most of this is waiting, on gateways of their own."""

import asyncio
import json
import select
import socket as socket_module
import time

from book import hold
from client import (
    CUT, ORIGIN, Closed, PostWriter, Socket, dial, generator, handshake, post_head, read_body, read_head, reset, text_frame, verdicts_of_ack)
from proxy import Faults, Proxy
from stage import Neighbours, Peak, at_once, scenario


@scenario(
    "slow-sockets",
    "Sockets ask and ask and read nothing: each is let go with 4103 once a bounded heap waits for it, memory stays within "
    "that bound, and neighbours are served")
async def slow_sockets(stage):
    world = stage.world
    clients = max(4, stage.many(4))
    # The answer to a frame of an unknown type is some 350 bytes; what waits for a client may be a MiB, and the kernel takes 4 before.
    question = text_frame({"type": "a word that nobody ever gave a meaning, and long enough to be said"}) * 50
    marked = asyncio.Event()
    ends = {}

    async def ask(number):
        """Asks without reading. Every second one begins to read when they were let go, or the first were a while ago; the others never do."""
        socket = await Socket.open(world.port, stage.project.public, stage.address(number), receive_buffer=4096)
        socket.writer.transport.pause_reading()
        deadline = time.monotonic() + 30
        try:
            while number % 2 or not marked.is_set():
                hold(time.monotonic() < deadline, "let go", "a socket asked for 30 s, read nothing, and is open")
                socket.writer.write(question)
                await asyncio.wait_for(socket.writer.drain(), 20)
                # Not so fast that nobody else is heard: that is another scenario.
                await asyncio.sleep(0.02)
            socket.writer.transport.resume_reading()
            socket.send({"type": "heartbeat"})
            async with asyncio.timeout(20):
                while (await socket.receive())["type"] != "heartbeat":
                    pass
            ends[number] = "served"
            await socket.close()
        except Closed as closed:
            ends[number] = closed.code
        except TimeoutError:
            ends[number] = "still open"
        except CUT:
            ends[number] = "cut"
        finally:
            socket.abort()

    async def count(name):
        return int((await world.metrics()).get(name, 0))

    refusals, closes = 'parley_refusals_total{reason="overloaded"}', 'parley_socket_closes_total{code="4103"}'
    refused, closed_before = await count(refusals), await count(closes)

    async def look():
        """A client has two seconds from then on to read why it is let go: one of them goes to those that asked more slowly."""
        while await count(refusals) < refused + max(1, clients // 3):
            await asyncio.sleep(0.05)
        latest = time.monotonic() + 1
        while time.monotonic() < latest and await count(refusals) < refused + clients:
            await asyncio.sleep(0.05)
        marked.set()

    async with Neighbours(stage) as neighbours, Peak(world) as peak:
        looking = asyncio.create_task(look())
        try:
            await at_once(ask(number) for number in range(clients))
        finally:
            looking.cancel()
    let_go = await count(closes) - closed_before
    told = [number for number, end in ends.items() if end == 4103]
    never_read = [ends[number] for number in range(1, clients, 2)]
    hold("still open" not in ends.values(), "let go", f"sockets that read nothing ended like this: {ends}")
    hold(all(end in (4103, "cut") for end in never_read) and let_go >= len(never_read), "let go",
         f"{let_go} of {clients} sockets were closed as slow consumers; those who never read saw {never_read}")
    hold(told, "told why", f"nobody who began to read was told 4103: {ends}")
    # One MiB for each, by the gateway's own word, and what the allocator makes of it.
    hold(peak.more < clients * (4 << 20) + (32 << 20), "memory", f"{peak.more >> 20} MB more for {clients} slow sockets")
    stage.counts = {"sockets": clients, "closed 4103": let_go, "told": len(told), "peak MB more": peak.more >> 20,
                    "slowest neighbour ms": round(neighbours.slowest * 1000)}


@scenario(
    "slow-bodies",
    "Bodies come at a trickle: those that keep the pace are stored, those that stall are told 408 or closed after 10 s, and "
    "neighbours don't notice",
    alone=True)
async def slow_bodies(stage):
    world = stage.world
    dice = generator(stage.seed, "trickle")

    async def stall(number, cut):
        """A request that stops at a certain byte and waits; answers how it was told, and when."""
        event = stage.maker.message("stalled")
        body = json.dumps({"events": [event]}).encode()
        data = post_head("/v1/events", len(body), stage.project.public, ORIGIN) + body
        began = time.monotonic()
        reader, writer = await dial(world.port, stage.address(number))
        try:
            writer.write(data[:cut(len(data), len(body))])
            try:
                async with asyncio.timeout(25):
                    status, headers = await read_head(reader)
                    answer = json.loads(await read_body(reader, headers))["error"]["code"]
            except CUT:
                status, answer = None, "closed"
            except TimeoutError:
                hold(False, "paced", "a request that stalled is open after 25 s")
            return status, answer, time.monotonic() - began
        finally:
            reset(writer)

    pace = 700

    async with Proxy(world.port, lambda number: Faults(rate=pace, slice=64), [stage.address(number) for number in range(20)]) as proxy:
        trickles = [
            stage.writer(PostWriter, stage.maker.some(f"trickle-{number}", 16), number, proxy.port, batch=16) for number in range(stage.many(20))]
        async with Neighbours(stage, longest=3.0) as neighbours:
            trickled, in_body, in_head = await at_once((
                stage.all(trickles, 60),
                at_once(stall(number, lambda whole, body: whole - dice.randrange(1, body)) for number in range(stage.many(15))),
                at_once(stall(number, lambda whole, body: dice.randrange(1, whole - body)) for number in range(stage.many(15)))))
        hold(all(not writer.cuts and not writer.retries for writer in trickles), "paced", "a body that kept the pace was not taken")
    for status, answer, seconds in in_body:
        hold((status, answer) == (408, "body_timeout") and 8 < seconds < 16, "paced",
             f"a stalled body was told {status} {answer} after {seconds:.1f} s")
    for status, answer, seconds in in_head:
        hold(8 < seconds < 16 and answer in ("closed", "body_timeout"), "paced", f"a stalled head was told {status} {answer} after {seconds:.1f} s")
    stage.counts = {"trickles": len(trickles), "seconds each": round(trickled), "stalled": len(in_body + in_head),
                    "slowest neighbour ms": round(neighbours.slowest * 1000)}


@scenario(
    "silent-connections",
    "Connections are opened and not one byte is sent: each is closed within the time a request's head may take, 10 s",
    alone=True)
async def silent_connections(stage):
    world = stage.world
    before = world.level().sockets
    count = stage.many(20)
    lines = await at_once(dial(world.port, stage.address(number)) for number in range(count))
    try:
        began = time.monotonic()
        while (held := world.level().sockets - before) > 0 and time.monotonic() < began + 20:
            await asyncio.sleep(0.2)
        stage.counts = {"connections": count, "held": held, "seconds": round(time.monotonic() - began)}
        hold(held <= 0, "let go", f"{held} of {count} connections that never sent a byte are open after 20 s")
    finally:
        for _, writer in lines:
            reset(writer)


@scenario(
    "endless-body",
    "Bodies that never pause and never end, a byte now and then, are told 408 after 60 s",
    alone=True)
async def endless_body(stage):
    world = stage.world

    async def trickle(number):
        reader, writer = await dial(world.port, stage.address(number))
        began = time.monotonic()
        try:
            writer.write(post_head("/v1/events", 100_000, stage.project.public, ORIGIN) + b'{"events":[')
            answering = asyncio.create_task(read_head(reader))
            while not answering.done():
                hold(time.monotonic() < began + 75, "paced", "a body that trickles is taken for 75 s and more")
                writer.write(b" ")
                await asyncio.sleep(1.5)
            status, headers = await answering
            code = json.loads(await read_body(reader, headers))["error"]["code"]
            return status, code, time.monotonic() - began
        finally:
            reset(writer)

    async with Peak(world) as peak:
        ends = await at_once(trickle(number) for number in range(stage.many(6)))
        for status, code, seconds in ends:
            hold((status, code) == (408, "body_timeout") and 55 < seconds < 70, "paced",
                 f"a trickling body was told {status} {code} after {seconds:.0f} s")
    stage.counts = {"bodies": len(ends), "told after s": round(max(seconds for *_, seconds in ends)), "peak MB more": peak.more >> 20}


@scenario(
    "unread-exports",
    "Exports of many megabytes are asked for and never read: each is closed a minute after it clogged, and costs little "
    "memory while it waits",
    alone=True, memory=160 << 20)
async def unread_exports(stage):
    world = stage.world
    # More than the kernel takes: 14 MB.
    big = [stage.maker.message(f"big-{number % 5}", words="x" * 60_000 + stage.maker.id()) for number in range(240)]
    await stage.all([stage.writer(PostWriter, big[part::4], part, batch=10) for part in range(4)])
    await asyncio.sleep(0.3)
    before = world.level()
    readers = stage.many(6)
    lines = []
    async with Peak(world) as peak:
        for number in range(readers):
            reader, writer = await dial(world.port, stage.address(number), receive_buffer=4096)
            writer.transport.pause_reading()
            writer.write(f"GET /v1/export HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {stage.project.secret}\r\n\r\n".encode())
            lines.append(writer)
        began = time.monotonic()
        await asyncio.sleep(5)
        hold(world.level().sockets == before.sockets + readers, "waits", f"{world.level()} with {readers} exports under way, {before} before")
        while world.level().sockets > before.sockets:
            hold(time.monotonic() < began + 80, "let go", f"{world.level().sockets - before.sockets} of {readers} unread exports are open after 80 s")
            await asyncio.sleep(0.5)
        seconds = time.monotonic() - began
    for writer in lines:
        reset(writer)
    # A page of 50 such messages is 3 MB, and it is held as rows, as items and as text.
    hold(peak.more < readers * (12 << 20) + (32 << 20), "memory", f"{peak.more >> 20} MB more for {readers} unread exports")
    stage.counts = {"exports": readers, "closed after s": round(seconds), "peak MB more": peak.more >> 20}


@scenario(
    "half-open",
    "Lines die without a word, upwards or both ways, some never say hello: each is closed with 4201 after two and a half "
    "heartbeats or 4104 after 10 s, and nothing of it stays",
    alone=True)
async def half_open(stage):
    world = stage.world
    dice = generator(stage.seed, "half-open")
    clients = stage.many(30)
    before = world.level()
    ends = {"4201": 0, "dead both ways": 0, "4104": 0}

    silenced = asyncio.Event()
    greeted = []

    async def fall_silent(number, port, both_ways):
        """Says hello and a batch; what it says later is lost on the way."""
        socket = await Socket.open(port, stage.project.public)
        try:
            events = stage.maker.some(f"silent-{number}", 2)
            for event in events:
                stage.book.wrote(event)
            socket.send({"type": "batch", "batch": 1, "events": events})
            said = await asyncio.wait_for(socket.receive(), 20)
            for event, verdict, result in verdicts_of_ack(events, said):
                stage.book.heard(event, verdict, result)
            greeted.append(number)
            beat = socket.welcome["heartbeatMs"] / 1000
            await silenced.wait()
            began = time.monotonic()
            beats = asyncio.create_task(keep_saying(socket))
            try:
                if both_ways:
                    await gone.wait()
                    ends["dead both ways"] += 1
                    return
                async with asyncio.timeout(3 * beat):
                    while True:
                        await socket.receive()
            finally:
                beats.cancel()
        except Closed as closed:
            seconds = time.monotonic() - began
            hold(closed.code == 4201, "4201", f"{closed}")
            hold(closed.error and closed.error["code"] == 4201, "told before", f"the close came without its error frame: {closed.error}")
            hold(2.5 * beat - 3 < seconds < 2.5 * beat + 6, "4201", f"closed {seconds:.1f} s after the last word, {2.5 * beat:.1f} s were due")
            ends["4201"] += 1
        except TimeoutError:
            hold(False, "4201", f"a socket of which nothing was heard for {3 * beat:.0f} s is open")
        finally:
            socket.abort()

    async def keep_saying(socket):
        """Heartbeats that nobody hears, and a batch that is lost."""
        socket.send({"type": "batch", "batch": 2, "events": [stage.maker.message("lost")]})
        while True:
            await asyncio.sleep(dice.uniform(1, 5))
            socket.send({"type": "heartbeat"})

    async def never_say_hello(number):
        socket = await Socket.open(world.port, stage.project.public, stage.address(number), hello=False)
        began = time.monotonic()
        try:
            async with asyncio.timeout(25):
                while True:
                    await socket.receive()
        except Closed as closed:
            hold(closed.code == 4104 and 8 < time.monotonic() - began < 16, "4104", f"{closed} after {time.monotonic() - began:.1f} s")
            ends["4104"] += 1
        except TimeoutError:
            hold(False, "4104", "a socket that says no hello is open after 25 s")
        finally:
            socket.abort()

    gone = asyncio.Event()
    upward, both = Faults(), Faults()

    async def cut_lines():
        # Two in three go dead upwards: they hear the close. The others are dead both ways.
        deadline = time.monotonic() + 30
        while len(greeted) < clients:
            hold(time.monotonic() < deadline, "load", f"only {len(greeted)} of {clients} sockets are open")
            await asyncio.sleep(0.05)
        upward.dead_up = both.dead_up = both.dead_down = True
        silenced.set()
        hold(world.level().sockets >= before.sockets + clients, "load", f"{world.level()}, {before} before")
        # The gateway lets the dead go by itself, while their clients still hold on.
        deadline = time.monotonic() + 75
        while world.level().sockets > before.sockets:
            hold(time.monotonic() < deadline, "let go", f"{world.level().sockets - before.sockets} dead sockets are held after 75 s")
            await asyncio.sleep(0.2)
        gone.set()

    addresses = [stage.address(number) for number in range(20)]
    async with Proxy(world.port, lambda _: upward, addresses) as one_way, Proxy(world.port, lambda _: both, addresses) as no_way:
        await at_once([
            cut_lines(), *(fall_silent(number, (no_way if number % 3 == 0 else one_way).port, number % 3 == 0) for number in range(clients)),
            *(never_say_hello(number) for number in range(stage.many(10)))])
    hold(sum(ends.values()) == clients + stage.many(10), "let go", str(ends))
    stage.counts = {"sockets": clients, **ends}


@scenario(
    "goodbye",
    "Idle sockets hear goodbye with afterMs, and their close with 4200 comes that much later, not before (P-CLOSE-4)",
    alone=True)
async def goodbye(stage):
    world = stage.world
    # So many that closes are spread over three seconds: what a busy machine makes one hear late is little beside that.
    clients = stage.many(300)
    sockets = await at_once(Socket.open(world.port, stage.project.public, stage.address(number)) for number in range(clients))

    async def leave(socket):
        said = await asyncio.wait_for(socket.receive(), 20)
        at = time.monotonic()
        hold(said["type"] == "goodbye", "goodbye", str(said))
        try:
            await asyncio.wait_for(socket.receive(), 20)
        except Closed as closed:
            hold(closed.code == 4200, "4200", f"{closed}")
            return said["afterMs"] / 1000, time.monotonic() - at
        finally:
            socket.abort()
        return None

    try:
        world.process.terminate()
        told = await at_once(leave(socket) for socket in sockets)
        code = await world.ended(30)
    finally:
        world.end()
        await world.begin()
    hold(code == 0, "ends", f"the process ended with {code}")
    # Measured from when goodbye was heard, which on a busy machine is some time after it was said.
    early = [(due, took) for due, took in told if took < due - 0.6]
    late = [(due, took) for due, took in told if took > due + 3]
    stage.counts = {"sockets": clients, "closed early": len(early)}
    hold(not late, "P-CLOSE-4", f"{len(late)} of {clients} closes came late: {late[:3]} (seconds said, seconds taken)")
    some = [(round(due, 2), round(took, 2)) for due, took in early[:4]]
    hold(max(due for due, _ in told) > 1.2, "P-CLOSE-4", "the closes are not spread: nothing was shown")
    hold(len(early) <= clients // 20, "P-CLOSE-4", f"{len(early)} of {clients} closes came before afterMs was over: {some} (seconds said, taken)")


@scenario(
    "noisy-neighbour",
    "One socket sends small frames as fast as it can: heartbeats of others, on the same event loop too, are answered within "
    "2 s all along")
async def noisy_neighbour(stage):
    world = stage.world
    seconds = 4.0
    sockets = await at_once(Socket.open(world.port, stage.project.public, stage.address(number)) for number in range(8))
    waits = []

    def shout():
        """In a thread, with blocking calls: it must not hold up those who measure."""
        frames = text_frame({"type": "noise"}) * 400
        line = socket_module.create_connection(("127.0.0.1", world.port), source_address=(stage.address(30, 40), 0))
        with line:
            line.sendall(handshake(world.port, stage.project.public) + text_frame({"type": "hello", "client": "scenarios/1"}))
            line.setblocking(False)
            end = time.monotonic() + seconds
            left = memoryview(frames)
            shouted = 0
            while time.monotonic() < end:
                readable, writable, _ = select.select([line], [line], [], 0.2)
                if readable and not line.recv(1 << 20):
                    break
                if writable:
                    sent = line.send(left)
                    shouted += sent
                    left = left[sent:] or memoryview(frames)
            return shouted // (len(frames) // 400)

    async def beat(socket):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            asked = time.monotonic()
            socket.send({"type": "heartbeat"})
            await asyncio.wait_for(socket.receive(), 60)
            waits.append(time.monotonic() - asked)
            await asyncio.sleep(0.05)

    try:
        shouted, *_ = await at_once([asyncio.to_thread(shout), *(beat(socket) for socket in sockets)])
    finally:
        for socket in sockets:
            socket.abort()
    stage.counts = {"frames": shouted, "heartbeats": len(waits), "slowest ms": round(max(waits) * 1000)}
    hold(max(waits) < 2, "neighbours",
         f"a heartbeat was answered after {max(waits):.1f} s, while one socket sent {shouted / seconds:.0f} small frames a second")
