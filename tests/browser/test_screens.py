"""Pages with results on them, at every width: nothing overlaps, is cut off, slides away or is heard as markup. The tour and the lessons
are looked at on their way (`screens.faults`); here is what they do not pass by.

PRUNEKIT_SCREENS=1 pytest -m browser tests/browser      # at five widths, light and dark
"""

import pytest

from tests.browser import screens
from tests.browser.tabs import Tab

pytestmark = [pytest.mark.browser, pytest.mark.slow]

BROKEN = """
<html lang="en"><title>Broken</title><body style="margin:0"><div data-testid="stMain" style="font:16px sans-serif">
<div style="position:relative;height:60px"><p style="position:absolute;top:0;left:0">kept by both</p>
<p style="position:absolute;top:6px;left:20px">of either</p></div>
<p style="width:40px;overflow:hidden;white-space:nowrap;text-overflow:ellipsis">104 kB smaller</p>
<p style="width:30px;overflow-wrap:anywhere">parameters</p>
<div style="width:200px;overflow-x:auto"><div style="width:300px">a part that slides</div></div>
<input value="digits_cnn, structured, 50 %" style="width:60px" aria-label="Run">
<button aria-label="Help for Channels removed :gray-badge[counted]">?</button>
<p style="color:#aaa;background:#fff">pale</p>
</div></body></html>"""


def test_each_kind_of_fault_is_found(context):
    page = context.new_page()
    page.set_content(BROKEN)
    page.set_viewport_size({"width": screens.DESK, "height": 900})
    found = screens.boxes(page)
    for kind in (
        "overlap: “kept by both”",
        "cut: “104 kB smaller”",
        "broken: “parameters”",
        "scrolls sideways: a part",
        "cut: “digits_cnn",
    ):
        assert any(fault.startswith(kind) for fault in found), (kind, found)
    assert any(fault.startswith("heard: ") and "badge" in fault for fault in found)
    assert any(rule.startswith("color-contrast") for rule in screens.rules(page))
    whole = [fault for fault in found if not fault.startswith("heard")]
    page.set_content('<html lang="en"><title>Whole</title><body><main data-testid="stMain"><p>kept by both</p><p>of either</p></main>')
    assert whole and screens.boxes(page) == [] and screens.rules(page) == []
    page.close()


@pytest.mark.parametrize(
    "path",
    [
        "prune?model=shakespeare_gpt&mode=structured&sparsity=60&limit=16",
        pytest.param("?shelf=own", marks=pytest.mark.nightly),
        pytest.param("layers?model=cifar10_resnet20&data=none", marks=pytest.mark.nightly),
        pytest.param("learn?lesson=7&shown=1&large=1", marks=pytest.mark.nightly),
        pytest.param("learn?part=presets", marks=pytest.mark.nightly),
    ],
)
def test_pages_beside_the_tour(tab, path):
    tab.go(path)
    assert screens.faults(tab, screens.WIDTHS[::2]) == []


@pytest.mark.nightly
@pytest.mark.parametrize(
    "model", ["reviews_encoder", "movielens_twotower", "canvas_detector", "canvas_segmenter", "diabetes_mlp", "clicks_dlrm"]
)
@pytest.mark.parametrize("page", ["start", "layers", "prune"])
def test_other_tasks(context, server, monkeypatch, model, page):
    monkeypatch.setattr(screens, "EVERYTHING", True)
    tab = Tab(context, server.base).go(f"{'' if page == 'start' else page}?model={model}&sparsity=40")
    assert screens.faults(tab) == []
    tab.page.close()
