"""The dashboard's server: ``streamlit run app.py`` (or ``prunekit app``).

The pages are routed by ``prunekit/ui/main.py``. This file stands beside ``pages/``, where an ordinary script with
``st.navigation`` would be skipped on a deep link; an ASGI app is not.
"""

import streamlit as st

from prunekit.ui import MAIN

app = st.App(MAIN)
