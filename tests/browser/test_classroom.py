"""A class in real browsers: runs stay with the browser that made them, and a reset reaches tabs that nobody touches."""

import pytest

from prunekit.experiments.classroom import KEY, VARIABLE, mark
from tests.browser.servers import Server
from tests.browser.tabs import Tab, new_context

pytestmark = [pytest.mark.slow, pytest.mark.browser]
SECRET = "0123456789abcdef"
SETTING = "prune?model=digits_mlp&sparsity=60"


@pytest.fixture
def server(tmp_path):
    """A server for a class."""
    home = tmp_path / "class"
    mark(home)
    server = Server(tmp_path, **{VARIABLE: "http://127.0.0.1", KEY: SECRET, "PRUNEKIT_HOME": str(home)})
    yield server
    server.stop()


@pytest.fixture
def browsers(chromium, server):
    """Three browsers: two pupils and the teacher."""
    tabs = [Tab(new_context(chromium), server.base) for _ in range(3)]
    yield tabs
    for tab in tabs:
        tab.context.close()


def runs(tab):
    """What the Compare page says it holds."""
    tab.go("compare")
    found = tab.page.get_by_text("All runs (")
    return found.inner_text() if found.count() else ""


def test_runs_stay_with_their_browser_and_a_reset_reaches_every_tab(browsers):
    one, two, boss = browsers
    one.go(SETTING).page.get_by_role("button", name="Save as run").click()
    one.page.get_by_role("button", name="Saved as a run").wait_for()
    assert "All runs (2)" in runs(one), "the run and the dense model; the page was loaded anew"
    assert runs(two) == ""
    two.go(SETTING)
    assert two.page.get_by_role("button", name="Save as run").is_enabled()

    boss.go(f"layers?teacher={SECRET}&model=digits_mlp")
    boss.address("digits_mlp", without=[SECRET])
    boss.page.get_by_text("For the teacher").click()
    boss.page.get_by_role("button", name="Reset for the next class").click()
    boss.page.get_by_role("dialog").get_by_role("button", name="Reset", exact=True).click()
    for tab in (one, two, boss):
        tab.page.get_by_text("Another class has begun").first.wait_for()
        tab.idle()
    two.address(without=["sparsity"])
    assert runs(one) == ""
    boss.go("layers")
    boss.page.get_by_text("For the teacher").first.wait_for()
