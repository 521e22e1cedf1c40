"""Prune: what goes, what stays, what does it cost?"""

import streamlit as st

from prunekit.ui import (
    blocks,
    controls,
    costs,
    cuts,
    handout,
    kinds,
    measuring,
    more,
    pixels,
    prune,
    saving,
    scoring,
    show,
    staying,
    store,
    ticks,
)
from prunekit.ui.current import data_in_use, model_in_use

show.heading(
    "What goes, what stays, what does it cost?",
    "Choose how much to remove; what stays is counted at once, and what it costs in accuracy is measured when you ask.",
)
now, loaded = model_in_use()
with st.container(border=True):
    controls.setting()
    controls.amount()
    with show.slot():
        if now.mode == "structured":
            with st.container(horizontal=True, gap="large"):
                kinds.pills(now, loaded)
                blocks.slider(now, loaded)
    more.choices()

view = spec = data = None
if store.data_name(now, loaded) != store.NO_DATA:
    data = data_in_use(now, loaded)
images = store.images_of(now, loaded, data)
with show.slot(), show.plain_errors(stop=False):
    spec = now.spec(loaded.every)
    if scoring.ready(loaded, spec, images):
        view = cuts.view(loaded.source, spec, images)
prune.numbers(now, loaded, view)
with st.container(horizontal=True):
    costs.button(now, loaded, view, data)
    saving.button(now, loaded, view, data)
    handout.download(now, loaded, view, data)
    if spec is not None:
        handout.copy_as_command(now, loaded, spec)
with show.slot():
    saving.panel(now, loaded, view, data)
    if view is not None:
        measuring.panel(costs.accuracy_key(now, loaded, view.spec))
        found = costs.measured(now, loaded, view.spec)
        if found is not None:
            costs.verdict(found)
        prune.limits(view)
if view is not None:
    prune.pictures(now, loaded, view)
    pixels.section(now, loaded, view)
    with show.slot():
        staying.section(loaded, view)
with show.slot():
    ticks.section(now, loaded, view)
if view is not None:
    with show.plain_errors(stop=False):
        found = costs.known(now, loaded, view)
        left, right = st.columns(2, gap="medium")
        with left:
            costs.sizes(now, loaded, view, found)
        with right:
            costs.proof(now, loaded, view, found)
