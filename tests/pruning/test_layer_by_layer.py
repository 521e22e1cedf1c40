"""SparseGPT over models: each layer on the inputs that the pruned layers before it give, however the model is built."""

import copy

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from prunekit.config.spec import PruneSpec
from prunekit.criteria.scoring import weight_scores
from prunekit.errors import DataError, ModelError
from prunekit.models.layers import prunable_layers
from prunekit.models.state import state_hash
from prunekit.pruning import prune
from prunekit.pruning.unstructured import chain
from prunekit.pruning.unstructured.reconstruction import Goal, reconstruct
from prunekit.tasks.base import PLAIN
from prunekit.tasks.batch import Batch


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(12), nn.Linear(12, 20), nn.Linear(20, 12)

    def forward(self, x, scale=None):
        return x + self.down(torch.relu(self.up(self.norm(x)))) * (1 if scale is None else scale)


class Net(nn.Module):
    """Blocks in a list between an embedding and a head."""

    def __init__(self):
        super().__init__()
        self.table, self.blocks, self.head = nn.Embedding(30, 12), nn.ModuleList(Block() for _ in range(3)), nn.Linear(12, 5)

    def forward(self, ids):
        x, scale = self.table(ids), torch.ones(12)
        for block in self.blocks:
            x = block(x, scale=scale)
        return self.head(x.mean(1))


def ids(n=70):
    return torch.randint(30, (n, 7), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net().eval()


def data_of(x):
    return TensorDataset(x, torch.zeros(len(x), dtype=torch.int64))


def by_hand(model, spec, data):
    """Prune the layers of one block at a time, all samples in one pass through the whole model each."""
    model = copy.deepcopy(model)
    for names in (["table"], *([f"blocks.{i}.up", f"blocks.{i}.down"] for i in range(3)), ["head"]):
        seen = {}
        for name in names:
            model.get_submodule(name).register_forward_pre_hook(lambda _m, args, name=name, seen=seen: seen.update({name: args[0]}))
        with torch.no_grad():
            model(data)
        for name in names:
            weight, x = model.get_submodule(name).weight, seen[name].flatten(0, -2)
            product = torch.bincount(x.flatten(), minlength=30).float() if name == "table" else x.t() @ x
            goal = Goal(pattern=(2, 4)) if spec.mode == "nm" else Goal(round(spec.sparsity * weight.numel()), by_row=spec.scope == "row")
            with torch.no_grad():
                weight.copy_(reconstruct(weight, product, goal)[0])
    return model


@pytest.mark.parametrize("change", [{"scope": "uniform", "sparsity": 0.6}, {"scope": "row"}, {"mode": "nm"}])
def test_a_model_with_a_chain_of_blocks_is_pruned_as_block_by_block_by_hand(net, change):
    before, spec = state_hash(net), PruneSpec(criterion="sparsegpt", **change)
    found = chain.find_chain(net, prunable_layers(net), PLAIN, Batch((ids(),)))
    assert found == chain.Chain(("blocks.0", "blocks.1", "blocks.2"), ("table",), ("head",))
    result = prune(net, spec, data_of(ids()))
    expected = by_hand(net, spec, ids())
    assert state_hash(net) == before and list(result.masks) == list(prunable_layers(net))
    for name, mask in result.masks.items():
        mine, theirs = (model.get_submodule(name).weight for model in (result.model, expected))
        assert torch.equal(mine != 0, mask) and not mine.requires_grad ^ net.head.weight.requires_grad
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-4)
    dense, wanda = net(ids()), prune(net, PruneSpec(criterion="wanda", **change), data_of(ids()))
    assert (result.model(ids()) - dense).square().mean() < (wanda.model(ids()) - dense).square().mean()
    assert result.achieved.removed == pytest.approx(wanda.achieved.removed, abs=1)


def test_a_model_without_blocks_and_with_convolutions_is_pruned_layer_by_layer():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Sequential(nn.Conv2d(2, 6, 3, padding=1, stride=2), nn.ReLU()), nn.Flatten(), nn.Linear(96, 4)).eval()
    x = torch.randn(90, 2, 8, 8)
    result = prune(model, PruneSpec(criterion="sparsegpt", scope="uniform"), data_of(x))
    columns = torch.nn.functional.unfold(x, 3, padding=1, stride=2).transpose(1, 2).reshape(-1, 18)
    order = torch.arange(18).view(2, 9).t().flatten()  # offsets of the kernel, inputs last
    weight = model[0][0].weight.detach().flatten(1)
    new, _ = reconstruct(weight[:, order], columns[:, order].t() @ columns[:, order], Goal(54))
    torch.testing.assert_close(result.model[0][0].weight.flatten(1)[:, order], new, rtol=1e-3, atol=1e-4)


def test_a_weight_that_is_looked_up_and_multiplied_is_pruned_for_both():
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Embedding(30, 8), nn.Tanh(), nn.Linear(8, 30, bias=False)).eval(), ids()
    model[2].weight = model[0].weight
    dense, met = model[0].weight.detach(), torch.tanh(model[0](x)).detach().flatten(0, 1)
    product = met.t() @ met + torch.eye(8) * x.numel() / 30
    result = prune(model, PruneSpec(criterion="sparsegpt", scope="uniform"), data_of(x))
    torch.testing.assert_close(result.model[0].weight, reconstruct(dense, product, Goal(120))[0], rtol=1e-3, atol=1e-4)
    assert result.model[0].weight is result.model[2].weight


def test_over_all_layers_together_each_gives_what_its_scores_say(net):
    spec, data = PruneSpec(criterion="sparsegpt", sparsity=0.5), data_of(ids())
    scores = weight_scores(net, prunable_layers(net), "sparsegpt", data=data)
    threshold = torch.cat([each.flatten() for each in scores.values()]).sort().values[prune(net, spec, data).achieved.removed - 1]
    masks = prune(net, spec, data).masks
    for name, score in scores.items():
        assert int((~masks[name]).sum()) == int((score <= threshold).sum())


def test_without_data_or_where_the_inputs_cannot_be_seen_it_says_so(net):
    with pytest.raises(DataError, match="looks at training data"):
        prune(net, PruneSpec(criterion="sparsegpt"), input_shape=(7,))
    model = nn.Sequential(nn.ConvTranspose2d(2, 3, 2), nn.Flatten(), nn.Linear(3 * 25, 2)).eval()
    with pytest.raises(ModelError, match="cannot see what layer 0"):
        prune(model, PruneSpec(criterion="sparsegpt", scope="uniform"), data_of(torch.randn(8, 2, 4, 4)))
