"""Every kind of operation carries channels: a few-line network each, pruned at uneven random counts, proved, and looked at by values."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision import ops

from prunekit.config.spec import PruneSpec
from prunekit.models.cost import count
from prunekit.models.rebuilding import apply_widths
from prunekit.models.widths import widths
from prunekit.pruning.api import prune
from prunekit.pruning.execution import planned_counts
from prunekit.pruning.proof import prove
from prunekit.pruning.structured.grouping import trace
from prunekit.pruning.structured.plan import Removal
from prunekit.pruning.structured.surgery import shrink
from tests.pruning.by_values import differences, scattered


class Net(nn.Module):
    """Modules by name, and what forward() does with them."""

    def __init__(self, forward, **modules):
        super().__init__()
        self.run = forward
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x):
        return self.run(self, x)


def between(middle, width=8, dims=2, after=None, **modules):
    """Return a network with something between two convolutions."""
    conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1]

    def forward(net, x):
        return net.b(middle(net, net.a(x))).flatten(2).amax(2)

    return Net(forward, a=conv(2, width, 3, padding=1), b=conv(after or width, 5, 1), **modules), (2, *[6] * dims)


def seq(middle, width=8, after=None, **modules):
    """Return a network with something between two linear layers on a sequence."""
    return Net(lambda net, x: net.b(middle(net, net.a(x))), a=nn.Linear(5, width), b=nn.Linear(after or width, 4), **modules), (6, 5)


class T5Norm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        spread = x.to(torch.float32).pow(2).mean(-1, keepdim=True)
        return self.weight * (x * torch.rsqrt(spread + 1e-6))


class OwnNorm(nn.Module):
    """A layer norm written by hand."""

    def __init__(self, width, axis=-1, spelling="pow"):
        super().__init__()
        self.weight, self.bias, self.axis, self.spelling = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width)), axis, spelling

    def forward(self, x):
        mean = x.mean(self.axis, keepdim=True)
        if self.spelling == "pow":
            scaled = (x - mean) / torch.sqrt((x - mean).pow(2).mean(self.axis, keepdim=True) + 1e-5)
        elif self.spelling == "var":
            scaled = (x - mean) / (x.var(self.axis, keepdim=True, unbiased=False) + 1e-5).sqrt()
        else:
            scaled = (x - mean) / (x.std(self.axis, keepdim=True) + 1e-5)
        shape = [1] * x.dim()
        shape[self.axis] = -1
        return scaled * self.weight.view(shape) + self.bias.view(shape)


class Conv1D(nn.Module):
    """GPT-2's."""

    def __init__(self, outputs, inputs):
        super().__init__()
        self.nf, self.nx = outputs, inputs
        self.weight, self.bias = nn.Parameter(torch.empty(inputs, outputs)), nn.Parameter(torch.zeros(outputs))

    def forward(self, x):
        return torch.addmm(self.bias, x.view(-1, x.size(-1)), self.weight).view(*x.shape[:-1], self.nf)


class Sequence(nn.Module):
    def __init__(self, kind, **options):
        super().__init__()
        self.a, self.rnn = nn.Linear(5, 6), kind(6, 9, batch_first=True, **options)
        self.b = nn.Linear((options.get("proj_size") or 9) * (1 + options.get("bidirectional", False)), 4)

    def forward(self, x):
        return self.b(self.rnn(self.a(x))[0])


class Cells(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.cell, self.b = kind(5, 7), nn.Linear(7, 4)

    def forward(self, x):
        state = None
        for step in x.unbind(1):
            state = self.cell(step, state)
        return self.b(state[0] if isinstance(state, tuple) else state)


class FromZeros(nn.Module):
    """A state that starts as zeros of the layer's own width; one more is made and not read."""

    def __init__(self, made):
        super().__init__()
        self.made = made
        self.cell, self.b = nn.GRUCell(5, 7), nn.Linear(7, 4)

    def forward(self, x):
        state, _ = (self.made(x, len(x), self.cell.hidden_size) for _ in range(2))
        for step in x.unbind(1):
            state = self.cell(step, state)
        return self.b(state)


ZEROS = {
    "zeros": lambda x, *size: torch.zeros(size, device=x.device, dtype=x.dtype),
    "new_zeros": lambda x, *size: x.new_zeros(size),
    "new_full": lambda x, *size: x.new_full(size, 0.0),
    "empty zeros": lambda x, *size: torch.empty(size, device=x.device, dtype=x.dtype).zero_(),
    "zeros_like": lambda x, *size: torch.zeros_like(x[:, 0, :1].expand(size)),
}


class Words(nn.Module):
    def __init__(self, bag=False):
        super().__init__()
        self.words = nn.EmbeddingBag(9, 8) if bag else nn.Embedding(9, 8)
        self.b = nn.Linear(8, 4)

    def forward(self, x):
        return self.b(self.words((x * 2).long().clamp(0, 8)))


class Bare(nn.Module):
    def __init__(self):
        super().__init__()
        self.w1, self.w2, self.w3 = (nn.Parameter(torch.zeros(*size)) for size in ((7, 5), (7, 6), (4, 6)))
        self.b1 = nn.Parameter(torch.zeros(7))

    def forward(self, x):
        return torch.einsum("bti,oi->bto", F.linear(x, self.w1, self.b1).tanh() @ self.w2, self.w3)


class Listed(nn.Module):
    def __init__(self):
        super().__init__()
        self.weights = nn.ParameterList([torch.zeros(7, 5), torch.zeros(7, 6)])
        self.biases, self.last = nn.ParameterList([torch.zeros(7)]), nn.ParameterDict({"weight": torch.zeros(4, 6)})

    def forward(self, x):
        return F.linear((F.linear(x, self.weights[0], self.biases[0]).tanh() @ self.weights[1]).tanh(), self.last["weight"])


class Cut(nn.Module):
    """One product for several things, cut at sizes that the module keeps, the middle one filtered by a layer's weight."""

    def __init__(self):
        super().__init__()
        self.inner, self.state = 9, 5
        self.a, self.filter, self.b = nn.Linear(5, 23), nn.Conv1d(9, 9, 3, padding=1, groups=9), nn.Linear(14, 4)

    def forward(self, x):
        gate, x, state = self.a(x).split([self.inner, self.inner, self.state], -1)
        kernel = self.filter.weight.squeeze(1)
        x = F.conv1d(x.transpose(1, 2), kernel.unsqueeze(1), self.filter.bias, padding=1, groups=len(kernel)).transpose(1, 2)
        return self.b(torch.cat([x * gate.tanh(), state], -1))


class HeadsInGroups(nn.Module):
    """Heads of some features, scaled by head; then each of two groups of heads is brought to one size, without its heads."""

    def __init__(self):
        super().__init__()
        self.heads, self.width, self.each = 8, 3, 12
        self.a, self.scale, self.b = nn.Linear(5, 24), nn.Parameter(torch.ones(8)), nn.Linear(24, 4)

    def forward(self, x):
        y = self.a(x).view(*x.shape[:2], self.heads, self.width) * self.scale[:, None]
        y = y.flatten(2).view(*x.shape[:2], 2, self.each)
        return self.b((y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-5)).flatten(2))


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.pair, self.out = nn.Linear(5, 6), nn.Linear(5, 7), nn.Bilinear(6, 7, 8), nn.Linear(8, 4)

    def forward(self, x):
        return self.out(self.pair(self.a(x), self.b(x)))


class GroupedQueries(nn.Module):
    """Two query heads to each key-value head, repeated by the lengths themselves."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v, self.o = nn.Linear(5, 32), nn.Linear(5, 16), nn.Linear(5, 16), nn.Linear(32, 4)

    def forward(self, x):
        q, k, v = (layer(x).unflatten(-1, (-1, 4)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        times = q.shape[1] // k.shape[1]
        k, v = (heads[:, :, None].expand(-1, -1, times, -1, -1).flatten(1, 2) for heads in (k, v))
        return self.o((((q @ k.transpose(2, 3)) / 2).softmax(-1) @ v).transpose(1, 2).flatten(2))


class Experts(nn.Module):
    """Two of six experts for each token, packed as matrices of one parameter."""

    def __init__(self):
        super().__init__()
        self.a, self.router, self.b = nn.Linear(5, 8), nn.Linear(8, 6), nn.Linear(8, 4)
        self.up, self.down = nn.Parameter(torch.zeros(6, 12, 8)), nn.Parameter(torch.zeros(6, 8, 12))

    def forward(self, x):
        x = self.a(x.flatten(0, 1))
        shares, numbers = self.router(x).softmax(-1).topk(2, -1)
        order = numbers.flatten().argsort()
        chosen = numbers.flatten()[order].float()
        ends = torch.histc(chosen, len(self.up), 0, len(self.up) - 1).cumsum(0).int()
        inner = F.grouped_mm(x[order // 2], self.up.transpose(1, 2), offs=ends).tanh()
        outer = F.grouped_mm(inner, self.down.transpose(1, 2), offs=ends) * shares.flatten()[order, None]
        return self.b(outer[order.argsort()].unflatten(0, (-1, 2)).sum(1))


def up(dims, groups=1):
    kind = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[dims - 1]
    return between(lambda net, x: net.norm(net.up(x)), 8, dims, 12, up=kind(8, 12, 2, 2, groups=groups), norm=nn.GroupNorm(1, 12))


def shape_of_pad(dims, mode):
    return between(lambda net, x: F.pad(x, (1, 2) * dims, mode=mode), dims=dims)


def normed(net, x):
    return net.norm(x)


def unfolded(net, x):
    return net.b(F.unfold(net.a(x), 3).transpose(1, 2))


def folded(net, x):
    return net.b(F.fold(net.a(x), (7, 7), 2)).mean((2, 3))


def boxes_of(x):
    """Return a box of another size for each sample."""
    place = torch.arange(len(x), device=x.device, dtype=x.dtype)
    return torch.stack((place, place * 0, place * 0 + 1, place + 2, place + 3), 1)


def deformed(shared=1, groups=1):
    """A convolution at places that are computed of the same."""
    net, shape = between(
        lambda net, x: net.deform(x, torch.full((len(x), 18 * shared, 4, 4), 0.3, device=x.device, dtype=x.dtype)), 8, 2, 6,
        deform=ops.DeformConv2d(8, 6, 3, groups=groups),
    )  # fmt: skip
    return net, shape


def gathered(net, x):
    return x.gather(1, torch.tensor([3, 1], device=x.device)[None, :, None].expand(len(x), -1, x.shape[2]))


def sampled(net, x):
    return F.grid_sample(x, torch.full((len(x), 3, 3, 2), 0.1, device=x.device), align_corners=False)


def pooled(net, x):
    return x[torch.arange(len(x), device=x.device), x.sum(-1).argmax(1)]


def by_mask(net, x):
    return x[:, torch.arange(x.shape[1], device=x.device) != 2]


def written_by_mask(net, x):
    mask = torch.arange(x.shape[1], device=x.device).eq(2).expand(x.shape[:2])
    x = x.index_put((mask,), torch.tensor(0.5, device=x.device))
    return x.index_put((mask.unsqueeze(-1).repeat(1, 1, x.shape[2]),), torch.tensor(0.0, device=x.device))


def written_by_number(net, x):
    places = torch.tensor([1, 3], device=x.device)
    return torch.ops.aten.index_put(x, [None, places], x[:, :2] * 2) - x.index_fill(1, places, 0.0)


def added_rows(net, x):
    places = torch.tensor([1, 3], device=x.device)
    return torch.zeros_like(x).index_add_(1, places, x[:, :2]) - x.index_copy(1, places, x[:, 2:4])


def scattered_rows(net, x):
    places = torch.tensor([3, 0, 1, 2, 1, 1], device=x.device)[None, :, None].expand_as(x)
    into = torch.zeros(x.shape, device=x.device, dtype=x.dtype)
    return into.scatter_add(1, places, x) + into.scatter(1, places[:, :1], 0.5) * x - x.scatter_reduce(1, places, x, "amax")


def routed(net, x):
    """Dense shares of the experts that were chosen, each a layer of its own."""
    shares, numbers = net.router(x).softmax(-1).topk(2, -1)
    weights = torch.zeros_like(net.router(x)).scatter(-1, numbers, shares)
    return (net.up(x).unflatten(-1, (-1, 6)).relu() * weights.unsqueeze(-1)).flatten(2)


class Rounded(nn.Linear):
    """A weight of three values, and inputs of 255, each with its scale."""

    def forward(self, x):
        scale = 1 / self.weight.abs().mean().clamp(min=1e-5)
        weight = (self.weight * scale).round().clamp(-1, 1) / scale
        step = 127 / x.abs().amax(-1, keepdim=True).clamp(min=1e-5)
        return F.linear((x * step).round() / step, self.weight + (weight - self.weight).detach(), self.bias)


class Ranged(nn.Linear):
    def forward(self, x):
        low, high = self.weight.min(), self.weight.max()
        step = (high - low) / 15
        return F.linear(x, ((self.weight - low) / step).round() * step + low, self.bias)


def shuffled(net, x):
    return F.pixel_shuffle(x, 2)


NETS = {
    "prelu": lambda: between(lambda net, x: net.act(x), act=nn.PReLU(8)),
    "one prelu": lambda: between(lambda net, x: net.act(x), act=nn.PReLU()),
    "pixel shuffle": lambda: between(shuffled, 12, after=3),
    "pixel unshuffle": lambda: between(lambda net, x: F.pixel_unshuffle(x, 2), 4, after=16),
    "channel shuffle": lambda: between(lambda net, x: F.channel_shuffle(x, 2)),
    **{f"transposed {dims}-d": lambda dims=dims: up(dims) for dims in (1, 2, 3)},
    "grouped transposed": lambda: up(2, 4),
    "depthwise transposed": lambda: between(lambda net, x: net.up(x), after=8, up=nn.ConvTranspose2d(8, 8, 2, 2, groups=8)),
    "instance norm": lambda: between(normed, norm=nn.InstanceNorm2d(8)),
    "affine instance norm": lambda: between(normed, dims=1, norm=nn.InstanceNorm1d(8, affine=True)),
    "tracking instance norm": lambda: between(normed, dims=3, norm=nn.InstanceNorm3d(8, affine=True, track_running_stats=True)),
    "rms norm": lambda: seq(normed, norm=nn.RMSNorm(8)),
    "rms norm without weight": lambda: seq(normed, norm=nn.RMSNorm(8, elementwise_affine=False)),
    "T5's norm": lambda: seq(normed, norm=T5Norm(8)),
    "mean of squares": lambda: seq(lambda net, x: x / (x.square().mean(-1, keepdim=True) + 1e-5) ** 0.5),
    "squares by product": lambda: seq(lambda net, x: x * ((x * x).mean(-1, keepdim=True) + 1e-5) ** -0.5),
    **{f"own layer norm, {how}": lambda how=how: seq(normed, norm=OwnNorm(8, -1, how)) for how in ("pow", "var", "std")},
    "own layer norm over channels": lambda: between(normed, norm=OwnNorm(8, 1)),
    "var_mean": lambda: seq(lambda net, x: (x - torch.var_mean(x, -1, keepdim=True)[1]) * (torch.var(x, -1, keepdim=True) + 1).rsqrt()),
    **{f"{mode} padding in {dims}-d": lambda dims=dims, mode=mode: shape_of_pad(dims, mode)
       for dims in (1, 2, 3) for mode in ("constant", "reflect", "replicate", "circular")},
    **{f"{mode} interpolation": lambda dims=dims, mode=mode: between(lambda net, x: F.interpolate(x, scale_factor=2, mode=mode), dims=dims)
       for dims, modes in ((1, ("linear",)), (2, ("nearest", "nearest-exact", "bilinear", "bicubic", "area")), (3, ("trilinear",)))
       for mode in modes},
    "nearest-exact in 3-d": lambda: between(lambda net, x: F.interpolate(x, scale_factor=2, mode="nearest-exact"), dims=3),
    "unfold": lambda: (Net(unfolded, a=nn.Conv2d(2, 6, 1), b=nn.Linear(54, 4)), (2, 6, 6)),
    "fold": lambda: (Net(folded, a=nn.Conv1d(2, 24, 1), b=nn.Conv2d(6, 4, 1)), (2, 36)),
    "windows": lambda: between(lambda net, x: x.unfold(2, 3, 1).sum(-1)),
    "grid_sample": lambda: between(sampled),
    "boxes read": lambda: between(lambda net, x: ops.roi_align(x, boxes_of(x), 2) + ops.roi_pool(x, boxes_of(x), 2)),
    "cells of boxes read": lambda: between(
        lambda net, x: ops.ps_roi_align(x, boxes_of(x), 2) + ops.ps_roi_pool(x, boxes_of(x), 2), after=2),
    "deformable convolution": deformed,
    "deformable convolution in groups": lambda: deformed(shared=2, groups=2),
    "gather": lambda: seq(gathered),
    "rows picked by two numbers": lambda: seq(pooled),
    "rows picked by a mask": lambda: seq(by_mask),
    "written by a mask": lambda: seq(written_by_mask),
    "written by number": lambda: seq(written_by_number),
    "rows added and copied by number": lambda: seq(added_rows),
    "scattered rows": lambda: seq(scattered_rows),
    "bins": lambda: seq(lambda net, x: torch.bucketize(x, torch.tensor([-0.5, 0.0, 0.4], device=x.device)) * x),
    "searched": lambda: seq(lambda net, x: torch.searchsorted(torch.tensor([-0.5, 0.4], device=x.device), x).to(x.dtype)),
    "rounded weights": lambda: seq(lambda net, x: net.m(x), m=Rounded(8, 8)),
    "weights by their range": lambda: seq(lambda net, x: net.m(x), m=Ranged(8, 8)),
    "shares of experts": lambda: (Net(lambda net, x: net.b(routed(net, net.a(x))), a=nn.Linear(5, 8), router=nn.Linear(8, 5),
                                      up=nn.Linear(8, 30), b=nn.Linear(30, 4)), (6, 5)),
    "turned": lambda: between(lambda net, x: torch.rot90(x, 1, (2, 3))),
    "logaddexp": lambda: between(lambda net, x: torch.logaddexp(x, x * 2)),
    "rrelu": lambda: between(lambda net, x: F.rrelu(x)),
    "comparison": lambda: between(lambda net, x: (x > 0.1).float() * x + ((x < 0) & (x > -1)).float()),
    "where": lambda: between(lambda net, x: torch.where(x > 0, x * 2, x.exp())),
    "where against a number": lambda: between(lambda net, x: torch.where(x > 0, x, 0.5)),
    "masked_fill": lambda: between(lambda net, x: x.masked_fill(x < 0, 0.3)),
    "topk along positions": lambda: seq(lambda net, x: x.topk(2, dim=1).values),
    "sort along positions": lambda: seq(lambda net, x: x.sort(dim=1, descending=True).values),
    "glu": lambda: seq(lambda net, x: F.glu(x), after=4),
    "einsum": lambda: seq(lambda net, x: torch.einsum("bth,bsh->bts", x, x) @ x),
    "fft along positions": lambda: seq(lambda net, x: torch.fft.fft(x, dim=1).real),
    "rfft2": lambda: between(lambda net, x: torch.fft.irfft2(torch.fft.rfft2(x) * 2, s=x.shape[-2:])),
    "rounding": lambda: between(lambda net, x: ((x * 8).round() / 8 - x).detach() + x.sign() * x.floor()),
    "distances": lambda: seq(lambda net, x: torch.cdist(x, x.flip(1)) @ x),
    "normalised": lambda: seq(lambda net, x: F.normalize(x, dim=-1)),
    "LSTM": lambda: (Sequence(nn.LSTM), (6, 5)),
    "deep LSTM both ways": lambda: (Sequence(nn.LSTM, num_layers=2, bidirectional=True), (6, 5)),
    "projected LSTM": lambda: (Sequence(nn.LSTM, proj_size=3, bidirectional=True), (6, 5)),
    "LSTM projected to nearly its width": lambda: (Sequence(nn.LSTM, proj_size=7), (6, 5)),
    "GRU": lambda: (Sequence(nn.GRU, num_layers=2), (6, 5)),
    "RNN": lambda: (Sequence(nn.RNN, bidirectional=True, nonlinearity="relu"), (6, 5)),
    **{kind.__name__: lambda kind=kind: (Cells(kind), (6, 5)) for kind in (nn.LSTMCell, nn.GRUCell, nn.RNNCell)},
    **{f"GRUCell from {name}": lambda made=made: (FromZeros(made), (6, 5)) for name, made in ZEROS.items()},
    "embedding": lambda: (Words(), (6,)),
    "bag of words": lambda: (Words(bag=True), (6,)),
    "Conv1D": lambda: (Net(lambda net, x: net.b(net.a(x).tanh()), a=Conv1D(8, 5), b=Conv1D(4, 8)), (6, 5)),
    "bare parameters": lambda: (Bare(), (6, 5)),
    "lists of parameters": lambda: (Listed(), (6, 5)),
    "cut at kept sizes": lambda: (Cut(), (6, 5)),
    "root mean square of groups of heads": lambda: (HeadsInGroups(), (6, 5)),
    "bilinear": lambda: (Pair(), (5,)),
    "grouped queries": lambda: (GroupedQueries(), (6, 5)),
    "experts": lambda: (Experts(), (6, 5)),
}  # fmt: skip
NOT_BY_VALUES = {  # statistics are those of what stays, and ones beside what went are no zeros
    name
    for name in NETS
    if any(word in name.lower() for word in ("norm", "square", "transposed"))
    or name in {"var_mean", "where", "distances", "experts", "shares of experts", "bins", "searched", "rounded weights"}
} - {"instance norm", "affine instance norm", "tracking instance norm", "normalised", "depthwise transposed"}


def built(name):
    torch.manual_seed(0)
    net, shape = NETS[name]()
    return scattered(net), shape


def uneven(graph, seed):
    """Return the removal of another random share of every group, at least one unit of each."""
    noise = np.random.default_rng(seed)
    return Removal(
        graph,
        np.concatenate(
            [noise.permutation(g.atoms)[: g.allowed(max(g.multiple, int(noise.uniform(0.1, 0.8) * g.size)))] for g in graph.groups]
        ),
    )


@pytest.mark.parametrize("name", NETS)
def test_channels_are_carried_through(name):
    net, shape = built(name)
    graph = trace(net, shape)
    assert not graph.limits and len(graph.immovable) == 1 and graph.groups
    samples = torch.randn(3, *shape, generator=torch.Generator().manual_seed(1))
    for seed in (0, 1):
        removal = uneven(graph, seed)
        proof = prove(net, removal)
        assert proof.passed, proof
        small = shrink(net, removal)
        if name not in NOT_BY_VALUES:
            error, moved = differences(net, small, samples)
            assert error < 1e-5 and moved > 1e-3
    before, after = count(net, shape), count(small, shape)
    assert planned_counts(net, removal, before) == (after.params, after.macs)
    again = built(name)[0]
    apply_widths(again, widths(small), {**small.state_dict(), **dict(small.named_buffers())})
    again.load_state_dict(small.state_dict())
    assert torch.equal(again(samples), small(samples))
    small.train().requires_grad_(True)
    small(samples).square().mean().backward()
    assert any(p.grad is not None for p in small.parameters())


def test_key_value_heads_go_with_their_query_heads_and_query_heads_from_every_group():
    net, shape = built("grouped queries")
    groups = {group.layers: group for group in trace(net, shape).groups if group.kind == "heads"}
    whole, places = groups["q", "k", "v"], groups[("q",)]
    assert (whole.size, places.size) == (4, 2)
    spec = PruneSpec(mode="structured", layers=("q", "k", "v"), units=("heads",), sparsity=0.5)
    small = prune(net, spec, input_shape=shape).model
    assert small.q.out_features % small.k.out_features == 0 and small.q.out_features < 32


def test_so_many_experts_stay_as_every_token_is_given_to():
    net, shape = built("experts")
    spec = PruneSpec(mode="structured", layers=("router",), sparsity=0.9)
    result = prune(net, spec, input_shape=shape)
    assert len(result.kept["router"]) == 2 and tuple(result.model.up.shape) == (2, 12, 8) and result.proof.passed
    spec = PruneSpec(mode="structured", layers=("a", "up", "down"), sparsity=0.4)
    assert tuple(prune(net, spec, input_shape=shape).model.up.shape) == (6, 8, 4)


def test_so_many_channels_stay_as_their_deviation_needs():
    least = {how: {group.least for group in trace(*built(f"own layer norm, {how}")).groups} for how in ("pow", "var", "std")}
    assert least == {"pow": {1}, "var": {1}, "std": {2}}
    net, shape = built("own layer norm, std")
    assert prune(net, PruneSpec(mode="structured", layers=("a",), sparsity=0.99), input_shape=shape).model.a.out_features == 2


def in_turn(net, x):
    """Experts that the code goes through by number, each token through two of them."""
    shares, numbers = net.router(x).topk(2, -1)
    return sum(torch.tanh(expert(x)) * (shares * (numbers == place)).sum(-1, keepdim=True) for place, expert in enumerate(net.several))


def by_one_hot(net, x):
    """Places that are told apart by a table of ones."""
    numbers = net.router(x).topk(2, -1).indices
    return torch.tanh(net.mid(x)) * (numbers[..., None] == torch.arange(6, device=x.device)).float().sum((-2, -1), keepdim=True)[..., 0]


@pytest.mark.parametrize("how", [in_turn, by_one_hot])
def test_what_is_chosen_by_numbers_that_are_computed_with_stays(how):
    several = nn.ModuleList(nn.Linear(8, 8) for _ in range(6))
    net, shape = seq(how, router=nn.Linear(8, 6), several=several, mid=nn.Linear(8, 8))
    graph = trace(net, shape)
    assert graph.immovable["router"] == "numbers of what was chosen from it go into 'eq'"
    assert any("a" in group.layers for group in graph.groups) and prove(net, uneven(graph, 0)).passed
