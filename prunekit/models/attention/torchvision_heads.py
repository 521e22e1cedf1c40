"""torchvision's attention within windows (Swin, versions 1 and 2) and partitions (MaxViT) whose heads may be of any number and width."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.maxvit import RelativePositionalMultiHeadAttention
from torchvision.models.swin_transformer import ShiftedWindowAttention, ShiftedWindowAttentionV2

from prunekit.models.attention.heads import Heads


class _Windows(ShiftedWindowAttention):  # type: ignore[misc]  # torchvision has no types
    """Attention within windows over ``num_heads`` heads of ``head_width`` dimensions; the scale is that of ``dense_width``."""

    qkv: nn.Linear
    logit_scale: Tensor
    num_heads: int
    head_width: int
    dense_width: int

    def forward(self, x: Tensor) -> Tensor:
        """Attend within windows: ``[batch, height, width, channels]`` in and out."""
        height, width = x.shape[1:3]
        tall, wide = self.window_size
        x = F.pad(x, (0, 0, 0, -width % wide, 0, -height % tall))
        rows, columns = x.shape[1:3]
        # a window as large as the picture has nothing to shift over
        shift = [0 if size >= whole else by for size, whole, by in zip(self.window_size, (rows, columns), self.shift_size, strict=True)]
        windows = _cut(x.roll((-shift[0], -shift[1]), (1, 2)), tall, wide)
        out = self._attend(windows, _regions(rows, columns, (tall, wide), shift, x) if any(shift) else None)
        out = torch.unflatten(torch.unflatten(out, 1, (rows // tall, columns // wide)), 3, (tall, wide))
        out = out.transpose(2, 3).flatten(1, 2).flatten(2, 3)
        return out.roll((shift[0], shift[1]), (1, 2))[:, :height, :width].contiguous()

    def _attend(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Attend within each window: ``[batch, windows, positions, channels]`` in and out."""
        qkv = torch.unflatten(F.linear(x, self.qkv.weight, self._bias()), -1, (3, self.num_heads, self.head_width))
        q, k, v = qkv.permute(3, 0, 1, 4, 2, 5).unbind(0)  # [batch, windows, heads, positions, width]
        logits = self._logits(q, k) + self.get_relative_position_bias()
        if mask is not None:
            logits = logits + mask[:, None]
        weights = F.dropout(logits.softmax(-1), self.attention_dropout, self.training)
        out = (weights @ v).transpose(2, 3).flatten(3)
        return F.dropout(F.linear(out, self.proj.weight, self.proj.bias), self.dropout, self.training)

    def _bias(self) -> Tensor | None:
        """Return what is added to queries, keys and values."""
        return self.qkv.bias

    def _logits(self, q: Tensor, k: Tensor) -> Tensor:
        """Compare queries and keys."""
        logits: Tensor = (q * self.dense_width**-0.5) @ k.transpose(-2, -1)
        return logits


class HeadwiseWindows(_Windows):
    """Swin's attention, with heads of any number and width."""


class HeadwiseWindowsV2(_Windows, ShiftedWindowAttentionV2):  # type: ignore[misc]
    """Swin V2's attention: cosines, a scale for each head, keys without a bias."""

    def _bias(self) -> Tensor | None:
        """Leave keys without a bias."""
        if self.qkv.bias is None:
            return None
        q, _, v = self.qkv.bias.chunk(3)
        return torch.cat([q, torch.zeros_like(q), v])

    def _logits(self, q: Tensor, k: Tensor) -> Tensor:
        """Compare directions."""
        scale = self.logit_scale.clamp(max=math.log(100.0)).exp()
        cosines: Tensor = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)
        return cosines * scale


def _cut(x: Tensor, tall: int, wide: int) -> Tensor:
    """Cut a picture into windows: ``[batch, windows, positions, channels]``."""
    x = torch.unflatten(torch.unflatten(x, 1, (-1, tall)), 3, (-1, wide))
    return x.transpose(2, 3).flatten(1, 2).flatten(2, 3)


def _regions(rows: int, columns: int, window: tuple[int, int], shift: list[int], like: Tensor) -> Tensor:
    """Return what keeps positions apart that only the shift brought together: ``[windows, positions, positions]`` to add to logits."""
    region = torch.zeros(rows, columns, device=like.device)
    for axis, (length, size, by) in enumerate(zip((rows, columns), window, shift, strict=True)):
        place = torch.arange(length, device=like.device)
        part = (place >= length - size).int() + (place >= length - by).int() if by else torch.zeros_like(place)
        region = region + (part[:, None] * 3 if axis == 0 else part[None])
    found = _cut(region[None, :, :, None], *window)[0, :, :, 0]
    apart = found[:, None] != found[:, :, None]
    return torch.zeros(apart.shape, dtype=like.dtype, device=like.device).masked_fill(apart, -100.0)


class HeadwisePartitions(RelativePositionalMultiHeadAttention):  # type: ignore[misc]  # torchvision has no types
    """Attention over ``n_heads`` heads of ``head_dim`` dimensions, on an embedding of any width; its ``scale_factor`` is the dense one."""

    to_qkv: nn.Linear
    merge: nn.Linear
    n_heads: int
    head_dim: int
    dense_width: int

    def forward(self, x: Tensor) -> Tensor:
        """Attend within each partition: ``[batch, partitions, positions, channels]`` in and out."""
        qkv = torch.unflatten(self.to_qkv(x), -1, (3, self.n_heads, self.head_dim))
        q, k, v = qkv.permute(3, 0, 1, 4, 2, 5).unbind(0)
        logits = q @ (k * self.scale_factor).transpose(-2, -1) + self.get_relative_positional_bias()
        out: Tensor = self.merge((logits.softmax(-1) @ v).transpose(2, 3).flatten(3))
        return out


SWIN = "torchvision.models.swin_transformer"
WINDOWS = Heads(f"{SWIN}.ShiftedWindowAttention", rows="qkv.weight", count="num_heads", width="head_width", adapter=HeadwiseWindows)
WINDOWS_V2 = Heads(f"{SWIN}.ShiftedWindowAttentionV2", rows="qkv.weight", count="num_heads", width="head_width", adapter=HeadwiseWindowsV2)
PARTITIONS = Heads(
    "torchvision.models.maxvit.RelativePositionalMultiHeadAttention",
    rows="to_qkv.weight",
    count="n_heads",
    width="head_dim",
    adapter=HeadwisePartitions,
)
