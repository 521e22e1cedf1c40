"""Models to choose from and pictures from their data, for the Start page."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from PIL import Image

from prunekit import data
from prunekit.errors import PrunekitError
from prunekit.formatting import count, size
from prunekit.models.entries import ModelEntry
from prunekit.models.layers import weight_of
from prunekit.ui import routes
from prunekit.ui.components.show import plain, plus_minus, said, tag
from prunekit.ui.shared import asking, baseline, data_cache, measuring, model_cache
from prunekit.ui.shared.asking import Picture, enlarge
from prunekit.ui.shared.cache import shared
from prunekit.ui.shared.model_cache import Images, Source
from prunekit.ui.state import session
from sample_models import FOLDERS, SAMPLES


def shelf_of(name: str) -> str:
    """Return the shelf on which a model stands: sample, torchvision or own."""
    try:
        return str(model_cache.entry_of(name).kind)
    except PrunekitError:
        return "sample"


def choose(model: str, *, pretrained: bool = False, upload: str = "") -> None:
    """Take another model; a button's callback."""
    now = session.settings()
    if (now.model, now.pretrained, now.upload) != (model, pretrained, upload):
        session.put(now.of_model(model, pretrained=pretrained, upload=upload))


COUNTED = {"params", "macs", "weights_bytes"}


@st.cache_data(max_entries=16, show_spinner=False)
def thumbnails(name: str, how_many: int = 6, side: int = 48) -> Picture:
    """Return a strip of pictures from a data set that is at hand."""
    split = data.load_data(name, limit=64).test
    places = np.linspace(0, len(split) - 1, how_many).astype(int)
    return _strip([enlarge(split.picture(int(i)), side) for i in places])


@shared(16)
def first_weights(source: Source, how_many: int = 6, side: int = 48) -> Picture:
    """Return a strip of pictures of a model's first units: what stands in for data that would have to be downloaded."""
    loaded = model_cache.load(source)
    weight = weight_of(loaded.model, loaded.layers[0])
    flat = weight.flatten(1)
    channels, height, width = loaded.input_shape if weight.dim() == 2 else tuple(weight.shape[1:])
    best = flat.norm(dim=1).argsort(descending=True)[:how_many]
    planes = flat[best].reshape(-1, channels, height, width).mean(1).numpy()
    return _strip([enlarge(_grey(plane), side) for plane in planes])


def _grey(plane: NDArray[np.float32]) -> Picture:
    """Return weights as grey levels, zero in the middle."""
    most = float(np.abs(plane).max()) or 1.0
    return np.asarray((plane / most * 127 + 128).round().clip(0, 255), np.uint8)[:, :, None]


def _strip(tiles: list[Picture]) -> Picture:
    """Return pictures beside each other with a white gap."""
    padded = [np.pad(tile, ((0, 0), (0, 4), (0, 0)), constant_values=255) for tile in tiles]
    return np.concatenate(padded, 1)[:, :-4]


def cards(entries: list[ModelEntry]) -> None:
    """Show a card for each model, three in a row where there is room."""
    with st.grid(3, min_column_width=215):
        for entry in entries:
            with st.container(border=True, height="stretch"):
                _card(entry)


def _card(entry: ModelEntry) -> None:
    """Show one model: pictures, what it does, what it costs."""
    now, public = session.settings(), model_cache.public_name(entry)
    used = now.model == public and not now.upload
    try:
        known, strip, alt = _own_figures(entry, public) if entry.kind == "own" else _sample_figures(entry)
    except PrunekitError as error:
        st.markdown(f"**{plain(entry.title)}**  \n:gray[{plain(entry.task)}]")
        st.caption(said(error))
        return
    if strip is not None:
        st.image(strip, width="stretch", alt=alt)
    st.markdown(f"**{plain(entry.title)}**  \n:gray[{plain(str(known.get('task_title', entry.task)))}]")
    drawn_of_weights = strip is not None and alt.startswith(UNITS)
    st.caption(entry.description + (" (Pictures: units of its first layer.)" if drawn_of_weights else ""))
    figure = known.get("figure")
    quality = "" if figure is None else (
        f"**{plus_minus(figure.value, figure.low, figure.high, figure.metric)}** {figure.metric.phrase}, n = {figure.n:,} "
        f"{tag('measured')}  \n"
    )  # fmt: skip
    st.markdown(f"{quality}{count(known['params'])} parameters · {count(known['macs'])} MACs · {size(known['weights_bytes'])}")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "In use" if used else "Use this model", key=f"use_{public}", disabled=used, on_click=choose, args=(public,),
            icon=":material/check:" if used else None,
        )  # fmt: skip
        st.markdown(_availability(entry) if entry.kind == "sample" else f":gray-badge[data: {plain(str(known['data']))}]")


UNITS = "Six first-layer units of"


def _sample_figures(entry: ModelEntry) -> tuple[dict[str, Any], Any, str]:
    """Return what a sample's card says, its pictures and what these are; a card that tells what the model costs spares loading it."""
    source, data, known = Source(entry.name), entry.data, dict(entry.card or {})
    if COUNTED - known.keys():
        known |= _costs(source)
    known["figure"] = baseline.card_figure(entry.card, data)
    if entry.name not in SAMPLES:
        drawn = FOLDERS[entry.name] / "picture.png"
        return known, drawn if drawn.is_file() else None, f"A glimpse of {entry.title}"
    if data_cache.at_hand(data):
        return known, thumbnails(data), f"Six pictures from the data of {entry.title}"
    return known, first_weights(source), f"{UNITS} {entry.title}"


def _own_figures(entry: ModelEntry, public: str) -> tuple[dict[str, Any], Any, str]:
    """Return what a registered model costs, what was measured of it, and its pictures."""
    now = session.settings()
    mine = now if now.model == public and not now.upload else now.of_model(public)
    loaded = model_cache.load(data_cache.source_of(mine))
    known = _costs(loaded.source) | {
        "figure": baseline.figure(mine, loaded),
        "task_title": measuring.task_here(mine, loaded).title,
        "data": data_cache.data_name(mine, loaded),
    }
    here = data_cache.data_here(mine, loaded)
    strip = None if here is None else _own_pictures(loaded.source, data_cache.images_of(mine, loaded, here))
    if strip is not None:
        return known, strip, f"Six pictures from the data of {entry.title}"
    weight = weight_of(loaded.model, loaded.layers[0]) if loaded.layers else None
    drawn = None if weight is None or weight.dim() != 4 else first_weights(loaded.source)
    return known, drawn, f"{UNITS} {entry.title}"


def _costs(source: Source) -> dict[str, Any]:
    """Return what a model costs."""
    counts = model_cache.counts_of(source)
    return {"params": counts.params, "macs": counts.macs, "weights_bytes": model_cache.file_of(source).dense}


@shared(16)
def _own_pictures(source: Source, images: Images, how_many: int = 6, side: int = 48) -> Picture | None:
    """Return a strip of pictures from somebody's data; None where samples are no pictures."""
    found = data_cache.data_at(images, source)
    if found is None or not len(found.test):
        return None
    task = asking.task_here(source, images)
    places = np.linspace(0, len(found.test) - 1, how_many).astype(int)
    shown = [task.shown(found.test, int(place)) for place in places]
    tiles = [each.picture for each in shown if each is not None and each.picture is not None]
    return _strip([_square(tile, side) for tile in tiles]) if tiles else None


def _square(picture: Picture, side: int) -> Picture:
    """Return a picture scaled to a square."""
    rgb = np.repeat(picture, 3, 2) if picture.shape[2] == 1 else picture
    return np.asarray(Image.fromarray(rgb).resize((side, side)))


def _availability(entry: ModelEntry) -> str:
    """Say whether the model's data have to be downloaded, or brought."""
    if data_cache.has_to_be_brought(entry.data):
        return f":gray-badge[needs the images of {entry.data}, which are not here]"
    return ":green-badge[no download]" if data_cache.at_hand(entry.data) else f":gray-badge[{entry.data} is downloaded at first use]"


def next_steps() -> None:
    """Show where to go from Start."""
    now = session.settings()
    with st.container(horizontal=True):
        routes.link("layers", "See its layers")
        routes.link("prune", "Prune it")
        routes.link("accuracy", "See how far it can go")
        routes.link("learn", "Go on with the lessons" if now.done or now.lesson > 1 else "Take the first lesson")
