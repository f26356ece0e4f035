"""The clocks of gateways are wrong: one is ten minutes fast, one ten minutes slow."""

import asyncio
import email.utils
import shutil
import subprocess
import time
from pathlib import Path

import jwt
import pytest
import requests

from client import Line
from cluster import answer
from parley_process import Project, message

MINUTES = (10, -10)


@pytest.fixture(scope="module")
def wrong(tmp_path_factory):
    """What makes a process's clock wrong by so many minutes."""
    compiler = next((name for name in ("cc", "gcc", "clang") if shutil.which(name)), None)
    assert compiler, "clocks need a C compiler: install gcc"
    made = tmp_path_factory.mktemp("clock") / "clock.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread", str(Path(__file__).parent / "clock.c"), "-o",
         str(made)], check=True, timeout=60)
    return {number: {"LD_PRELOAD": str(made), "CLOCK_OFFSET": str(60 * minutes)} for number, minutes in enumerate(MINUTES)}


def reads(gateway):
    """What a gateway takes the time to be."""
    answered = requests.get(gateway.url + "/healthz", timeout=10)
    return email.utils.parsedate_to_datetime(answered.headers["Date"]).timestamp()


def seconds(text):
    return time.mktime(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone


@pytest.mark.parametrize("way", ["straight to the store", "through a stream"])
def test_gateways_whose_clocks_are_wrong_lose_and_double_nothing_and_keep_each_threads_order(cluster, wrong, way):
    behind_stream = way == "through a stream"

    async def play():
        await cluster.start(
            gateways=2, drains=1 if behind_stream else 0, brokers=1 if behind_stream else 0,
            own=wrong)
        for gateway, minutes in zip(cluster.gateways, MINUTES):
            assert abs(reads(gateway) - time.time() - 60 * minutes) < 30, "the clock is not wrong"
        writers = cluster.load(12, 40, batch=4) + cluster.load(12, 40, batch=4, stamps=True)
        total = sum(len(writer.waiting) for writer in writers)
        work = asyncio.create_task(cluster.all(writers))

        # Talks, each over one gateway, as balancers have it that keep a page where it is; and one that is moved in the middle.
        said = {}
        lines = [Line(gateway.port) for gateway in cluster.gateways]
        for number in range(20):
            for place, line in enumerate(lines):
                for thread, is_here in ((f"talk-{place}", True), ("moved", (number < 10) == (place == 0))):
                    if not is_here:
                        continue
                    now = int(time.time() * 1000)
                    event = message(thread, f"{number}", at=now)
                    cluster.book.wrote(event)
                    status, body, _ = await line.post([event], cluster.project.public, sent_at=now)
                    assert status == 200, body
                    cluster.book.heard(event, body["results"][0]["verdict"], body["results"][0])
                    said.setdefault(thread, []).append(event)
        # The very same again, by the other gateway: no wrong clock makes it new, no window makes it pass.
        for place, line in enumerate(lines):
            again = said[f"talk-{1 - place}"]
            _, body, _ = await line.post(again, cluster.project.public)
            assert {result["verdict"] for result in body["results"]} == {"stored" if behind_stream else "duplicate"}
            if not behind_stream:
                for event, result in zip(again, body["results"]):
                    cluster.book.heard(event, result["verdict"], result)
        for line in lines:
            line.close()
        await work
        assert cluster.book.acked == total + 60
        await cluster.settle()

        for gateway in cluster.gateways:
            for place, minutes in enumerate(MINUTES):
                _, page = await gateway.fetch(cluster.project, f"/v1/threads/talk-{place}?limit=100")
                assert [item["id"] for item in page["items"]] == [event["id"] for event in said[f"talk-{place}"]]
                # P-TIME-3: a sender's time is moved to the gateway's clock.
                for item in page["items"]:
                    assert abs(seconds(item["at"]) - time.time() - 60 * minutes) < 60, item
            # Of what came by both, each part is in its order; between the parts gateways' clocks decide.
            _, page = await gateway.fetch(cluster.project, "/v1/threads/moved?limit=100")
            ids = [event["id"] for event in said["moved"]]
            assert [item["id"] for item in page["items"]] == ids[10:] + ids[:10]
        lists = [(await gateway.fetch(cluster.project, "/v1/threads?limit=100"))[1]["threads"] for gateway in cluster.gateways]
        assert [thread["id"] for thread in lists[0]] == [thread["id"] for thread in lists[1]]
        last = [thread["lastAt"] for thread in lists[0]]
        assert last == sorted(last, reverse=True) and len(last) == 15
    asyncio.run(play())


def test_keys_and_tokens_hold_on_gateways_whose_clocks_are_wrong(cluster, wrong):
    asyncio.run(cluster.start(gateways=2, own=wrong))
    key = answer(cluster.gateways[0], "key", "create", "--project", "scale", "--lane", "secret")

    def say(gateway, key, **headers):
        return requests.post(
            gateway.url + "/v1/events", json={"events": [message()]}, timeout=10,
            headers={"Authorization": f"Bearer {key}", **headers})

    def until(wished):
        deadline = time.monotonic() + 5
        while (found := [say(gateway, key["key"]).status_code for gateway in cluster.gateways]) != wished:
            assert time.monotonic() < deadline, f"{found} after 5 s"
            time.sleep(0.1)

    until([200, 200])
    cluster.gateways[1].command("key", "revoke", key["id"])
    until([401, 401])

    # A token is held against the clock of the gateway it comes to (README.md of protocol/: clocks may differ by ten seconds).
    name = cluster.project.name
    signing = answer(cluster.gateways[0], "identity", "create", name)
    cluster.gateways[0].command("project", "set", name, "--check", "identity=enforce")
    about = answer(cluster.gateways[0], "project", "show", name)

    def verdicts(minutes):
        token = jwt.encode({"sub": "u1", "aud": about["id"], "exp": int(time.time()) + 60 * minutes}, signing["secret"], algorithm="HS256")
        headers = {"Parley-User-Token": token, "Origin": Project.ORIGIN}
        found = [say(gateway, cluster.project.public, **headers).json()["results"][0] for gateway in cluster.gateways]
        return [result.get("reason", result["verdict"]) for result in found]

    deadline = time.monotonic() + 5
    while (found := verdicts(5)) != ["expired_token", "stored"]:
        assert time.monotonic() < deadline, f"{found} after 5 s"
        time.sleep(0.1)
    # Longer than any clock is wrong, and short of the hour that a token may have.
    assert verdicts(30) == ["stored", "stored"]
