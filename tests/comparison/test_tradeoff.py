"""The front and the best within a budget against looking at every pair."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunekit.comparison.compare_runs import compare_runs
from prunekit.comparison.metrics import METRICS
from prunekit.comparison.tradeoff import best_within, metric_frame, pareto
from prunekit.errors import PrunekitError
from tests.comparison.made import at, dense, seen, store_of

VALUES = st.sampled_from([np.nan, 0.0, 0.25, 0.5, 0.75, 1.0])
PAIRS = [("accuracy", "shipped"), ("shipped", "time"), ("accuracy", "sparsity"), ("params", "accuracy"), ("macs", "macs")]


@st.composite
def frames(draw: Any) -> pd.DataFrame:
    n = draw(st.integers(0, 7))
    figures = {name: draw(st.lists(VALUES, min_size=n, max_size=n)) for name in METRICS}
    names = ["Dense", *"ABCDEF"][:n]
    frame = pd.DataFrame({"letter": names, "run": [f"run {x}" for x in names], **figures}, index=range(10, 10 + n))
    return frame.assign(accuracy_low=frame["accuracy"] - 0.1, accuracy_high=frame["accuracy"] + 0.1)


def better(a: float, b: float, name: str) -> bool:
    return a > b if METRICS[name].higher_is_better else a < b


@given(frames(), st.sampled_from(PAIRS))
def test_the_front_is_what_nobody_beats(frame: pd.DataFrame, pair: tuple[str, str]) -> None:
    x, y = pair
    points = list(zip(frame[x], frame[y], strict=True))
    expected = [
        not np.isnan(p).any()
        and not any(
            (better(q[0], p[0], x) or better(q[1], p[1], y)) and not better(p[0], q[0], x) and not better(p[1], q[1], y)
            for q in points
            if not np.isnan(q).any()
        )
        for p in points
    ]
    found = pareto(frame, x, y)
    assert found.tolist() == expected and list(found.index) == list(frame.index)
    complete = [p for p in points if not np.isnan(p).any()]
    assert any(found) == bool(complete)


@given(frames(), st.sampled_from(PAIRS), st.sampled_from([0.1, 0.25, 0.6, 2.0]))
def test_the_best_within_a_budget_fits_it_and_nothing_that_fits_is_better(frame: pd.DataFrame, pair: tuple[str, str], bound: float) -> None:
    metric, objective = pair
    found = best_within(frame, metric, bound, objective)
    known = frame[frame[metric].notna() & frame[objective].notna()]
    fits = known[[not better(bound, value, metric) for value in known[metric]]]
    if fits.empty:
        assert found.letter == found.run == ""
    else:
        mine = fits[fits["letter"] == found.letter]
        assert len(mine) == 1 and found.run == mine["run"].iloc[0] and found.sentence.startswith(found.letter)
        assert not any(better(value, mine[objective].iloc[0], objective) for value in fits[objective])
        equal = fits[fits[objective] == mine[objective].iloc[0]]
        assert not any(better(value, mine[metric].iloc[0], metric) for value in equal[metric])
    for letter in frame["letter"][frame[metric].isna() | frame[objective].isna()]:
        assert letter in found.sentence.rpartition("not measured: ")[2]


def test_an_accuracy_whose_interval_reaches_below_the_bound_says_so(tmp_path: Path) -> None:
    runs = at(0.5, 0.9, bytes=100)
    store = store_of(tmp_path, *runs)
    store.put_run(dense(bytes=200))
    for run, wrong in zip((dense(), *runs), (0, 1, 60), strict=True):
        store.put_measurement(seen(run, np.arange(100) >= wrong))
    frame = metric_frame(compare_runs([run.id for run in runs], store))
    assert list(frame["letter"]) == ["Dense", "A", "B"] and list(frame["accuracy"]) == [1.0, 0.99, 0.4]
    told = best_within(frame, "accuracy", 0.98, "shipped")
    assert told.letter == "A" and told.sentence.startswith("A is the smallest with at least 98.0 % (accuracy): 100 B at 99.0 %")
    assert "its interval reaches down to" in told.sentence
    assert "its interval" not in best_within(frame, "accuracy", 0.9, "shipped").sentence
    assert best_within(frame[1:], "accuracy", 0.995, "shipped").letter == ""
    assert "nearest is A with 99.0 %" in best_within(frame[1:], "accuracy", 0.995, "shipped").sentence


def test_unknown_metrics_are_refused() -> None:
    with pytest.raises(PrunekitError, match="metric must be one of accuracy"):
        pareto(pd.DataFrame({"speed": [1.0]}), "speed", "accuracy")


READ = [
    ("accuracy", 0.975, "97.5 %"),
    ("shipped", 34_100, "34.1 kB"),
    ("shipped", 12, "12 B"),
    ("params", 11_689_512, "11.7 M"),
    ("time", 0.55, "0.55×"),
    ("macs", 999, "999"),
]


@pytest.mark.parametrize(("name", "value", "text"), READ)
def test_figures_read_in_their_unit(name: str, value: float, text: str) -> None:
    assert METRICS[name].text(value) == text
