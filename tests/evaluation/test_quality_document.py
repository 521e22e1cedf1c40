"""The JSON of a quality: of any metric, and of a classifier as it always was."""

from __future__ import annotations

from prunekit.cli.tables import metric_rows, quality_text
from prunekit.evaluation.quality import Evaluation, accuracy_of, quality_document
from prunekit.tasks import task
from prunekit.tasks.observations import Observations

KEYS = {"value", "low", "high", "n", "title", "unit", "better"}


def test_a_classifier_has_its_accuracy_beside_the_metrics():
    found = accuracy_of([True, True, False, True]).document()
    assert found["metric"] == "accuracy" and set(found["metrics"]["accuracy"]) == KEYS
    assert found["accuracy"] == {name: found["metrics"]["accuracy"][name] for name in ("value", "low", "high", "n")}
    assert metric_rows(found, found)[0][:2] == ("accuracy", "75.0 % (30.1 to 95.4 %, n = 4)")


def test_every_metric_of_a_task_is_told_with_its_unit_and_direction():
    of = task("regression").scaled(0.0, 1.0, "kWh")
    seen = Observations.of(prediction=[1.0, 2.0, 3.5, 4.0, 6.0], target=[1.0, 2.5, 3.0, 4.5, 5.0])
    found = Evaluation.of(seen, of.headline, task=of).document()
    assert found["accuracy"] is None and found["metric"] == "r2" and list(found["metrics"]) == ["r2", "mae", "rmse"]
    assert all(set(each) == KEYS for each in found["metrics"].values())
    assert {name: (each["unit"], each["better"]) for name, each in found["metrics"].items()} == {
        "r2": ("", "higher"), "mae": ("kWh", "lower"), "rmse": ("kWh", "lower"),
    }  # fmt: skip
    assert quality_text(found["metrics"]["mae"]).startswith("0.500 kWh (") and "n = 5" in quality_text(found["metrics"]["mae"])
    assert list(Evaluation.of(seen, of.headline, task=of).document(every=False)["metrics"]) == ["r2"]


def test_nothing_measured_is_said_as_such():
    assert quality_document(None) == {"accuracy": None, "metric": None, "metrics": {}}
    assert metric_rows(quality_document(None)) == [("quality", "not measured")]
