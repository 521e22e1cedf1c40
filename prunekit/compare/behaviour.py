"""What runs do differently: accuracy by class, confusion, and the images whose prediction flips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

CLASS_COLUMNS = [
    "class", "name", "letter", "n", "correct", "accuracy", "low", "high", "change", "change_low", "change_high", "p_value", "significant"
]  # fmt: skip
FLIP_COLUMNS = ["image", "letter", "label", "before", "before_confidence", "after", "after_confidence", "kind"]


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
        ``after_confidence``, ``kind``: "lost" (right, then wrong) or "won" (wrong, then right). The most confident mistakes first.
    classes : tuple of str
        Names, K of them.
    """

    by_class: pd.DataFrame
    confusion: dict[str, NDArray[np.int64]] = field(repr=False)
    flips: pd.DataFrame = field(repr=False)
    classes: tuple[str, ...] = ()

    def change(self, letter: str) -> NDArray[np.int64]:
        """Return a run's confusion minus the dense model's, shape [K, K]."""
        raise NotImplementedError


def behaviour(predictions: Mapping[str, Any], labels: ArrayLike, classes: Sequence[str] = ()) -> Behaviour:
    """Compare what runs say about the same images.

    Parameters
    ----------
    predictions : mapping of str to Predictions
        Letter to what `prunekit.runs.predicting.predictions` gives; "Dense" among them.
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
        If "Dense" is missing, or the numbers of images differ.
    """
    raise NotImplementedError
