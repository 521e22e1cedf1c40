"""Sparsity or width of every layer of several runs, on one axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

LAYER_COLUMNS = ["layer", "letter", "width_before", "width_after", "weights", "kept", "sparsity"]


def layer_frame(structures: Mapping[str, Any], baseline: Any = None) -> pd.DataFrame:
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
        them), ``sparsity`` (share that is gone, 0..1).
    """
    raise NotImplementedError
