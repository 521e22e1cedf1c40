"""Quality vs sparsity: how far can it go?"""

import streamlit as st

from prunekit.ui.accuracy import PAGE, choices, max_sparsity_panel, quality_chart, sweeps
from prunekit.ui.components import show
from prunekit.ui.shared import model_cache
from prunekit.ui.state.current_model import judged_data_in_use, model_in_use

show.heading(PAGE)
now, loaded = model_in_use()
data, task = judged_data_in_use(now, loaded)
with show.plain_errors():
    dense = model_cache.counts_of(loaded.source)
    left, right = st.columns([4, 11], gap="medium")
    with left:
        choices.choose(now, loaded)
        split = choices.how(now, data, task)
        lines = sweeps.lines_of(now, loaded, data, split)
        sweeps.button(lines)
    with right:
        metric = choices.axes(now, task.headline, quality_chart.whole_of(lines), data.classes or loaded.info.classes)
        quality_chart.picture(now, lines, split, dense, task, metric)
    frame = quality_chart.frame_of(lines, dense)
    if any(line.busy for line in lines):
        st.caption("What the curves say follows here when they are measured.")
    elif len(frame) > 1:
        max_sparsity_panel.read_off(now, lines, task)
        max_sparsity_panel.table(loaded, frame, split, task.headline)
