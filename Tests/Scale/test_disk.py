"""The disk of a server of the stream is full, under load."""

import asyncio

from rooms import Room
from servers import Nats


def roomy(count, megabytes):
    """Servers that may keep 4 GB each and have less: they believe there is room."""
    return Nats(count, rooms=[Room(megabytes=megabytes) for _ in range(count)])


def test_what_a_full_disk_does_not_take_is_never_acked_and_comes_once_there_is_room(cluster):
    async def play():
        await cluster.start(gateways=2, drains=1, nats=roomy(1, 24))
        writers = cluster.load(24, 100, batch=4, pause=0.05)
        total = sum(len(writer.waiting) for writer in writers)
        work = asyncio.create_task(cluster.all(writers, within=120))
        await cluster.until_acked(0.1, total)
        room = cluster.nats.rooms[0]
        room.fill()
        await cluster.until("a retry", lambda: cluster.book.verdicts["retry"], 60)
        # What there was room for is acked by now, and from here on there is none.
        room.fill("rest")
        assert cluster.book.acked < total
        assert set(cluster.book.reasons) <= {"store_unavailable", "disk_full"}, cluster.book.reasons
        for name in ("ballast", "rest"):
            room.file(name).unlink()
        # A server that met a full disk has switched JetStream off and has to be started anew, as an operator would.
        cluster.nats.kill(0)
        cluster.nats.start(0)
        await work
        assert cluster.book.acked == total
        await cluster.settle()
    asyncio.run(play())


def test_one_full_disk_of_three_stops_nobody(cluster):
    async def play():
        await cluster.start(gateways=2, drains=1, nats=roomy(3, 48))
        writers = cluster.load(24, 100, batch=4, pause=0.05)
        total = sum(len(writer.waiting) for writer in writers)
        work = asyncio.create_task(cluster.all(writers, within=120))
        await cluster.until_acked(0.1, total)
        full = cluster.nats.leader()
        cluster.nats.rooms[full].fill()
        await cluster.until("the server to be unwell", lambda: cluster.nats.look(full, "/healthz") is None, 60)
        acked = cluster.book.acked
        await cluster.until("acks of the others", lambda: cluster.book.acked >= min(total, acked + 500), 60)
        cluster.nats.rooms[full].file("ballast").unlink()
        cluster.nats.kill(full)
        cluster.nats.start(full)
        await work
        assert cluster.book.acked == total
        await cluster.settle(within=60)
    asyncio.run(play())
