"""The form of a convolutional network in which it is measured faster: BatchNorm folded into convolutions, channels last in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from prunekit.evaluation.sensitivity.call_trace import Call, Watched, Working, watch
from prunekit.models.meta_copy import copied
from prunekit.tasks.batch import Batch
from prunekit.tasks.input_form import answer
from prunekit.tasks.nested import named_tensors

WORTH = 2e7
"""Operations of one sample, about ten million MACs, below which there is little to gain."""
CLOSE = 1e-4
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def faster_form(model: nn.Module, x: Batch, changed: Collection[str]) -> nn.Module:
    """Return a copy of a network that answers the same, faster, or the network itself.

    A norm is folded where it reads what a convolution gives and nobody else does. Zeros of the convolution's weight are zeros of the folded
    one, so that the same masks serve; norms that a change touches stay as they are.
    """
    if not any(isinstance(module, nn.Conv2d) for module in model.modules()):
        return model
    working = Working(model)
    try:
        working.attach()
        watched = watch(working, x.map(Tensor.clone))
        if watched.calls[0].cost < WORTH * watched.samples:
            return model
        faster = copied(model).eval().requires_grad_(False)
        for convolution, norm in _pairs(faster, watched, changed):
            _fold(faster, convolution, norm)
        faster = faster.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return faster if _agree(model, faster, x) else model
    except Exception:  # whatever cannot be watched or copied is measured as it is
        return model


def _pairs(model: nn.Module, watched: Watched, changed: Collection[str]) -> list[tuple[str, str]]:
    """Return names of convolutions and of the norms that alone read what they give, neither called twice."""
    modules, calls = dict(model.named_modules()), dict[str, list[Call]]()
    for call in watched.calls:
        calls.setdefault(call.module, []).append(call)
    given = {
        call.outputs[0][0]: (name, call)
        for name, (call, *more) in calls.items()
        if not more and isinstance(modules[name], CONVOLUTIONS) and call.outputs is not None and len(call.outputs) == 1
    }
    held = Counter(watched.state.values())
    found = []
    for name, (call, *more) in calls.items():
        norm = modules[name]
        if more or not isinstance(norm, NORMS) or norm.running_mean is None or any(each.startswith(f"{name}.") for each in changed):
            continue
        inside = [op for op in watched.ops if call.start < op.time < call.end]
        for storage in {storage for op in inside for storage in op.touched} & given.keys():
            before, made = given[storage]
            after = [op for op in watched.ops if op.time > made.end and storage in op.touched]
            shared = held[watched.state[f"{before}.weight"]] > 1  # with another layer, where the mask would be missed
            if all(call.start < op.time < call.end for op in after) and f"{before}.bias" not in changed and not shared:
                found.append((before, name))
    return found


def _fold(model: nn.Module, convolution: str, norm: str) -> None:
    """Fold one norm into one convolution of a working copy."""
    conv, bn = model.get_submodule(convolution), model.get_submodule(norm)
    assert isinstance(conv, CONVOLUTIONS) and isinstance(bn, NORMS)
    assert bn.running_mean is not None and bn.running_var is not None
    conv.weight, conv.bias = fuse_conv_bn_weights(conv.weight, conv.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias)
    parent, _, last = norm.rpartition(".")
    setattr(model.get_submodule(parent), last, nn.Identity())


def _agree(model: nn.Module, faster: nn.Module, x: Batch) -> bool:
    """Return whether both answer the same."""
    with torch.no_grad():
        ours, theirs = (dict(named_tensors(answer(each, x.map(Tensor.clone)), "")) for each in (faster, model))
    return ours.keys() == theirs.keys() and all(
        float((ours[name] - theirs[name]).abs().max()) <= CLOSE * float(theirs[name].abs().max()) for name in theirs if theirs[name].numel()
    )
