"""Pruning in three pictures, computed from the digits samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from prunekit import evaluation, pruning
from prunekit.config.spec import PruneSpec
from prunekit.data.load import load_data
from prunekit.formatting import percent, plural
from prunekit.models.layers import weight_of
from prunekit.plots.filters import kernels, matrix
from prunekit.plots.quality_curves import thumbnail_curve
from prunekit.ui.components import show
from prunekit.ui.shared import model_cache
from prunekit.ui.shared.model_cache import Source

SHARE = 0.7
SHOWN = 16
STEPS = (0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.85, 0.9, 0.94, 0.97, 0.99)


@dataclass(frozen=True)
class Lesson:
    """What the three pictures show."""

    weights: NDArray[np.float32]  # weights, mask: [rows, columns]: the last layer of the perceptron, and what stays of it
    mask: NDArray[np.bool_]
    filters: NDArray[np.float32]  # [filters, height, width]: one plane of each filter of the convolutional network's widest layer
    kept: tuple[bool, ...]
    layer: str
    curve: pd.DataFrame  # ``sparsity``, ``value``, ``low``, ``high``, ``n``


@st.cache_data(max_entries=1, show_spinner="Pruning a small model for the pictures …")
def lesson() -> Lesson:
    """Compute the three pictures, once."""
    mlp, cnn = model_cache.load(Source("digits_mlp")), model_cache.load(Source("digits_cnn"))
    last = mlp.layers[-1]
    mask = next(pruning.masks_at(mlp.model, PruneSpec(layers=(last,)), [SHARE]))[last].numpy()
    widest = max((n for n in cnn.layers if weight_of(cnn.model, n).dim() == 4), key=lambda n: weight_of(cnn.model, n).shape[0])
    plan = pruning.plan(pruning.trace(cnn.model, cnn.info.input_shape), cnn.model, PruneSpec(mode="structured", layers=(widest,)))
    filters = weight_of(cnn.model, widest)
    kept = np.isin(np.arange(len(filters)), plan.kept[widest])
    return Lesson(weight_of(mlp.model, last).numpy(), mask, filters[:, 0].numpy(), tuple(kept.tolist()), widest, _curve(cnn))


def _curve(cnn: model_cache.Loaded) -> pd.DataFrame:
    """Measure the convolutional network at several sparsities on the validation split."""
    digits = load_data("digits", model=cnn.model)
    split = digits.validation or digits.test
    rows = []
    for sparsity, masks in zip(STEPS, pruning.masks_at(cnn.model, PruneSpec(), STEPS), strict=True):
        accuracy = evaluation.evaluate(pruning.masked_copy(cnn.model, masks), split)
        rows.append((sparsity, accuracy.value, accuracy.low, accuracy.high, accuracy.n))
    return pd.DataFrame(rows, columns=["sparsity", "value", "low", "high", "n"])


def pictures() -> None:
    """Draw the three pictures side by side."""
    known, dark = lesson(), show.dark()
    first, second, third = st.columns(3, gap="medium")
    with first, st.container(border=True, height="stretch"):
        st.markdown("**1. Single weights become zero**")
        gone, size = int((~known.mask).sum()), known.mask.size
        caption = (
            f"The last layer of the digits perceptron: {gone} of {size} weights, the smallest, are zero ({SHOWN} "
            f"of its {known.mask.shape[1]} inputs are drawn). The matrix keeps its size."
        )
        show.chart(matrix(known.weights[:, :SHOWN], known.mask[:, :SHOWN], dark=dark), "lesson_matrix", caption)
    with second, st.container(border=True, height="stretch"):
        st.markdown("**2. Or whole filters leave**")
        left = sum(known.kept)
        caption = (
            f"Layer {known.layer} of the digits network keeps {plural(left, 'filter')} of {len(known.kept)}. "
            "The layer becomes smaller, and so does the next one, which loses its inputs."
        )
        show.chart(kernels(known.filters, known.kept, columns=8, dark=dark), "lesson_filters", caption)
    with third, st.container(border=True, height="stretch"):
        st.markdown("**3. Accuracy holds, then breaks**")
        show.chart(
            thumbnail_curve(known.curve, dense=float(known.curve["value"].iloc[0]), dark=dark), "lesson_curve", curve_caption(known.curve)
        )


def curve_caption(curve: pd.DataFrame) -> str:
    """Say where a curve holds and where it breaks: the last point whose interval still reaches the dense accuracy, and the worst."""
    dense, n = float(curve["value"].iloc[0]), int(curve["n"].iloc[0])
    holds = float(curve.loc[curve["high"] >= dense, "sparsity"].max())
    worst = curve.iloc[int(curve["value"].argmin())]
    return (
        f"Measured on {n} validation images of digits: up to {percent(holds, 0)} of the weights can go with no visible loss from "
        f"{percent(dense)}; at {percent(worst['sparsity'], 0)} it is {percent(worst['value'])}."
    )
