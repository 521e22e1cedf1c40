"""The Prune page, upper half: the big numbers and the pictures of the cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from prunekit.criteria.methods import CRITERIA
from prunekit.evaluation.quality import Evaluation, chance_sentence
from prunekit.formatting import asked, by_times, count, listed, percent, plural, reached
from prunekit.plots.filters import ranked, strip
from prunekit.plots.layer_bars import MOST_NAMED, by_layer
from prunekit.plots.weight_histograms import cut
from prunekit.pruning.result import UNITS
from prunekit.pruning.structured.plan import Plan
from prunekit.ui.components import left_out, show, weight_bins
from prunekit.ui.prune import embedding_rows, one_layer
from prunekit.ui.shared import baseline, cuts, data_cache, measuring
from prunekit.ui.shared.cuts import View
from prunekit.ui.shared.model_cache import Loaded
from prunekit.ui.start import input_fields
from prunekit.ui.state import session
from prunekit.ui.state.settings import Settings


def numbers(now: Settings, loaded: Loaded, view: View | None, judged: tuple[Evaluation, Evaluation] | None) -> None:
    """Show the three big numbers, the dense model's beside each."""
    first, second, third = st.columns(3)
    with first:
        _removed(now, view)
    with second:
        if view is None:
            show.tile("Parameters", "—")
        else:
            before, after = view.params
            label = "Non-zero parameters" if view.what == "weights" else "Parameters"
            show.tile(label, count(after), "counted", f"dense {count(before)}, {percent(1 - after / before)} fewer")
    with third:
        _quality(now, loaded, judged)
    if view is not None:
        st.caption(_second_line(view, left_out.of_all(loaded.source, view)))
    with show.slot():
        _doubts(now, loaded, judged)


def _doubts(now: Settings, loaded: Loaded, judged: tuple[Evaluation, Evaluation] | None) -> None:
    """Say what was guessed, and which qualities are no better than chance."""
    before, after = judged or (baseline.figure(now, loaded), None)
    guessed = loaded.guesses(data_cache.data_here(now, loaded)) if input_fields.are_asked(now) else ()
    show.doubts([chance_sentence(before, after), *guessed])


WHOLE = " stays whole: "
MOST_WHOLE = 3
KINDS = {"channels": "channels", "heads": "heads", "head dimensions": "dimensions", "experts": "experts"}
OF_WHAT = {
    "weights": "of the ticked layers",
    "channels": "of the ticked layers",
    **dict.fromkeys(("params", "macs", "bytes"), "of the model"),
    "rows": "of the tables that may lose some",
}


def _removed(now: Settings, view: View | None) -> None:
    """Show the sparsity, requested beside achieved, in the unit that is counted."""
    if view is None:
        show.tile("Removed", "—")
        return
    unit = _unit(view)
    label = f"{unit[0].upper()}{unit[1:]} removed"
    exact = f"{view.gone:,} of {view.chosen:,}".replace(",", "\u202f")
    short = exact if view.chosen < 1_000_000 else f"{count(view.gone)} of {count(view.chosen)}"
    wanted = view.spec.rows if view.unit == "rows" else (view.spec.sparsity or 0) if now.mode == "nm" else now.sparsity
    told = reached(wanted, view.achieved)
    said = told if told.startswith("asked") else f"asked {asked(wanted)}"
    said = f"{now.pattern}: {said}" if now.mode == "nm" else said
    show.tile(label, percent(view.achieved), "counted", f"{said}; {short}", f"Exactly {exact} {unit} {OF_WHAT[view.unit]}.")


def _unit(view: View) -> str:
    """Return what is counted, in words: with heads among the units, those too."""
    kinds = {group.kind for group in view.cut.groups} if isinstance(view.cut, Plan) and view.unit == "channels" else set()
    if not kinds - {"channels"}:
        return UNITS[view.unit]
    named = [kind for kind in KINDS if kind in kinds and (kind != "head dimensions" or "channels" not in kinds)]
    return " and ".join(filter(None, (", ".join(KINDS[kind] for kind in named[:-1]), KINDS[named[-1]])))


def _quality(now: Settings, loaded: Loaded, judged: tuple[Evaluation, Evaluation] | None) -> None:
    """Show the quality afterwards, empty until it is measured."""
    figure, task = baseline.figure(now, loaded), measuring.task_here(now, loaded)
    dense = f"dense {show.plus_minus(figure.value, figure.low, figure.high, figure.metric)}" if figure else "dense not measured"
    if data_cache.data_name(now, loaded) == data_cache.NO_DATA:
        show.tile(task.headline.title, "—", "", "not measured: there are no data here")
        return
    if judged is None:
        show.tile(task.headline.title, "—", "", f"not measured yet; {dense}")
        return
    before, after = judged
    metric = after.metric
    below = f"{show.interval(after.low, after.high, after.n, metric)}; dense {before.text()}"
    note = f"95\u202f% interval ({show.interval_by(metric)}), on the test split; dense measured on the same {task.units_of_data}."
    show.tile(metric.title, after.text(), "measured", below, note)


def _second_line(view: View, of_all: str) -> str:
    """Say what the big numbers leave out: the share of the prunable weights, that of all parameters, and the work."""
    before, after = view.macs
    fewer = by_times(before, after, "fewer", "more", "unchanged") if after else "none left"
    if view.what == "weights":
        return (
            f"{percent(view.sparsity)} of all {count(view.prunable[0])} prunable weights are zero. {of_all} MACs of non-zero weights "
            f"{count(before)} → {count(after)} "
            f"({fewer}, counted): only a runtime that skips zeros gets anything from that. Dense MACs stay {count(before)}."
        )
    blocks = view.cut.blocks if isinstance(view.cut, Plan) else ()
    what = _unit(view) if view.unit == "channels" else "channels"
    what += " and rows" if isinstance(view.cut, Plan) and view.cut.rows else ""
    if view.rows_alone:
        return (
            f"{percent(view.sparsity)} of all {count(view.prunable[0])} prunable weights leave with the rows. {of_all} MACs stay "
            f"{count(before)}: looking a row up multiplies nothing."
        )
    whole = f" and {plural(len(blocks), 'whole block')}" if blocks else ""
    return (
        f"{percent(view.sparsity)} of all {count(view.prunable[0])} prunable weights leave with the {what}{whole}. {of_all} "
        f"MACs {count(before)} → {count(after)} "
        f"({fewer}, counted). How much faster that is, only a measurement tells: see Latency."
    )


def pictures(now: Settings, loaded: Loaded, view: View) -> None:
    """Draw the removed share by layer, and the cut through the scores."""
    left, right = st.columns([1, 1], gap="medium")
    with left:
        show.section("What goes in each layer?")
        fig = by_layer(view.frame, what=view.what, dark=show.dark())
        with st.container(height=560 if 26 < len(view.frame) <= MOST_NAMED else "content", border=False):
            show.chart(fig, "by_layer", "", alt="Share kept and removed in each layer", on_select=_take_bar, selection_mode="points")
        st.caption(one_layer.layers_caption(view.frame, view.what))
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
    rows = view.frame[(view.frame["gone"] > 0) & ~one_layer.in_removed_block(view.frame)]
    blocks = one_layer.with_blocks(view.frame)
    if rows.empty:
        return blocks.strip() or "No channel is removed at this setting."
    row = rows.loc[rows["removed"].idxmax()]
    return (
        f"Every cell is a channel. {plural(len(rows), 'layer')} {'loses' if len(rows) == 1 else 'lose'} channels; **{row['name']}** "
        f"goes from {row['all']} channels to {row['all'] - row['gone']}.{blocks}"
    )


def limits(view: View) -> None:
    """Show what stood in the way of the setting."""
    if not view.limits:
        return
    shown = [show.plain(limit) for limit in folded(view.limits)]
    if len(shown) == 1:
        st.warning(shown[0], icon=":material/block:")
        return
    with st.expander(f"What limits this setting ({len(shown)})", icon=":material/block:", expanded=len(shown) <= 3):
        st.markdown("\n".join(f"- {limit}" for limit in shown))


def folded(limits: Sequence[str]) -> list[str]:
    """Return sentences, those that say of several layers that they stay whole for one reason as one."""
    reasons: dict[str, list[str]] = {}
    for limit in dict.fromkeys(limits):
        name, mark, why = limit.partition(WHOLE)
        reasons.setdefault(why if mark else limit, []).append(name if mark else "")
    return [_of_all(why, names) if names[0] else why for why, names in reasons.items()]


def _of_all(why: str, names: Sequence[str]) -> str:
    """Say why some layers stay whole."""
    if len(names) == 1:
        return f"{names[0]}{WHOLE}{why}"
    each = f"each {why.removeprefix('it ')}" if why.startswith("it ") else why
    return f"{listed(names, MOST_WHOLE, 'layer')} stay whole: {each}"


def shapes(frame: pd.DataFrame) -> Any:
    """Return the changed shapes as text, ``64 → 44`` where a layer shrinks."""
    return [f"{b[0]} → {a[0]}" if b != a and b[0] != a[0] else str(b[0]) for b, a in zip(frame["before"], frame["after"], strict=True)]
