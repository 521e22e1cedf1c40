"""Recover: what comes back?"""

import streamlit as st

from prunekit.ui.components import show
from prunekit.ui.recover import PAGE, options, results
from prunekit.ui.state.current_model import accuracy_data_in_use, model_in_use

show.heading(PAGE)
now, loaded = model_in_use()
data = accuracy_data_in_use(now, loaded, "prune --epochs 3")
if data is None:
    st.stop()
options.what_is_pruned(now, loaded)
with show.plain_errors():
    if data.train is None:
        show.empty("These data have no training split, and recovery learns from training images: choose data that have one.", "school")
        st.stop()
    options.choices(now, loaded, data)
    with show.slot():
        options.plan(now, loaded, data)
    with show.slot():
        request = results.buttons(now, loaded, data, options.problem(now, loaded))
    if request is not None:
        results.results(now, loaded, request)
