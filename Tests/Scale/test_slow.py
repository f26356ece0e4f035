"""A database that answers nothing for a while, and hangs up on nobody."""

import asyncio

import pytest

from client import SocketWriter, generator


class Greedy(SocketWriter):
    """Sends whatever its credits allow, however many acks are due."""

    silence = 60.0
    granted = None

    async def _speak(self, line):
        self.granted = line.welcome["credits"]
        await super()._speak(line)

    @property
    def owed(self):
        """Events without a verdict."""
        return sum(len(events) for events, _ in self.out.values())


@pytest.fixture
def slow(cluster):
    yield cluster
    # Also where the test ended in the middle.
    cluster.postgres.go_on()


def test_gateways_with_a_stream_go_on_acking_and_the_lag_rises_and_falls(slow):
    cluster = slow

    async def play():
        await cluster.start(gateways=2, drains=2, brokers=1)
        writers = cluster.load(20, 60, batch=4, pause=0.02)
        total = sum(len(writer.waiting) for writer in writers)
        work = asyncio.create_task(cluster.all(writers))
        await cluster.until_acked(0.2, total)
        cluster.postgres.hold_still()
        await work
        assert cluster.book.acked == total

        async def behind(condition):
            # Looked at anew once a second.
            for _ in range(400):
                lag = (await asyncio.to_thread(cluster.metrics, cluster.gateways[0])).get("parley_stream_behind_messages")
                if lag is not None and condition(lag):
                    return
                await asyncio.sleep(0.1)
            raise AssertionError(f"the lag is {lag}")

        await behind(lambda lag: lag > 0)
        cluster.postgres.go_on()
        await behind(lambda lag: lag == 0)
        await cluster.settle(within=60)
    asyncio.run(play())


def test_without_a_stream_sockets_run_out_of_credits_and_nobody_is_told_to_come_again(slow):
    cluster = slow

    async def play():
        await cluster.start(gateways=2)
        writers = [
            Greedy(
                cluster.gateways[number % 2].port, cluster.project.public, cluster.book, cluster.maker.some(f"t-{number}", 1500),
                generator(cluster.seed, f"writer {number}"), source=f"127.0.9.{1 + number}", batch=50, in_flight=1 << 20)
            for number in range(8)]
        total = sum(len(writer.waiting) for writer in writers)
        work = asyncio.create_task(cluster.all(writers))
        await cluster.until_acked(0.1, total)
        cluster.postgres.hold_still()
        # All that a socket may have out is out; it sends nothing more, and stays.
        await cluster.until("empty purses", lambda: all(writer.owed >= writer.granted for writer in writers if writer.waiting), 30)
        acked = cluster.book.acked
        assert acked < total
        waiting = [cluster.metrics(gateway)["parley_queue_events"] for gateway in cluster.gateways]
        assert sum(waiting) > 0, waiting
        cluster.postgres.go_on()
        await work
        for writer in writers:
            assert (writer.cuts, writer.closes, writer.retries) == (0, {}, 0)
        assert cluster.book.verdicts == {"stored": total}
        await cluster.settle(exact=True)
    asyncio.run(play())
