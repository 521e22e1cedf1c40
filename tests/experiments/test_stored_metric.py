"""Any metric through the store: to the last bit, compared in pairs as in memory, and shown where its task is gone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from prunekit.errors import DataError, PrunekitError
from prunekit.evaluation.paired import compare
from prunekit.evaluation.quality import Evaluation, accuracy_of
from prunekit.experiments.records import Measurement, Run
from prunekit.experiments.recovery_run import epoch_of
from prunekit.experiments.store import RunStore
from prunekit.tasks import task
from prunekit.tasks.observations import Observations
from prunekit.training.result import Epoch

OWN = """
from prunekit.tasks import metric

@metric(better="lower", unit="kWh")
def mean_error(seen):
    return abs(seen["error"]).mean()

class Demand:
    metrics = [mean_error]
    def loss(self, output, batch):
        return output.sum()
    def observe(self, output, batch):
        return {"error": output[:, 0]}

task = Demand()
"""
DENSE = Run("a" * 64, "dense", "a model", {"name": "m"}, "w")


def regression(noise: float, of=None, metric: str = "r2") -> Evaluation:
    of, made = of or task("regression"), np.random.default_rng(0)
    target = made.normal(size=40)
    seen = Observations.of(prediction=target + noise * made.normal(size=40), target=target)
    return Evaluation.of(seen, of.metric(metric), task=of)


@pytest.fixture
def store(tmp_path):
    made = RunStore(tmp_path / "runs.sqlite")
    made.put_run(DENSE)
    yield made
    made.close()


def through(store, found: Evaluation) -> Measurement:
    row = Measurement.of(DENSE.id, found, {"name": "d"}, "h", "test")
    store.put_measurement(row)
    return store.measurement(row.id)


@pytest.mark.parametrize("name", ["r2", "mae", "rmse"])
def test_a_regression_comes_back_to_the_last_bit_and_is_compared_in_pairs(store, name):
    pair = [regression(0.1, metric=name), regression(0.5, metric=name)]
    rows = [through(store, each) for each in pair]
    kept = [row.evaluation for row in rows]
    assert rows[0].what == "quality" and rows[0].id == rows[1].id
    assert kept == pair and all(a.metric.name == name and a.metric.better == b.metric.better for a, b in zip(kept, pair, strict=True))
    assert all(np.array_equal(a.observations.values, b.observations.values) for a, b in zip(kept, pair, strict=True))
    assert compare(*kept) == compare(*pair) and compare(*kept).significant
    assert kept[0].document()["metrics"].keys() == {"r2", "mae", "rmse"}
    assert store.quality(DENSE.id, "h", "test", 40, metric=name) == pair[1] and store.quality(DENSE.id, "h", "test", 40) is None


def test_targets_of_a_unit_of_their_own_keep_it(store):
    of = task("regression").scaled(3.0, 2.0, "kWh")
    kept = through(store, regression(0.1, of, "mae")).evaluation
    assert (
        kept.metric.unit == "kWh" and kept.document()["metrics"]["rmse"]["unit"] == "kWh" and kept.document()["metrics"]["r2"]["unit"] == ""
    )


def test_what_a_task_took_from_its_data_does_not_make_it_another_one(store):
    detection = replace(task("object-detection"), classes=2, areas=(225.0, 625.0))
    held = {"score": [[0.9, -1.0], [0.4, 0.2]], "class": [[0, 0], [1, 0]]}
    sizes = {f"hit_{size}": [[1, 0], [1023, 1]] for size in ("all", "small", "medium", "large")}
    wanted = {f"target_{size}": [[1, 0], [1, 1]] for size in ("all", "small", "medium", "large")}
    found = Evaluation.of(Observations.of(**held, **sizes, **wanted), detection.headline, task=detection)
    back = through(store, found).evaluation
    assert compare(back, found).p_value == 1.0
    assert [each.value for each in map(back.under, back.figures())] == [each.value for each in map(found.under, found.figures())]


def test_where_the_task_of_ones_own_is_gone_its_figures_are_shown_and_compared_with_nothing(store, tmp_path):
    file = tmp_path / "demand.py"
    file.write_text(OWN)
    of = task(f"{file}:task")
    found = Evaluation.of(Observations.of(error=[1.0, -2.0, 3.0]), of.headline, task=of)
    row = through(store, found)
    assert row.evaluation == found and compare(row.evaluation, found).value == 0
    for change in (lambda: file.write_text(OWN.replace("abs(", "2 * abs(")), file.unlink):
        change()
        kept = store.measurement(row.id).evaluation
        assert (kept.value, kept.low, kept.high, kept.n) == (found.value, found.low, found.high, 3)
        assert kept.metric.format(kept.value) == "2.00 kWh" and kept.metric.better == "lower"
        with pytest.raises(DataError, match=r"Mean error cannot be compared here: .*Measure again"):
            compare(kept, kept)


def test_accuracy_lies_there_as_it_did(store):
    found = accuracy_of([True, False, True])
    row = through(store, found)
    assert row.observations == b"\xa0" and row.what == "accuracy" and set(row.value) == {"value", "low", "high", "n"}
    with pytest.raises(PrunekitError):
        replace(row, what="predictions").evaluation  # noqa: B018 (it raises)


def test_a_stored_accuracy_is_compared_with_one_that_was_measured_now(store):
    of, seen = task("image-classification"), {"label": [0, 1, 1, 0], "predicted": [0, 1, 0, 1]}
    fresh = Evaluation.of(Observations.of(correct=[1, 1, 0, 0], **seen), of.headline, task=of)
    kept = through(store, fresh).evaluation
    assert kept.observations.columns == ("correct",) and compare(kept, fresh).value == 0 and compare(fresh, kept).value == 0
    with pytest.raises(DataError, match="same samples"):
        compare(kept, accuracy_of([True] * 5))


def test_an_epoch_keeps_what_its_quality_is_called():
    epoch = Epoch(1, 0.0, 0.1, 0.5, 0.5, regression(0.1, metric="mae"), 0.0)
    read = epoch_of(epoch.to_dict())
    assert read == epoch and read.validation.metric.title == "Mean absolute error" and read.validation.metric.better == "lower"
