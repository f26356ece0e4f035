"""A proxy on loopback that breaks things as networks do, one plan for each connection.

A plan is a `Faults`. Bytes pass in order and unchanged unless the plan says otherwise; what it says is done to the byte.
"""

import asyncio
import time
from dataclasses import dataclass

from client import CUT, dial, read_body, read_head, reset


@dataclass
class Faults:
    """What happens to one connection. `up` is towards the gateway, `down` away from it."""

    reset_up: int | None = None      # after so many bytes up, both ends get RST
    reset_down: int | None = None    # after so many bytes down, both ends get RST
    dead_up: bool = False            # what comes up is read and thrown away: a half-open line; may be set at any time
    dead_down: bool = False
    delay: tuple | None = None       # seconds each piece waits at least and at most
    rate: int | None = None          # bytes a second, up
    slice: int = 0                   # pieces of at most so many bytes, up; 0: as they come
    mirror: bool = False             # everything up goes to a second connection too, whose answers nobody reads


class Shuffle:
    """Holds HTTP requests of different connections and lets them go in another order."""

    def __init__(self, rng, size, patience=0.05):
        self.rng, self.size, self.patience = rng, size, patience
        self.waiting = []
        self.released = 0

    async def pass_through(self):
        """Returns when it is this request's turn."""
        turn = asyncio.get_running_loop().create_future()
        self.waiting.append(turn)
        if len(self.waiting) >= self.size:
            self._release()
        else:
            try:
                await asyncio.wait_for(asyncio.shield(turn), self.patience)
            except TimeoutError:
                self._release()
        await turn

    def _release(self):
        group, self.waiting = self.waiting, []
        self.rng.shuffle(group)
        for turn in group:
            if not turn.done():
                self.released += 1
                turn.set_result(None)


class Proxy:
    """Byte by byte. `plan(number)` gives the faults of each connection, counted from 0."""

    def __init__(self, port, plan, sources=None):
        self.target, self.plan, self.sources = port, plan, sources
        self.count = 0
        self.cut = 0
        self.server = None
        self.tasks = set()

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._accepted, "127.0.0.1", 0, backlog=1024)
        return self

    async def __aexit__(self, *_):
        self.server.close()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    @property
    def port(self):
        return self.server.sockets[0].getsockname()[1]

    async def _accepted(self, reader, writer):
        task = asyncio.current_task()
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        number = self.count
        self.count += 1
        try:
            await self._serve(reader, writer, number)
        except CUT:
            pass
        except asyncio.CancelledError:
            pass
        finally:
            reset(writer)

    def source(self, number):
        return self.sources[number % len(self.sources)] if self.sources else None

    async def _serve(self, reader, writer, number):
        faults = self.plan(number)
        above = await dial(self.target, self.source(number))
        mirror = await dial(self.target, self.source(number)) if faults.mirror else None
        over = asyncio.Event()
        pumps = [
            asyncio.create_task(self._pump(reader, above[1], faults, True, over, mirror and mirror[1])),
            asyncio.create_task(self._pump(above[0], writer, faults, False, over))]
        if mirror:
            pumps.append(asyncio.create_task(self._drink(mirror[0])))
        pumps.append(asyncio.create_task(over.wait()))
        try:
            await asyncio.wait([*pumps[:2], pumps[-1]], return_when=asyncio.FIRST_COMPLETED)
            if not over.is_set():
                # One side has ended: the other gets a moment for what is on its way.
                await asyncio.wait(pumps[:2], timeout=2)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            if over.is_set():
                self.cut += 1
                reset(above[1])
            else:
                above[1].close()
            if mirror:
                mirror[1].close()

    async def _drink(self, reader):
        while await reader.read(65536):
            pass

    async def _pump(self, reader, writer, faults, is_up, over, mirror=None):
        limit = faults.reset_up if is_up else faults.reset_down
        passed = 0
        began = time.monotonic()
        try:
            while True:
                most = 65536 if limit is None else min(65536, max(1, limit - passed))
                if is_up and faults.slice:
                    most = min(most, faults.slice)
                data = await reader.read(most)
                if faults.dead_up if is_up else faults.dead_down:
                    if not data:
                        # An end that is not heard of on the other side.
                        await asyncio.Event().wait()
                    continue
                if not data:
                    if writer.can_write_eof():
                        writer.write_eof()
                    return
                if faults.delay:
                    await asyncio.sleep(faults.delay[0] + (faults.delay[1] - faults.delay[0]) * ((passed * 2654435761 % 1000) / 1000))
                if is_up and faults.rate:
                    await asyncio.sleep(max(0, began + (passed + len(data)) / faults.rate - time.monotonic()))
                passed += len(data)
                writer.write(data)
                if mirror is not None:
                    mirror.write(data)
                await writer.drain()
                if limit is not None and passed >= limit:
                    over.set()
                    return
        except CUT:
            return


@dataclass
class Doubts:
    """What happens to one HTTP request."""

    twice: bool = False           # it is sent a second time, on a connection of its own
    second_first: bool = False    # the copy is answered, the first answer is thrown away
    lose_answer: bool = False     # the gateway answers, the sender sees a reset
    delay: float = 0.0


class RequestProxy:
    """Request by request: each is sent on, perhaps later, perhaps twice, perhaps in another order, perhaps without its answer."""

    def __init__(self, port, plan, shuffle=None, sources=None):
        self.target, self.plan, self.shuffle, self.sources = port, plan, shuffle, sources
        self.count = 0
        self.twice = 0
        self.lost = 0
        self.tasks = set()

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._accepted, "127.0.0.1", 0, backlog=1024)
        return self

    async def __aexit__(self, *_):
        self.server.close()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    port = Proxy.port

    async def _accepted(self, reader, writer):
        task = asyncio.current_task()
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
                body = await reader.readexactly(length) if length else b""
                number = self.count
                self.count += 1
                if not await self._forward(head + body, writer, self.plan(number), number):
                    return
        except CUT:
            pass
        except asyncio.CancelledError:
            pass
        finally:
            reset(writer)

    async def _forward(self, request, writer, doubts, number):
        if self.shuffle:
            await self.shuffle.pass_through()
        if doubts.delay:
            await asyncio.sleep(doubts.delay)
        copies = [asyncio.create_task(self._ask(request, number))]
        if doubts.twice:
            self.twice += 1
            copies.append(asyncio.create_task(self._ask(request, number)))
        answers = await asyncio.gather(*copies, return_exceptions=True)
        # Both verdicts are true; the sender sees one of them.
        answer = answers[-1 if doubts.second_first else 0]
        if doubts.lose_answer or isinstance(answer, BaseException):
            self.lost += 1
            return False
        writer.write(answer)
        await writer.drain()
        return True

    async def _ask(self, request, number):
        reader, writer = await dial(self.target, self.sources[number % len(self.sources)] if self.sources else None)
        try:
            writer.write(request)
            await writer.drain()
            status, headers = await read_head(reader)
            body = await read_body(reader, headers)
            return (f"HTTP/1.1 {status} Passed\r\nContent-Type: {headers.get('content-type', 'application/json')}\r\n"
                    f"Content-Length: {len(body)}\r\n\r\n").encode() + body
        finally:
            writer.close()
