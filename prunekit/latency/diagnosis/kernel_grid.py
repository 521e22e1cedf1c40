"""In the child: sparse against dense linear layers over density, size and batch, in turns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from prunekit.latency.interleaved_timing import Run, take_turns
from prunekit.runtimes.sparse import SparseLinear


def time_grid(request: dict[str, Any], tell: Callable[[float, int], object]) -> dict[str, Any]:
    """Time ``addmm(bias, W_csr, x^T)^T`` at several densities against the dense layer at each size and batch.

    At each size and batch the dense layer and all densities take turns; the budget is shared out evenly.

    Parameters
    ----------
    request : dict
        ``sizes`` (pairs of outputs and inputs), ``batches``, ``densities``, ``budget_s``, ``min_rounds``, ``seed``.
    tell : callable
        Called with the share of the work that is done and the rounds so far.

    Returns
    -------
    dict
        ``groups``: for each size and batch ``size``, ``batch`` and ``seconds`` (a series for the dense layer, then one for each density).
    """
    corners = [(tuple(size), batch) for size in request["sizes"] for batch in request["batches"]]
    noise = torch.Generator().manual_seed(request["seed"])
    groups: list[dict[str, Any]] = []
    done = 0
    for place, (size, batch) in enumerate(corners):
        runs = _runs(size, batch, request["densities"], noise)

        def here(share: float, rounds: int, place: int = place, done: int = done) -> None:
            tell((place + share) / len(corners), done + rounds)

        budget = request["budget_s"] / len(corners)
        with torch.inference_mode():
            rounds = take_turns(runs, budget_s=budget, min_rounds=request["min_rounds"], seed=request["seed"], progress=here)
        done += len(rounds.orders)
        groups.append({"size": list(size), "batch": batch, "seconds": rounds.seconds})
    return {"groups": groups, "capability": torch.backends.cpu.get_cpu_capability(), "torch": str(torch.__version__)}


def _runs(size: tuple[int, ...], batch: int, densities: list[float], noise: torch.Generator) -> list[Run]:
    """Return the dense layer's call, then that of a sparse one for each density."""
    dense = nn.Linear(size[1], size[0]).requires_grad_(False)
    dense.weight.copy_(torch.randn(*size, generator=noise))
    x = torch.randn(batch, size[1], generator=noise)
    order = torch.randperm(dense.weight.numel(), generator=noise)
    return [lambda: dense(x), *(_sparse(dense, x, order, density) for density in densities)]


def _sparse(dense: nn.Linear, x: Tensor, order: Tensor, density: float) -> Run:
    """Return the call of a sparse layer that keeps so many of the weights, at random places."""
    kept = torch.zeros(dense.weight.numel())
    kept[order[: max(1, round(density * len(order)))]] = 1
    thinned = nn.Linear(dense.in_features, dense.out_features).requires_grad_(False)
    thinned.weight.copy_(dense.weight * kept.view_as(dense.weight))
    layer = SparseLinear(thinned)
    return lambda: layer(x)
