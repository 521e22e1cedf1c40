"""`View`: a cut counted (weights, channels, parameters, MACs of each layer) without touching the weights, at every move of a slider."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunekit import pruning
from prunekit.config.spec import PruneSpec
from prunekit.models.layers import weight_of
from prunekit.pruning.execution import achieved_by, emptied
from prunekit.pruning.structured.plan import Plan
from prunekit.pruning.structured.ranking import ChannelRanking
from prunekit.pruning.unstructured.masks import Cut, Ranking
from prunekit.pruning.unstructured.n_m import PatternRanking
from prunekit.ui.shared import model_cache
from prunekit.ui.shared.cache import shared
from prunekit.ui.shared.model_cache import NO_IMAGES, Images, Source
from prunekit.ui.shared.scores import SMALL, Ranked, graph, immovable, of_images, ranking_of

__all__ = ["SMALL", "View", "graph", "immovable", "kept_channels", "layer_scores", "mask_of", "view"]


@dataclass(frozen=True)
class View:
    """One cut, counted."""

    spec: PruneSpec
    # a row for each layer that the mode works on, in order of definition, indexed by its place in ``Loaded.every``: ``name``, ``type``,
    # ``removed`` (share), ``gone``, ``all`` (weights or channels), ``requested`` and ``cap`` (share or NaN), ``ticked``, ``before``,
    # ``after`` (shapes of the weight), ``params_gone``; where channels go also ``inputs``, the share of the inputs that the layers before
    # it no longer deliver
    frame: pd.DataFrame
    what: str  # ``weights`` or ``channels``: what ``gone`` and ``all`` count
    # ``weights``, ``channels``, ``params``, ``macs``, ``bytes`` or, where they alone go, ``rows``: what the share to remove counts
    unit: str
    gone: int  # gone, chosen: removed, and open to removal, in ``unit``
    chosen: int
    params: tuple[int, int]  # params, macs: dense, and afterwards (non-zero parameters and effective MACs for zeroed weights)
    macs: tuple[int, int]
    prunable: tuple[int, int]  # weights of prunable layers, dense and afterwards
    limits: tuple[str, ...]  # what stood in the way
    cut: Cut | Plan  # for whoever needs masks or channels
    ranking: Ranked  # what was cut
    images: Images  # what the criterion looked at; none where it looks at weights alone

    @property
    def achieved(self) -> float:
        """Share of what was open to removal that goes."""
        return self.gone / max(self.chosen, 1)

    @property
    def rows_alone(self) -> bool:
        """Whether rows of tables go and nothing else."""
        return isinstance(self.cut, Plan) and bool(self.cut.rows) and not (self.cut.atoms.size or self.cut.blocks)

    @property
    def sparsity(self) -> float:
        """Share of zeros, or of removed weights, among all prunable weights."""
        return 1 - self.prunable[1] / max(self.prunable[0], 1)


@shared(24)
def _zeros(source: Source) -> dict[str, int]:
    """Return how many weights of each layer are zero already."""
    loaded = model_cache.load(source)
    return {name: int((weight_of(loaded.model, name) == 0).sum()) for name in loaded.layers}


def view(source: Source, spec: PruneSpec, images: Images = NO_IMAGES) -> View:
    """Count what a setting removes."""
    ranking = replace(ranking_of(source, spec, images), spec=spec) if spec.threshold is not None else ranking_of(source, spec, images)
    images = of_images(spec, images)
    if isinstance(ranking, ChannelRanking):
        return _structured(source, spec, ranking, images)
    return _masked(source, spec, ranking, images)


def _frame(source: Source, spec: PruneSpec, names: Sequence[str], **columns: Any) -> pd.DataFrame:
    """Return the rows of all layers that the mode works on; made at once, for each column that is added later costs as much as the rest."""
    base = model_cache.layer_frame(source)
    dense = {"name": base["name"], "type": base["type"], "before": base["shape"], "macs": base["macs"]}
    caps = [share if (share := spec.cap(name)) < 1 else math.nan for name in names]
    return pd.DataFrame({**dense, "cap": caps, **columns}, index=base.index)


def _masked(source: Source, spec: PruneSpec, ranking: Ranking | PatternRanking, images: Images) -> View:
    """Count zeroed weights."""
    cut = ranking.cut(spec.sparsity)
    removed, asked = ranking.removed(cut), ranking.requested(spec)
    counts, zeros, base = model_cache.counts_of(source), _zeros(source), model_cache.layer_frame(source)
    names = base["name"].tolist()
    every = np.array([math.prod(shape) for shape in base["shape"]], dtype=np.int64)
    gone = np.array([removed.get(name, 0) for name in names], dtype=np.int64)
    ticked = np.array([name in removed for name in names], dtype=np.bool_)
    # zeros that were there before are among what goes, and are not counted twice
    alive = np.array([zeros[name] for name in names], dtype=np.int64)
    params_gone = np.maximum(gone - alive, 0)
    requested = [math.nan if (share := asked.get(name)) is None else share for name in names]
    frame = _frame(
        source, spec, names, requested=requested, all=every, gone=gone, ticked=ticked, removed=gone / every, after=base["shape"],
        params_gone=params_gone,
    )  # fmt: skip
    effective = counts.macs - float((base["macs"].to_numpy() * (np.maximum(gone, alive) / every)).sum())
    weights, lost = int(every.sum()), int(params_gone.sum())
    limits = (*ranking.limits(spec), *emptied(ranking.sizes, removed))
    return View(
        spec, frame, "weights", "weights", int(gone.sum()), int(every[ticked].sum()), (counts.params, counts.nonzero - lost),
        (counts.macs, round(effective)), (weights, weights - int(alive.sum()) - lost), limits, cut, ranking, images,
    )  # fmt: skip


@shared(24)
def _parameters(source: Source) -> dict[str, tuple[int, ...]]:
    """Return the shape of every parameter."""
    return {name: tuple(p.shape) for name, p in model_cache.load(source).model.named_parameters()}


def _structured(source: Source, spec: PruneSpec, ranking: ChannelRanking, images: Images) -> View:
    """Count removed channels and the shapes that follow."""
    plan = ranking.cut(spec.sparsity)
    counts, base = model_cache.counts_of(source), model_cache.layer_frame(source)
    names, before = base["name"].tolist(), list(base["shape"])
    open_layers = {name: group for group in plan.groups for name in group.layers}
    after = [plan.layer_shapes[name][1] if name in plan.layer_shapes else shape for name, shape in zip(names, before, strict=True)]
    outputs = plan.graph.outputs  # of an embedding its columns, not the first axis of its weight
    every = np.array([len(outputs[name]) if name in outputs else shape[0] for name, shape in zip(names, before, strict=True)])
    left = np.array([len(plan.kept.get(name, outputs.get(name, range(shape[0])))) for name, shape in zip(names, before, strict=True)])
    gone = every - left
    ticked = [name in open_layers or not plan.kept.get(name, (0,)) for name in names]
    requested = [_requested(plan, open_layers, name) for name in names]
    params_gone = [math.prod(b) - math.prod(a) for b, a in zip(before, after, strict=True)]
    sizes = zip(before, after, every.tolist(), left.tolist(), strict=True)
    inputs = [1 - (math.prod(a) / stay) / (math.prod(b) / all_) if stay else 0.0 for b, a, all_, stay in sizes]
    frame = _frame(
        source, spec, names, after=after, all=every, gone=gone, removed=gone / every, ticked=ticked, requested=requested,
        params_gone=params_gone, inputs=inputs, table=[name in plan.rows for name in names],
    )  # fmt: skip
    weights, reached = sum(map(math.prod, before)), achieved_by(plan, model_cache.load(source).model)
    return View(
        plan.spec, frame, "channels", reached.unit, reached.removed, reached.total,
        (counts.params, counts.params - plan.removed_params(_parameters(source))), (counts.macs, counts.macs - plan.removed_macs()),
        (weights, weights - sum(params_gone)), plan.limits, plan, ranking, images,
    )  # fmt: skip


def _requested(plan: Plan, groups: dict[str, pruning.Group], name: str) -> float:
    """Return what was asked of one layer: its override, or under uniform scope the share of all."""
    own = dict(plan.spec.overrides).get(name)
    if own is None and name in groups and plan.spec.scope == "uniform":
        own = plan.requested.get(groups[name].id)
    return math.nan if own is None else own


def mask_of(view: View, name: str) -> NDArray[np.bool_]:
    """Return which weights of one layer stay, in the shape of its weight; True stays."""
    assert not isinstance(view.cut, Plan) and not isinstance(view.ranking, ChannelRanking)
    mask: NDArray[np.bool_] = view.ranking.masks({name: view.cut[name]})[name].numpy()
    return mask


def kept_channels(view: View) -> dict[str, NDArray[np.bool_]]:
    """Return for each layer that may shrink which of its original channels stay."""
    assert isinstance(view.cut, Plan)
    found = {}
    for row in view.frame[view.frame["ticked"]].itertuples():
        mask = np.zeros(row.all, dtype=np.bool_)
        mask[list(view.cut.kept[row.name])] = True
        found[row.name] = mask
    return found


def layer_scores(view: View, name: str) -> pd.DataFrame:
    """Return channel, score and whether it stays, for one layer of a structured cut."""
    assert isinstance(view.cut, Plan) and isinstance(view.ranking, ChannelRanking)
    ranking = view.ranking
    by_atom = {
        int(atom): float(score)
        for group in ranking.groups
        for atom, score in zip(group.atoms.tolist(), ranking.scores[group.id].tolist(), strict=True)
    }
    positions, atoms, _ = view.cut.graph.incidence[name]
    scores = np.full(len(view.cut.graph.outputs[name]), np.nan)
    for position, atom in zip(positions.tolist(), atoms.tolist(), strict=True):
        scores[position] = by_atom.get(atom, math.nan)
    kept = np.zeros(len(scores), dtype=bool)
    kept[list(view.cut.kept[name])] = True
    return pd.DataFrame({"channel": np.arange(len(scores)), "score": scores, "kept": kept})
