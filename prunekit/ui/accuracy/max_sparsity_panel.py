"""What the curves of "Quality vs sparsity" say: how far each setting can go, and every point in a table."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from prunekit.evaluation.max_sparsity import Furthest, furthest
from prunekit.experiments.jobs.board import key_of
from prunekit.experiments.max_sparsity_run import Answer, FurthestRequest
from prunekit.formatting import plural
from prunekit.tasks.metrics import PERCENT, Metric
from prunekit.tasks.protocol import Task
from prunekit.ui.accuracy.sweeps import Line
from prunekit.ui.components import metric_controls, show
from prunekit.ui.shared import measuring
from prunekit.ui.shared.model_cache import Loaded
from prunekit.ui.state.settings import Settings


def read_off(now: Settings, lines: list[Line], task: Task) -> None:
    """Say how far each setting can go for a given loss, and offer to find it exactly and to confirm it."""
    show.section("How far can it go?")
    dense = next(point.accuracy for line in lines for point in line.points() if not point.requested)
    units, loss = task.units_of_data, metric_controls.allowed(now, dense.metric, dense.value)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        metric_controls.ask(metric_controls.phrase(dense.metric), dense.metric, dense.value)
        requests = [FurthestRequest(line.request, loss) for line in lines]
        jobs = [measuring.job(key_of("furthest", request.to_dict())) for request in requests]
        open_ = [i for i, job in enumerate(jobs) if job is None or job.state in ("failed", "cancelled")]
        st.button(
            f"Find it to half a percent, confirm on test {units}", key="find_furthest", icon=":material/my_location:", disabled=not open_,
            on_click=_find, args=([(lines[i], requests[i]) for i in open_],),
            help=f"Measures between the points, on the same {units}, then once on all test {units}, which have chosen nothing.",
        )  # fmt: skip
    with show.slot():
        for job in jobs:
            if job is not None:
                measuring.panel(job.key)
    answers = [job.result if job is not None and job.state == "done" else None for job in jobs]
    found = [answer.found if answer is not None else _from_points(line, loss) for line, answer in zip(lines, answers, strict=True)]
    rows = [_row(line, f, answer) for line, f, answer in zip(lines, found, answers, strict=True) if f is not None]
    if rows:
        frame = pd.DataFrame(rows, columns=["setting", "sparsity", "drop", "confident", "test"])
        st.dataframe(frame, column_config=_columns(units), hide_index=True, alt="Greatest sparsity within the allowed loss, by setting")
        _say(lines, found, answers, units)


def _find(asked: list[tuple[Line, FurthestRequest]]) -> None:
    """Start the search for each setting; a button's callback."""
    for line, request in asked:
        measuring.ask("furthest", request.to_dict(), f"How far: {line.name}")


def _from_points(line: Line, allowed: float) -> Furthest | None:
    """Read the answer off measured points alone, each paired with the dense model."""
    points = [point for point in line.points() if point.seed == line.request.spec.seed or not point.requested]
    dense = next((point.accuracy for point in points if not point.requested), None)
    known = {point.requested: point.accuracy for point in points if point.requested and dense is not None and point.accuracy.n == dense.n}
    if dense is None or not known:
        return None
    highest = max(known)
    # between measured points nothing is measured here: the resolution is as wide as the whole range
    return furthest(lambda x: known[highest], dense, allowed, known=known, high=highest, resolution=0.999)


def _row(line: Line, found: Furthest, answer: Answer | None) -> tuple[Any, ...]:
    """Return one row of the table."""
    told = None if answer is None or answer.confirmation is None else answer.confirmation
    test = "" if told is None else ("✓ " if told.holds else "✗ ") + told.drop.sentence()
    return line.name, 100 * found.sparsity, found.drop.sentence(), "yes" if found.confident else "open", test


def _columns(units: str) -> dict[str, Any]:
    """Return how the columns of the answers look."""
    column = st.column_config
    return {
        "setting": column.TextColumn("Setting", width="medium"),
        "sparsity": column.NumberColumn("Removed", format="%.1f %%"),
        "drop": column.TextColumn(f"Against dense, same {units}"),
        "confident": column.TextColumn("95\u202f% sure", help="Whether the whole interval is within what you allow."),
        "test": column.TextColumn(f"On all test {units}"),
    }


def _say(lines: list[Line], found: list[Furthest | None], answers: list[Answer | None], units: str) -> None:
    """Say which setting goes furthest, and how that is known."""
    known = [(f.sparsity, place) for place, f in enumerate(found) if f is not None]
    best = max(known)[1]
    answer, furthest_ = answers[best], found[best]
    assert furthest_ is not None
    text = f"**{lines[best].name}**" + (" goes furthest" if furthest_.sparsity > 0 else "") + f": {furthest_.sentence}"
    if answer is None:
        text += " Read from measured points, not between them."
    elif answer.confirmation is not None:
        text += f" {answer.confirmation.sentence}"
    else:
        text += f" The same {units} chose and confirm here: there is no validation split, or the test split was picked."
    unlike = {line.curve.mode for line in lines} == {"structured", "unstructured"}
    st.caption(text + (" Shares are of weights here and of channels there: compare the two by MACs or parameters." if unlike else ""))


def _percent(frame: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """Return a table with its fractions as percent, for showing."""
    quality = ("value", "low", "high", "least", "most") if metric.unit == PERCENT else ()
    shares = [name for name in ("requested", "sparsity", "macs", *quality) if name in frame]
    return show.in_percent(frame, *shares)


def _config(metric: Metric) -> dict[str, Any]:
    """Return how the columns of the table of points look."""
    column = st.column_config
    form = "%.1f %%" if metric.unit == PERCENT else "%.4g"
    unit = f", {metric.unit}" if metric.unit not in ("", PERCENT) else ""
    return {
        "setting": column.TextColumn("Setting"),
        "requested": column.NumberColumn("Requested", format="%.1f %%"),
        "sparsity": column.NumberColumn("Removed", format="%.1f %%"),
        "ratio": column.NumberColumn("Compression ratio", format="%.2f×"),
        "value": column.NumberColumn(f"{metric.title}{unit}", format=form),
        "low": column.NumberColumn("95\u202f% from", format=form),
        "high": column.NumberColumn("to", format=form),
        "n": column.NumberColumn("n", format="localized"),
        "seeds": column.NumberColumn("Seeds"),
        "least": column.NumberColumn("Lowest seed", format=form),
        "most": column.NumberColumn("Highest seed", format=form),
        "params": column.NumberColumn("Non-zero parameters", format="localized"),
        "bytes": column.NumberColumn("Bytes", format="localized"),
        "macs": column.NumberColumn("Effective MACs, of dense", format="%.1f %%"),
        "about": None,
    }


def table(loaded: Loaded, frame: pd.DataFrame, split: str, metric: Metric) -> None:
    """Show every point, and hand them out."""
    ordered = frame.sort_values(["setting", "requested"], kind="stable")
    with st.expander(f"All {plural(len(frame), 'point')}", icon=":material/table:"):
        st.dataframe(_percent(ordered, metric), column_config=_config(metric), hide_index=True, alt="Every measured point")
    name = loaded.source.name.rpartition("/")[2]
    st.download_button(
        "Download as CSV", data=ordered.assign(split=split).to_csv(index=False), file_name=f"{name}-{metric.name}-vs-sparsity.csv",
        mime="text/csv",
        icon=":material/download:", on_click="ignore",
    )  # fmt: skip
