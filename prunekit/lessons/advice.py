"""Which kind of pruning to take for which goal, read off measurements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from prunekit.evaluation.paired import ALPHA
from prunekit.latency.diagnosis.wording import ms
from prunekit.lessons.settings import percent, small

NAMES = {"unstructured": "single weights", "structured": "whole channels"}


@dataclass(frozen=True)
class Advice:
    """Which kind of pruning to take for a goal.

    Attributes
    ----------
    goal : str
        Such as ``phone or edge``.
    pick : {"unstructured", "structured", "neither"}
        What the measurements speak for.
    sentence : str
        Why, with the figures.
    cheaper : {"", "unstructured", "structured"}
        What costs less for the goal than the pick, which is more accurate; empty where nothing does.
    """

    goal: str
    pick: str
    sentence: str
    cheaper: str = ""


@dataclass(frozen=True)
class _Goal:
    """What counts for a goal: a column, which rows save on it at all, and what else is to be said."""

    name: str
    column: str
    saves: str
    note: str = ""


GOALS = (
    _Goal("maximum compression", "bytes", "bytes"),
    _Goal(
        "sparse accelerator",
        "macs",
        "macs",
        "This counts work: no such chip was timed here, and some ask for a pattern such as 2:4",
    ),
    _Goal("phone or edge", "ms_one", "faster_one", "Timed here, one image at a time: time the phone itself before you ship"),
    _Goal("plain CPU or GPU server", "ms", "faster", "Timed on this machine's CPU, many images at a time"),
)


def when_to_use(frame: pd.DataFrame) -> tuple[Advice, ...]:
    """Say for four goals which kind of pruning the measurements speak for.

    A kind is in the running where it saves at all on what counts for the goal: bytes, work, or time beyond doubt. If both are, the more
    accurate one is taken where the paired test tells them apart, else the one that costs less.

    Parameters
    ----------
    frame : DataFrame
        From :func:`prunekit.lessons.budgets.at_equal_budgets`.

    Returns
    -------
    tuple of Advice
        For maximum compression, a sparse accelerator, a phone or edge device, and a plain CPU or GPU server.
    """
    rows: dict[str, dict[str, Any]] = {row["kind"]: row for row in frame.to_dict("records")}
    return tuple(_advice(goal, rows) for goal in GOALS)


def _advice(goal: _Goal, rows: dict[str, dict[str, Any]]) -> Advice:
    """Return the advice for one goal."""
    running = [kind for kind in NAMES if _saves(goal, rows[kind], rows["dense"])]
    pick, why = _picked(goal, running, rows)
    note = f" {goal.note}." if goal.note else ""
    if pick != "neither" and rows[pick]["high"] < rows["dense"]["low"]:
        note += " That copy reads clearly fewer images right than the original: fine-tune it first."
    cheaper = [kind for kind in running if pick != "neither" and rows[kind][goal.column] < rows[pick][goal.column]]
    return Advice(goal.name, pick, f"{why}.{note}", "".join(cheaper))


def _saves(goal: _Goal, row: dict[str, Any], dense: dict[str, Any]) -> bool:
    """Return whether a copy saves on what counts at all."""
    return bool(row[goal.saves]) if goal.saves.startswith("faster") else bool(row[goal.saves] < dense[goal.saves])


def _picked(goal: _Goal, running: list[str], rows: dict[str, dict[str, Any]]) -> tuple[str, str]:
    """Return a kind and the reason for it."""
    figures = "; ".join(f"{NAMES[kind]}: {_cost(goal, rows[kind])}, {percent(rows[kind]['accuracy'])} right" for kind in NAMES)
    against = f"the original: {_cost(goal, rows['dense'])}, {percent(rows['dense']['accuracy'])} right"
    if not running:
        return "neither", f"Neither is cheaper beyond doubt ({figures}; {against})"
    if len(running) == 1:
        other = next(kind for kind in NAMES if kind not in running)
        return running[0], f"Only {NAMES[running[0]]} save beyond doubt here, {NAMES[other]} do not ({figures}; {against})"
    by_accuracy = sorted(running, key=lambda kind: -rows[kind]["accuracy"])
    p = rows[running[0]]["p_value"]
    if p < ALPHA:
        best, other = by_accuracy
        said = (
            f"Both save, and {NAMES[best]} keep more accuracy (p {small(p)}) {_beside(rows[best][goal.column], rows[other][goal.column])}"
        )
        return best, f"{said} ({figures}; {against})"
    cheap = min(running, key=lambda kind: rows[kind][goal.column])
    costs = {rows[kind][goal.column] for kind in running}
    less = f"{NAMES[cheap]} cost less" if len(costs) > 1 else "they cost the same, so that either will do"
    return cheap, f"Both save, their accuracy cannot be told apart (p {small(p)}), and {less} ({figures}; {against})"


def _beside(cost: float, other: float) -> str:
    """Return how the cost of the more accurate kind compares with the other's."""
    if cost == other:
        return "at the same cost"
    return "and cost less, too" if cost < other else "but cost more"


def _cost(goal: _Goal, row: dict[str, Any]) -> str:
    """Return what a copy costs."""
    value = row[goal.column]
    if goal.column.startswith("ms"):
        return "not timed" if pd.isna(value) else ms(value)
    return f"{value:,} {'bytes' if goal.column == 'bytes' else 'multiplications'}"
