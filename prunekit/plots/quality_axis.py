"""The axis of a metric: its title, the form of its ticks, and a range or a scale that one broken model does not decide."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunekit.tasks.metrics import HIGHER, LOWER, PERCENT, Metric
from prunekit.tasks.wording import worse_by

BEYOND_CHANCE = 1.3  # times what chance loses
HEADROOM = 0.03  # of the picture, beyond 100 %: half a mark has room there, and no tick
DECADE = 10.0  # times as large as the least: a larger value would flatten all others on a linear scale
OUTLIER = 4.0  # times the upper quartile: losses beyond lie outside the picture where no chance is known


def axis_title(metric: Metric) -> str:
    """Return the title of an axis: ``accuracy``, ``R²``, ``mean error (kWh, lower is better)``."""
    unit = "" if metric.unit == PERCENT else metric.unit
    told = ", ".join(filter(None, [unit, "" if metric.better == HIGHER else "lower is better"]))
    return f"{metric.phrase} ({told})" if told else metric.phrase


def tick_form(metric: Metric) -> str | None:
    """Return the d3 format of the ticks: percent where the metric is a share, with decimals where ticks lie close together."""
    return ".2~%" if metric.unit == PERCENT else None


def up_to_all(low: float) -> list[float]:
    """Return the range of shares from one that is shown to 100 %."""
    return [low, 1 + HEADROOM * (1 - low)]


def quality_range(
    metric: Metric, ends: Iterable[float], dense: float, *, chance: float | None = None, pad: tuple[float, float] = (0.06, 0.12)
) -> list[float]:
    """Return the range that shows values and intervals beside the dense model.

    ``metric``: a share stays within 0..1; of others, which may have no bounds, what lies far on the worse side of chance is left outside.
    """
    losses = np.array([metric.loss(dense, end) for end in ends if np.isfinite(end)] or [0.0])
    worst, best = max(float(losses.max()), 0.0), min(float(losses.min()), 0.0)
    if metric.unit != PERCENT:
        limit = most_shown(metric, losses, dense, chance)
        worst, best = min(worst, limit), max(best, -limit)
    least = 0.02 if metric.unit == PERCENT else 0.02 * abs(dense) or 1.0
    width = max(worst - best, least)
    far, near = worse_by(metric, dense, worst + pad[0] * width), worse_by(metric, dense, best - pad[1] * width)
    low, high = min(far, near), max(far, near)
    low = max(0.0, low) if metric.unit == PERCENT else low
    return [low, min(up_to_all(low)[1], high)] if metric.unit == PERCENT else [low, high]


def most_shown(metric: Metric, losses: NDArray[np.float64], dense: float, chance: float | None = None) -> float:
    """Return the largest loss of a metric without bounds that is worth room: a little beyond chance, or what is no outlier."""
    if chance is not None and metric.loss(dense, chance) > 0:
        return BEYOND_CHANCE * metric.loss(dense, chance)
    return max(2 * abs(dense), OUTLIER * float(np.nanquantile(losses, 0.75))) or 1.0


def spans_decades(metric: Metric, values: NDArray[np.float64]) -> bool:
    """Return whether errors, which have no upper bound, differ so much that only a logarithmic scale shows them all."""
    known = values[np.isfinite(values)]
    return bool(metric.better == LOWER and metric.unit != PERCENT and len(known) and 0 < DECADE * known.min() < known.max())


def log_ticks(values: NDArray[np.float64]) -> dict[str, Any]:
    """Return a logarithmic axis with whole numbers at its ticks (1, 2, 5, 10, ...), which plotly shortens to their first digit."""
    known = values[np.isfinite(values) & (values > 0)]
    decades = range(math.floor(math.log10(known.min())), math.ceil(math.log10(known.max())) + 1)
    places = [step * 10.0**decade for decade in decades for step in (1, 2, 5)]
    return {"type": "log", "tickvals": places, "ticktext": [f"{place:,.15g}" for place in places]}


def axis(metric: Metric) -> dict[str, Any]:
    """Return title and form of ticks."""
    return {"title_text": axis_title(metric), "tickformat": tick_form(metric)}
