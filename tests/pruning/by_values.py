"""Surgery looked at from outside: where each entry of the smaller model comes from is told by its value alone."""

import copy

import numpy as np
import torch
from torch.nn.modules.batchnorm import _NormBase

from prunekit.pruning.structured.operation_calls import tensors_in


def scattered(model, seed=0):
    """Return a copy whose floating tensors are random and distinct, norms and statistics at a sane scale."""
    other, source = copy.deepcopy(model).eval(), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in other.modules():
            for name, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
                if tensor.is_floating_point() and tensor.numel():
                    noise = torch.randn(tensor.shape, generator=source)
                    norm = isinstance(module, _NormBase) or tensor.dim() == 1
                    scale = (1 / max(tensor[0].numel(), 1)) ** 0.5 if tensor.dim() > 1 else 0.1
                    tensor.copy_(noise * scale + float(norm and name in {"weight", "running_var"}))
    return other


def origin(big, small):
    """Return, for each axis, which indices of ``big`` the entries of ``small`` are; None where it is no product of index sets."""
    values, wanted = big.flatten().double().numpy(), small.flatten().double().numpy()
    order = np.argsort(values, kind="stable")
    places = np.searchsorted(values[order], wanted)
    if (places >= values.size).any() or (values[order][places] != wanted).any():
        return None
    found = np.stack(np.unravel_index(order[places], tuple(big.shape))).reshape(big.dim(), *small.shape)
    axes = [np.moveaxis(found[axis], axis, 0).reshape(small.shape[axis], -1) for axis in range(big.dim())]
    return None if any((axis != axis[:, :1]).any() for axis in axes) else [axis[:, 0] for axis in axes]


def zeroed(dense, small):
    """Return a copy of the dense model with all that went at zero: where each entry comes from is told by its value."""
    zero, tensors = copy.deepcopy(dense), {**dict(small.named_parameters()), **dict(small.named_buffers())}
    with torch.no_grad():
        for name, big in [*zero.named_parameters(), *zero.named_buffers()]:
            if big.is_floating_point() and big.dim():
                stays = origin(big, tensors[name])
                assert stays is not None, name
                keep = torch.zeros(big.shape, dtype=torch.bool)
                keep[np.ix_(*stays)] = True
                if not name.endswith("running_var"):
                    big.mul_(keep)
    return zero


def differences(dense, small, *inputs):
    """Return how far the smaller model is from the dense one with all that went at zero, and how far that is from the dense one."""
    zero = zeroed(dense, small)
    with torch.no_grad():
        left, right, whole = (tensors_in(model.eval()(*inputs)) for model in (zero, small, dense))
    assert [t.shape for t in left] == [t.shape for t in right]
    pairs = [(a, b, c) for a, b, c in zip(left, right, whole, strict=True) if a.is_floating_point()]
    return tuple(max(float((one - two).abs().max() / one.abs().max()) for one, two in each) for each in (
        [(a, b) for a, b, _ in pairs], [(c, a) for a, _, c in pairs]
    ))  # fmt: skip
