"""The picture of "Quality vs sparsity": live while points arrive, and what to notice in it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from prunekit.errors import DataError
from prunekit.evaluation.quality import Evaluation, chance_sentence
from prunekit.evaluation.sweep import SweepPoint
from prunekit.formatting import percent
from prunekit.models.cost import Counts
from prunekit.plots.quality_curves import quality_curves
from prunekit.tasks.classification import ACCURACY
from prunekit.tasks.metrics import HIGHER, PERCENT, Metric
from prunekit.tasks.protocol import Task
from prunekit.tasks.wording import loss_text, written
from prunekit.ui import routes
from prunekit.ui.accuracy.sweeps import Line
from prunekit.ui.components import show
from prunekit.ui.components.metric_controls import allowed
from prunekit.ui.shared import measuring
from prunekit.ui.state import session
from prunekit.ui.state.settings import OWN, PLAIN, Settings

COUNTED = ("requested", "sparsity", "ratio", "params", "macs", "bytes")
COLUMNS = ["setting", *COUNTED, "value", "low", "high", "n", "seeds", "least", "most", "about"]
PICTURES = {"PNG": "png", "SVG": "svg"}


def whole_of(lines: list[Line]) -> Evaluation | None:
    """Return what was measured of the dense model; None as long as nothing was."""
    return next((point.accuracy for line in lines for point in line.points() if not point.requested), None)


def frame_of(lines: list[Line], dense: Counts, metric: Metric | None = None) -> pd.DataFrame:
    """Return all points that are there so far, one row a sparsity of a setting: of several seeds the mean, and their spread.

    A metric beside the headline leaves out points at which it is undefined.
    """
    rows = [row for line in lines for row in _rows(line, dense, metric)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _rows(line: Line, dense: Counts, metric: Metric | None) -> list[tuple[Any, ...]]:
    """Return the points of one setting, the dense model first."""
    by_place: dict[float, list[SweepPoint]] = {}
    for point in line.points():
        with suppress(DataError):
            told = point if metric is None else replace(point, accuracy=point.accuracy.under(metric))
            by_place.setdefault(point.requested, []).append(told)
    return [_row(line, found, dense) for found in by_place.values()]


def _row(line: Line, found: list[SweepPoint], dense: Counts) -> tuple[Any, ...]:
    """Return one row; the interval is that of the images, about the mean of the seeds."""
    first = found[0]
    values = np.array([point.accuracy.value for point in found])
    shift, share = float(values.mean()) - first.accuracy.value, first.accuracy.metric.unit == PERCENT
    low, high = first.accuracy.low + shift, first.accuracy.high + shift
    several = len(found) > 1
    counts, at = first.counts, percent(first.requested)
    return (
        line.name, first.requested, first.sparsity, dense.params / max(counts.nonzero, 1), counts.nonzero,
        counts.effective_macs / max(dense.macs, 1), first.bytes, float(values.mean()), max(0.0, low) if share else low,
        min(1.0, high) if share else high, first.accuracy.n, len(found), float(values.min()) if several else np.nan,
        float(values.max()) if several else np.nan, "dense" if not first.requested else f"{line.name} at {at}",
    )  # fmt: skip


def picture(  # noqa: PLR0917 (what is picked, and what was measured of it)
    now: Settings, lines: list[Line], split: str, dense: Counts, task: Task, metric: Metric | None
) -> None:
    """Draw the curves; while something is measured, again and again."""
    busy = any(line.busy for line in lines)
    st.fragment(_draw, run_every=1.0 if busy else None, key="sweep_picture")(now, lines, split, dense, task=task, metric=metric, busy=busy)


def _draw(now: Settings, lines: list[Line], split: str, dense: Counts, *, task: Task, metric: Metric | None, busy: bool) -> None:
    """Draw progress and what has been measured so far."""
    with show.slot():
        _progress(lines)
    frame, whole = frame_of(lines, dense, metric), whole_of(lines)
    if frame.empty or whole is None:
        if not busy:
            show.empty(
                "Nothing has been measured yet. Press **Measure**: points appear one by one, and you can go on working meanwhile.",
                "show_chart",
            )
    else:
        base = float(frame.loc[frame["requested"] == 0, "value"].iloc[0])
        whole = whole if metric is None else whole.under(metric)
        with show.slot():
            show.doubts([chance_sentence(whole)])
        fig = quality_curves(
            frame, x=now.across, dense=base, drop=now.down == "drop", within=allowed(now, whole.metric, base), metric=whole.metric,
            chance=whole.chance, names=[line.name for line in lines], dark=show.dark(),
        )  # fmt: skip
        form = str(st.session_state.get("picture_form") or "PNG")
        event = show.chart(
            fig, "curves", caption(frame, split, whole.metric, task.units_of_data),
            config=show.saved_as(PICTURES[form], f"{whole.metric.name}-vs-sparsity"), on_select="rerun", selection_mode="points",
        )  # fmt: skip
        _open(event, lines)
    if busy and not any(line.busy for line in lines):
        st.rerun()


def _progress(lines: list[Line]) -> None:
    """Show how far each setting is, with Cancel, and why one failed."""
    for line in lines:
        job = line.job
        if job is not None and job.active:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.progress(job.fraction, text=f"{show.plain(job.title)}: {show.plain(measuring.standing(job))}")
                st.button("Cancel", key=f"cancel_{job.key}", icon=":material/close:", on_click=measuring.stop, args=(job.key,))
        elif job is not None:
            measuring.ended(job, job.title)
        if job is not None and job.warning:
            st.warning(show.plain(job.warning), icon=":material/save_as:")


def _open(event: Any, lines: list[Line]) -> None:
    """Offer to open the point that was clicked on the Prune page."""
    points = event["selection"]["points"] if event else []
    picked = next((point["customdata"] for point in points if point.get("customdata")), None)
    if picked is None or not 0 <= int(picked[0]) < len(lines):
        return
    line, requested = lines[int(picked[0])], float(picked[1])
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{line.name}** at {percent(requested)}")
        if st.button("Open on the Prune page", key="open_point", icon=":material/content_cut:"):
            adopt(line, requested)
            st.switch_page(routes.page("prune"))


def adopt(line: Line, requested: float) -> None:
    """Take the setting of a point."""
    curve = line.curve
    if session.settings().mode != curve.mode:
        session.change_mode(curve.mode)
    own = {"targets": ()} if curve.chosen else {name: getattr(PLAIN, name) for name in OWN}  # a curve is measured without targets
    session.change(criterion=curve.criterion, scope=curve.scope, sparsity=min(round(requested, 6), 0.995), **own)


def caption(frame: pd.DataFrame, split: str, metric: Metric = ACCURACY, units: str = "images") -> str:
    """Say what to notice in the curves."""
    n = int(frame["n"].iloc[0])
    last = frame[frame["requested"] > 0]
    if last.empty:
        return f"The dense model, measured on {n:,} {split} {units}; points follow."
    higher = metric.better == HIGHER
    low = last.loc[last["value"].idxmin() if higher else last["value"].idxmax()]
    text = (
        f"Measured on {n:,} {split} {units}; bands are 95\u202f% intervals. {'Lowest' if higher else 'Highest'}: "
        f"{written(metric, float(low['value']))} at {percent(low['sparsity'])} ({low['setting']})."
    )
    if last["least"].notna().any():
        wide = (last["most"] - last["least"]).max()
        text += f" Bars span {int(last['seeds'].max())} seeds, at most {loss_text(metric, float(wide))}."
    order = _by_average(last, metric)
    if len(order) > 1:
        (least, low_average), (most, high_average) = order[0], order[-1]
        if abs(high_average - low_average) <= float((last["high"] - last["low"]).mean()) / 2:
            return f"{text} From 50\u202f% on the settings keep about as much on average: their intervals overlap."
        text += f" From 50\u202f% on, {most} keeps most on average and {least} least, as far as both were measured."
    return text


def _by_average(points: pd.DataFrame, metric: Metric) -> list[tuple[str, float]]:
    """Return the settings with their average quality over the sparsities from 50 % on that all of them cover, worst first."""
    groups = {str(name): rows.sort_values("sparsity") for name, rows in points.groupby("setting", sort=False)}
    last = min(float(rows["sparsity"].max()) for rows in groups.values())
    if last <= 0.5:
        return []
    grid = np.linspace(0.5, last, 50)
    averages = {name: float(np.interp(grid, rows["sparsity"], rows["value"]).mean()) for name, rows in groups.items()}
    return sorted(averages.items(), key=lambda pair: pair[1], reverse=metric.better != HIGHER)
