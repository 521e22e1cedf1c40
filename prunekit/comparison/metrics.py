"""The figures of a column by name: what they are called, in which unit, and which way is better."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from prunekit.comparison.columns import Column
from prunekit.evaluation.sizes import FORMS
from prunekit.formatting import count, ordinary, percent, size, times

WRITTEN: dict[str, Callable[[float], str]] = {"share": percent, "ratio": times, "count": count, "bytes": size}


@dataclass(frozen=True)
class Metric:
    """One figure of a column.

    Attributes
    ----------
    title : str
        As people read it.
    unit : {"share", "count", "bytes", "ratio"}
        Share: a fraction, shown in percent. Ratio: a multiple of the dense model's.
    higher_is_better : bool
        Which way.
    value : callable
        Column -> float or None (not measured).
    best_word : str
        The superlative: ``smallest``, ``most accurate``.
    """

    title: str
    unit: str
    higher_is_better: bool
    value: Callable[[Column], float | None]
    best_word: str

    def text(self, number: float) -> str:
        """Return a value as people read it, as in ``97.5 %`` or ``34.1 kB``."""
        return ordinary(WRITTEN[self.unit](number))


def _size(name: str) -> Callable[[Column], float | None]:
    """Return what reads one of the four sizes."""
    return lambda column: None if column.sizes is None else column.sizes.get(name)


METRICS: dict[str, Metric] = {
    "accuracy": Metric("Accuracy", "share", True, lambda c: None if c.accuracy is None else c.accuracy.value, "most accurate"),
    "shipped": Metric("Size to ship", "bytes", False, lambda c: None if c.shipped is None else c.shipped.bytes, "smallest"),
    "time": Metric("Time, measured against dense", "ratio", False, lambda c: None if c.speed is None else c.speed.ratio, "fastest"),
    "params": Metric("Parameters", "count", False, lambda c: c.params, "smallest in parameters"),
    "nonzero": Metric("Parameters that are not zero", "count", False, lambda c: c.nonzero, "smallest in non-zero parameters"),
    "macs": Metric("MACs", "count", False, lambda c: c.macs, "cheapest in MACs"),
    "effective_macs": Metric("MACs of non-zero weights", "count", False, lambda c: c.effective_macs, "cheapest in effective MACs"),
    "sparsity": Metric("Sparsity", "share", True, lambda c: c.sparsity, "sparsest"),
    "of_all": Metric("Gone or zero, of all parameters", "share", True, lambda c: c.of_all, "with most parameters gone"),
    "dense": Metric(FORMS["dense"].capitalize(), "bytes", False, _size("dense"), "smallest in the dense shape"),
    "gzip": Metric(FORMS["gzip"].capitalize(), "bytes", False, _size("gzip"), "smallest when gzipped"),
    "sparse": Metric(FORMS["sparse"].capitalize(), "bytes", False, _size("sparse"), "smallest in a sparse format"),
    "surgery": Metric(FORMS["surgery"].capitalize(), "bytes", False, _size("surgery"), "smallest after surgery"),
}
