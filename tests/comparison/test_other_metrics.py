"""Runs of a regression side by side: title, unit and direction are the metric's, in every sentence, table and report."""

from __future__ import annotations

import numpy as np
import pytest

from prunekit.cli import main
from prunekit.comparison.compare_runs import compare_runs
from prunekit.comparison.tradeoff import best_within, metric_frame, pareto
from prunekit.evaluation.quality import Evaluation
from prunekit.experiments.records import Measurement
from prunekit.plots.compare_tradeoff import tradeoff
from prunekit.reports.page import big_three, html
from prunekit.reports.table import groups
from prunekit.tasks import task
from prunekit.tasks.observations import Observations
from tests.comparison.made import at, dense, seen, store_of

OF = task("regression").scaled(0.0, 1.0, "kWh")
SIZES = {"sizes": {"dense": 400, "gzip": 380, "sparse": 200, "surgery": 400}}


def regression(noise: float, metric: str) -> Evaluation:
    made = np.random.default_rng(3)
    target = made.normal(size=200)
    return Evaluation.of(Observations.of(prediction=target + noise * made.normal(size=200), target=target), OF.metric(metric), task=OF)


def put(store, run, noise, metric) -> None:
    store.put_measurement(Measurement.of(run.id, regression(noise, metric), {"name": "demand"}, "h", "test"))


@pytest.fixture(params=["r2", "mae"])
def found(request, tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNEKIT_HOME", str(tmp_path))
    runs = at(0.5, 0.9, **SIZES)
    store = store_of(tmp_path, *runs)
    for run, noise in zip((dense(), *runs), (0.3, -0.3, 0.8), strict=True):
        put(store, run, noise, request.param)
    yield compare_runs([run.id for run in runs], store)
    store.close()


def test_every_sentence_turns_with_the_metric(found, capsys):
    noun = found.quality.phrase
    higher = found.quality.better == "higher"
    assert noun == ("R²" if higher else "mean absolute error") and found.units == "samples"
    value = found.quality.format(found.columns[0].accuracy.value)
    assert found.best == "A" and f"A keeps {noun} {value} (" in found.answer
    assert f"that is not significantly worse in {noun}" in found.answer and f"B is worse in {noun}" in found.answer
    assert "accura" not in found.answer and "points" not in found.answer
    frame = metric_frame(found)
    values = frame.set_index("letter").accuracy
    assert bool(values["B"] < values["A"]) is higher
    assert not pareto(frame, "macs", "accuracy").loc[frame.letter == "B"].item(), "equal in cost and worse"
    best = best_within(frame, "accuracy", float(values["A"]), "macs").sentence
    assert ("at least" in best) is higher and ("at most" in best) is not higher and found.quality.format(values["A"]) in best
    assert best_within(frame, "macs", 1e9, "accuracy").letter in ("A", "Dense")
    assert tradeoff(frame).layout.yaxis.title.text == ("R²" if higher else "Mean absolute error (kWh)")
    assert main(["compare", "--stored", *(column.run.id for column in found.columns)]) == 0
    page = capsys.readouterr().out
    assert f"{noun} on 200 test samples of demand" in page and "accuracy" not in page


def test_tables_and_reports_say_it_too(found):
    title, unit = found.quality.title, found.quality.unit
    rows = groups(found)[title]
    assert [row.label for row in rows] == [title, f"Against dense, in {unit}" if unit else "Against dense"]
    assert [cell.best for cell in rows[0].cells] == [False, True, False]
    assert big_three(found.columns[0], found.baseline)[0][0] == f"{title} kept"
    page = html(found, [])
    assert f"{title} on 200 test samples of demand" in page and "Accuracy" not in page


def test_runs_of_different_metrics_are_not_compared_and_that_is_said(tmp_path):
    runs = at(0.5, 0.9)
    store = store_of(tmp_path, *runs)
    put(store, dense(), 0.3, "r2")
    put(store, runs[0], 0.3, "r2")
    store.put_measurement(seen(runs[1], [True] * 199 + [False]))
    found = compare_runs([run.id for run in runs], store)
    assert found.columns[1].accuracy is None and "B was measured in accuracy, not in R²: these are not compared" in found.caution
    store.close()
