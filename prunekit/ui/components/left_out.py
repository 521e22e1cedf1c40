"""Layers that take no part in a setting, and values set layer by layer, in words for the pages that prune."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import pandas as pd
import streamlit as st

from prunekit.config.spec import PruneSpec
from prunekit.formatting import count, percent, plural
from prunekit.pruning.skipped import Skipped, grouped, skipped
from prunekit.pruning.structured.plan import Plan
from prunekit.ui import routes
from prunekit.ui.components import show
from prunekit.ui.layers.table import kind
from prunekit.ui.shared import model_cache
from prunekit.ui.shared.cache import shared
from prunekit.ui.shared.cuts import View
from prunekit.ui.shared.model_cache import Loaded, Source
from prunekit.ui.state.settings import Settings

MOST = 8


def is_set(now: Settings) -> bool:
    """Return whether single layers are ticked, or have shares or caps of their own."""
    return now.layers is not None or bool(now.overrides or now.shares or now.caps) or now.cap_all < 1


def words(now: Settings, names: tuple[str, ...]) -> list[str]:
    """Return what is set, a sentence each: own shares, caps, and which layers take part."""
    said = []
    if now.overrides:
        said.append(f"Own shares of {plural(len(now.overrides), 'layer')}: {_shares(now.overrides, names)}")
    said += [f"{percent(share)} of {_row(list(places), names)} together" for places, share in now.shares]
    if now.caps:
        said.append(f"Caps: {_shares(now.caps, names)}")
    if now.cap_all < 1:
        said.append(f"No layer loses more than {percent(now.cap_all)}")
    if now.layers is not None:
        ticked = sorted({*now.layers, *(place for place, _ in now.overrides), *(place for places, _ in now.shares for place in places)})
        which = f"all {len(names)} layers" if len(ticked) == len(names) else f"{len(ticked)} of {plural(len(names), 'layer')}"
        said.append(f"Ticked: {which}" + ("" if len(ticked) == len(names) else f" ({_row(ticked, names)})"))
    return said


def _shares(shares: tuple[tuple[int, float], ...], names: tuple[str, ...]) -> str:
    """Return shares of single layers."""
    told = [f"{names[place]} {percent(share)}" for place, share in shares if place < len(names)]
    return ", ".join(told[:MOST]) + (f" and {len(told) - MOST} more" if len(told) > MOST else "")


def _row(places: list[int], names: tuple[str, ...]) -> str:
    """Return names of layers."""
    told = [names[place] for place in places if place < len(names)]
    return ", ".join(told[:MOST]) + (f" and {len(told) - MOST} more" if len(told) > MOST else "")


def shown(now: Settings, loaded: Loaded, *, link: bool = True) -> None:
    """Say on another page what is set layer by layer, with a ``link`` to where it is changed; nothing where nothing is."""
    if not is_set(now):
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("**Set layer by layer.** " + " ".join(f"{show.plain(each)}." for each in words(now, loaded.every)))
        if link:
            routes.link("prune", "Change them on the Prune page")


TELLING = 0.05  # of the parameters: less takes no part in any network with norms


@shared(24)
def _masked(source: Source, mode: str, chosen: tuple[str, ...], every: bool) -> tuple[Skipped, ...]:
    """Return the layers left out in the unstructured modes."""
    return skipped(model_cache.load(source).model, PruneSpec(mode=mode, layers=None if every else chosen), chosen)


@shared(24)
def _structured(
    source: Source, layers: tuple[str, ...] | None, limits: tuple[str, ...], blocks: tuple[str, ...], moving: tuple[str, ...],
    _spec: PruneSpec, _plan: Plan,
) -> tuple[Skipped, ...]:  # fmt: skip
    """Return the layers left out in structured mode: the same at every sparsity."""
    return skipped(model_cache.load(source).model, _spec, (), _plan)


def of_view(source: Source, view: View) -> tuple[Skipped, ...]:
    """Return the modules that take no part in a cut."""
    if isinstance(view.cut, Plan):
        plan = view.cut
        moving = tuple(group.id for group in plan.groups)
        return _structured(source, view.spec.layers, tuple(plan.limits), plan.blocks, moving, view.spec, plan)
    return _masked(source, view.spec.mode, tuple(view.cut), view.spec.layers is None)


def of_all(source: Source, view: View) -> str:
    """Say which share of all parameters goes, and how much of the model takes no part where that is more than norms."""
    before, after = view.params
    said = f"{percent(1 - after / before)} of all {count(before)} parameters {'are zero' if view.what == 'weights' else 'go'}"
    out = sum(module.parameters for module in of_view(source, view)) / before
    return f"{said}. What takes no part, listed below, holds {percent(out)} of all." if out >= TELLING else f"{said}."


def expander(modules: Sequence[Skipped], params: int) -> None:
    """List modules that take no part."""
    if not modules:
        return
    out = sum(module.parameters for module in modules)
    title = f"What takes no part: {plural(len(modules), 'module')}, {percent(out / params)} of all parameters"
    with st.expander(title, icon=":material/remove_selection:"):
        frame = _table(tuple(modules), params)
        column = st.column_config
        st.dataframe(
            frame, hide_index=True, height="content" if len(frame) <= 10 else 390,
            alt="Modules that take no part, and why",
            column_config={
                "module": column.TextColumn("Module"),
                "type": column.TextColumn("Type", width="small"),
                "params": column.NumberColumn("Parameters", format="localized", width="small"),
                "share": show.share("Share of parameters", width=115),
                "why": column.TextColumn("Why", width="large"),
            },
        )  # fmt: skip


@lru_cache(24)
def _table(modules: tuple[Skipped, ...], params: int) -> pd.DataFrame:
    """Return the rows that are listed; the same at every move of a slider."""
    frame = pd.DataFrame(grouped(modules), columns=["module", "type", "params", "why"])
    frame["type"] = frame["type"].map(kind)
    frame.insert(3, "share", frame["params"] / params)
    return show.in_percent(frame, "share")


def of_layers(loaded: Loaded) -> None:
    """List on the Layers page what stands in no row of its table."""
    modules = _masked(loaded.source, "unstructured", loaded.layers, True)
    expander([module for module in modules if module.name not in loaded.every], model_cache.counts_of(loaded.source).params)
