import itertools
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from parley_process import Gateway  # noqa: E402


@pytest.fixture(scope="module")
def gateway():
    gateway = Gateway().start()
    yield gateway
    gateway.stop()


numbers = itertools.count()


@pytest.fixture
def project(gateway):
    """A project of the test's own; the law is asserted when the test is over."""
    project = gateway.project(f"test-{next(numbers)}")
    yield project
    project.assert_law()
