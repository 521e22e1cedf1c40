"""The dashboard in process: one AppTest is one browser tab."""

import functools
import gc
import sys
import time
from types import SimpleNamespace

import pytest
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

from prunekit.experiments.jobs import board
from prunekit.latency import diagnosis
from prunekit.ui import MAIN
from prunekit.ui.routes import ABOUT, PAGES
from tests.ui import pretended

TITLES = {name: page.question for name, page in ABOUT.items()}
LONGEST = 900  # seconds, for what hangs

# every AppTest would look through all installed distributions for components, as a server does once
manifest_scanner.scan_component_manifests = functools.cache(manifest_scanner.scan_component_manifests)


class Tab:
    """One person at the dashboard; after every step there is no exception and the page's title stands."""

    def __init__(self, page="start", **parameters):
        self.app = AppTest.from_file(str(MAIN), default_timeout=LONGEST)
        for name, value in parameters.items():
            self.app.query_params[name] = str(value)
        self.go(page)

    def go(self, page):
        self.page = page
        self.app.switch_page(str(PAGES / f"{page}.py")).run()
        return self.check()

    def check(self):
        assert not self.app.exception, self.app.exception
        assert self.app.title[0].value == TITLES[self.page]
        return self

    def set(self, key, value):
        self.app.get_by_key(key).set_value(value).run()
        return self.check()

    def click(self, key):
        self.app.button(key=key).click().run()
        return self.check()

    def ask(self, key):
        """Click, unless the answer is there: other tests may have asked the same."""
        return self if self.app.button(key=key).disabled else self.click(key)

    def wait(self, until, seconds=60):
        """Draw the page anew, at the latest when its jobs are over, until something holds; a job takes as long as the machine needs."""
        start = quiet = time.monotonic()
        while not until():
            looked = time.monotonic()
            working = [job.title for job in board().all() if job.active]
            quiet = looked if working else quiet
            assert looked - quiet < seconds and looked - start < LONGEST, f"waited too long, with {working} under way"
            while any(job.active for job in board().all()) and time.monotonic() - looked < 0.2:
                time.sleep(0.005)
            self.app.run()
            self.check()
        return self

    def metric(self, label):
        """Return a tile: its figure, the tag behind it and what stands below."""
        found = next(m for m in self.app.metric if m.label.startswith(label))
        value, _, tag = found.value.partition(" :")
        return SimpleNamespace(label=found.label, value=value, tag=tag, delta=found.delta, help=found.help)

    def table(self, column):
        """Return the first table with a certain column."""
        return next(frame.value for frame in self.app.dataframe if column in frame.value)

    @property
    def address(self):
        return {name: value if isinstance(value, str) else value[-1] for name, value in self.app.query_params.items()}

    @property
    def text(self):
        parts = [*self.app.markdown, *self.app.caption, *self.app.error, *self.app.warning]
        return "\n".join(str(part.value) for part in parts)


@pytest.fixture(scope="session")
def _warm():
    """Load what every page needs, and take it out of the sight of the garbage collector, as the server does."""
    Tab("prune")
    gc.collect()
    gc.freeze()


@pytest.fixture
def tab(_warm):
    return Tab


@pytest.fixture
def no_clock(monkeypatch):
    """Nothing is timed: a page shows what it is told. ``test_saving.py`` has one real measurement, ``tests/evaluation`` the others."""
    monkeypatch.setattr(sys.modules["prunekit.latency.measure"], "run_child", pretended.run_child)
    monkeypatch.setattr(diagnosis, "diagnose", pretended.diagnose)
