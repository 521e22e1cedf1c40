"""Lesson 6: fine-tune, and see it come back."""

from __future__ import annotations

import pandas as pd

from prunekit.evaluation.accuracy import evaluate
from prunekit.evaluation.paired import compare
from prunekit.evaluation.progress import QUIET, Progress
from prunekit.evaluation.quality import Evaluation
from prunekit.lessons.answer import Answer
from prunekit.lessons.lesson import lesson
from prunekit.lessons.settings import CNN, change, digits, model_of, percent, points, recovery_of, significance_text, spec_of
from prunekit.training import prune_and_recover
from prunekit.training.result import Recovered

LESSON = lesson("heal")


def answer(sparsity: int, epochs: int, *, progress: Progress = QUIET) -> Answer:
    """Cut channels out, fine-tune, and read the test images before, after the cut and at the end."""
    settings = {"model": CNN, "mode": "structured", "sparsity": sparsity / 100, "recalibrate": False, "epochs": epochs}
    model, data = model_of(settings), digits()
    found = prune_and_recover(model, spec_of(settings, model), recovery_of(settings), data, progress=progress)
    assert found.before is not None
    dense, cut, healed = (evaluate(net, data.test) for net in (model, found.before, found.model))
    numbers = {"dense": dense.value, "cut": cut.value, "healed": healed.value, "images": dense.n}
    frames = {"course": _course({"original": dense, "after the cut": cut, "after fine-tuning": healed}), "epochs": _epochs(found)}
    value = 100 * healed.value
    return Answer(value, percent(healed.value), _conclusion(dense, cut, healed, epochs), frames, numbers, settings, LESSON.guess)


def _course(steps: dict[str, Evaluation]) -> pd.DataFrame:
    """Return accuracy on the test images step by step."""
    rows = [(name, a.value, a.low, a.high, a.n) for name, a in steps.items()]
    return pd.DataFrame(rows, columns=["step", "accuracy", "low", "high", "images"])


def _epochs(found: Recovered) -> pd.DataFrame:
    """Return the course of training: the validation images after each pass."""
    rows = [(e.number, e.loss, e.train_quality, e.validation.value if e.validation else None) for e in found.history]
    return pd.DataFrame(rows, columns=["epoch", "loss", "train_accuracy", "validation_accuracy"])


def _conclusion(dense: Evaluation, cut: Evaluation, healed: Evaluation, epochs: int) -> tuple[str, str]:
    """Return the point of the lesson."""
    lost, back = dense.value - cut.value, compare(cut, healed)
    passes = f"{epochs} passes over the training images bring" if epochs > 1 else "one pass over the training images brings"
    if lost <= 0 or not compare(dense, cut).significant:
        first = f"This cut did no harm that could be measured: accuracy, {percent(dense.value)} before, {change(compare(dense, cut))}."
    else:
        first = f"The cut takes accuracy from {percent(dense.value)} to {percent(cut.value)}, and {passes} it to {percent(healed.value)}: "
        first += f"{percent(min(back.value / lost, 1))} of what was lost is back" if back.value > 0 else "nothing is back"
        first += "." if back.significant or back.value <= 0 else ", which chance may explain."
    left = compare(dense, healed)
    against = f"Against the original accuracy {change(left)}"
    if not left.significant:
        return first, f"{against}: the channels that are left do the work of those that went."
    if left.value > 0:
        return first, f"{against}: training on has done more than the cut has cost."
    missing = f"{points(left.value)} are missing to the original, {significance_text(left)}"
    if back.significant and back.value < 0:
        return first, f"{missing}: training on has cost accuracy here, and a lower learning rate may not."
    return first, f"{missing}: more passes may bring it nearer, or a gentler cut."
