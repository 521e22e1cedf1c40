"""The kinds of model and behaviour that torch-pruning's own test files ask for, written anew; docs/structured.md has the table."""

import copy
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import prunekit
from prunekit.config.spec import PruneSpec
from prunekit.models.cost import count
from prunekit.models.layers import prunable_layers
from prunekit.models.outputs import tensors_of
from prunekit.models.rebuilding import apply_widths
from prunekit.models.widths import widths
from prunekit.pruning.api import prune
from prunekit.pruning.structured.grouping import trace
from tests.pruning.by_values import differences, scattered

pytestmark = pytest.mark.slow
SHAPE = (3, 8, 8)


class Net(nn.Module):
    """Modules by name, and what forward() does with them."""

    def __init__(self, run, **modules):
        super().__init__()
        self.run = run
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, *args):
        return self.run(self, *args)


def conv(a, b, **more):
    return nn.Conv2d(a, b, 3, padding=1, **more)


def plain():
    return nn.Sequential(
        conv(3, 12), nn.BatchNorm2d(12), nn.ReLU(), conv(12, 16), nn.ReLU(), nn.Flatten(), nn.Linear(1024, 10), nn.Linear(10, 4)
    )


def joined(m, x):
    a, b = m.a(x), m.b(x)
    return m.d(m.c(torch.cat([a, torch.cat([b, m.e(torch.cat([b, a], 1))], 1)], 1)).mean((2, 3)))


def split(m, x):
    a, b = m.a(x).split([5, 7], 1)
    return m.d(torch.cat([m.b(a), m.c(b)], 1).mean((2, 3)))


def unused():
    net = Net(lambda m, x: m.b(m.a(x).mean((2, 3))), a=conv(3, 8), b=nn.Linear(8, 4), c=nn.Linear(8, 8))
    net.alone = nn.Parameter(torch.zeros(3))
    return net


class Bare(nn.Module):
    """Parameters that stand in no layer: a scale of each channel, a table of places, a matrix."""

    def __init__(self):
        super().__init__()
        self.a, self.scale, self.places = conv(3, 8), nn.Parameter(torch.zeros(8, 1, 1)), nn.Parameter(torch.zeros(1, 64, 8))
        self.matrix, self.b = nn.Parameter(torch.zeros(8, 12)), nn.Linear(12, 4)

    def forward(self, x):
        x = (self.a(x) * self.scale).flatten(2).transpose(1, 2) + self.places
        return self.b((x @ self.matrix).amax(1))


class Own(nn.Module):
    """A layer of one's own: an affine map with a weight of its own."""

    def __init__(self, a, b):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.zeros(b, a)), nn.Parameter(torch.zeros(b))

    def forward(self, x):
        return (x.unsqueeze(-2) * self.weight).sum(-1) + self.bias


def reshaped(m, x):
    x = m.a(x)
    x = x.view(x.shape[0], 2, x.shape[1] // 2, *x.shape[2:]).transpose(1, 2).flatten(1, 2)
    return m.b(x.permute(0, 2, 3, 1).reshape(len(x), -1))


MODELS = {
    "fully connected layers": lambda: (nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 9), nn.Tanh(), nn.Linear(9, 3)), (6,)),
    "LeNet and its flat view": lambda: (plain(), SHAPE),
    "concatenation": lambda: (Net(joined, a=conv(3, 6), b=conv(3, 7), e=conv(13, 5), c=conv(18, 8), d=nn.Linear(8, 4)), SHAPE),
    "concatenation of split parts": lambda: (Net(split, a=conv(3, 12), b=conv(5, 6), c=conv(7, 8), d=nn.Linear(14, 4)), SHAPE),
    "equal parts": lambda: (Net(lambda m, x: m.b(torch.mul(*m.a(x).chunk(2, 1)).mean((2, 3))), a=conv(3, 12), b=nn.Linear(6, 4)), SHAPE),
    "concatenation of another axis": lambda: (
        Net(lambda m, x: m.c(torch.cat([m.a(x), m.b(x)], 2).mean((2, 3))), a=conv(3, 6), b=conv(3, 6), c=nn.Linear(6, 4)), SHAPE),
    "reshapes": lambda: (Net(reshaped, a=conv(3, 8), b=nn.Linear(512, 4)), SHAPE),
    "one channel out": lambda: (nn.Sequential(conv(3, 8), nn.ReLU(), conv(8, 1), nn.Flatten(), nn.Linear(64, 2)), SHAPE),
    "parameters without a layer": lambda: (Bare(), SHAPE),
    "a layer of one's own": lambda: (Net(lambda m, x: m.c(m.b(m.a(x).relu())), a=nn.Linear(6, 10), b=Own(10, 8), c=nn.Linear(8, 3)), (6,)),
    "unused parameters": lambda: (unused(), SHAPE),
    "transposed convolutions": lambda: (nn.Sequential(conv(3, 8), nn.ConvTranspose2d(8, 6, 2, 2), nn.ReLU(), conv(6, 4)), SHAPE),
    "depthwise and layer norm, as ConvNeXt": lambda: (
        Net(lambda m, x: m.d(F.gelu(m.c(m.n(m.b(m.a(x)).permute(0, 2, 3, 1)))).mean((1, 2))),
            a=conv(3, 8), b=conv(8, 8, groups=8), n=nn.LayerNorm(8), c=nn.Linear(8, 20), d=nn.Linear(20, 4)), SHAPE),
}  # fmt: skip


def cut(net, shape, **more):
    spec = PruneSpec(mode="structured", **{"sparsity": 0.5, "layers": prunable_layers(net), **more})
    return prune(net, spec, input_shape=shape)


@pytest.mark.parametrize("name", MODELS)
def test_a_kind_of_model(name):
    torch.manual_seed(0)
    net, shape = MODELS[name]()
    net = scattered(net)
    result = cut(net, shape, criterion="random", sparsity=0.4)
    assert result.proof.passed and result.after.params < result.before.params
    if "norm" not in name:
        error, moved = differences(net, result.model, torch.randn(2, *shape, generator=torch.Generator().manual_seed(1)))
        assert error < 1e-5 and moved > 1e-3
    small = result.model.train().requires_grad_(True)  # test_backward
    small(torch.randn(2, *shape)).square().mean().backward()
    used = [p.grad for name, p in small.named_parameters() if ("alone" not in name and not name.startswith("c.")) or name == "c.weight"]
    assert any(grad is not None and bool(grad.abs().sum() > 0) for grad in used)


def test_several_inputs_and_outputs():
    net = Net(
        lambda m, x, y: (m.c(torch.cat([m.a(x), m.b(y)], 1)), {"other": m.d(m.a(x))}),
        a=nn.Linear(4, 8), b=nn.Linear(5, 6), c=nn.Linear(14, 3), d=nn.Linear(8, 2),
    )  # fmt: skip
    result = cut(net, (torch.randn(2, 4), torch.randn(2, 5)))
    shapes = [tuple(t.shape) for t in tensors_of(result.model(torch.randn(3, 4), torch.randn(3, 5))).values()]
    assert shapes == [(3, 3), (3, 2)] and result.proof.passed and len(result.kept["a"]) < 8


def test_layers_that_are_left_out_and_layers_alone():
    net = plain()
    kept = cut(net, SHAPE, layers=("0", "6")).kept
    assert len(kept["0"]) < 12 and len(kept["3"]) == 16
    assert len(cut(net, SHAPE, overrides={"0": 0.25}).kept["0"]) == 9


def test_counts_are_a_multiple_and_known_before():
    net = plain()
    result = cut(net, SHAPE, round_to=4, sparsity=0.3)
    assert all(len(kept) % 4 == 0 for name, kept in result.kept.items() if name in ("0", "3"))
    counted = count(result.model, SHAPE)
    assert (counted.params, counted.macs) == (result.after.params, result.after.macs)
    graph = trace(net, SHAPE)
    assert sum(graph.macs.values()) == result.before.macs


def test_shares_of_parameters_and_operations():
    for target in ("params", "macs"):
        result = cut(plain(), SHAPE, target=target)
        before, after = (getattr(each, target) for each in (result.before, result.after))
        assert abs(1 - after / before - 0.5) < 0.06


@pytest.mark.parametrize("criterion", ["l1", "l2", "fpgm", "bn_scale", "random"])
def test_criteria_of_weights(criterion):
    net = nn.Sequential(conv(3, 8), nn.BatchNorm2d(8), nn.ReLU(), conv(8, 8), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(512, 4))
    assert cut(scattered(net), SHAPE, criterion=criterion).proof.passed


def test_criteria_of_gradients_look_at_data():
    x, y = torch.randn(40, *SHAPE), torch.arange(40) % 4

    class Data:
        train = validation = test = torch.utils.data.TensorDataset(x, y)

    net = scattered(plain())
    result = prune(net, PruneSpec(mode="structured", criterion="taylor", layers=prunable_layers(net)), data=Data(), input_shape=SHAPE)
    assert result.proof.passed and result.kept != cut(net, SHAPE).kept


def test_uniform_and_global_shares():
    net = scattered(plain())
    assert {len(cut(net, SHAPE, scope="uniform").kept[name]) for name in ("0",)} == {6}
    counts = [len(kept) for name, kept in cut(net, SHAPE, scope="global", layers=("0", "3")).kept.items() if name in ("0", "3")]
    assert sum(counts) == 14


def test_in_steps_that_end_where_one_step_does():
    net = scattered(plain())
    graph = trace(net, SHAPE)
    small = prune(net, PruneSpec(mode="structured", sparsity=0.25, layers=("0", "3")), input_shape=SHAPE).model
    again = prune(small, PruneSpec(mode="structured", sparsity=1 / 3, layers=("0", "3")), input_shape=SHAPE)
    assert graph.groups and sum(len(again.kept[name]) for name in ("0", "3")) == 14 and again.proof.passed


def test_coupled_groups_and_their_layers():
    net = Net(lambda m, x: m.c(m.a(x) + m.b(x)).mean((2, 3)), a=conv(3, 8), b=conv(3, 8), c=conv(8, 4))
    (group,) = trace(net, SHAPE).groups
    assert group.layers == ("a", "b") and group.size == 8


def test_saved_whole_by_state_and_by_folder(tmp_path):
    net = scattered(plain())
    small = cut(net, SHAPE).model.eval()
    x = torch.randn(2, *SHAPE)
    torch.save(small, tmp_path / "whole.pt")
    whole = torch.load(tmp_path / "whole.pt", weights_only=False)
    again = plain().eval()
    apply_widths(again, widths(small), small.state_dict())
    again.load_state_dict(small.state_dict())
    assert all(torch.equal(small(x), other(x)) for other in (whole, again, copy.deepcopy(small)))


@pytest.mark.parametrize("name", ["resnet18", "vgg11", "convnext_tiny", "vit_b_32"])
def test_models_of_torchvision(name):
    model = prunekit.load_model(f"torchvision/{name}")
    result = prune(model, PruneSpec(mode="structured", sparsity=0.5), input_shape=(3, 224, 224))
    assert result.proof.passed and result.after.params < 0.6 * result.before.params


def test_the_table_names_every_kind():
    page = (Path(__file__).parents[2] / "docs" / "structured.md").read_text(encoding="utf-8")
    rows = [line for line in page.partition("## The kinds that torch-pruning")[2].splitlines() if line.startswith("| test_")]
    assert len(rows) == 30 and all(name in page for name in MODELS)
