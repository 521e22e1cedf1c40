"""Two models on the same samples: the difference, its interval, and whether chance explains it."""

from __future__ import annotations

from dataclasses import dataclass, field

from prunekit import statistics
from prunekit.errors import DataError
from prunekit.evaluation.quality import Evaluation
from prunekit.statistics.difference import ALPHA
from prunekit.statistics.proportions import difference_interval
from prunekit.tasks.classification import ACCURACY
from prunekit.tasks.metrics import Metric

__all__ = ["ALPHA", "Difference", "compare", "difference_interval"]


@dataclass(frozen=True)
class Difference(statistics.Difference):
    """How far apart two models are on the same samples, called ``units``, in the metric's own unit."""

    metric: Metric = field(default=ACCURACY, repr=False, compare=False)
    units: str = field(default="images", repr=False, compare=False)

    def sentence(self) -> str:
        """Say it in plain words, as in ``−0.6 points, not significant``."""
        return self.metric.format_difference(self)

    def to_dict(self) -> dict[str, float | bool]:
        """Return plain values for JSON."""
        return {name: value for name, value in vars(self).items() if name not in ("metric", "units")}


def compare(a: Evaluation, b: Evaluation) -> Difference:
    """Compare two models that were measured on the same samples in the same order.

    Parameters
    ----------
    a, b : Evaluation
        The baseline and the other model, from :func:`prunekit.evaluation.evaluate`.

    Returns
    -------
    Difference
        ``b`` minus ``a``, paired.

    Raises
    ------
    DataError
        If they are not of the same samples, or not of the same metric.
    """
    if a.metric.name != b.metric.name:
        raise DataError(f"{a.metric.title} and {b.metric.title} cannot be compared: measure the same of both")
    return Difference(**a.metric.compare(a.observations, b.observations).to_dict(), metric=a.metric, units=a.units)  # type: ignore[arg-type]
