"""Networks drawn at random of pieces of every kind, and an independent look at what was cut from them."""

import torch
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from prunekit.pruning.structured.axis_tracker import tensors_in
from tests.pruning.by_values import origin, scattered, zeroed

CLASSES, SIDE = 5, 8


class Do(nn.Module):
    """Modules by name, and what is done with them."""

    def __init__(self, run, **modules):
        super().__init__()
        self.run = run
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x):
        return self.run(self, x)


class Mix(nn.Module):
    """Attention written by hand: heads by a width that is written down, the scale of that width."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.q, self.k, self.v, self.o = heads, *(nn.Linear(width, heads * 4) for _ in range(3)), nn.Linear(heads * 4, width)

    def forward(self, x):
        q, k, v = (layer(x).unflatten(-1, (-1, 4)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        return x + self.o(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


def same(kind):
    """Return a piece that keeps the width."""
    return lambda a, b: (kind(a), a)


def fours(width):
    return 4 * max(width // 4, 1)


def squeezed(m, x):
    return x * m.b(m.a(x.mean((2, 3), keepdim=True)).relu()).sigmoid()


def branched(m, x):
    return torch.cat([m.a(x), m.b(x), x], 1)


# of a picture [N, C, H, W]: width in, width wanted -> module, width out
PICTURE = {
    "conv": lambda a, b: (nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.ReLU()), b),
    "norm": lambda a, b: (nn.Sequential(nn.Conv2d(a, b, 1, bias=False), nn.BatchNorm2d(b), nn.SiLU()), b),
    "residual": same(lambda a: Do(lambda m, x: x + m.b(m.a(x).relu()), a=nn.Conv2d(a, a + 3, 3, padding=1), b=nn.Conv2d(a + 3, a, 1))),
    "squeeze": same(lambda a: Do(squeezed, a=nn.Conv2d(a, 4, 1), b=nn.Conv2d(4, a, 1))),
    "branches": lambda a, b: (Do(branched, a=nn.Conv2d(a, b, 1), b=nn.Conv2d(a, 4, 3, padding=1)), a + b + 4),
    "depthwise": same(lambda a: nn.Sequential(nn.Conv2d(a, a, 3, padding=1, groups=a), nn.Hardswish())),
    "grouped": lambda a, b: (nn.Sequential(nn.Conv2d(a, 8, 1), nn.Conv2d(8, fours(b), 3, padding=1, groups=4)), fours(b)),
    "transposed": lambda a, b: (nn.Sequential(nn.ConvTranspose2d(a, b, 2, 2), nn.AvgPool2d(2)), b),
    "groups' norm": lambda a, b: (nn.Sequential(nn.Conv2d(a, fours(b), 1), nn.GroupNorm(4, fours(b))), fours(b)),
    "instance norm": same(lambda a: nn.InstanceNorm2d(a, affine=True)),
    "prelu": same(nn.PReLU),
    "shuffle": lambda a, b: (Do(lambda m, x: F.max_pool2d(F.pixel_shuffle(m.a(x), 2), 2), a=nn.Conv2d(a, 4 * b, 1)), b),
    "unshuffle": lambda a, b: (Do(lambda m, x: m.a(F.pixel_unshuffle(F.interpolate(x, scale_factor=2), 2)), a=nn.Conv2d(4 * a, b, 1)), b),
    "pad": same(lambda a: Do(lambda m, x: F.pad(x, (1, 0, 0, 1), mode="reflect")[:, :, 1:, 1:])),
    "compare": same(lambda a: Do(lambda m, x: torch.where(x > 0, x, 0.1 * x) + (x > 1).float())),
    "split": lambda a, b: (Do(lambda m, x: torch.mul(*m.a(x).chunk(2, 1)), a=nn.Conv2d(a, 2 * b, 1)), b),
    "written": same(lambda a: Do(lambda m, x: x.masked_fill(x < -1, -1.0).clamp(max=2.0))),
}  # fmt: skip
# of a sequence [N, T, C]
SEQUENCE = {
    "linear": lambda a, b: (nn.Sequential(nn.Linear(a, b), nn.GELU()), b),
    "layer norm": same(nn.LayerNorm),
    "rms norm": same(nn.RMSNorm),
    "attention": same(lambda a: Mix(a, 3)),
    "mlp": same(lambda a: Do(lambda m, x: x + m.b(F.gelu(m.a(x))), a=nn.Linear(a, 2 * a), b=nn.Linear(2 * a, a))),
    "gated": lambda a, b: (Do(lambda m, x: m.c(F.silu(m.a(x)) * m.b(x)), a=nn.Linear(a, 9), b=nn.Linear(a, 9), c=nn.Linear(9, b)), b),
    "lstm": lambda a, b: (Do(lambda m, x: m.a(x)[0], a=nn.LSTM(a, b, batch_first=True)), b),
    "gru": lambda a, b: (Do(lambda m, x: m.a(x)[0], a=nn.GRU(a, b, batch_first=True, bidirectional=True)), 2 * b),
    "along time": same(lambda a: Do(lambda m, x: m.a(x.transpose(1, 2)).transpose(1, 2), a=nn.Conv1d(a, a, 3, padding=1, groups=a))),
    "mixed by time": same(lambda a: Do(lambda m, x: torch.einsum("bth,bsh->bts", x, x).softmax(-1) @ x)),
    "picked": same(lambda a: Do(lambda m, x: x.index_select(1, torch.arange(1, x.shape[1], device=x.device)))),
}  # fmt: skip


@st.composite
def networks(draw):
    """Draw a network as plain values, of which :func:`build` makes it."""
    words = draw(st.booleans())
    width = st.integers(3, 12)
    pictures = [] if words else draw(st.lists(st.tuples(st.sampled_from(sorted(PICTURE)), width), min_size=1, max_size=4))
    sequence = draw(st.lists(st.tuples(st.sampled_from(sorted(SEQUENCE)), width), min_size=int(words), max_size=3))
    return words, draw(width), tuple(pictures), tuple(sequence), draw(st.integers(0, 10**6))


class Drawn(nn.Module):
    """A stem, pieces of a picture or a table of words, pieces of a sequence, and a classifier."""

    def __init__(self, words, width, pictures, sequence):
        super().__init__()
        self.words = words
        self.stem = nn.Embedding(20, width) if words else nn.Conv2d(2, width, 3, padding=1)
        for name, table in (("pictures", PICTURE), ("sequence", SEQUENCE)):
            made = []
            for kind, wanted in pictures if name == "pictures" else sequence:
                module, width = table[kind](width, wanted)
                made.append(module)
            setattr(self, name, nn.Sequential(*made))
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x):
        x = self.stem(x) if self.words else self.pictures(self.stem(x)).flatten(2).transpose(1, 2)
        return self.head(self.sequence(x).amax(1))


def build(drawn):
    """Return a network with distinct values, the same every time."""
    torch.manual_seed(drawn[-1])
    return scattered(Drawn(*drawn[:-1]), drawn[-1])


def inputs(drawn, batch=2):
    """Return what it takes."""
    source = torch.Generator().manual_seed(drawn[-1])
    return torch.randint(20, (batch, 6), generator=source) if drawn[0] else torch.randn(batch, 2, SIDE, SIDE, generator=source)


def checked(dense, small, x):
    """Return how far the smaller model is from the dense one without what went, and how far that is from the dense one.

    Where each entry comes from is told by its value; statistics of norms over channels are taken over those that stay.
    """
    zero = zeroed(dense, small)
    with torch.no_grad():
        for name, module in zero.named_modules():
            if isinstance(module, (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm)):
                other = small.get_submodule(name)
                (stays,) = origin(dense.get_submodule(name).weight, other.weight)
                module.register_forward_hook(_over(other, torch.from_numpy(stays), 1 if isinstance(module, nn.GroupNorm) else -1))
        a, b, whole = (tensors_in(model.eval()(x)) for model in (zero, small, dense))
    assert [t.shape for t in a] == [t.shape for t in b]
    return tuple(
        max(float((s - t).abs().max() / s.abs().max().clamp(min=1e-9)) for s, t in zip(a, found, strict=True)) for found in (b, whole)
    )


def _over(norm, stays, dim):
    """Return a hook by which a norm sees only what stays."""
    return lambda module, args, out: torch.zeros_like(out).index_copy(dim, stays, norm(args[0].index_select(dim, stays)))
