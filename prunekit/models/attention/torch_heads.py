"""``nn.MultiheadAttention`` whose heads may be of any number and width."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunekit.models.attention.heads import Heads


class HeadwiseAttention(nn.MultiheadAttention):
    """Attention over ``num_heads`` heads of ``head_dim`` dimensions, on an embedding of any width.

    The logits keep the scale of the dense model, ``dense_width ** -0.5``. Made from a dense module by
    :func:`prunekit.models.adapt`.
    """

    dense_width: int

    def forward(  # noqa: PLR0917 (the arguments of nn.MultiheadAttention, in its order)
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend; arguments and results are those of ``nn.MultiheadAttention``."""
        batched = query.dim() == 3
        swap = batched and not self.batch_first
        x = [t.transpose(0, 1) if swap else t if batched else t.unsqueeze(0) for t in (query, key, value)]
        q, k, v = (self._heads(t, part) for part, t in enumerate(x))
        mask = self._mask(attn_mask, key_padding_mask, q)
        dropped = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            logits = q @ k.transpose(-2, -1) * self.dense_width**-0.5
            weights = (logits if mask is None else logits + mask).softmax(-1)
            out = F.dropout(weights, dropped) @ v
        else:
            out = F.scaled_dot_product_attention(q, k, v, mask, dropped, scale=self.dense_width**-0.5)
        out = self.out_proj(out.transpose(1, 2).flatten(2))
        if weights is not None:
            weights = weights.mean(1) if average_attn_weights else weights
            weights = weights if batched else weights.squeeze(0)
        return (out.transpose(0, 1) if swap else out if batched else out.squeeze(0)), weights

    def _heads(self, x: Tensor, part: int) -> Tensor:
        """Return queries (0), keys (1) or values (2): ``[batch, heads, length, width]``."""
        weight = self.in_proj_weight.chunk(3)[part]
        bias = None if self.in_proj_bias is None else self.in_proj_bias.chunk(3)[part]
        return torch.unflatten(F.linear(x, weight, bias), -1, (self.num_heads, self.head_dim)).transpose(1, 2)

    def _mask(self, attn_mask: Tensor | None, padding: Tensor | None, like: Tensor) -> Tensor | None:
        """Return what is added to the logits, ``[batch, heads, length, length]`` or what broadcasts to it."""
        found = None
        if attn_mask is not None:
            found = _added(attn_mask, like)
            found = found if found.dim() == 2 else torch.unflatten(found, 0, (-1, self.num_heads))
        if padding is not None:
            closed = _added(padding, like).reshape(-1, 1, 1, padding.shape[-1])
            found = closed if found is None else found + closed
        return found


def _added(mask: Tensor, like: Tensor) -> Tensor:
    """Return a mask as numbers to add: minus infinity where a boolean one is true."""
    if mask.dtype != torch.bool:
        return mask.to(like.dtype)
    return torch.zeros_like(mask, dtype=like.dtype).masked_fill(mask, float("-inf"))


MULTIHEAD = Heads(
    "torch.nn.modules.activation.MultiheadAttention", rows="in_proj_weight", count="num_heads", width="head_dim", adapter=HeadwiseAttention
)
