"""What a run says about each image, kept: the class it puts first, and how sure it is."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunekit.catalog.ids import DataId
from prunekit.measure.forward import Progress
from prunekit.runs.store import RunStore


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model says about the images of a split, in their order.

    Attributes
    ----------
    classes : ndarray of int16, shape [n]
        The class with the highest score.
    confidence : ndarray of float32, shape [n]
        Its softmax probability, 0..1 (not calibrated).
    """

    classes: NDArray[np.int16]
    confidence: NDArray[np.float32]


def predictions(
    run: str,
    data_id: DataId,
    split: str,
    store: RunStore,
    *,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
    stored: bool = False,
) -> Predictions | None:
    """Return what a run says about every image of a split: from the store, or computed and kept.

    Parameters
    ----------
    run : str
        Its id.
    data_id : DataId
        The data.
    split : {"train", "validation", "test"}
        Which part of them.
    store : RunStore
        Where the run is, and where predictions are kept.
    progress, cancel
        As for :func:`prunekit.runs.carry_out`.
    stored : bool
        Only read: None where they are not there.

    Raises
    ------
    RunGone
        As for :func:`prunekit.runs.opening.open_run`.
    Cancelled
        If ``cancel`` was set.
    """
    raise NotImplementedError
