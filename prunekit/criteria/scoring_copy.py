"""A copy of a model to run for its scores, beside the shared one."""

from __future__ import annotations

from torch import nn

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
