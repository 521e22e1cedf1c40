"""Compare: which one do I take?"""

import streamlit as st

from prunekit.ui import allruns, compare_out, compare_tabs, compare_top, comparing, show
from prunekit.ui.state import settings

show.heading("Which one do I take?", "Two to six runs of one dense model side by side: the answer first, then everything that it rests on.")
now, kept = settings(), comparing.kept()
if kept is None:
    st.stop()
with show.plain_errors():
    allruns.section(now, kept)
    runs = comparing.picked(now, kept)
    found = comparing.comparison(runs, kept)
    with show.slot():
        compare_top.strip(runs, found)
    if found is None:
        st.stop()
    with show.slot():
        compare_top.answer(found)
        comparing.missing(found, kept)
    compare_tabs.tabs(now, found, kept)
    compare_out.section(now, found, kept)
