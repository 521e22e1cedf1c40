"""Lesson 5: which layers are fragile, each pruned alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from prunekit.evaluation.paired import Difference, compare
from prunekit.evaluation.quality import Evaluation
from prunekit.evaluation.sensitivity.measure import sensitivity
from prunekit.lessons.answer import Answer
from prunekit.lessons.lesson import lesson
from prunekit.lessons.settings import CNN, change, digits, model_of, percent, plural, points, spec_of
from prunekit.models.cost import layer_table
from prunekit.models.info import info

LESSON = lesson("fragile")
*_, NONE = LESSON.guess.options
OPTIONS = dict(zip(("conv1", "conv2", "fc1", "fc2"), LESSON.guess.options, strict=False))


@dataclass(frozen=True)
class _Alone:
    """One layer, pruned alone."""

    name: str
    weights: int
    accuracy: Evaluation
    difference: Difference


def answer(sparsity: int) -> Answer:
    """Prune each layer alone and measure what it costs on the validation images."""
    settings = {"model": CNN, "sparsity": sparsity / 100}
    model, data = model_of(settings), digits()
    found = sensitivity(model, data, spec_of(settings, model), [sparsity / 100])
    table = layer_table(model, info(model).input_shape or ())
    weights = {name: math.prod(size) for name, size in zip(table["name"], table["shape"], strict=True)}
    measured = ((layer.name, layer.points[0].accuracy) for layer in found.layers)
    rows = sorted((_Alone(name, weights[name], a, compare(found.dense, a)) for name, a in measured), key=lambda row: row.accuracy.value)
    worst, best, total = rows[0], rows[-1], sum(weights.values())
    stands_out = worst.difference.significant and worst.difference.value < 0
    numbers = {"dense": found.dense.value, "worst": worst.accuracy.value, "best": best.accuracy.value, "images": found.images}
    numbers |= {"worst_weights": worst.weights, "best_weights": best.weights, "weights": total}
    frames = {"layers": _frame(rows).set_index("layer").loc[list(weights)].reset_index()}
    shown = f"{worst.name}, down to {percent(worst.accuracy.value)}" if stands_out else "no layer stands out"
    said = _conclusion(rows, found.dense, sparsity) if stands_out else _nothing(rows, sparsity)
    return Answer(OPTIONS[worst.name] if stands_out else NONE, shown, said, frames, numbers, settings, LESSON.guess)


def _frame(rows: list[_Alone]) -> pd.DataFrame:
    """Return a row for each layer: its size, what accuracy becomes, and whether that can be told from chance."""
    found = [(row.name, row.weights, row.accuracy.value, row.accuracy.low, row.accuracy.high) for row in rows]
    frame = pd.DataFrame(found, columns=["layer", "weights", "accuracy", "low", "high"])
    differences = [row.difference for row in rows]
    return frame.assign(change=[d.value for d in differences], significant=[d.significant for d in differences])


def _conclusion(rows: list[_Alone], dense: Evaluation, sparsity: int) -> tuple[str, str]:
    """Return the point of the lesson where a layer stands out."""
    worst, best, share = rows[0], rows[-1], rows[0].weights / sum(row.weights for row in rows)
    first = f"Without {sparsity} % of {worst.name} accuracy goes from {percent(dense.value)} to {percent(worst.accuracy.value)}, and it "
    first += f"has {'only ' if share < 1 / len(rows) else ''}{percent(share)} of the network's weights"
    if not compare(worst.accuracy, rows[1].accuracy).significant:
        first += f" ({rows[1].name} is so close behind that chance may have decided)"
    second = f"{best.name}, with {plural(best.weights, 'weight')}, gives as large a share, and accuracy {change(best.difference)}"
    if compare(worst.accuracy, best.accuracy).significant:
        return first + ".", second + ": each layer should give what it can spare, not the same."
    return first + ".", second + ": at this share no layer stands out as one that can spare it."


def _nothing(rows: list[_Alone], sparsity: int) -> tuple[str, str]:
    """Return the point of the lesson where all layers cope."""
    worst, images = rows[0].difference, f"{rows[0].difference.n} validation images"
    first = f"At {sparsity} % every layer copes alone: "
    if worst.value >= 0:
        return first + "none of them costs a single image.", f"On {images} no layer is fragile at this share."
    first += f"the largest loss is {points(worst.value)}, in {rows[0].name}."
    return first, f"With {images} a loss as small as that could be chance: no layer is shown to be fragile at this share."
