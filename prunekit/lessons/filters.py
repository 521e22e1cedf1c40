"""Lesson 7: remove filters. The layer gets narrower, and so does the next one."""

from __future__ import annotations

import math

import pandas as pd

from prunekit.lessons.answer import Answer
from prunekit.lessons.lesson import lesson
from prunekit.lessons.settings import CNN, model_of, percent, shape, spec_of
from prunekit.models.histograms import filter_norms
from prunekit.models.layers import weight_of
from prunekit.pruning.api import prune
from prunekit.pruning.result import LayerResult, PruneResult

LAYER, PLACE, NEXT = "conv2", 1, "fc1"

LESSON = lesson("filters")


def answer(gone: int) -> Answer:
    """Cut the weakest filters out of conv2, and look at the layer behind it."""
    model = model_of({"model": CNN})
    weight = weight_of(model, LAYER)
    settings = {"model": CNN, "mode": "structured", "layers": (PLACE,), "sparsity": gone / len(weight), "focus": PLACE}
    result = prune(model, spec_of(settings, model))
    assert result.kept is not None
    layers = {layer.name: layer for layer in result.layers}
    before, after = math.prod(layers[NEXT].shape_before), math.prod(layers[NEXT].shape_after)
    share = (before - after) / before
    numbers = {"filters": len(weight), "left": layers[LAYER].shape_after[0], "next_before": before, "next_after": after, "share": share}
    numbers |= {"params_before": result.before.params, "params_after": result.after.params}
    numbers |= {"macs_before": result.before.macs, "macs_after": result.after.macs}
    kept = set(result.kept[LAYER])
    filters = pd.DataFrame({"filter": range(len(weight)), "norm": filter_norms(weight), "kept": [i in kept for i in range(len(weight))]})
    frames = {"filters": filters, "layers": _layers(result)}
    return Answer(100 * share, percent(share), _conclusion(result, layers), frames, numbers, settings, LESSON.guess)


def _layers(result: PruneResult) -> pd.DataFrame:
    """Return the shape of every layer before and after."""
    rows = [(r.name, r.shape_before, r.shape_after, math.prod(r.shape_before), math.prod(r.shape_after)) for r in result.layers]
    return pd.DataFrame(rows, columns=["layer", "shape_before", "shape_after", "weights_before", "weights_after"])


def _conclusion(result: PruneResult, layers: dict[str, LayerResult]) -> tuple[str, str]:
    """Return the point of the lesson."""
    own, behind, before, after = layers[LAYER], layers[NEXT], result.before, result.after
    whole, left = own.shape_before[0], own.shape_after[0]
    first = f"{whole} filters less {whole - left} leave {left}, and {NEXT} goes along: its weights shrink from "
    first += f"{shape(behind.shape_before)} to {shape(behind.shape_after)}, for nothing enters any more where the channels were."
    second = f"Nothing is left to store or to compute, not even zeros: {percent(1 - after.params / before.params)} of the network's "
    second += f"parameters and {percent(1 - after.macs / before.macs)} of its work are gone"
    if result.proof is not None and result.proof.passed:
        second += ", and it was proved to give what the original gives with these filters set to zero"
    return first, second + "."
