"""The one picture of each lesson, measured, and what may be seen before the guess."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from prunekit.formatting import count, percent, size
from prunekit.lessons import popularity
from prunekit.lessons.answer import Answer
from prunekit.lessons.course import answer_of
from prunekit.lessons.lesson import Lesson
from prunekit.models.layers import weight_of
from prunekit.plots import lessons, lessons_measured
from prunekit.plots.cells import head_strip, head_strip_caption
from prunekit.plots.compare_classes import class_dumbbells
from prunekit.plots.filters import kernels, row_curves, rows_caption
from prunekit.plots.layer_bars import by_layer
from prunekit.plots.sample_answers import answer_bars
from prunekit.tasks.recommendation import AUC
from prunekit.tasks.shown import Bars
from prunekit.ui.components import show
from prunekit.ui.shared import model_cache
from prunekit.ui.shared.model_cache import Source

Drawn = tuple[go.Figure, str]


@st.cache_data(max_entries=1, show_spinner=False)
def by_hand() -> list[float]:
    """Return the 25 weights that are pruned by hand, row by row."""
    return list(answer_of(2).frames["cells"].weight)


@st.cache_data(max_entries=2, show_spinner=False)
def _planes(layer: str) -> np.ndarray:
    """Return one plane of each filter of a layer."""
    return np.asarray(weight_of(model_cache.load(Source("digits_cnn")).model, layer)[:, 0].numpy())


def measured(lesson: Lesson, answer: Answer, *, large: bool) -> None:
    """Show the picture of an answer."""
    for place, (figure, caption) in enumerate(_MEASURED[lesson.key](answer)):
        _show(figure, f"lesson_{lesson.number}_{place}", caption, large)


def before(lesson: Lesson, values: Mapping[str, Any], *, large: bool) -> None:
    """Show what may be seen before the guess."""
    drawn = _BEFORE.get(lesson.key)
    if drawn is None:
        show.empty("The picture comes with the measurement. Make your guess first.", "visibility_off")
        return
    figure, caption = drawn(values)
    _show(figure, f"before_{lesson.number}", caption, large)


def _show(figure: go.Figure, key: str, caption: str, large: bool) -> None:
    """Show a figure, with larger words where people sit far away."""
    show.chart(lessons.enlarged(figure) if large else figure, key, caption)


def _weights(answer: Answer) -> list[Drawn]:
    """Draw the histogram with the cut."""
    bound = answer.numbers["bound"]
    caption = f"All that lies between −{bound:.3g} and {bound:.3g} counts as small: {percent(answer.numbers['share'])}. Move the bound."
    return [(lessons.moving_cut(answer.frames["histogram"], bound, dark=show.dark()), caption)]


def _matrix(answer: Answer) -> list[Drawn]:
    """Draw both matrices."""
    yours, best = answer.numbers["yours"], answer.numbers["best"]
    which = (("yours", f"Yours keeps {percent(yours)}"), ("best", f"The smallest gone: {percent(best)}"))
    caption = "Both have as many zeros. Teal is above zero, indigo below, the stronger the colour, the larger the weight."
    return [(lessons.matrices(answer.frames["cells"], which, dark=show.dark()), caption)]


def _layer(answer: Answer) -> list[Drawn]:
    """Draw the layer and its storage."""
    numbers = answer.numbers
    caption = (
        f"Above: the matrix, {numbers['left']:,} of {numbers['weights']:,} weights left. Below: its bytes, to scale; as it is it takes "
        f"{size(numbers['dense_bytes'])}, at best {size(numbers['best_bytes'])}."
    )
    return [(lessons.layer_and_storage(answer.frames["weights"], answer.frames["storage"], dark=show.dark()), caption)]


def _cliff(answer: Answer) -> list[Drawn]:
    """Draw the curve."""
    numbers = answer.numbers
    caption = (
        f"{percent(numbers['cliff'], 0)} can go. The band is what {numbers['images']:.0f} images leave open (95\u202f%). "
        "Dashed: the original; dotted: what may be lost."
    )
    return [(lessons_measured.cliff(answer.frames["curve"], numbers["cliff"], numbers["allowed"], dark=show.dark()), caption)]


def _fragile(answer: Answer) -> list[Drawn]:
    """Draw the layers."""
    numbers = answer.numbers
    caption = (
        f"Dashed: the original, {percent(numbers['dense'])}. The thin lines are what {numbers['images']:.0f} images leave open (95\u202f%)."
    )
    return [(lessons_measured.fragile(answer.frames["layers"], numbers["dense"], dark=show.dark()), caption)]


def _heal(answer: Answer) -> list[Drawn]:
    """Draw the steps."""
    caption = f"Each on the same {answer.numbers['images']:.0f} test images; the thin lines are their 95\u202f% intervals."
    return [(lessons_measured.comeback(answer.frames["course"], dark=show.dark()), caption)]


def _filters(answer: Answer) -> list[Drawn]:
    """Draw the filters, those that go faded, and the layers getting narrower."""
    numbers, frame = answer.numbers, answer.frames["filters"]
    gone = numbers["filters"] - numbers["left"]
    caption = f"The {numbers['filters']:.0f} filters of conv2, one slice of each. The {gone:.0f} with the smallest weights go: crossed out."
    first = kernels(_planes("conv2"), list(frame.kept), columns=16, dark=show.dark(), height=130)
    layers = answer.frames["layers"]
    return [(first, caption), (lessons.narrower(layers, dark=show.dark()), lessons.narrower_caption(layers))]


def _faster(answer: Answer) -> list[Drawn]:
    """Draw bytes, work and time of both copies."""
    rows = answer.frames["times"].set_index("copy")
    found = []
    for measure, column in (("stored bytes", "bytes"), ("multiplications", "effective_macs"), ("time", "ms")):
        for copy, kind in (("zeros", "unstructured"), ("smaller", "structured")):
            value, timed = float(rows.loc[copy, column]), column == "ms"
            share = float(rows.loc[copy, "ratio"]) if timed else value / float(rows.loc["original", column])
            low, high = (float(rows.loc[copy, side]) if timed else np.nan for side in ("low", "high"))
            found.append((measure, kind, share, low, high, f"{value:.3g} ms" if timed else (size if column == "bytes" else count)(value)))
    frame = pd.DataFrame(found, columns=["measure", "kind", "share", "low", "high", "text"])
    caption = (
        f"Blue: zeros in place, stored in the best sparse format, multiplications by zero left out of the count. Orange: fewer channels. "
        f"The original takes {float(rows.loc['original', 'ms']):.3g} ms."
    )
    return [(lessons_measured.against_original(frame, dark=show.dark()), caption)]


def _choose(answer: Answer) -> list[Drawn]:
    """Draw what both copies cost and what they can."""
    frame = answer.frames["budget"]
    right = float(frame.set_index("kind").loc["dense", "accuracy"])
    caption = f"Shares of the original, which reads {percent(right)} right. Both copies keep as much of what is scarce, as far as they can."
    return [(lessons_measured.against_original(lessons_measured.costs_of(frame), dark=show.dark()), caption)]


def _numbered(strip: pd.DataFrame) -> pd.DataFrame:
    """Return heads of layers as people count them, from 1."""
    return strip.assign(layer="layer " + (strip["layer"] + 1).astype(str), head=strip["head"] + 1)


def _heads(answer: Answer) -> list[Drawn]:
    """Draw what comes next, the heads, and the layers each off alone."""
    numbers, said, dark = answer.numbers, answer.frames["bars"], show.dark()
    names = list(said.token)
    now = Bars("Next token", said.now.to_numpy(), names.__getitem__)
    answered = {"as it is": Bars("Next token", said.dense.to_numpy(), names.__getitem__), "with these off": now}
    caption = f"What comes next after your text. Perplexity on {numbers['windows']:.0f} windows of validation text: "
    caption += f"**{numbers['now']:.2f}** ({numbers['low']:.2f} to {numbers['high']:.2f}), {numbers['dense']:.2f} as it is."
    strip = _numbered(answer.frames["strip"])
    layers = answer.frames["layers"]
    told = f"{head_strip_caption(strip, 'harm when it alone is off')} Each measured on a few windows."
    harm = "Perplexity as you have switched, and with one whole layer off. Dashed: all on. The thin lines are 95\u202f% intervals."
    return [
        (answer_bars(answered, dark=dark), caption),
        (head_strip(strip, what="perplexity times", dark=dark), told),
        (lessons_measured.layers_off(layers, numbers["dense"], dark=dark), harm),
    ]


def _closing(answer: Answer) -> list[Drawn]:
    """Draw how many names each size closes, and what is left of the smallest."""
    numbers, dark = answer.numbers, show.dark()
    caption = f"{percent(numbers['share'])} can go. The band is what {numbers['names']:.0f} names leave open (95\u202f%); "
    caption += "dotted: what was asked for."
    curve, widths = answer.frames["curve"], answer.frames["widths"]
    worse = curve[(curve.share < numbers["share"]) & (curve.closed < numbers["least"])]
    if len(worse):
        least = worse.loc[worse.closed.idxmin()]
        caption += f" Not all larger networks close as many: with {percent(least.share)} gone it is {percent(least.closed)}."
    bars = pd.DataFrame({"name": widths["name"], "gone": widths.before - widths.after, "all": widths.before, "requested": np.nan})
    bars = bars.assign(removed=bars["gone"] / bars["all"], ticked=True)
    left = ", ".join(f"{row.name}: {row.after} of {row.before}" for row in widths.itertuples(index=False))
    strip = _numbered(answer.frames["strip"])
    return [
        (lessons_measured.closed_names(curve, numbers["share"], numbers["least"], dark=dark), caption),
        (by_layer(bars, what="channels", dark=dark), f"What is left of the width of each part. {left}."),
        (head_strip(strip, dark=dark), head_strip_caption(strip)),
    ]


def _popularity(answer: Answer) -> list[Drawn]:
    """Draw the AUC of each group, and which rows went."""
    numbers, frame, dark = answer.numbers, answer.frames["groups"], show.dark()
    told = int(frame["significant"].sum())
    caption = f"Marks: as it is. Dots: after the cut, with the paired 95\u202f% interval of the change on {numbers['candidates']:,} "
    caption += f"candidates of the validation part, resampled by users; filled where it is more than chance ({told} of {len(frame) // 2})."
    drawn = [(class_dumbbells(frame, what="AUC within the group", dark=dark, metric=AUC, intervals=True), caption)]
    rows = {kind: (each["lookups"].to_numpy(), each["keep"].to_numpy()) for kind, each in answer.frames.items() if "keep" in each}
    return [*drawn, (row_curves(rows, dark=dark), rows_caption(rows))] if rows else drawn


def _looked_up(values: Mapping[str, Any]) -> Drawn:
    """Draw how often each row is looked up, before any goes."""
    rows = {kind: (often, np.ones(often.size, dtype=np.bool_)) for kind, often in popularity.lookups().items()}
    few = ", ".join(f"half of the {kind}s at most {np.median(often):,.0f} times" for kind, (often, _) in rows.items())
    return row_curves(rows, dark=show.dark()), f"How often each user and each item is looked up in the training data: {few}."


def _first_filters(values: Mapping[str, Any]) -> Drawn:
    """Draw the filters of the first layer."""
    planes = _planes("conv1")
    caption = f"The {len(planes)} filters of conv1, of {planes[0].size} weights each: indigo below zero, teal above, pale near zero."
    return kernels(planes, [True] * len(planes), columns=8, dark=show.dark(), height=240), caption


def _ticked(values: Mapping[str, Any]) -> Drawn:
    """Draw the matrix as ticked, without saying what that costs."""
    frame = answer_of(2, cells=values["cells"]).frames["cells"]
    title = f"{len(values['cells'])} of {len(frame)} weights set to zero"
    return lessons.matrices(frame, (("yours", title),), dark=show.dark()), "Teal is above zero, indigo below; the stronger, the larger."


def _whole_layer(values: Mapping[str, Any]) -> Drawn:
    """Draw the layer before anything is removed."""
    answer = answer_of(3, sparsity=0)
    weights, storage = answer.frames["weights"], answer.frames["storage"]
    figure = lessons.layer_and_storage(weights, storage[storage.format == "dense"], dark=show.dark())
    return figure, f"Before anything is removed: {answer.numbers['weights']:,} weights, {size(answer.numbers['dense_bytes'])}."


def _all_filters(values: Mapping[str, Any]) -> Drawn:
    """Draw the filters before any is cut out."""
    planes = _planes("conv2")
    return kernels(
        planes, [True] * len(planes), columns=16, dark=show.dark(), height=130
    ), f"The {len(planes)} filters of conv2, one slice of each: indigo below zero, teal above, pale near zero."


_MEASURED: dict[str, Callable[[Answer], list[Drawn]]] = {
    "weights": _weights,
    "matrix": _matrix,
    "layer": _layer,
    "cliff": _cliff,
    "fragile": _fragile,
    "heal": _heal,
    "filters": _filters,
    "faster": _faster,
    "choose": _choose,
    "heads": _heads,
    "closing": _closing,
    "popularity": _popularity,
}
_BEFORE: dict[str, Callable[[Mapping[str, Any]], Drawn]] = {
    "weights": _first_filters,
    "matrix": _ticked,
    "layer": _whole_layer,
    "filters": _all_filters,
    "popularity": _looked_up,
}
