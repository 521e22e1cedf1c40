"""Targets of single layers under one slider: scaled in proportion until they make up the total, and dropped with one click."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import streamlit as st

from prunekit.config.choices import DEFAULT_CRITERION, NEEDS_DATA
from prunekit.config.spec import PruneSpec
from prunekit.errors import OutOfReach, PrunekitError
from prunekit.formatting import percent, plural, unbroken
from prunekit.pruning.structured.ranking import ChannelRanking
from prunekit.pruning.unstructured.masks import Ranking
from prunekit.tasks.wording import capital
from prunekit.ui.components import show
from prunekit.ui.shared import model_cache
from prunekit.ui.shared.cache import shared
from prunekit.ui.shared.model_cache import Source
from prunekit.ui.shared.scores import Ranked, ranking_of
from prunekit.ui.state import session
from prunekit.ui.state.settings import Settings

TRIES = 16
NEAR = 1e-3  # of the total
MOST = 0.999


@dataclass(frozen=True)
class Scaled:
    """Targets as they are carried out."""

    overrides: tuple[tuple[str, float], ...]  # share of each layer
    sparsity: float  # what they make up in all
    factor: float  # what the targets were multiplied with
    held: tuple[str, ...]  # layers that can give no more


def followed(now: Settings, source: Source) -> Settings:
    """Return settings with the targets, scaled to the total, as overrides; as they are where there are no targets."""
    if not now.targets or now.mode == "nm":
        return now
    every = model_cache.load(source).every
    place = {name: i for i, name in enumerate(every)}
    try:
        found = _of(now, source)
    except PrunekitError:  # the page says why these layers cannot be pruned
        return now.change(overrides=now.targets)
    return now.change(overrides=tuple(sorted((place[name], share) for name, share in found.overrides)), sparsity=found.sparsity)


def _without_data(spec: PruneSpec) -> PruneSpec:
    """Return a setting by which as much goes, and no image has to be looked at: how many go does not depend on which."""
    return replace(spec, criterion=DEFAULT_CRITERION, samples=PruneSpec.samples) if spec.criterion in NEEDS_DATA else spec


def _of(now: Settings, source: Source) -> Scaled:
    """Return the targets of some settings as they are carried out."""
    every = model_cache.load(source).every
    spec = _without_data(now.change(overrides=()).spec(every))
    return _scaled(source, spec, tuple((every[i], share) for i, share in now.targets))


@shared(64)
def _scaled(source: Source, spec: PruneSpec, targets: tuple[tuple[str, float], ...]) -> Scaled:
    """Find the factor at which targets, each up to its cap, make up a sparsity."""
    wanted, shares = float(spec.sparsity or 0.0), dict(targets)
    fixed = replace(spec, overrides=tuple((name, 0.0) for name in shares))
    ranking = ranking_of(source, fixed)
    sizes = _sizes(source, spec, shares)
    most = {name: min(MOST, spec.cap(name), 1 - 1 / size) for name, size in sizes.items()}

    def at(factor: float) -> Scaled:
        asked = {name: min(round(factor * share, 8), most[name]) for name, share in shares.items()}
        held = tuple(name for name, share in asked.items() if share == most[name] and shares[name])
        return Scaled(tuple(asked.items()), made(ranking, asked), factor, held)

    def about(total: float, low: float, high: float) -> float:
        """Return the factor at which they would make up a total if every layer went on its own."""
        for _ in range(40):
            factor = (low + high) / 2
            gone = sum(size * min(factor * shares[name], most[name]) for name, size in sizes.items())
            low, high = (factor, high) if gone < total * sum(sizes.values()) else (low, factor)
        return (low + high) / 2

    low, high = 0.0, max((most[name] / share for name, share in shares.items() if share), default=1.0)
    best, aim, factor = at(min(1.0, high)), wanted, 0.0
    for attempt in range(TRIES):
        if abs(best.sparsity - wanted) <= NEAR:
            break
        # corrected by what came out, which is soon there, and now and then in the middle, which is there for certain
        factor = (low + high) / 2 if attempt % 4 == 3 else about(aim, low, high)
        found = at(factor)
        best = min(best, found, key=lambda each: abs(each.sparsity - wanted))
        low, high = (low, factor) if found.sparsity > wanted else (factor, high)
        aim += wanted - found.sparsity
    return best


def _sizes(source: Source, spec: PruneSpec, shares: Mapping[str, float]) -> dict[str, int]:
    """Return how many weights a layer has, or how many outputs."""
    frame = model_cache.layer_frame(source).set_index("name")
    return {name: frame.at[name, "shape"][0] if spec.mode == "structured" else math.prod(frame.at[name, "shape"]) for name in shares}


def made(ranking: Ranked, overrides: Mapping[str, float]) -> float:
    """Return the total that overrides make up."""
    spec = replace(ranking.spec, overrides=tuple(overrides.items()))
    if isinstance(ranking, ChannelRanking):
        fixed = replace(ranking, spec=spec)
        return round(fixed.by_fixed / max(fixed.meter.total, 1), 8)
    assert isinstance(ranking, Ranking)
    budget = replace(ranking, spec=spec).budget
    return round(sum(budget.fixed.values()) / max(sum(budget.sizes.values()), 1), 8)


def sum_of(now: Settings, source: Source) -> float:
    """Return the total that the targets make up as they stand, or the overrides where there are none; the setting's own if they cannot."""
    every = model_cache.load(source).every
    try:
        spec = _without_data(now.change(overrides=()).spec(every))
        asked = {every[i]: share for i, share in now.targets or now.overrides}
        return made(ranking_of(source, replace(spec, overrides=tuple((name, 0.0) for name in asked))), asked)
    except PrunekitError:
        return now.sparsity


def chip(now: Settings, source: Source) -> None:
    """Show on the Prune page that targets are in force, what they are scaled by, and how to drop them."""
    if not now.targets:
        return
    try:
        found = _of(session.settings(), source)
    except PrunekitError:
        found = None
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button(
            "targets from Sensitivity", key="drop_targets", icon=":material/close:", on_click=drop,
            help="Drops them: the scope decides again what each layer gives.",
        )  # fmt: skip
        if found is not None:
            st.caption(_caption(found, len(now.targets)), width="stretch")


def _caption(found: Scaled, layers: int) -> str:
    """Say what the slider made of the targets."""
    shares = dict(found.overrides)
    most, least = max(shares, key=lambda name: shares[name]), min(shares, key=lambda name: shares[name])
    scaled = "as suggested" if abs(found.factor - 1) < 1e-6 else f"scaled by {found.factor:.3g}"
    span = f"**{most}** gives {percent(shares[most])}"
    span += f", **{least}** {percent(shares[least])}" if shares[least] < shares[most] else ""
    held = f" {plural(len(found.held), 'layer')} can give no more." if found.held else ""
    return f"{plural(layers, 'target')}, {scaled}: {span}. The slider scales them.{held}"


@contextmanager
def out_of_reach() -> Iterator[None]:
    """Say where overrides of single layers leave no room for the total, and offer the nearest, or to do without them."""
    try:
        yield
    except OutOfReach as error:
        st.warning(capital(show.said(error)), icon=":material/block:")
        with st.container(horizontal=True):
            st.button(
                f"Remove {unbroken(error.shown)}", key="nearest_total", icon=":material/straighten:", on_click=session.change,
                kwargs={"sparsity": round(error.nearest, 8)},
            )  # fmt: skip
            st.button(
                "Drop the overrides", key="drop_overrides", icon=":material/close:", on_click=session.change,
                kwargs={"overrides": (), "targets": (), "shares": ()},
                help="The scope decides again what each layer gives.",
            )  # fmt: skip


def drop() -> None:
    """Drop the targets: the default layers, shared out by the scope; a callback."""
    session.change(targets=(), overrides=(), layers=None)
