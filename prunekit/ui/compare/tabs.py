"""The tabs of a comparison: which is open, and those that only draw: numbers, layers, weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from prunekit.comparison.comparison import Comparison
from prunekit.experiments.store import RunStore
from prunekit.formatting import plural
from prunekit.reports import pictures
from prunekit.reports.pictures import Picture, pairs_of
from prunekit.reports.table import table_html
from prunekit.ui.compare import behaviour, lineage, picked_runs, trade_off
from prunekit.ui.components import show
from prunekit.ui.state import session
from prunekit.ui.state.compare_settings import TABS
from prunekit.ui.state.settings import Settings

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
        f"{found.quality.title} on the same {images}, 95 % intervals, paired differences."
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
    "tradeoff": trade_off.tradeoff,
    "lineage": lineage.lineage,
}
