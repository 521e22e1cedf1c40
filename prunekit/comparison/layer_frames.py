"""Layers and weights of several runs as frames: sparsity or width on one axis, weights in one histogram over one set of bins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from prunekit.errors import PrunekitError
from prunekit.evaluation.quality import DENSE
from prunekit.experiments.run_structure import Structure
from prunekit.models.layers import prunable_layers

LAYER_COLUMNS = ["layer", "letter", "width_before", "width_after", "weights", "kept", "sparsity"]


def layer_frame(structures: Mapping[str, Structure], baseline: Structure | None = None) -> pd.DataFrame:
    """Return a row for each layer and run.

    Parameters
    ----------
    structures : mapping of str to Structure
        Letter to what `prunekit.experiments.run_structure.structure_of` says.
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
