"""Small random networks made of the supported blocks, for property tests."""

import torch
from hypothesis import strategies as st
from torch import nn


def loud():
    """Return an activation that silences nothing: what is left of a small network behind ReLU may be silent, and hides any mistake."""
    return nn.LeakyReLU(0.5)


class Residual(nn.Module):
    def __init__(self, width, inner, act=nn.ReLU):
        super().__init__()
        self.act = act()
        self.a = nn.Conv2d(width, inner, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(inner)
        self.b = nn.Conv2d(inner, width, 1)

    def forward(self, x):
        return self.act(x + self.b(self.act(self.bn(self.a(x)))))


class Dense(nn.Module):
    def __init__(self, width, growth, act=nn.ReLU):
        super().__init__()
        self.act = act()
        self.conv = nn.Conv2d(width, growth, 3, padding=1)

    def forward(self, x):
        return torch.cat([x, self.act(self.conv(x))], 1)


class Depthwise(nn.Module):
    def __init__(self, width, out, multiplier, act=nn.ReLU):
        super().__init__()
        self.act = act()
        self.depth = nn.Conv2d(width, width * multiplier, 3, padding=1, groups=width)
        self.norm = nn.BatchNorm2d(width * multiplier)
        self.point = nn.Conv2d(width * multiplier, out, 1, bias=False)

    def forward(self, x):
        return self.point(self.act(self.norm(self.depth(x))))


class Grouped(nn.Module):
    def __init__(self, groups, inner, out, act=nn.ReLU):
        super().__init__()
        self.act = act()
        self.widen = nn.Conv2d(out, groups * inner, 1)
        self.conv = nn.Conv2d(groups * inner, groups * inner, 3, padding=1, groups=groups)
        self.close = nn.Conv2d(groups * inner, out, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.close(self.act(self.conv(self.act(self.widen(x))))))


class Net(nn.Module):
    def __init__(self, stem, blocks, hidden, side, view, act=nn.ReLU):
        super().__init__()
        self.act = act()
        self.stem = nn.Conv2d(2, stem, 3, padding=1)
        layers, width = [], stem
        for kind, a, b in blocks:
            if kind == "residual":
                layers.append(Residual(width, a, act))
            elif kind == "dense":
                layers.append(Dense(width, a, act))
                width += a
            elif kind == "depthwise":
                layers.append(Depthwise(width, a, b, act))
                width = a
            elif kind == "grouped":
                layers.append(Grouped(a, b + 1, width, act))
            else:
                layers.append(nn.Sequential(nn.Conv2d(width, a, 3, padding=1), nn.BatchNorm2d(a), act()))
                width = a
        self.body = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(side)
        self.view = view
        self.fc1 = nn.Linear(width * side * side, hidden)
        self.fc2 = nn.Linear(hidden, 5)

    def forward(self, x):
        x = self.pool(self.body(self.act(self.stem(x))))
        x = x.view(x.size(0), -1) if self.view else torch.flatten(x, 1)
        return self.fc2(self.act(self.fc1(x)))


SHAPE = (2, 6, 6)
blocks = st.tuples(st.sampled_from(["conv", "residual", "dense", "depthwise", "grouped"]), st.integers(2, 6), st.integers(1, 2))


@st.composite
def nets(draw, act=nn.ReLU):
    seed = draw(st.integers(0, 2**31))
    args = (draw(st.integers(2, 7)), draw(st.lists(blocks, min_size=1, max_size=4)), draw(st.integers(2, 9)), draw(st.integers(1, 2)))
    view = draw(st.booleans())
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Net(*args, view, act).eval()


plain_blocks = st.tuples(st.sampled_from(["conv", "residual", "dense", "depthwise"]), st.integers(2, 6), st.just(1))


@st.composite
def plain_nets(draw):
    """Networks without grouped convolutions, and without a grid of positions behind a concatenation."""
    seed, stem, hidden, view = draw(st.integers(0, 2**31)), draw(st.integers(2, 7)), draw(st.integers(2, 9)), draw(st.booleans())
    drawn = draw(st.lists(plain_blocks, min_size=1, max_size=4))
    side = 1 if any(kind == "dense" for kind, _, _ in drawn) else draw(st.integers(1, 2))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Net(stem, drawn, hidden, side, view).eval()
