"""Turn the figures around, and what a page says of them turns."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from prunekit.config.ids import DataId
from prunekit.formatting import percent
from prunekit.latency.report import CandidateLatency
from prunekit.plots.compare_masks import ALL, overlap_caption
from prunekit.plots.sensitivity import sensitivity_caption
from prunekit.runtimes.checking import Check
from prunekit.ui.accuracy import quality_chart
from prunekit.ui.compare import picked_runs
from prunekit.ui.components import show
from prunekit.ui.latency import tables
from prunekit.ui.layers import table as layers
from prunekit.ui.prune import file_sizes
from prunekit.ui.sensitivity import pictures
from prunekit.ui.shared import measuring


def frame(shares, macs):
    return pd.DataFrame({"name": ["a", "b", "c"], "share": shares, "macs": macs})


def test_the_layer_that_holds_most_is_the_one_that_does_and_ties_are_said():
    apart = layers.heaviest(frame([0.7, 0.2, 0.1], [10, 80, 10]))
    turned = layers.heaviest(frame([0.1, 0.2, 0.7], [80, 10, 10]))
    assert apart.startswith("**a** holds 70.0\u202f% of the parameters; **b** takes 80.0\u202f% of the MACs.")
    assert turned.startswith("**c** holds 70.0\u202f% of the parameters; **a** takes 80.0\u202f%")
    assert "two things" in apart
    assert "two things" in turned
    tied = layers.heaviest(frame([0.4, 0.4, 0.2], [45, 45, 10]))
    assert tied == "**a** and 1 more hold 40.0\u202f% of the parameters each; **a** and 1 more take 45.0\u202f% of the MACs each."
    assert "two things" not in layers.heaviest(frame([0.7, 0.2, 0.1], [80, 10, 10]))


def test_layers_of_one_width_are_not_told_apart():
    wide, narrow = SimpleNamespace(name="a", std=0.4), SimpleNamespace(name="b", std=0.1)
    assert "**a** has the widest" in layers.spread([wide, narrow])
    assert "**b** has the widest" in layers.spread([SimpleNamespace(name="a", std=0.1), SimpleNamespace(name="b", std=0.4)])
    assert "narrowest" not in layers.spread([wide])
    alike = layers.spread([wide, SimpleNamespace(name="b", std=0.41)])
    assert "about as wide" in alike
    assert "threshold" not in alike


def test_a_layer_hardly_notices_only_where_it_does():
    assert "**a** gives way first" in sensitivity_caption({"a": 0.3, "b": 0.001}, [])
    assert "**b** gives way first" in sensitivity_caption({"a": 0.001, "b": 0.3}, [])
    assert "**b** hardly notices (0.1)" in sensitivity_caption({"a": 0.3, "b": 0.001}, [])
    assert "**b** loses least (20.0)" in sensitivity_caption({"a": 0.3, "b": 0.2}, [])
    assert "about the same" in sensitivity_caption({"a": 0.2, "b": 0.2}, [])
    assert "No layer loses" in sensitivity_caption({"a": 0.0, "b": -0.1}, [])
    assert "first" not in sensitivity_caption({"a": 0.0, "b": 0.0}, [])


def test_what_is_spared_is_of_the_layers_that_hurt_less():
    def said(lost, params=(10, 80, 10)):
        return pictures.spared(pd.DataFrame({"layer": ["a", "b", "c"], "params": params, "lost": lost}))

    assert "**b** holds most: 80.0\u202f% of these layers' parameters, for 20.0 points" in said((0.3, 0.2, 0.25))
    assert "**b**" not in said((0.1, 0.3, 0.2))
    assert said((0.2, 0.2, 0.2)) == ""


def curves(first, second, half):
    rows = [
        (name, s, value)
        for name, values in (("x", first), ("y", second))
        for s, value in zip((0.0, 0.5, 0.8, 0.9), (0.9, *values), strict=True)
    ]
    frame = pd.DataFrame(rows, columns=["setting", "sparsity", "value"])
    return frame.assign(
        requested=frame.sparsity, low=frame.value - half, high=frame.value + half, n=100, least=np.nan, most=np.nan, seeds=1
    )


def test_the_setting_that_keeps_most_is_named_only_beyond_the_intervals():
    high, low = (0.9, 0.8, 0.7), (0.8, 0.5, 0.2)
    assert "x keeps most on average and y least" in quality_chart.caption(curves(high, low, 0.02), "validation")
    assert "y keeps most on average and x least" in quality_chart.caption(curves(low, high, 0.02), "validation")
    assert "about as much" in quality_chart.caption(curves(high, low, 0.5), "validation")
    assert "about as much" in quality_chart.caption(curves(high, high, 0.02), "validation")


@pytest.mark.parametrize(("number", "words"), [(50, "smaller"), (100, "same"), (200, "2.00× as large")])
def test_a_file_is_called_smaller_only_where_it_is(number, words):
    assert words in file_sizes._row("gzipped", number, 100)[2]


def test_pairs_that_agree_alike_are_not_told_apart():
    def pairs(*jaccard):
        rows = [(ALL, first, second, value, 0.5) for (first, second), value in zip(("AB", "AC"), jaccard, strict=True)]
        return pd.DataFrame(rows, columns=["layer", "first", "second", "jaccard", "expected"])

    assert "A and B agree most" in overlap_caption(pairs(0.9, 0.6))
    assert "A and C agree most" in overlap_caption(pairs(0.6, 0.9))
    alike = overlap_caption(pairs(0.9, 0.9))
    assert "most" not in alike
    assert "least" not in alike


def test_what_is_missing_of_runs_is_named_quality_or_sizes():
    def column(letter, **known):
        return SimpleNamespace(letter=letter, **{"accuracy": object(), "sizes": {}, "earlier": False, **known})

    found = SimpleNamespace(quality=SimpleNamespace(title="Accuracy", phrase="accuracy"), split="test", units="texts")
    sized = picked_runs._lacking(found, [column("A", sizes=None)], DataId("digits"))
    assert sized == "Sizes of the files of A, whose accuracy is there."
    both = picked_runs._lacking(found, [column("A", accuracy=None), column("B", sizes=None), column("C", earlier=True)], DataId("digits"))
    assert both.startswith("Accuracy on the same test texts of digits, of A and C. Sizes of the files of B")


def test_a_waiting_job_says_for_which_one_unless_that_is_somebody_elses(monkeypatch):
    first, second, third = (SimpleNamespace(title=title, key=title, state="waiting", elsewhere=False) for title in "ABC")
    board = SimpleNamespace(ahead=lambda key: {"A": [], "B": [first], "C": [first, second]}[key], shows=lambda job: True)
    monkeypatch.setattr(measuring, "board", lambda: board)
    assert [measuring.standing(job) for job in (first, second, third)] == [
        "about to start",
        "waits for “A”",
        "waits for “A” and 1 more job",
    ]
    board.shows = lambda job: False
    assert measuring.standing(second) == "waits for a job of somebody else"


def test_the_column_against_eager_is_short_enough_to_be_read_whole():
    row = CandidateLatency("dense", "onnxruntime", 1, 1, median_ms=1.0, check=Check(1.0, 2.4e-7, 64, True, "a sentence"))
    few = replace(row, runtime="int8", check=Check(0.984375, 0.03, 64, True, "a sentence"))
    same = replace(row, runtime="openvino", check=Check(1.0, 0.0, 64, True, "a sentence"))
    told = tables.cost_table([replace(row, runtime="eager", check=None), row, same, few])["against eager"]
    assert list(told) == ["–", "within 2.4e-7", "to the bit", "same class, 98.4\u202f%"]


@pytest.mark.parametrize(
    ("norms", "words"), [([2.0, 1.0, 0.4], "the strongest is 5 times the weakest"), ([2.0, 1.0, 1e-12], "the weakest is as good as zero")]
)
def test_a_row_that_is_as_good_as_zero_has_no_ratio(norms, words):
    rows = pd.DataFrame({"layer": "words", "unit": "row", "norm": norms})
    assert words in layers._norms_caption(rows)


def test_a_share_in_a_table_is_rounded_as_in_a_sentence():
    cell = show.in_percent(pd.DataFrame({"removed": [20 / 64]}), "removed").removed[0]
    assert f"{cell}" in percent(20 / 64)
