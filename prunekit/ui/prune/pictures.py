"""The pictures of the cut on the Prune page: all layers beside each other, and the cut through their scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import pandas as pd
import streamlit as st

from prunekit.criteria.methods import CRITERIA
from prunekit.formatting import percent, plural
from prunekit.plots.filters import ranked, strip
from prunekit.plots.layer_bars import MOST_NAMED, by_layer
from prunekit.plots.weight_histograms import cut
from prunekit.ui.components import show, weight_bins
from prunekit.ui.prune import embedding_rows
from prunekit.ui.shared import cuts
from prunekit.ui.shared.cuts import View
from prunekit.ui.shared.model_cache import Loaded
from prunekit.ui.state import session
from prunekit.ui.state.settings import Settings


def pictures(now: Settings, loaded: Loaded, view: View) -> None:
    """Draw the removed share by layer, and the cut through the scores."""
    left, right = st.columns([1, 1], gap="medium")
    with left:
        show.section("What goes in each layer?")
        fig = by_layer(view.frame, what=view.what, dark=show.dark())
        with st.container(height=560 if 26 < len(view.frame) <= MOST_NAMED else "content", border=False):
            show.chart(fig, "by_layer", "", alt="Share kept and removed in each layer", on_select=_take_bar, selection_mode="points")
        st.caption(layers_caption(view.frame, view.what))
    with right:
        if view.rows_alone:
            embedding_rows.section(view)
        else:
            _focus(now, loaded, view)


def _take_bar() -> None:
    """Look at the layer whose bar was clicked."""
    chosen = st.session_state["by_layer"]["selection"]["points"]
    if chosen and "customdata" in chosen[0]:
        data = chosen[0]["customdata"]
        session.change(focus=int(data[0] if isinstance(data, list) else data["0"]))


def _focus(now: Settings, loaded: Loaded, view: View) -> None:
    """Show the cut through all layers or through one."""
    show.section("The weights and the cut" if view.what == "weights" else "The channels and the cut")
    names = dict(view.frame["name"])
    options = [-1, *[place for place in names if bool(view.frame.at[place, "ticked"])]]
    if now.focus not in options:
        options.append(now.focus if now.focus in names else -1)
    options = list(dict.fromkeys(options))
    st.selectbox(
        "Look at", options, format_func=lambda place: names.get(place, "All ticked layers together"),
        label_visibility="collapsed", **session.bind("focus", start=options, show=lambda place: place if place in names else -1),
    )  # fmt: skip
    name = names.get(now.focus)
    if name is not None and view.frame.at[now.focus, "after"][0] == 0:
        show.empty(f"{name} goes with its whole block.", "layers_clear")
    elif name is not None and view.what == "channels" and not view.frame.at[now.focus, "gone"] and view.frame.at[now.focus, "inputs"] > 0:
        share = percent(float(view.frame.at[now.focus, "inputs"]))
        show.empty(f"{name} keeps all its channels and loses {share} of its inputs, which the layers before no longer deliver.", "input")
    elif name is not None and not bool(view.frame.at[now.focus, "ticked"]):
        show.empty(
            f"{name} is not ticked, or cannot lose {view.what}: nothing is cut here. Tick it in the table below, or look at another."
        )
    elif view.what == "weights":
        _weights(loaded, view, name)
    else:
        _channels(loaded, view, name)


def _weights(loaded: Loaded, view: View, name: str | None) -> None:
    """Draw the distribution with the removed part in vermilion."""
    ticked = tuple(view.frame.loc[view.frame["ticked"], "name"])
    found = weight_bins.cut_bins(loaded.source, view, name, ticked)
    log = st.toggle("Logarithmic counts", **session.bind("scale", show=lambda s: s == "log", take=lambda on: "log" if on else "linear"))
    show.chart(cut(found, log=bool(log), dark=show.dark(), height=380), "cut", _cut_caption(view, found.threshold, name))


def _cut_caption(view: View, threshold: float | None, name: str | None) -> str:
    """Say where the cut lies."""
    row = view.frame.set_index("name").loc[name] if name else None
    gone, everything = (int(row["gone"]), int(row["all"])) if row is not None else (view.gone, view.chosen)
    what = f"of {name}" if name else "of the ticked layers"
    if view.spec.mode == "nm":
        return (
            f"Within each block of {(view.spec.pattern or '').partition(':')[2]} the weakest go, so a weight stays or goes by its "
            f"neighbours and there is no single line: {gone:,} of {everything:,} weights {what} are removed."
        )
    if CRITERIA[view.spec.criterion].random:
        return f"A random choice takes about the same share of small and of large weights: {gone:,} of {everything:,} {what}."
    if not gone:
        return "Nothing is removed at this setting."
    if not CRITERIA[view.spec.criterion].by_size:
        return (
            f"{CRITERIA[view.spec.criterion].title} looks at more than the size of a weight, so large ones may go and small ones stay: "
            f"{gone:,} of {everything:,} weights {what} are removed."
        )
    if threshold is None:
        return (
            f"The layers do not all share one threshold, so there is no single line: {gone:,} of {everything:,} weights {what} are removed."
        )
    return (
        f"All weights {what} with a magnitude below {threshold:.3g} become zero: {gone:,} of {everything:,} ({percent(gone / everything)})."
    )


def _channels(loaded: Loaded, view: View, name: str | None) -> None:
    """Draw channels as strips, or one layer's channels by importance."""
    if name is None:
        kept = cuts.kept_channels(view)
        with st.container(height=520 if len(kept) > 24 else "content", border=False):
            show.chart(strip(kept, dark=show.dark()), "strip", "", alt="Channels kept and removed in each layer")
        st.caption(_strip_caption(view))
        return
    frame = cuts.layer_scores(view, name)
    left = int(frame["kept"].sum())
    caption = (
        f"**{name}** keeps {left} of {len(frame)} channels. A score of 1 is an average channel of its layer; "
        "coupled layers share one score."
    )
    show.chart(ranked(frame, dark=show.dark(), height=380), "ranked", caption)


def _strip_caption(view: View) -> str:
    """Say how the layers change shape."""
    rows = view.frame[(view.frame["gone"] > 0) & ~in_removed_block(view.frame)]
    blocks = with_blocks(view.frame)
    if rows.empty:
        return blocks.strip() or "No channel is removed at this setting."
    row = rows.loc[rows["removed"].idxmax()]
    return (
        f"Every cell is a channel. {plural(len(rows), 'layer')} {'loses' if len(rows) == 1 else 'lose'} channels; **{row['name']}** "
        f"goes from {row['all']} channels to {row['all'] - row['gone']}.{blocks}"
    )


def layers_caption(frame: pd.DataFrame, what: str) -> str:
    """Say which layers lose most and least, and which lose inputs."""
    every = list(frame.itertuples())
    rows = [row for row in every if row.ticked and row.after[0]]
    blocks, fed = with_blocks(frame), _inputs(every)
    if not any(row.gone for row in rows):
        return f"{blocks}{fed}".strip() or "Nothing is removed at this setting."
    grey = sum(not row.ticked for row in every)
    end = fed + blocks + (f" Grey: {plural(grey, 'layer')} not ticked." if grey else "") + _held(rows)
    end += " Click a bar to look at its layer." if len(every) > 1 else ""
    most, least = max(rows, key=attrgetter("removed")), min(rows, key=attrgetter("removed"))
    if len(rows) == 1:
        return f"**{most.name}** loses {percent(most.removed)} of its {what}.{end}"
    if math.isclose(float(most.removed), float(least.removed), abs_tol=0.01):
        who = "Every layer loses" if len(rows) == len(every) else f"{plural(len(rows), 'layer')} lose"
        return f"{who} about {percent(most.removed)} of {'its' if len(rows) == len(every) else 'their'} {what}.{end}"
    return f"**{most.name}** loses most ({percent(most.removed)} of its {what}), **{least.name}** least ({percent(least.removed)}).{end}"


def _inputs(rows: Sequence[Any]) -> str:
    """Say which layers lose inputs, and which of them nothing else."""
    fed = [row for row in rows if getattr(row, "inputs", 0) > 0 and row.after[0]]
    tables = [row for row in fed if getattr(row, "table", False)]
    fed = [row for row in fed if row not in tables]
    only, both = [row for row in fed if not row.gone], [row for row in fed if row.gone]
    text = f" Rows go from {', '.join(f'**{row.name}** ({percent(row.inputs)})' for row in tables)}." if tables else ""
    if only:
        top = max(only, key=attrgetter("inputs"))
        share, which = percent(top.inputs), "which the layers before no longer deliver"
        some = f"{plural(len(only), 'layer')} lose only inputs, **{top.name}** most ({share}), {which}"
        text += f" {some}." if len(only) > 1 else f" **{top.name}** loses only inputs, {share} of them, {which}."
    if both:
        top = max(both, key=attrgetter("inputs"))
        share = percent(top.inputs)
        some = f"{plural(len(both), 'layer')} lose both outputs and inputs, **{top.name}** most inputs ({share})"
        text += f" {some}." if len(both) > 1 else f" **{top.name}** loses inputs, too ({share})."
    across = " or ".join(name for name, there in (("inputs", only or both), ("rows of a table", tables)) if there)
    return f"{text} A bar is a layer's matrix: outputs along it, {across} across." if text else ""


def in_removed_block(frame: pd.DataFrame) -> pd.Series:
    """Return which layers go with a whole block."""
    return frame["after"].map(lambda shape: shape[0] == 0)


def with_blocks(frame: pd.DataFrame) -> str:
    """Say how many layers go with whole blocks."""
    gone = int(in_removed_block(frame).sum())
    return f" {plural(gone, 'layer')} {'goes' if gone == 1 else 'go'} with whole blocks." if gone else ""


def _held(rows: Sequence[Any]) -> str:
    """Say which layers their cap holds: not one weight or channel more could go."""
    names = [str(row.name) for row in rows if row.gone + 1 > row.cap * row.all]
    if not names:
        return ""
    return (
        f" **{', '.join(names[:3])}**{f' and {len(names) - 3} more' if len(names) > 3 else ''} {'are' if names[1:] else 'is'} at the cap."
    )
