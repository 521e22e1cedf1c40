"""Under norms over channels, in attention and in products, a group's sensitivity is that of the really smaller model."""

import numpy as np
import pytest
import torch
from torch import nn

from prunekit.config.spec import PruneSpec
from prunekit.data.dataset import Normal, TensorSplit
from prunekit.evaluation.accuracy import evaluate
from prunekit.evaluation.sensitivity.isolated_pruning import alone
from prunekit.evaluation.sensitivity.measure import sensitivity
from prunekit.evaluation.sensitivity.replay import Replay
from prunekit.pruning.masked_reference import zeroed
from prunekit.pruning.proof_inputs import randomise
from prunekit.pruning.structured.surgery import shrink
from tests.transformers import SHAPE, build


class SharedNorm(nn.Module):
    """One norm, called twice: once before the layer that is measured last, once behind it."""

    def __init__(self):
        super().__init__()
        self.enter, self.inner = nn.Conv2d(3, 12, 8, stride=8), nn.Linear(12, 12)
        self.norm, self.head = nn.LayerNorm(12), nn.Linear(12, 7)

    def forward(self, x):
        x = self.norm(self.enter(x).flatten(2).transpose(1, 2))
        return self.head(self.norm(x + torch.relu(self.inner(x))).mean(1))


class Gated(nn.Module):
    """A norm over a hidden width alone, and a product that needs zeros where a sigmoid gives a half."""

    def __init__(self):
        super().__init__()
        self.enter, self.hidden, self.norm = nn.Conv2d(3, 8, 8, stride=8), nn.Linear(8, 14), nn.LayerNorm(14, elementwise_affine=False)
        self.other, self.head = nn.Linear(8, 14), nn.Linear(16, 7)

    def forward(self, x):
        x = self.enter(x).flatten(2).transpose(1, 2)
        return self.head((torch.sigmoid(self.norm(self.hidden(x))) @ torch.sigmoid(self.other(x)).transpose(1, 2)).mean(1))


NETS = {"shared": SharedNorm, "gated": Gated, **{name: lambda name=name: build(name) for name in ("vit", "encoder", "grouped", "swin")}}


def split(n=90):
    noise = torch.Generator().manual_seed(1)
    labels = np.random.default_rng(1).integers(0, 7, n)
    return TensorSplit(torch.rand(n, *SHAPE, generator=noise), labels, Normal((0.5,) * 3, (0.25,) * 3), 1.0)


SPEC = PruneSpec(mode="structured", criterion="random", seed=4)
POINTS = [0.3, 0.6]


@pytest.mark.parametrize("name", NETS)
def test_each_row_gives_what_the_smaller_model_gives(name):
    model, x, differs = randomise(NETS[name]()), split().images(np.arange(90)), 0
    rows = alone(model, SPEC, POINTS, SHAPE)
    replay = Replay(model, x[:2], [row.touched for row in rows])
    replay.load(x)
    assert not replay.reason
    for i, row in enumerate(rows):
        for j, plan in enumerate(row.plans):
            small = shrink(model, plan).eval()
            with torch.no_grad():
                expected = small(x)
                torch.testing.assert_close(replay.predict(i, row.gone(j), row.removal(j)), expected, rtol=1e-4, atol=1e-5)
                differs += bool((zeroed(model, plan)(x) - expected).abs().max() > 1e-2)
    assert differs, "zeroes alone would have done"


@pytest.mark.parametrize("name", ["encoder", "grouped"])
def test_each_point_is_the_accuracy_of_the_smaller_model(name):
    model, images = randomise(NETS[name]()), split()
    rows = {row.name: row for row in alone(model, SPEC, POINTS, SHAPE)}
    found = sensitivity(model, images, SPEC, POINTS)
    assert {layer.name for layer in found.layers} == set(rows)
    for layer in found.layers:
        for point, plan in zip(layer.points, rows[layer.name].plans, strict=True):
            assert (point.accuracy.correct == evaluate(shrink(model, plan).eval(), images).correct).all()
    assert any(point.accuracy != found.dense for layer in found.layers for point in layer.points)


def test_a_network_of_batch_norms_is_measured_by_zeroes_alone():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 6, 3), nn.Flatten(), nn.Linear(6 * 784, 7)).eval()
    for row in alone(model, SPEC, POINTS, SHAPE):
        assert all(row.removal(j) is None for j in range(len(row.plans)))
