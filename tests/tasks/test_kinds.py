"""Classification and regression against scikit-learn and torch, and what they refuse."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, mean_absolute_error, r2_score, root_mean_squared_error
from torch import nn

from prunekit.data.load import load_data
from prunekit.data.own_samples import OwnSamples
from prunekit.errors import DataError, ModelError
from prunekit.evaluation.accuracy import evaluate
from prunekit.evaluation.paired import compare
from prunekit.models.load import load_model
from prunekit.tasks.batch import Batch
from prunekit.tasks.observations import Observations
from prunekit.tasks.protocol import Task
from prunekit.tasks.registry import TASKS, task
from prunekit.tasks.regression import Regression

IMAGES: Any = task("image-classification")
REGRESSION = task("regression")
OF_PICTURES = ("object-detection", "semantic-segmentation")
"""Their targets are more than a number: tests of their own refuse what is wrong."""


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@given(st.integers(1, 30), st.integers(2, 6), st.integers(0, 10**6))
def test_classification_is_sklearns_and_torchs(n: int, classes: int, seed: int) -> None:
    scores, labels = draw(seed, n, classes), torch.from_numpy(np.random.default_rng(seed).integers(0, classes, n))
    batch = Batch.of(torch.zeros(n, 1), labels)
    seen = IMAGES.observe(scores, batch)
    assert seen.columns == ("correct", "predicted", "label")
    assert IMAGES.headline.reduce(seen) == pytest.approx(accuracy_score(labels, scores.argmax(1)))
    by_hand = -scores.double().log_softmax(1)[torch.arange(n), labels].mean()
    assert float(IMAGES.loss(scores, batch)) == pytest.approx(float(by_hand), rel=1e-5)


@given(st.integers(2, 30), st.integers(1, 3), st.integers(0, 10**6), st.floats(-1e4, 1e4))
def test_regression_is_sklearns(n: int, outputs: int, seed: int, offset: float) -> None:
    target, prediction = draw(seed, n, outputs).double() + offset, draw(seed + 1, n, outputs).double() + offset
    seen = REGRESSION.observe(prediction, Batch.of(torch.zeros(n, 1), target))
    expected = {"r2": r2_score, "mae": mean_absolute_error, "rmse": root_mean_squared_error}
    for name, reference in expected.items():
        assert REGRESSION.metric(name).reduce(seen) == pytest.approx(reference(target.numpy(), prediction.numpy()), rel=1e-6, abs=1e-6)
    assert float(REGRESSION.loss(prediction, Batch.of(torch.zeros(n, 1), target))) == pytest.approx(
        float((prediction - target).square().mean())
    )


@given(st.integers(1, 8), st.integers(2, 5), st.integers(0, 10**6), st.floats(0.5, 5))
def test_distillation_follows_its_formula(n: int, classes: int, seed: int, temperature: float) -> None:
    student, teacher, batch = draw(seed, n, classes), draw(seed + 1, n, classes), Batch.of(torch.zeros(n, 1))
    p, q = ((each.double() / temperature).softmax(1) for each in (student, teacher))
    by_hand = (q * (q / p).log()).sum(1).mean() * temperature**2
    assert float(IMAGES.distance(student, teacher, batch, temperature)) == pytest.approx(float(by_hand), rel=1e-3, abs=1e-5)
    assert float(IMAGES.distance(student, student, batch, temperature)) == pytest.approx(0, abs=1e-5)
    assert float(REGRESSION.distance(student, teacher, batch)) == pytest.approx(float((student - teacher).square().mean()), rel=1e-5)
    with pytest.raises(ModelError, match="another form: value; the model: output"):
        REGRESSION.distance(student, {"value": teacher}, batch)


def test_label_smoothing_is_torchs() -> None:
    scores, labels = draw(0, 6, 4), torch.tensor([0, 1, 2, 3, 0, 1])
    smooth = replace(IMAGES, smoothing=0.1)
    spread = torch.full((6, 4), 0.025).scatter(1, labels[:, None], 0.925)
    assert torch.allclose(smooth.loss(scores, Batch.of(torch.zeros(6), labels)), -(spread * scores.log_softmax(1)).sum(1).mean())


@pytest.mark.parametrize("shape", [(6,), (6, 1)])
@pytest.mark.parametrize("targets", [(6,), (6, 1)])
def test_predictions_and_targets_of_other_shapes_never_broadcast(shape: Any, targets: Any) -> None:
    prediction, target = draw(0, *shape), draw(1, *targets)
    batch = Batch.of(torch.zeros(6, 2), target)
    expected = (prediction.flatten() - target.flatten()).square().mean()
    assert torch.allclose(REGRESSION.loss(prediction, batch), expected)
    assert REGRESSION.observe(prediction, batch).columns == ("prediction", "target")


def test_the_prediction_among_several_tensors() -> None:
    target = draw(0, 6)
    batch = Batch.of(torch.zeros(6, 2), target)
    wanted = (draw(1, 6) - target).square().mean()
    assert torch.allclose(REGRESSION.loss({"hidden": draw(2, 6, 4), "value": draw(1, 6)}, batch), wanted)
    assert torch.allclose(REGRESSION.loss({"spread": draw(2, 6), "prediction": draw(1, 6)}, batch), wanted)
    with pytest.raises(ModelError, match=r"several that may be meant: a \[6\]; b \[6, 1\]"):
        REGRESSION.loss({"a": draw(1, 6), "b": draw(2, 6, 1)}, batch)
    with pytest.raises(ModelError, match=r"targets are \[6\], and the model returns no tensor of that shape: output \[6, 3\]"):
        REGRESSION.loss(draw(1, 6, 3), batch)


def test_standardised_targets_are_observed_in_their_own_unit() -> None:
    assert isinstance(REGRESSION, Regression)
    raw, prediction = draw(0, 40) * 77 + 152, draw(1, 40) * 70 + 150
    plain = REGRESSION.observe(prediction, Batch.of(torch.zeros(40, 1), raw))
    scaled = REGRESSION.scaled(152.0, 77.0, "mg/dl")
    seen = scaled.observe((prediction - 152) / 77, Batch.of(torch.zeros(40, 1), (raw - 152) / 77))
    assert np.allclose(plain.values, seen.values, rtol=1e-4)
    assert scaled.metric("rmse").format(60.0) == "60.0 mg/dl" and scaled.metric("r2").unit == ""
    assert scaled.identity != REGRESSION.identity and scaled.name == REGRESSION.name


@pytest.mark.parametrize("name", [name for name in TASKS if name not in OF_PICTURES])
def test_what_is_not_finite_and_what_is_no_target_is_refused(name: str) -> None:
    each = TASKS[name]
    classes = "classification" in name
    good: Any = torch.tensor([0, 1, 0]) if classes else draw(0, 3)
    output = draw(1, 3, 2) if classes else draw(1, 3)
    if name == "language-modelling":
        good, output = torch.randint(5, (3, 4)), draw(1, 3, 4, 5)
    if name == "semantic-segmentation":
        good, output = torch.randint(5, (3, 4, 6)), draw(1, 3, 5, 2, 3)
    if name == "recommendation":
        good = {"label": torch.tensor([0, 1, 0]), "user": torch.zeros(3, dtype=torch.int64)}
    assert each.observe(output, Batch.of(torch.zeros(3, 1), good)).n == 3
    with pytest.raises(ModelError, match="NaN or infinity"):
        each.observe(output / 0, Batch.of(torch.zeros(3, 1), good))
    for wrong in (None, [1, 2, 3], torch.zeros(2), torch.tensor(1)):
        with pytest.raises(DataError, match=r"of 3 (samples|images|texts|windows|candidates)"):
            each.loss(output, Batch.of(torch.zeros(3, 1), wrong))


def test_constant_targets_leave_r2_undefined() -> None:
    seen = Observations.of(prediction=np.arange(5.0), target=np.full(5, 0.1))
    with pytest.raises(DataError, match="R² is undefined on these 5 samples"):
        REGRESSION.headline.reduce(seen)
    assert np.isnan(REGRESSION.headline.interval(seen)).all()


@pytest.mark.parametrize("name", TASKS)
def test_every_task_is_one(name: str) -> None:
    each = TASKS[name]
    assert isinstance(each, Task) and each.name == name and each.headline is each.metrics[0]
    assert each.count(1) == f"1 {each.unit_of_data}" and each.count(1234) == f"1,234 {each.units_of_data}"
    assert hash(each) == hash(TASKS[name])


def test_the_seam_says_what_is_measured_today() -> None:
    model, data = load_model("digits_mlp"), load_data("digits")
    torch.manual_seed(0)
    other = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()
    seen = []
    for each in (model, other):
        with torch.inference_mode():
            parts = [IMAGES.observe(IMAGES.forward(each, batch), batch) for batch in (Batch.of(x, y) for x, y in data.test.batches(100))]
        seen.append(Observations.concat(parts))
        today, now = evaluate(each, data.test), IMAGES.headline.summary(seen[-1])
        assert (now["value"], now["low"], now["high"], now["n"]) == (today.value, today.low, today.high, today.n)
    difference, before = IMAGES.headline.compare(*seen), compare(evaluate(model, data.test), evaluate(other, data.test))
    assert difference.to_dict() == before.to_dict()
    assert IMAGES.headline.format_difference(difference) == before.sentence()


def test_an_example_runs_and_a_failure_says_with_what() -> None:
    model = load_model("digits_cnn")
    batch = IMAGES.example(model)
    assert IMAGES.tensors(IMAGES.forward(model, batch))["output"].shape == (batch.samples, 10)
    with pytest.raises(ModelError, match=r"does not run on samples of shape \[3, 8, 8\]"):
        IMAGES.forward(model, Batch.of(torch.zeros(2, 3, 8, 8)))


def test_inputs_follow_the_models_type_and_integers_stay() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.linear = nn.Embedding(9, 4), nn.Linear(4, 1)

        def forward(self, x: torch.Tensor, *, ids: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"value": self.linear(x + self.table(ids)), "ids": ids}

    batch = Batch((torch.zeros(3, 4),), {"ids": torch.arange(3)}, torch.zeros(3))
    out = REGRESSION.forward(Two().double(), batch)
    assert out["value"].dtype is torch.float64 and out["ids"].dtype is torch.int64
    assert set(REGRESSION.tensors(out)) == {"value", "ids"}
    assert set(REGRESSION.tensors((out, [out["value"], None]))) == {"0.value", "0.ids", "1.0"}
    half = REGRESSION.loss(out["value"].half(), batch)
    assert half.dtype is torch.float32


def test_names_metrics_and_text_need_no_torch() -> None:
    code = (
        "import sys; from prunekit.tasks import TASKS, Metric, Observations, task\n"
        "seen = Observations.of(prediction=[1, 2, 4.0], target=[1, 2, 3.0])\n"
        "metric = task('table-regression').headline; metric.format(metric.reduce(seen)); metric.summary(seen)\n"
        "print('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert out.stdout.split() == ["False"]


def test_samples_of_any_form_have_no_picture_whatever_the_task() -> None:
    samples = OwnSamples([(torch.zeros(8, dtype=torch.long), 1)], "ids")
    assert IMAGES.shown(samples, 0) is None
