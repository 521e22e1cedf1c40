"""The weights of one layer as a picture on the Prune page: kept and removed, each in its place."""

from __future__ import annotations

import math

import numpy as np
import plotly.graph_objects as go
import streamlit as st
from numpy.typing import NDArray

from prunekit.formatting import shape
from prunekit.models.layers import weight_of
from prunekit.plots.filter_tiles import colour_tiles, filter_tiles, kernel_tiles
from prunekit.plots.weight_pixels import parts, planes, share_map, weight_pixels
from prunekit.ui.components import show
from prunekit.ui.prune import kept_weights
from prunekit.ui.prune.one_layer import Floats, Layer, layer_of
from prunekit.ui.shared import model_cache
from prunekit.ui.shared.cache import shared
from prunekit.ui.shared.cuts import View
from prunekit.ui.shared.model_cache import Loaded, Source
from prunekit.ui.state import session
from prunekit.ui.state.settings import Settings

HOW = {"filters": "Filters", "values": "Values", "mask": "Mask", "density": "Whole layer", "colours": "Colours"}
SAMPLE = 1_000_000  # weights that are looked at to choose where colours saturate
COVER = 0.99  # share of weights below that magnitude: rare large ones would leave all others pale


def section(now: Settings, loaded: Loaded, view: View) -> None:
    """Show the layer in focus as a picture with its mask."""
    show.section("Which channels stay, which go?" if view.what == "channels" else "Which weights stay, which go?")
    rows = zip(view.frame.index, view.frame["name"], view.frame["before"], view.frame["ticked"], strict=True)
    names = {place: f"{name} · {shape(before)}" + ("" if ticked else " · not ticked") for place, name, before, ticked in rows}
    st.selectbox(
        "Layer", list(names), format_func=names.__getitem__, label_visibility="collapsed",
        **session.bind("focus", start=list(names), show=lambda _: shown(now, view), place="_pixels"),
    )  # fmt: skip
    st.fragment(_body, key="pixels_body")(loaded, view, loaded.every[shown(now, view)])


def shown(now: Settings, view: View) -> int:
    """Return the place of the layer to show: the one in focus, or the biggest ticked one that fits into one picture.

    Not the one that loses most: the picture would jump from layer to layer while a slider moves.
    """
    sizes = dict(view.frame["before"])
    if now.focus in sizes:
        return now.focus
    ticked = list(view.frame.index[view.frame["ticked"] & (view.frame["gone"] < view.frame["all"])]) or [0]
    whole = [place for place in ticked if all(len(side) == 1 for side in parts(sizes[place]))]
    return int(max(whole, key=lambda place: math.prod(sizes[place])) if whole else ticked[0])


def _body(loaded: Loaded, view: View, name: str) -> None:
    """Draw the picture and the lists; a fragment, so that its own controls leave the rest of the page alone."""
    layer = layer_of(loaded, view, name)
    if not layer.kept.any() and layer.channels:
        show.empty(f"{name} goes with its whole block: nothing of it stays.", "layers_clear")
        return
    left, right = st.columns([2, 1], gap="medium")
    with left:
        how = st.segmented_control(
            "Show", layer.ways, required=True, default=layer.ways[0], format_func=HOW.__getitem__, label_visibility="collapsed",
            key="pixels_how_" + "_".join(layer.ways), persist_state="session",
        )  # fmt: skip
        how = how if how in layer.ways else layer.ways[0]
        with st.container(horizontal=True):
            part = [
                _part(name, how, word, side)
                for word, side in zip((f"{side.capitalize()}s" for side in layer.sides), layer.parts(how), strict=True)
            ]
        fig = picture(layer, how, part[0], part[1], _reach(loaded.source, name))
        show.chart(fig, f"pixels_{name}_{how}_{part[0].start}_{part[1].start}", kept_weights.caption(layer, how, part[0], part[1]))
    with right:
        kept_weights.panel(view, layer)


def _part(name: str, how: str, word: str, side: tuple[range, ...]) -> range:
    """Return the part of one side to show; where there are several, let a slider choose."""
    if len(side) == 1:
        return side[0]
    labels = {i: f"{span.start}–{span.stop - 1}" for i, span in enumerate(side)}
    key = f"pixels_{word}_{name}_{how in ('filters', 'colours')}_{len(side)}"
    place = st.select_slider(
        f"{word} of {kept_weights.number(side[-1].stop)}",
        list(labels),
        format_func=labels.__getitem__,
        key=key,
        persist_state="session",
        width=220,
    )
    return side[place]


def picture(layer: Layer, how: str, outputs: range, inputs: range, reach: float) -> go.Figure:
    """Return a layer as a picture."""
    dark, part = show.dark(), slice(outputs.start, outputs.stop)
    if how == "density":
        return share_map(layer.blocks, sides=layer.sides, dark=dark)
    if how == "filters":
        return filter_tiles(norms(layer.weight[part]), kept_weights.outputs(layer.kept[part]), first=part.start, dark=dark)
    if how == "colours":
        return colour_tiles(layer.weight[part], layer.kept[part], first=part.start, dark=dark)
    values = how == "values"
    if layer.gallery:
        return kernel_tiles(planes(layer.weight[part]), planes(layer.kept[part]), values=values, reach=reach, first=part.start, dark=dark)
    return weight_pixels(
        layer.weight, layer.kept, outputs=outputs, inputs=inputs, block=layer.block, values=values, reach=reach, sides=layer.sides,
        dark=dark,
    )  # fmt: skip


def norms(weight: Floats) -> NDArray[np.float64]:
    """Return the L2 norm of each pixel of each filter over its inputs, shape [outputs, rows, columns]."""
    return np.asarray(np.sqrt(np.square(planes(weight), dtype=np.float64).sum(axis=1)))


@shared(256)
def _reach(source: Source, name: str) -> float:
    """Return the magnitude at which colours saturate, the same for every part of a layer and every cut."""
    flat = weight_of(model_cache.load(source).model, name).cpu().float().numpy().reshape(-1)
    return float(np.quantile(np.abs(flat[:: max(1, flat.size // SAMPLE)]), COVER))
