"""What deploy/ holds agrees with the programs it names, and the capacity page with its arithmetic; no server is started for it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
CONFIGURATION = (ROOT / "Sources/Server/Configuration.swift").read_text()
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
# What a gateway may take to end: its own time, and five seconds after which what is left is cut off (Assembly).
LONGEST_END = int(re.search(r"var drainSeconds = (\d+)", CONFIGURATION).group(1)) + 5


def values(unit, key):
    """All values of a key, in their order."""
    return re.findall(rf"^{key}=(.*)$", unit.read_text(), re.M)


def test_every_setting_that_is_named_exists():
    known = set(re.findall(r"PARLEY_[A-Z_]+", CONFIGURATION))
    # Of these files alone: what Caddy is told.
    known |= {"PARLEY_SITE", "PARLEY_GATEWAYS"}
    for file in DEPLOY.rglob("*"):
        if file.is_file():
            unknown = set(re.findall(r"PARLEY_[A-Z_]*[A-Z]", file.read_text())) - known
            assert not unknown, f"{file.name}: {unknown}"


def test_every_option_that_is_named_exists():
    commands = "".join(file.read_text() for file in (ROOT / "Sources/Server").rglob("*.swift"))
    for unit in UNITS:
        [start] = values(unit, "ExecStart")
        assert re.match(r"/usr/local/bin/parley (serve|drain)\b", start), start
        for option in re.findall(r"--([a-z-]+)", start):
            name = re.sub(r"-(.)", lambda match: match.group(1).upper(), option)
            assert re.search(rf'var {name}\b|customLong\("{option}"\)', commands), option


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_takes_the_unit(unit, tmp_path):
    # A program that is there stands in for ours.
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text().replace("/usr/local/bin/parley", shutil.which("true")))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and unit.name not in done.stderr, done.stderr


def test_all_units_are_hardened_alike():
    begins = "# What it may not."
    assert len({unit.read_text().partition(begins)[2] for unit in UNITS}) == 1
    for unit in UNITS:
        assert begins in unit.read_text()


def test_nobody_is_killed_while_it_ends_orderly():
    for unit in UNITS:
        assert int(values(unit, "TimeoutStopSec")[0]) > LONGEST_END
    for name, service in COMPOSE["services"].items():
        if service["image"] == "parley":
            assert int(service["stop_grace_period"].rstrip("s")) > LONGEST_END, name


def test_compose_names_nothing_that_is_not_there():
    services, known = COMPOSE["services"], set(COMPOSE["volumes"])
    # Of the Compose specification, the keys used here.
    keys = {
        "image", "restart", "stop_grace_period", "stop_signal", "environment", "depends_on", "networks", "read_only", "tmpfs", "cap_drop",
        "security_opt", "ulimits", "command", "healthcheck", "ports", "volumes", "build", "shm_size"}
    checked = {"parley"} | {service["image"] for service in services.values() if "healthcheck" in service}
    used = set()
    for name, service in services.items():
        assert set(service) <= keys, (name, set(service) - keys)
        for other, condition in service.get("depends_on", {}).items():
            assert condition == {"condition": "service_healthy"} and services[other]["image"] in checked
        assert set(service["networks"]) <= set(COMPOSE["networks"])
        assert service["image"] == "parley" or ":" in service["image"], f"{name}: no version"
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert (DEPLOY / source).is_file(), source
            else:
                assert source in known
                assert source not in used, f"{source} has two owners"
                used.add(source)
    assert used == known
    # All of a set-up's secrets are asked for, and nothing else.
    asked = set(re.findall(r"\$\{([A-Z_]+)", (DEPLOY / "compose.yaml").read_text()))
    given = set(re.findall(r"^([A-Z_]+)=", (DEPLOY / "example.env").read_text(), re.M))
    assert asked == given


def test_the_streams_servers_are_as_many_as_its_replicas_and_share_no_moment_without_a_sync():
    brokers = {name: service for name, service in COMPOSE["services"].items() if service["image"].startswith("nats")}
    gateway = COMPOSE["services"]["gateway-1"]["environment"]
    assert int(gateway["PARLEY_STREAM_REPLICAS"]) == len(brokers) == gateway["PARLEY_STREAM"].count("nats://")
    for name, broker in brokers.items():
        assert broker["environment"]["NATS_NAME"] == name
        assert broker["environment"]["NATS_SYNC"] == "${NATS_SYNC:-always}"


@pytest.mark.parametrize("sync", ["always", "120s"])
def test_the_brokers_take_their_file(sync):
    server = Path(sys.prefix) / "bin/nats-server"
    environment = {"NATS_NAME": "broker-1", "NATS_PASSWORD": "p00", "NATS_SYNC": sync}
    environment |= {f"NATS_ROUTE_{number}": f"nats://parley:p00@broker-{number}:6222" for number in (1, 2, 3)}
    done = subprocess.run(
        [server, "-t", "-c", DEPLOY / "nats.conf"], capture_output=True, text=True, timeout=60, env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr


def test_the_image_is_built_with_what_the_scripts_install():
    said = re.search(r"build_packages=\((.*?)\)", (ROOT / "scripts/lib.sh").read_text(), re.S).group(1).split()
    stages = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ").split("\nFROM ")
    built = re.search(r"--no-install-recommends(.*?)&&", stages[1], re.S).group(1).split()
    assert sorted(built) == sorted(said)
    # Where it runs there is a library for each of them, and no compiler's files.
    run = re.search(r"--no-install-recommends(.*?)&&", stages[2], re.S).group(1).split()
    for package in set(said) - {"pkg-config"}:
        stem = re.sub(r"1g-dev|-dev$", "", package).replace("libsqlite3", "libsqlite3-0")
        assert any(re.match(rf"{stem}[\d.-]*", name) and not name.endswith("-dev") for name in run), package


def test_the_capacity_page_says_what_its_assumptions_come_to():
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/capacity.py", "--check", ROOT / "CAPACITY.md"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_plan_grows_with_what_is_asked_of_it():
    def cells(*options):
        done = subprocess.run(
            [sys.executable, ROOT / "scripts/capacity.py", *options], capture_output=True, text=True, timeout=60, check=True)
        return int(re.search(r"^\| cells \| ([\d,]+)", done.stdout, re.M).group(1).replace(",", ""))

    # By disk: 10⁹ × 90 × 1,743 B over 8 TB × 0.7; by rate: 10⁹ / 86,400 × 3 over 1,000.
    assert cells("--retention-days", "90") == 29
    assert cells("--database-events", "1000") == 35
    assert cells("--events-per-day", "1e6") == 1
