"""Weights of several runs: one histogram over one set of bins, and which weights or channels two runs both keep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from torch import nn

ALL = "all layers"
BIN_COLUMNS = ["letter", "left", "right", "count"]
OVERLAP_COLUMNS = ["first", "second", "layer", "both", "either", "jaccard", "expected"]


def weight_bins(models: Mapping[str, nn.Module], layers: Sequence[str] | None = None, bins: int = 60) -> pd.DataFrame:
    """Count weights of several models over one set of bins, zeros apart.

    Parameters
    ----------
    models : mapping of str to nn.Module
        Letter to model.
    layers : sequence of str, optional
        Only these prunable layers; all when left out.
    bins : int
        How many, of equal width, symmetric about 0.

    Returns
    -------
    DataFrame
        ``letter``, ``left``, ``right``, ``count``; exact zeros are a row of their own with ``left == right == 0`` and are in no bin.
    """
    raise NotImplementedError


def overlap(structures: Mapping[str, Any]) -> pd.DataFrame:
    """Say for each two runs which share of the weights that either keeps both keep.

    Parameters
    ----------
    structures : mapping of str to Structure
        Letter to what `prunekit.runs.opening.structure_of` says; masks over the dense shape.

    Returns
    -------
    DataFrame
        ``first``, ``second`` (letters), ``layer`` ("all layers" in the last row of a pair), ``both``, ``either`` (weights),
        ``jaccard`` (both / either; NaN where nothing is kept), ``expected`` (the same if each had kept as many weights of each layer
        at random). Layers that neither run pruned are left out.
    """
    raise NotImplementedError


def channel_overlap(structures: Mapping[str, Any], groups: Iterable[Any] = ()) -> pd.DataFrame:
    """Say the same of output channels, for runs that removed some.

    Parameters
    ----------
    structures : mapping of str to Structure
        Runs whose ``kept`` is None are left out.
    groups : iterable of Group, optional
        Of ``prunekit.pruning.trace(model).groups``: layers that shrink together count once, under the group's id.

    Returns
    -------
    DataFrame
        As `overlap`, in channels.
    """
    raise NotImplementedError
