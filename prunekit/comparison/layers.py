"""Sparsity or width of every layer of several runs, on one axis."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from prunekit.comparison.letters import DENSE
from prunekit.runs.structure import Structure

LAYER_COLUMNS = ["layer", "letter", "width_before", "width_after", "weights", "kept", "sparsity"]


def layer_frame(structures: Mapping[str, Structure], baseline: Structure | None = None) -> pd.DataFrame:
    """Return a row for each layer and run.

    Parameters
    ----------
    structures : mapping of str to Structure
        Letter to what `prunekit.runs.opening.structure_of` says.
    baseline : Structure, optional
        The dense model's; adds rows of letter "Dense" and settles the order of the layers.

    Returns
    -------
    DataFrame
        ``layer``, ``letter``, ``width_before`` and ``width_after`` (output channels), ``weights`` (in the dense layer), ``kept`` (of
        them), ``sparsity`` (share that is gone, 0..1); the last two are NaN where it is not known which weights stay.
    """
    told = {**({} if baseline is None else {DENSE: baseline}), **structures}
    order = list(dict.fromkeys(layer for structure in told.values() for layer in structure.widths))
    weights = {layer: mask.numel() for structure in told.values() for layer, mask in structure.masks.items()}
    cells = [(layer, letter, structure) for layer in order for letter, structure in told.items() if layer in structure.widths]
    return pd.DataFrame([_row(*cell, weights.get(cell[0], np.nan)) for cell in cells], columns=LAYER_COLUMNS)


def _row(layer: str, letter: str, structure: Structure, weights: float) -> tuple[object, ...]:
    """Return one layer of one run."""
    mask = structure.masks.get(layer)
    kept = np.nan if mask is None else int(mask.sum())
    return layer, letter, *structure.widths[layer], weights, kept, 1 - kept / weights if weights else np.nan
