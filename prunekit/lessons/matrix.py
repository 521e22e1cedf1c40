"""Lesson 2: prune a 5 x 5 matrix by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prunekit.config.spec import PruneSpec
from prunekit.lessons.answer import Answer
from prunekit.lessons.lesson import lesson
from prunekit.lessons.settings import MLP, model_of, percent, plural, points
from prunekit.models.layers import weight_of
from prunekit.pruning.unstructured.masks import masks_at

LAYER, PLACE, SIDE = "fc3", 2, 5

LESSON = lesson("matrix")


def answer(cells: Sequence[int]) -> Answer:
    """Compare the ticked weights with as many of the smallest."""
    block = weight_of(model_of({"model": MLP}), LAYER)[:SIDE, :SIDE].clone()
    yours = np.ones(SIDE * SIDE, bool)
    yours[list(cells)] = False
    best = smallest_gone(block, len(cells))
    weights = block.double().numpy().reshape(-1)
    kept = {"yours": _strength(weights, yours), "best": _strength(weights, best)}
    numbers = {"gone": len(cells), "cells": SIDE * SIDE, **kept, "shared": int((~yours & ~best).sum())}
    rows, columns = np.divmod(np.arange(SIDE * SIDE), SIDE)
    frame = pd.DataFrame({"row": rows, "column": columns, "weight": weights, "yours": yours, "best": best})
    settings = {"model": MLP, "layers": (PLACE,), "sparsity": min(len(cells), SIDE * SIDE - 1) / SIDE**2, "focus": PLACE}
    shown = percent(kept["best"])
    return Answer(100 * kept["best"], shown, _conclusion(numbers), {"cells": frame}, numbers, settings, LESSON.guess)


def smallest_gone(block: Tensor, gone: int) -> NDArray[np.bool_]:
    """Return which weights of a matrix stay when the smallest go, row by row."""
    if gone == block.numel():
        return np.zeros(gone, bool)
    layer = nn.Linear(block.shape[1], block.shape[0], bias=False)
    with torch.no_grad():
        layer.weight.copy_(block)
    masks = next(masks_at(nn.Sequential(layer), PruneSpec(), [gone / block.numel()]))
    return np.asarray(masks["0"].numpy().reshape(-1))


def _strength(weights: NDArray[np.float64], kept: NDArray[np.bool_]) -> float:
    """Return the share of the sum of squares that stays."""
    return float((weights[kept] ** 2).sum() / (weights**2).sum())


def _conclusion(numbers: dict[str, float]) -> tuple[str, str]:
    """Return the point of the lesson."""
    gone, shared, yours, best = (numbers[name] for name in ("gone", "shared", "yours", "best"))
    if not gone:
        return "Nothing is ticked, so all of the strength stays.", "Tick the weights that you would miss least."
    count = plural(int(gone), "weight")
    if gone == shared:
        first = f"Ticked are exactly the {count} that magnitude pruning removes: {percent(best)} of the strength stays."
        return first, "No other choice of as many weights keeps more: the smallest squares are gone."
    first = f"Without the {count} that are ticked {percent(yours)} of the strength stays; without the {gone} smallest, {percent(best)}."
    second = f"{shared} of the {gone} are among the smallest; magnitude pruning goes by size alone, which is worth "
    return first, second + f"{points(best - yours)} here."
