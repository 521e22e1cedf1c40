"""Lesson 4: all layers at one sparsity, to the cliff."""

from __future__ import annotations

import pandas as pd

from prunekit.evaluation.accuracy import evaluate
from prunekit.evaluation.paired import Difference, compare
from prunekit.evaluation.quality import Evaluation
from prunekit.evaluation.sweep import SweepPoint, sweep
from prunekit.lessons.answer import Answer
from prunekit.lessons.lesson import lesson
from prunekit.lessons.settings import CNN, change, digits, model_of, percent, points, spec_of
from prunekit.pruning.api import prune

GRID = (*range(0, 60, 5), *range(60, 100, 2), 99)  # percent: closer where small networks break

LESSON = lesson("cliff")


def answer(criterion: str, drop: int) -> Answer:
    """Measure the curve on the validation images, find the cliff, and confirm it on the test images."""
    settings = {"model": CNN, "criterion": criterion, "drop": drop / 100, "split": "validation"}
    model, data = model_of(settings), digits()
    curve = list(sweep(model, spec_of(settings, model), [share / 100 for share in GRID], data, split="validation"))
    last = _last_before(curve, drop)
    settings |= {"sparsity": curve[last].requested}
    pruned = prune(model, spec_of(settings, model), data).model
    confirmed = compare(evaluate(model, data.test), evaluate(pruned, data.test))
    numbers = {"cliff": curve[last].requested, "dense": curve[0].accuracy.value, "at": curve[last].accuracy.value, "allowed": drop / 100}
    numbers |= {"images": curve[0].accuracy.n, "test_change": confirmed.value, "test_p": confirmed.p_value}
    value = 100 * curve[last].requested
    frames = {"curve": _frame(curve)}
    return Answer(value, percent(value / 100), _conclusion(curve, last, confirmed), frames, numbers, settings, LESSON.guess)


def _last_before(curve: list[SweepPoint], drop: int) -> int:
    """Return the last point before accuracy falls by more than allowed for the first time; counted in images, so that it is exact."""
    lost = [int(curve[0].accuracy.correct.sum()) - int(point.accuracy.correct.sum()) for point in curve]
    return next((i - 1 for i, images in enumerate(lost) if 100 * images > drop * curve[0].accuracy.n), len(curve) - 1)


def _frame(curve: list[SweepPoint]) -> pd.DataFrame:
    """Return the curve with its intervals."""
    rows = [(p.requested, p.accuracy.value, p.accuracy.low, p.accuracy.high, p.accuracy.n) for p in curve]
    return pd.DataFrame(rows, columns=["sparsity", "accuracy", "low", "high", "images"])


def _edge(at: Evaluation, beyond: SweepPoint) -> str:
    """Return what happens behind the edge."""
    return f"at {percent(beyond.requested)} it is {percent(beyond.accuracy.value)} instead of {percent(at.value)}"


def _conclusion(curve: list[SweepPoint], last: int, confirmed: Difference) -> tuple[str, str]:
    """Return the point of the lesson."""
    dense, at, share = curve[0].accuracy, curve[last].accuracy, percent(curve[last].requested)
    found = f"The edge was found on {dense.n} validation images"
    second = f"{found}; on the test images, which had no say in it, accuracy {change(confirmed)}."
    if last == 0:
        return f"Nothing can go within this bound: {_edge(at, curve[1])}.", f"{found}, of which each one is {points(1 / dense.n)}."
    if last == len(curve) - 1:
        return f"There is no edge within this bound: even without {share} of the weights accuracy is {percent(at.value)}.", second
    moved = f"moves from {percent(dense.value)} to" if at.value != dense.value else "stays at"
    first = f"{share} can go, and accuracy {moved} {percent(at.value)}"
    return f"{first}; one step further, {_edge(at, curve[last + 1])}.", second
