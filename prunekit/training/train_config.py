"""How a model is trained, whatever it is trained for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from prunekit.config.recovery import Recovery
from prunekit.errors import RecoveryError
from prunekit.tasks.protocol import Task
from prunekit.training.images import Augmentation
from sample_models.recipes import Teaching, TrainRecipe

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


@dataclass(frozen=True, eq=False)
class Course:
    """How a model is trained."""

    epochs: int  # epochs, batch_size: passes over the images, and images a step; each pass leaves out what does not fill a batch
    batch_size: int
    rates: tuple[float, ...]  # learning rate of every step
    optimizer: str = "sgd"  # {"sgd", "adam"}: SGD with Nesterov momentum, or Adam
    # momentum, weight_decay: momentum (Adam's first decay rate), and the L2 penalty on weights; biases and norms have none
    momentum: float = 0.9
    weight_decay: float = 5e-4
    # how images are moved
    augmentation: Augmentation = Augmentation()  # noqa: RUF009 (frozen)
    smoothing: float = 0.0  # share of the target spread over all classes
    small: tuple[int, int] = (0, 0)  # side to which images are shrunk, and over how many first epochs
    teacher: nn.Module | None = None  # whose softened predictions are learned from, with what ``teaching`` says
    teaching: Teaching | None = None  # temperature and share of the teacher
    seed: int = 0  # of the order of the images and their moves
    first: int = 0  # epochs that went before, for the numbering and the seed
    sparsity: float = 0.0  # share removed, for the history
    task: Task | None = None  # whose loss is made small; left out, that of the model and its samples
    # from the model in training to what adds to its gradients before each step, told which share of the steps is done
    penalty: Callable[[nn.Module], Callable[[float], None]] | None = None


def steps_of(images: int, batch_size: int) -> int:
    """Return the steps of an epoch: as many as are full, or one of all images where not even one is."""
    return max(images // batch_size, 1)
