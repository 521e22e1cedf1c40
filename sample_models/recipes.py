"""How each sample was trained: frozen settings, one for each model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Teaching:
    """Distillation (Hinton et al., 2015) from samples that are trained already, itself among them (Furlanello et al., 2018).

    Parameters
    ----------
    teachers : tuple of str
        Names of the samples whose mean prediction is learned from, with the weights that ship.
    views : int
        Augmented views of each image that the teachers see, once; the epochs take them in turn.
    temperature : float
        Softens teachers and student alike.
    share : float
        Weight of the teachers in the loss; the labels have the rest.
    cutout : int
        Side of a square that is painted with the mean colour, in the student's images only (DeVries and Taylor, 2017); 0 for none.
    """

    teachers: tuple[str, ...]
    views: int = 8
    temperature: float = 2.0
    share: float = 0.5
    cutout: int = 0


@dataclass(frozen=True)
class TrainRecipe:
    """SGD with Nesterov momentum under a one-cycle learning rate.

    Parameters
    ----------
    epochs, batch_size : int
        Passes over the training split, and images a step.
    max_lr : float
        Peak of the one-cycle schedule (Smith and Topin, 2018; cosine, rising over the first ``warmup`` share of the steps).
    weight_decay : float
        L2 penalty on weights; biases and norms have none.
    label_smoothing : float
        Share of the target spread over all classes.
    shift : int
        Random shift, in pixels, in either direction; what comes in is black.
    flip : bool
        Mirror images, each with probability one half.
    small_size, small_share : int, float
        Over the first ``small_share`` of the epochs the augmented images are shrunk to ``small_size`` pixels a side, which
        saves time; 0 keeps the full size throughout.
    restarts : tuple of (int, float)
        Epochs and peak of each cycle that goes on from the weights of the one before, at full size and with a fresh optimizer (warm
        restart, Loshchilov and Hutter, 2017).
    teaching : Teaching, optional
        What the last cycle learns from beside the labels.
    seed : int
        Seed of the weights, the order of the images and the augmentation.
    """

    epochs: int
    batch_size: int = 128
    max_lr: float = 0.1
    weight_decay: float = 5e-4
    label_smoothing: float = 0.0
    shift: int = 0
    flip: bool = False
    small_size: int = 0
    small_share: float = 0.0
    momentum: float = 0.9
    warmup: float = 0.25
    restarts: tuple[tuple[int, float], ...] = ()
    teaching: Teaching | None = None
    seed: int = 0

    def cycles(self) -> list[tuple[int, float]]:
        """Return epochs and peak learning rate of each cycle."""
        return [(self.epochs, self.max_lr), *self.restarts]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for the card."""
        values = asdict(self)
        values["restarts"] = [{"epochs": epochs, "max_lr": peak} for epochs, peak in self.restarts]
        if self.teaching is not None:
            values["teaching"]["teachers"] = list(self.teaching.teachers)
        for name in ("restarts", "teaching"):
            if not values[name]:
                del values[name]
        return {"optimizer": "SGD, Nesterov momentum", "schedule": "OneCycleLR, cosine", **values}
