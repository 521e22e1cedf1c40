"""Norms, scales and attention by hand: the dense arithmetic with what goes left out of every mean, in a few lines that know no coupling.

A check that sets what goes to zero and then runs the dense model counts those zeros in every mean, and differs by tens of per cent.
"""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from prunekit import PruneSpec, prune
from tests.pruning.by_values import scattered


def over_kept(x, stays, groups=1, space=()):
    """Return x less its mean, over its deviation, of the channels of each group that stay, in the last axis."""
    parts = []
    for part, kept in zip(x.chunk(groups, -1), stays.chunk(groups), strict=True):
        there = part[..., kept] if kept.any() else part  # of a group of one channel, which goes, nothing is left
        variance, mean = torch.var_mean(there, (*space, -1), correction=0, keepdim=True)
        parts.append((part - mean) / (variance + 1e-5).sqrt() * kept)
    return torch.cat(parts, -1)


def affine(layer, x, outputs, inputs):
    """Return a layer with rows and columns of its weight at zero where they go; x has its channels last."""
    weight = layer.weight * outputs.view(-1, *[1] * (layer.weight.dim() - 1)) * inputs.view(1, -1, *[1] * (layer.weight.dim() - 2))
    if weight.dim() == 2:
        return F.linear(x, weight, layer.bias * outputs)
    return F.conv2d(x.movedim(-1, 1), weight, layer.bias * outputs, padding=layer.padding).movedim(1, -1)


class Groups(nn.Module):
    """GroupNorm of four groups, of one, and of as many as there are channels."""

    shape = (1, 6, 6)

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c, self.d = (
            nn.Conv2d(1, 16, 3, padding=1),
            nn.Conv2d(16, 8, 3, padding=1),
            nn.Conv2d(8, 6, 1),
            nn.Conv2d(6, 3, 1),
        )
        self.norms = nn.ModuleList([nn.GroupNorm(4, 16), nn.GroupNorm(1, 8), nn.GroupNorm(6, 6)])

    def forward(self, x):
        for layer, norm in zip((self.a, self.b, self.c), self.norms, strict=True):
            x = F.silu(norm(layer(x)))
        return self.d(x)

    def by_hand(self, x, stays):
        x, before = x.movedim(1, -1), torch.ones(1)
        for name, norm in zip("abc", self.norms, strict=True):
            x = over_kept(affine(getattr(self, name), x, stays[name], before), stays[name], norm.num_groups, (1, 2))
            x, before = F.silu(x * norm.weight + norm.bias) * stays[name], stays[name]
        return affine(self.d, x, torch.ones(3), before).movedim(-1, 1)


class Encoder(nn.Module):
    """LayerNorm, heads taken apart by hand, a scale that was worked out in __init__, and a residual stream."""

    shape = (5, 10)

    def __init__(self):
        super().__init__()
        self.inp, self.up, self.down, self.head = nn.Linear(10, 24), nn.Linear(24, 40), nn.Linear(40, 24), nn.Linear(24, 3)
        self.q, self.k, self.v, self.o = (nn.Linear(24, 24) for _ in range(4))
        self.one, self.two, self.heads, self.scale = nn.LayerNorm(24), nn.LayerNorm(24), 4, 6**-0.5

    def attend(self, *parts):
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        return ((q @ k.transpose(2, 3) * self.scale).softmax(-1) @ v).transpose(1, 2).flatten(2)

    def forward(self, x):
        x = self.inp(x)
        found = self.one(x)
        x = x + self.o(self.attend(self.q(found), self.k(found), self.v(found)))
        return self.head((x + self.down(F.gelu(self.up(self.two(x))))).mean(1))

    def by_hand(self, x, stays):
        width = stays["inp"]
        x = affine(self.inp, x, width, torch.ones(10))
        found = over_kept(x, width) * self.one.weight + self.one.bias
        x = x + affine(self.o, self.attend(*(affine(getattr(self, n), found, stays[n], width) for n in "qkv")), width, stays["v"])
        found = over_kept(x, width) * self.two.weight + self.two.bias
        inner = F.gelu(affine(self.up, found, stays["up"], width))
        return affine(self.head, (x + affine(self.down, inner, width, stays["up"])).mean(1), torch.ones(3), width)


class Rounded(nn.Linear):
    """Three values, scaled by the mean size of all weights."""

    def forward(self, x):
        scale = self.weight.abs().mean()
        return F.linear(x, (self.weight / scale).round().clamp(-1, 1) * scale, self.bias)


class Ternary(nn.Module):
    shape = (10,)

    def __init__(self):
        super().__init__()
        self.inp, self.mid, self.head = nn.Linear(10, 16), Rounded(16, 20), nn.Linear(20, 4)

    def forward(self, x):
        return self.head(self.mid(self.inp(x).relu()).relu())

    def by_hand(self, x, stays):
        x = affine(self.inp, x, stays["inp"], torch.ones(10)).relu()
        weight = self.mid.weight
        scale = weight[stays["mid"]][:, stays["inp"]].abs().mean()
        there = stays["mid"][:, None] * stays["inp"]
        x = F.linear(x, (weight / scale).round().clamp(-1, 1) * scale * there, self.mid.bias * stays["mid"]).relu()
        return affine(self.head, x, torch.ones(4), stays["mid"])


@pytest.mark.parametrize("kind", [Groups, Encoder, Ternary])
@pytest.mark.parametrize("share", [0.3, 0.6])
def test_what_stays_is_normalised_and_scaled_by_what_stays(kind, share):
    torch.manual_seed(0)
    model = scattered(kind())
    layers = tuple(name for name, module in model.named_modules() if isinstance(module, (nn.Linear, nn.Conv2d)))[:-1]
    result = prune(model, PruneSpec(mode="structured", sparsity=share, layers=layers, criterion="random"), input_shape=kind.shape)
    stays = {name: torch.zeros(len(model.get_submodule(name).weight), dtype=torch.bool) for name in layers}
    for name, kept in stays.items():
        kept[list(result.kept[name])] = True
    assert not all(kept.all() for kept in stays.values())
    x = torch.randn(3, *kind.shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found, expected, dense = result.model.eval()(x), model.by_hand(x, stays), model(x)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert (expected - dense).abs().max() > 0.01 * dense.abs().max()
    every = {name: torch.ones_like(kept) for name, kept in stays.items()}
    torch.testing.assert_close(model.by_hand(x, every), dense, rtol=1e-4, atol=1e-5)  # the hand computes what the model does
