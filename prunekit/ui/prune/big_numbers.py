"""The big numbers of the Prune page, the dense model's beside each, and what limits a setting."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from prunekit.evaluation.quality import Evaluation, chance_sentence
from prunekit.formatting import asked, by_times, count, listed, percent, plural, reached
from prunekit.pruning.result import UNITS
from prunekit.pruning.structured.plan import Plan
from prunekit.ui.components import left_out, show
from prunekit.ui.shared import baseline, data_cache, measuring
from prunekit.ui.shared.cuts import View
from prunekit.ui.shared.model_cache import Loaded
from prunekit.ui.start import input_fields
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
