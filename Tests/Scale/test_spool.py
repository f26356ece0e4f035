"""Gateways that keep events on their own disks while the whole stream is away."""

import asyncio
import json

import requests


def waiting(cluster, number):
    return cluster.metrics(cluster.gateways[number])["parley_spool_messages"]


def test_the_stream_dies_and_a_gateway_dies_meanwhile_and_nothing_is_lost_or_doubled(cluster):
    async def play():
        await cluster.start(gateways=2, drains=1, brokers=1, options=("--stream-spool-megabytes", "64"))
        writers = cluster.load(12, 60, batch=3, pause=0.05)
        count = sum(len(writer.waiting) for writer in writers)
        work = asyncio.create_task(cluster.all(writers, within=150))
        await cluster.until_acked(0.2, count)
        cluster.nats.kill(0)
        # Senders are told `stored` all the same.
        await cluster.until_acked(0.6, count)
        for number in range(2):
            await cluster.until_readiness(number, 200, "messages wait here for the stream")
            assert "stream: away, not needed" in requests.get(cluster.gateways[number].url + "/readyz", timeout=10).text
        assert waiting(cluster, 0) > 0
        cluster.gateways[0].kill()
        # Begins without the stream, with what it had.
        await cluster.gateways[0].begin()
        assert waiting(cluster, 0) > 0
        told = cluster.gateways[0].answer("doctor", "--url", cluster.gateways[0].url)
        spool = next(check for check in told["checks"] if check["check"] == "behind the server: spool")
        assert spool["state"] == "fine" and "wait here" in spool["detail"], spool
        await cluster.until_acked(0.9, count)
        cluster.nats.start(0)
        await work
        assert cluster.book.acked == count
        await cluster.settle(within=60)
        for number in range(2):
            await cluster.until("an empty spool", lambda number=number: waiting(cluster, number) == 0)
    asyncio.run(play())


def test_a_spool_that_is_full_is_told_as_retry_and_costs_no_event(cluster):
    async def play():
        await cluster.start(gateways=1, drains=1, brokers=1, options=("--stream-spool-megabytes", "2"))
        await cluster.all(cluster.writers(2, 5))
        cluster.nats.kill(0)
        writers = cluster.writers(6, 400, batch=4)
        for writer in writers:
            for event in writer.waiting:
                if "content" in event:
                    event["content"] += " and much more" * 100
        work = asyncio.create_task(cluster.all(writers, within=150))
        # The store is there and the spool is full: no traffic is taken.
        await cluster.until_readiness(0, 503, "no more fit", within=60)
        done = await asyncio.to_thread(cluster.gateways[0].command, "doctor", "--url", cluster.gateways[0].url, "--json", check=False)
        told = {check["check"]: check["state"] for check in json.loads(done.stdout)["checks"] if "behind the server" in check["check"]}
        for part, state in [("store", "fine"), ("stream", "note"), ("spool", "broken")]:
            assert told[f"behind the server: {part}"] == state, told
        cluster.nats.start(0)
        await work
        assert cluster.book.acked == 10 + 2400
        await cluster.settle(within=60)
    asyncio.run(play())
