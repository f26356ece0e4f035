"""Receipts: a page proves to its backend, and the backend to the gateway, that a message is stored."""

import asyncio
import json
import sys
from pathlib import Path

import requests
import websockets

from parley_process import message, new_id


def post(project, events, key=None, **body):
    return project.post({"events": events, "receipts": True, **body}, key=key or project.public).json()["results"]


def run(parent, **fields):
    return {"type": "run", "id": new_id(), "kind": "llm", "parent": parent, "thread": "t-1", **fields}


def test_receipts_come_only_where_they_are_asked_for(project):
    said = message()
    assert "receipt" not in project.post([said], key=project.public).json()["results"][0]
    again = post(project, [said])[0]
    assert again["verdict"] == "duplicate" and again["receipt"].startswith("r1.")


def test_an_ack_names_what_was_stored_where_receipts_were_asked_for(project):
    async def go():
        url = project.gateway.url.replace("http", "ws") + f"/v1/socket?key={project.public}"
        async with websockets.connect(url, subprotocols=["parley.v1"], origin=project.ORIGIN) as socket:
            await socket.recv()
            await socket.send(json.dumps({"type": "hello", "client": "test/1", "receipts": True}))
            good, bad = message(), message(text=None)
            await socket.send(json.dumps({"type": "batch", "batch": 1, "events": [good, bad]}))
            return good, json.loads(await socket.recv())

    good, ack = asyncio.run(go())
    stored, refused = ack["results"]
    assert (stored["id"], stored["verdict"], refused["verdict"]) == (good["id"], "stored", "quarantined")
    assert "receipt" not in refused
    proven = run(good["id"], receipt=stored["receipt"])
    assert project.send(proven) == ["stored"]


def test_a_run_with_its_messages_receipt_has_a_proven_edge_and_without_it_has_not(project):
    said = message()
    receipt = post(project, [said])[0]["receipt"]
    proven, plain = run(said["id"], receipt=receipt), run(said["id"])
    assert project.send(proven, plain) == ["stored", "stored"]
    runs = {entry["id"]: entry for entry in project.conversation("t-1")["items"][0]["runs"]}
    assert [runs[id]["parentProven"] for id in (proven["id"], plain["id"])] == [True, False]
    # A later part that hangs it elsewhere is not proven by the first.
    other = message()
    project.send(other, {"type": "run", "id": proven["id"], "parent": other["id"], "output": "x"})
    assert project.read(f"/v1/runs/{proven['id']}")["run"]["parentProven"] is False


def test_anothers_receipt_or_a_forged_one_proves_nothing(gateway, project):
    said, other = message(), message()
    mine, others = [result["receipt"] for result in post(project, [said, other])]
    elsewhere = gateway.project(project.name + "-other")
    foreign = post(elsewhere, [{**said}])[0]["receipt"]
    forged = {
        "another message's": others, "another project's": foreign, "one letter": mine[:-3] + ("A" if mine[-3] != "A" else "B") + mine[-2:],
        "nothing in it": "r1.", "no receipt": "true", "cut": mine[:-4],
    }
    for name, receipt in forged.items():
        result = project.post([run(said["id"], receipt=receipt)]).json()["results"][0]
        assert (result["verdict"], result["reason"], result["field"]) == ("quarantined", "invalid_receipt", "receipt"), name
    lonely = {"type": "run", "id": new_id(), "kind": "llm", "receipt": mine}
    assert project.post([lonely]).json()["results"][0]["reason"] == "invalid_receipt"
    # Sent through the door again it is looked at again.
    replayed = requests.post(
        gateway.url + "/v1/quarantine/replay", json={"reason": "invalid_receipt"}, headers={"Authorization": f"Bearer {project.secret}"},
        timeout=20)
    assert {result["verdict"] for result in replayed.json()["results"]} == {"quarantined"}, replayed.text
    elsewhere.assert_law()


def test_a_backend_may_ask_what_a_receipt_is_worth(project):
    said = message()
    receipt = post(project, [said])[0]["receipt"]

    def ask(key=project.secret, **body):
        return requests.post(project.gateway.url + "/v1/receipts", json=body, headers={"Authorization": f"Bearer {key}"}, timeout=20)

    good = ask(id=said["id"], receipt=receipt)
    assert good.status_code == 200 and good.json()["valid"] is True and good.json()["at"].startswith("20")
    assert ask(id=new_id(), receipt=receipt).json() == {"valid": False, "at": None}
    assert ask(id=said["id"]).json()["error"]["field"] == "receipt"
    assert ask(key=project.public, id=said["id"], receipt=receipt).status_code == 403


def test_receipts_hold_after_a_restart(gateway, project):
    said = message()
    receipt = post(project, [said])[0]["receipt"]
    gateway.stop()
    gateway.start()
    assert project.send(run(said["id"], receipt=receipt)) == ["stored"]


def test_a_client_asks_for_receipts_checks_them_and_hands_them_on(project):
    sys.path.append(str(Path(__file__).resolve().parents[2] / "clients/python"))
    import parley

    client = parley.Client(project.secret, project.gateway.url, receipts=True)
    heard = {}
    client.on_verdict(lambda notice: heard.__setitem__(notice.id, notice))
    said = client.open_thread("t-1").track_message("user", "Hello")
    assert client.flush()
    receipt = heard[said].receipt
    assert receipt.startswith("r1.")
    assert client.verify_receipt(said, receipt).valid and client.verify_receipt(said, receipt).at
    assert client.verify_receipt("another", receipt) == parley.Receipt(False)
    with client.run("llm", parent=said, receipt=receipt) as run:
        pass
    forged = client.track_run("llm", parent=said, receipt=receipt[:-4])
    assert client.close()
    assert (heard[forged].verdict, heard[forged].reason, heard[run.id].verdict) == ("quarantined", "invalid_receipt", "stored")
    assert [(entry["id"], entry["parentProven"]) for entry in project.conversation("t-1")["items"][0]["runs"]] == [(run.id, True)]
