"""The router: reads the address, shows the sidebar, runs one page."""

from contextlib import suppress
from pathlib import Path

import streamlit as st

from prunekit.experiments.jobs.job import PEOPLE
from prunekit.ui import routes
from prunekit.ui.classroom import rules
from prunekit.ui.components import show, sidebar
from prunekit.ui.shared import measuring, model_cache
from prunekit.ui.state import session

with PEOPLE.first():
    st.set_page_config(page_title="prunekit", page_icon=show.mark(), layout="wide")
    st.html(Path(__file__).with_name("style.css"))
    st.html(f"<script>{Path(__file__).with_name('focus.js').read_text(encoding='utf-8')}</script>", unsafe_allow_javascript=True)
    st.logo(show.wordmark(), size="large", link=None)
    with show.plain_errors(stop=False):
        model_cache.register_launch()
    rules.begin()
    session.sync()
    here = routes.navigation()
    sidebar.draw()
    with show.slot():
        for sentence in session.problems():
            st.warning(sentence, icon=":material/link_off:")
    measuring.begin_page(here.url_path)
    beside = show.slot()
    with suppress(show.PageEnd):
        here.run()
    with beside:  # what a page shows is known once it is drawn
        measuring.others()
