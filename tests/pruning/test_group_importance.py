"""What a channel's score is made of: the layers that make it and those that read it, joined; beside torch-pruning where both have it."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from prunekit.config.spec import PruneSpec
from prunekit.errors import SpecError
from prunekit.pruning import trace
from prunekit.pruning.structured.importance import atom_scores
from tests.pruning.peer import Theirs, oracle

SHAPE = (3, 12, 12)
MEMBERS = [nn.modules.conv._ConvNd, nn.Linear]


class Residual(nn.Module):
    """A stem and a block that share their channels, a layer within, and a classifier that reads both."""

    def __init__(self):
        super().__init__()
        self.stem, self.within, self.back = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 6, 3, padding=1), nn.Conv2d(6, 8, 1)
        self.norm, self.head = nn.BatchNorm2d(8), nn.Linear(8, 5)

    def forward(self, x):
        x = functional.relu(self.norm(self.stem(x)))
        return self.head((x + self.back(functional.relu(self.within(x)))).mean((2, 3)))


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return Residual().eval()


def ours(net, layer, **fields):
    """Return the scores of a layer's channels, in their order."""
    graph = trace(net, SHAPE)
    by_atom = atom_scores(net, PruneSpec(mode="structured", **fields), graph, graph.groups)
    return np.array([by_atom[atom] for atom in graph.outputs[layer].tolist()])


@pytest.mark.parametrize("reduction", ["mean", "max", "prod", "sum", "first"])
def test_scores_with_readers_are_torch_prunings(net, reduction):
    theirs = Theirs(net, SHAPE)
    importance = oracle.importance.GroupMagnitudeImportance(p=1, group_reduction=reduction, normalizer=None, target_types=MEMBERS)
    for layer, size in (("stem", 8), ("within", 6)):
        expected = importance(theirs.group(layer, range(size))).numpy()
        found = ours(net, layer, consumers=True, reduction=reduction, normaliser="none")
        np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("ours_called", "theirs_called"),
    [("none", None), ("mean", "mean"), ("max", "max"), ("sum", "sum"), ("range", "standarization"), ("gaussian", "gaussian")],
)
def test_normalisers_are_torch_prunings(net, ours_called, theirs_called):
    importance = oracle.importance.GroupMagnitudeImportance(p=1, group_reduction="first", normalizer=theirs_called, target_types=MEMBERS)
    expected = importance(Theirs(net, SHAPE).group("stem", range(8))).numpy()
    np.testing.assert_allclose(ours(net, "stem", reduction="first", normaliser=ours_called), expected, rtol=1e-4, atol=1e-6)


def test_readers_behind_a_flattened_map_count_their_columns():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.Flatten(), nn.Linear(6 * 16, 4)).eval()
    graph = trace(net, (3, 4, 4))
    by_atom = atom_scores(net, PruneSpec(mode="structured", consumers=True, reduction="sum", normaliser="none"), graph, graph.groups)
    found = [by_atom[atom] for atom in graph.outputs["0"].tolist()]
    columns = net[2].weight.abs().sum(0).reshape(6, 16).mean(1)
    np.testing.assert_allclose(found, (net[0].weight.abs().flatten(1).sum(1) + columns).tolist(), rtol=1e-5)


def test_a_grouped_reader_and_a_transposed_one_count():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ConvTranspose2d(8, 4, 2), nn.Conv2d(4, 4, 1, groups=2), nn.Conv2d(4, 2, 1)).eval()
    graph = trace(net, (3, 4, 4))
    spec = PruneSpec(mode="structured", consumers=True, reduction="sum", normaliser="none")
    by_atom = atom_scores(net, spec, graph, graph.groups)
    found = [by_atom[atom] for atom in graph.outputs["0"].tolist()]
    expected = net[0].weight.abs().flatten(1).sum(1) + net[1].weight.abs().flatten(1).sum(1)
    np.testing.assert_allclose(found, expected.tolist(), rtol=1e-5)


def test_what_does_not_go_together_is_refused():
    with pytest.raises(SpecError, match="tells nothing of columns"):
        PruneSpec(mode="structured", criterion="bn_scale", consumers=True)
    with pytest.raises(SpecError, match="negative below the mean"):
        PruneSpec(mode="structured", reduction="prod", normaliser="gaussian")
    with pytest.raises(SpecError, match="belongs to mode 'structured'"):
        PruneSpec(reduction="max")
