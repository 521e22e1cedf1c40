"""What pictures of a comparison are drawn from: runs are opened once, and only frames and counts are kept of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunekit.comparison.behaviour import Behaviour, behaviour
from prunekit.comparison.comparison import Comparison
from prunekit.comparison.layers import ALL, channel_overlap, layer_frame, overlap, weight_bins
from prunekit.comparison.lineage import Node, lineage
from prunekit.config.ids import DataId, ModelId
from prunekit.errors import PrunekitError
from prunekit.evaluation.progress import QUIET, Progress
from prunekit.experiments.backfill import predictions
from prunekit.experiments.load_run import Opened, open_run
from prunekit.experiments.records import Run
from prunekit.experiments.run_structure import structure_of
from prunekit.experiments.sources import load
from prunekit.experiments.store import RunStore
from prunekit.models.info import info
from prunekit.models.layers import prunable_layers
from prunekit.models.load import load_model
from prunekit.tasks.metrics import Metric

BINS = 200  # most of them lie where hardly any weights are


@dataclass(frozen=True, eq=False)
class Shapes:
    """What the models of a comparison look like; no tensors.

    Attributes
    ----------
    layers : DataFrame
        Of `prunekit.comparison.layer_frame`, the dense model's rows first.
    bins : DataFrame
        Of `prunekit.comparison.weight_bins` for each layer and for all together: column ``part`` says which.
    masks, channels : DataFrame
        Of `prunekit.comparison.overlap` and `prunekit.comparison.channel_overlap`.
    gone : dict of str to str
        Letter -> why a run could not be opened.
    notes : tuple of str
        What else a person should know.
    """

    layers: pd.DataFrame
    bins: pd.DataFrame
    masks: pd.DataFrame
    channels: pd.DataFrame
    gone: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def shapes(comparison: Comparison, store: RunStore, *, progress: Progress = QUIET) -> Shapes:
    """Open all runs of a comparison and look at their weights.

    Parameters
    ----------
    comparison : Comparison
        Which runs.
    store : RunStore
        Where they are.
    progress : Progress, optional
        Told how far the work is before each run.

    Returns
    -------
    Shapes
        A run that is gone is left out, and named.
    """
    opened: dict[str, Opened] = {}
    built: dict[str, Any] = {}
    gone: dict[str, str] = {}
    for place, column in enumerate(comparison.all):
        progress(place / len(comparison.all), f"opening {column.letter}")
        try:
            opened[column.letter] = open_run(column.run, store)
            built[column.letter] = structure_of(opened[column.letter], store)
        except PrunekitError as error:
            gone[column.letter] = str(error)
    dense = built.pop(comparison.baseline.letter, None)
    models = {letter: found.model for letter, found in opened.items() if found.model is not None and letter not in gone}
    notes = tuple(found.note for found in opened.values() if found.note)
    return Shapes(layer_frame(built, dense), _bins(models), overlap(built), channel_overlap(built), gone, notes)


def _bins(models: dict[str, Any]) -> pd.DataFrame:
    """Return the bins of all weights, then those of each layer."""
    if not models:
        return weight_bins({}).assign(part="")
    every = dict.fromkeys(name for model in sorted(models.values(), key=_depth) for name in prunable_layers(model))
    parts = [(ALL, None), *((name, [name]) for name in every)]
    return pd.concat([weight_bins(models, names, BINS).assign(part=part) for part, names in parts], ignore_index=True)


def _depth(model: Any) -> int:
    """Return a key that puts models with all their layers first: whole blocks of others may be gone."""
    return -len(prunable_layers(model))


def images_of(comparison: Comparison) -> DataId | None:
    """Return the data on which runs are compared: those of the comparison, or those that the dense model was made for."""
    if comparison.data_id is not None:
        return DataId.from_dict(comparison.data_id)
    name = info(load_model(ModelId.from_dict(comparison.baseline.run.model))).data
    return None if name is None else DataId(name)


def split_of(comparison: Comparison) -> Any:
    """Return the split on which runs are compared, loaded, and the names of its classes; None where there are no data."""
    name = images_of(comparison)
    if name is None:
        return None
    _, data = load(ModelId.from_dict(comparison.baseline.run.model), name)
    return getattr(data, comparison.split), data.classes


def groups_of(comparison: Comparison) -> tuple[Mapping[str, NDArray[np.bool_]], tuple[Metric, ...]]:
    """Return groups of the samples on which runs are compared, as their task tells, and the metrics to see by them; none without data."""
    name, dense = images_of(comparison), comparison.baseline.accuracy
    if name is None or dense is None or dense.task is None:
        return {}, ()
    _, data = load(ModelId.from_dict(comparison.baseline.run.model), name)
    split = getattr(data, comparison.split)
    return dense.task.groups(split if len(split) == dense.n else split.subset(dense.n), data.train)


def said(comparison: Comparison, store: RunStore, *, stored: bool = True, progress: Progress = QUIET) -> Behaviour | None:
    """Return what runs say about the same images.

    Parameters
    ----------
    comparison : Comparison
        Which runs.
    store : RunStore
        Where they are, and where predictions are kept.
    stored : bool
        Only read what is there; otherwise what is missing is computed.
    progress
        As for `prunekit.experiments.backfill.predictions`.

    Returns
    -------
    Behaviour or None
        Of the runs that can be opened; None where predictions are missing, or there are no data.
    """
    name = images_of(comparison)
    if name is None:
        return None
    found: dict[str, Any] = {}
    here = [column for column in comparison.all if not column.gone]
    for place, column in enumerate(here):
        part = progress.step(place, len(here), f"{column.letter}: ")
        found[column.letter] = predictions(column.run.id, name, comparison.split, store, progress=part, stored=stored)
    if any(value is None for value in found.values()) or comparison.baseline.letter not in found:
        return None
    split, classes = split_of(comparison)
    return behaviour(found, split.labels, classes)


COLUMNS = ["key", "parent", "depth", "step", "title", "letter", "accuracy", "note"]


def family(comparison: Comparison, known: Sequence[Run] = (), accuracies: dict[str, float] | None = None) -> pd.DataFrame:
    """Return the tree of a comparison's runs, one step a row.

    Parameters
    ----------
    comparison : Comparison
        Which runs.
    known : sequence of Run, optional
        Others of the store, for the steps on the way.
    accuracies : dict of str to float, optional
        Accuracy of other runs, by id.

    Returns
    -------
    DataFrame
        As for `prunekit.plots.family_tree`.
    """
    letters = {column.run.id: column.letter for column in comparison.columns}
    values = {**(accuracies or {}), **{c.run.id: c.accuracy.value for c in comparison.all if c.accuracy is not None}}
    trees = lineage([column.run for column in comparison.all], known)
    rows = [_step(node, parent, letters, values) for tree in trees for node, parent in _walk(tree, "")]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"accuracy": float})


def _walk(node: Node, parent: str) -> list[tuple[Node, str]]:
    """Return a node and all below it, each with its parent's key."""
    return [(node, parent), *(pair for child in node.children for pair in _walk(child, node.key))]


def _step(node: Node, parent: str, letters: dict[str, str], values: dict[str, float]) -> tuple[Any, ...]:
    """Return one row of the tree."""
    value = values.get(node.key, float("nan"))
    return node.key, parent, node.depth, node.step, node.title, letters.get(node.key, ""), value, node.note
