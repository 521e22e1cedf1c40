"""Prune: what goes, what stays, what does it cost?"""

import streamlit as st

from prunekit.ui.components import block_table, head_strips, layer_table, save_button, setting_controls, show
from prunekit.ui.prune import (
    PAGE,
    big_numbers,
    cautions,
    costs,
    downloads,
    embedding_rows,
    file_sizes,
    kept_units,
    one_sample,
    pictures,
    weight_map,
)
from prunekit.ui.shared import cuts, data_cache, measuring, scores
from prunekit.ui.state import target_scaling
from prunekit.ui.state.current_model import data_in_use, model_in_use

show.heading(PAGE)
now, loaded = model_in_use()
with st.container(border=True):
    setting_controls.setting()
    setting_controls.amount()
    with show.slot():
        target_scaling.chip(now, loaded.source)
    with show.slot():
        if now.mode == "structured":
            with st.container(horizontal=True, gap="large"):
                setting_controls.pills(now, loaded)
                block_table.slider(now, loaded)
            embedding_rows.controls(now, loaded)
    setting_controls.choices()

view = spec = data = None
if data_cache.data_name(now, loaded) != data_cache.NO_DATA:
    data = data_in_use(now, loaded)
images = data_cache.images_of(now, loaded, data)
with show.slot(), show.plain_errors(stop=False), target_scaling.out_of_reach():
    spec = now.spec(loaded.every)
    if scores.ready(loaded, spec, images):
        view = cuts.view(loaded.source, spec, images)
judged = costs.qualities(now, loaded, spec, data) if spec is not None else None
big_numbers.numbers(now, loaded, view, judged)
with st.container(horizontal=True):
    costs.button(now, loaded, view, data, judged)
    save_button.button(now, loaded, view, data)
    downloads.download(now, loaded, view, data)
    if spec is not None:
        downloads.copy_as_command(now, loaded, spec)
with show.slot():
    save_button.panel(now, loaded, view, data)
    if view is not None:
        measuring.panel(costs.quality_key(now, loaded, view.spec))
        if judged is not None:
            with show.plain_errors(stop=False):
                costs.verdict(*judged, measuring.task_here(now, loaded))
        big_numbers.limits(view)
        cautions.section(now, loaded, view)
with show.slot(), show.plain_errors(stop=False):
    one_sample.section(now, loaded, view, images)
if view is not None:
    pictures.pictures(now, loaded, view)
    if not view.rows_alone:  # else they are drawn above, in place of channels that all stay
        with show.slot():
            embedding_rows.section(view)
        weight_map.section(now, loaded, view)
    with show.slot():
        head_strips.of_cut(loaded, view)
    with show.slot():
        kept_units.section(loaded, view)
with show.slot():
    layer_table.section(now, loaded, view)
if view is not None:
    with show.plain_errors(stop=False):
        found = costs.known(now, loaded, view)
        left, right = st.columns(2, gap="medium")
        with left:
            file_sizes.sizes(now, loaded, view, found)
        with right:
            costs.proof(now, loaded, view, found)
