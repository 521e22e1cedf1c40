"""The figures of a column by name, with unit and direction; the letters of runs; and how people speak of the quality."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from prunekit import tasks
from prunekit.comparison.columns import Column
from prunekit.errors import PrunekitError
from prunekit.evaluation.quality import DENSE, Evaluation
from prunekit.evaluation.sizes import BESIDE, FORMS, TABLES
from prunekit.formatting import count, ordinary, percent, size, times
from prunekit.tasks.classification import ACCURACY
from prunekit.tasks.metrics import HIGHER, PERCENT
from prunekit.tasks.wording import written

LETTERS = "ABCDEF"
"""What the runs of a comparison are called, in their order."""
FEWEST, MOST = 2, len(LETTERS)


def letters(run_ids: Sequence[str], baseline: str | None = None) -> dict[str, str]:
    """Return the letter of each run by its id, in order of picking.

    Parameters
    ----------
    run_ids : sequence of str
        Full ids; one that is picked twice counts once.
    baseline : str, optional
        The dense model's run: it is called "Dense" and takes no letter, picked or not.

    Returns
    -------
    dict of str to str
        The baseline first where it is given.

    Raises
    ------
    PrunekitError
        If there are more runs than letters.
    """
    picked = [run for run in dict.fromkeys(run_ids) if run != baseline]
    if len(picked) > MOST:
        raise PrunekitError(f"pick at most {MOST} runs; got {len(picked)}")
    return {**({} if baseline is None else {baseline: DENSE}), **dict(zip(picked, LETTERS, strict=False))}


WRITTEN: dict[str, Callable[[float], str]] = {"share": percent, "ratio": times, "count": count, "bytes": size}


@dataclass(frozen=True)
class Metric:
    """One figure of a column.

    Attributes
    ----------
    title : str
        As people read it.
    unit : {"share", "count", "bytes", "ratio", "quality"}
        Share: a fraction, shown in percent. Ratio: a multiple of the dense model's. Quality: as its own metric writes it.
    higher_is_better : bool
        Which way.
    value : callable
        Column -> float or None (not measured).
    best_word : str
        The superlative: ``smallest``, ``most accurate``.
    quality : prunekit.tasks.Metric, optional
        Of a measured quality: the metric itself.
    """

    title: str
    unit: str
    higher_is_better: bool
    value: Callable[[Column], float | None]
    best_word: str

    quality: tasks.Metric | None = None

    def text(self, number: float) -> str:
        """Return a value as people read it, as in ``97.5 %`` or ``34.1 kB``."""
        if self.quality is not None:
            return ordinary(written(self.quality, number))
        return ordinary(WRITTEN[self.unit](number))


def _size(name: str) -> Callable[[Column], float | None]:
    """Return what reads one of the four sizes."""
    return lambda column: None if column.sizes is None else column.sizes.get(name)


def _part(name: str) -> Callable[[Column], float | None]:
    """Return what reads one part of the size to ship."""
    return lambda column: None if column.shipped is None or column.shipped.parts is None else column.shipped.parts[name]


METRICS: dict[str, Metric] = {
    "accuracy": Metric("Accuracy", "share", True, lambda c: None if c.accuracy is None else c.accuracy.value, "most accurate"),
    "shipped": Metric("Size to ship", "bytes", False, lambda c: None if c.shipped is None else c.shipped.bytes, "smallest"),
    "tables": Metric(f"Size to ship, {TABLES}", "bytes", False, _part(TABLES), "smallest in embedding tables"),
    "beside": Metric(f"Size to ship, {BESIDE}", "bytes", False, _part(BESIDE), "smallest beside its tables"),
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
"""Every figure of a run that can be compared, by name."""


PARTS = ("tables", "beside")
"""Of the size to ship: what is told of models with embedding tables."""


def metrics_of(found: tasks.Metric) -> dict[str, Metric]:
    """Return `METRICS` with a task's headline in the place of accuracy: its title, unit and direction."""
    if found.name == ACCURACY.name:
        return METRICS
    words, unit = QualityWords.of(found), "share" if found.unit == PERCENT else "quality"
    own = replace(METRICS["accuracy"], title=found.title, unit=unit, higher_is_better=found.better == HIGHER, best_word=words.best)
    return METRICS | {"accuracy": replace(own, quality=found)}


@dataclass(frozen=True)
class QualityWords:
    """What is said of a metric."""

    metric: tasks.Metric
    noun: str  # noun, best, better, worse: ``accuracy``, ``most accurate``, ``more accurate``, ``less accurate``
    best: str
    better: str
    worse: str
    harmless: str  # harmless, unharmed: of one run and of several that are not significantly worse than the dense model
    unharmed: str

    @classmethod
    def of(cls, metric: tasks.Metric) -> QualityWords:
        """Return the words for a metric."""
        noun = metric.phrase
        if metric.name == ACCURACY.name:
            harmless = "lose no significant accuracy"
            return cls(metric, noun, "most accurate", "more accurate", "less accurate", harmless.replace("lose", "loses"), harmless)
        same = f"not significantly worse in {noun}"
        return cls(metric, noun, f"best in {noun}", f"better in {noun}", f"worse in {noun}", f"is {same}", f"are {same}")

    def value(self, value: float) -> str:
        """Return a value: ``97.5 %``, ``2.31 kWh``."""
        return ordinary(written(self.metric, value))

    def named(self, value: float) -> str:
        """Return a value that says of what: ``mean absolute error 2.31 kWh``; a bare ``97.5 %`` is accuracy."""
        return self.value(value) if self.metric.name == ACCURACY.name else f"{self.noun} {self.value(value)}"

    def all_lose(self, number: int) -> str:
        """Say that all of so many runs are worse than the dense model."""
        if self.metric.name == ACCURACY.name:
            told = {1: "it loses", 2: "both lose"}.get(number, f"all {number} lose") + " significant accuracy"
        else:
            told = {1: "it is", 2: "both are"}.get(number, f"all {number} are") + f" significantly {self.worse}"
        return told + ("" if number == 1 else ", and this the least")

    def alike(self, one: str, other: str) -> str:
        """Say that two runs do not differ."""
        if self.metric.name == ACCURACY.name:
            return f"the accuracies of {one} and {other} do not differ significantly"
        return f"{one} and {other} do not differ significantly in {self.noun}"

    def goodness(self, found: Evaluation | None) -> float:
        """Return a value so that more is better, the least of all where there is none."""
        if found is None:
            return -float("inf")
        return self.metric.loss(found.value, 0.0)


def quality_of(found: Iterable[Evaluation | None]) -> tasks.Metric:
    """Return the metric of some evaluations: accuracy where nothing was measured."""
    return next((each.metric for each in found if each is not None), ACCURACY)
