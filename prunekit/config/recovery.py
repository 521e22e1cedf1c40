"""`Recovery`, the frozen description of what is done after pruning to bring accuracy back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from prunekit.config import validation as check
from prunekit.errors import SpecError, one_of

OPTIMIZERS = ("sgd", "adam")
RATES = ("cosine", "rewind", "constant")
SCHEDULES = ("one-shot", "iterative", "agp", "linear")
NAMES = {"iterative": "iterative", "agp": "AGP", "linear": "linear"}


@dataclass(frozen=True)
class Recovery:
    """What brings accuracy back. Small, frozen and hashable: part of a recipe and of a run's identity. ``Recovery()`` does nothing.

    Parameters
    ----------
    recalibrate : bool
        Measure the statistics of BatchNorm again, after the last cut and before the fine-tuning that follows it.
    images : int
        Training images that recalibration looks at.
    epochs : int
        Passes of fine-tuning over the training images, in all; 0 for none. A gradual schedule shares them out evenly, and its last
        step has what is left over.
    optimizer : {"sgd", "adam"}
        SGD with Nesterov momentum, or Adam.
    lr : float
        Peak learning rate, at least 0; "rewind" does not use it.
    rate : {"cosine", "rewind", "constant"}
        How the learning rate falls within each step of the schedule: along half a cosine to 0, as over the last epochs of the model's
        own training (Renda, Frankle and Carbin 2020, arXiv:2003.02389), or not at all.
    momentum : float
        Of SGD, 0 <= m < 1; Adam's first decay rate.
    weight_decay : float
        L2 penalty on weights, at least 0; biases and norms have none.
    batch_size : int
        Images a step.
    augment : bool
        Shift and mirror the images of recalibration and fine-tuning as in the model's own training; a model without a card has no
        augmentation.
    distill : float
        Weight in the loss of the dense model's softened predictions, 0 to 1; the labels have the rest (Hinton, Vinyals and Dean 2015,
        arXiv:1503.02531).
    temperature : float
        Softens both predictions, above 0.
    schedule : {"one-shot", "iterative", "agp", "linear"}
        Cut once, or ever further over several steps with fine-tuning after each.
    steps : int
        Cuts of a gradual schedule, at least 2; 1 for one-shot.
    train_images : int
        Fixed stratified subset of the training images to fine-tune on; 0 for all.
    seed : int
        Of the order of the images and their augmentation.

    Raises
    ------
    SpecError
        If a field is not valid, or two of them do not go together; the message names the field and says what to do.

    Examples
    --------
    >>> Recovery(epochs=10, schedule="agp", steps=5).title()
    'AGP, 10 epochs'
    >>> Recovery().active
    False
    """

    recalibrate: bool = False
    images: int = 2048
    epochs: int = 0
    optimizer: str = "sgd"
    lr: float = 0.01
    rate: str = "cosine"
    momentum: float = 0.9
    weight_decay: float = 5e-4
    batch_size: int = 128
    augment: bool = True
    distill: float = 0.0
    temperature: float = 2.0
    schedule: str = "one-shot"
    steps: int = 1
    train_images: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        """Validate every field and bring it into its one canonical form."""
        for name in ("recalibrate", "augment"):
            if not isinstance(getattr(self, name), bool):
                raise SpecError(f"{name} must be true or false; got {getattr(self, name)!r}")
        for name, low in (("images", 1), ("epochs", 0), ("batch_size", 2), ("steps", 1), ("train_images", 0), ("seed", 0)):
            check.whole(name, getattr(self, name), low)
        for name, allowed in (("optimizer", OPTIMIZERS), ("rate", RATES), ("schedule", SCHEDULES)):
            one_of(name, getattr(self, name), allowed)
        self._check_numbers()
        self._check_together()

    def _check_numbers(self) -> None:
        """Check what is a real number, and make it a float: 1 and 1.0 are the same setting and must read the same."""
        for name in ("lr", "momentum", "weight_decay", "distill", "temperature"):
            object.__setattr__(self, name, check.number(name, getattr(self, name)))
        for name in ("lr", "weight_decay"):
            if getattr(self, name) < 0:
                raise SpecError(f"{name} must be at least 0; got {getattr(self, name):g}")
        if not 0 <= self.momentum < 1:
            raise SpecError(f"momentum must be at least 0 and below 1; got {self.momentum:g}")
        if not 0 <= self.distill <= 1:
            raise SpecError(f"distill must be from 0 to 1 (the weight of the dense model's predictions in the loss); got {self.distill:g}")
        if self.temperature <= 0:
            raise SpecError(f"temperature must be above 0; got {self.temperature:g}")

    def _check_together(self) -> None:
        """Check what goes with what."""
        if self.schedule == "one-shot":
            if self.steps != 1:
                raise SpecError(
                    f"one-shot cuts once, not in {self.steps} steps: choose a schedule (iterative, agp, linear), or set steps to 1"
                )
        elif self.steps < 2:
            raise SpecError(f"schedule {self.schedule!r} rises over several cuts: set steps to at least 2, or choose one-shot")
        elif self.epochs < self.steps:
            raise SpecError(
                f"schedule {self.schedule!r} fine-tunes after each of {self.steps} cuts and has {self.epochs} epochs for that: "
                f"set epochs to at least {self.steps}, or take fewer steps"
            )
        if self.distill and not self.epochs:
            raise SpecError("distill is part of fine-tuning: set epochs to at least 1, or leave distill out")

    @property
    def active(self) -> bool:
        """Whether anything is done at all."""
        return self.recalibrate or self.epochs > 0

    def shares(self) -> tuple[int, ...]:
        """Return the epochs of fine-tuning after each cut; the last cut has what is left over.

        Examples
        --------
        >>> Recovery(epochs=10, schedule="linear", steps=4).shares()
        (2, 2, 2, 4)
        """
        each = self.epochs // self.steps
        return (*[each] * (self.steps - 1), self.epochs - each * (self.steps - 1))

    def title(self) -> str:
        """Return short words for a legend; empty where nothing is done."""
        words = ["recalibrated"] if self.recalibrate else []
        epochs = f"{self.epochs} epoch{'' if self.epochs == 1 else 's'}"
        if self.schedule != "one-shot":
            words += [NAMES[self.schedule], epochs]
        elif self.epochs:
            words.append(f"fine-tuned {epochs}")
        return ", ".join([*words, "distilled"] if self.distill else words)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for YAML and JSON, every field present."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recovery:
        """Build from plain values; unknown keys are refused.

        Raises
        ------
        SpecError
            If ``values`` is not a mapping, has unknown keys, or a value is not valid.
        """
        check.known_keys("recover", values, [f.name for f in fields(cls)])
        return cls(**values)


@dataclass(frozen=True)
class Training:
    """How a model is trained from scratch. Small, frozen and hashable; what is left at None is taken from the sample's own recipe.

    Parameters
    ----------
    epochs : int, optional
        Passes over the training images, at least 1: one cycle of the learning rate.
    lr : float, optional
        Peak learning rate, at least 0.
    batch_size : int, optional
        Images a step.
    weight_decay : float, optional
        L2 penalty on weights, at least 0; biases and norms have none.
    augment : bool
        Shift and mirror the images as the recipe says.
    train_images : int
        Fixed stratified subset of the training images; 0 for all.
    seed : int
        Of the first weights, the order of the images and their augmentation.

    Raises
    ------
    SpecError
        If a field is not valid; the message names it.

    Examples
    --------
    >>> Training(epochs=5).title()
    'trained 5 epochs'
    """

    epochs: int | None = None
    lr: float | None = None
    batch_size: int | None = None
    weight_decay: float | None = None
    augment: bool = True
    train_images: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        """Validate every field and bring it into its one canonical form."""
        if not isinstance(self.augment, bool):
            raise SpecError(f"augment must be true or false; got {self.augment!r}")
        for name, low in (("epochs", 1), ("batch_size", 2), ("train_images", 0), ("seed", 0)):
            if getattr(self, name) is not None or name not in ("epochs", "batch_size"):
                check.whole(name, getattr(self, name), low)
        for name in ("lr", "weight_decay"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, check.number(name, value))
                if value < 0:
                    raise SpecError(f"{name} must be at least 0; got {value:g}")

    def title(self) -> str:
        """Return short words for a legend."""
        return "trained" if self.epochs is None else f"trained {self.epochs} epoch{'' if self.epochs == 1 else 's'}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, every field present."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Training:
        """Build from plain values; unknown keys are refused.

        Raises
        ------
        SpecError
            If ``values`` is not a mapping, has unknown keys, or a value is not valid.
        """
        check.known_keys("train", values, [f.name for f in fields(cls)])
        return cls(**values)
