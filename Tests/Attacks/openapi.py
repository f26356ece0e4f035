"""Schemathesis beside a running gateway: requests made from protocol/openapi.yaml, and answers held against it."""

import os
import re
import shutil
import subprocess

import yaml

from parley_process import ROOT

DOCUMENT = ROOT / "protocol/openapi.yaml"

# Streams that never end: an answer would be waited for until the time is up. test_review_page.py reads them.
STREAMS = ["/v1/live"]

CHECKS = ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance", "response_schema_conformance"]

# The same requests each time, as far as answers are the same.
SEED = 20261121

# The whole run; fuzzing goes on until it is over.
SECONDS = 30


def streams_of_the_document():
    """The paths whose answer is a stream of events, as the document has them."""
    paths = yaml.safe_load(DOCUMENT.read_text())["paths"]
    return [
        path for path, operations in paths.items() for operation in operations.values()
        if isinstance(operation, dict) and "text/event-stream" in (operation.get("responses", {}).get("200", {}).get("content") or {})]


def program():
    """Where Schemathesis is, or None."""
    named = os.environ.get("SCHEMATHESIS_BIN")
    return shutil.which(named) if named else None


class Report:
    """What a run said."""

    def __init__(self, done):
        self.code = done.returncode
        self.text = done.stdout + done.stderr
        made = re.search(r"(\d+) generated", self.text)
        self.cases = int(made.group(1)) if made else 0

    @property
    def failures(self):
        """Each failure with the request that shows it; empty when there is none."""
        return self.text[self.text.find("= FAILURES ="):] if self.code else ""


def run(gateway, key, folder):
    """Runs it with a secret key; what it writes down stays in the folder."""
    words = [
        program(), "run", str(DOCUMENT), "--url", gateway.url, "--header", f"Authorization: Bearer {key}", "--generation-with-security-parameters",
        "false",
        "--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing", "--max-examples", "25", "--max-time", str(SECONDS), "--seed",
        str(SEED),
        "--request-timeout", "10", "--continue-on-failure", "--no-shrink", "--generation-database", "none", "--warnings", "off", "--no-color",
    ]
    for path in STREAMS:
        words += ["--exclude-path", path]
    return Report(subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=4 * SECONDS))
