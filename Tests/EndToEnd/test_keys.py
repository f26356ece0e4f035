"""Who may write, from where, and how much."""

import asyncio
import json
import time

import pytest
import requests
import websockets

from parley_process import message


def refused(answer, status, code):
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["code"] == code and error["doc"] == f"/docs/reasons#{code}" and error["message"]
    return answer


def test_a_typo_is_told_from_an_unknown_key(project):
    refused(project.post([message()], key=project.secret[:-1] + ("0" if project.secret[-1] != "0" else "1")), 401, "malformed_key")
    other = project.gateway.answer("key", "create", "--project", project.name, "--lane", "secret")
    assert project.gateway.command("key", "revoke", other["id"], "--json").returncode == 0
    refused(requests.post(project.gateway.url + "/v1/events", json={"events": []}), 401, "missing_key")


def test_a_revoked_key_stops_within_five_seconds_on_open_sockets_too(project):
    keys = project.gateway.answer("key", "list", "--project", project.name)["keys"]
    public = next(key for key in keys if key["lane"] == "public")

    async def watch():
        url = project.gateway.url.replace("http", "ws") + f"/v1/socket?key={project.public}"
        async with websockets.connect(url, subprotocols=["parley.v1"], origin=project.ORIGIN) as socket:
            assert json.loads(await socket.recv())["type"] == "welcome"
            await socket.send(json.dumps({"type": "hello", "client": "test/1"}))
            project.gateway.command("key", "revoke", public["id"])
            began = time.monotonic()
            with pytest.raises(websockets.ConnectionClosed) as closed:
                while True:
                    frame = json.loads(await asyncio.wait_for(socket.recv(), 6))
                    assert frame["type"] == "error" and frame["name"] == "revoked_key"
            assert closed.value.rcvd.code == 4002 and time.monotonic() - began < 5

    asyncio.run(watch())
    refused(project.post([message()], key=project.public), 401, "revoked_key")


@pytest.mark.parametrize("origin,code", [
    ("https://evil.example", "origin_forbidden"), ("http://127.0.0.1.evil.example", "origin_forbidden"),
    ("https://127.0.0.1:9999", "origin_forbidden"), ("null", "origin_null"), (None, "origin_missing"),
])
def test_pages_that_are_not_on_the_list_are_refused_and_can_read_why(project, origin, code):
    headers = {"Origin": origin} if origin else {}
    answer = requests.post(f"{project.gateway.url}/v1/events?key={project.public}", json={"events": [message()]}, headers=headers)
    refused(answer, 403, code)
    if origin and origin != "null":
        assert answer.headers["Access-Control-Allow-Origin"] == origin


def test_a_secret_key_in_a_browser_is_refused(project):
    refused(project.post([message()], headers={"Origin": project.ORIGIN}), 403, "secret_key_in_browser")


def test_a_workspace_key_names_its_project(project):
    key = project.gateway.answer("key", "create", "--scope", "workspace", "--lane", "secret")["key"]
    project.gateway.wait_until_known(key)
    refused(project.post([message()], key=key), 400, "project_required")
    refused(project.post([message()], key=key, params={"project": "nobody"}), 404, "project_unknown")
    answer = project.post([message()], key=key, params={"project": project.name})
    assert answer.json()["results"][0]["verdict"] == "stored"
    assert len(project.conversation("t-1")["items"]) == 1


def test_quotas_are_announced_then_answered_with_429_and_nothing_is_lost(project):
    project.gateway.change("project", "set", project.name, "--key-quota", "1/s:5")
    answer = project.post([message() for _ in range(5)], key=project.public)
    assert answer.status_code == 200 and answer.headers["RateLimit-Limit"] == "5" and answer.headers["RateLimit-Remaining"] == "0"
    again = project.post([message() for _ in range(5)], key=project.public)
    assert again.status_code == 429 and int(again.headers["Retry-After"]) >= 1
    assert "Retry-After" in again.headers["Access-Control-Expose-Headers"]
    assert {r["reason"] for r in again.json()["results"]} == {"rate_limited"}


def test_a_conversation_beyond_its_quota_costs_its_neighbours_nothing(project):
    project.gateway.change("project", "set", project.name, "--no-quotas", "--quota", "thread=1/s:3", "--quota", "thread.bytes=1M/s")
    items = [message(thread="t-1") for _ in range(3)] + [message(thread="t-2")]
    assert [r["verdict"] for r in project.post(items, key=project.public).json()["results"]] == ["stored"] * 4
    answer = project.post([message(thread="t-1"), message(thread="t-2")], key=project.public)
    refused, stored = answer.json()["results"]
    assert stored["verdict"] == "stored" and (refused["verdict"], refused["reason"]) == ("retry", "rate_limited")
    assert "This conversation has used up its quota of events" in str(refused)
    assert project.post([message(thread="t-1")]).json()["results"][0]["verdict"] == "stored", "a backend has no quota"
    shown = project.gateway.answer("project", "show", project.name)
    assert shown["quotas"]["thread"] == {"perSecond": 1, "burst": 3} and shown["quotas"]["thread.bytes"]["burst"] == 10_000_000
    assert shown["keyQuota"] is None and shown["addressQuota"] is None and shown["quotas"]["address.bytes"] is None


def test_an_address_has_a_quota_of_bytes(project):
    project.gateway.change("project", "set", project.name, "--no-quotas", "--quota", "address.bytes=1k/s:20k")
    assert project.post([message(text="x" * 15_000)], key=project.public).status_code == 200
    answer = project.post([message(text="x" * 15_000)], key=project.public)
    assert answer.status_code == 429 and int(answer.headers["Retry-After"]) >= 1
    assert "This address has used up its quota of bytes" in answer.text
    assert project.post([message()], key=project.public).status_code == 200, "what is small still fits"


def test_one_sockets_quota_is_not_anothers(project):
    project.gateway.change("project", "set", project.name, "--no-quotas", "--quota", "session=1/s:3")

    async def acks():
        url = f"{project.gateway.url.replace('http', 'ws')}/v1/socket?key={project.public}"
        heard = []
        for _ in range(2):
            async with websockets.connect(url, subprotocols=["parley.v1"], origin=project.ORIGIN) as socket:
                assert json.loads(await socket.recv())["type"] == "welcome"
                await socket.send(json.dumps({"type": "hello", "client": "test/1"}))
                for batch in (1, 2):
                    await socket.send(json.dumps({"type": "batch", "batch": batch, "events": [message(), message(), message()]}))
                    heard.append(json.loads(await asyncio.wait_for(socket.recv(), 10)))
        return heard

    heard = asyncio.run(acks())
    assert [frame["type"] for frame in heard] == ["ack"] * 4
    assert [("rate_limited" in json.dumps(frame)) for frame in heard] == [False, True, False, True], heard


def test_a_quota_that_makes_no_sense_is_refused(project):
    for wrong in ("thread", "thread=", "thread=5", "threads=5/s", "thread.events=5/s", "thread=0/s", "thread=5/s:0", "thread=5x/s"):
        done = project.gateway.command("project", "set", project.name, "--quota", wrong, check=False)
        assert done.returncode != 0 and "--quota" in done.stderr, wrong


def test_a_preflight_is_answered_once_a_day(project):
    answer = requests.options(
        project.gateway.url + "/v1/events",
        headers={"Origin": project.ORIGIN, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,authorization"})
    assert answer.status_code in (200, 204) and answer.headers["Access-Control-Allow-Origin"] == project.ORIGIN
    assert answer.headers["Access-Control-Max-Age"] == "86400" and answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert "authorization" in answer.headers["Access-Control-Allow-Headers"].lower()
