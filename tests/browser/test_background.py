"""Background work in real browsers: it outlives tabs and servers, and what it measured is found again."""

import time

import pytest

from prunekit.experiments.store import RunStore
from tests.browser.servers import Server
from tests.browser.tabs import Tab

pytestmark = [pytest.mark.slow, pytest.mark.browser]

SWEEP = "accuracy?model=digits_cnn&curves=structured-l1-global-f1&evaluations=8&images=0"


def points(store):
    return [point for sweep in store.sweeps() for point in store.points(sweep)]


def wait(until, seconds=240):
    start = time.monotonic()
    while not until():
        assert time.monotonic() - start < seconds, "waited too long"
        time.sleep(0.1)


def test_a_sweep_outlives_its_tab_and_its_server(context, tmp_path):
    home = tmp_path / "home"
    server = Server(tmp_path, PRUNEKIT_HOME=str(home))
    store = None
    try:
        tab = Tab(context, server.base).go(SWEEP)
        tab.page.get_by_role("button", name="Measure", exact=True).last.click()
        wait((home / "runs.sqlite").is_file)
        store = RunStore(home / "runs.sqlite")
        wait(lambda: points(store))
        tab.page.close()
        seen = len(points(store))
        wait(lambda: len(points(store)) > seen)  # nobody looks, and it goes on
        before = points(store)
        assert len(before) < 8
        server.kill()
        server = Server(tmp_path, PRUNEKIT_HOME=str(home))  # no browser comes, and it goes on
        wait(lambda: len(points(store)) >= 8)
        after = {point.measurement.id: point.measurement.created for point in points(store)}
        assert all(after[point.measurement.id] == point.measurement.created for point in before), "what was committed is not measured again"
        tab = Tab(context, server.base).go(SWEEP)
        tab.page.get_by_text("goes furthest").first.wait_for()
        tab.page.locator("button[disabled]", has_text="Measured").wait_for()  # the job ends soon after its last point
        tab.page.close()
    finally:
        server.kill()
        if store is not None:
            store.close()


def test_clicks_and_pages_leave_a_job_alone_and_coming_back_finds_it(tab):
    tab.go("recover?model=digits_cnn&mode=structured&sparsity=80&epochs=4&seed=7")
    tab.page.get_by_role("button", name="Prune and fine-tune").click()
    tab.page.get_by_role("button", name="Under way").wait_for()
    tab.leave_for("Layers")
    tab.page.get_by_text("Where do the weights live").first.wait_for()
    tab.leave_for("Recover")
    tab.page.get_by_text("Kept: epoch").first.wait_for(timeout=180_000)
    tab.page.reload()
    tab.page.get_by_text("Kept: epoch").first.wait_for()


def test_sensitivity_draws_its_pictures_and_brings_targets_to_the_prune_page(tab):
    tab.go("sensitivity?model=digits_mlp&drop=3")
    tab.page.get_by_role("button", name="Measure", exact=True).last.click()
    tab.page.get_by_text("How much should each layer give?").first.wait_for(timeout=180_000)
    tab.page.locator(".heatmaplayer").first.wait_for(state="attached")
    tab.page.locator(".scatterlayer .trace").nth(2).wait_for(state="attached")
    assert tab.page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    tab.page.get_by_role("button", name="Use on the Prune page").click()
    tab.page.get_by_text("What goes, what stays").first.wait_for()
    tab.address("targets=")
    assert not tab.page.locator('[data-testid="stAlert"]').count()


def test_a_point_of_a_curve_opens_on_the_prune_page(tab):
    tab.go("accuracy?model=digits_mlp&curves=unstructured-l2-global&evaluations=5")
    tab.page.get_by_role("button", name="Measure", exact=True).last.click()
    tab.page.get_by_text("goes furthest").first.wait_for(timeout=180_000)
    box = tab.still(tab.page.locator(".scatterlayer .points path").nth(2))
    tab.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.page.get_by_role("button", name="Open on the Prune page").click()
    tab.page.get_by_text("What goes, what stays").first.wait_for()
    tab.address("criterion=l2", "sparsity=")
