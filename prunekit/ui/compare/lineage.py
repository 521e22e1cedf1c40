"""The tab Lineage: where the runs come from, and what a click on one opens."""

from __future__ import annotations

from functools import partial

import pandas as pd
import streamlit as st

from prunekit.comparison.comparison import Comparison
from prunekit.comparison.settings import setting_rows
from prunekit.errors import StoreError
from prunekit.experiments.records import Run
from prunekit.experiments.store import RunStore
from prunekit.reports import pictures
from prunekit.reports.material import family
from prunekit.reports.whole_report import accuracies
from prunekit.tasks.metrics import Metric
from prunekit.tasks.wording import written
from prunekit.ui.compare import picked_runs
from prunekit.ui.components import show
from prunekit.ui.state import session
from prunekit.ui.state.settings import Settings


def lineage(now: Settings, found: Comparison, store: RunStore) -> None:
    """Show the tree, and the run that was clicked."""
    known = store.runs(weights=found.baseline.run.weights, limit=5000)
    frame = family(found, known, accuracies(store, found))
    (drawn,) = pictures.of_family(frame, found.quality, show.dark())
    show.section(drawn.title)
    key = "tree_" + "_".join(run[:4] for run in now.runs)
    show.chart(
        drawn.figure, key, drawn.caption + " Click a run to open it.", config=show.saved_as("png", drawn.name),
        on_select=partial(_take, key, tuple(frame["key"])), selection_mode="points",
    )  # fmt: skip
    _opened(now, frame, found.quality, store)


def _take(key: str, keys: tuple[str, ...]) -> None:
    """Carry the clicked run into the settings."""
    points = st.session_state[key]["selection"]["points"]
    place = next((int(point["point_index"]) for point in points if point.get("customdata")), None)
    session.change(opened="" if place is None or place >= len(keys) else keys[place][: picked_runs.DIGITS])


def _opened(now: Settings, frame: pd.DataFrame, metric: Metric, store: RunStore) -> None:
    """Show what is known of the clicked run."""
    rows = frame[frame["key"].str[: picked_runs.DIGITS] == now.opened]
    if not now.opened or rows.empty:
        return
    row = rows.iloc[0]
    with st.container(border=True):
        st.markdown(f"**{show.plain(row['title'])}**" + (f" · {written(metric, row['accuracy'])}" if pd.notna(row["accuracy"]) else ""))
        try:
            run = store.find(now.opened)
        except StoreError:
            st.caption(show.plain(str(row["note"])) or "Nothing is kept of this step.")
            return
        _about(run, now, store)


def _about(run: Run, now: Settings, store: RunStore) -> None:
    """Show a run's settings, its label, and a button that picks it."""
    label = store.label(run.id)
    said = [f":gray-badge[{show.plain(tag)}]" for tag in label.tags] + ([show.plain(label.note)] if label.note else [])
    settings = ", ".join(f"{one.name} {one.values[0]}" for one in setting_rows([run], {}))
    st.caption(f"{run.kind}, run {run.id[: picked_runs.DIGITS]}, made {run.created[:16].replace('T', ' ')} UTC  \n{show.plain(settings)}")
    if said:
        st.markdown(" ".join(said))
    if run.kind != "dense":
        picked = run.id[: picked_runs.DIGITS] in now.runs
        st.button(
            "Let it go" if picked else "Pick it for the comparison", key="toggle_opened",
            icon=":material/close:" if picked else ":material/add:", on_click=picked_runs.toggle, args=(run.id,),
        )  # fmt: skip
