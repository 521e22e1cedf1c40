"""Tasks that are no classification, from pruning in all modes to the last word: a table's, a recommender's, and the user's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from prunekit import PruneSpec, compare, evaluate, fine_tune, load_data, load_model, prune, sweep
from prunekit.config.recovery import Recovery
from prunekit.evaluation.max_sparsity import confirm, furthest
from prunekit.evaluation.sensitivity.drop_curves import drop_curves
from prunekit.evaluation.sensitivity.measure import sensitivity
from prunekit.evaluation.sensitivity.suggested_targets import suggest
from prunekit.evaluation.sweep import Scored
from prunekit.models.cost import count
from prunekit.tasks.input_form import form_of
from tests.tasks.test_seam import MINE

DATA = """

def data():
    return {"train": Days(300, 1), "validation": Days(80, 2), "test": Days(100, 3)}
data.task = Demand()
"""
SPECS = (
    PruneSpec(sparsity=0.5),
    PruneSpec(sparsity=0.5, criterion="taylor"),
    PruneSpec(sparsity=0.5, criterion="snip"),
    PruneSpec(sparsity=0.5, criterion="wanda"),
    PruneSpec(mode="nm", pattern="2:4"),
    PruneSpec(mode="structured", sparsity=0.5),
    PruneSpec(mode="structured", sparsity=0.5, criterion="taylor"),
)
TRAINED = Recovery(epochs=15, lr=0.01, optimizer="adam", batch_size=30)


@dataclass(frozen=True)
class Case:
    """A model that knows something, its data, and what is told of it."""

    model: nn.Module
    data: Any
    metric: str
    better: str
    much: float = 0.8  # a sparsity of which a few epochs on these data win something back


def own(folder: Path) -> Case:
    """Return the user's own task, from a file."""
    (folder / "mine.py").write_text(MINE + DATA)
    model, data = load_model(f"{folder / 'mine.py'}:model"), load_data(f"{folder / 'mine.py'}:data")
    return Case(fine_tune(model, data, TRAINED).model, data, "mean_error", "lower")


@pytest.fixture(scope="module", params=["table", "own", pytest.param("clicks", marks=pytest.mark.slow)])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Return each of them."""
    if request.param == "clicks":
        return Case(load_model("clicks_dlrm"), load_data("clicks", limit=3000), "auc", "higher", much=0.95)
    if request.param == "table":
        return Case(load_model("diabetes_mlp"), load_data("diabetes"), "r2", "higher")
    return own(tmp_path_factory.mktemp("mine"))


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.mode}-{spec.criterion}")
def test_pruning_in_all_modes_is_judged_by_the_headline_metric(case: Case, spec: PruneSpec) -> None:
    dense = evaluate(case.model, case.data.test)
    assert (dense.metric.name, dense.metric.better, dense.n) == (case.metric, case.better, len(case.data.test))
    result = prune(case.model, spec, case.data)
    assert result.achieved.removed > 0 and (result.proof is None or result.proof.passed)
    pruned = evaluate(result.model, case.data.test)
    difference = compare(dense, pruned)
    assert difference.metric.name == case.metric and pruned.low <= pruned.value <= pruned.high
    assert difference.value == pytest.approx(pruned.value - dense.value)
    assert dense.metric.loss(dense.value, pruned.value) == pytest.approx(dense.metric.lost(difference).value)


def test_macs_are_those_of_the_linear_layers(case: Case) -> None:
    linear = [module for module in case.model.modules() if isinstance(module, nn.Linear)]
    assert count(case.model, form_of(case.model, (10,))).macs == sum(module.weight.numel() for module in linear)


def test_sensitivity_is_a_loss_of_quality_and_that_of_each_layer_pruned_alone(case: Case) -> None:
    found = sensitivity(case.model, case.data, PruneSpec(), (0.5, 0.9), batch_size=30)
    dense = evaluate(case.model, case.data.validation)
    assert found.dense.value == pytest.approx(dense.value, rel=1e-5) and found.dense.metric.name == case.metric and not found.notes
    for layer, curve in zip(found.layers, drop_curves(found), strict=True):
        for point, at in zip(layer.points, curve.measured[1:], strict=True):
            alone = prune(case.model, PruneSpec(sparsity=point.requested, scope="uniform", layers=[layer.name]), case.data)
            value = evaluate(alone.model, case.data.validation).value
            assert point.accuracy.value == pytest.approx(value, rel=1e-4)
            assert at == pytest.approx(dense.metric.loss(found.dense.value, point.accuracy.value))
    allowed = 0.1 * abs(dense.value)
    goal = suggest(found, drop=allowed, totals=(1000, 1000))
    assert 0 <= goal.drop <= allowed and "%" in goal.sentence
    again = sensitivity(case.model, case.data, PruneSpec(), (0.5, 0.9), start=found)
    assert again.to_dict() == found.to_dict()


@pytest.mark.parametrize("mode", ["unstructured", "structured"])
def test_a_sweep_and_how_far_go_by_the_headline_metric(case: Case, mode: str) -> None:
    points = list(sweep(case.model, PruneSpec(mode=mode), (0.0, 0.9), case.data))
    dense = evaluate(case.model, case.data.test)
    assert points[0].accuracy.value == pytest.approx(dense.value, rel=1e-5)
    assert dense.metric.loss(dense.value, points[1].accuracy.value) > 0
    known = evaluate(case.model, case.data.validation)
    scored = Scored(case.model, PruneSpec(mode=mode), form_of(case.model, (10,)), case.data)
    allowed = 0.15 * abs(known.value)
    found = furthest(lambda sparsity: evaluate(scored.at(sparsity).model, case.data.validation), known, allowed, resolution=0.05)
    assert 0 < found.sparsity < 0.99 and found.drop.metric.lost(found.drop).value <= allowed
    told = confirm(dense, evaluate(scored.at(found.sparsity).model, case.data.test), allowed)
    assert told.holds == (told.drop.metric.lost(told.drop).value <= allowed)


@pytest.mark.parametrize("distill", [0.0, 0.5])
def test_fine_tuning_keeps_the_best_epoch_in_the_metrics_direction(case: Case, distill: float) -> None:
    result = prune(case.model, PruneSpec(sparsity=case.much), case.data)
    tuned = fine_tune(
        result.model, case.data, Recovery(epochs=5, lr=0.005, optimizer="adam", distill=distill), masks=result.masks, teacher=case.model
    )
    values = [epoch.validation.value for epoch in tuned.history if epoch.validation is not None]
    best = (max if case.better == "higher" else min)(values)
    assert len(values) == 5 and values[tuned.best - 1] == best
    assert evaluate(tuned.model, case.data.validation).value == pytest.approx(best, rel=1e-5)
    metric = evaluate(case.model, case.data.validation).metric
    assert metric.is_better(best, evaluate(result.model, case.data.validation).value)
    assert result.masks is not None
    for name, mask in result.masks.items():
        weight: Any = tuned.model.get_submodule(name).weight
        assert not torch.any(weight[~mask])
