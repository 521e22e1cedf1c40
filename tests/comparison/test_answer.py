"""The answer is true: it names the run that its rule chooses, and claims nothing that was not measured."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from prunekit.comparison.answer import answer, loses
from prunekit.evaluation.paired import compare
from tests.comparison.made import column

N = 40


@st.composite
def tables(draw: Any) -> tuple[Any, list[Any]]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    base = rng.random(N) < 0.9
    letters = "ABCDEF"[: draw(st.integers(1, 6))]
    sizes, ratios = st.none() | st.integers(100, 2000), st.none() | st.floats(0.2, 3)
    columns = []
    for letter in letters:
        wrong = rng.random(N) < draw(st.sampled_from([0.0, 0.05, 0.4]))
        right = None if draw(st.booleans()) and draw(st.booleans()) else base ^ wrong
        gone = draw(st.sampled_from(["", "", "", "gone"]))
        columns.append(column(letter, right, base, draw(sizes), draw(ratios), gone=gone))
    return column("Dense", base, None, draw(st.none() | st.just(1000)), 1.0), columns


@given(tables())
def test_the_named_run_is_the_smallest_that_loses_nothing_significant_else_the_most_accurate(table: Any) -> None:
    baseline, columns = table
    found = answer(baseline, columns)
    usable = [c for c in columns if c.accuracy is not None and not c.gone]
    if not usable:
        assert found.best == ""
        return
    best = next(c for c in columns if c.letter == found.best)
    assert best in usable and found.sentence.startswith(f"{best.letter} ")
    harmless = [c for c in usable if not (c.difference.significant and c.difference.value < 0)]
    sized = [c for c in harmless if c.shipped is not None and baseline.shipped is not None]
    if sized:
        assert best in sized and best.shipped.bytes == min(c.shipped.bytes for c in sized)
    else:
        assert best.accuracy.value == max(c.accuracy.value for c in harmless or usable)
    assert loses(best) == (not harmless)


@given(tables())
def test_it_says_not_significant_exactly_where_the_paired_test_does(table: Any) -> None:
    baseline, columns = table
    found = answer(baseline, columns)
    if found.best:
        best = next(c for c in columns if c.letter == found.best)
        said = re.search(r"^. \w+ ([\d.]+) % \(([+−]?[\d.]+) points, (not significant|significant), n = 40\)", found.sentence)
        assert said and float(said[1]) == round(100 * best.accuracy.value, 1)
        assert (said[3] == "significant") == best.difference.significant
        assert abs(float(said[2].replace("−", "-")) - 100 * best.difference.value) < 0.051


@given(tables())
def test_speed_is_claimed_for_none_but_those_that_were_timed_and_differ(table: Any) -> None:
    baseline, columns = table
    sentence = answer(baseline, columns).sentence
    assert "MAC" not in sentence
    quick = [c for c in columns if c.speed is not None and c.speed.different and c.speed.ratio < 1 and not c.gone]
    if not quick:
        assert "faster" not in sentence
    for letter in re.findall(r"; (.) (?:is faster|was timed at)", sentence):
        assert letter in {c.letter for c in quick}


@given(tables())
def test_another_is_called_more_accurate_only_where_that_is_significant_on_the_same_images(table: Any) -> None:
    baseline, columns = table
    found = answer(baseline, columns)
    rivals = [c for c in columns if c.accuracy is not None and not c.gone and c.letter != found.best]
    best = next((c for c in columns if c.letter == found.best), None)
    if best is None or not rivals:
        assert "more accurate" not in found.sentence
        return
    better = [c for c in rivals if (d := compare(best.accuracy, c.accuracy)).significant and d.value > 0]
    said = re.findall(r"(.) is more accurate", found.sentence)
    assert bool(said) == bool(better) and set(said) <= {c.letter for c in better}
    nobody = "no other is significantly more accurate" in found.sentence
    if len(rivals) > 1:
        assert nobody != bool(better)
        return
    ahead = (d := compare(rivals[0].accuracy, best.accuracy)).significant and d.value > 0
    assert ("do not differ significantly" in found.sentence) == (not ahead and not better)
    assert (f"{rivals[0].letter} is less accurate" in found.sentence) == ahead


def test_the_sentence_reads_as_people_would_say_it() -> None:
    base = np.ones(1000, dtype=bool)
    a, b = base.copy(), base.copy()
    a[:100], b[:4] = False, False
    columns = [column("A", a, base, 100, 0.5), column("B", b, base, 345, 0.55)]
    told = answer(column("Dense", base, None, 1000, 1.0), columns)
    assert told.best == "B"
    assert told.sentence.startswith(
        "B keeps 99.6 % (−0.4 points, not significant, n = 1,000) at 2.90× smaller (best sparse format) "
        "and 1.82× faster (eager, batch 1, 1 thread, cpu): the only one that loses no significant accuracy"
    )
    assert "A is faster (2.00×)" in told.sentence and "A is smaller (10.0× smaller than dense, −10.0 points, significant)" in told.sentence


def test_without_accuracies_nothing_is_recommended() -> None:
    told = answer(column("Dense", None, None, 1000), [column("A", None, None, 500), column("B", None, None, 100)])
    assert told.best == "" and "none can be recommended" in told.sentence and "B is the smallest, 10.0× smaller" in told.sentence
    assert "%" not in told.sentence


def test_where_the_dense_model_was_not_measured_no_difference_is_made_up() -> None:
    told = answer(column("Dense", None, None, 1000), [column("A", [1, 1, 0, 1], None, 500), column("B", [1, 0, 0, 1], None, 100)])
    assert told.best == "A" and "not compared with dense" in told.sentence and "points" not in told.sentence.split(":")[0]
