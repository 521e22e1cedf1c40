"""Which figure of what was observed the pictures show: the headline, another metric of the task, or one class."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from prunekit.errors import DataError
from prunekit.evaluation.quality import Evaluation
from prunekit.tasks.metrics import Metric
from prunekit.ui.state import session
from prunekit.ui.state.settings import Settings


def judged(now: Settings, dense: Evaluation, names: Sequence[str]) -> Metric:
    """Return the figure that was picked, the headline where the observations do not tell it."""
    return next((each for each in dense.figures(names) if each.name == now.judged), dense.metric)


def choose(now: Settings, dense: Evaluation, names: Sequence[str]) -> Metric:
    """Show the figures that the observations tell, where there are several, and return the one that is picked."""
    found = {each.name: each for each in dense.figures(names) if _defined(dense, each)}
    chosen = judged(now, dense, names)
    if len(found) < 2 or chosen.name not in found:
        return dense.metric
    st.selectbox(
        "Figure", list(found), format_func=lambda name: found[name].title, width=230,
        help="The pictures show it; what is read off below them stays with the first of these.",
        **session.bind(
            "judged", start=list(found), show=lambda _: chosen.name, take=lambda name: "" if name == dense.metric.name else name
        ),
    )  # fmt: skip
    return chosen


def _defined(dense: Evaluation, metric: Metric) -> bool:
    """Whether the dense model's observations have a value of a figure."""
    try:
        metric.reduce(dense.observations)
    except DataError:
        return False
    return True
