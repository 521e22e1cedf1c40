"""The tab Trade-off: any two figures, and a budget on one of them."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from prunekit.comparison.comparison import Comparison
from prunekit.comparison.metrics import Metric
from prunekit.comparison.tradeoff import metric_frame
from prunekit.experiments.store import RunStore
from prunekit.reports import pictures
from prunekit.ui.compare import picked_runs
from prunekit.ui.components import show
from prunekit.ui.state import session
from prunekit.ui.state.settings import Settings

SCALES = {"share": (100.0, "%"), "count": (1e3, "k"), "bytes": (1e3, "kB"), "ratio": (1.0, "×")}


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


def _figure(field: str, label: str, metrics: dict[str, Metric], value: str) -> None:
    """Show which figure an axis has."""
    names = list(metrics)
    st.selectbox(
        label, names, format_func=lambda name: metrics[name].title, width=190,
        **session.bind(field, start=names, show=lambda _: value, then=_axis(field)),
    )  # fmt: skip


def _bound(metric: Metric) -> None:
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
