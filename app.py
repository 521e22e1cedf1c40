"""The dashboard's server: ``streamlit run app.py`` (or ``prunekit app``).

The pages are routed by ``prunekit/ui/main.py``. This file stands beside ``pages/``, where an ordinary script with
``st.navigation`` would be skipped on a deep link; an ASGI app is not.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import streamlit as st

from prunekit.ui import MAIN
from prunekit.ui.shared import warm_up

with warm_up.quick_imports():
    from prunekit.experiments.jobs import board
    from prunekit.ui.classroom import rules


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[None]:
    """Take up what an earlier server left behind before any browser comes, warm up, and stop at the next batch when this one ends."""
    board().resume()
    warm = asyncio.create_task(warm_up.warm_up())
    yield
    warm.cancel()
    board().close()


app = st.App(MAIN, lifespan=lifespan, middleware=rules.middleware())
