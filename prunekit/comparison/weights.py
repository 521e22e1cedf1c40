"""Weights of several runs in one histogram over one set of bins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from prunekit.anatomy import prunable_layers
from prunekit.errors import PrunekitError

BIN_COLUMNS = ["letter", "left", "right", "count"]


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

    Raises
    ------
    PrunekitError
        If no model has such a layer, or there is no bin.
    """
    if bins < 1:
        raise PrunekitError(f"a histogram needs at least 1 bin; got {bins}")
    _check(models, layers)
    values = {letter: _values(model, layers) for letter, model in models.items()}
    widest = max((float(np.abs(each).max()) for each in values.values() if each.size), default=0.0)
    edges = np.linspace(-widest, widest, bins + 1) if widest else np.linspace(-1.0, 1.0, bins + 1)
    rows = [row for letter, each in values.items() for row in _rows(letter, each, edges)]
    return pd.DataFrame(rows, columns=BIN_COLUMNS)


def _check(models: Mapping[str, nn.Module], layers: Sequence[str] | None) -> None:
    """Raise if no model has one of the layers."""
    known = list(dict.fromkeys(name for model in models.values() for name in prunable_layers(model)))
    unknown = [name for name in layers or () if name not in known]
    if unknown:
        raise PrunekitError(f"there is no prunable layer {', '.join(unknown)}: choose from {', '.join(known)}")


def _values(model: nn.Module, layers: Sequence[str] | None) -> NDArray[np.float64]:
    """Return the weights of some layers, one after the other; a layer whose block went has none."""
    modules, known = dict(model.named_modules()), prunable_layers(model)
    wanted = known if layers is None else [name for name in layers if name in known]
    parts = [modules[name].weight.detach().cpu().double().reshape(-1).numpy() for name in wanted]
    return np.concatenate(parts) if parts else np.zeros(0)


def _rows(letter: str, values: NDArray[np.float64], edges: NDArray[np.float64]) -> list[tuple[str, float, float, int]]:
    """Return the counts of one run, zeros first."""
    counts, _ = np.histogram(values[values != 0], bins=edges)
    zeros = (letter, 0.0, 0.0, int((values == 0).sum()))
    return [zeros, *((letter, float(a), float(b), int(n)) for a, b, n in zip(edges[:-1], edges[1:], counts, strict=True))]
