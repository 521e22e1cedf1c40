"""Lesson 9: single weights or channels, for a phone, a server, a paper."""

from __future__ import annotations

import pandas as pd

from prunekit.evaluation.paired import ALPHA
from prunekit.evaluation.progress import QUIET, Progress
from prunekit.lessons.answer import Answer
from prunekit.lessons.budgets import Advice, at_equal_budgets, when_to_use
from prunekit.lessons.lesson import lesson
from prunekit.lessons.settings import CNN, digits, model_of, percent, points, small

PLACES = {
    "maximum compression": "a small file",
    "sparse accelerator": "a chip that skips zeros",
    "phone or edge": "a phone",
    "plain CPU or GPU server": "a plain server",
}
"""The goals as places to run on."""
LESS = {
    "maximum compression": "take fewer bytes",
    "sparse accelerator": "need fewer multiplications",
    "phone or edge": "took less time",
    "plain CPU or GPU server": "took less time",
}
"""What can be said of the kind that costs less for a goal."""
PICKS = {"unstructured": "single weights", "structured": "whole channels", "neither": "neither"}
NUMBERS = ("params", "macs", "bytes", "ms", "ms_one", "accuracy", "sparsity")

LESSON = lesson("choose")
WEIGHTS, CHANNELS, EQUAL = LESSON.guess.options


def answer(budget: str, share: int, *, progress: Progress = QUIET) -> Answer:
    """Prune to the same budget twice, measure, and read off which copy is at home where."""
    frame = at_equal_budgets(model_of({"model": CNN}), digits(), budget, share / 100, progress=progress)
    advice = when_to_use(frame)
    rows = frame.set_index("kind")
    apart = float(rows.accuracy["unstructured"] - rows.accuracy["structured"])
    sure = bool(rows.p_value["structured"] < ALPHA)
    value = EQUAL if not sure else WEIGHTS if apart > 0 else CHANNELS
    better = "unstructured" if value != CHANNELS else "structured"
    settings = {"model": CNN, "mode": better, "sparsity": float(rows.sparsity[better]), "split": "test"}
    settings |= {"across": "sparsity" if budget == "ms" else budget}
    numbers = {f"{kind}_{name}": float(rows.loc[kind, name]) for kind in rows.index for name in NUMBERS}
    numbers |= {"apart": apart, "p_value": float(rows.p_value["structured"])}
    frames = {"budget": frame, "advice": pd.DataFrame([vars(a) for a in advice])}
    shown = f"{value[0].lower()}{value[1:]}"
    return Answer(value, shown, _conclusion(rows, apart, sure, advice), frames, numbers, settings, LESSON.guess)


def _conclusion(rows: pd.DataFrame, apart: float, sure: bool, advice: tuple[Advice, ...]) -> tuple[str, str]:
    """Return the point of the lesson."""
    first = f"The copy that lost single weights reads {percent(rows.accuracy['unstructured'])} of the test images right, the one that lost "
    first += f"channels {percent(rows.accuracy['structured'])}: {points(apart)} apart (p {small(rows.p_value['structured'])}), "
    first += "more than chance explains" if sure else "which chance may explain"
    copies = {"unstructured": "the zeros", "structured": "fewer channels"}
    beyond = [f"{name} ({_took(rows.ratio[kind])})" for kind, name in copies.items() if not rows.within[kind]]
    first += f"; the budget in time was not kept by {_listed(beyond)}" if beyond else ""
    by_pick: dict[str, list[str]] = {}
    for line in advice:
        but = f" (they keep more accuracy, while {PICKS[line.cheaper]} {LESS[line.goal]})" if line.cheaper else ""
        by_pick.setdefault(PICKS[line.pick], []).append(PLACES[line.goal] + but)
    return first + ".", "By these measurements take " + "; ".join(f"{pick} for {_listed(goals)}" for pick, goals in by_pick.items()) + "."


def _took(ratio: float) -> str:
    """Return a time beside the original's."""
    return "not timed" if pd.isna(ratio) else f"{percent(ratio)} of the original's time"


def _listed(goals: list[str]) -> str:
    """Return ``a``, or ``a and b``, or ``a, b and c``."""
    return " and ".join([", ".join(goals[:-1]), goals[-1]] if len(goals) > 1 else goals)
