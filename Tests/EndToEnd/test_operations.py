"""What an operator looks at: figures by the names that are documented, and a log that can be read by programs and tells no secrets."""

import json
import re
from pathlib import Path

import pytest
import requests

from parley_process import Gateway, message, new_id

DOCUMENT = Path(__file__).parents[2] / "OPERATIONS.md"


def families(text):
    """The families of a page in Prometheus' text format, with their samples; fails where a sample has no family or isn't a number."""
    found, current = {}, None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            current = line.split()[2]
            assert current not in found and len(line.split(" ", 3)[3]) > 3, line
            found[current] = []
        elif line.startswith("# TYPE "):
            assert line.split()[2] == current and line.split()[3] in ("counter", "gauge", "histogram"), line
        else:
            sample = re.fullmatch(r'([a-z_]+)(?:\{((?:[a-z]+="[^"\\\n]*",?)+)\})? (\S+)', line)
            assert sample and re.sub("_(bucket|sum|count)$", "", sample[1]) in (current, sample[1]), line
            assert sample[1] == current or current.endswith("_seconds"), line
            found[current].append((sample[1], dict(re.findall(r'([a-z]+)="([^"]*)"', sample[2] or "")), float(sample[3])))
    return found


def test_the_metrics_are_those_that_are_documented(project):
    documented = set(re.findall(r"`((?:parley|process)_[a-z_]+)`", re.search(r"## Metrics\n.*?\n## ", DOCUMENT.read_text(), re.S)[0]))
    assert project.send(message(), message(), {"type": "nonsense"}) == ["stored", "stored", "quarantined"]
    found = families(requests.get(project.gateway.url + "/metrics", timeout=10).text)
    assert set(found) == documented - {"parley_tls_certificate_ends_seconds"}
    commits = found["parley_commit_seconds"]
    classes = [value for name, labels, value in commits if name.endswith("_bucket")]
    assert classes == sorted(classes) and classes[-1] >= 1 and commits[-1][2] == classes[-1]
    value = {name: samples[0][2] for name, samples in found.items() if samples}
    assert 10e6 < value["process_resident_memory_bytes"] < 2e9 and 5 < value["process_open_fds"] < value["process_max_fds"]
    assert value["process_cpu_seconds_total"] > 0 and value["process_start_time_seconds"] > 1.7e9
    assert value["parley_commit_failures_total"] == 0 and value["parley_queue_events"] == 0


@pytest.mark.parametrize("format", ["text", "json"])
def test_the_log_tells_no_texts_tokens_or_keys(format):
    secrets = [new_id() for _ in range(4)]
    text, user, token, wrong = secrets
    gateway = Gateway().start("--log-level", "trace", "--log-format", format)
    try:
        project = gateway.project("logged")
        project.send(message(text=text, user={"id": user}), {"type": "message", "id": "0", "content": text, "role": "king"})
        project.post([message(text=text)], headers={"Parley-User-Token": token})
        requests.post(gateway.url + "/v1/events?key=pk_" + wrong, json={"events": [message(text=text)]}, timeout=10)
        requests.post(gateway.url + "/v1/events", data="{" + text, headers={"Authorization": "Bearer " + project.secret}, timeout=10)
        requests.post(gateway.url + "/ui/session", json={"token": token}, timeout=10)
        requests.get(gateway.url + "/v1/threads", params={"q": text}, headers={"Authorization": "Bearer " + project.secret}, timeout=10)
    finally:
        gateway.stop()
    log = Path(gateway.log.name).read_text()
    assert log.strip(), "nothing was logged"
    for secret in [*secrets, project.secret, project.public]:
        assert secret not in log, [line for line in log.splitlines() if secret in line][0]
    if format == "json":
        # What the start says to people is on standard output, which is the same file here.
        lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
        assert lines and all({"time", "level", "message"} <= line.keys() for line in lines)
        assert " info parley" not in log and " warning parley" not in log


def test_an_unknown_log_format_is_refused_in_words():
    gateway = Gateway()
    try:
        done = gateway.command("serve", "--log-format", "xml", check=False)
        assert done.returncode != 0 and "text or json" in done.stderr
    finally:
        gateway.stop()
