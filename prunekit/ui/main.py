"""The router: reads the address, shows the sidebar, runs one page."""

import streamlit as st

from prunekit.ui import classroom, routes, show, sidebar, state, store

st.set_page_config(page_title="prunekit", page_icon=show.mark(), layout="wide")
st.logo(show.wordmark(), size="large", link=None)
with show.plain_errors(stop=False):
    store.register_launch()
classroom.begin()
state.sync()
here = routes.navigation()
sidebar.show()
with show.slot():
    for sentence in state.problems():
        st.warning(sentence, icon=":material/link_off:")
here.run()
