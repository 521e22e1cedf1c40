"""The page "Accuracy vs sparsity": several settings measured point by point, on one picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from prunekit import measure
from prunekit.catalog import Data
from prunekit.choices import criteria_of, scopes_of
from prunekit.jobs import Job, board
from prunekit.measure import Accuracy, SweepPoint
from prunekit.plots import accuracy_curves, run_colour
from prunekit.plots.text import percent
from prunekit.spec import PruneSpec
from prunekit.ui import controls, measuring, show, state
from prunekit.ui.fitting import MODES
from prunekit.ui.settings import Curve, Settings
from prunekit.ui.store import Loaded

MOST = 8
STEPS = {
    "unstructured": (0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.99),
    "structured": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
}
COLUMNS = ["setting", "requested", "sparsity", "value", "low", "high", "n", "params", "macs"]


def curves_of(now: Settings) -> tuple[Curve, ...]:
    """Return the curves that were picked, or the current setting alone."""
    return now.curves or (_mine(now),)


def _mine(now: Settings) -> Curve:
    """Return the setting of the Prune page as a curve; a pattern has none, single weights without it do."""
    return now.curve() if now.mode in STEPS else now.curve(mode="unstructured")


def label(curve: Curve) -> str:
    """Return what a curve is called."""
    return controls.name_of(curve.mode, curve.criterion, curve.scope) + (", as on Prune" if curve.chosen else "")


def split_of(now: Settings, data: Data) -> str:
    """Return the split to measure on: validation to choose by, where there is one."""
    if now.split == "test" or data.validation is None:
        return "test"
    return "validation"


def key_of(now: Settings, loaded: Loaded, curve: Curve, split: str) -> str:
    """Return the key of one curve's job."""
    return measuring.key_of("sweep", *measuring.of_data(now, loaded), now.spec(loaded.layers, curve).at(0.5), split)


def start(now: Settings, loaded: Loaded, data: Data, split: str) -> None:
    """Start measuring every curve that has not been measured; a button's callback."""
    for curve in curves_of(now):
        spec = now.spec(loaded.layers, curve)

        def work(job: Job, spec: PruneSpec = spec) -> tuple[Accuracy, list[SweepPoint]]:
            dense = measure.evaluate(loaded.model, getattr(data, split), cancel=job.cancel)
            job.add(dense)
            points = []
            # all the data: criteria look at training images, whichever split is measured on
            for point in measure.sweep(loaded.model, spec, STEPS[spec.mode], data, split=split, progress=job.progress, cancel=job.cancel):
                points.append(point)
                job.add(point)
            return dense, points

        measuring.start(key_of(now, loaded, curve, split), label(curve), work)


def button(now: Settings, loaded: Loaded, data: Data, split: str) -> None:
    """Show the button that measures what is missing."""
    jobs = [board().get(key_of(now, loaded, curve, split)) for curve in curves_of(now)]
    settled = all(job is not None and (job.active or job.state == "done") for job in jobs)
    busy = any(job is not None and job.active for job in jobs)
    label, icon = ("Measuring …", "hourglass_top") if settled and busy else ("Measured", "check") if settled else ("Measure", "speed")
    st.button(
        label, key="measure_curves", type="primary", icon=f":material/{icon}:", disabled=settled, on_click=start,
        args=(now, loaded, data, split), width="stretch",
    )  # fmt: skip


def rows_of(name: str, job: Job | None, macs: int) -> list[tuple[Any, ...]]:
    """Return the points of one curve that are there so far, the dense model first."""
    rows: list[tuple[Any, ...]] = []
    for item in list(job.partial) if job is not None else []:
        if isinstance(item, Accuracy):
            rows.append((name, 0.0, 0.0, item.value, item.low, item.high, item.n, None, 1.0))
        else:
            a, c = item.accuracy, item.counts
            rows.append((name, item.requested, item.sparsity, a.value, a.low, a.high, a.n, c.nonzero, c.effective_macs / max(macs, 1)))
    return rows


def frame_of(now: Settings, loaded: Loaded, split: str, macs: int) -> pd.DataFrame:
    """Return all points that are there so far."""
    rows = [row for curve in curves_of(now) for row in rows_of(label(curve), board().get(key_of(now, loaded, curve, split)), macs)]
    return pd.DataFrame(rows, columns=COLUMNS)


def choose(now: Settings) -> None:
    """Show the list of settings, and how to add one."""
    st.markdown("**Settings on the picture**")
    for place, curve in enumerate(curves_of(now)):
        name, away = st.columns([7, 1], vertical_alignment="center", gap="xsmall")
        name.html(f'<span style="color:{run_colour(place, show.dark())}">●</span> {label(curve)}')
        if now.curves:
            away.button(
                "",
                key=f"drop_{place}",
                icon=":material/close:",
                type="tertiary",
                on_click=_remove,
                args=(curve,),
                help="Take this setting away",
            )
    with st.popover("Add a setting", icon=":material/add:", disabled=len(curves_of(now)) >= MOST, width="stretch"):
        new = _new()
        st.button("Add", key="add_curve", type="primary", on_click=_add, args=(new,), disabled=new in curves_of(now))
    mine = _mine(now)
    if mine not in curves_of(now):
        st.button("Add the setting of the Prune page", icon=":material/content_cut:", on_click=_add, args=(mine,), width="stretch")
    if now.mode not in STEPS:
        instead = "" if now.curves else " Here its criterion is applied to single weights, the same share of each layer."
        st.caption(f"A pattern N:M has one sparsity, so it has no curve: measure its accuracy on the Prune page.{instead}")


def _new() -> Curve:
    """Show what a new curve can be, and return it."""
    mode = str(
        st.segmented_control("Mode", list(STEPS), format_func=MODES.__getitem__, default="unstructured", required=True, key="add_mode")
    )
    names, shares = list(criteria_of(mode)), list(scopes_of(mode))
    criterion = st.selectbox("Criterion", names, format_func=controls.criterion_name, key=f"add_criterion_{mode}")
    scope = st.selectbox("Scope", shares, format_func=controls.SCOPES.__getitem__, key=f"add_scope_{mode}")
    st.caption("N:M has one sparsity, so it has no curve.")
    return Curve(mode, str(criterion), str(scope))


def _add(curve: Curve) -> None:
    """Add a curve."""
    now = state.settings()
    state.change(curves=tuple(dict.fromkeys([*curves_of(now), curve]))[:MOST])


def _remove(curve: Curve) -> None:
    """Take a curve away."""
    state.change(curves=tuple(other for other in state.settings().curves if other != curve))


def split_choice(now: Settings, data: Data) -> str:
    """Show which split is used, and why."""
    if data.validation is None:
        st.caption(
            f"Measured on {len(data.test):,} test images: these data have no validation split, so the same images choose and confirm."
        )
        return "test"
    sizes = {"validation": f"Validation ({len(data.validation):,})", "test": f"Test ({len(data.test):,})"}
    chosen = st.segmented_control(
        "Measured on", list(sizes), format_func=sizes.__getitem__, required=True,
        help=(
            "Choose a sparsity by the validation split; keep the test split for the last word, otherwise it "
            "flatters what was chosen on it."
        ),
        **state.bind("split", show=lambda s: s or "validation", take=lambda s: "" if s == "validation" else s),
    )  # fmt: skip
    return str(chosen)


def active(now: Settings, loaded: Loaded, split: str) -> bool:
    """Return whether any curve is being measured or waits for its turn."""
    jobs = (board().get(key_of(now, loaded, curve, split)) for curve in curves_of(now))
    return any(job is not None and job.active for job in jobs)


def stopped(now: Settings, loaded: Loaded, split: str) -> list[str]:
    """Return the curves that have points but were not measured to the end."""
    jobs = {label(curve): board().get(key_of(now, loaded, curve, split)) for curve in curves_of(now)}
    return [name for name, job in jobs.items() if job is not None and job.partial and not job.active and job.state != "done"]


def picture(now: Settings, loaded: Loaded, split: str, macs: int) -> None:
    """Draw the curves; while something is measured, again and again."""
    busy = active(now, loaded, split)
    st.fragment(_draw, run_every=0.8 if busy else None, key="sweep_picture")(now, loaded, split, macs, busy)


def _draw(now: Settings, loaded: Loaded, split: str, macs: int, busy: bool) -> None:
    """Draw progress and what has been measured so far."""
    keys = [key_of(now, loaded, curve, split) for curve in curves_of(now)]
    jobs = [job for job in map(board().get, keys) if job is not None]
    for job in jobs:
        if job.active:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.progress(job.fraction, text=f"{job.title}: {measuring.standing(job)}")
                st.button("Cancel", key=f"cancel_{job.key}", icon=":material/close:", on_click=measuring.stop, args=(job.key,))
        elif job.state == "failed":
            st.error(f"{job.title}: {show.plain(job.error)}", icon=":material/error:")
    frame = frame_of(now, loaded, split, macs)
    if frame.empty:
        if not busy:
            show.empty(
                "Nothing has been measured yet. Press **Measure**: points appear one by one, and you can go on working meanwhile.",
                "show_chart",
            )
    else:
        names = [label(curve) for curve in curves_of(now)]
        dense = float(frame.loc[frame["requested"] == 0, "value"].iloc[0])
        show.chart(accuracy_curves(frame, dense=dense, names=names, dark=show.dark()), "curves", caption(frame, split))
    if busy and not any(job.active for job in jobs):
        st.rerun()


def caption(frame: pd.DataFrame, split: str) -> str:
    """Say what to notice in the curves."""
    n = int(frame["n"].iloc[0])
    last = frame[frame["requested"] > 0]
    if last.empty:
        return f"The dense model, measured on {n:,} {split} images; points follow."
    low = last.loc[last["value"].idxmin()]
    text = (
        f"Measured on {n:,} {split} images, without any recovery; bands are 95 % intervals. Lowest: "
        f"{percent(low['value'])} at {percent(low['sparsity'])} ({low['setting']})."
    )
    order = _by_average(last)
    if len(order) > 1:
        text += f" From 50 % on, {order[-1]} keeps most on average and {order[0]} least, as far as both were measured."
    return text


def _by_average(points: pd.DataFrame) -> list[str]:
    """Return the settings by average accuracy over the sparsities from 50 % on that all of them cover, worst first."""
    groups = {str(name): rows.sort_values("sparsity") for name, rows in points.groupby("setting", sort=False)}
    last = min(float(rows["sparsity"].max()) for rows in groups.values())
    if last <= 0.5:
        return []
    grid = np.linspace(0.5, last, 50)
    return sorted(groups, key=lambda name: float(np.interp(grid, groups[name]["sparsity"], groups[name]["value"]).mean()))
