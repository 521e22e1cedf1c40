"""torchvision's attention within partitions (MaxViT) whose heads may be of any number and width."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models.maxvit import RelativePositionalMultiHeadAttention


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
