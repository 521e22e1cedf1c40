"""Linear layers whose zeros are skipped: weights in compressed sparse rows (CSR)."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from prunekit.errors import RuntimeFault
from prunekit.runtimes.session import Files, Session
from prunekit.runtimes.torch_sessions import TorchSession, opened_model

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


def _sparse_enough(module: nn.Module) -> bool:
    """Return whether a module is a linear layer with enough zeros."""
    return type(module) is nn.Linear and float((module.weight == 0).double().mean()) >= LEAST_ZEROS


def open_csr(files: Files, threads: int, device: str) -> Session:
    """Replace every linear layer with at least half zeros by its sparse form.

    Raises
    ------
    RuntimeFault
        If there is none.
    """
    model = opened_model(files, threads, device)
    linear = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    sparse = [(name, module) for name, module in linear if name and _sparse_enough(module)]
    if not sparse:
        many = f"none of its {len(linear)} linear layers has" if linear else "it has no linear layer with"
        raise RuntimeFault(f"nothing to run sparse: {many} at least {LEAST_ZEROS:.0%} zeros; prune linear layers unstructured, beyond that")
    for name, module in sparse:
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, SparseLinear(module))
    session = TorchSession(model, device)
    session.notes = (f"{len(sparse)} of {len(linear)} linear layers run sparse",)
    return session
