import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
for folder in (ROOT, ROOT / "Scenarios"):
    sys.path.insert(0, str(folder))

import pytest  # noqa: E402

from cluster import Cluster  # noqa: E402
import rooms  # noqa: E402
from servers import Postgres  # noqa: E402


@pytest.fixture(scope="session")
def postgres():
    server = Postgres().start()
    yield server
    server.discard()


@pytest.fixture
def cluster(postgres):
    cluster = Cluster(postgres)
    yield cluster
    cluster.discard()


def pytest_terminal_summary(terminalreporter):
    """Which means were had to part servers from each other."""
    if rooms.used:
        terminalreporter.write_line(f"partitions were made with {' and '.join(sorted(rooms.used))}")
