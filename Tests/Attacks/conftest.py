import itertools
import time

import pytest
import requests

from parley_process import Gateway, Project

numbers = itertools.count()


@pytest.fixture(scope="module")
def admin(gateway):
    """A signed-in admin's browser, on the review page."""
    browser = requests.Session()
    browser.headers.update({"Sec-Fetch-Site": "same-origin", "Origin": gateway.url})
    token = gateway.answer("review", "link")["url"].split("#signin=")[1]
    assert browser.post(gateway.url + "/ui/session", json={"token": token}, timeout=20).status_code == 204
    return browser


def make_project(gateway, admin, settings):
    answer = admin.post(gateway.url + "/v1/projects", timeout=20, json={
        "name": f"attacked-{next(numbers)}", "origins": ["http://127.0.0.1:*", "http://localhost:*"], "keyQuota": None, "addressQuota": None, "quotas": {"address.bytes": None},
        **settings})
    assert answer.status_code == 201, answer.text
    project = Project(gateway, answer.json())
    # A look at the keys that had begun before the new one was there may still end behind it.
    time.sleep(0.05)
    project.wait_until_known()
    return project


def assert_alive(gateway):
    assert gateway.process.poll() is None, "the gateway ended: " + open(gateway.log.name).read()[-2000:]


@pytest.fixture
def made(gateway, admin):
    """Makes projects: without quotas, so that nothing else than the rule in question refuses. The law is asserted when the test is over."""
    projects = []

    def make(**settings):
        projects.append(make_project(gateway, admin, settings))
        return projects[-1]

    yield make
    assert_alive(gateway)
    for project in projects:
        project.assert_law()


@pytest.fixture
def project(made):
    """A project of the test's own."""
    return made()


@pytest.fixture(scope="module")
def crowded(gateway, admin):
    """A project that many tests share, each with IDs and threads of its own."""
    project = make_project(gateway, admin, {})
    yield project
    project.assert_law()


@pytest.fixture
def shared(crowded):
    """The shared project; that the gateway lives is asserted after each test."""
    yield crowded
    assert_alive(crowded.gateway)


@pytest.fixture(scope="module")
def mortal():
    """A gateway of its own, begun anew for the next test where one ended it; it ends at once instead of drawing up a report first."""
    gateway = Gateway().start(env={"SWIFT_BACKTRACE": "enable=no"})
    project = gateway.project("mortal", "--no-quotas")

    def living():
        if gateway.process.poll() is not None:
            gateway.start(env={"SWIFT_BACKTRACE": "enable=no"})
        return project

    yield living
    gateway.process.kill()
    gateway.process.wait()
