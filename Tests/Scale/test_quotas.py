"""What several gateways on one PostgreSQL share beside what is stored: quotas, keys, and what just happened."""

import asyncio
import json
import time

import requests

from client import ORIGIN, Line
from cluster import answer
from parley_process import message

LISTENERS = "FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"


def cut_listeners(cluster):
    """Ends the connections on which nodes hear each other; answers how many there were."""
    return int(cluster.postgres.ask(cluster.name, f"SELECT count(pg_terminate_backend(pid)) {LISTENERS}"))


async def until_all_listen(cluster):
    """Every gateway hears every other."""
    others = len(cluster.gateways) - 1
    for number in range(len(cluster.gateways)):
        await cluster.until_readiness(number, 200, f"bus: ok, {others} other nodes")


async def flood(gateway, key, seconds, source):
    """Sends as much as the gateway takes, and asks again soon where it refuses; answers how many events were stored."""
    line, stored, ends = Line(gateway.port, source), 0, time.monotonic() + seconds
    try:
        while time.monotonic() < ends:
            status, body, _ = await line.post([message("flood") for _ in range(5)], key)
            if status == 200 and all(result["verdict"] == "stored" for result in body["results"]):
                stored += 5
            else:
                assert status == 429 or all(result.get("reason") == "rate_limited" for result in body["results"]), (status, body)
                await asyncio.sleep(0.05)
    finally:
        line.close()
    return stored


def test_a_quota_holds_over_both_gateways(cluster):
    async def play():
        await cluster.start(gateways=2)
        rate, burst, seconds = 50, 100, 20
        made = answer(
            cluster.gateways[0], "project", "create", "narrow", "--origin", ORIGIN, "--no-quotas", "--quota", f"project={rate}/s:{burst}")
        await until_all_listen(cluster)

        async def known(gateway):
            line = Line(gateway.port)
            try:
                return (await line.get("/v1/threads", made["secretKey"]))[0] == 200
            finally:
                line.close()
        for gateway in cluster.gateways:
            while not await known(gateway):
                await asyncio.sleep(0.05)
        began = time.monotonic()
        stored = await asyncio.gather(*(
            flood(gateway, made["publicKey"], seconds, f"127.0.9.{1 + place}") for place, gateway in enumerate(cluster.gateways)
            for _ in range(2)))
        passed = time.monotonic() - began
        # The quota, and what the other can take before it is told: a second, and what the way takes on a busy machine.
        error = burst + rate * 4
        assert sum(stored) <= burst + rate * passed + error, (stored, passed)
        # Without sharing it would have been twice the quota; with, nobody pays twice.
        assert sum(stored) >= 0.6 * rate * seconds, (stored, passed)
        for gateway in cluster.gateways:
            metrics = cluster.metrics(gateway)
            assert metrics["parley_bus_connected"] == 1 and metrics["parley_bus_nodes"] == 1
            assert metrics["parley_bus_said_total"] > 0 and metrics["parley_bus_heard_total"] > 0
            assert all(value == 0 for name, value in metrics.items() if name.startswith("parley_bus_ignored_total"))
        line = Line(cluster.gateways[1].port)
        _, body = await line.get("/v1/outcomes", made["secretKey"])
        line.close()
        total = json.loads(body)["total"]
        assert total["stored"] == sum(stored)
        assert total["received"] == sum(total[name] for name in ("stored", "duplicate", "conflict", "quarantined", "dropped", "retry"))
    asyncio.run(play())


def test_what_a_stranger_says_between_the_nodes_is_ignored_and_counted(cluster):
    async def play():
        await cluster.start(gateways=2)
        await until_all_listen(cluster)
        for payload in ("", "not base64", "AQ==", "A" * 7999, "AQ" + "A" * 100):
            cluster.postgres.ask(cluster.name, f"SELECT pg_notify('parley_nodes', '{payload}')")

        def ignored(gateway):
            return sum(value for name, value in cluster.metrics(gateway).items() if name.startswith("parley_bus_ignored_total"))
        for gateway in cluster.gateways:
            await cluster.until("5 messages are ignored", lambda gateway=gateway: ignored(gateway) == 5)
        await cluster.all(cluster.writers(4, 10))
        await cluster.settle(exact=True)
    asyncio.run(play())


def test_a_revoked_key_stops_everywhere_even_when_nobody_hears_of_it(cluster):
    async def play():
        await cluster.start(gateways=2)
        await until_all_listen(cluster)

        def statuses(key):
            return [requests.post(
                gateway.url + "/v1/events", json={"events": [message()]}, headers={"Authorization": f"Bearer {key}"},
                timeout=10).status_code for gateway in cluster.gateways]

        async def stops(revoke):
            key = answer(cluster.gateways[0], "key", "create", "--project", "scale", "--lane", "secret")
            await cluster.until("the key is known", lambda: statuses(key["key"]) == [200, 200])
            revoke(key["id"])
            revoked = time.monotonic()
            while statuses(key["key"]) != [401, 401]:
                assert time.monotonic() - revoked < 5, f"a revoked key works for more than 5 s: {statuses(key['key'])}"
                await asyncio.sleep(0.05)

        def without_a_word(key):
            """As if a pooler swallowed the notification."""
            cluster.postgres.ask(cluster.name, f"UPDATE key SET revoked = 1 WHERE id = '{key}'; UPDATE control SET revision = revision + 1")

        def without_a_listener(key):
            assert cut_listeners(cluster) == 2
            cluster.gateways[0].command("key", "revoke", key)

        await stops(lambda key: cluster.gateways[0].command("key", "revoke", key))
        await stops(without_a_word)
        await stops(without_a_listener)
        for gateway in cluster.gateways:
            await cluster.until(
                "it listens again", lambda gateway=gateway: cluster.metrics(gateway)["parley_bus_reconnections_total"] >= 1)
        await until_all_listen(cluster)
    asyncio.run(play())


def test_live_news_of_one_gateway_come_from_the_other(cluster):
    asyncio.run(cluster.start(gateways=2))
    here, there = cluster.gateways
    secret = {"Authorization": f"Bearer {cluster.project.secret}"}
    with requests.get(there.url + "/v1/live", headers=secret, stream=True, timeout=20) as news:
        assert news.status_code == 200
        lines = news.iter_lines(decode_unicode=True)
        assert any(line == "event: ready" for line in lines)
        said = message("live", "Is anybody there?")
        posted = requests.post(here.url + "/v1/events", json={"events": [said]}, headers=secret, timeout=20)
        assert posted.json()["results"][0]["verdict"] == "stored"
        for line in lines:
            if line.startswith("data: ") and "changes" in line:
                changes = json.loads(line[6:])["changes"]
                assert {"thread": "live", "type": "message", "id": said["id"]} in changes
                break
    # And what it names can be read there.
    found = requests.get(f"{there.url}/v1/messages/{said['id']}", headers=secret, timeout=20)
    assert found.json()["message"]["content"] == said["content"]
