"""What takes no part in a setting, on the Prune page and on the Layers page: how much of the model that is, and why."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from prunekit.config.spec import PruneSpec
from prunekit.formatting import count, percent, plural
from prunekit.pruning.skipped import Skipped, grouped, skipped
from prunekit.pruning.structured.plan import Plan
from prunekit.ui.components import columns
from prunekit.ui.layers.table import kind
from prunekit.ui.shared import model_cache
from prunekit.ui.shared.cache import shared
from prunekit.ui.shared.cuts import View
from prunekit.ui.shared.model_cache import Loaded, Source

TELLING = 0.05  # of the parameters: less takes no part in any network with norms


@shared(24)
def _masked(source: Source, mode: str, chosen: tuple[str, ...], every: bool) -> tuple[Skipped, ...]:
    """Return what is left out where single weights go."""
    return skipped(model_cache.load(source).model, PruneSpec(mode=mode, layers=None if every else chosen), chosen)


@shared(24)
def _structured(
    source: Source, layers: tuple[str, ...] | None, limits: tuple[str, ...], blocks: tuple[str, ...], moving: tuple[str, ...],
    _spec: PruneSpec, _plan: Plan,
) -> tuple[Skipped, ...]:  # fmt: skip
    """Return what is left out where channels go: it follows from what could go, whatever the share."""
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
    return f"{said}; {percent(out)} of them take no part, listed below." if out >= TELLING else f"{said}."


def expander(modules: Sequence[Skipped], params: int) -> None:
    """List modules that take no part.

    Parameters
    ----------
    modules : sequence of Skipped
        Which.
    params : int
        Parameters of the whole model.
    """
    if not modules:
        return
    out = sum(module.parameters for module in modules)
    title = f"What takes no part: {plural(len(modules), 'module')}, {percent(out / params)} of all parameters"
    with st.expander(title, icon=":material/remove_selection:"):
        frame = pd.DataFrame(grouped(modules), columns=["module", "type", "params", "why"])
        frame["type"] = frame["type"].map(kind)
        frame.insert(3, "share", frame["params"] / params)
        column = st.column_config
        st.dataframe(
            columns.in_percent(frame, "share"), hide_index=True, height="content" if len(frame) <= 10 else 390,
            alt="Modules that take no part, and why",
            column_config={
                "module": column.TextColumn("Module"),
                "type": column.TextColumn("Type", width="small"),
                "params": column.NumberColumn("Parameters", format="localized", width="small"),
                "share": columns.share("Share of parameters", width=115),
                "why": column.TextColumn("Why", width="large"),
            },
        )  # fmt: skip


def of_layers(loaded: Loaded) -> None:
    """List on the Layers page what stands in no row of its table."""
    modules = _masked(loaded.source, "unstructured", loaded.layers, True)
    expander([module for module in modules if module.name not in loaded.every], model_cache.counts_of(loaded.source).params)
