"""Turn the figures around, and the sentence beside them turns."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest

from prunekit.evaluation.paired import compare
from prunekit.latency.interleaved_timing import Ratio
from prunekit.lessons import choose, faster, fragile, heal, layer
from prunekit.lessons.advice import GOALS
from prunekit.lessons.budgets import when_to_use
from prunekit.lessons.presets import PRESETS, Measured, measure, preset
from tests.lessons.test_wording import alone, pretend, read_right, timed

answer_of = faster.answer  # measured anew each time, with the clock that stands in


def storage(**sizes: int) -> str:
    return layer._storage_said({"dense": 4000, "bitmap": 9000, "csr": 9000, **sizes}, 0.3).lower()


def test_what_makes_a_layer_smaller_is_what_is_smaller() -> None:
    both = storage(bitmap=1325, gzip=1500)
    assert both.index("sparse format (bitmap") < both.index("gzip takes 1,500")
    turned = storage(bitmap=1325, gzip=1200)
    assert turned.index("gzip takes 1,200") < turned.index("sparse format (bitmap")
    assert "no sparse format is smaller" in storage(gzip=1500)
    assert "gzip does not make it smaller" in storage(bitmap=1325, gzip=4000)
    assert "only" not in both


@pytest.mark.parametrize(
    ("value", "different", "zeros", "small"),
    [
        (1.0, False, ", for the 50.4 %", "what a call costs"),
        (1.4, True, ", although the 50.4 %", "do not make up"),
        (0.5, True, ", although the 50.4 %", "of the work"),
    ],
)
def test_slower_is_not_explained_by_what_explains_equal(monkeypatch, value: float, different: bool, zeros: str, small: str) -> None:
    pretend(monkeypatch, timed("zeros", value, different), timed("smaller", value, different))
    said = answer_of(70, "64").sentences
    assert zeros in said[0]
    assert small in said[1]
    for other in ("what a call costs", "do not make up"):
        assert (other in said[1]) == (other == small)


def test_what_could_not_be_timed_or_told_is_not_explained(monkeypatch) -> None:
    blurred = replace(timed("zeros", 1.0, False), ratio=Ratio(1.0, 0.7, 1.3, False))
    pretend(monkeypatch, blurred, timed("smaller", 1.0, False, "out of memory"))
    said = answer_of(70, "64").sentences
    assert "measure again" in said[0]
    assert "carried out" not in said[0]
    assert said[1] == "The copy with fewer channels could not be timed here: out of memory."


def at_a_budget(accuracy: tuple[float, float], p_value: float, costs: tuple[float, float] = (50.0, 40.0)) -> pd.DataFrame:
    """Both copies and the original; all cheaper than it, and both faster."""
    frame = pd.DataFrame({"kind": ["dense", "unstructured", "structured"], "accuracy": [0.99, *accuracy], "within": [False, True, True]})
    frame["low"], frame["high"] = frame.accuracy - 0.01, frame.accuracy + 0.01
    frame = frame.assign(**{name: [100.0, *costs] for name in ("bytes", "macs", "ms", "ms_one", "ratio")})
    return frame.assign(faster=[False, True, True], faster_one=[False, True, True], p_value=[math.nan, p_value, p_value])


def advised(frame: pd.DataFrame) -> str:
    rows, sure = frame.set_index("kind"), frame.p_value[1] < 0.05
    return choose._conclusion(rows, rows.accuracy["unstructured"] - rows.accuracy["structured"], sure, when_to_use(frame))[1]


def test_a_kind_is_not_called_smaller_where_the_other_one_is() -> None:
    larger, smaller = (advised(at_a_budget((0.97, 0.80), 1e-6, costs)) for costs in ((50, 40), (40, 50)))
    assert "single weights for a small file (they keep more accuracy, while whole channels take fewer bytes)" in larger
    assert "fewer bytes" not in smaller
    assert "whole channels for a small file" in advised(at_a_budget((0.95, 0.94), 0.6))
    assert "single weights for a small file" in advised(at_a_budget((0.95, 0.94), 0.6, (40, 50)))
    assert not any("smallest" in place for place in choose.PLACES.values())


@pytest.mark.parametrize(
    ("costs", "words"), [((50, 40), "but cost more"), ((40, 50), "and cost less, too"), ((40, 40), "at the same cost")]
)
def test_the_advice_says_what_the_more_accurate_kind_costs_beside_the_other(costs: tuple[float, float], words: str) -> None:
    for advice in when_to_use(at_a_budget((0.97, 0.80), 1e-6, costs)):
        assert words in advice.sentence
    assert len(GOALS) == 4
    assert "cost the same" in when_to_use(at_a_budget((0.95, 0.94), 0.6, (40, 40)))[0].sentence


def test_a_budget_in_time_that_neither_copy_keeps_is_said_of_both() -> None:
    frame = at_a_budget((0.97, 0.80), 1e-6).assign(within=False)
    rows = frame.set_index("kind")
    first = choose._conclusion(rows, 0.17, True, when_to_use(frame))[0]
    assert "not kept by the zeros (" in first
    assert "and fewer channels (" in first


def test_layers_that_all_suffer_alike_are_not_said_to_spare_anything() -> None:
    alike = fragile._conclusion([alone("conv1", 10, 50), alone("fc1", 1000, 52)], read_right(198), 90)[1]
    apart = fragile._conclusion([alone("conv1", 10, 50), alone("fc1", 1000, 198)], read_right(198), 90)[1]
    assert "can spare, not the same" in apart
    assert "can spare, not the same" not in alike


def test_a_gain_is_not_called_the_largest_loss() -> None:
    first, second = fragile._nothing([alone("conv1", 10, 199), alone("fc1", 1000, 200)], 50)
    assert "loss" not in first + second
    assert "the largest loss is 0.5 points, in conv1" in fragile._nothing([alone("conv1", 10, 197), alone("fc1", 1000, 198)], 50)[0]


def test_a_cut_that_helps_loses_nothing_and_training_that_harms_is_not_recommended() -> None:
    helped = heal._conclusion(read_right(100), read_right(190), read_right(190), 2)
    assert "no harm" in helped[0]
    assert "what was lost" not in helped[0]
    harmed = heal._conclusion(read_right(198), read_right(150), read_right(90), 2)
    assert "nothing is back" in harmed[0]
    assert "more passes" not in harmed[1]
    assert "which chance may explain" in heal._conclusion(read_right(198), read_right(100), read_right(101), 2)[0]
    assert "chance" not in heal._conclusion(read_right(198), read_right(100), read_right(180), 2)[0]


@pytest.fixture(scope="module")
def made() -> Measured:
    return measure(preset("magnitude"))


def of(made: Measured, dense: int, found: int, other: int) -> Measured:
    return Measured(read_right(dense), read_right(found), read_right(other), made.result, made.against)


def test_the_smallest_weights_are_missed_least_only_where_they_are(made: Measured) -> None:
    point = preset("magnitude").point
    assert "missed less" in point(of(made, 198, 198, 100))
    assert "missed no less" in point(of(made, 198, 198, 198))
    assert "missed no less" in point(of(made, 198, 197, 198))
    assert "too much" in point(of(made, 198, 100, 50))


@pytest.mark.parametrize("key", [found.key for found in PRESETS if found.key != "magnitude"])
def test_a_setting_that_lost_much_is_never_said_to_have_lost_nothing(made: Measured, key: str) -> None:
    """Where both copies are bad, that they are equal is not that they are good."""
    point = preset(key).point
    both_bad, both_good = point(of(made, 198, 60, 60)), point(of(made, 198, 197, 197))
    for words in ("could spare", "little to make up for", "still serve"):
        assert words not in both_bad
    assert compare(read_right(198), read_right(197)).significant is False
    if key in ("first", "untuned", "stale"):
        assert both_bad != both_good
