"""Lesson 1: look at the weights, and at how many of them are close to zero."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from prunekit.lessons.answer import Answer
from prunekit.lessons.lesson import lesson
from prunekit.lessons.settings import CNN, model_of, percent
from prunekit.models.histograms import histogram
from prunekit.models.layers import prunable_layers, weight_of

BINS = 100

LESSON = lesson("weights")


def answer(below: int, layer: str) -> Answer:
    """Count the weights that are smaller than a share of the largest."""
    model = model_of({"model": CNN})
    names = prunable_layers(model)
    chosen = names if layer == "all" else (layer,)
    values = _flat(model, chosen)
    sizes = np.abs(values)
    bound = below / 100 * float(sizes.max())
    small = sizes < bound
    strength = float((sizes[small] ** 2).sum() / (sizes**2).sum())
    numbers = {"weights": values.size, "small": int(small.sum()), "share": float(small.mean()), "bound": bound, "strength": strength}
    numbers |= {"largest": float(sizes.max())}
    frames = {"histogram": _bins(values, bound), "layers": _layers(model, names, bound)}
    settings = {"model": CNN, "pick": () if layer == "all" else (names.index(layer),)}
    share = numbers["share"]
    return Answer(100 * share, percent(share), _conclusion(numbers), frames, numbers, settings, LESSON.guess)


def _flat(model: nn.Module, names: tuple[str, ...]) -> NDArray[np.float64]:
    """Return all weights of some layers in a row."""
    return np.concatenate([weight_of(model, name).double().numpy().reshape(-1) for name in names])


def _bins(values: NDArray[np.float64], bound: float) -> pd.DataFrame:
    """Return the histogram on an axis that is the same to both sides, and which bars lie between the cuts."""
    reach = float(np.abs(values).max())
    found = histogram(values, BINS, (-reach, reach))
    frame = pd.DataFrame({"left": found.edges[:-1], "right": found.edges[1:], "count": found.counts})
    return frame.assign(small=((frame.left + frame.right) / 2).abs() < bound)


def _layers(model: nn.Module, names: tuple[str, ...], bound: float) -> pd.DataFrame:
    """Return for each layer how many of its weights are below the same bound."""
    rows = [(name, (size := np.abs(_flat(model, (name,)))).size, int((size < bound).sum())) for name in names]
    return pd.DataFrame(rows, columns=["layer", "weights", "small"])


def _conclusion(numbers: dict[str, float]) -> tuple[str, str]:
    """Return the point of the lesson."""
    first = f"The largest weight is {numbers['largest']:.2f}; {numbers['small']:,.0f} of {numbers['weights']:,.0f} weights, "
    first += f"{percent(numbers['share'])}, are smaller than {numbers['bound']:.3g}."
    if not numbers["small"]:
        return first, "Not one weight is that small here: move the bound up to see when the first ones are."
    held = f"ogether they hold {percent(numbers['strength'])} of the strength (the sum of squares)"
    if numbers["share"] < 0.5:
        return first, f"They are the minority, and t{held}: the first candidates to go, but few."
    if numbers["strength"] < 0.25:
        return first, f"T{held}: small weights are many and count little, so they are the first candidates to go."
    return first, f"T{held}: each of them is small, but so many of them are not nothing."
