"""Linear layers whose zeros are skipped: weights in compressed sparse rows (CSR)."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

LEAST_ZEROS = 0.5
"""Share of zeros from which a linear layer runs sparse: with fewer, indices weigh more than the zeros that are left out."""


class SparseLinear(nn.Module):
    """A linear layer with weights in CSR: ``(W x^T + b)^T``, the product in the order that torch's sparse kernel is made for.

    Parameters
    ----------
    dense : nn.Linear
        Whose weights it takes over, zeros left out.
    """

    def __init__(self, dense: nn.Linear) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "sparse CSR is in beta": said once for each process, to nobody's use
            self.weight = dense.weight.detach().to_sparse_csr()
        bias = torch.zeros(dense.out_features) if dense.bias is None else dense.bias.detach()
        self.bias = bias.to(self.weight.dtype)[:, None]

    def forward(self, x: Tensor) -> Tensor:
        """Return [..., out] for [..., in]."""
        flat = x.reshape(-1, x.shape[-1])
        return torch.addmm(self.bias, self.weight, flat.t()).t().reshape(*x.shape[:-1], len(self.bias))


def swap(model: nn.Module) -> dict[str, nn.Module]:
    """Replace linear layers that have enough zeros, in place; return what stands there now, by name."""
    linear = [(name, module) for name, module in model.named_modules() if type(module) is nn.Linear and name]
    swapped: dict[str, nn.Module] = {name: SparseLinear(module) for name, module in linear if _zeros(module) >= LEAST_ZEROS}
    for name, module in swapped.items():
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, module)
    return swapped


def _zeros(module: nn.Linear) -> float:
    """Return the share of zeros among a layer's weights."""
    return 1 - int(torch.count_nonzero(module.weight)) / max(module.weight.numel(), 1)
