"""Export: how do I take it away?"""

import streamlit as st

from prunekit.ui import comparing, exporting, show
from prunekit.ui.state import settings

show.heading(
    "How do I take it away?",
    "One archive for each run, which opens anywhere without prunekit; and archives of others taken in as runs.",
)
now, kept = settings(), comparing.kept()
if kept is None:
    st.stop()
with show.plain_errors():
    with show.slot():
        show.section("Take a run away")
        run = exporting.pick(now, kept)
        if run is not None:
            exporting.figures(run, kept)
            exporting.export(run, kept)
    show.section("Take an archive in")
    exporting.taking_in(kept)
