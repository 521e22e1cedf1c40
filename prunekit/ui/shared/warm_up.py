"""The server's start: imports without garbage collection, pages drawn for nobody while the first visitors come, a freeze.

After every run of a script Streamlit collects all garbage, over every object that torch, plotly and pandas made: four fifths of a move of
a slider. None of these objects ever goes, so they are taken out of the collector's sight by ``gc.freeze()``. That pays as far as
what is there to stay *is* there: modules that a page imports when it is drawn first, the default sample, caches. So the pages are drawn
first, and what is there so far is frozen after each, for the visitors of the meantime; in the end all is looked through once and frozen.
A server that is not to draw pages freezes its imports alone, which is most of it.

They are drawn behind, not before: the server answers as soon as it is loaded, for a machine with no work should show its first page at
once. :func:`warm_up` is a visitor like any other, with sessions of Streamlit's own runtime whose browser throws away what it is sent. It
opens one page after another, and lets whoever came meanwhile go first. What it loads a visitor would have to load, too, and it is loaded
once: both wait at the same locks of imports and caches. In the end its sessions are closed and their threads gone, garbage is collected and
what is left frozen. What a visitor's run happens to hold at that moment goes by its reference counts as ever.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime import get_instance
from streamlit.runtime.session_manager import SessionClient

from prunekit.ui import routes

VARIABLE = "PRUNEKIT_WARM_UP"
VISITS = tuple(("" if name == routes.FIRST else name, address) for name, page in routes.ABOUT.items() for address in page.visits)
"""Page and address: nothing on these is measured before somebody asks for it, and nothing is kept."""
HEAD_START_S, LOOK_S, PATIENCE_S, LONGEST_S = 0.3, 0.05, 5.0, 120.0
SCRIPTS = "ScriptRunner.scriptThread"  # Streamlit's name of the threads that run scripts

_LOG = logging.getLogger("prunekit.ui")


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import without garbage collection, and load torch so that its idle threads sleep.

    Looking for garbage while nothing but lasting objects is made takes a fifth of the imports; collection is on again after the freeze.
    Threads that spin while they wait for work take the processors from everybody else in a server. They read how to wait when torch is
    loaded, and processes that time models must not inherit it.
    """
    gc.disable()
    name, before = "OMP_WAIT_POLICY", os.environ.get("OMP_WAIT_POLICY")
    os.environ.setdefault(name, "PASSIVE")
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]


def wanted() -> bool:
    """Return whether the server is to warm up: unless ``PRUNEKIT_WARM_UP=0``."""
    return os.environ.get(VARIABLE, "1") != "0"


async def warm_up() -> None:
    """Freeze the imports, draw the first pages for nobody, freeze what is there; whatever goes wrong is logged, and the server serves."""
    try:
        gc.freeze()  # what was imported: pages that show progress are drawn so often that a job would get no turn
        if wanted():
            await asyncio.sleep(HEAD_START_S)
            for page, address in VISITS:
                await _calm()
                await _visit(page, address)
                gc.freeze()
            await _calm()
            gc.unfreeze()
            gc.collect()
            gc.freeze()
    except Exception:
        _LOG.exception("the server could not warm up: it serves, and its first visitors wait a little longer")
    finally:
        gc.enable()


async def _calm() -> None:
    """Wait until no script runs; not for ever, for in a class there may be no such moment."""
    for _ in range(round(PATIENCE_S / LOOK_S)):
        if not any(thread.name == SCRIPTS for thread in threading.enumerate()):
            return
        await asyncio.sleep(LOOK_S)


async def _visit(page: str, address: str) -> None:
    """Open one page in a session of its own, which ends with it."""
    runtime, done = get_instance(), asyncio.Event()
    session = runtime.connect_session(_Nobody(done.set), {})
    try:
        message = BackMsg()
        message.rerun_script.page_name, message.rerun_script.query_string = page, address
        runtime.handle_backmsg(session, message)
        await asyncio.wait_for(done.wait(), LONGEST_S)
    finally:
        runtime.close_session(session)


class _Nobody(SessionClient):
    """A browser that looks at nothing and notes when a page is drawn."""

    def __init__(self, drawn: Callable[[], None]) -> None:
        self._drawn = drawn

    def write_forward_msg(self, msg: ForwardMsg) -> None:
        """Take a message."""
        if msg.WhichOneof("type") == "script_finished":
            self._drawn()
