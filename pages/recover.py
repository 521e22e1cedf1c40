"""Recover: what comes back?"""

import streamlit as st

from prunekit.ui import comeback, show, tuning
from prunekit.ui.current import data_in_use, model_in_use

show.heading(
    "How much accuracy comes back after pruning?",
    "Recalibrate BatchNorm or fine-tune what the cut left over, in one go or step by step, and see what each step brings.",
)
now, loaded = model_in_use()
data = data_in_use(now, loaded)
if data is None:
    st.stop()
tuning.what_is_pruned(now, loaded)
with show.plain_errors():
    if data.train is None:
        show.empty("These data have no training split, and recovery learns from training images: choose data that have one.", "school")
        st.stop()
    tuning.choices(now, loaded, data)
    with show.slot():
        tuning.plan(now, loaded, data)
    with show.slot():
        request = comeback.buttons(now, loaded, data, tuning.problem(now))
    if request is not None:
        comeback.results(now, loaded, request)
