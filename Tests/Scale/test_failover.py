"""PostgreSQL starts anew, or its standby takes its place, under load."""

import asyncio
import signal
import time

import pytest
import requests

from book import Broken
from cluster import Cluster, answer
from parley_process import message
from servers import Postgres


class Pair:
    """A primary and its standby, under one address."""

    def __init__(self, synchronous):
        self.servers = [Postgres().start()]
        self.servers.append(Postgres(self.primary).start())
        if synchronous:
            self.primary.setting("synchronous_standby_names", "*")

    @property
    def primary(self):
        return self.servers[0]

    @property
    def standby(self):
        return self.servers[1]

    @property
    def process(self):
        return self.primary.process

    def database(self, name):
        self.primary.database(name)
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in self.servers)
        return f"postgresql://parley@{hosts}/{name}?target_session_attrs=read-write"

    def drop(self, name):
        """Nothing: the servers go with it."""

    def followers(self):
        """How standbys follow the primary: async or sync."""
        return self.primary.ask("postgres", "SELECT sync_state FROM pg_stat_replication")

    def detach(self):
        """From here on the standby hears nothing of what the primary commits."""
        self.standby.setting("primary_conninfo", "")

    def fail_over(self):
        """The primary is gone as if its power had failed, and never comes back."""
        self.primary.stop(signal.SIGQUIT)
        self.standby.promote()

    def discard(self):
        for server in self.servers:
            server.discard()


@pytest.fixture
def paired():
    made = []

    def make(synchronous):
        made.append(Pair(synchronous))
        made.append(Cluster(made[0]))
        return made
    yield make
    for one in reversed(made):
        one.discard()


def test_a_database_that_starts_anew_again_and_again_loses_nothing(cluster):
    async def play():
        await cluster.start(gateways=2)
        writers = cluster.load(20, 80, batch=4, pause=0.05)
        total = sum(len(writer.waiting) for writer in writers)
        work = asyncio.create_task(cluster.all(writers))
        for share in (0.1, 0.4):
            await cluster.until_acked(share, total)
            # What `pg_ctl restart -m immediate` does: no checkpoint, no goodbye, recovery at the start.
            cluster.postgres.stop(signal.SIGQUIT)
            cluster.postgres.start()
        await work
        assert cluster.book.acked == total
        await cluster.settle()
    asyncio.run(play())


def test_a_synchronous_standby_has_all_that_gateways_acked_when_it_takes_over(paired):
    pair, cluster = paired(synchronous=True)

    async def play():
        await cluster.start(gateways=2)
        await cluster.until("the standby", lambda: pair.followers() == "sync")
        writers = cluster.load(20, 80, batch=4, pause=0.05)
        total = sum(len(writer.waiting) for writer in writers)
        work = asyncio.create_task(cluster.all(writers))
        await cluster.until_acked(0.3, total)
        pair.fail_over()
        await work
        assert cluster.book.acked == total
        await cluster.settle()
    asyncio.run(play())


def test_an_asynchronous_standby_without_a_stream_in_front_lacks_the_last_acks_and_the_checks_see_it(paired):
    pair, cluster = paired(synchronous=False)

    async def play():
        await cluster.start(gateways=2)
        await cluster.all(cluster.load(4, 20))
        pair.detach()
        await cluster.until("the standby to be alone", lambda: pair.followers() == "")
        await cluster.all(cluster.load(4, 20))
        await cluster.settle()
        pair.fail_over()
        with pytest.raises(Broken, match=r"\[acked\]"):
            await cluster.settle(within=20, until="acked")
    asyncio.run(play())


def test_behind_a_stream_a_standby_that_lacks_the_last_commits_gets_them_again(paired):
    pair, cluster = paired(synchronous=False)

    async def play():
        await cluster.start(gateways=2, drains=2, brokers=1)

        def stored():
            return int(pair.primary.ask(cluster.name, "SELECT count(*) FROM event"))

        writers = cluster.load(20, 80, batch=4, pause=0.05)
        total = sum(len(writer.waiting) for writer in writers)
        work = asyncio.create_task(cluster.all(writers))
        await cluster.until_acked(0.2, total)
        await cluster.until("the first commits", stored)
        pair.detach()
        await cluster.until("the standby to be alone", lambda: pair.followers() == "")
        before = stored()
        await cluster.until("commits that the standby lacks", lambda: stored() >= min(before + 200, total))
        pair.fail_over()
        await work
        assert cluster.book.acked == total
        await cluster.settle(within=60)
    asyncio.run(play())


def test_keys_made_and_revoked_after_a_standby_took_over_are_known_though_it_lacks_the_last_changes(paired):
    pair, cluster = paired(synchronous=False)
    asyncio.run(cluster.start(gateways=2))

    def until(key, wished):
        def statuses():
            return [requests.post(
                gateway.url + "/v1/events", json={"events": [message()]}, headers={"Authorization": f"Bearer {key['key']}"},
                timeout=30).status_code for gateway in cluster.gateways]
        deadline = time.monotonic() + 30
        while (found := statuses()) != [wished, wished]:
            assert time.monotonic() < deadline, f"{found} after 30 s, and not {wished}"
            time.sleep(0.1)

    def create():
        return answer(cluster.gateways[0], "key", "create", "--project", "scale", "--lane", "secret")

    known = create()
    caught_up = pair.primary.ask("postgres", "SELECT pg_current_wal_insert_lsn()")
    deadline = time.monotonic() + 30
    while pair.standby.ask("postgres", f"SELECT pg_last_wal_replay_lsn() >= '{caught_up}'") != "t":
        assert time.monotonic() < deadline, "the standby does not follow"
        time.sleep(0.1)
    pair.detach()
    while pair.followers():
        assert time.monotonic() < deadline, "the standby still follows"
        time.sleep(0.1)
    lost = [create() for _ in range(5)]
    for key in (known, *lost):
        until(key, 200)
    pair.fail_over()
    # What nobody knows any more opens nothing, and what is decided now holds.
    until(lost[0], 401)
    cluster.gateways[1].command("key", "revoke", known["id"])
    until(known, 401)
    until(create(), 200)


def test_behind_a_stream_it_gets_them_again_also_where_nothing_new_comes(paired):
    pair, cluster = paired(synchronous=False)

    async def play():
        await cluster.start(gateways=1, drains=1, brokers=1)
        await cluster.all(cluster.load(4, 20))
        before = cluster.book.acked
        await cluster.settle()
        await cluster.until("the standby", lambda: int(pair.standby.ask(cluster.name, "SELECT count(*) FROM event")) == before)
        pair.detach()
        await cluster.until("the standby to be alone", lambda: pair.followers() == "")
        await cluster.all(cluster.load(4, 20))
        await cluster.settle()
        pair.fail_over()
        assert int(pair.standby.ask(cluster.name, "SELECT count(*) FROM event")) == before < cluster.book.acked
        # Drains ask the store now and then how far it is.
        await cluster.settle(within=60)
    asyncio.run(play())
