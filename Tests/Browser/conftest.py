import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import sync_playwright

from browsers import CHROMIUM, Browsers


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def browsers(browser):
    browsers = Browsers(browser)
    yield browsers
    browsers.stop()


@pytest.fixture(params=["chromium", "firefox"])
def browser_name(request):
    return request.param


@pytest.fixture
def open_page(browsers, browser_name):
    """Opens pages of one browser; none may have complained, asked or been refused anything when the test is over."""
    pages = []

    def open(**options):
        pages.append(browsers.page(browser_name, **options))
        return pages[-1]

    yield open
    told = []
    for page in pages:
        told += [*page.complaints(), *page.dialogs, *page.refused()]
        page.close()
    assert told == []


@pytest.fixture
def page(open_page):
    return open_page()


class Site(ThreadingHTTPServer):
    """Pages of somebody else's: each text is served as HTML at an address of its own."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.server_port}"
        self.pages = []

    def serve(self, html):
        self.pages.append(html)
        return f"{self.origin}/{len(self.pages) - 1}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        number = self.path[1:].split("?")[0]
        found = number.isdigit() and int(number) < len(self.server.pages)
        body = (self.server.pages[int(number)] if found else "").encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def elsewhere():
    with Site() as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        yield site
        site.shutdown()
