"""What a gateway and a drain tell of the stream, the spool and each other, against what OPERATIONS.md says they tell."""

import asyncio
import re
from pathlib import Path

import requests

DOCUMENT = Path(__file__).resolve().parents[2] / "OPERATIONS.md"
SHARED = ("parley_stream_", "parley_spool_", "parley_drain_", "parley_bus_")


def families(node):
    text = requests.get(node.url + "/metrics", timeout=10).text
    return {name for name in re.findall(r"^# TYPE (\S+) ", text, re.M) if name.startswith(SHARED)}


def test_the_metrics_of_several_nodes_are_those_that_are_documented(cluster):
    async def play():
        await cluster.start(gateways=1, drains=1, brokers=1, options=("--stream-spool-megabytes", "4"))
        chapter = re.search(r"## Metrics\n.*?\n## ", DOCUMENT.read_text(), re.S)[0]
        documented = {name for name in re.findall(r"`(parley_[a-z_]+)`", chapter) if name.startswith(SHARED)}
        told = await asyncio.to_thread(families, cluster.drains[0])

        def look():
            told.update(families(cluster.gateways[0]))
            return len(told) >= len(documented)
        # When the oldest came that waits is told only while something waits.
        cluster.drains[0].hold_still()
        work = asyncio.create_task(cluster.all(cluster.writers(4, 100, pause=0.01)))
        await cluster.until(f"{len(documented)} metrics", look)
        cluster.drains[0].go_on()
        await work
        assert told == documented
        await cluster.settle()
    asyncio.run(play())
