"""Regression: one number, or several, for each sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from prunekit.errors import DataError, ModelError
from prunekit.statistics.bootstrap import Sums
from prunekit.tasks.base import BaseTask
from prunekit.tasks.faults import check_finite
from prunekit.tasks.metrics import LOWER, Metric
from prunekit.tasks.observations import Observations

if TYPE_CHECKING:
    from torch import Tensor

    from prunekit.tasks.batch import Batch

NAMES = ("prediction", "predictions", "out", "output", "logits")
CONSTANT = 1e-12  # of the mean square: a target that varies less is constant up to rounding


def _columns(seen: Observations, name: str) -> NDArray[np.float64]:
    """Return a column, or the columns of a vector, as [samples, k]."""
    return seen[name].reshape(seen.n, -1)


def _errors(seen: Observations) -> NDArray[np.float64]:
    """Return prediction minus target, [samples, k]."""
    return _columns(seen, "prediction") - _columns(seen, "target")


def _counted(*parts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return columns beside a column of ones."""
    return np.column_stack([*parts, np.ones(len(parts[0]))])


def _squares(seen: Observations) -> NDArray[np.float64]:
    """Return what R2 sums: squared errors, targets and their squares, around the mean so that nothing cancels out."""
    target = _columns(seen, "target")
    target = target - target.mean(axis=0)
    return _counted(_errors(seen) ** 2, target, target**2)


def _r2(sums: NDArray[np.float64]) -> Any:
    """Return R2, the mean over outputs; NaN where a target is constant."""
    n, k = sums[..., -1:], (sums.shape[-1] - 1) // 3
    squared, total, power = sums[..., :k], sums[..., k : 2 * k], sums[..., 2 * k : 3 * k]
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = power - total**2 / n
        return np.where(spread > CONSTANT * power, 1 - squared / spread, np.nan).mean(axis=-1)


R2 = Metric("r2", "R²", Sums(_squares, _r2), chance=lambda seen: 0.0, decimals=3)
MAE = Metric(
    "mae",
    "Mean absolute error",
    Sums(lambda seen: _counted(np.abs(_errors(seen))), lambda sums: (sums[..., :-1] / sums[..., -1:]).mean(axis=-1)),
    better=LOWER,
    chance=lambda seen: float(np.abs(_columns(seen, "target") - np.median(_columns(seen, "target"), axis=0)).mean()),
)
RMSE = Metric(
    "rmse",
    "Root mean squared error",
    Sums(lambda seen: _counted(_errors(seen) ** 2), lambda sums: np.sqrt(sums[..., :-1] / sums[..., -1:]).mean(axis=-1)),
    better=LOWER,
    chance=lambda seen: float(_columns(seen, "target").std(axis=0).mean()),
)


@dataclass(frozen=True)
class Regression(BaseTask):
    """One number for each sample, or a fixed number of them; of several outputs each metric is the mean.

    Parameters
    ----------
    mean, std : float
        Of the targets, where the data hold them standardised: what is observed is in the targets' own unit.
    """

    mean: float = 0.0
    std: float = 1.0

    given_as = "table:PATH"

    def scaled(self, mean: float, std: float, unit: str = "") -> Regression:
        """Return the task for standardised targets of this mean, standard deviation and unit."""
        metrics = tuple(each if each.name == R2.name else replace(each, unit=unit) for each in self.metrics)
        return replace(self, mean=float(mean), std=float(std), metrics=metrics)

    def for_data(self, data: Any) -> Regression:
        """Return the task in the unit of the data's own targets, where the data hold them standardised."""
        scale = getattr(data, "target_scale", None)
        return self.scaled(**scale) if isinstance(scale, Mapping) else self

    @property
    def identity(self) -> str:
        """The name, and the scale that decides what is observed."""
        return self.name if (self.mean, self.std) == (0.0, 1.0) else f"{self.name} mean={self.mean!r} std={self.std!r}"

    def loss(self, output: Any, batch: Batch) -> Tensor:
        """Return the mean squared error, the mean over samples and outputs.

        Raises
        ------
        DataError, ModelError
            If targets are not one floating number (or a fixed number of them) for each sample, or predictions do not fit them.
        """
        from torch.nn import functional  # noqa: PLC0415 (a task's name and metrics need no torch)

        prediction, target = self._pair(output, batch)
        return functional.mse_loss(prediction, target)

    def terms(self, batch: Batch) -> int:
        """Return how many terms the loss is the mean of: one for each sample."""
        return batch.samples

    def observe(self, output: Any, batch: Batch) -> Observations:
        """Return the columns ``prediction`` and ``target`` (``prediction.0``, ... of several outputs), in the targets' own unit.

        Raises
        ------
        ModelError
            If predictions hold NaN or infinity, or do not fit the targets.
        """
        prediction, target = (each.detach().double() * self.std + self.mean for each in self._pair(output, batch))
        check_finite(prediction)
        return Observations.of(prediction=prediction, target=target)

    def _pair(self, output: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return predictions and targets in one shape, [samples] or [samples, k]: shapes that broadcast would compare all with all."""
        target, n = batch.targets, batch.samples
        if not hasattr(target, "is_floating_point") or not target.ndim or len(target) != n:
            got = f"{target.dtype} of shape {list(target.shape)}" if hasattr(target, "dtype") else type(target).__name__
            raise DataError(f"need one number, or a row of them, for each of {n} samples as targets; got {got}")
        named = self.tensors(output)
        fitting = {name: each for name, each in named.items() if each.is_floating_point() and each.ndim and len(each) == n}
        fitting = {name: each for name, each in fitting.items() if each.numel() == target.numel()}
        known = [name for name in NAMES if name in fitting]
        if not fitting or (len(fitting) > 1 and len(known) != 1):
            listed = "; ".join(f"{name} {list(each.shape)}" for name, each in named.items()) or "no tensor"
            problem = "no tensor of that shape" if not fitting else "several that may be meant"
            raise ModelError(f"the targets are {list(target.shape)}, and the model returns {problem}: {listed}")
        prediction = fitting[known[0] if len(fitting) > 1 else next(iter(fitting))].reshape(n, -1)
        prediction = prediction.float() if prediction.itemsize < 4 else prediction  # halves would round the errors away
        target = target.reshape(n, -1).to(prediction.device, prediction.dtype)
        return (prediction[:, 0], target[:, 0]) if prediction.shape[1] == 1 else (prediction, target)


REGRESSION = Regression("regression", "regression", (R2, MAE, RMSE))
TABLE_REGRESSION = Regression("table-regression", "table regression", (R2, MAE, RMSE), "row", "rows")
