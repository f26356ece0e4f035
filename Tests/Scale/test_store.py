"""Several gateways on one PostgreSQL, nothing between them."""

import asyncio
import signal
import time

import requests

from client import Line
from cluster import answer
from parley_process import message, new_id


def test_what_one_gateway_stored_the_other_reads_at_once(cluster):
    async def play():
        await cluster.start(gateways=2)
        await cluster.all(cluster.writers(12, 40, batch=5))
        await cluster.settle(exact=True)
        assert cluster.book.acked == 480
    asyncio.run(play())


def test_two_contents_under_one_id_end_in_one_event_and_one_conflict(cluster):
    async def play():
        await cluster.start(gateways=2)
        lines = [Line(gateway.port) for gateway in cluster.gateways]
        conflicts = 0
        for number in range(30):
            one = new_id()
            said = [message("race", f"from {place} {number}", id=one) for place in (0, 1)]
            answers = await asyncio.gather(*(line.post([event], cluster.project.secret) for line, event in zip(lines, said)))
            verdicts = [body["results"][0]["verdict"] for _, body, _ in answers]
            assert sorted(verdicts) == ["conflict", "stored"], verdicts
            conflicts += 1
            first = said[verdicts.index("stored")]
            for gateway in cluster.gateways:
                _, found = await gateway.fetch(cluster.project, f"/v1/messages/{one}")
                assert found["message"]["content"] == first["content"]
        for line in lines:
            line.close()
        _, page = await cluster.gateways[1].fetch(cluster.project, "/v1/quarantine?reason=id_conflict&limit=100")
        assert len(page["items"]) == conflicts
    asyncio.run(play())


def test_a_key_that_is_revoked_stops_on_every_node_within_five_seconds(cluster):
    asyncio.run(cluster.start(gateways=2))
    key = answer(cluster.gateways[0], "key", "create", "--project", "scale", "--lane", "secret")
    text, name = key["key"], key["id"]

    def statuses():
        return [requests.post(
            gateway.url + "/v1/events", json={"events": [message()]}, headers={"Authorization": f"Bearer {text}"},
            timeout=10).status_code for gateway in cluster.gateways]

    deadline = time.monotonic() + 5
    while statuses() != [200, 200]:
        assert time.monotonic() < deadline, "a new key is not known everywhere after 5 s"
        time.sleep(0.1)
    cluster.gateways[0].command("key", "revoke", name)
    began = time.monotonic()
    while statuses() != [401, 401]:
        assert time.monotonic() - began < 5, f"a revoked key works for more than 5 s: {statuses()}"
        time.sleep(0.1)


def test_a_gateway_that_is_killed_under_load_costs_nothing(cluster):
    async def play():
        await cluster.start(gateways=2)
        writers = cluster.writers(40, 60, batch=4)
        work = asyncio.create_task(cluster.all(writers))
        for share in (0.2, 0.5):
            await cluster.until_acked(share, 2400)
            cluster.gateways[0].kill()
            await cluster.gateways[0].begin()
        await work
        assert cluster.book.acked == 2400
        await cluster.settle()
    asyncio.run(play())


def test_a_database_that_is_gone_for_a_while_is_waited_for(cluster):
    async def play():
        await cluster.start(gateways=2)
        writers = cluster.writers(20, 60, batch=4)
        work = asyncio.create_task(cluster.all(writers))
        await cluster.until_acked(0.2, 1200)
        # As if the power went: no goodbye, recovery at the start.
        cluster.postgres.stop(signal.SIGQUIT)
        await cluster.until_readiness(0, 503, "store: away")
        cluster.postgres.start()
        await work
        assert cluster.book.acked == 1200
        await cluster.settle()
        for gateway in cluster.gateways:
            await gateway.ready(20)
    asyncio.run(play())
