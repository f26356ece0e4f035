"""A database that is reached over an encrypted line only, with a password."""

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from cluster import Cluster
from parley_process import PARLEY
from servers import Postgres

PASSWORD = "not said to anybody"


def certificate(folder, name):
    """Signed by itself, for 127.0.0.1."""
    files = [os.path.join(folder, f"{name}.{kind}") for kind in ("crt", "key")]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", files[1], "-out", files[0],
         "-days", "2", "-subj", "/CN=database", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    return files


@pytest.fixture
def closed():
    """A cluster whose PostgreSQL takes no other line, and the files of two certificates, its own first."""
    server = Postgres().start()
    cluster = Cluster(server)
    try:
        own, other = certificate(server.folder, "own"), certificate(server.folder, "other")
        os.chmod(own[1], 0o600)
        if os.geteuid() == 0:
            shutil.chown(own[1], "nobody", "nogroup")
        server.ask("postgres", f"ALTER USER parley PASSWORD '{PASSWORD}'")
        for name, value in [("ssl_cert_file", own[0]), ("ssl_key_file", own[1]), ("ssl", "on")]:
            server.ask("postgres", f"ALTER SYSTEM SET {name} = '{value}'")
        Path(server.data, "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")
        server.stop()
        # Nobody asks it whether it is ready but over that line.
        os.environ["PGPASSWORD"] = PASSWORD
        server.start()
        yield cluster, own[0], other[0]
    finally:
        os.environ.pop("PGPASSWORD", None)
        cluster.discard()
        server.discard()


def test_a_line_to_the_database_can_be_encrypted_and_is_not_taken_otherwise(closed):
    cluster, own, other = closed
    address = cluster.environment["PARLEY_STORE"]

    def refused(address, **environment):
        done = subprocess.run(
            [PARLEY, "project", "list"], capture_output=True, text=True, timeout=60,
            env={**os.environ, **cluster.environment, "PARLEY_STORE": address, **environment})
        assert done.returncode != 0 and PASSWORD not in done.stdout + done.stderr, done.stdout
        return done.stderr

    assert "no encryption" in refused(f"{address}?sslmode=disable")
    assert "certificate" in refused(f"{address}?sslmode=verify-full&sslrootcert={other}")
    assert "password" in refused(f"{address}?sslmode=verify-full&sslrootcert={own}", PGPASSWORD="another")
    assert "host name" in refused(f"{address.replace('127.0.0.1', 'localhost')}?sslmode=verify-full&sslrootcert={own}")

    async def play():
        cluster.environment["PARLEY_STORE"] = f"{address}?sslmode=verify-full&sslrootcert={own}"
        await cluster.start(gateways=2)
        await cluster.all(cluster.writers(4, 20))
        assert cluster.book.acked == 80
        await cluster.settle(exact=True)
        told = {check["check"]: check for check in cluster.gateways[0].answer("doctor", "--url", cluster.gateways[0].url)["checks"]}
        line = told["nobody can read the line to the database"]
        assert (line["state"], line["detail"]) == ("fine", "TLS"), line
        assert PASSWORD not in Path(cluster.gateways[0].log.name).read_text()
    asyncio.run(play())
