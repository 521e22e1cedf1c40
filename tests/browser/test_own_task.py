"""A task of one's own from a file, in a real browser: from Start to Export, in the words of its metric."""

import pytest

from prunekit.config.ids import DataId, ModelId
from prunekit.config.registered import to_environment
from tests.browser.servers import Server
from tests.browser.tabs import Tab
from tests.tasks.test_seam import MINE
from tests.ui.test_own_task import DATA

pytestmark = [pytest.mark.slow, pytest.mark.browser]
MODEL = "model=mine.py:model"


@pytest.fixture
def opened(context, tmp_path):
    """A tab on a server that was started with model, data and task."""
    file = tmp_path / "mine.py"
    file.write_text(MINE.replace("model.task = Demand()\n", "") + DATA)
    told = to_environment([ModelId(f"{file}:model", task=f"{file}:task")], [DataId(f"{file}:data")])
    server = Server(tmp_path, PRUNEKIT_HOME=str(tmp_path / "home"), **told)
    tab = Tab(context, server.base)
    yield tab
    tab.page.close()
    server.stop()


def click(tab, name):
    tab.page.get_by_role("button", name=name, exact=True).click()


def test_it_goes_through_every_page(opened):
    tab = opened
    tab.go(f"?{MODEL}")
    assert tab.metric("Mean error") == "—"
    tab.page.get_by_role("button", name="Measure the dense model on 80 test days").click()
    tab.until(lambda: tab.metric("Mean error").endswith("kWh"), "the dense model's mean error")
    tab.go(f"prune?{MODEL}&sparsity=70")
    click(tab, "Measure mean error")
    tab.says("Mean error got")
    click(tab, "Save as run")
    tab.says("Saved as run")
    tab.go(f"sensitivity?{MODEL}")
    click(tab, "Measure")
    tab.says("raises mean error by")
    tab.says("Use on the Prune page")
    tab.go(f"accuracy?{MODEL}&evaluations=4")
    click(tab, "Measure")
    tab.says("the rise is within")
    assert "lower is better" in tab.page.get_by_test_id("stMain").inner_text()
    tab.go(f"recover?{MODEL}&epochs=1&sparsity=70")
    click(tab, "Prune and fine-tune")
    tab.says("What does each step bring back?")
    for page in ("latency", "compare", "export"):
        tab.go(f"{page}?{MODEL}")
        assert not tab.page.locator('[data-testid="stAlertContentError"]').count(), page
    assert tab.page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    assert "kWh" in tab.page.get_by_test_id("stMain").inner_text(), "Export tells the run by its metric"
