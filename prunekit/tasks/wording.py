"""How a metric is written where people read it: values, intervals, and what is lost of it."""

from __future__ import annotations

from dataclasses import replace
from math import isnan

import numpy as np

from prunekit.formatting import lost, percent, span
from prunekit.tasks.metrics import HIGHER, PERCENT, Metric


def written(metric: Metric, value: float) -> str:
    """Return a value as people read it: ``97.2 %``, ``21.4 kWh``."""
    return percent(value) if metric.unit == PERCENT else metric.format(value)


def interval(metric: Metric, low: float, high: float) -> str:
    """Return an interval as people read it: ``96.1 to 98.0 %``; nothing where none can be said."""
    if isnan(low):
        return ""
    return span(low, high) if metric.unit == PERCENT else metric.span(low, high)


def loss_number(metric: Metric, loss: float) -> str:
    """Return a loss of quality without its unit: ``0.6`` (points), ``1.31``; a gain with a minus before it."""
    text = lost(loss) if metric.unit == PERCENT else metric.number(loss)
    return text if any(digit in "123456789" for digit in text) else text.removeprefix("−")


def loss_unit(metric: Metric) -> str:
    """Return what stands behind a loss: ``points``, ``kWh``, or nothing."""
    return "points" if metric.unit == PERCENT else metric.unit


def loss_text(metric: Metric, loss: float) -> str:
    """Return a loss of quality: ``0.6 points``, ``1.31 kWh``, ``0.021``."""
    return f"{loss_number(metric, loss)} {loss_unit(metric)}".rstrip()


def change_text(metric: Metric, change: float) -> str:
    """Return a change of the value itself with its sign: ``−0.6 points``, ``+1.31 kWh``."""
    return metric.format_difference(change)


def is_gain(metric: Metric, loss: float) -> bool:
    """Return whether a loss reads as a gain: below nothing in the digits that are shown."""
    return loss_number(metric, loss).startswith("−")


def loses(metric: Metric, loss: float, *, past: bool = False) -> str:
    """Return what a loss does: ``loses 0.6 points of accuracy``, ``raises mean error by 1.31 kWh``, ``gains 0.6 points of accuracy``."""
    gain, amount = is_gain(metric, loss), loss_text(metric, abs(loss))
    if metric.better == HIGHER:
        return f"{('gained' if past else 'gains') if gain else ('lost' if past else 'loses')} {amount} of {metric.phrase}"
    verb = "lower" if gain else "raise"
    return f"{verb}{('ed' if gain else 'd') if past else 's'} {metric.phrase} by {amount}"


def costs(metric: Metric, loss: float, *, would: bool = False) -> str:
    """Return what a loss is for what was removed: ``costs 0.6 points``, ``would cost 0.6 points``, ``gains 0.6 points``."""
    verb = ("gain" if metric.better == HIGHER else "save") if is_gain(metric, loss) else "cost"
    return f"{f'would {verb}' if would else f'{verb}s'} {loss_text(metric, abs(loss))}"


def lost_or_gained(metric: Metric, loss: float) -> str:
    """Return what became of quality: ``0.6 points lost``, ``1.31 kWh more``, ``0.6 points gained``, ``nothing lost``."""
    if loss_number(metric, abs(loss)) == loss_number(metric, 0.0):
        return "nothing lost"
    return f"{loss_text(metric, abs(loss))} {_way(metric, loss)}"


def lost_between(metric: Metric, low: float, high: float) -> str:
    """Return an interval of losses: ``0.2 to 0.9 lost``, ``0.9 gained to 0.4 lost``; of points without their name."""
    ends = [loss_number(metric, abs(end)) if metric.unit == PERCENT else loss_text(metric, abs(end)) for end in (low, high)]
    if is_gain(metric, high):
        return f"{ends[1]} to {ends[0]} {_way(metric, low)}"
    return f"{ends[0]} {f'{_way(metric, low)} ' if is_gain(metric, low) else ''}to {ends[1]} {_way(metric, high)}"


def _way(metric: Metric, loss: float) -> str:
    """Return the word for a loss, or for a gain."""
    lost, gained = ("lost", "gained") if metric.better == HIGHER else ("more", "less")
    return gained if is_gain(metric, loss) else lost


def lost_of(metric: Metric) -> str:
    """Return what a column of losses holds: ``points of accuracy lost``, ``R² lost``, ``mean error added (kWh)``."""
    if metric.unit == PERCENT:
        return f"points of {metric.phrase} lost" if metric.better == HIGHER else f"points of {metric.phrase} added"
    unit = f" ({metric.unit})" if metric.unit else ""
    return f"{metric.phrase} {'lost' if metric.better == HIGHER else 'added'}{unit}"


def worse_by(metric: Metric, value: float, loss: float) -> float:
    """Return the value that is worse by a loss."""
    return value - loss if metric.better == HIGHER else value + loss


def capital(words: str) -> str:
    """Return words with a capital in front, as they begin a sentence or a label; a name such as mAP keeps its own."""
    return words if words[1:2].isupper() else f"{words[:1].upper()}{words[1:]}"


def alike(metric: Metric, value: float) -> Metric:
    """Return a metric whose figures all have the places that one value needs, for figures that stand under each other."""
    if metric.unit == PERCENT or metric.decimals is not None or not value:
        return metric
    return replace(metric, decimals=int(np.clip(2 - np.floor(np.log10(abs(value))), 0, 12)))
