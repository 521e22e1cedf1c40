"""Accuracy vs sparsity: how far can it go?"""

import streamlit as st

from prunekit.ui import answers, show, state, store, sweeps
from prunekit.ui.background import board
from prunekit.ui.current import data_in_use, model_in_use

show.heading(
    "How far can it be pruned before accuracy breaks?",
    "Several settings on one picture, each measured at many sparsities, without any recovery: where a curve bends is how far it can go.",
)
now, loaded = model_in_use()
data = data_in_use(now, loaded)
if data is None:
    st.stop()
with show.plain_errors():
    macs = store.counts_of(loaded.source).macs
    left, right = st.columns([4, 11], gap="medium")
    with left:
        sweeps.choose(now)
        split = sweeps.split_choice(now, data)
        jobs = [board().get(sweeps.key_of(now, loaded, curve, split)) for curve in sweeps.curves_of(now)]
        settled = all(job is not None and job.state in ("done", "waiting", "running") for job in jobs)
        st.button(
            "Measured" if settled else "Measure",
            key="measure_curves",
            type="primary",
            icon=":material/check:" if settled else ":material/speed:",
            disabled=settled,
            on_click=sweeps.start,
            args=(now, loaded, data, split),
            width="stretch",
        )
    with right:
        sweeps.picture(now, loaded, split, macs)
    frame = sweeps.frame_of(now, loaded, split, macs)
    if len(frame):
        answers.read_off(now, frame)
        answers.table(loaded, frame, split)
state.write()
