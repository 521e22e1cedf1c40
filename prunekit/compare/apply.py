"""A recipe carried out again, here, and whether the same comes out."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from os import PathLike
from typing import Any

from prunekit.measure.accuracy import Accuracy
from prunekit.measure.forward import Progress
from prunekit.recover.result import Recovered
from prunekit.spec import Recipe


@dataclass(frozen=True, eq=False)
class Applied:
    """A recipe that was carried out again.

    Attributes
    ----------
    recipe : Recipe
        What was done.
    recovered : Recovered
        The model (``.model``), its pruning (``.result``) and its recovery.
    document : dict
        What `prunekit prune --json` prints of it.
    same_masks : bool or None
        Whether exactly the same weights or channels stay as were recorded; None where nothing is recorded.
    overlap : dict or None
        ``both``, ``either``, ``jaccard``, ``expected`` over all layers, and ``unit`` ("weights" or "channels").
    accuracy : Accuracy or None
        Measured here, on the test images.
    expected : dict or None
        ``value``, ``low``, ``high`` and ``n`` as recorded.
    within : bool or None
        Whether the accuracy lies in the recorded interval.
    sentence : str
        What came out, in plain words.
    """

    recipe: Recipe
    recovered: Recovered
    document: dict[str, Any]
    same_masks: bool | None
    overlap: dict[str, Any] | None
    accuracy: Accuracy | None
    expected: dict[str, Any] | None
    within: bool | None
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        raise NotImplementedError


def apply_recipe(path: str | PathLike[str], *, progress: Progress | None = None, cancel: threading.Event | None = None) -> Applied:
    """Repeat a run from its recipe, and compare with what was recorded beside it.

    Parameters
    ----------
    path : path
        A ``recipe.yaml`` alone, a folder of ``prunekit prune --out``, or an exported archive.
    progress : callable, optional
        Called as ``progress(fraction, text)``.
    cancel : threading.Event, optional
        Looked at before each batch.

    Returns
    -------
    Applied

    Raises
    ------
    PrunekitError
        If the recipe is not valid, names no model, or its model or data cannot be loaded.
    """
    raise NotImplementedError
