"""A sweep gives what pruning and measuring each point alone gives, and leaves the dense model alone."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from prunekit.config.spec import PruneSpec
from prunekit.data.dataset import Normal, TensorSplit
from prunekit.errors import DataError, PrunekitError, PruningError, SpecError
from prunekit.evaluation.accuracy import evaluate
from prunekit.evaluation.progress import Cancelled, Progress
from prunekit.evaluation.sweep import Scored, sweep
from prunekit.models.cost import count
from prunekit.models.state import state_hash
from prunekit.pruning.api import prune

POINTS = [0.0, 0.5, 0.25, 0.9]


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(256, 32), nn.ReLU(), nn.Linear(32, 10)),
    )
    for module in net:
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return net.eval().requires_grad_(False)


def split(n: int = 200, seed: int = 1) -> TensorSplit:
    generator = torch.Generator().manual_seed(seed)
    return TensorSplit(torch.rand(n, 1, 8, 8, generator=generator), [i % 10 for i in range(n)], Normal((0.5,), (0.5,)), 1.0)


SPECS = [
    PruneSpec(),
    PruneSpec(scope="uniform", criterion="random", seed=3),
    PruneSpec(layers=("3", "7"), overrides={"7": 0.2}),
    PruneSpec(mode="structured"),
    PruneSpec(mode="structured", scope="uniform", layers=("0", "3", "7")),
]


@pytest.mark.parametrize("spec", SPECS)
def test_each_point_is_what_pruning_alone_gives(model: nn.Module, spec: PruneSpec) -> None:
    data, before = split(), state_hash(model)
    points = [0.2, 0.25, 0.21] if spec.overrides else POINTS
    found = list(sweep(model, spec, points, data))
    assert [p.requested for p in found] == points
    for point in found:
        alone = prune(model, spec.at(point.requested), input_shape=(1, 8, 8))
        assert (point.accuracy.correct == evaluate(alone.model, data).correct).all()
        assert point.sparsity == pytest.approx(alone.achieved.sparsity)
        assert point.counts == alone.after == count(alone.model, (1, 8, 8))
    assert state_hash(model) == before


def test_the_dense_point_is_the_dense_model(model: nn.Module) -> None:
    data = split()
    for mode in ("unstructured", "structured"):
        first = next(iter(sweep(model, PruneSpec(mode=mode), [0], data)))
        assert first.sparsity == 0
        assert first.accuracy == evaluate(model, data)
        assert first.counts == count(model, (1, 8, 8))


@pytest.mark.parametrize("spec", SPECS)
def test_a_scored_model_gives_any_sparsity_in_any_order(model: nn.Module, spec: PruneSpec) -> None:
    scored = Scored(model, spec, (1, 8, 8))
    for sparsity in (0.25, 0.21, 0.25):
        scored.check(sparsity)
        made, alone = scored.at(sparsity), prune(model, spec.at(sparsity), input_shape=(1, 8, 8))
        assert state_hash(made.model) == state_hash(alone.model)
        assert (made.sparsity, made.counts) == (pytest.approx(alone.achieved.sparsity), alone.after)
    with pytest.raises(PrunekitError, match="a pattern has one sparsity"):
        Scored(model, PruneSpec(mode="nm"), (1, 8, 8))


def test_points_come_one_by_one(model: nn.Module) -> None:
    seen: list[float] = []
    points = sweep(model, PruneSpec(), POINTS, split(), progress=Progress(lambda share, text: seen.append(share)))
    assert seen == []
    next(points)
    assert max(seen) == 0.25
    list(points)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_the_chosen_part_of_the_data_is_used(model: nn.Module) -> None:
    data = SimpleNamespace(test=split(50), validation=split(70, 2), train=None)
    assert next(sweep(model, PruneSpec(), [0.5], data)).accuracy == evaluate(prune(model, PruneSpec(), data).model, data.test)
    assert next(sweep(model, PruneSpec(), [0.5], data, split="validation")).accuracy.n == 70
    with pytest.raises(DataError, match="no train part"):
        sweep(model, PruneSpec(), [0.5], data, split="train")
    with pytest.raises(DataError, match="split must be one of"):
        sweep(model, PruneSpec(), [0.5], data, split="tset")


def test_cancel_stops_between_points(model: nn.Module) -> None:
    cancel = threading.Event()
    points = sweep(model, PruneSpec(), POINTS, split(), progress=Progress(cancel=cancel))
    next(points)
    cancel.set()
    with pytest.raises(Cancelled):
        next(points)


def test_bad_input_is_said_before_anything_is_measured(model: nn.Module) -> None:
    with pytest.raises(SpecError, match="sparsity"):
        sweep(model, PruneSpec(), [0.5, 1.0], split())
    with pytest.raises(PrunekitError, match="at least one sparsity"):
        sweep(model, PruneSpec(), [], split())
    with pytest.raises(PruningError, match="no prunable layer"):
        sweep(model, PruneSpec(layers=("nowhere",)), [0.5], split())
    with pytest.raises(PruningError, match="Raise sparsity to that"):
        sweep(model, PruneSpec(overrides={"7": 0.2}), [0.1, 0.9], split())
    with pytest.raises(DataError, match="no samples"):
        sweep(model, PruneSpec(), [0.5], split(0))


def test_a_point_as_plain_values(model: nn.Module) -> None:
    plain = next(sweep(model, PruneSpec(), [0.5], split())).to_dict()
    assert list(plain) == ["requested", "sparsity", "accuracy", "params", "nonzero", "macs", "effective_macs"]
    assert list(plain["accuracy"]) == ["value", "low", "high", "n"]
    assert plain["effective_macs"] < plain["macs"]
