"""The weight of queries, keys and values that ``nn.MultiheadAttention`` holds itself: masked as that of any other layer."""

import pytest
import torch
from torch import nn

from prunekit.config.spec import PruneSpec
from prunekit.criteria.criterion import ScoringTask
from prunekit.criteria.layer_inputs import input_norms
from prunekit.models.layers import prunable_layers
from prunekit.pruning.api import prune

LAYERS = ("e", "own", "own.out_proj", "cross", "cross.out_proj", "keys.q_proj_weight", "keys.k_proj_weight", "keys.v_proj_weight")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.e = nn.Linear(8, 16)
        self.own, self.cross = (nn.MultiheadAttention(16, 4, batch_first=True) for _ in range(2))
        self.keys, self.o = nn.MultiheadAttention(16, 4, kdim=8, vdim=8, batch_first=True), nn.Linear(16, 3)
        self.eval()

    def forward(self, x):
        h = self.e(x)
        h = h + self.own(h, h, h)[0]
        h = h + self.cross(h[:, :3] * 2, h, h)[0].mean(1, keepdim=True)
        return self.o((h + self.keys(h, x, x)[0]).mean(1))


@pytest.fixture(scope="module")
def net():
    return Net()


def test_it_is_a_layer(net):
    assert prunable_layers(net) == (*LAYERS, "keys.out_proj", "o")


@pytest.mark.parametrize("setting", [{"mode": "unstructured", "sparsity": 0.5}, {"mode": "nm", "pattern": "2:4"}], ids=["single", "n:m"])
def test_single_weights_of_it_go(net, setting):
    """As many zeros as the masks say, where they say; nothing but biases takes no part."""
    result = prune(net, PruneSpec(**setting), input_shape=(5, 8))
    weights = sum(parameter.numel() for name, parameter in net.named_parameters() if "weight" in name)
    assert result.achieved.total == weights and result.achieved.sparsity == 0.5 and not result.skipped
    for name, weight in (("own", net.own.in_proj_weight), ("keys.k_proj_weight", net.keys.k_proj_weight)):
        assert 0 < int((~result.masks[name]).sum()) < weight.numel()
    assert torch.equal(result.model.cross.in_proj_weight, net.cross.in_proj_weight * result.masks["cross"])


def test_out_proj_alone_is_itself(net):
    result = prune(net, PruneSpec(sparsity=0.5, layers=("own.out_proj",)), input_shape=(5, 8))
    assert result.achieved.total == 256 and {each.name for each in result.skipped} >= {"own", "cross"}


def test_rows_of_queries_meet_other_inputs_than_those_of_keys(net):
    """Norms of inputs by hooks, against those that are seen from operation to operation."""
    x = torch.randn(4, 5, 8, generator=torch.Generator().manual_seed(1))
    met = {}
    hook = net.cross.register_forward_pre_hook(lambda module, args: met.update(q=args[0], k=args[1]))
    with torch.no_grad():
        net(x)
    hook.remove()
    data = torch.utils.data.TensorDataset(x, torch.zeros(4, dtype=torch.long))
    found = dict(input_norms(ScoringTask(net, ("cross",), 0, data)))["cross"]
    for rows, name in ((slice(0, 16), "q"), (slice(16, 48), "k")):
        expected = met[name].flatten(0, 1).norm(dim=0).expand_as(found[rows])
        torch.testing.assert_close(found[rows], expected, rtol=1e-4, atol=1e-5)
