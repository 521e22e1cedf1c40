"""How important each removable channel is: scores of layers or norms, made comparable and joined over what is coupled."""

from __future__ import annotations

import math
from collections.abc import Iterable
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
Incidence = dict[str, tuple[Ids, Ids, Ids]]


def atom_scores(  # noqa: PLR0917 (what to score by, then on what)
    model: nn.Module, spec: PruneSpec, graph: ChannelGraph, groups: Iterable[Group], data: Any = None, blocks: tuple[str, ...] = ()
) -> dict[int, float]:
    """Score every atom of some groups.

    A channel's score is divided by the mean of its layer, so that layers of small weights are not emptied for their scale, and averaged
    over the coupled layers (or norms, for the scale of BatchNorm). One is an average channel.

    Parameters
    ----------
    model : nn.Module
        The dense model; not modified.
    spec : PruneSpec
        Its criterion, seed and number of samples.
    graph : ChannelGraph
        The model's couplings.
    groups : iterable of Group
        What to score.
    data : Data, optional
        For criteria that look at training data.
    blocks : tuple of str
        Residual blocks that go: what stands in them tells nothing.

    Returns
    -------
    dict of int to float
        Atom to score; atoms that no layer or norm tells anything about are left out.
    """
    carriers = {name: found for name, found in _carriers(model, spec, graph, groups).items() if not within(name, blocks)}
    if not carriers:
        return {}
    raw = channel_scores(model, list(carriers), spec.criterion, spec.seed, data, spec.samples, graph.layouts)
    return _joined(carriers, raw, first_only=CRITERIA[spec.criterion].random)


def _carriers(model: nn.Module, spec: PruneSpec, graph: ChannelGraph, groups: Iterable[Group]) -> Incidence:
    """Return which layers, or norms, tell something about which atoms of the groups."""
    groups = tuple(groups)
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


def _joined(carriers: Incidence, scores: dict[str, Scores], *, first_only: bool) -> dict[int, float]:
    """Average, over the carriers, each atom's score relative to its carrier's mean."""
    nothing = np.zeros(0, np.int64)
    count = 1 + int(np.concatenate([nothing, *(atoms for _, atoms, _ in carriers.values())]).max(initial=0))
    total, times = np.zeros(count), np.zeros(count, np.int64)
    for name, raw in scores.items():
        positions, atoms, _ = carriers[name]
        mean = float(raw.mean())
        relative = raw / mean if mean > 0 else np.ones_like(raw)
        unique, inverse = np.unique(atoms, return_inverse=True)
        values = np.bincount(inverse, relative[positions]) / np.bincount(inverse)
        if first_only:  # the mean of independent noise would crowd around one in large groups
            unique, values = unique[times[unique] == 0], values[times[unique] == 0]
        total[unique] += values
        times[unique] += 1
    known = np.flatnonzero(times)
    return dict(zip(known.tolist(), (total[known] / times[known]).tolist(), strict=True))


def reserved_atoms(graph: ChannelGraph, names: Iterable[str], scores: dict[int, float]) -> Ids:
    """Return the best atom of every layer and role (the last one by index among equals): it never goes, so that no layer is emptied."""
    best = {atom for group in graph.groups if group.least > 1 for atom in _best(group.atoms, scores, group.least)}
    for name in names:
        positions, atoms, roles = graph.incidence[name]
        if not np.bincount(positions, minlength=graph.outputs[name].size).all():
            continue  # something of this layer stays in any case
        for role in np.unique(roles).tolist():
            mine = np.unique(atoms[roles == role])
            best.update(_best(mine, scores, 1))
    return np.array(sorted(best), dtype=np.int64)


def _best(atoms: Ids, scores: dict[int, float], count: int) -> list[int]:
    """Return so many of the best of some atoms, the last ones by index among equals."""
    values = np.array([scores.get(atom, math.inf) for atom in atoms.tolist()])
    return list(atoms[np.argsort(values, kind="stable")[-count:]].tolist())
