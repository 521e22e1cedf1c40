"""Controls of a metric: which figure the pictures show, and how much may be lost, a share of accuracy itself or of another's dense value.

The screen shows and takes it in the metric's own unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from prunekit.errors import DataError
from prunekit.evaluation.quality import Evaluation
from prunekit.tasks.metrics import HIGHER, PERCENT, Metric
from prunekit.tasks.wording import loss_unit
from prunekit.ui.components.field_controls import control
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


MOST = 0.99  # of the dense value


def _scale(metric: Metric, dense: float) -> float:
    """Return what a loss of 1 is in the metric's own unit."""
    return 1.0 if metric.unit == PERCENT else abs(dense) or 1.0


def allowed(now: Settings, metric: Metric, dense: float) -> float:
    """Return the allowed loss in the metric's own unit (of a share a fraction)."""
    return now.drop if metric.unit == PERCENT else _rounded(now.drop * _scale(metric, dense), metric)


def _rounded(loss: float, metric: Metric) -> float:
    """Return a loss with the digits that people read of it, so that it is the same figure wherever it stands."""
    return float(metric.number(loss).replace(",", "")) or float(f"{loss:.2g}")


def shown(now: Settings, metric: Metric, dense: float) -> float:
    """Return it as the screen shows it: points, or the metric's own unit."""
    return round(100 * now.drop, 4) if metric.unit == PERCENT else allowed(now, metric, dense)


def taken(value: float, metric: Metric, dense: float) -> float:
    """Return what the setting is for what somebody gave."""
    share = value / 100 if metric.unit == PERCENT else value / _scale(metric, dense)
    return round(min(max(share, 0.0), MOST), 8)


def limits(metric: Metric, dense: float) -> dict[str, Any]:
    """Return range, step and form of the widget."""
    if metric.unit == PERCENT:
        return {"min_value": 0.0, "max_value": 50.0, "step": 0.5, "format": "%g"}
    most = MOST * _scale(metric, dense)
    return {"min_value": 0.0, "max_value": float(f"{most:.4g}"), "step": float(f"{most / 200:.1g}"), "format": "%.4g"}


def phrase(metric: Metric, verb: str = "Lose") -> str:
    """Return what a widget asks: ``Lose at most so many points of accuracy``, ``Raise mean error at most by so many kWh``."""
    unit = loss_unit(metric)
    if metric.better == HIGHER:
        return f"{verb} at most so many points of {metric.phrase}" if unit == "points" else f"{verb} at most so much {metric.phrase}"
    return f"Raise {metric.phrase} at most by so " + (f"many {unit}" if unit else "much")


def ask(label: str, metric: Metric, dense: float) -> None:
    """Show the widget."""
    if metric.unit == PERCENT:
        control("drop", label, max_value=50.0, width=320)
        return
    st.number_input(
        label, width=320, **limits(metric, dense),
        help="In the unit of the metric; the address holds it as a share of the dense model's value.",
        **session.bind(
            "drop", show=lambda share: _rounded(share * _scale(metric, dense), metric), take=lambda value: taken(value, metric, dense)
        ),
    )  # fmt: skip
