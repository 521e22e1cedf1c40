"""What stays of one layer, in words and numbers: indices to copy, and what to notice in its picture."""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from prunekit.formatting import THIN, percent, plural, shape
from prunekit.pruning.structured.plan import Plan
from prunekit.ui.components import show
from prunekit.ui.prune.one_layer import OF_EMBEDDING, Bools, Layer
from prunekit.ui.shared.cuts import View

TALL = 150  # pixels: a longer list of indices scrolls


def ranges(indices: Iterable[int]) -> str:
    """Return whole numbers compactly: ``0, 1, 2, 3, 5`` as ``0-3, 5``."""
    numbers = np.unique(np.fromiter(indices, dtype=np.int64))
    gaps = np.flatnonzero(np.diff(numbers) > 1)
    runs = zip(numbers[np.r_[0, gaps + 1]].tolist(), numbers[np.r_[gaps, -1]].tolist(), strict=True) if numbers.size else ()
    return ", ".join(f"{first}-{last}" if first < last else str(first) for first, last in runs)


def outputs(kept: Bools) -> Bools:
    """Return which outputs keep at least one weight."""
    return np.asarray(kept.any(axis=tuple(range(1, kept.ndim))))


def inputs(kept: Bools) -> Bools:
    """Return which inputs keep at least one weight."""
    return np.asarray(kept.any(axis=(0, *range(2, kept.ndim))))


def number(count: int) -> str:
    """Return a whole number with thin spaces."""
    return f"{count:,}".replace(",", THIN)


def panel(view: View, layer: Layer) -> None:
    """Show the kept part of a layer: which channels, or how many weights of each output and input."""
    if isinstance(view.cut, Plan):
        _channels(layer)
    else:
        _weights(layer)


def _channels(layer: Layer) -> None:
    """List the kept outputs and inputs; of an embedding its channels, and its rows where some go."""
    own = layer.sides[1 if layer.sides == OF_EMBEDDING else 0]
    for word, kept in zip(layer.sides, (outputs(layer.kept), inputs(layer.kept)), strict=True):
        if word == own or not kept.all():
            _listed(f"**{number(int(kept.sum()))} of {plural(kept.size, word)} stay**", kept)
    st.caption("Indices count from 0 in the dense layer; those of all layers stand below.")


def kept_indices(plan: Plan) -> str:
    """Return the outputs that stay of every prunable layer as JSON: ``{"conv1": [0, 1, 2], ...}``."""
    return json.dumps({layer: list(kept) for layer, kept in plan.kept.items()})


def _listed(title: str, which: Bools) -> None:
    """Show indices to copy."""
    st.markdown(title)
    text = ranges(np.flatnonzero(which))
    st.code(text, language=None, wrap_lines=True, height=TALL if len(text) > 170 else "content")


def _weights(layer: Layer) -> None:
    """Say how many weights stay, in all and by output and input, and which outputs and inputs lost everything."""
    left, every = int(layer.kept.sum()), layer.kept.size
    st.markdown(f"**{number(left)} of {plural(every, 'weight')} stay** ({percent(left / every)})")
    sides = {word: _sums(layer.kept, axis) for axis, word in enumerate(layer.sides)}
    st.markdown("\n".join(f"- Each {word} keeps {_span(sums, every // sums.size)}" for word, sums in sides.items()))
    for word, sums in sides.items():
        if not sums.all():
            _listed(f"**{number(int((sums == 0).sum()))} of {plural(sums.size, word)} lost all their weights**", sums == 0)
    if all(sums.all() for sums in sides.values()):
        st.caption(f"No {layer.sides[0]} and no {layer.sides[1]} lost all its weights.")


def _span(sums: NDArray[np.int64], of: int) -> str:
    """Say how many weights are left, from the fewest to the most."""
    low, middle, high = int(sums.min()), float(np.median(sums)), int(sums.max())
    if low == high:
        return f"{number(low)} of its {number(of)} weights."
    return f"{number(low)} to {number(high)} of its {number(of)} weights (median {middle:g})."


def _sums(kept: Bools, axis: int) -> NDArray[np.int64]:
    """Return how many weights of each output (axis 0) or input (axis 1) stay."""
    others = tuple(k for k in range(kept.ndim) if k != axis)
    return np.asarray(np.count_nonzero(kept, axis=others))


def caption(layer: Layer, how: str, outs: range, ins: range) -> str:
    """Say what to notice in a picture, counted in what it shows."""
    start = _start(layer, outs, ins)
    if how == "density":
        return f"{start} {_density(layer)}"
    if how == "colours":
        return f"{start} Red, green and blue are the three inputs of each kernel; grey is zero, and what goes counts as zero."
    if layer.kept.all():
        return start
    if how == "filters":
        return f"{start} {_filters(layer)}"
    if layer.channels:
        return f"{start} {_shrunk(layer)}"
    return f"{start} {_comb(layer, outs, ins) if layer.block else _scatter(layer)}"


def _start(layer: Layer, outs: range, ins: range) -> str:
    """Say how much goes, and which part of the layer is in view."""
    name, every = show.plain(layer.name), layer.kept.size
    if layer.kept.all():
        gone = f"Nothing goes from **{name}**{'' if layer.ticked else ': it is not ticked'}."
    elif layer.channels:
        before, stays = layer.kept.shape, (int(outputs(layer.kept).sum()), int(inputs(layer.kept).sum()))
        gone = f"**{name}** goes from {shape(before)} to {shape((*stays, *before[2:]))}."
    else:
        count = every - int(layer.kept.sum())
        gone = f"**{name}** loses {number(count)} of {number(every)} weights ({percent(count / every)})."
    part = layer.kept[outs.start : outs.stop, ins.start : ins.stop]
    if part.size == every:
        return gone
    where = [
        f"{word} {side.start}–{side.stop - 1} of {number(n)}"
        for word, side, n in zip(map("{}s".format, layer.sides), (outs, ins), layer.kept.shape, strict=False)
        if len(side) < n
    ]
    return f"{gone} In view: {', '.join(where)}; {percent(1 - part.mean())} of these weights go."


def _scatter(layer: Layer) -> str:
    """Say whether zeros lie scattered or take whole kernels and outputs."""
    lost = int((~outputs(layer.kept)).sum())
    end = (
        f"{plural(lost, layer.sides[0])} lost everything: structured pruning could take {'it' if lost == 1 else 'them'} out."
        if lost and layer.sides != OF_EMBEDDING
        else f"The zeros lie scattered over all {layer.sides[0]}s, so the layer keeps its shape and its work."
        if not lost
        else f"{plural(lost, 'row')} lost everything: what they stand for is told by nothing any more."
    )
    if layer.pixels == 1:
        return end
    alive = layer.kept.reshape(*layer.kept.shape[:2], -1).any(axis=2)
    empty = int((~alive).sum())
    return f"{number(empty) if empty else 'None'} of {plural(alive.size, 'kernel')} {'is' if empty < 2 else 'are'} empty. {end}"


def _comb(layer: Layer, outs: range, ins: range) -> str:
    """Say what the pattern leaves of each block in view, and which inputs make no block."""
    rest = layer.kept.shape[1] % layer.block
    end = f"The last {plural(rest, 'input')} {'makes' if rest == 1 else 'make'} no block and {'stays' if rest == 1 else 'stay'}."
    first = -(-ins.start // layer.block) * layer.block
    last = max(first, min(ins.stop, layer.kept.shape[1]) // layer.block * layer.block)
    seen = layer.kept[outs.start : outs.stop, first:last]
    left = seen.reshape(seen.shape[0], -1, layer.block, layer.pixels).sum(axis=2) if seen.size else np.zeros(0)
    if not left.size:
        return end
    span = str(left.min()) if left.min() == left.max() else f"{left.min()} to {left.max()}"
    said = f"Of every {layer.block} inputs in a row {span} stay, in all {plural(left.size, 'block')} in view; lines part the blocks."
    return f"{said} {end}" if rest else said


def _filters(layer: Layer) -> str:
    """Compare the filters that go with those that stay."""
    norm = np.sqrt(np.square(layer.weight, dtype=np.float64).sum(axis=tuple(range(1, layer.weight.ndim))))
    kept = outputs(layer.kept)
    each = "Each tile is a filter; a pixel is the L2 norm over its inputs."
    if kept.all():
        return f"{each} All filters stay; only inputs go."
    medians = f"Median norm of a filter: {np.median(norm[~kept]):.3g} where it goes, {np.median(norm[kept]):.3g} where it stays."
    also = f" {plural(layer.coupled, 'other layer')} shrink together with it and had a say." if layer.coupled else ""
    return f"{each} {medians}{also}"


def _shrunk(layer: Layer) -> str:
    """Say what lines of vermilion are."""
    gone = layer.kept.size - int(layer.kept.sum())
    if layer.sides == OF_EMBEDDING:
        lost = int((~inputs(layer.kept)).sum())
        return f"Whole lines go, {percent(gone / layer.kept.size)} of the weights: {plural(lost, 'channel')}, a column of every row each."
    own, fed = int((~outputs(layer.kept)).sum()), int((~inputs(layer.kept)).sum())
    parts = [f"{plural(own, 'output')} of its own"] * bool(own) + [
        f"{plural(fed, 'input')} that the layers before it no longer deliver"
    ] * bool(fed)
    return f"Whole lines go, {percent(gone / layer.kept.size)} of the weights: {' and '.join(parts)}."


def _density(layer: Layer) -> str:
    """Say what a cell is, and how the shares spread."""
    found = layer.blocks
    kernels = "weights" if layer.pixels == 1 else f"kernels of {layer.pixels} weights"
    low, high = float(found.removed.min()), float(found.removed.max())
    size = f"{found.outputs} × {found.inputs} {kernels} ({layer.sides[0]}s × {layer.sides[1]}s)"
    return f"Each cell is {size}: between {percent(low)} and {percent(high)} of them go."
