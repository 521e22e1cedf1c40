"""Modules whose Python holds sizes: what cannot go stays whole and says so, what can goes."""

import pytest
import torch
from torch import nn

from prunekit.config.spec import PruneSpec
from prunekit.errors import CheckpointError
from prunekit.models.layers import prunable_layers
from prunekit.models.rebuilding import apply_widths
from prunekit.models.widths import widths
from prunekit.pruning.api import prune
from prunekit.pruning.structured.grouping import trace

SHAPE = (5, 6)


class Attention(nn.Module):
    """Attention as people write it: heads are a number; the width of one is inferred, or computed from the embedding's."""

    def __init__(self, width, heads, inferred):
        super().__init__()
        self.heads, self.inferred = heads, inferred
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        b, n, c = x.shape
        size = -1 if self.inferred else c // self.heads
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, size).permute(2, 0, 3, 1, 4).unbind(0)
        out = ((q @ k.transpose(-2, -1) * 0.3).softmax(-1) @ v).transpose(1, 2)
        return self.proj(out.flatten(2) if self.inferred else out.reshape(b, n, c))


class Network(nn.Module):
    def __init__(self, inferred):
        super().__init__()
        self.enter, self.a, self.b = nn.Linear(6, 12), Attention(12, 3, inferred), Attention(12, 2, inferred)
        self.wide, self.narrow, self.leave = nn.Linear(12, 24), nn.Linear(24, 12), nn.Linear(12, 4)

    def forward(self, x):
        x = self.enter(x)
        x = x + self.b(x + self.a(x))
        return self.leave((x + self.narrow(torch.relu(self.wide(x)))).mean(1))


@pytest.mark.parametrize(
    ("inferred", "expected"),
    [(True, {("enter", 12), ("a.qkv", 3), ("a.qkv", 4), ("b.qkv", 2), ("b.qkv", 6), ("wide", 24)}), (False, {("wide", 24)})],
    ids=["the width of a head is inferred", "the width of a head is computed"],
)
def test_attention_written_by_hand_loses_what_its_code_allows(inferred, expected):
    model = Network(inferred).eval()
    graph = trace(model, SHAPE)
    assert {(group.layers[0], group.size) for group in graph.groups} == expected
    if not inferred:
        assert "written into forward" in graph.immovable["a.qkv"] and "written into forward" in graph.immovable["enter"]
    result = prune(model, PruneSpec(mode="structured", sparsity=0.5, layers=prunable_layers(model)), input_shape=SHAPE)
    assert result.proof.passed and result.after.params < result.before.params


class Counted(nn.Module):
    """Attention of whose heads the number, the width and the product of both are attributes; the width is that of another number too."""

    def __init__(self):
        super().__init__()
        self.num_heads, self.head_dim, self.inner, self.groups = 4, 6, 24, 6
        self.q, self.k, self.v, self.o = (nn.Linear(a, b) for a, b in ((10, 24), (10, 24), (10, 24), (24, 3)))

    def forward(self, x):
        x = x * x.unflatten(1, (self.groups, -1)).mean((1, 2))[:, None]
        q, k, v = (part(x).view(*x.shape[:2], self.num_heads, self.head_dim).transpose(1, 2) for part in (self.q, self.k, self.v))
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.o(mixed.transpose(1, 2).reshape(*x.shape[:2], self.inner))


def test_heads_go_whole_where_attributes_count_them():
    model = Counted().eval()
    result = prune(model, PruneSpec(mode="structured", sparsity=0.5, layers=("q", "k", "v")), input_shape=(6, 10))
    small, kept, x = result.model, result.kept["v"], torch.randn(3, 6, 10)
    assert (small.num_heads, small.head_dim, small.inner, small.groups) == (2, 6, 12, 6) and len(kept) == 12 and not result.limits
    gone = [i for i in range(24) if i not in kept]
    again = Counted().eval()
    apply_widths(again, widths(small), small.state_dict())
    again.load_state_dict(small.state_dict())
    with torch.no_grad():
        model.v.weight[gone] = model.v.bias[gone] = 0
        assert (small(x) - model(x)).abs().max() < 1e-5 and torch.equal(again(x), small(x))
    assert widths(again) == widths(small) and widths(Counted()).keys() <= widths(small).keys()


def test_stored_numbers_are_those_of_the_class():
    with pytest.raises(CheckpointError, match="do not fit"):
        apply_widths(Counted(), {"": {"depth": 3}})


class Scale(nn.Module):
    def __init__(self, width, written):
        super().__init__()
        self.scale, self.written = nn.Parameter(torch.randn(width)), written

    def forward(self, x):
        return x * (self.scale.view(12, 1, 1) if self.written else self.scale.view(-1, 1, 1))


class Blur(nn.Module):
    """A filter that forward() makes, for as many channels as come or for twelve."""

    def __init__(self, width, written):
        super().__init__()
        self.written = written

    def forward(self, x):
        width = 12 if self.written else x.shape[1]
        return nn.functional.conv2d(x, torch.ones(width, 1, 3, 3) / 9, groups=width)


@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize("kind", [Scale, Blur])
def test_a_shape_that_is_written_out_keeps_its_channels(kind, written):
    model = nn.Sequential(nn.Conv2d(3, 12, 3), kind(12, written), nn.Conv2d(12, 9, 1), nn.Conv2d(9, 4, 1)).eval()
    result = prune(model, PruneSpec(mode="structured", sparsity=0.5, layers=("0", "2")), input_shape=(3, 8, 8))
    assert result.proof.passed and (len(result.kept["0"]) == 12) == written and len(result.kept["2"]) < 9


class Halves(nn.Module):
    def __init__(self, written):
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 16, 1), nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(16, 4, 1)
        self.written = written

    def forward(self, x):
        one, two = self.a(x).split(8, 1) if self.written else self.a(x).chunk(2, 1)
        return self.c(torch.cat([one, torch.relu(self.b(two))], 1))


@pytest.mark.parametrize("written", [True, False])
def test_halves_lose_the_same_places_where_the_code_cuts_in_the_middle(written):
    model = Halves(written).eval()
    result = prune(model, PruneSpec(mode="structured", sparsity=0.5, layers=("a", "b")), input_shape=(3, 6, 6))
    kept = result.kept["a"]
    assert result.proof.passed
    if written:
        assert len(kept) == 16
    else:
        assert 2 <= len(kept) < 16 and [i for i in kept if i < 8] == [i - 8 for i in kept if i >= 8]


class Merged(nn.Module):
    """A part that merges two axes and takes them apart by sizes that it reads, within a module whose own sizes are written down."""

    def __init__(self):
        super().__init__()
        self.linear, self.norm = nn.Linear(12, 12), nn.BatchNorm1d(12)

    def forward(self, x):
        x = self.linear(x)
        return self.norm(x.flatten(0, 1)).reshape_as(x)


class Outer(nn.Module):
    def __init__(self):
        super().__init__()
        self.enter, self.wide, self.back = nn.Linear(6, 12), nn.Linear(12, 20), nn.Linear(20, 12)
        self.part, self.leave = Merged(), nn.Linear(12, 4)

    def forward(self, x):
        x = self.enter(x)
        heads = self.wide(x).view(*x.shape[:2], 4, 5).transpose(1, 2)
        return self.leave(torch.relu(self.part(x + self.back(heads.transpose(1, 2).reshape(*x.shape[:2], 20)))).mean(1))


def test_a_module_that_writes_a_size_down_does_not_close_its_parts():
    graph = trace(Outer().eval(), SHAPE)
    assert {group.layers: group.size for group in graph.groups} == {("enter", "back"): 12, ("part.linear",): 12}
    assert set(graph.immovable) == {"wide", "leave"} and "written into forward" in graph.immovable["wide"]


class Positions(nn.Module):
    """A layer over positions, whose outputs are added to a picture of a fixed size."""

    def __init__(self):
        super().__init__()
        self.a, self.over, self.out = nn.Linear(6, 9), nn.Linear(5, 5), nn.Linear(9, 4)

    def forward(self, x):
        x = self.a(x)
        return self.out(x + self.over(x.transpose(1, 2)).transpose(1, 2))


def test_a_layer_that_meets_what_cannot_shrink_says_so():
    graph = trace(Positions().eval(), SHAPE)
    assert graph.immovable["over"] == "addition with what cannot shrink"
    assert [group.layers for group in graph.groups] == [("a",)]
