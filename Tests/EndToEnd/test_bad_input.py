"""Whatever arrives, the neighbours are stored, the fault is named and counted, and the process stays up."""

import gzip
import json
import socket
import zlib

import pytest
import requests

from parley_process import message, until


@pytest.fixture(autouse=True)
def stays_up(project):
    yield
    assert project.gateway.process.poll() is None
    assert project.send(message(thread="afterwards")) == ["stored"]


def raw(project, body, **headers):
    return requests.post(project.gateway.url + "/v1/events", data=body, headers={"Authorization": f"Bearer {project.secret}", **headers}, timeout=20)


@pytest.mark.parametrize("body,status,code", [
    (b"", 400, "malformed_json"), (b"{", 400, "malformed_json"), (b'{"events":[{]}', 400, "malformed_json"), (b"hello", 400, "malformed_json"),
    (b"\xff\xfe{}", 400, None), (b'{"events":["\xc3\x28"]}', 400, "invalid_utf8"), (b"[" * 100_000, 400, None),
    (b'{"events":[' + b'{"a":' * 70 + b"1" + b"}" * 70 + b"]}", 400, "too_deep"),
])
def test_a_body_that_is_no_json_gets_a_clear_error_and_is_counted(project, body, status, code):
    answer = raw(project, body)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["code"] == code or code is None and error["code"] in ("malformed_json", "invalid_utf8", "too_deep")
    # It is booked behind the answer.
    until("it to be counted", lambda: project.assert_law()["dropped"] == 1)


def test_one_bad_event_costs_only_itself(project):
    good = [message(), message(), message()]
    events = [good[0], {"type": "message"}, good[1], 5, {**message(), "role": "king"}, good[2], {**message(), "content": "x" * 70_000}]
    results = project.post(events, key=project.public).json()["results"]
    assert [r["verdict"] for r in results] == ["stored", "quarantined", "stored", "quarantined", "quarantined", "stored", "dropped"]
    assert results[1]["field"] == "id" and results[4]["field"] == "role" and results[6]["reason"] == "event_too_large"


def test_half_an_emoji_costs_nothing(project):
    event = message()
    body = json.dumps({"events": [event]}).replace("Hello", "cut \\ud83d")
    assert raw(project, body).json()["results"][0]["verdict"] == "stored"
    assert project.conversation("t-1")["items"][0]["content"] == "cut \ufffd"


def test_compressed_bodies_are_taken_and_bombs_are_not(project):
    body = json.dumps({"events": [message()]}).encode()
    assert raw(project, gzip.compress(body), **{"Content-Encoding": "gzip"}).json()["results"][0]["verdict"] == "stored"
    assert raw(project, zlib.compress(body), **{"Content-Encoding": "deflate"}).json()["results"][0]["verdict"] in ("stored", "duplicate")
    bomb = raw(project, gzip.compress(b" " * (200 << 20)), **{"Content-Encoding": "gzip"})
    assert bomb.status_code == 413 and bomb.json()["error"]["code"] == "body_too_large"
    assert raw(project, gzip.compress(body)[:-10], **{"Content-Encoding": "gzip"}).status_code in (400, 415)
    assert raw(project, b"nothing", **{"Content-Encoding": "gzip"}).status_code == 415
    assert raw(project, body, **{"Content-Encoding": "br"}).status_code == 415


def test_a_body_over_the_limit_is_refused_before_it_is_read(project):
    answer = project.post([{**message(), "content": "x" * 60_000} for _ in range(20)], key=project.public)
    assert answer.status_code == 413 and answer.json()["error"]["code"] == "body_too_large"


def request_head(project, length):
    return (f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {project.secret}\r\n"
            f"Content-Length: {length}\r\nContent-Type: application/json\r\n\r\n").encode()


def test_half_a_body_is_counted(project):
    with socket.create_connection(("127.0.0.1", project.gateway.port)) as line:
        line.sendall(request_head(project, 1000) + b'{"events":[')
    until("half a body to be counted", lambda: project.assert_law()["dropped"] == 1)


def test_a_body_that_never_ends_is_told_so(project):
    with socket.create_connection(("127.0.0.1", project.gateway.port)) as line:
        line.sendall(request_head(project, 1000) + b'{"events":[')
        line.settimeout(15)
        answer = line.recv(4096).decode()
    assert answer.startswith("HTTP/1.1 408") and "body_timeout" in answer
