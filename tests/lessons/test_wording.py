"""The sentences follow the figures: told otherwise, they say otherwise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunekit.evaluation.paired import Difference, compare
from prunekit.evaluation.quality import Evaluation, accuracy_of
from prunekit.evaluation.sweep import SweepPoint
from prunekit.latency.interleaved_timing import Ratio
from prunekit.latency.report import CandidateLatency, LatencyReport
from prunekit.lessons import cliff, faster, fragile, heal
from prunekit.lessons.course import answer_of
from prunekit.lessons.lesson import LESSONS
from prunekit.lessons.settings import change, percent, plural, points, significance_text
from prunekit.models.cost import Counts


def read_right(n: int, of: int = 200) -> Evaluation:
    return accuracy_of(np.arange(of) < n)


def timed(name: str, value: float, different: bool, error: str | None = None) -> CandidateLatency:
    ratio = None if error else Ratio(value, value - 0.01, value + 0.01, different)
    return CandidateLatency(name, "eager", 64, 1, error, (value,), None if error else value, value, value, ratio)


def test_times_that_differ_too_much_are_not_explained(monkeypatch) -> None:
    blurred = replace(timed("smaller", 0.4, False), ratio=Ratio(0.4, 0.3, 1.2, False))
    pretend(monkeypatch, timed("zeros", 1.0, False), blurred)
    assert "measure again" in answer_of(8).sentences[1]
    pretend(monkeypatch, timed("zeros", 1.0, False), timed("smaller", 0.99, False))
    said = answer_of(8).sentences[1]
    assert "99 % (95 % interval 98 to 100 %) of the original's time" in said
    assert "what a call costs" in said


def pretend(monkeypatch, zeros: CandidateLatency, small: CandidateLatency) -> None:
    report = LatencyReport((timed("original", 1.0, False), zeros, small), (1, 8, 8), "cpu", (), {}, "", "")
    monkeypatch.setattr(faster, "measure_latency", lambda *_, **__: report)


@pytest.mark.parametrize("number", range(1, 8))
def test_the_point_of_a_lesson_is_two_sentences(number: int) -> None:
    for sentence in answer_of(number).sentences:
        assert sentence.endswith(".")
        assert sentence.count(". ") == 0


@pytest.mark.parametrize(
    ("zeros", "small", "value", "words"),
    [
        ((0.99, False), (0.5, True), faster.SMALLER, ("no measurable difference", "is faster here")),
        ((0.6, True), (0.5, True), faster.BOTH, ("is faster here", "is faster here")),
        ((0.6, True), (1.0, False), faster.ZEROS, ("is faster here", "no measurable difference")),
        ((1.0, False), (1.3, True), faster.NEITHER, ("no measurable difference", "is slower here")),
    ],
)
def test_what_is_faster_is_what_was_timed(monkeypatch, zeros, small, value: str, words) -> None:
    pretend(monkeypatch, timed("zeros", *zeros), timed("smaller", *small))
    found = answer_of(8)
    assert found.value == value
    for sentence, expected in zip(found.sentences, words, strict=True):
        assert expected in sentence
    assert (", for the 50.4 % of its multiplications" in found.sentences[0]) == (not zeros[1]), "that explains equal times"
    assert found.verdict(value).right


def test_a_copy_that_could_not_be_timed_is_said_to_be_so(monkeypatch) -> None:
    pretend(monkeypatch, timed("zeros", 1.0, False, "out of memory"), timed("smaller", 0.5, True))
    found = answer_of(8)
    assert "could not be timed here: out of memory" in found.sentences[0]
    assert found.value == faster.SMALLER


def point(share: float, right: int) -> SweepPoint:
    return SweepPoint(share, share, read_right(right), Counts(1, 1, 1, 1, share, 1))


@pytest.mark.parametrize(
    ("right", "cliff_at", "words"),
    [
        ((200, 200, 195, 100), 2, "20 % can go"),
        ((200, 150, 195, 100), 0, "Nothing can go"),
        ((200, 200, 199, 198), 3, "There is no edge"),
    ],
)
def test_the_edge_is_told_as_it_is(right, cliff_at: int, words: str) -> None:
    curve = [point(share / 10, n) for share, n in enumerate(right)]
    last = cliff._last_before(curve, 5)
    assert last == cliff_at
    first, second = cliff._conclusion(curve, last, compare(curve[0].accuracy, curve[last].accuracy))
    assert first.startswith(words)
    assert ("test images" in second) == (last > 0)


@given(st.lists(st.integers(0, 200), min_size=2, max_size=8), st.integers(1, 20))
def test_no_point_before_the_cliff_has_lost_more_than_allowed_and_the_next_one_has(right: list[int], drop: int) -> None:
    last = cliff._last_before([point(i / 10, n) for i, n in enumerate(right)], drop)
    lost = [100 * (right[0] - n) > drop * 200 for n in right]
    assert not any(lost[: last + 1])
    assert last == len(right) - 1 or lost[last + 1]


def alone(name: str, weights: int, right: int) -> fragile._Alone:
    accuracy = read_right(right)
    return fragile._Alone(name, weights, accuracy, compare(read_right(198), accuracy))


def test_a_small_fragile_layer_is_told_apart_from_a_large_one() -> None:
    small, _ = fragile._conclusion([alone("conv1", 10, 50), alone("fc1", 1000, 198)], read_right(198), 90)
    large, _ = fragile._conclusion([alone("fc1", 1000, 50), alone("conv1", 10, 198)], read_right(198), 90)
    assert "only 1 %" in small
    assert "only" not in large


def test_two_layers_that_chance_may_order_are_said_to_be_close() -> None:
    close, _ = fragile._conclusion([alone("conv1", 10, 50), alone("fc1", 1000, 51)], read_right(198), 90)
    apart, _ = fragile._conclusion([alone("conv1", 10, 50), alone("fc1", 1000, 150)], read_right(198), 90)
    assert "fc1 is so close behind" in close
    assert "close behind" not in apart


def test_where_no_layer_is_missed_none_is_named_as_fragile() -> None:
    found = fragile._nothing([alone("conv1", 10, 197), alone("fc1", 1000, 198)], 50)
    assert "copes" in found[0]
    assert "chance" in found[1]


@pytest.mark.parametrize(
    ("cut", "healed", "first", "second"),
    [
        (100, 190, "91.8 % of what was lost is back", "4 points are missing"),
        (100, 198, "100 % of what was lost is back", "stays the same"),
        (100, 90, "nothing is back", "missing to the original"),
        (197, 198, "no harm that could be measured", "stays the same"),
        (100, 200, "of what was lost is back", "not significant"),
    ],
)
def test_what_comes_back_is_told_as_it_is(cut: int, healed: int, first: str, second: str) -> None:
    said = heal._conclusion(read_right(198), read_right(cut), read_right(healed), 2)
    assert first in said[0]
    assert second in said[1]


def test_a_gain_over_the_original_is_not_called_a_loss() -> None:
    said = heal._conclusion(read_right(150), read_right(100), read_right(190), 1)
    assert "rises" in said[1]
    assert "one pass over the training images brings" in said[0]


def test_your_own_best_choice_is_recognised() -> None:
    best = answer_of(2).frames["cells"]
    chosen = tuple(best.index[~best.best])
    assert "exactly" in answer_of(2, cells=chosen).sentences[0]
    assert "Nothing is ticked" in answer_of(2, cells=()).sentences[0]
    assert "0 %" in answer_of(2, cells=tuple(range(25))).sentences[0]


def test_small_weights_are_called_many_only_where_they_are() -> None:
    assert "minority" in answer_of(1, below=1, layer="conv1").sentences[1]
    assert "minority" not in answer_of(1, below=10).sentences[1]


@given(st.floats(0, 1))
def test_a_share_reads_nothing_or_all_only_where_it_is(share: float) -> None:
    assert (percent(share) == "0 %") == (share == 0)
    assert (percent(share) == "100 %") == (share == 1)
    assert ("under" in percent(share)) == (0 < 100 * share < 0.05)


@given(st.integers(0, 200), st.integers(0, 200))
def test_a_change_is_told_with_its_direction_and_whether_chance_explains_it(before: int, after: int) -> None:
    difference = compare(read_right(before), read_right(after))
    said = change(difference)
    assert ("falls" in said) == (after < before)
    assert ("rises" in said) == (after > before)
    if before != after:
        assert ("not significant" in said) != difference.significant
        assert points(difference.value) in said


def test_numbers_have_their_singular() -> None:
    assert [plural(n, "weight") for n in (1, 2, 1000)] == ["1 weight", "2 weights", "1,000 weights"]
    assert [points(share) for share in (0.01, -0.02, 0.006)] == ["1 point", "2 points", "0.6 points"]
    assert significance_text(Difference(0.1, 0.05, 0.15, 1e-9, True, 50)) == "a real difference (p < 0.001)"


def test_the_fixed_figures_in_the_questions_are_those_of_the_networks() -> None:
    import prunekit

    cnn, mlp = prunekit.load_model("digits_cnn"), prunekit.load_model("digits_mlp")
    assert "10 x 100" in LESSONS[2].asks
    assert tuple(mlp.fc3.weight.shape) == (10, 100)
    assert "64 filters" in LESSONS[6].asks
    assert cnn.conv2.out_channels == 64
    assert "four layers" in LESSONS[4].intro
    assert list(fragile.OPTIONS) == [name for name, module in cnn.named_modules() if hasattr(module, "weight") and "bn" not in name]
    assert max(fragile.OPTIONS, key=lambda name: cnn.get_submodule(name).weight.numel()) == "fc1"
    assert fragile.OPTIONS["fc1"].startswith("fc1, the largest")
