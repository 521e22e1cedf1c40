"""Which samples a run answers most differently from the dense model, told by what was observed of each."""

from __future__ import annotations

import numpy as np
import pandas as pd

from prunekit.errors import DataError
from prunekit.evaluation.quality import Evaluation
from prunekit.tasks.observations import OF_DATA

MOST = 50


def changed_samples(dense: Evaluation, run: Evaluation, most: int = MOST) -> pd.DataFrame:
    """Return the samples that changed most, the first of them on top.

    Parameters
    ----------
    dense, run : Evaluation
        On the same samples.
    most : int
        How many.

    Returns
    -------
    DataFrame
        ``sample`` (its place in the data), columns of the data as they are (``target``), ``NAME, dense`` and ``NAME, run`` of what was
        observed otherwise, and ``change``: the distance of the two, each column in standard deviations of the dense model's. Samples that
        did not change are left out.

    Raises
    ------
    DataError
        If the two are not of the same samples, or not observed alike.
    """
    a, b = dense.observations, run.observations
    if a.columns != b.columns or not a.same_samples(b):
        raise DataError("what was observed of the two models is not of the same samples: measure both on the same data")
    of_data = [name for name in a.columns if name.partition(".")[0] in OF_DATA]
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
    return pd.DataFrame({**columns, "change": change[places]})
