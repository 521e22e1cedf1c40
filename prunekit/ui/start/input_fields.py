"""The fields of the Start page for what goes into a model of one's own: input size, mean and std, classes, filled with what is known."""

from __future__ import annotations

import re
from typing import Any

import streamlit as st

from prunekit.config.fields import table
from prunekit.data.dataset import Data
from prunekit.errors import PrunekitError
from prunekit.models.info import numbered
from prunekit.tasks.classification import Classification
from prunekit.tasks.registry import TASKS
from prunekit.tasks.resolver import resolve
from prunekit.ui.components import show
from prunekit.ui.shared import data_cache, measuring, model_cache
from prunekit.ui.shared.data_cache import source_of
from prunekit.ui.shared.model_cache import Loaded
from prunekit.ui.start import gallery
from prunekit.ui.state import session
from prunekit.ui.state.address import CODECS, MOST_CLASSES
from prunekit.ui.state.settings import Settings

FORMS = {
    "size": "a side in pixels such as 64, or a whole shape such as 3 × 64 × 64",
    "mean": "a number for each channel, such as 0.485, 0.456, 0.406",
    "std": "a number above 0 for each channel, such as 0.229, 0.224, 0.225",
    "classes": "different names with commas between them, or how many classes there are",
}
FEW = 60  # classes whose names are written into the field


def are_asked(now: Settings) -> bool:
    """Whether the model in use is somebody's own, whose inputs nobody here knows: samples say all of theirs."""
    return bool(now.upload) or gallery.shelf_of(now.model) != "sample"


def fields(now: Settings) -> None:
    """Show the fields, each filled with what was given here, or with what model and data say."""
    try:
        loaded = model_cache.load(source_of(now))
    except PrunekitError:  # the page says why
        return
    if loaded.own_form:
        st.caption(f"One sample is {show.plain(loaded.input_words)}. Samples go in as the data give them: no size, mean or std to set.")
        return
    data = data_cache.data_here(now, loaded)
    known = _known(loaded, data)
    asked = list(FORMS) if isinstance(measuring.task_here(now, loaded), Classification) else ["size"]
    boxes = st.columns([2, 2, 2, 3])
    for box, field in zip(boxes, asked, strict=False):
        given = getattr(now, field)
        value = _text(field, given or known[field])
        with box:
            st.text_input(
                table(Settings)[field].label, on_change=_take, args=(field, value),
                placeholder=_placeholder(field, known[field], data), help=_help(field), **session.mirror(f"pick_{field}", value),
            )  # fmt: skip
    st.caption(_origins(now, loaded))
    wrong = _disagreement(now, loaded, data)
    if wrong:
        st.warning(wrong, icon=":material/help:")


def choose_task(now: Settings) -> None:
    """Show what the model is for, and let people choose where model and data leave it open."""
    offered = list(dict.fromkeys(["", *model_cache.task_names(), now.task]))
    told = ""
    if not now.task:
        try:
            loaded = model_cache.load(source_of(now))
            told = f": {resolve(loaded.model, data_cache.data_here(now, loaded)).title}"
        except PrunekitError:  # the page says why
            told = ""
    st.selectbox(
        "Task", offered, format_func=lambda name: title_of(name) if name else f"as the model and the data say{told}", width=420,
        help="What the model answers, and how that is judged. A task of your own is named at launch: `prunekit app --model M --task F`.",
        **session.bind("task", start=offered),
    )  # fmt: skip


def title_of(name: str) -> str:
    """Return a task's title; one of somebody's own is called by its place."""
    return TASKS[name].title if name in TASKS else name


def _known(loaded: Loaded, data: Data | None) -> dict[str, tuple[Any, ...]]:
    """Return what model and data say."""
    info = loaded.info
    found = {"size": loaded.source.shape or info.input_shape or (), "mean": info.mean or (), "std": info.std or (), "classes": info.classes}
    if data is not None:
        done = _done(data)
        found |= {field: () if data.guesses else getattr(done, field, None) or () for field in ("mean", "std")}
        found["classes"] = data.classes or info.classes
    return found


def _done(data: Data) -> Any:
    """Return what is done to the samples of data: has ``mean`` and ``std``, which may be None."""
    return getattr(data.test, "normal", None) or getattr(data.test, "prepared", None)


def _text(field: str, values: tuple[Any, ...]) -> str:
    """Return values as people write them."""
    if field == "size":
        return " × ".join(map(str, values))
    if field == "classes":
        return ", ".join(values) if len(values) <= FEW else ""
    return ", ".join(f"{value:.10g}" for value in values)


def _placeholder(field: str, known: tuple[Any, ...], data: Data | None) -> str:
    """Say what an empty field means."""
    if field == "classes":
        return f"{len(known):,} classes: {known[0]}, {known[1]}, …" if len(known) > FEW else "by number"
    if field == "size":
        return "nobody knows"
    guess = getattr(_done(data), field, None) if data is not None and data.guesses else None
    return f"{_text(field, guess)}, a guess" if guess else "as the data come"


def _help(field: str) -> str:
    """Say what to write, and what it does."""
    does = {
        "size": "The shorter side of pictures is resized to this, then the centre is cropped; those with boxes are scaled to fit and "
        "padded. Empty: they keep their own size.",
        "mean": "Subtracted from each channel: from pixels in 0 to 1, or from what your data's own transforms make.",
        "std": "What each channel is divided by, after the mean is subtracted.",
        "classes": "Folders of pictures are numbered by these names, and answers are called by them.",
    }
    return f"{FORMS[field][0].upper()}{FORMS[field][1:]}. {does[field]}"


def _read(field: str, text: str) -> tuple[Any, ...]:
    """Read what somebody wrote; raise ValueError where it cannot be read."""
    if not text.strip():
        return ()
    if field == "classes":
        if re.fullmatch(r"\s*\d{1,4}\s*", text) and 1 < int(text) <= MOST_CLASSES:
            return numbered(int(text))
        return tuple(CODECS[field].read("~".join(part.strip() for part in text.split(",") if part.strip())))
    parts = re.split(r"[x×*,;\s]+" if field == "size" else r"[,;\s]+", text.strip(" ()[]"))
    return tuple(CODECS[field].read("_".join(parts)))


def _take(field: str, before: str) -> None:
    """Take what was written; what says no more than is known anyway is nothing that was given."""
    text = str(st.session_state.get(f"pick_{field}") or "")
    if text.strip() == before.strip():
        return
    try:
        value = _read(field, text)
    except ValueError:
        session.complain(f"{FORMS[field][0].upper()}{FORMS[field][1:]} was expected, not “{show.plain(text[:60])}”: nothing was changed.")
        return
    session.change(**{field: value})


def _origins(now: Settings, loaded: Loaded) -> str:
    """Say where each of them comes from."""
    given = [word for word, value in (("size", now.size), ("mean", now.mean), ("std", now.std), ("classes", now.classes)) if value]
    here = f"Given here: {', '.join(given)}. Empty a field to go back to what is known. " if given else ""
    if now.size:
        size = ""
    elif loaded.guessed:
        size = "The input size is a guess. "
    elif loaded.source.shape:
        size = "The input size is that of the data. "
    elif loaded.info.input_shape is None:
        size = ""
    else:
        size = f"The input size is what {'its folder' if loaded.info.checked else 'the model itself'} says. "
    return f"{here}{size}".strip() or " "


def _disagreement(now: Settings, loaded: Loaded, data: Data | None) -> str:
    """Say where what was given cannot hold: a shape that the data do not have, or names for another number of classes."""
    if data is not None and len(now.size) > 1 and now.size != loaded.input_shape:
        return f"The data give samples of {_text('size', loaded.input_shape)}, not of {_text('size', now.size)}: those of the data count."
    return ""
