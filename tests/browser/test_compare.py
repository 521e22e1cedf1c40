"""Compare in a browser: hands on the table, a click in the tree, a deletion, and a report that opens without a network."""

import re
from pathlib import Path

import pytest

from prunekit.config.ids import DataId, ModelId
from prunekit.config.spec import PruneSpec
from prunekit.experiments.backfill import fill
from prunekit.experiments.requests import AccuracyRequest
from prunekit.experiments.store import RunStore
from prunekit.experiments.sweep_run import measure_one
from tests.browser.servers import Server
from tests.browser.tabs import TIMEOUT, WIDE, Tab

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SPECS = (PruneSpec(sparsity=0.5), PruneSpec(sparsity=0.9), PruneSpec(sparsity=0.97), PruneSpec(mode="structured", sparsity=0.5))
ROW = 33.6  # pixels of a row of the table


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A home with four saved runs of a small model, and a server on it."""
    home = tmp_path_factory.mktemp("compared")
    store, data = RunStore(home / "runs.sqlite"), DataId("digits", limit=150)
    for spec in (None, *SPECS):
        measure_one(AccuracyRequest(ModelId("digits_mlp"), data, spec, split="test"), store)
    fill([run.id for run in store.runs()], data, "test", store)
    ids = [next(run.id for run in store.runs() if run.spec == spec.to_dict()) for spec in SPECS]
    for name in ids:
        store.relabel(name, saved=True)
    server = Server(home, PRUNEKIT_HOME=str(home))
    yield server, store, ids
    server.stop()
    store.close()


@pytest.fixture
def one(context, kept):
    tab = Tab(context, kept[0].base)
    yield tab
    tab.page.close()


def picks(ids):
    return "_".join(name[:12] for name in ids)


def main_text(tab):
    return tab.page.locator('[data-testid="stMain"]').inner_text()


def settled(tab):
    """Return the page's text once all of it is drawn."""
    tab.page.get_by_role("radio", name="SVG").or_(tab.page.get_by_text("SVG", exact=True)).first.wait_for()
    tab.idle(pictures=True)
    return main_text(tab)


def tick(tab, row):
    box = tab.still(tab.page.locator('[data-testid="stDataFrame"]').first)
    tab.page.mouse.click(box["x"] + 18, box["y"] + 18 + ROW * (row + 1))
    tab.idle()


def picked(tab):
    """The runs in the address."""
    found = re.search(r"runs=([0-9a-f_]+)", tab.url)
    return found[1].split("_") if found else [""]


def test_ticking_rows_picks_runs_in_that_order(one, kept):
    _, _, ids = kept
    one.go("compare?model=digits_mlp&sort=sparsity")
    one.says("Pick 2 to 6 runs")
    tick(one, 2)
    one.says("Pick one more run")
    tick(one, 0)
    one.until(lambda: len(picked(one)) == 2, "two runs")
    assert picked(one)[1] == ids[2][:12], "the sparsest stands in the first row and was ticked last"
    assert "Accuracy kept by" in settled(one), "the answer is there"
    assert one.page.locator('[data-testid="stDataFrame"]').count() == 1, "and the table is still open"
    tick(one, 1)
    one.until(lambda: len(picked(one)) == 3, "three runs")
    tick(one, 2)
    one.until(lambda: picked(one)[0] == ids[2][:12], "two runs again")
    one.page.reload()
    one.idle()
    assert one.page.locator('[data-testid="stDataFrame"]').count() == 0, "folded away once runs are picked"
    assert "Accuracy kept by" in settled(one)


def test_a_tab_opens_by_a_click_and_comes_back_with_the_address(one, kept):
    _, _, ids = kept
    one.go(f"compare?runs={picks(ids)}")
    one.page.get_by_role("tab", name="Layers").click()
    one.address("tab=layers")
    one.page.get_by_text("Channels left", exact=True).click()
    one.address("by=width")
    one.page.go_back()
    one.idle()
    one.page.get_by_text("How much of each layer is gone?").first.wait_for()
    one.page.reload()
    one.idle()
    one.page.get_by_text("How much of each layer is gone?").first.wait_for()
    assert one.page.evaluate(WIDE) <= 0, "the page scrolls sideways at 1280 pixels"


def test_somebody_else_sees_the_same_on_the_same_address(stranger, one, kept):
    server, _, ids = kept
    path = f"compare?runs={picks(ids[:3])}&relative=1"
    one.go(path)
    other = Tab(stranger, server.base).go(path)
    assert settled(other) == settled(one)


def test_a_click_in_the_tree_opens_a_run(one, kept):
    _, _, ids = kept
    one.go(f"compare?runs={picks(ids[:2])}&tab=lineage")
    dots = one.page.locator(".js-plotly-plot .scatterlayer .points path.point")
    dots.nth(1).wait_for()
    one.still(dots.nth(1))
    box = dots.nth(1).bounding_box()
    one.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    one.page.wait_for_url(re.compile("opened="))
    one.idle()
    assert re.search(rf"opened=({'|'.join(name[:12] for name in ids[:2])})", one.page.url)
    one.page.get_by_role("button", name="Let it go", exact=True).wait_for()


def test_deleting_asks_first_and_names_what_goes(one, kept):
    _, store, _ = kept
    spec = PruneSpec(sparsity=0.123)
    measure_one(AccuracyRequest(ModelId("digits_mlp"), DataId("digits", limit=150), spec, split="test"), store)
    run = next(run for run in store.runs() if run.spec == spec.to_dict())
    one.go(f"compare?runs={run.id[:12]}")
    for button in ("Keep", "Delete 1 run"):
        one.page.get_by_role("button", name="Delete …").click()
        dialog = one.page.get_by_role("dialog")
        dialog.get_by_text("This cannot be undone.").wait_for()
        assert run.id[:12] in dialog.inner_text() and "1 measurement" in dialog.inner_text()
        assert store.get_run(run.id) is not None
        dialog.get_by_role("button", name=button).click()
        dialog.wait_for(state="detached")
        one.idle()
    one.address(without=["runs="])
    assert store.get_run(run.id) is None


def test_the_report_opens_without_a_network_and_saves_its_pictures(chromium, one, kept, tmp_path):
    _, _, ids = kept
    one.go(f"compare?runs={picks(ids[:2])}&tab=weights&bound=0.5")
    with one.page.expect_download(timeout=2 * TIMEOUT) as caught:
        one.page.get_by_role("button", name="Report (HTML)").click()
    file = tmp_path / "report.html"
    caught.value.save_as(file)
    context = chromium.new_context(offline=True, accept_downloads=True)
    page, errors, asked = context.new_page(), [], []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    page.wait_for_selector(".js-plotly-plot .main-svg")
    drawn = page.locator(".js-plotly-plot")
    assert drawn.count() == page.locator("section").count() >= 4
    assert errors == [] and all(url.startswith(("file:", "data:", "blob:")) for url in asked)
    for form, head in (("png", b"\x89PNG"), ("svg", b"<svg")):
        with page.expect_download() as saved:
            page.locator(f'button[data-form="{form}"]').first.click()
        assert Path(saved.value.path()).read_bytes().startswith(head)
    with page.expect_download() as saved:
        page.get_by_text("CSV", exact=True).click()
    assert saved.value.suggested_filename == "comparison.csv" and b"letter,run" in Path(saved.value.path()).read_bytes()
    assert errors == []
    context.close()
