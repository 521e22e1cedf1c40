"""How important each removable channel is: scores of layers or norms, made comparable and joined over what is coupled."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from prunekit.config.spec import PruneSpec
from prunekit.criteria.methods import CRITERIA
from prunekit.criteria.scoring import channel_scores
from prunekit.pruning.structured.axis_sizes import within
from prunekit.pruning.structured.channel_groups import ChannelGraph, Group, weight_name
from prunekit.pruning.structured.coupling_solver import Ids

Scores = NDArray[np.float64]
Told = tuple[Ids, Scores]
"""Atoms, each once, and what one layer says of them."""


def _over(below: Callable[[Scores], float]) -> Callable[[Scores], Scores]:
    """Return scores over one number of theirs; all alike where that is zero, for then all of them are."""

    def relative(raw: Scores) -> Scores:
        number = float(below(raw))
        return raw / number if number > 0 else np.ones_like(raw)

    return relative


def _range(raw: Scores) -> Scores:
    """Return scores from 0 for the least to 1 for the largest."""
    width = float(np.ptp(raw))
    return (raw - raw.min()) / width if width > 0 else np.ones_like(raw)


def _gaussian(raw: Scores) -> Scores:
    """Return by how many standard deviations scores differ from their mean."""
    spread = float(raw.std(ddof=1)) if raw.size > 1 else 0.0
    return (raw - raw.mean()) / spread if spread > 0 else np.zeros_like(raw)


NORMALISERS: dict[str, Callable[[Scores], Scores]] = {
    "none": np.asarray,
    "mean": _over(np.mean),
    "max": _over(np.max),
    "sum": _over(np.sum),
    "range": _range,
    "gaussian": _gaussian,
}


def one_each(positions: Ids, atoms: Ids, scores: Scores) -> Told:
    """Return what a layer says of each atom that stands on it: the mean over the outputs that go with it."""
    unique, inverse = np.unique(atoms, return_inverse=True)
    return unique, np.bincount(inverse, scores[positions]) / np.bincount(inverse)


def one_each_of_samples(positions: Ids, atoms: Ids, scores: Scores) -> Told:
    """Return the same of scores on single samples, [outputs, samples]: added up within each, then the mean of their absolute values."""
    unique, inverse = np.unique(atoms, return_inverse=True)
    sums = np.zeros((unique.size, scores.shape[1]))
    np.add.at(sums, inverse, scores[positions])
    return unique, np.abs(sums).mean(1)


def joined(told: Iterable[Told], reduction: str) -> dict[int, float]:
    """Return one score for each atom.

    ``reduction``: {"mean", "max", "prod", "first", "sum"}: what is made of an atom that several layers tell something about.
    """
    told = list(told)
    count = 1 + max((int(atoms.max(initial=0)) for atoms, _ in told), default=0)
    found, times = np.zeros(count), np.zeros(count, np.int64)
    for atoms, scores in told:
        new = times[atoms] == 0
        if reduction == "max":
            found[atoms] = np.where(new, scores, np.maximum(found[atoms], scores))
        elif reduction == "prod":
            found[atoms] = np.where(new, scores, found[atoms] * scores)
        elif reduction == "first":
            found[atoms] = np.where(new, scores, found[atoms])
        else:
            found[atoms] += scores
        times[atoms] += 1
    known = np.flatnonzero(times)
    values = found[known] / times[known] if reduction == "mean" else found[known]
    return dict(zip(known.tolist(), values.tolist(), strict=True))


Incidence = dict[str, tuple[Ids, Ids, Ids]]


def atom_scores(  # noqa: PLR0917 (what to score by, then on what)
    model: nn.Module, spec: PruneSpec, graph: ChannelGraph, groups: Iterable[Group], data: Any = None, blocks: tuple[str, ...] = ()
) -> dict[int, float]:
    """Score every atom of some groups.

    A channel's score is taken relative to its layer (over the mean, unless the setting names another normaliser), so that layers of small
    weights are not emptied for their scale, and joined (averaged, unless it names another reduction) over the coupled layers, or norms for
    the scale of BatchNorm. With ``consumers`` the columns by which other layers read the channel are scored by the same function, and
    count as much as the filters that make it. By default one is an average channel.

    Atom to score; atoms that no layer or norm tells anything about are left out.
    """
    groups = tuple(groups)
    carriers = {name: found for name, found in _carriers(model, spec, graph, groups).items() if not within(name, blocks)}
    if not carriers:
        return {}
    scores = partial(channel_scores, model, criterion=spec.criterion, seed=spec.seed, data=data, samples=spec.samples, by_sample=True)
    told = _told(carriers, scores(list(carriers), layouts=graph.layouts), spec)
    if spec.consumers:
        readers = {name: found for name, found in _readers(graph, groups).items() if not within(name, blocks)}
        told += _told(readers, scores(list(readers), layouts=dict.fromkeys(readers, (1, 1)) | dict.fromkeys(graph.layouts, (0, 1))), spec)
    # the mean of independent noise would crowd around one in large groups
    return joined(told, "first" if CRITERIA[spec.criterion].random else spec.reduction)


def _told(carriers: Incidence, scores: dict[str, Scores], spec: PruneSpec) -> list[Told]:
    """Return what each carrier says of its atoms, relative to what the setting's normaliser takes of it."""
    as_they_are = CRITERIA[spec.criterion].comparable and spec.normaliser == PruneSpec.normaliser
    relative = NORMALISERS["none" if as_they_are else spec.normaliser]
    told = []
    for name, raw in scores.items():
        positions, atoms, _ = carriers[name]
        if raw.ndim == 1:
            told.append(one_each(positions, atoms, relative(raw)))
        else:
            units, found = one_each_of_samples(positions, atoms, raw)
            told.append((units, relative(found)))
    return told


def _readers(graph: ChannelGraph, groups: Iterable[Group]) -> Incidence:
    """Return which layers read which atoms of the groups, by the columns of their weights."""
    wanted = np.concatenate([np.zeros(0, np.int64), *(group.atoms for group in groups)])
    found = {}
    for name, weight in graph.weights.items():
        axis = (weight, 0 if name in graph.layouts else 1)
        if axis not in graph.facts.axes:
            continue
        positions, atoms, roles = graph.solution.atoms(graph.classes(axis))
        mine = np.isin(atoms, wanted)
        if mine.any():
            found[name] = positions[mine], atoms[mine], roles[mine]
    return found


def _carriers(model: nn.Module, spec: PruneSpec, graph: ChannelGraph, groups: tuple[Group, ...]) -> Incidence:
    """Return which layers, or norms, tell something about which atoms of the groups."""
    if CRITERIA[spec.criterion].carrier == "layer":
        return {name: graph.incidence[name] for name in dict.fromkeys(name for group in groups for name in group.layers)}
    wanted = np.concatenate([np.zeros(0, np.int64), *(group.atoms for group in groups)])
    found = {}
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm) and (weight_name(name), 0) in graph.facts.axes:
            positions, atoms, roles = graph.solution.atoms(graph.classes((weight_name(name), 0)))
            mine = np.isin(atoms, wanted)
            if mine.any():
                found[name] = positions[mine], atoms[mine], roles[mine]
    return found


def reserved_atoms(graph: ChannelGraph, names: Iterable[str], scores: dict[int, float]) -> Ids:
    """Return the best atom of every layer and role (the last one by index among equals): it never goes, so that no layer is emptied."""
    values = np.full(1 + max((int(group.atoms.max()) for group in graph.groups), default=0), math.inf)
    values[np.fromiter(scores, np.int64, len(scores))] = np.fromiter(scores.values(), np.float64, len(scores))
    best = [_best(group.atoms, values, group.least) for group in graph.groups if group.least > 1]
    for name in names:
        positions, atoms, roles = graph.incidence[name]
        if not np.bincount(positions, minlength=graph.outputs[name].size).all():
            continue  # something of this layer stays in any case
        if (roles == roles[0]).all():  # as in most layers
            best.append(_best(np.unique(atoms), values, 1))
            continue
        best += [_best(np.unique(atoms[roles == role]), values, 1) for role in np.unique(roles)]
    return np.unique(np.concatenate([np.zeros(0, np.int64), *best]))


def _best(atoms: Ids, values: Scores, count: int) -> Ids:
    """Return so many of the best of some atoms, the last ones by index among equals."""
    return atoms[np.argsort(values[atoms], kind="stable")[-count:]]
