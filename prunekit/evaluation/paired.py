"""Two models on the same samples: the difference, its interval, and whether chance explains it."""

from __future__ import annotations

from dataclasses import dataclass

from prunekit import statistics
from prunekit.errors import DataError
from prunekit.evaluation.accuracy import Accuracy
from prunekit.formatting import points
from prunekit.statistics.difference import ALPHA
from prunekit.statistics.proportions import difference_interval, paired_proportions

__all__ = ["ALPHA", "Difference", "compare", "difference_interval"]


@dataclass(frozen=True)
class Difference(statistics.Difference):
    """How far apart the accuracies of two models are on the same samples: fractions in -1..1; the p-value is McNemar's exact one."""

    def sentence(self) -> str:
        """Say it in plain words, as in ``−0.6 points, not significant``."""
        return f"{points(self.value)} points, {'significant' if self.significant else 'not significant'}"


def compare(a: Accuracy, b: Accuracy) -> Difference:
    """Compare two models that were measured on the same samples in the same order.

    Parameters
    ----------
    a, b : Accuracy
        The baseline and the other model, from :func:`prunekit.evaluation.evaluate`.

    Returns
    -------
    Difference
        ``b`` minus ``a``, paired.

    Raises
    ------
    DataError
        If the numbers of samples differ: then they were not the same samples.
    """
    if a.n != b.n:
        raise DataError(f"a paired comparison needs the same samples; got {a.n} and {b.n}. Measure both on the same data")
    return Difference(**paired_proportions(a.correct, b.correct).to_dict())  # type: ignore[arg-type]
