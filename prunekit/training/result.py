"""`Recovered`: the result of a recovery."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from markupsafe import Markup
from torch import nn

from prunekit.config.recovery import Recovery
from prunekit.evaluation.quality import Evaluation
from prunekit.formatting import percent
from prunekit.notebook import card, curve, notes, table
from prunekit.pruning.result import PruneResult


@dataclass(frozen=True)
class Epoch:
    """One pass over the training samples.

    Attributes
    ----------
    number : int
        From 1, counted over all steps of a schedule.
    sparsity : float
        Share that had been removed, in the unit of the pruning setting.
    lr : float
        Learning rate of its first step.
    loss, train_quality : float
        Mean loss, and the headline metric, over the samples as they came by, augmented, while the weights moved.
    validation : Evaluation or None
        On the validation part, afterwards; None where the data have none.
    seconds : float
        Measured, validation included. Not part of ``==``.
    """

    number: int
    sparsity: float
    lr: float
    loss: float
    train_quality: float
    validation: Evaluation | None
    seconds: float

    def figures(self, metric: str) -> dict[str, Any]:
        """Return what a tracker is told: the metric under its name, of training and of validation."""
        seen = {} if self.validation is None else {f"validation/{metric}": self.validation.value}
        seen |= {} if self.validation is None else {"validation/low": self.validation.low, "validation/high": self.validation.high}
        return {"loss": self.loss, "lr": self.lr, "sparsity": self.sparsity, f"train/{metric}": self.train_quality, **seen}

    def __eq__(self, other: object) -> bool:
        """Compare all but the time."""
        return isinstance(other, Epoch) and _timeless(self) == _timeless(other)

    def __hash__(self) -> int:
        """Hash all but the time."""
        return hash(_timeless(self))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        plain = {name: getattr(self, name) for name in ("number", "sparsity", "lr", "loss", "train_quality")}
        return {**plain, "validation": self.validation and self.validation.to_dict(), "seconds": self.seconds}


def _validated(epoch: Epoch) -> tuple[str | None, str | None]:
    """Return what was measured after an epoch, with its interval."""
    return (None, None) if epoch.validation is None else (epoch.validation.text(), epoch.validation.interval())


def _timeless(epoch: Epoch) -> tuple[object, ...]:
    """Return everything that the same seed gives again."""
    return epoch.number, epoch.sparsity, epoch.lr, epoch.loss, epoch.train_quality, epoch.validation


@dataclass(frozen=True, eq=False)
class Tuned:
    """A model after training.

    Attributes
    ----------
    model : nn.Module
        In eval mode, its parameters without gradients; the weights of epoch ``best``.
    history : tuple of Epoch
        Every epoch that was finished.
    best : int
        Number of the epoch that was kept; 0 where none was finished and the weights are those before training.
    stopped : str
        Why training ended early, in a sentence; empty otherwise.
    notes : tuple of str
        What a person should know, such as how the epoch was chosen.
    """

    model: nn.Module
    history: tuple[Epoch, ...]
    best: int
    stopped: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Recovered:
    """A pruned model and what brought its quality back.

    Attributes
    ----------
    result : PruneResult
        What was removed from the dense model; its ``model`` has the recovered weights, and ``after`` counts them.
    recovery : Recovery
        The setting.
    history : tuple of Epoch
        Fine-tuning, over all steps of the schedule.
    best : int
        Number of the epoch that was kept after the last cut; 0 for none.
    stopped : str
        Why fine-tuning ended early, in a sentence; empty otherwise.
    before : nn.Module or None
        As the last cut left it; None where no recovery was asked for.
    recalibrated : nn.Module or None
        After recalibration and before the fine-tuning that follows; None where there was none, or no BatchNorm was left.
    notes : tuple of str
        What a person should know.
    """

    result: PruneResult
    recovery: Recovery
    history: tuple[Epoch, ...] = ()
    best: int = 0
    stopped: str = ""
    before: nn.Module | None = None
    recalibrated: nn.Module | None = None
    notes: tuple[str, ...] = ()

    @property
    def model(self) -> nn.Module:
        """The pruned and recovered model."""
        return self.result.model

    def _repr_html_(self) -> str:
        """Return it for a notebook: the learning curve, and what was removed."""
        done = [epoch for epoch in self.history if epoch.validation is not None]
        seen = [epoch.validation for epoch in done if epoch.validation is not None]
        places = [(float(epoch.number), one.value, one.low, one.high) for epoch, one in zip(done, seen, strict=True)]
        drawn = Markup("")
        if len(places) > 1:
            metric, values = seen[0].metric, [value for place in places for value in place[1:] if not math.isnan(value)]
            ends = (metric.format(min(values)), metric.format(max(values)))
            drawn = curve(places, (f"epoch {done[0].number}", f"epoch {done[-1].number}"), ends, f"{metric.title} by epoch, validation")
        rows = [(each.number, percent(each.sparsity), f"{each.lr:.2g}", f"{each.loss:.4f}", *_validated(each)) for each in self.history]
        epochs = table(["epoch", "removed", "learning rate", "loss", "validation", "between"], rows, "epochs") if rows else ""
        kept = f"Epoch {self.best} was kept." if self.best else ""
        said = notes((*self.notes, *filter(None, [self.stopped])))
        return card(self.recovery.title() or "no recovery", drawn, epochs, kept, said) + self.result._repr_html_()

    def noting(self, *more: str) -> Recovered:
        """Return the same with further notes, each said once."""
        return replace(self, notes=tuple(dict.fromkeys((*self.notes, *more))))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: ``settings``, ``title``, ``history``, ``best``, ``stopped``, ``notes``."""
        return {
            "settings": self.recovery.to_dict(),
            "title": self.recovery.title(),
            "history": [epoch.to_dict() for epoch in self.history],
            "best": self.best,
            "stopped": self.stopped,
            "notes": list(self.notes),
        }
