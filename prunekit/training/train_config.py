"""How a model is trained, whatever it is trained for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from prunekit.tasks.base import Task
from prunekit.training.images import Augmentation
from sample_models.recipes import Teaching


@dataclass(frozen=True, eq=False)
class Course:
    """How a model is trained.

    Attributes
    ----------
    epochs, batch_size : int
        Passes over the images, and images a step; each pass leaves out what does not fill a batch.
    rates : tuple of float
        Learning rate of every step.
    optimizer : {"sgd", "adam"}
        SGD with Nesterov momentum, or Adam.
    momentum, weight_decay : float
        Momentum (Adam's first decay rate), and the L2 penalty on weights; biases and norms have none.
    augmentation : Augmentation
        How images are moved.
    smoothing : float
        Share of the target spread over all classes.
    small : tuple of (int, int)
        Side to which images are shrunk, and over how many first epochs.
    teacher : nn.Module or None
        Whose softened predictions are learned from, with what ``teaching`` says.
    teaching : Teaching or None
        Temperature and share of the teacher.
    seed : int
        Of the order of the images and their moves.
    first : int
        Epochs that went before, for the numbering and the seed.
    sparsity : float
        Share removed, for the history.
    task : Task, optional
        Whose loss is made small; left out, that of the model and its samples.
    penalty : callable, optional
        From the model in training to what adds to its gradients before each step, told which share of the steps is done.
    """

    epochs: int
    batch_size: int
    rates: tuple[float, ...]
    optimizer: str = "sgd"
    momentum: float = 0.9
    weight_decay: float = 5e-4
    augmentation: Augmentation = Augmentation()  # noqa: RUF009 (frozen)
    smoothing: float = 0.0
    small: tuple[int, int] = (0, 0)
    teacher: nn.Module | None = None
    teaching: Teaching | None = None
    seed: int = 0
    first: int = 0
    sparsity: float = 0.0
    task: Task | None = None
    penalty: Callable[[nn.Module], Callable[[float], None]] | None = None


def steps_of(images: int, batch_size: int) -> int:
    """Return the steps of an epoch: as many as are full, or one of all images where not even one is."""
    return max(images // batch_size, 1)
