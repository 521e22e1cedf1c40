"""Behaviour of runs compared: accuracy by class, confusion, and the samples whose answer changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from prunekit.errors import DataError
from prunekit.evaluation.accuracy import Predictions
from prunekit.evaluation.paired import PART_COLUMNS, changes_by_part
from prunekit.evaluation.quality import DENSE, Evaluation, accuracy_of
from prunekit.tasks.observations import OF_DATA

MOST = 50


def changed_samples(dense: Evaluation, run: Evaluation, most: int = MOST) -> pd.DataFrame:
    """Return the samples that changed most, the first of them on top.

    ``sample`` (its place in the data), columns that are the same of both (``target``, how many tokens there are), ``NAME, dense`` and
    ``NAME, run`` of what people read of the others (`prunekit.tasks.protocol.Task.readable`), and ``change``: the distance of the two, each
    column in standard deviations of the dense model's; or what the task tells of changes (`prunekit.tasks.protocol.Task.changes`), where
    ``sample`` is the number of an answer. Answers that did not change are left out. ``frame.attrs["in"]`` says what the change is in.
    """
    a, b = dense.observations, run.observations
    if a.columns != b.columns or not a.same_samples(b):
        raise DataError("what was observed of the two models is not of the same samples: measure both on the same data")
    told = None if dense.task is None else dense.task.changes(a, b)
    if told is not None:
        frame = pd.DataFrame({"sample": np.arange(len(told[0]["change"])), **told[0]})
        frame = frame[frame["change"] > 0].sort_values("change", ascending=False, kind="stable", ignore_index=True)[:most]
        frame.attrs["in"] = told[1]
        return frame
    if dense.task is not None:
        a, b = dense.task.readable(a), dense.task.readable(b)
    of_data = [name for name in a.columns if name.partition(".")[0] in OF_DATA or np.array_equal(a[name], b[name], equal_nan=True)]
    answers = [name for name in a.columns if name not in of_data]
    squares = np.zeros(a.n)
    for name in answers:
        spread = float(np.nanstd(a[name])) or 1.0
        squares += np.nan_to_num((b[name] - a[name]) / spread) ** 2
    change = np.sqrt(squares)
    places = np.argsort(-change, kind="stable")[:most]
    places = places[change[places] > 0]
    columns = {"sample": places, **{name: a[name][places] for name in of_data}}
    for name in answers:
        columns |= {f"{name}, dense": a[name][places], f"{name}, run": b[name][places]}
    frame = pd.DataFrame({**columns, "change": change[places]})
    frame.attrs["in"] = "standard deviations of the dense model's answers"
    return frame


SURE = "after_confidence"
FLIP_COLUMNS = ["image", "letter", "label", "before", "before_confidence", "after", SURE, "kind"]


@dataclass(frozen=True, eq=False)
class Behaviour:
    """What runs say about the same images.

    Attributes
    ----------
    by_class : DataFrame
        ``class`` (index), ``name``, ``letter``, ``n``, ``correct``, ``accuracy`` with its interval ``low`` to ``high``; ``change`` against
        the dense model with ``change_low``, ``change_high``, ``p_value`` (NaN for the dense model itself) and ``significant`` (after
        Holm's correction over the classes of a run).
    confusion : dict of str to ndarray of int64, shape [K, K]
        Letter to counts: rows are labels, columns are predictions.
    flips : DataFrame
        ``image`` (index), ``letter``, ``label``, ``before`` (what the dense model said), ``before_confidence``, ``after``,
        ``after_confidence``, ``kind``: "lost" (right, then wrong) or "won" (wrong, then right). The most confident afterwards come first.
    classes : tuple of str
        Names, K of them.
    """

    by_class: pd.DataFrame
    confusion: dict[str, NDArray[np.int64]] = field(repr=False)
    flips: pd.DataFrame = field(repr=False)
    classes: tuple[str, ...] = ()

    def change(self, letter: str) -> NDArray[np.int64]:
        """Return a run's confusion minus the dense model's, shape [K, K]."""
        return np.asarray(self.confusion[letter] - self.confusion[DENSE])


def behaviour(predictions: Mapping[str, Predictions], labels: ArrayLike, classes: Sequence[str] = ()) -> Behaviour:
    """Compare what runs say about the same images.

    Parameters
    ----------
    predictions : mapping of str to Predictions
        Letter to what `prunekit.experiments.backfill.predictions` gives; "Dense" among them.
    labels : array of int, shape [n]
        The right classes.
    classes : sequence of str
        Their names; numbers stand for those that have none.

    Returns
    -------
    Behaviour

    Raises
    ------
    DataError
        If "Dense" is missing, there are no images, or their numbers differ.
    """
    right = np.asarray(labels, dtype=np.int64).reshape(-1)
    said = {letter: np.asarray(each.classes, dtype=np.int64) for letter, each in predictions.items()}
    _check(said, right)
    most = max([len(classes) - 1, right.max(), *(each.max() for each in said.values())])
    names = tuple(str(classes[k]) if k < len(classes) else str(k) for k in range(int(most) + 1))
    confusion = {letter: _confusion(right, each, len(names)) for letter, each in said.items()}
    flips = [_flips(letter, predictions, right) for letter in said if letter != DENSE]
    found = pd.concat(flips, ignore_index=True) if flips else pd.DataFrame(columns=FLIP_COLUMNS)
    return Behaviour(_by_class(said, right, names), confusion, found.sort_values(SURE, ascending=False, ignore_index=True), names)


def _check(said: Mapping[str, NDArray[np.int64]], right: NDArray[np.int64]) -> None:
    """Raise unless all speak of the same images, the dense model among them."""
    if DENSE not in said:
        raise DataError("the dense model's predictions are missing: changes are told against it")
    if not right.size:
        raise DataError("there are no images to compare predictions on: choose data that are not empty")
    for letter, each in said.items():
        if each.shape != right.shape:
            raise DataError(f"{letter} was asked about {each.size} images and there are {right.size} labels: predict on the same images")


def _confusion(right: NDArray[np.int64], said: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Return counts, shape [size, size]: rows are labels, columns are predictions."""
    return np.bincount(right * size + said, minlength=size * size).reshape(size, size).astype(np.int64)


def _by_class(said: Mapping[str, NDArray[np.int64]], right: NDArray[np.int64], names: Sequence[str]) -> pd.DataFrame:
    """Return the accuracy of each class that has images, by run."""
    present = [k for k in range(len(names)) if (right == k).any()]
    places = {k: right == k for k in present}
    dense = {k: accuracy_of(said[DENSE][places[k]] == k) for k in present}
    frames = []
    for letter, each in said.items():
        found = {k: accuracy_of(each[places[k]] == k) for k in present}
        rows = [(k, names[k], letter, a.n, int(a.correct.sum()), a.value, a.low, a.high) for k, a in found.items()]
        frame = pd.DataFrame(rows, columns=PART_COLUMNS[:8])
        frames.append(pd.concat([frame, changes_by_part(letter, dense, found)], axis=1))
    return pd.concat(frames, ignore_index=True)


def _flips(letter: str, predictions: Mapping[str, Predictions], right: NDArray[np.int64]) -> pd.DataFrame:
    """Return the images that were right and are wrong, or the other way round."""
    dense, each = predictions[DENSE], predictions[letter]
    before, after = np.asarray(dense.classes) == right, np.asarray(each.classes) == right
    places = np.flatnonzero(before != after)
    values = {
        "image": places,
        "letter": letter,
        "label": right[places],
        "before": np.asarray(dense.classes, dtype=np.int64)[places],
        "before_confidence": dense.confidences[places],
        "after": np.asarray(each.classes, dtype=np.int64)[places],
        SURE: each.confidences[places],
        "kind": np.where(before[places], "lost", "won"),
    }
    return pd.DataFrame(values, columns=FLIP_COLUMNS)
