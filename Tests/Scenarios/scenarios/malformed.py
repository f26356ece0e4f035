"""A valid stream of bytes, broken at every place."""

import asyncio
import json

from book import Broken, content, hold, key
from client import CUT, ORIGIN, dial, frame, handshake, post_head, reset, text_frame
from stage import Neighbours, at_once, scenario

TEXT = 1


def frames_of(data):
    """The text messages in a client's bytes, as far as they can be read; broken rules are not looked at."""
    place = 0
    pieces = []
    while place + 2 <= len(data):
        opcode, is_last, length = data[place] & 15, data[place] & 0x80, data[place + 1] & 127
        is_masked = data[place + 1] & 0x80
        place += 2
        if length == 126:
            length, place = int.from_bytes(data[place:place + 2], "big"), place + 2
        elif length == 127:
            length, place = int.from_bytes(data[place:place + 8], "big"), place + 8
        mask = data[place:place + 4] if is_masked else b"\0\0\0\0"
        place += 4 if is_masked else 0
        if place + length > len(data) or len(mask) < 4:
            return
        pieces.append(bytes(byte ^ mask[index % 4] for index, byte in enumerate(data[place:place + length])))
        place += length
        if is_last:
            if opcode in (0, TEXT):
                yield b"".join(pieces)
            pieces = []


def may_be_kept(messages):
    """The events that a reader of these texts may find in them, fit or not."""
    for text in messages:
        try:
            value = json.loads(text)
        except ValueError:
            # A line of NDJSON may be whole where the body is not.
            lines = text.split(b"\n") if isinstance(text, bytes) else []
            if len(lines) > 1:
                yield from may_be_kept(lines)
            continue
        batch = value.get("events") if isinstance(value, dict) else value
        if isinstance(value, dict) and isinstance(value.get("id"), str) and isinstance(value.get("type"), str):
            yield value
        for event in batch if isinstance(batch, list) else []:
            if isinstance(event, dict) and isinstance(event.get("id"), str) and isinstance(event.get("type"), str):
                yield event


def broken_at(stream, place, bit):
    return stream[:place] + bytes([stream[place] ^ (1 << bit)]) + stream[place + 1:]


@scenario(
    "malformed",
    "A valid stream, socket and HTTP, is cut off at every byte and has a bit turned in every byte: the process lives, "
    "neighbours are served all along, and what is stored is what the bytes said",
    memory=96 << 20)
async def malformed(stage):
    world, project = stage.world, stage.project
    stage.counts_match = False  # a turned bit may make a type or a thread that no conversation shows
    statuses = {}
    plan, acked = [], []

    def socket_stream(event):
        head = handshake(world.port, project.public)
        return head, head + (
            text_frame({"type": "hello", "client": "scenarios/1"}) + text_frame({"type": "batch", "batch": 1, "events": [event]})
            + text_frame({"type": "heartbeat"}) + frame(9, b"are you there"))

    def post_stream(event):
        body = json.dumps({"events": [event]}, separators=(",", ":")).encode()
        head = post_head("/v1/events", len(body), project.public, ORIGIN)
        return head, head + body

    async def send(make, place, bit, number):
        """One broken stream. `bit` None cuts it off there. Whatever it is, the connection ends soon after its client's side."""
        head, whole = make(plan[number])
        data = whole[:place] if bit is None else broken_at(whole, place, bit)
        body = data[len(head):]
        possible = list(may_be_kept(frames_of(body)) if make is socket_stream else may_be_kept([body]))
        for one in possible:
            stage.book.sent.setdefault(key(one), set()).add(content(one))
        reader, writer = await dial(world.port, stage.address(number, 200))
        answer = b""
        where = f"byte {place}, bit {bit} of {make.__name__}"
        try:
            writer.write(data)
            if bit is None:
                # Cut off: by a FIN, or by a reset that may overtake it.
                await writer.drain()
                if place % 4 == 3:
                    return
            else:
                # Broken: it may be told so, or be waited for.
                try:
                    while not any(sign in answer for sign in (b'"ack"', b'"results"', b'"error"', b"HTTP/1.1 4")):
                        async with asyncio.timeout(0.2):
                            piece = await reader.read(65536)
                        if not piece:
                            break
                        answer += piece
                except TimeoutError:
                    pass
            writer.write_eof()
            async with asyncio.timeout(14):
                answer += await reader.read(-1)
        except TimeoutError as error:
            raise Broken("ends", f"{where}: open 14 s after its client ended; answered {answer[:200]}") from error
        except CUT:
            pass
        finally:
            reset(writer)
        status = answer[9:12].decode("latin-1") if answer.startswith(b"HTTP/1.1 ") else "none"
        statuses[status] = statuses.get(status, 0) + 1
        hold(not status.startswith("5"), "no fault of ours", f"{where}: {answer[:300]}")
        if b'"ack"' in answer and b'"results"' not in answer or b'"verdict":"stored"' in answer or b'"verdict":"duplicate"' in answer:
            hold(possible, "no ack for noise", f"{where} was acked: {answer[-300:]}")
            acked.extend(possible)

    def noise():
        """Of the same length each time."""
        return stage.maker.message("noise", words="said and broken", user={"id": "u-noise"})

    jobs = []
    for make in (socket_stream, post_stream):
        length = len(make(noise())[1])
        for place in range(length):
            for bit in [None, *stage.rng.sample(range(8), min(8, stage.many(1)))]:
                plan.append(noise())
                jobs.append((make, place, bit, len(plan) - 1))
    stage.rng.shuffle(jobs)

    queue = iter(jobs)

    async def worker():
        for job in queue:
            await send(*job)

    async with Neighbours(stage) as neighbours:
        await at_once(worker() for _ in range(32))
    hold(stage.book.acked > 100, "neighbours", f"the neighbours got {stage.book.acked} acks")
    for one in acked:
        # A turned bit may have made another type of it, or an id that no address has.
        if one["type"] == "message" and all(character.isalnum() or character == "-" for character in one["id"]):
            status, found = await world.fetch(project, f"/v1/messages/{one['id']}")
            hold(status == 200, "acked", f"{one} was acked and is {status} {found}")
    stage.counts = {"streams": len(jobs), "acked all the same": len(acked), "statuses": dict(sorted(statuses.items())),
                    "slowest neighbour ms": round(neighbours.slowest * 1000)}
