"""How each sample was trained: frozen settings, one for each model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


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
    second_epochs, second_lr : int, float
        Epochs and peak of a second cycle that goes on from the weights of the first, at full size and with a fresh optimizer (warm
        restart, Loshchilov and Hutter, 2017); 0 leaves it out.
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
    second_epochs: int = 0
    second_lr: float = 0.0
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for the card."""
        values = asdict(self)
        if not self.second_epochs:
            del values["second_epochs"], values["second_lr"]
        return {"optimizer": "SGD, Nesterov momentum", "schedule": "OneCycleLR, cosine", **values}
