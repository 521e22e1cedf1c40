"""A freshly started server and a browser. Without Chromium these tests are skipped, but fail where CI is set."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

with contextlib.suppress(ImportError):
    from playwright.sync_api import TimeoutError as PlaywrightTimeout

ROOT = Path(__file__).resolve().parents[2]
IDLE = '[data-testid="stApp"][data-test-script-state="notRunning"]'
TIMEOUT = 60_000


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture(scope="session")
def chromium():
    found = shutil.which("chromium")
    if not found:
        message = "Chromium is not installed: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


class Server:
    def __init__(self, tmp, **environment):
        self.port, self.log = free_port(), tmp / "server.log"
        words = [
            sys.executable,
            "-m",
            "streamlit",
            "run",
            str(ROOT / "app.py"),
            "--server.port",
            str(self.port),
            "--server.headless",
            "true",
        ]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(words, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **environment})
        self.base = f"http://127.0.0.1:{self.port}/"
        self.wait()

    def wait(self):
        start = time.monotonic()
        while time.monotonic() - start < 90:
            try:
                urllib.request.urlopen(self.base + "_stcore/health")
                return
            except OSError:
                assert self.process.poll() is None, self.log.read_text()
                time.sleep(0.2)
        pytest.fail("the server did not start: " + self.log.read_text())

    def stop(self):
        self.process.terminate()
        self.process.wait(20)

    def kill(self):
        self.process.kill()
        self.process.wait(20)


@pytest.fixture
def fresh_server(tmp_path):
    server = Server(tmp_path)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.stop()


class Tab:
    """One browser tab on one server."""

    def __init__(self, browser, base):
        self.context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
        self.page = self.context.new_page()
        self.page.set_default_timeout(TIMEOUT)
        self.base, self.errors = base, []
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))

    def go(self, path):
        self.page.goto(self.base + path)
        self.idle()
        return self

    def idle(self):
        self.page.wait_for_timeout(300)
        self.page.wait_for_selector("h1")  # a page that has not begun is idle too
        self.page.wait_for_selector(IDLE)
        self.page.wait_for_timeout(300)
        assert not self.page.locator('[data-testid="stException"]').count()
        assert not self.errors, self.errors

    def leave_for(self, page):
        """Go to another page by its link in the sidebar; a click while the page is drawn anew may hit what is being replaced."""
        for _ in range(3):
            self.page.get_by_role("link", name=page, exact=True).click()
            try:
                self.page.wait_for_url(re.compile(f"/{page.lower()}"), timeout=TIMEOUT / 2)
                break
            except PlaywrightTimeout:
                continue
        self.page.wait_for_url(re.compile(f"/{page.lower()}"))
        self.idle()

    def still(self, locator):
        """Return where something is once it has stopped moving: pictures above it take their height when they are drawn."""
        box, since = None, 0
        while since < 4:
            locator.scroll_into_view_if_needed()
            now = locator.bounding_box()
            box, since = now, since + 1 if now == box else 0
            self.page.wait_for_timeout(250)
        return box

    def until(self, holds, missing):
        """Wait until a condition holds: an act goes to the server and comes back in its own time, and until then nothing is running."""
        start = time.monotonic()
        while not holds():
            assert time.monotonic() - start < TIMEOUT / 1000, f"waited too long for {missing} at {self.url}"
            self.page.wait_for_timeout(100)
        self.idle()

    def address(self, *parts, without=()):
        """Wait until the address has some parts and none of others."""
        self.until(
            lambda: all(part in self.url for part in parts) and not any(part in self.url for part in without),
            f"an address with {parts} and without {without}",
        )

    def says(self, text, where="stMain"):
        """Wait until a part of the page says something."""
        self.until(lambda: text in self.page.get_by_test_id(where).inner_text(), f"“{text}”")

    def shows(self, label, value):
        """Wait until a big number begins in some way."""
        self.until(lambda: self.metric(label).startswith(value), f"{label} {value}")

    @property
    def url(self):
        return urllib.parse.unquote(self.page.url)

    def title(self):
        return self.page.locator("h1").first.inner_text()

    def metric(self, label):
        box = self.page.locator('[data-testid="stMetric"]').filter(has_text=label)
        return box.locator('[data-testid="stMetricValue"]').inner_text()


@pytest.fixture
def tab(chromium, server):
    tab = Tab(chromium, server.base)
    yield tab
    tab.context.close()


@pytest.fixture
def another_tab(chromium, server):
    tab = Tab(chromium, server.base)
    yield tab
    tab.context.close()


@pytest.fixture
def visitor(chromium, tmp_path):
    """A tab on a server with a home of its own."""
    home = tmp_path / "home"
    server = Server(tmp_path, PRUNEKIT_HOME=str(home))
    tab = Tab(chromium, server.base)
    yield tab, home
    tab.context.close()
    server.stop()
