"""All gateways are started anew, one after the other, under a thousand open sockets."""

import asyncio
import resource
import signal
import time

from client import SocketWriter, generator, verdicts_of_ack

COUNT = 1000


class Visitor(SocketWriter):
    """A page that stays: it says something now and then, and goes to the other gateway when it is told goodbye."""

    every = 4.0  # seconds between two events, on the average

    def __init__(self, ports, *rest, **options):
        super().__init__(ports[0], *rest, **options)
        self.ports = ports
        self.came, self.went, self.goodbyes = [], [], []
        self.is_here = False

    async def _once(self):
        try:
            await super()._once()
        finally:
            if self.is_here:
                self.went.append(time.monotonic())
            self.is_here = False
            # A balancer has its other gateways for those who come back.
            self.port = self.ports[(self.ports.index(self.port) + 1) % len(self.ports)]

    async def _speak(self, line):
        self.came.append(time.monotonic())
        self.is_here = True
        hearing = None
        number, is_leaving = 0, False
        due = time.monotonic() + self.rng.uniform(0, self.every)
        try:
            while self.waiting or self.out:
                pause = due - time.monotonic()
                if self.waiting and not self.out and not is_leaving and pause <= 0:
                    number += 1
                    self.out[number] = (self._take(1), time.monotonic())
                    self.send_batch(line, number, self.out[number][0])
                    due = time.monotonic() + self.rng.uniform(0.5, 1.5) * self.every
                    pause = due - time.monotonic()
                hearing = hearing or asyncio.create_task(line.receive())
                await asyncio.wait([hearing], timeout=self.silence if self.out or is_leaving else min(max(pause, 0), 0.5))
                if not hearing.done():
                    if self.out and time.monotonic() - next(iter(self.out.values()))[1] > self.silence:
                        raise TimeoutError
                    continue
                said, hearing = hearing.result(), None
                if said["type"] == "ack":
                    events, _ = self.out.pop(said["batch"])
                    self.backoff.succeeded()
                    for event, verdict, result in verdicts_of_ack(events, said):
                        self._heard(event, verdict, result)
                elif said["type"] == "goodbye":
                    is_leaving = True
                    self.goodbyes.append(time.monotonic())
        finally:
            if hearing:
                hearing.cancel()
                # Whatever it was about to say, nobody hears it.
                await asyncio.gather(hearing, return_exceptions=True)

    def finish(self):
        """No more events; it ends when what is out is acked."""
        self.waiting.clear()


def spread(times):
    """Seconds in which the middle four fifths of them are."""
    times = sorted(times)
    return times[len(times) * 9 // 10] - times[len(times) // 10]


def test_all_gateways_start_anew_under_a_thousand_sockets_and_their_clients_come_back_in_waves(cluster):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY else max(soft, 8192), hard))

    async def play():
        await cluster.start(gateways=2)
        ports = [gateway.port for gateway in cluster.gateways]
        visitors = [
            Visitor(
                ports if number % 2 else ports[::-1], cluster.project.public, cluster.book, cluster.maker.some(f"t-{number}", 60),
                generator(cluster.seed, f"visitor {number}"), source=f"127.0.9.{1 + number % 200}")
            for number in range(COUNT)]
        work = asyncio.create_task(cluster.all(visitors, within=150))

        def here():
            return sum(visitor.is_here for visitor in visitors)

        await cluster.until("all sockets", lambda: here() == COUNT or work.done(), 60)
        acked = cluster.book.acked
        await cluster.until("the first acks", lambda: cluster.book.acked >= acked + 100, 60)
        for place, gateway in enumerate(cluster.gateways):
            began = time.monotonic()
            leaving = [visitor for visitor in visitors if visitor.port == gateway.port]
            gateway.process.send_signal(signal.SIGTERM)
            assert await gateway.ended(40) == 0
            await cluster.until("all to be back", lambda: here() == COUNT or work.done(), 30)
            await gateway.begin()
            # Everybody heard goodbye, was closed as told, and came back; nobody waited for long, and they did not come all at once.
            assert len(leaving) == (COUNT // 2 if place == 0 else COUNT)
            assert all(visitor.goodbyes and visitor.goodbyes[-1] > began for visitor in leaving)
            away = [back - gone for visitor in leaving for gone, back in zip(visitor.went, visitor.came[1:]) if gone > began]
            assert len(away) == len(leaving)
            assert max(away) < 10, max(away)
            # Goodbyes go out over a second for five hundred, closes follow over five more (P-DRAIN-2).
            goodbyes, returns = spread([v.goodbyes[-1] for v in leaving]), spread([v.came[-1] for v in leaving])
            assert goodbyes > 0.4 and returns > 1.5, (goodbyes, returns)
        acked = cluster.book.acked
        await cluster.until("acks after it", lambda: cluster.book.acked >= acked + 100, 60)
        for visitor in visitors:
            visitor.finish()
        await work
        closes = {code for visitor in visitors for code in visitor.closes}
        assert closes == {4200} and not any(visitor.cuts for visitor in visitors), (closes, sum(v.cuts for v in visitors))
        assert cluster.book.verdicts["retry"] == 0
        await cluster.settle()
    asyncio.run(play())
