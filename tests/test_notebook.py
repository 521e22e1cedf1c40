"""Results in a notebook: well-formed, escaped, the same figures as elsewhere; and a bar for long work there."""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from types import ModuleType

import pytest
import tqdm.auto
from markupsafe import Markup

import prunekit
from prunekit.evaluation.progress import Progress
from prunekit.evaluation.sensitivity.measure import sensitivity
from prunekit.experiments.records import Run
from prunekit.notebook import card, curve, table
from prunekit.pruning.result import PruneResult


class Page(HTMLParser):
    """Texts of a page, having checked that each tag is closed by its own."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def loaded():
    return prunekit.load_model("digits_mlp"), prunekit.load_data("digits", limit=60)


def test_every_result_has_a_picture_with_its_own_figures(loaded):
    model, data = loaded
    result = prunekit.prune(model, prunekit.PruneSpec(sparsity=0.5))
    page = Page(result._repr_html_())
    assert [layer.name for layer in result.layers] == [text for text in page.texts if text.startswith("fc")]
    assert any(f"{result.achieved.removed:,} of {result.achieved.total:,} weights" in text for text in page.texts)
    seen = prunekit.evaluate(model, data.test)
    assert f"Accuracy {seen.text()}" in Page(seen._repr_html_()).texts
    points = prunekit.sweep(model, prunekit.PruneSpec(), [0.9, 0.2], data)
    assert "Nothing is measured yet" in points._repr_html_()
    made = list(points)
    drawn = Page(points._repr_html_())
    assert points.points == made and drawn.tags.count("circle") == 2 and drawn.tags.count("tr") == 3
    alone = sensitivity(model, data, prunekit.PruneSpec(), (0.5,), split="test")
    assert Page(alone._repr_html_()).tags.count("tr") == 1 + len(result.layers)


def test_what_others_wrote_is_escaped():
    run = Run("ab" * 16, "pruned", "<script>x</script>", {"name": "<b>"}, "w", info={"params": 1})
    page = Page(run._repr_html_())
    assert "script" not in page.tags and "<script>x</script>" in page.texts and "<b>" in page.texts
    line = curve([(0, 1, 0, 2), (1, 1, 0, 2)], ("", ""), ("", ""), '"><q>')
    drawn = card("<i>", "<u>", table(["<s>"], [["<em>", Markup("<code>kept</code>")]]), line)
    assert {"i", "u", "s", "em", "q"} & set(Page(drawn).tags) == set() and "code" in Page(drawn).tags


@pytest.fixture
def bars(monkeypatch):
    """A notebook, and the bars that were drawn in it."""
    made = []

    class Recorded:
        def __init__(self, **_):
            self.n, self.closed = 0.0, False
            made.append(self)

        def set_description_str(self, text, refresh):
            pass

        def update(self, by):
            assert by >= 0
            self.n += by

        def close(self):
            self.closed = True

    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    monkeypatch.setattr(tqdm.auto, "tqdm", Recorded)
    return made


def test_long_work_draws_one_bar_and_takes_it_away(loaded, bars):
    model, data = loaded
    list(prunekit.sweep(model, prunekit.PruneSpec(), [0.2, 0.9], data))
    assert [bar.closed for bar in bars] == [True] and 0.5 < bars[0].n <= 1
    prunekit.evaluate(model, data.test)
    assert [bar.closed for bar in bars] == [True, True]


def test_who_gives_a_progress_gets_no_bar(loaded, bars):
    model, data = loaded
    told = []
    prunekit.evaluate(model, data.test, progress=lambda fraction, text: told.append(fraction))
    prunekit.evaluate(model, data.test, progress=Progress())
    assert told and bars == []


def test_a_long_table_is_folded(loaded):
    model, _ = loaded
    result = prunekit.prune(model, prunekit.PruneSpec(sparsity=0.5))
    many = PruneResult(**{**vars(result), "layers": result.layers * 9})
    assert f"{9 * len(result.layers)} layers" in Page(many._repr_html_()).texts
