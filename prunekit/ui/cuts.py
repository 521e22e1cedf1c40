"""What a setting does to a model, in numbers and without touching its weights: cheap enough for every move of a slider."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from prunekit import pruning
from prunekit.anatomy import weight_of
from prunekit.pruning import ChannelRanking, Plan
from prunekit.pruning.masks import Cut, Ranking
from prunekit.spec import PruneSpec
from prunekit.ui import store
from prunekit.ui.store import Source

SMALL = 2_000_000  # parameters; below this sizes and proofs are quick enough to be there at once


@dataclass(frozen=True)
class View:
    """One cut, counted.

    Attributes
    ----------
    spec : PruneSpec
        The setting.
    frame : DataFrame
        A row for each prunable layer: ``name``, ``type``, ``removed`` (share), ``gone``, ``all`` (weights or channels), ``requested``
        (share or NaN), ``ticked``, ``before``, ``after`` (shapes of the weight), ``params_gone``.
    what : str
        ``weights`` or ``channels``: what ``gone`` and ``all`` count.
    gone, chosen : int
        Removed, and open to removal.
    params, macs : tuple of int
        Dense, and afterwards (non-zero parameters and effective MACs for zeroed weights).
    prunable : tuple of int
        Weights of prunable layers, dense and afterwards.
    limits : tuple of str
        What stood in the way.
    cut : Cut or Plan
        For whoever needs masks or channels.
    """

    spec: PruneSpec
    frame: pd.DataFrame
    what: str
    gone: int
    chosen: int
    params: tuple[int, int]
    macs: tuple[int, int]
    prunable: tuple[int, int]
    limits: tuple[str, ...]
    cut: Cut | Plan

    @property
    def achieved(self) -> float:
        """Share of what was open to removal that goes."""
        return self.gone / max(self.chosen, 1)

    @property
    def sparsity(self) -> float:
        """Share of zeros, or of removed weights, among all prunable weights."""
        return 1 - self.prunable[1] / max(self.prunable[0], 1)


@st.cache_resource(max_entries=2, show_spinner="Ranking the weights, once …")
def _ranking(source: Source, spec: PruneSpec) -> Ranking:
    """Return the weights of the chosen layers, scored and sorted."""
    ranking = Ranking.of(store.load(source).model, spec)
    for name in ranking.scores:
        ranking.ordered(name)  # sorts now rather than at the first move
    return ranking


@st.cache_resource(max_entries=12, show_spinner="Finding what shrinks together, once …")
def graph(source: Source) -> pruning.ChannelGraph:
    """Return the couplings of a model's channels."""
    loaded = store.load(source)
    return pruning.trace(loaded.model, loaded.input_shape)


@st.cache_resource(max_entries=12, show_spinner="Ranking the channels, once …")
def _channel_ranking(source: Source, spec: PruneSpec) -> ChannelRanking:
    """Return the removable channels of the chosen layers, scored."""
    return ChannelRanking.of(store.load(source).model, spec, graph(source))


def ranking_of(source: Source, spec: PruneSpec) -> Ranking:
    """Return the ranking that a setting shares with every other sparsity."""
    return _ranking(source, _key(spec))


def channel_ranking_of(source: Source, spec: PruneSpec) -> ChannelRanking:
    """Return the channel ranking that a setting shares with every other sparsity."""
    return _channel_ranking(source, _key(spec))


def _key(spec: PruneSpec) -> PruneSpec:
    """Return what a ranking depends on: everything but the sparsity."""
    return spec.at(0.5)


@st.cache_resource(max_entries=24, show_spinner=False)
def _zeros(source: Source) -> dict[str, int]:
    """Return how many weights of each layer are zero already."""
    loaded = store.load(source)
    return {name: int((weight_of(loaded.model, name) == 0).sum()) for name in loaded.layers}


def view(source: Source, spec: PruneSpec) -> View:
    """Count what a setting removes.

    Parameters
    ----------
    source : Source
        The model.
    spec : PruneSpec
        The setting.

    Returns
    -------
    View

    Raises
    ------
    PruningError
        If the setting cannot be carried out; the message says why.
    """
    return _unstructured(source, spec) if spec.mode == "unstructured" else _structured(source, spec)


def _base(source: Source, spec: PruneSpec) -> pd.DataFrame:
    """Return the rows of all prunable layers, nothing removed."""
    frame = store.layer_frame(source)[["name", "type", "shape", "macs"]].rename(columns={"shape": "before"})
    fixed = dict(spec.overrides)
    frame["requested"] = [fixed.get(name, math.nan) for name in frame["name"]]
    return frame


def _unstructured(source: Source, spec: PruneSpec) -> View:
    """Count zeroed weights."""
    ranking = ranking_of(source, spec)
    cut = replace(ranking, spec=spec).cut() if spec.threshold is not None else ranking.cut(spec.sparsity)
    removed, counts, zeros = ranking.removed(cut), store.counts_of(source), _zeros(source)
    frame = _base(source, spec)
    frame["all"] = [math.prod(shape) for shape in frame["before"]]
    frame["gone"] = [removed.get(name, 0) for name in frame["name"]]
    frame["ticked"] = [name in removed for name in frame["name"]]
    frame["removed"] = frame["gone"] / frame["all"]
    frame["after"] = frame["before"]
    # zeros that were there before score least, so a cut takes them first and they are not counted twice
    frame["params_gone"] = [max(gone - zeros[name], 0) for name, gone in zip(frame["name"], frame["gone"], strict=True)]
    if spec.scope == "uniform" and spec.sparsity is not None:
        frame["requested"] = frame["requested"].where(frame["requested"].notna() | ~frame["ticked"], spec.sparsity)
    alive = np.array([zeros[name] for name in frame["name"]])
    left = 1 - np.maximum(frame["gone"], alive) / frame["all"]
    effective = counts.macs - float((frame["macs"] * (1 - left)).sum())
    nonzero = counts.nonzero - int(frame["params_gone"].sum())
    weights = int(frame["all"].sum())
    dense = weights - int(alive.sum())
    return View(
        spec, frame, "weights", int(frame["gone"].sum()), int(frame.loc[frame["ticked"], "all"].sum()), (counts.params, nonzero),
        (counts.macs, round(effective)), (weights, dense - int(frame["params_gone"].sum())), (), cut,
    )  # fmt: skip


@st.cache_resource(max_entries=24, show_spinner=False)
def _parameters(source: Source) -> dict[str, tuple[int, ...]]:
    """Return the shape of every parameter."""
    return {name: tuple(p.shape) for name, p in store.load(source).model.named_parameters()}


def _structured(source: Source, spec: PruneSpec) -> View:
    """Count removed channels and the shapes that follow."""
    ranking = channel_ranking_of(source, spec)
    plan = replace(ranking, spec=spec).cut() if spec.threshold is not None else ranking.cut(spec.sparsity)
    counts, frame = store.counts_of(source), _base(source, spec)
    open_layers = {name: group for group in plan.groups for name in group.layers}
    frame["after"] = [plan.layer_shapes[n][1] if n in plan.layer_shapes else s for n, s in zip(frame["name"], frame["before"], strict=True)]
    frame["all"] = [shape[0] for shape in frame["before"]]
    frame["gone"] = [before[0] - after[0] for before, after in zip(frame["before"], frame["after"], strict=True)]
    frame["removed"] = frame["gone"] / frame["all"]
    frame["ticked"] = [name in open_layers for name in frame["name"]]
    frame["requested"] = [_requested(plan, open_layers, name, own) for name, own in zip(frame["name"], frame["requested"], strict=True)]
    frame["params_gone"] = [math.prod(b) - math.prod(a) for b, a in zip(frame["before"], frame["after"], strict=True)]
    weights = sum(math.prod(shape) for shape in frame["before"])
    return View(
        plan.spec, frame, "channels", int(plan.atoms.size), plan.total,
        (counts.params, counts.params - plan.removed_params(_parameters(source))), (counts.macs, counts.macs - plan.removed_macs()),
        (weights, weights - int(frame["params_gone"].sum())), plan.limits, plan,
    )  # fmt: skip


def _requested(plan: Plan, groups: dict[str, pruning.Group], name: str, own: float) -> float:
    """Return what was asked of one layer: its override, or under uniform scope the share of all."""
    if name not in groups or (plan.spec.scope == "global" and math.isnan(own)):
        return own
    asked = plan.requested.get(groups[name].id)
    return math.nan if asked is None else asked


def kept_channels(view: View) -> dict[str, NDArray[np.bool_]]:
    """Return for each layer that may shrink which of its original channels stay."""
    assert isinstance(view.cut, Plan)
    found = {}
    for row in view.frame[view.frame["ticked"]].itertuples():
        mask = np.zeros(row.all, dtype=np.bool_)
        mask[list(view.cut.kept[row.name])] = True
        found[row.name] = mask
    return found


def layer_scores(source: Source, view: View, name: str) -> pd.DataFrame:
    """Return channel, score and whether it stays, for one layer of a structured cut."""
    assert isinstance(view.cut, Plan)
    ranking = channel_ranking_of(source, view.spec)
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
