"""What the tests here end with sees an event that is lost, a run that is not bound, and a ledger that does not add up."""

import asyncio

import pytest

from book import Broken


@pytest.mark.parametrize(("invariant", "harm"), [
    ("acked", "DELETE FROM event WHERE space = 0 AND id = '{message}'"),
    ("bound", "UPDATE run SET parent = '{other}' WHERE parent = '{message}'"),
    ("law", "UPDATE outcome SET count = count + 1 WHERE name = 'received'"),
    ("stored", "UPDATE outcome SET count = count + 1 WHERE name IN ('received', 'stored')"),
])
def test_harm_that_is_done_is_seen(cluster, invariant, harm):
    async def play():
        await cluster.start(gateways=1)
        await cluster.all(cluster.load(2, 20))
        await cluster.settle(exact=True)
        message, other, *_ = cluster.parents.values()
        cluster.postgres.ask(cluster.name, harm.format(message=message, other=other))
        with pytest.raises(Broken, match=rf"\[{invariant}\]"):
            await cluster.settle(within=0)
    asyncio.run(play())
