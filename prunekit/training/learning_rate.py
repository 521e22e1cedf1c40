"""The learning rate of every step, known before the first one."""

from __future__ import annotations

import math

import torch
from torch.optim.lr_scheduler import OneCycleLR

from prunekit.config.recovery import Recovery
from prunekit.errors import RecoveryError
from sample_models.recipes import TrainRecipe

Rates = tuple[float, ...]


def one_cycle(peak: float, steps: int, warmup: float) -> Rates:
    """Return one cycle of learning rates: up over the first ``warmup`` share of the steps, then down, both along a cosine.

    Smith and Topin 2018, Super-Convergence, arXiv:1708.07120; the numbers are those of ``torch.optim.lr_scheduler.OneCycleLR``.
    """
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=peak)
    rising = warmup if warmup * steps > 1 else 0.0  # torch divides by the length of the rise
    cycle = OneCycleLR(optimizer, peak, total_steps=steps, pct_start=rising, cycle_momentum=False)
    found = [float(optimizer.param_groups[0]["lr"])]
    for _ in range(steps - 1):
        optimizer.step()
        cycle.step()
        found.append(float(optimizer.param_groups[0]["lr"]))
    return tuple(found)


def trained_by(recipe: TrainRecipe, steps: int) -> Rates:
    """Return the learning rates of a whole training, its restarts included, at so many steps an epoch."""
    return tuple(rate for epochs, peak in recipe.cycles() for rate in one_cycle(peak, epochs * steps, recipe.warmup))


def rates_of(recovery: Recovery, epochs: int, steps: int, recipe: TrainRecipe | None) -> Rates:
    """Return the learning rate of every step of some epochs of fine-tuning."""
    total = epochs * steps
    if recovery.rate == "constant":
        return (recovery.lr,) * total
    if recovery.rate == "cosine":
        return tuple(recovery.lr * (1 + math.cos(math.pi * step / total)) / 2 for step in range(total))
    if recipe is None:
        raise RecoveryError("the learning rate cannot be rewound: how this model was trained is not known. Choose cosine or constant")
    trained = sum(length for length, _ in recipe.cycles())
    if epochs > trained:
        raise RecoveryError(f"the learning rate can be rewound by {trained} epochs at most, as long as the model was trained; got {epochs}")
    return trained_by(recipe, steps)[-total:] if total else ()
