"""A copy of a model to run for its scores, beside the shared one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from prunekit.models.layers import weight_name
from prunekit.models.meta_copy import check_plain, copied


def scoring_copy(model: nn.Module) -> nn.Module:
    """Return a copy in eval mode whose parameters share the model's memory and take gradients.

    The model itself may serve other threads meanwhile: nothing of it is changed, not even for the time of a call (which is what
    ``torch.func.functional_call`` does). Buffers are copied: a forward pass could write to them.
    """
    check_plain(model)
    memo: dict[int, object] = {}
    for parameter in model.parameters():
        # autograd refuses tensors that were made in inference mode
        value = parameter.detach().clone() if parameter.is_inference() else parameter.detach()
        memo[id(parameter)] = nn.Parameter(value, requires_grad=value.is_floating_point() or value.is_complex())
    for buffer in model.buffers():
        memo[id(buffer)] = buffer.detach().clone()
    return copied(model, memo).eval()


def headless_copy(model: nn.Module, layers: Iterable[str]) -> nn.Module:
    """Return a scoring copy to run for what enters some layers: a language model's gives its last states instead of a vocabulary's scores.

    Unless its head is asked about too: the scores would be most of the memory, and a good part of the work.
    """
    own: Any = scoring_copy(model)
    head: Any = own.get_output_embeddings() if hasattr(own, "get_output_embeddings") else None
    plain = isinstance(head, nn.Linear)
    if plain and all(own.get_parameter(weight_name(own, name)) is not head.weight for name in layers):
        head.forward = lambda states: states
    return own  # type: ignore[no-any-return]
