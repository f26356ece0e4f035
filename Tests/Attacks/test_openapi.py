"""The document of the HTTP routes is what clients are written against, and what strangers read first. Requests of every shape it allows, and many
it does not, are answered as it says."""

import pytest

import openapi
from parley_process import Gateway, message, new_id

KNOWN = "0197f3c2-5b1e-7c40-9d2a-6f1b8e4a7d10"  # the ID of the document's examples


@pytest.fixture
def seeded():
    """A gateway that will be worn out, with something under the IDs of the document's examples."""
    gateway = Gateway().start()
    project = gateway.project("demo", "--no-quotas", "--scoring", "open")
    assert set(project.send(
        message(thread="t-1", id=KNOWN, user={"id": "u1", "props": {"plan": "pro"}}, tags=["billing"]),
        message(thread="t-1", id="t-1", role="assistant", text="**Hi**"),
        {"type": "run", "id": "t-1", "kind": "llm", "parent": KNOWN, "thread": "t-1", "output": "Hi", "success": True, "startedAt": 1, "endedAt": 2},
        {"type": "event", "id": new_id(), "thread": "t-1", "name": "opened"},
        {"type": "feedback", "id": new_id(), "target": KNOWN, "thumb": "down", "comment": "why", "user": {"id": "u1"}, "thread": "t-1"},
        {"type": "score", "id": new_id(), "target": KNOWN, "name": "quality", "value": 0.5},
        {"type": "comment", "id": "t-1", "target": KNOWN, "text": "remark", "author": "Ann"})) == {"stored"}
    assert project.send(message(id="0"), {"type": "run", "id": new_id(), "kind": "llm"}, key=project.public) == ["quarantined", "quarantined"]
    yield project
    if gateway.process.poll() is None:
        gateway.stop()


def test_only_streams_are_left_out():
    """What is left out of the run below is what never ends, and nothing else."""
    assert openapi.STREAMS == openapi.streams_of_the_document()


def test_every_answer_is_one_that_the_document_has(seeded, tmp_path):
    """Threat: odd parameters, headers and bodies reach code that did not expect them. No request ends in a 5xx, and each answer has a status, a
    type and a shape that the document names."""
    assert openapi.program(), (
        "SCHEMATHESIS_BIN names no program. Install Tests/Attacks/requirements-schemathesis.txt into an environment of its own and set the "
        "variable to its bin/schemathesis.")
    report = openapi.run(seeded.gateway, seeded.secret, tmp_path)
    assert seeded.gateway.process.poll() is None, "the gateway ended: " + open(seeded.gateway.log.name).read()[-2000:]
    seeded.assert_law()
    assert report.code in (0, 1), f"Schemathesis itself failed ({report.code}):\n{report.text[-4000:]}"
    assert report.code == 0, report.failures
    assert report.cases > 500, f"only {report.cases} requests were made:\n{report.text[-2000:]}"
