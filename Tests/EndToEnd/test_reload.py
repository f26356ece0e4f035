"""SIGHUP: the configuration file is read again, all of it or nothing."""

import json
import re
import signal
import subprocess
import time

import requests

from parley_process import PARLEY, Gateway, message


def start(tmp_path, **settings):
    file = tmp_path / "parley.json"
    file.write_text(json.dumps(settings))
    gateway = Gateway()
    # Without the flags that the other tests give, since those win over the file.
    gateway.process = subprocess.Popen(
        [PARLEY, "serve", "--listen", f"127.0.0.1:{gateway.port}", "--data", gateway.folder, "--config", str(file)], stdout=gateway.log,
        stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            if requests.get(gateway.url + "/readyz", timeout=1).status_code == 200:
                return gateway, file
        except requests.RequestException:
            time.sleep(0.05)
    raise AssertionError("the gateway is not ready after 20 s")


def reload(gateway, file, settings):
    """Writes the file, says so, and answers what the log has had since."""
    before = len(open(gateway.log.name).read())
    file.write_text(settings if isinstance(settings, str) else json.dumps(settings))
    gateway.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        told = open(gateway.log.name).read()[before:]
        if "read again" in told or "refused" in told:
            time.sleep(0.2)
            return open(gateway.log.name).read()[before:]
        time.sleep(0.05)
    raise AssertionError("nothing was said of the reload")


def cookie(gateway):
    token = gateway.answer("review", "link")["url"].split("#signin=")[1]
    answer = requests.post(gateway.url + "/ui/session", json={"token": token}, headers={"Sec-Fetch-Site": "same-origin"}, timeout=10)
    assert answer.status_code == 204
    return answer.headers["Set-Cookie"]


def test_what_can_change_does_and_the_rest_is_named(tmp_path):
    gateway, file = start(tmp_path, logLevel="notice")
    try:
        project = gateway.project("kept")
        assert "ecure" not in cookie(gateway)
        told = reload(gateway, file, {"logLevel": "debug", "queuedEvents": 5000, "publicUrl": "https://parley.example", "drainSeconds": 5})
        assert "read again" in told and "notice -> debug" in told and "20000 -> 5000" in told and "none -> https://parley.example" in told
        later, = [line for line in told.splitlines() if "take a restart" in line]
        assert "drainSeconds" in later and "logLevel" not in later
        assert re.search(r";\s*secure", cookie(gateway), re.IGNORECASE)
        assert " debug " in open(gateway.log.name).read()
        assert project.send(message()) == ["stored"]

        # Whatever is wrong with it, all of the old stays, and the server goes on.
        for fault, words in (
                ("{", "not a JSON object"), ('{"logLevel": "loud", "queuedEvents": 9000}', "no log level"), ('{"queuedEvents": 1}', "between"),
                ('{"loglevel": "info"}', "did you mean logLevel"), ('{"publicUrl": "parley.example"}', "begins with")):
            told = reload(gateway, file, fault)
            assert "refused" in told and words in told and "read again" not in told, told
            assert project.send(message()) == ["stored"]
        assert re.search(r";\s*secure", cookie(gateway), re.IGNORECASE)
        # A setting that is gone has its default again; the change since the start is still named.
        told = reload(gateway, file, {"drainSeconds": 5})
        assert "debug -> info" in told and "5000 -> 20000" in told and "take a restart" in told
        assert "ecure" not in cookie(gateway)
        project.assert_law()
    finally:
        gateway.stop()


def test_without_a_file_the_server_lives_on(gateway, project):
    gateway.process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert gateway.process.poll() is None
    assert project.send(message()) == ["stored"]
