"""A detector of the blocks that single-shot detectors of the YOLO kind are described by, with heads that decode boxes in evaluation."""

import torch
from torch import nn
from torch.nn import functional

BINS = 4


class Conv(nn.Module):
    """Convolution, norm, activation."""

    def __init__(self, inputs, outputs, kernel=1, stride=1, groups=1, act=True):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn, self.act = nn.BatchNorm2d(outputs), nn.SiLU() if act else nn.Identity()

    def forward(self, x):
        return self.act(self.bn(self.conv(x)))


class Bottleneck(nn.Module):
    """Two convolutions, and a shortcut where it fits."""

    def __init__(self, width):
        super().__init__()
        self.one, self.two = Conv(width, width, 3), Conv(width, width, 3)

    def forward(self, x):
        return x + self.two(self.one(x))


class C3k(nn.Module):
    """Bottlenecks on one of two branches that are joined again."""

    def __init__(self, width):
        super().__init__()
        self.left, self.right, self.join = Conv(width, width // 2), Conv(width, width // 2), Conv(width, width)
        self.inner = nn.Sequential(Bottleneck(width // 2), Bottleneck(width // 2))

    def forward(self, x):
        return self.join(torch.cat((self.inner(self.left(x)), self.right(x)), 1))


class C2f(nn.Module):
    """Half of the channels pass through one block after another, and everything that came by is joined: C3k2 with blocks that are C3k."""

    def __init__(self, inputs, outputs, kind=Bottleneck, parts="chunk"):
        super().__init__()
        self.width, self.parts = outputs // 2, parts
        self.enter, self.leave = Conv(inputs, 2 * self.width), Conv(4 * self.width, outputs)
        self.blocks = nn.ModuleList(kind(self.width) for _ in range(2))

    def forward(self, x):
        x = self.enter(x)
        found = list(x.chunk(2, 1) if self.parts == "chunk" else x.split((self.width, self.width), 1))
        for block in self.blocks:
            found.append(block(found[-1]))
        return self.leave(torch.cat(found, 1))


class SPPF(nn.Module):
    """The same features under ever larger windows."""

    def __init__(self, width):
        super().__init__()
        self.enter, self.leave, self.pool = Conv(width, width // 2), Conv(2 * width, width), nn.MaxPool2d(5, 1, 2)

    def forward(self, x):
        found = [self.enter(x)]
        for _ in range(3):
            found.append(self.pool(found[-1]))
        return self.leave(torch.cat(found, 1))


class Attention(nn.Module):
    """Attention over places, whose keys are half as wide as its values; places are told by a convolution of the values."""

    def __init__(self, width, heads):
        super().__init__()
        self.num_heads, self.head_dim, self.key_dim = heads, width // heads, width // heads // 2
        self.scale = self.key_dim**-0.5
        self.qkv = Conv(width, width + 2 * heads * self.key_dim, act=False)
        self.proj, self.place = Conv(width, width, act=False), Conv(width, width, 3, groups=width, act=False)

    def forward(self, x):
        n, width, high, wide = x.shape
        q, k, v = (
            self.qkv(x)
            .view(n, self.num_heads, self.key_dim * 2 + self.head_dim, high * wide)
            .split([self.key_dim, self.key_dim, self.head_dim], dim=2)
        )
        shares = ((q.transpose(-2, -1) @ k) * self.scale).softmax(-1)
        mixed = (v @ shares.transpose(-2, -1)).view(n, width, high, wide)
        return self.proj(mixed + self.place(v.reshape(n, width, high, wide)))


class C2PSA(nn.Module):
    """Half of the channels pass through attention and a feed-forward part."""

    def __init__(self, width, heads):
        super().__init__()
        self.half = width // 2
        self.enter, self.leave, self.attn = Conv(width, width), Conv(width, width), Attention(width // 2, heads)
        self.ffn = nn.Sequential(Conv(width // 2, width), Conv(width, width // 2, act=False))

    def forward(self, x):
        a, b = self.enter(x).split((self.half, self.half), dim=1)
        b = b + self.attn(b)
        return self.leave(torch.cat((a, b + self.ffn(b)), 1))


class DFL(nn.Module):
    """The mean of a distribution over distances, as a convolution that does not learn."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(BINS, 1, 1, bias=False).requires_grad_(False)
        self.conv.weight.data[:] = torch.arange(BINS, dtype=torch.float).view(1, BINS, 1, 1)

    def forward(self, x):
        n, _, places = x.shape
        return self.conv(x.view(n, 4, BINS, places).transpose(2, 1).softmax(1)).view(n, 4, places)


class Detect(nn.Module):
    """Heads on several levels: maps while training; decoded boxes and scores beside them in evaluation, on anchors of the maps' sizes."""

    shape = None

    def __init__(self, classes, widths):
        super().__init__()
        self.classes, self.outputs, self.strides, self.dfl = classes, classes + 4 * BINS, (4, 8), DFL()
        self.boxes = nn.ModuleList(nn.Sequential(Conv(w, 12, 3), nn.Conv2d(12, 4 * BINS, 1)) for w in widths)
        self.scores = nn.ModuleList(
            nn.Sequential(Conv(w, w, 3, groups=w), Conv(w, 10), nn.Conv2d(10, classes, 1)) for w in widths
        )  # fmt: skip

    def forward(self, levels):
        maps = [torch.cat((box(x), score(x)), 1) for x, box, score in zip(levels, self.boxes, self.scores, strict=True)]
        if self.training:
            return maps
        if self.shape != maps[0].shape:
            self.shape = maps[0].shape
            self.anchors, self.by = self.places(maps)
        boxes, scores = torch.cat([x.view(x.shape[0], self.outputs, -1) for x in maps], 2).split((4 * BINS, self.classes), 1)
        low, high = self.dfl(boxes).chunk(2, 1)
        corners = torch.cat((self.anchors - low, self.anchors + high), 1) * self.by
        return torch.cat((corners, scores.sigmoid()), 1), maps

    def places(self, maps):
        """Return the middle of every cell, and by how much each is larger than a pixel."""
        found, by = [], []
        for x, stride in zip(maps, self.strides, strict=True):
            high, wide = x.shape[-2:]
            rows, columns = (torch.arange(size, device=x.device, dtype=x.dtype) + 0.5 for size in (high, wide))
            y, x_ = torch.meshgrid(rows, columns, indexing="ij")
            found.append(torch.stack((x_, y), 0).view(2, -1))
            by.append(torch.full((high * wide,), float(stride), device=x.device, dtype=x.dtype))
        return torch.cat(found, 1), torch.cat(by)


class SingleShot(nn.Module):
    """A backbone, a neck that goes up and down, and heads on two levels."""

    def __init__(self, classes=3, parts="chunk"):
        super().__init__()
        self.stem, self.one = nn.Sequential(Conv(3, 8, 3, 2), Conv(8, 16, 3, 2)), C2f(16, 16, parts=parts)
        self.down, self.two = Conv(16, 24, 3, 2), C2f(24, 24, C3k, parts)
        self.pool, self.attn = SPPF(24), C2PSA(24, 2)
        self.up, self.back, self.lower = C2f(40, 16, parts=parts), Conv(16, 16, 3, 2), C2f(40, 24, C3k, parts)
        self.detect = Detect(classes, (16, 24))

    def forward(self, x):
        one = self.one(self.stem(x))
        two = self.attn(self.pool(self.two(self.down(one))))
        fine = self.up(torch.cat((functional.interpolate(two, scale_factor=2, mode="nearest"), one), 1))
        return self.detect([fine, self.lower(torch.cat((self.back(fine), two), 1))])
