"""The main job from the first page to the archive, in a real browser; its pictures are those of docs/tour.md. Every stop is looked at
at several widths, light and dark, and its markup by axe-core's rules.

PRUNEKIT_TOUR=docs/tour pytest -m slow tests/browser/test_tour.py      # takes the pictures of the documentation anew
"""

import os
import re

import pytest

from prunekit.experiments.store import RunStore
from prunekit.ui.routes import ABOUT
from tests.browser import screens
from tests.browser.servers import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PAGE = ROOT / "docs" / "tour.md"
LONG = 240_000
STOPS = ("start", "layers", "graph", "prune", "sensitivity", "accuracy", "recover", "find", "latency", "compare", "trade-off", "export")
LONGER = ("find", "latency", "export")  # looked at in the dark, too, where all widths are
SETTING = "mode=structured&sparsity=50"


class Camera:
    """Takes a picture at each stop."""

    def __init__(self, tab, folder, kept):
        self.tab, self.folder, self.kept, self.taken, self.faults = tab, folder, kept, [], []
        folder.mkdir(parents=True, exist_ok=True)

    def take(self, name, height, top=None):
        page = self.tab.page
        page.set_viewport_size({"width": 1280, "height": height})
        page.mouse.move(2, 2)  # no tooltip in the picture
        self.tab.idle(pictures=True)
        if top is not None:
            top.evaluate("element => { element.style.scrollMarginTop = '90px'; element.scrollIntoView(); }")  # below the bar of the page
        if self.kept:
            page.wait_for_timeout(1500)  # what moves comes to rest; nobody looks at the other pictures
        page.screenshot(path=self.folder / f"{name}.png")
        self.taken.append(name)
        assert self.tab.title() == ABOUT[{"trade-off": "compare", "graph": "layers"}.get(name, name)].question
        long = name in LONGER and not screens.EVERYTHING
        seen = screens.faults(self.tab, screens.WIDTHS[::2], dark=False) if long else screens.faults(self.tab)
        self.faults += [f"{name}, {fault}" for fault in seen]


def press(tab, name, until):
    tab.page.get_by_role("button", name=name, exact=True).click()
    tab.page.get_by_text(until).first.wait_for()
    tab.idle()


def recovered(home):
    store = RunStore(home / "runs.sqlite")
    (run,) = (run for run in store.runs(kind="recovered") if (run.recovery or {}).get("epochs") == 2)
    store.close()
    return run.id[:12]


def look_at_graph(tab, camera):
    tab.go(f"layers?model=cifar10_resnet20&{SETTING}")
    title = tab.page.get_by_text("The model as a graph")
    title.click()
    tab.page.locator(".st-key-graph_open .js-plotly-plot").wait_for()
    camera.take("graph", 900, title)


def test_from_the_first_page_to_the_archive(visitor, tmp_path):
    tab, home = visitor
    tab.page.set_default_timeout(LONG)
    kept = os.environ.get("PRUNEKIT_TOUR")
    camera = Camera(tab, ROOT / kept if kept else tmp_path / "tour", bool(kept))
    tab.go("")
    camera.take("start", 1150)
    tab.go(f"layers?{SETTING}&pick=0-1")
    camera.take("layers", 1150)
    look_at_graph(tab, camera)
    tab.go(f"prune?{SETTING}")
    press(tab, "Save as run", "Saved as run")
    tab.go("prune?mode=unstructured&sparsity=90")
    press(tab, "Save as run", "Saved as run")
    tab.go(f"prune?{SETTING}")
    tab.page.get_by_role("button", name="Accuracy measured").wait_for()  # when the run was saved
    camera.take("prune", 1250)
    tab.go(f"sensitivity?{SETTING}")
    press(tab, "Measure", "Use on the Prune page")
    camera.take("sensitivity", 1250)
    tab.go("accuracy?curves=unstructured-l1-global_structured-l1-global")
    press(tab, "Measure", "Download as CSV")
    tab.page.get_by_role("button", name="Measured", exact=True).wait_for()
    camera.take("accuracy", 1100)
    tab.go(f"recover?{SETTING}&epochs=2")
    press(tab, "Prune and fine-tune", "Download the recovered model")
    camera.take("recover", 1900)
    tuned = recovered(home)  # before a search adds its trials
    tab.go(f"find?minutes={2 if kept else 0.2}&tuned=4")
    press(tab, "Start", "Every trial is a run")
    camera.take("find", 1250)
    tab.go(f"latency?{SETTING}&runtimes=eager_onnxruntime&budget=4")
    press(tab, "Measure latency here", "All figures")
    camera.take("latency", 1600)
    store = RunStore(home / "runs.sqlite")
    runs = {(run.spec or {}).get("mode"): run.id[:12] for run in store.runs() if store.label(run.id).saved} | {"recovered": tuned}
    store.close()
    picked = "_".join(runs[name] for name in ("unstructured", "structured", "recovered"))
    tab.go(f"compare?runs={picked}")
    tab.page.get_by_text("Accuracy kept by").first.wait_for()
    camera.take("compare", 1250)
    tab.go(f"compare?runs={picked}&tab=tradeoff&bound=0.95")
    tab.page.locator(".js-plotly-plot").first.wait_for()
    camera.take("trade-off", 1500)
    tab.go(f"export?opened={runs['recovered']}")
    press(tab, "Make the archive", "Make it again")
    camera.take("export", 1100)
    assert tuple(camera.taken) == STOPS
    assert not camera.faults, "\n".join(camera.faults)
    assert all((camera.folder / f"{name}.png").stat().st_size > 20_000 for name in STOPS)


def test_the_tour_shows_every_stop_in_order():
    shown = re.findall(r"!\[[^\]]+\]\(tour/([\w-]+)\.png\)", PAGE.read_text())
    assert tuple(shown) == STOPS
    assert all((PAGE.parent / "tour" / f"{name}.png").read_bytes().startswith(b"\x89PNG") for name in shown)
