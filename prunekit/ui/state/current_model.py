"""The model and data in use, for a page that cannot do without them."""

from __future__ import annotations

import streamlit as st

from prunekit.data.dataset import Data
from prunekit.errors import CheckpointError, PrunekitError
from prunekit.tasks.protocol import Task
from prunekit.tasks.resolver import resolve
from prunekit.ui import routes
from prunekit.ui.components import show
from prunekit.ui.shared import data_cache, measuring, model_cache
from prunekit.ui.shared.data_cache import source_of
from prunekit.ui.shared.model_cache import Loaded
from prunekit.ui.state import target_scaling
from prunekit.ui.state.session import settings
from prunekit.ui.state.settings import Settings


def model_in_use(*, link: bool = True) -> tuple[Settings, Loaded]:
    """Return the settings and the dense model; where it cannot be loaded, say why, ``link`` to Start and stop the page."""
    now = settings()
    try:
        loaded = model_cache.load(source_of(now))
        model_cache.layer_frame(loaded.source)
    except PrunekitError as error:
        st.error(show.said(error), icon=":material/error:")
        if link:
            routes.link("start", "Upload it again" if isinstance(error, CheckpointError) and now.upload else "Choose a model")
        show.end_page()
    return target_scaling.followed(now, loaded.source), loaded


def data_in_use(now: Settings, loaded: Loaded) -> Data | None:
    """Return the data, or None after saying why there are none and what to do."""
    name = data_cache.data_name(now, loaded)
    if name == data_cache.NO_DATA:
        form = getattr(measuring.task_here(now, loaded), "given_as", "FILE.py:NAME")
        show.empty(
            f"This model has no data here, so its quality cannot be measured. Register some with `prunekit app --data {form}`, "
            "then choose them on the Start page.",
            "database_off",
        )
        return None
    if not data_cache.at_hand(name) and not st.session_state.get(_wish(name)):
        show.empty(
            f"The data set {show.plain(name)} is not on this machine yet. It is downloaded once, into a cache folder or `PRUNEKIT_DATA`.",
            "download",
        )
        st.button(f"Download {name}", key=f"fetch_{name}", icon=":material/download:", on_click=_want, args=(name,))
        return None
    with show.plain_errors(stop=False):
        return data_cache.data_of(now, loaded)
    st.session_state.pop(_wish(name), None)  # it failed: ask again rather than try at every click
    return None


def judged_data_in_use(now: Settings, loaded: Loaded) -> tuple[Data, Task]:
    """Return the data and the task that judges the model on them; stop the page after saying why there are none.

    What there is to know of the samples that choose is said here: these pages show figures on them.
    """
    data = data_in_use(now, loaded)
    if data is None:
        show.end_page()
    if data.note:
        st.caption(data.note)
    with show.plain_errors():
        return data, resolve(loaded.model, data)
    raise AssertionError("an error stops the page")


def _wish(name: str) -> str:
    """Return where a tab notes that data may be downloaded."""
    return f"may_download_{name}"


def _want(name: str) -> None:
    """Allow a download; a button's callback."""
    st.session_state[_wish(name)] = True
