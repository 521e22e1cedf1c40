"""Scope isomorphic: groups that are built alike compete, and every set of them gives the same share; beside torch-pruning."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

import prunekit
from prunekit.config.spec import PruneSpec
from prunekit.errors import SpecError
from prunekit.pruning import trace
from prunekit.pruning.structured.ranking import ChannelRanking
from tests.pruning.peer import oracle

SHAPE = (3, 8, 8)


class Blocks(nn.Module):
    """Two chains of inner layers with norms, two of linear layers: what is alike scores on another scale."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 1)
        self.inner = nn.ModuleList(nn.Sequential(nn.Conv2d(16, 8 * n, 3, padding=1), nn.BatchNorm2d(8 * n)) for n in (1, 3))
        self.outer = nn.ModuleList(nn.Conv2d(8 * n, 16, 1) for n in (1, 3))
        self.head = nn.ModuleList([nn.Linear(16, 20), nn.Linear(20, 12), nn.Linear(12, 4)])

    def forward(self, x):
        x = self.stem(x)
        for inner, outer in zip(self.inner, self.outer, strict=True):
            x = x + outer(functional.relu(inner(x)))
        x = x.mean((2, 3))
        return self.head[2](functional.relu(self.head[1](functional.relu(self.head[0](x)))))


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(1)
    return Blocks().eval()


def test_like_groups_compete_and_every_set_gives_its_share(net):
    layers = [name for name, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.Linear) and name != "head.2"]
    spec = PruneSpec(mode="structured", scope="isomorphic", sparsity=0.5, layers=layers, normaliser="none")
    ranking = ChannelRanking.of(net, spec, trace(net, SHAPE))
    sets = {}
    for name, form in ranking.forms.items():
        sets.setdefault(form, []).append(name)
    assert ["inner.0.0", "inner.1.0"] in sets.values() and ["head.0", "head.1"] in sets.values()
    plan = ranking.cut()
    lost = {group.id: int(plan.gone[group.atoms].sum()) for group in plan.groups}
    for names in sets.values():
        size = sum(group.size for group in plan.groups if group.id in names)
        assert abs(sum(lost[name] for name in names) - size / 2) <= 1
    result = prunekit.prune(net, spec, input_shape=SHAPE)
    assert result.proof is not None and result.achieved.sparsity == pytest.approx(0.5, abs=0.01)

    theirs = copy.deepcopy(net).requires_grad_(True)
    importance = oracle.importance.GroupMagnitudeImportance(
        p=1, group_reduction="first", normalizer=None, target_types=[nn.Conv2d, nn.Linear]
    )
    pruner = oracle.pruner.BasePruner(
        theirs, torch.zeros(1, *SHAPE), importance, global_pruning=True, isomorphic=True, pruning_ratio=0.5, ignored_layers=[theirs.head[2]]
    )
    pruner.step()
    first = prunekit.prune(net, PruneSpec(**{**spec.to_dict(), "reduction": "first"}), input_shape=SHAPE)
    for inner, own in (("inner.0.0", theirs.inner[0][0]), ("inner.1.0", theirs.inner[1][0])):
        assert len(first.kept[inner]) == own.out_channels
    for i in (0, 1):
        assert abs(len(first.kept[f"head.{i}"]) - theirs.head[i].out_features) <= 1


def test_single_weights_have_no_groups_to_be_alike():
    with pytest.raises(SpecError, match="belongs to mode 'structured'"):
        PruneSpec(scope="isomorphic")
