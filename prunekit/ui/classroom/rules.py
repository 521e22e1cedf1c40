"""What is different in a class: who sits where, what a browser may start, which runs it sees, and another class that has begun.

A browser is known by a cookie that its first page gave it, so that a reloaded page finds its runs and an address can be passed on without
passing them on. A browser that takes no cookie has its seat as long as its tab is open.
"""

from __future__ import annotations

import hmac
import re
import secrets
from typing import Any, cast

import streamlit as st
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.runtime.scriptrunner import get_script_run_ctx

from prunekit.experiments.classroom import from_environment
from prunekit.experiments.jobs import board
from prunekit.experiments.jobs.job import Job
from prunekit.experiments.store import RunStore
from prunekit.ui.classroom.seats import Room, Seat, View
from prunekit.ui.state import session

COOKIE = "prunekit_seat"
MOST_JOBS = 6
REMEMBERED = 500
LOOK_S = 8.0
_TOKEN, _TURN, _NEWS, _TEACHER = "class_seat", "class_turn", "class_news", "teacher"
_ROOM = Room()
RESTARTED = "Another class has begun: the teacher started afresh. What was made before is gone, and this page stands at its beginning."


def active() -> bool:
    """Return whether this server serves a class."""
    return from_environment() is not None


def room() -> Room:
    """Return the seats of this server."""
    return _ROOM


def begin() -> None:
    """Take a seat, hear a teacher's key, and start afresh when another class has begun; before the address is read."""
    if not active():
        return
    shared = board()
    shared.shows, shared.store_for, shared.remembers = _shows, _ROOM.store_for, REMEMBERED
    _hear_teacher()
    if st.session_state.setdefault(_TURN, _ROOM.turn) != _ROOM.turn:
        _start_afresh()
    if st.session_state.pop(_NEWS, False):
        st.info(RESTARTED, icon=":material/restart_alt:")


def _hear_teacher() -> None:
    """Take the teacher's key out of the address, which others may see, and remember who showed it."""
    shown = st.query_params.get(_TEACHER)
    if shown is None:
        return
    del st.query_params[_TEACHER]
    known = from_environment()
    if known is not None and known.key and hmac.compare_digest(shown.encode(), known.key.encode()):
        _ROOM.teachers.add(token())
    else:
        st.warning("That is not the teacher's address of this class: it stands on the console of the server.", icon=":material/key_off:")


def _start_afresh() -> None:
    """Forget everything that this tab picked, its address with it."""
    mine = token()
    for key in list(st.session_state):
        del st.session_state[key]
    st.query_params.clear()
    st.session_state[_TOKEN], st.session_state[_TURN], st.session_state[_NEWS] = mine, _ROOM.turn, True


def token() -> str:
    """Return what this browser is known by: its cookie, or else a name that lasts as long as the tab."""
    given = st.context.cookies.get(COOKIE)
    if isinstance(given, str) and re.fullmatch(r"[0-9a-f]{32}", given):
        return given
    if _TOKEN not in st.session_state:
        st.session_state[_TOKEN] = secrets.token_hex(16)
    return cast(str, st.session_state[_TOKEN])


def seat() -> Seat:
    """Return the seat of this browser."""
    return _ROOM.seat(token())


def is_teacher() -> bool:
    """Return whether this browser showed the teacher's key."""
    return active() and token() in _ROOM.teachers


def takes(key: str) -> bool:
    """Return whether this browser may start a job now, and note that it asked for it; only to be called from callbacks.

    What somebody else has asked for already costs nobody anything, so it is never refused.
    """
    if not active():
        return True
    mine, every = seat(), board().all()
    shared = any(job.key == key and (job.active or job.state == "done") for job in every)
    busy = [job for job in every if job.active and job.key in mine.asked]
    if len(busy) >= MOST_JOBS and not shared:
        st.toast(
            f"In a class each browser has at most {MOST_JOBS} measurements under way: wait until one is done, or cancel it.",
            icon=":material/hourglass_top:",
        )
        return False
    mine.asked.add(key)
    return True


def remember(key: str) -> None:
    """Note that this browser asked for what is known by a key; only to be called from callbacks."""
    if active():
        seat().asked.add(key)


def submitted_here(key: str) -> bool:
    """Return whether this browser asked for a job; where there is no class, everybody did."""
    return not active() or key in seat().asked


def _shows(job: Job) -> bool:
    """Whether a page may show a job; work in the background sees all."""
    return get_script_run_ctx(suppress_warning=True) is None or submitted_here(job.key)


def view(store: RunStore) -> RunStore:
    """Return the store of runs as this browser sees it; the store itself where there is no class."""
    if not active():
        return store
    now = session.settings()
    return View(store, _ROOM, seat(), (*now.runs, *now.also, now.opened))


def owns(run: str) -> bool:
    """Return whether a run came from what this browser asked for; where there is no class, everybody owns it."""
    return not active() or run in _ROOM.runs_of(seat())


def watch() -> None:
    """Look now and then whether another class has begun."""
    if active():
        st.fragment(_look, run_every=LOOK_S, key="class_watch")()


def _look() -> None:
    """Draw the whole page once another class has begun."""
    if st.session_state.get(_TURN, _ROOM.turn) != _ROOM.turn:
        st.rerun()


class _Cookie:
    """Gives each browser that opens a page, and has none, a cookie of its own."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, with a cookie where the answer is a page."""
        if scope["type"] != "http" or COOKIE in HTTPConnection(scope).cookies:
            await self.app(scope, receive, send)
            return

        async def give(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("content-type", "").startswith("text/html"):
                    headers.append("set-cookie", f"{COOKIE}={secrets.token_hex(16)}; Path=/; HttpOnly; SameSite=Lax")
            await send(message)

        await self.app(scope, receive, give)


def middleware() -> list[Any]:
    """Return what stands before the server in a class; nothing elsewhere."""
    return [Middleware(_Cookie)] if active() else []
