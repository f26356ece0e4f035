"""kill -9 in the middle of load: whatever was acked is there, once."""

import asyncio
import json
import signal
import threading
import time

import requests
import websockets

from parley_process import Gateway, message, until

ROUNDS = 4
WRITERS = 4


def post_until_it_dies(project, writer, acked, began):
    session = requests.Session()
    thread = f"http-{writer}"
    while True:
        events = [message(thread=thread) for _ in range(10)]
        try:
            answer = session.post(
                project.gateway.url + "/v1/events", json={"events": events}, headers={"Authorization": f"Bearer {project.secret}"}, timeout=10)
            results = answer.json()["results"]
        except (requests.RequestException, ValueError, KeyError):
            return
        acked.extend((thread, r["id"]) for r in results if r["verdict"] == "stored")
        began.set()


async def socket_until_it_dies(project, writer, acked):
    thread = f"socket-{writer}"
    url = project.gateway.url.replace("http", "ws") + f"/v1/socket?key={project.public}"
    try:
        async with websockets.connect(url, subprotocols=["parley.v1"], origin=project.ORIGIN) as socket:
            await socket.recv()
            await socket.send(json.dumps({"type": "hello", "client": "test/1"}))
            for number in range(1, 100_000):
                ids = [message(thread=thread) for _ in range(10)]
                await socket.send(json.dumps({"type": "batch", "batch": number, "events": ids}))
                ack = json.loads(await socket.recv())
                refused = {r.get("id") for r in ack.get("results", [])}
                acked.extend((thread, e["id"]) for e in ids if e["id"] not in refused)
    except (OSError, websockets.WebSocketException):
        return


def test_every_acked_event_survives_kill_9_once():
    gateway = Gateway().start()
    project = gateway.project("killed")
    gateway.change("project", "set", "killed", "--no-quotas")
    acked = []
    for round_number in range(ROUNDS):
        began = threading.Event()
        writers = [threading.Thread(target=post_until_it_dies, args=(project, n, acked, began)) for n in range(WRITERS)]
        writers += [
            threading.Thread(target=lambda n=n: asyncio.run(socket_until_it_dies(project, n, acked))) for n in range(WRITERS)]
        for writer in writers:
            writer.start()
        assert began.wait(10)
        time.sleep(0.4 + 0.3 * round_number)
        until("a load", lambda: len(acked) > 150 * (round_number + 1), 60)
        gateway.stop(signal.SIGKILL)
        for writer in writers:
            writer.join(30)
            assert not writer.is_alive()
        gateway.start()

    assert len(set(acked)) == len(acked)
    by_thread = {}
    for thread, event in acked:
        by_thread.setdefault(thread, []).append(event)
    for thread, events in by_thread.items():
        stored = [item["id"] for item in project.conversation(thread)["items"]]
        assert len(stored) == len(set(stored)), "an event is there twice"
        missing = set(events) - set(stored)
        assert not missing, f"{len(missing)} of {len(events)} acked events of {thread} are gone"
    project.assert_law()
    gateway.stop()


def test_a_drain_says_goodbye_and_loses_nothing():
    gateway = Gateway().start()
    project = gateway.project("drained")

    async def drain():
        url = gateway.url.replace("http", "ws") + f"/v1/socket?key={project.public}"
        async with websockets.connect(url, subprotocols=["parley.v1"], origin=project.ORIGIN) as socket:
            await socket.recv()
            await socket.send(json.dumps({"type": "hello", "client": "test/1"}))
            await socket.send(json.dumps({"type": "batch", "batch": 1, "events": [message(thread="t-drain") for _ in range(50)]}))
            gateway.process.send_signal(signal.SIGTERM)
            frames = []
            try:
                while True:
                    frames.append(json.loads(await asyncio.wait_for(socket.recv(), 30)))
            except websockets.ConnectionClosed as closed:
                return frames, closed.rcvd.code

    frames, code = asyncio.run(drain())
    assert code == 4200 and "goodbye" in [frame["type"] for frame in frames] and "ack" in [frame["type"] for frame in frames]
    gateway.process.wait(30)
    gateway.start()
    assert len(project.conversation("t-drain")["items"]) == 50
    project.assert_law()
    gateway.stop()
