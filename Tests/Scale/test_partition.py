"""The line to the stream is cut under load, and one server of the stream from all others."""

import asyncio
import signal

import requests

import rooms
from rooms import Gate, Room, Switch, Wire
from servers import Nats

SAYS = "network namespaces"
PROXY = "a gate on loopback (there are no network namespaces to be had here)"
STOP = "SIGSTOP (there are no network namespaces to be had here)"


class Line:
    """A stream of one server that the first gateway reaches over a line of its own."""

    def __init__(self):
        if rooms.have_networks():
            rooms.used.add(SAYS)
            room = Room(network=True)
            self.line, room.address = Wire(room), Wire(room).address
            self.nats = Nats(1, rooms=[room])
            port = self.nats.ports[0]
        else:
            rooms.used.add(PROXY)
            self.nats = Nats(1)
            self.line = Gate(self.nats.ports[0])
            port = self.line.port
        self.address = f"nats://{self.line.address}:{port}"


class Apart:
    """Three servers of which each can be cut off from all that is not itself."""

    def __init__(self):
        self.switch = None
        if rooms.have_networks():
            rooms.used.add(SAYS)
            self.switch = Switch(3)
        else:
            rooms.used.add(STOP)
        self.nats = Nats(3, rooms=self.switch and self.switch.rooms)

    def cut(self, number):
        if self.switch:
            self.switch.cut(number)
        else:
            self.nats.processes[number].send_signal(signal.SIGSTOP)

    def mend(self, number):
        if self.switch:
            self.switch.mend(number)
        else:
            self.nats.processes[number].send_signal(signal.SIGCONT)

    def discard(self):
        if self.switch:
            self.switch.discard()


def test_a_gateway_that_is_cut_off_from_the_stream_says_retry_and_nothing_is_lost_or_doubled(cluster):
    async def play():
        apart = Line()
        await cluster.start(gateways=2, drains=1, nats=apart.nats, own={0: {"PARLEY_STREAM": apart.address}})
        writers = cluster.load(24, 100, batch=4, pause=0.1)
        total = sum(len(writer.waiting) for writer in writers)
        work = asyncio.create_task(cluster.all(writers, within=120))
        await cluster.until_acked(0.1, total)
        apart.line.cut()
        await cluster.until_readiness(0, 503, "stream: ", within=30)
        assert requests.get(cluster.gateways[1].url + "/readyz", timeout=10).status_code == 200
        # Patience with the stream ends after eight seconds; those who wait are told to come again.
        await cluster.until("a retry", lambda: cluster.book.verdicts["retry"], 30)
        assert set(cluster.book.reasons) == {"store_unavailable"}
        acked = cluster.book.acked
        apart.line.mend()
        await cluster.until("acks after the cut", lambda: cluster.book.acked > min(acked, total - 1))
        await work
        assert cluster.book.acked == total
        await cluster.until_readiness(0, 200, "stream: ok")
        await cluster.settle()
    asyncio.run(play())


def test_a_server_of_the_stream_that_is_cut_off_while_it_leads_is_done_without(cluster):
    async def play():
        apart = Apart()
        try:
            await cluster.start(gateways=2, drains=2, nats=apart.nats)
            writers = cluster.load(24, 100, batch=4, pause=0.1)
            total = sum(len(writer.waiting) for writer in writers)
            work = asyncio.create_task(cluster.all(writers, within=120))
            await cluster.until_acked(0.1, total)
            leader = cluster.nats.leader()
            other = (leader + 1) % 3
            apart.cut(leader)
            await cluster.until("another leader", lambda: cluster.nats.leader(seen_by=other) not in (None, leader), 60)
            acked = cluster.book.acked
            await cluster.until("acks of the other two", lambda: cluster.book.acked >= min(total, acked + 200), 60)
            apart.mend(leader)
            await asyncio.to_thread(cluster.nats.wait, 60)
            await work
            assert cluster.book.acked == total
            await cluster.settle()
        finally:
            apart.discard()
    asyncio.run(play())
