"""A freshly started server and a browser. Without Chromium these tests are skipped, but fail where CI is set."""

import os
import shutil

import pytest

from tests.browser.servers import Server
from tests.browser.tabs import Tab, new_context


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


@pytest.fixture(scope="session")
def context(chromium):
    """One person's browser: what it has loaded once it need not load again."""
    made = new_context(chromium)
    yield made
    made.close()


@pytest.fixture
def stranger(chromium):
    """Another person's browser."""
    made = new_context(chromium)
    yield made
    made.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """The server of all tests that leave nothing behind for others."""
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.stop()


@pytest.fixture
def tab(context, server):
    tab = Tab(context, server.base)
    yield tab
    tab.page.close()


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A server with a home of its own, for the tests of a module."""
    folder = tmp_path_factory.mktemp("house")
    server = Server(folder, PRUNEKIT_HOME=str(folder / "home"))
    yield server, folder / "home"
    server.stop()


@pytest.fixture
def visitor(context, house):
    """A tab on the server of its module, and the home of that."""
    server, home = house
    tab = Tab(context, server.base)
    yield tab, home
    tab.page.close()
