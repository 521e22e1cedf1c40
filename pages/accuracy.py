"""Accuracy vs sparsity: how far can it go?"""

import streamlit as st

from prunekit.ui import answers, show, store, sweeps
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
        sweeps.button(now, loaded, data, split)
    with right:
        sweeps.picture(now, loaded, split, macs)
    frame = sweeps.frame_of(now, loaded, split, macs)
    if sweeps.active(now, loaded, split):
        st.caption("What the curves say follows here when they are measured.")
    elif len(frame):
        answers.read_off(now, frame, sweeps.stopped(now, loaded, split))
        answers.table(loaded, frame, split)
