"""The tabs of a comparison: which is open, and those that only draw: numbers, layers, weights, the trade-off, lineage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import pandas as pd
import streamlit as st

from prunekit.comparison.comparison import Comparison
from prunekit.comparison.metrics import Metric as Figure
from prunekit.comparison.settings import setting_rows
from prunekit.comparison.tradeoff import metric_frame
from prunekit.errors import StoreError
from prunekit.experiments.records import Run
from prunekit.experiments.store import RunStore
from prunekit.formatting import plural
from prunekit.reports import pictures
from prunekit.reports.material import family
from prunekit.reports.page import accuracies
from prunekit.reports.pictures import Picture, pairs_of
from prunekit.reports.table import table_html
from prunekit.tasks.metrics import Metric
from prunekit.tasks.wording import written
from prunekit.ui.compare import behaviour, picked_runs
from prunekit.ui.components import show
from prunekit.ui.state import session
from prunekit.ui.state.page_settings import TABS
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


SCALES = {"share": (100.0, "%"), "count": (1e3, "k"), "bytes": (1e3, "kB"), "ratio": (1.0, "×")}
Draw = Callable[[Settings, Comparison, RunStore], None]


def tabs(now: Settings, found: Comparison, store: RunStore) -> None:
    """Show the tabs; only the open one is computed."""
    titles = {name: TITLES[name] for name in TABS}
    shown = st.tabs(list(titles.values()), on_change=_take_tab, **session.mirror("pick_tab", titles[now.tab], "default"))
    for name, tab in zip(titles, shown, strict=True):
        if name == now.tab:
            with tab, show.plain_errors(stop=False):
                DRAW[name](now, found, store)


def _take_tab() -> None:
    """Carry the open tab into the settings."""
    by_title = {title: name for name, title in TITLES.items()}
    session.change(tab=by_title.get(str(st.session_state.get("pick_tab")), "numbers"))


def numbers(now: Settings, found: Comparison, store: RunStore) -> None:
    """Show all figures and all settings."""
    st.segmented_control(
        "Figures", [False, True], required=True, label_visibility="collapsed",
        format_func={False: "As they are", True: "Against dense"}.__getitem__, **session.bind("relative", start="default"),
    )  # fmt: skip
    st.html(table_html(found, relative=now.relative, dark=show.dark()))
    st.caption("  \n".join([*found.within_runtimes, numbers_caption(found)]))


def numbers_caption(found: Comparison) -> str:
    """Say what was measured on what, and how many settings differ."""
    images = f"{found.images:,} {found.split} {found.units} of {show.plain(found.data)}"
    on = (
        f"{found.quality.title} on the same {images}, 95\u202f% intervals, paired differences."
        if found.data
        else f"{found.quality.title} was not measured yet."
    )
    if not found.differing:
        return f"{on} The runs have the same settings."
    many = plural(len(found.differing), "setting")
    follow = "; (≠) follows from another one" if any(row.differs and not row.counts for row in found.settings) else ""
    return f"{on} Marked with ≠: {many} that {'differs' if len(found.differing) == 1 else 'differ'}{follow}. Bold: best of the runs."


def layers(now: Settings, found: Comparison, store: RunStore) -> None:
    """Show each layer of all runs on one axis."""
    st.segmented_control(
        "Draw", ["sparsity", "width"], required=True, label_visibility="collapsed",
        format_func={"sparsity": "Weights gone", "width": "Channels left"}.__getitem__, **session.bind("by", start="default"),
    )  # fmt: skip
    seen = picked_runs.shapes_of(found, store)
    show.pictures(pictures.of_layers(seen, picked_runs.view_of(now, found, []), show.dark()))


def weights(now: Settings, found: Comparison, store: RunStore) -> None:
    """Show how weights are distributed, and what runs keep together."""
    seen = picked_runs.shapes_of(found, store)
    names = picked_runs.layers_of(seen)
    look = picked_runs.view_of(now, found, names)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        places = [-1, *range(len(names))]
        st.selectbox(
            "Layer", places, format_func=lambda place: "all layers" if place < 0 else names[place], width=260,
            **session.bind("layer", start=places, show=lambda place: place if place < len(names) else -1),
        )  # fmt: skip
        st.segmented_control(
            "Scale",
            ["linear", "log"],
            required=True,
            format_func={"linear": "Linear", "log": "Logarithmic"}.__getitem__,
            **session.bind("scale", start="default"),
        )
    show.pictures(pictures.of_weights(seen, look, show.dark()))
    pairs = list(dict.fromkeys([*pairs_of(seen.masks), *pairs_of(seen.channels)]))
    if len(pairs) > 1:
        st.selectbox(
            "Lay over each other", pairs, format_func=" and ".join, width=260,
            **session.bind("pair", start=pairs, show=lambda pair: pair if pair in pairs else pairs[0]),
        )  # fmt: skip
    _masks(pictures.of_masks(seen, look, show.dark()))
    if not pairs:
        st.caption("Masks can be laid over each other where at least two runs removed something.")


def _masks(drawn: Sequence[Picture]) -> None:
    """Show what every two runs keep, and beside it the layers of one pair."""
    left = None
    for picture in drawn:
        if picture.name.endswith("-all"):
            left, right = st.columns([2, 3], gap="medium")
            with left:
                show.pictures([picture])
            continue
        with right if left is not None else st.container():
            show.pictures([picture])
        left = None


def tradeoff(now: Settings, found: Comparison, store: RunStore) -> None:
    """Show two figures against each other, and what is best within the budget."""
    look = picked_runs.view_of(now, found, [])
    with st.container(horizontal=True, vertical_alignment="bottom"):
        _figure("x", "Across", found.metrics, look.x)
        _figure("y", "Up", found.metrics, look.y)
        st.segmented_control(
            "Budget on", ["x", "y"], required=True,
            format_func={"x": found.metrics[look.x].title, "y": found.metrics[look.y].title}.__getitem__,
            **session.bind("bound_on", start="default", then=_side),
        )  # fmt: skip
        _bound(found.metrics[look.x if look.bound_on == "x" else look.y])
    _, sentence = pictures.budget(found, look)
    if sentence:
        st.markdown(f"**{show.plain(sentence)}**")
    show.pictures(pictures.of_tradeoff(found, look, show.dark()))
    if metric_frame(found)[[look.x, look.y]].isna().any().any():
        st.caption("Time is measured on the Latency page, everything else by **Measure what is missing** above.")


def _figure(field: str, label: str, metrics: dict[str, Figure], value: str) -> None:
    """Show which figure an axis has."""
    names = list(metrics)
    st.selectbox(
        label, names, format_func=lambda name: metrics[name].title, width=190,
        **session.bind(field, start=names, show=lambda _: value, then=_axis(field)),
    )  # fmt: skip


def _bound(metric: Figure) -> None:
    """Show the budget in a unit that people type."""
    own = metric.quality.unit if metric.quality is not None else ""
    scale, unit = SCALES.get(metric.unit, (1.0, own))
    side, of = "At least" if metric.higher_is_better else "At most", f", in {unit}" if unit else ""
    st.number_input(
        f"{side}{of} (0 for no budget)", min_value=0.0, max_value=1e12, width=190,
        step=1.0 if unit == "%" else None, format="%g",
        **session.bind("bound", show=lambda value: round(value * scale, 6) if unit == "%" else value / scale,
                     take=lambda value: round(value / scale, 8) if unit == "%" else round(value * scale, 6)),
    )  # fmt: skip


def _axis(field: str) -> Callable[[str], None]:
    """Return what takes another figure for an axis; a budget on it was in another unit."""

    def take(name: str) -> None:
        session.change(**{field: name}, **({"bound": 0.0} if session.settings().bound_on == field else {}))

    return take


def _side(side: str) -> None:
    """Put the budget on the other axis: its number was in another unit."""
    session.change(bound_on=side, bound=0.0)


TITLES = {
    "numbers": "Numbers",
    "layers": "Layers",
    "weights": "Weights",
    "behaviour": "Behaviour",
    "tradeoff": "Trade-off",
    "lineage": "Lineage",
}
DRAW: dict[str, Draw] = {
    "numbers": numbers,
    "layers": layers,
    "weights": weights,
    "behaviour": behaviour.behaviour,
    "tradeoff": tradeoff,
    "lineage": lineage,
}
