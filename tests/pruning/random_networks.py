"""Networks drawn at random of pieces of every kind, and an independent look at what was cut from them."""

import torch
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from prunekit.pruning.structured.operation_calls import tensors_in
from tests.pruning.by_values import origin, scattered, zeroed
from tests.pruning.test_rules import Conv1D, OwnNorm, T5Norm

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


class Queries(nn.Module):
    """Two query heads to each key-value head, repeated by the lengths themselves."""

    def __init__(self, width):
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(*size) for size in ((width, 16), (width, 8), (width, 8), (16, width)))

    def forward(self, x):
        q, k, v = (layer(x).unflatten(-1, (-1, 4)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        times = q.shape[1] // k.shape[1]
        k, v = (heads[:, :, None].expand(-1, -1, times, -1, -1).flatten(1, 2) for heads in (k, v))
        return x + self.o((((q @ k.transpose(2, 3)) / 2).softmax(-1) @ v).transpose(1, 2).flatten(2))


class Experts(nn.Module):
    """Two of five experts for each position, packed into two parameters."""

    def __init__(self, width, wanted):
        super().__init__()
        self.router = nn.Linear(width, 5)
        self.up, self.down = nn.Parameter(torch.zeros(5, 6, width)), nn.Parameter(torch.zeros(5, wanted, 6))

    def forward(self, x):
        best, numbers = self.router(x).softmax(-1).topk(2, -1)
        shares = torch.zeros(*x.shape[:2], len(self.up), device=x.device).scatter(-1, numbers, best)
        inner = torch.einsum("btc,ehc->bteh", 3 * x, self.up).tanh()
        return (torch.einsum("bteh,eoh->bteo", inner, self.down) * 3 * shares[..., None]).sum(2)


def same(kind):
    """Return a piece that keeps the width."""
    return lambda a, b: (kind(a), a)


def fours(width):
    return 4 * max(width // 4, 1)


def squeezed(m, x):
    return x * m.b(m.a(x.mean((2, 3), keepdim=True)).relu()).sigmoid()


def branched(m, x):
    return torch.cat([m.a(x), m.b(x), x], 1)


def sampled(m, x):
    line = torch.linspace(-0.9, 0.9, 5, device=x.device)
    grid = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1)
    return F.grid_sample(x, grid[None].expand(len(x), -1, -1, -1), align_corners=False)


def stepped(m, x):
    state = None
    for step in x[:, :3].unbind(1):
        state = m.a(step, state)
    return x @ m.b.t() + state[:, None]


def padded(mode):
    return same(lambda a: Do(lambda m, x: F.pad(x, (1, 0, 0, 1), mode=mode)[:, :, 1:, 1:]))


def resized(mode):
    return same(lambda a: Do(lambda m, x: F.interpolate(x, size=(6, 6), mode=mode)))


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
    **{f"{mode} pad": padded(mode) for mode in ("constant", "reflect", "replicate", "circular")},
    **{f"{mode} resize": resized(mode) for mode in ("nearest", "nearest-exact", "bilinear", "bicubic", "area")},
    "wrapped": lambda a, b: (nn.Conv2d(a, b, 3, padding=2, dilation=2, padding_mode="circular"), b),
    "three axes": lambda a, b: (Do(lambda m, x: m.a(x[:, :, None])[:, :, 0], a=nn.Conv3d(a, b, (1, 3, 3), padding=(0, 1, 1))), b),
    "grouped transposed": lambda a, b: (
        nn.Sequential(nn.Conv2d(a, 8, 1), nn.ConvTranspose2d(8, fours(b), 2, 2, groups=4), nn.MaxPool2d(2)), fours(b)
    ),
    "depthwise transposed": same(lambda a: nn.Sequential(nn.ConvTranspose2d(a, a, 2, 2, groups=a), nn.AvgPool2d(2))),
    "plain norm": same(lambda a: nn.BatchNorm2d(a, affine=False)),
    "tracking norm": same(lambda a: nn.InstanceNorm2d(a, affine=True, track_running_stats=True)),
    "own norm of channels": same(lambda a: OwnNorm(a, 1, "var")),
    "one slope": same(lambda a: nn.PReLU()),
    "channels shuffled": lambda a, b: (Do(lambda m, x: F.channel_shuffle(m.a(x), 2), a=nn.Conv2d(a, 2 * b, 1)), 2 * b),
    "windows": lambda a, b: (
        Do(lambda m, x: m.a(F.unfold(x, 3, padding=1).unflatten(2, x.shape[2:])), a=nn.Conv2d(9 * a, b, 1)), b
    ),
    "sampled": same(lambda a: Do(sampled)),
    "frequencies": same(lambda a: Do(lambda m, x: torch.fft.irfft2(torch.fft.rfft2(x) * 0.5, s=x.shape[-2:]))),
    "bare kernel": lambda a, b: (Do(lambda m, x: F.conv2d(x, m.w, padding=1), w=nn.Parameter(torch.zeros(b, a, 3, 3))), b),
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
    "picked": same(lambda a: Do(lambda m, x: x.index_select(1, torch.arange(min(1, x.shape[1] - 1), x.shape[1], device=x.device)))),
    "gathered": same(lambda a: Do(lambda m, x: x.gather(1, torch.arange(x.shape[1]).flip(0)[None, :, None].expand_as(x)))),
    "sorted": same(lambda a: Do(lambda m, x: x.sort(dim=1, descending=True).values)),
    "largest": same(lambda a: Do(lambda m, x: x.topk(max(x.shape[1] // 2, 1), dim=1).values)),
    "T5's norm": same(T5Norm),
    **{f"own norm by {how}": same(lambda a, how=how: OwnNorm(a, -1, how)) for how in ("pow", "var", "std")},
    "unit length": same(lambda a: Do(lambda m, x: F.normalize(x, dim=-1))),
    "Conv1D": lambda a, b: (Do(lambda m, x: m.b(m.a(x.contiguous()).tanh()), a=Conv1D(9, a), b=Conv1D(b, 9)), b),
    "bare": lambda a, b: (
        Do(lambda m, x: F.linear(x, m.v).tanh() @ m.w, v=nn.Parameter(torch.zeros(9, a)), w=nn.Parameter(torch.zeros(9, b))), b
    ),
    "einsum": lambda a, b: (Do(lambda m, x: torch.einsum("bti,oi->bto", x, m.w), w=nn.Parameter(torch.zeros(b, a))), b),
    "halves": lambda a, b: (Do(lambda m, x: F.glu(m.a(x)), a=nn.Linear(a, 2 * b)), b),
    "both": lambda a, b: (Do(lambda m, x: m.b(m.a(x), x), a=nn.Linear(a, 6), b=nn.Bilinear(6, a, b)), b),
    "rnn": lambda a, b: (Do(lambda m, x: m.a(x)[0], a=nn.RNN(a, b, batch_first=True, bidirectional=True, nonlinearity="relu")), 2 * b),
    "deep": lambda a, b: (Do(lambda m, x: m.a(x)[0], a=nn.GRU(a, b, num_layers=2, batch_first=True)), b),
    "projected": lambda a, b: (Do(lambda m, x: m.a(x)[0], a=nn.LSTM(a, b + 2, proj_size=b, batch_first=True)), b),
    "cell": lambda a, b: (Do(stepped, a=nn.GRUCell(a, b), b=nn.Parameter(torch.zeros(b, a))), b),
    "frequencies in time": same(lambda a: Do(lambda m, x: torch.fft.irfft(torch.fft.rfft(x, dim=1) * 0.5, n=x.shape[1], dim=1))),
    "grouped queries": same(Queries),
    "experts": lambda a, b: (Experts(a, b), b),
}  # fmt: skip


@st.composite
def networks(draw):
    """Draw a network as plain values, of which :func:`build` makes it."""
    words = draw(st.sampled_from(("", "", "words", "pairs")))
    width = st.integers(3, 12)
    pictures = [] if words else draw(st.lists(st.tuples(st.sampled_from(sorted(PICTURE)), width), min_size=1, max_size=4))
    sequence = draw(st.lists(st.tuples(st.sampled_from(sorted(SEQUENCE)), width), min_size=int(bool(words)), max_size=3))
    return words, draw(width), tuple(pictures), tuple(sequence), draw(st.integers(0, 10**6))


class Drawn(nn.Module):
    """A stem, pieces of a picture or a table of words, pieces of a sequence, and a classifier."""

    def __init__(self, words, width, pictures, sequence):
        super().__init__()
        self.words = words
        kinds = {"": lambda: nn.Conv2d(2, width, 3, padding=1), "words": lambda: nn.Embedding(20, width)}
        self.stem = kinds.get(words, lambda: nn.EmbeddingBag(20, width))()
        for name, table in (("pictures", PICTURE), ("sequence", SEQUENCE)):
            made = []
            for kind, wanted in pictures if name == "pictures" else sequence:
                module, width = table[kind](width, wanted)
                made.append(module)
            setattr(self, name, nn.Sequential(*made))
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x):
        if self.words:
            x = self.stem(x) if self.words == "words" else self.stem(x.reshape(-1, 2)).unflatten(0, (-1, 3))
        else:
            x = self.pictures(self.stem(x)).flatten(2).transpose(1, 2)
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
            if isinstance(module, (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, T5Norm, OwnNorm)):
                other = small.get_submodule(name)
                (stays,) = origin(dense.get_submodule(name).weight, other.weight)
                dim = 1 if isinstance(module, nn.GroupNorm) else getattr(module, "axis", -1)
                module.register_forward_hook(_over(other, torch.from_numpy(stays), dim))
            if isinstance(module, Experts):  # an expert that went is never chosen
                stays, _ = origin(dense.get_submodule(name).router.weight, small.get_submodule(name).router.weight)
                module.router.bias[[i for i in range(len(module.router.bias)) if i not in stays]] = -1e9
        a, b, whole = (tensors_in(model.eval()(x)) for model in (zero, small, dense))
    assert [t.shape for t in a] == [t.shape for t in b]
    return tuple(
        max(float((s - t).abs().max() / s.abs().max().clamp(min=1e-9)) for s, t in zip(a, found, strict=True)) for found in (b, whole)
    )


def _over(norm, stays, dim):
    """Return a hook by which a norm sees only what stays."""
    return lambda module, args, out: torch.zeros_like(out).index_copy(dim, stays, norm(args[0].index_select(dim, stays)))
