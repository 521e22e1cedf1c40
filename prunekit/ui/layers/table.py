"""The Layers page: the table of layers, and the distributions of what is selected."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from prunekit.errors import PrunekitError
from prunekit.formatting import count, percent, plural, shape
from prunekit.plots.weight_histograms import multiples, norms, overlay
from prunekit.ui.components import show, weight_bins
from prunekit.ui.shared import cuts, model_cache
from prunekit.ui.shared.model_cache import Loaded
from prunekit.ui.state import session
from prunekit.ui.state.settings import Settings

MOST_OVERLAID = 6
KINDS = {"NonDynamicallyQuantizableLinear": "Linear", "MultiheadAttention": "Attention"}
MOST_MULTIPLES = 40
NOUGHT = 1e-6
"""Share of the strongest norm below which one is as good as zero: weight decay leaves such rows of a table that nothing looks up."""


def table(now: Settings, loaded: Loaded) -> tuple[str, ...]:
    """Show the layers; return those that are selected."""
    frame = model_cache.layer_frame(loaded.source)
    partners = _partners(loaded)
    shown = pd.DataFrame(
        {
            "layer": frame["name"],
            "type": [kind(name) for name in frame["type"]],
            "shape": [shape(s) for s in frame["shape"]],
            "params": frame["params"],
            "share": frame["share"],
            "macs": frame["macs"],
            "cost": frame["macs"] / max(int(frame["macs"].sum()), 1),
            "with": [partners.get(name, "") for name in frame["name"]],
        }
    )
    if not shown["with"].any():
        shown = shown.drop(columns="with")
    config = {
        "layer": show.text_column("Layer", shown["layer"], most=120, pinned=True),
        "type": show.text_column("Type", shown["type"], most=90),
        "shape": st.column_config.TextColumn("Shape", width=115, help="outputs × inputs × kernel"),
        "params": st.column_config.NumberColumn("Parameters", format="localized", width=85),
        "share": show.share("Share of parameters", width=125),
        "macs": st.column_config.NumberColumn("MACs", format="localized", width=70),
        "cost": show.share("Share of MACs", width=95),
        "with": st.column_config.TextColumn("Together with", width=110),
    }
    # the table keeps its own selection: where the address says another, it is another table
    key = f"layer_table_{loaded.source.name}_{loaded.source.upload}_{session.times_read()}"
    places = list(frame.index)
    wanted = [place for place in now.pick if place in places]
    st.dataframe(
        show.in_percent(shown, "share", "cost"), column_config=config, hide_index=True, height="content" if len(shown) <= 12 else 430,
        key=key,
        on_select=partial(_take_rows, key, places), selection_mode="multi-row",
        selection_default={"selection": {"rows": [places.index(place) for place in wanted]}},
        alt="Layers that can be pruned, with their parameters and MACs",
    )  # fmt: skip
    st.caption(
        f"{heaviest(frame)} {plural(len(frame), 'layer')} hold {_of_all(loaded, int(frame['params'].sum()))}, counted. Select rows to see "
        "their weights."
    )
    return tuple(loaded.every[place] for place in wanted)


def heaviest(frame: pd.DataFrame) -> str:
    """Say which layers hold most of the parameters and which take most of the MACs, from the rows of the table.

    ``frame``: columns ``name``, ``share`` (of all parameters) and ``macs``.
    """
    work = frame["macs"] / max(int(frame["macs"].sum()), 1)
    most, dear = frame.loc[frame["share"] == frame["share"].max(), "name"], frame.loc[work == work.max(), "name"]
    said = f"{_named(most, 'holds', 'hold')} {percent(float(frame['share'].max()))} of the parameters{_each(most)}; "
    said += f"{_named(dear, 'takes', 'take')} {percent(float(work.max()))} of the MACs{_each(dear)}."
    two = " Removing weights where they are many and removing work where it is done are two things."
    return said + ("" if set(most) & set(dear) else two)


def _named(names: pd.Series, one: str, many: str) -> str:
    """Return a layer and how many others share its place, with the verb."""
    return f"**{names.iloc[0]}** {one}" if len(names) == 1 else f"**{names.iloc[0]}** and {len(names) - 1} more {many}"


def _each(names: pd.Series) -> str:
    """Return what tells a share of each from a share of all together."""
    return " each" if len(names) > 1 else ""


def _of_all(loaded: Loaded, held: int) -> str:
    """Return how many parameters the layers hold, of those that the model has: norms and others are in none of them."""
    every = model_cache.counts_of(loaded.source).params
    return f"all {count(every)} parameters" if held == every else f"{count(held)} of the model's {count(every)} parameters"


def kind(name: str) -> str:
    """Return the class of a layer as people call it."""
    return KINDS.get(name, name)


def _take_rows(key: str, places: Sequence[int]) -> None:
    """Carry the selected rows into the settings."""
    rows = st.session_state[key]["selection"]["rows"]
    session.change(pick=tuple(sorted(places[int(row)] for row in rows)))


def _partners(loaded: Loaded) -> dict[str, str]:
    """Return for each layer the others that shrink together with it; nothing where the model cannot be traced."""
    try:
        graph = cuts.graph(loaded.source)
    except PrunekitError:
        return {}
    found: dict[str, str] = {}
    for group in graph.groups:
        for name in group.layers:
            others = [other for other in group.layers if other != name]
            found[name] = ", ".join(filter(None, [found.get(name, ""), *others[:4], f"{len(others) - 4} more" if len(others) > 4 else ""]))
    return found


def distributions(now: Settings, loaded: Loaded, selected: tuple[str, ...]) -> None:
    """Show how the weights of the selected layers, or of all, are distributed."""
    show.section("How are the weights distributed?")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        view = st.segmented_control(
            "View", ["overlay", "multiples"], required=True, label_visibility="collapsed",
            format_func={"overlay": "Over each other", "multiples": "Side by side"}.__getitem__, **session.bind("view", start="default"),
        )  # fmt: skip
        scale = st.segmented_control(
            "Scale", ["linear", "log"], required=True, label_visibility="collapsed",
            format_func={"linear": "Linear", "log": "Logarithmic"}.__getitem__, **session.bind("scale", start="default"),
        )  # fmt: skip
    if view == "multiples":
        _multiples(loaded, selected, scale == "log")
    else:
        _overlay(loaded, selected, scale == "log")


def _multiples(loaded: Loaded, selected: tuple[str, ...], log: bool) -> None:
    """Draw every selected layer, or all of them, in a picture of its own."""
    names = (selected or loaded.every)[:MOST_MULTIPLES]
    found = weight_bins.distributions(loaded.source, names)
    rest = len(selected or loaded.every) - len(names)
    caption = spread(found) + (f" The first {len(names)} are shown; select rows to see others ({rest} more)." if rest else "")
    show.chart(multiples(found, log=log, dark=show.dark()), "multiples", caption)


def spread(found: Sequence[Any]) -> str:
    """Say which layer has the widest weights and which the narrowest, of histograms with a ``name`` and a ``std``."""
    wide, narrow = max(found, key=lambda b: b.std), min(found, key=lambda b: b.std)
    if len(found) == 1:
        return f"The weights of **{wide.name}** have a standard deviation of {wide.std:.2g}."
    if wide.std < 1.05 * narrow.std:
        return f"Same bins and same axes for all: their weights are about as wide (standard deviation {narrow.std:.2g} to {wide.std:.2g})."
    return (
        f"Same bins and same axes for all: **{wide.name}** has the widest weights (standard deviation {wide.std:.2g}), "
        f"**{narrow.name}** the narrowest ({narrow.std:.2g}). One threshold for all would hit the narrow ones first."
    )


def _overlay(loaded: Loaded, selected: tuple[str, ...], log: bool) -> None:
    """Draw the selected layers over each other, and their filters by norm."""
    names = (selected or _biggest(loaded))[:MOST_OVERLAID]
    found = weight_bins.distributions(loaded.source, names)
    left, right = st.columns(2, gap="medium")
    with left:
        show.chart(overlay(found, log=log, dark=show.dark()), "overlay", _overlay_caption(found, selected, len(selected) - len(names)))
    with right:
        frame = weight_bins.norms(loaded.source, names)
        show.chart(norms(frame, dark=show.dark()), "norms", _norms_caption(frame))


def _biggest(loaded: Loaded) -> tuple[str, ...]:
    """Return the layer with the most parameters: what is shown before anything is selected."""
    frame = model_cache.layer_frame(loaded.source)
    return (str(frame.loc[frame["params"].idxmax(), "name"]),)


def _overlay_caption(found: list[Any], selected: tuple[str, ...], rest: int) -> str:
    """Say how much of the first layer is near zero."""
    first = found[0]
    centres = (first.edges[:-1] + first.edges[1:]) / 2
    near = float(first.counts[abs(centres) < first.std / 2].sum()) / max(int(first.counts.sum()), 1)
    start = "" if selected else "The biggest layer; select rows above to see others. "
    return (
        f"{start}{percent(near, 0)} of the weights of **{first.name}** are closer to zero than half a standard deviation: the first to go "
        "by magnitude. Bins are shared; the outermost bars hold what lies beyond."
        + (f" {rest} more selected layers are not drawn." if rest > 0 else "")
    )


def _norms_caption(frame: pd.DataFrame) -> str:
    """Say how many filters, outputs or rows are weak, and whether there is a knee."""
    name, unit = str(frame["layer"].iloc[0]), str(frame["unit"].iloc[0])
    values = frame.loc[frame["layer"] == name, "norm"]
    weak, strongest, weakest = int((values < 0.5).sum()), float(values.max()), float(values.min())
    zero = not weakest > NOUGHT * strongest
    verdict = (
        f"no {unit} is much weaker than the rest"
        if not weak
        else f"{weak:,} of {len(values):,} {unit}s {'has' if weak == 1 else 'have'} less than half the mean norm"
    )
    spread = "the weakest is as good as zero" if zero else f"the strongest is {strongest / weakest:.3g} times the weakest"
    return f"L1 norms of whole {unit}s. In **{name}** {verdict}; {spread}. A knee shows where {unit}s can go."
