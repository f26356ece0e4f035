"""Gateways, a stream of three servers, drains, PostgreSQL: each of them is killed under load."""

import asyncio
import signal

import requests

from client import Line
from parley_process import message, new_id


def test_what_gateways_publish_drains_bring_to_the_store(cluster):
    async def play():
        await cluster.start(gateways=2, drains=2, brokers=1)
        await cluster.all(cluster.writers(12, 40, batch=5))
        assert cluster.book.acked == 480
        await cluster.settle()
        shards = [cluster.metrics(drain)["parley_drain_shards"] for drain in cluster.drains]
        assert sum(shards) == 16, shards
        text = requests.get(cluster.gateways[0].url + "/readyz", timeout=10).text
        assert "stream: ok" in text, text
    asyncio.run(play())


def test_two_contents_under_one_id_end_in_one_event_and_one_conflict_behind_a_stream_too(cluster):
    async def play():
        await cluster.start(gateways=2, drains=1, brokers=1)
        lines = [Line(gateway.port) for gateway in cluster.gateways]
        ids = [new_id() for _ in range(20)]
        for one in ids:
            said = [message("race", f"from {place} {one}", id=one) for place in (0, 1)]
            answers = await asyncio.gather(*(line.post([event], cluster.project.secret) for line, event in zip(lines, said)))
            # P-ACK-8: the stream has both; the store says who was first.
            assert [body["results"][0]["verdict"] for _, body, _ in answers] == ["stored", "stored"]
        for line in lines:
            line.close()

        async def kept():
            _, page = await cluster.gateways[1].fetch(cluster.project, "/v1/quarantine?reason=id_conflict&limit=100")
            return page["items"]

        for _ in range(100):
            items = await kept()
            if len(items) == len(ids):
                break
            await asyncio.sleep(0.2)
        assert sorted(item["payload"]["id"] for item in items) == sorted(ids)
        for one in ids:
            status, found = await cluster.gateways[0].fetch(cluster.project, f"/v1/messages/{one}")
            assert status == 200 and found["message"]["content"].startswith("from ")
        _, ledger = await cluster.gateways[0].fetch(cluster.project, "/v1/outcomes")
        total = ledger["total"]
        assert (total["stored"], total["conflict"]) == (len(ids), len(ids)), total
    asyncio.run(play())


def test_gateway_drain_leader_and_database_die_under_load_and_nothing_is_lost_or_doubled(cluster):
    async def play():
        await cluster.start(gateways=2, drains=2, brokers=3)
        count = 40 * 100
        work = asyncio.create_task(cluster.all(cluster.writers(40, 100, batch=4, pause=0.02), within=150))
        await cluster.until_acked(0.1, count)
        cluster.gateways[0].kill()
        await cluster.gateways[0].begin()
        await cluster.until_acked(0.3, count)
        cluster.drains[0].kill()
        await cluster.until_acked(0.5, count)
        leader = cluster.nats.leader()
        cluster.nats.kill(leader)
        await cluster.until_acked(0.7, count)
        cluster.postgres.stop(signal.SIGQUIT)
        await cluster.until_readiness(1, 200, "store: away, not needed")
        # Gateways go on acking into the stream while the database is away.
        acked = cluster.book.acked
        await cluster.until("acks without a database", lambda: cluster.book.acked >= min(count, acked + 100))
        cluster.postgres.start()
        cluster.nats.start(leader)
        await cluster.drains[0].begin()
        await work
        assert cluster.book.acked == count
        await cluster.settle(within=60)
    asyncio.run(play())
