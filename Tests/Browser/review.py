"""The review page as its people come to it: an operator with a one-time link, and those whom an administrator lets in."""

import re
from urllib.parse import quote, urlencode

import requests

from parley_process import Project


class House:
    """A running gateway with an administrator signed in over HTTP, who makes everybody else."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.url = gateway.url
        self.operator = requests.Session()
        self.operator.headers["Origin"] = gateway.url
        self.open_session(self.operator, self.link())
        self.members = {}
        self.sessions = {}

    def link(self):
        told = self.gateway.command("review", "link", "--url", self.url).stdout
        return re.search(r"http://[^\s\"]+#signin=[\w-]+", told)[0]

    def open_session(self, session, link):
        answer = session.post(self.url + "/ui/session", json={"token": link.split("#signin=")[1]}, timeout=10)
        assert answer.status_code == 204, answer.text

    def ask(self, method, path, expected=(200, 201, 204), **options):
        answer = self.operator.request(method, self.url + path, timeout=30, **options)
        assert answer.status_code in expected, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json() if answer.content else None

    def member(self, name, role="reviewer", projects=None):
        """Lets somebody in; answers a link that signs in once."""
        if name in self.members:
            return self.ask("POST", f"/v1/members/{self.members[name]}/link")["link"]
        made = self.ask("POST", "/v1/members", json={"name": name, "role": role, "projects": projects})
        self.members[name] = made["member"]["id"]
        return made["link"]

    def session(self, name, role="reviewer", projects=None):
        """Somebody signed in over HTTP, the same session every time."""
        if name not in self.sessions:
            session = requests.Session()
            session.headers["Origin"] = self.url
            self.open_session(session, self.member(name, role, projects))
            self.sessions[name] = session
        return self.sessions[name]

    def project(self, name, **settings):
        """A project made by the administrator, open to pages of this machine."""
        made = self.ask("POST", "/v1/projects", json={"name": name, "origins": ["http://127.0.0.1:*", "http://localhost:*"], **settings})
        project = Project(self.gateway, made)
        project.wait_until_known()
        return project

    def project_id(self, name):
        return next(each["id"] for each in self.ask("GET", "/v1/projects")["projects"] if each["name"] == name)

    def address(self, project, thread=None, **query):
        path = quote(project.name, safe="") + (f"/{quote(thread, safe='')}" if thread else "")
        return f"{self.url}/ui/#/{path}" + (f"?{urlencode(query)}" if query else "")

    def enter(self, page, project, thread=None, role="reviewer", name=None, **query):
        """Goes there as somebody who is signed in already."""
        session = self.session(name or f"Some {role}", role)
        page.cookie(self.url, "parley_session", session.cookies["parley_session"])
        page.goto(self.address(project, thread, **query))
        page.wait_for("() => document.querySelector('header summary')", what="to be let in")
        if thread:
            page.sees(css="[data-message]")
        return page
