"""For the teacher's browser alone: the addresses to give out, how many are there, and starting afresh for the next class."""

from __future__ import annotations

import streamlit as st

from prunekit.errors import PrunekitError
from prunekit.experiments.classroom import clear, from_environment
from prunekit.experiments.jobs import board
from prunekit.formatting import plural
from prunekit.ui.classroom import rules
from prunekit.ui.components import show
from prunekit.ui.state.uploads import uploads

_REFUSED = "class_reset_refused"


def panel() -> None:
    """Show the teacher's part of the sidebar, to the teacher."""
    if not rules.is_teacher():
        return
    with st.expander("For the teacher", icon=":material/school:"):
        st.caption(standing())
        _addresses()
        if st.button("Reset for the next class …", key="class_reset", icon=":material/restart_alt:"):
            _confirm()


def standing() -> str:
    """Say how many have measured something, and how many runs there are."""
    room = rules.room()
    if not room.taken:
        return "Nobody has measured anything yet."
    return f"{plural(room.taken, 'browser')} measured something; {plural(room.runs, 'run')} in this class."


def _addresses() -> None:
    """Show the address for the class and that of each lesson."""
    known = from_environment()
    if known is None or not known.address:
        return
    with st.popover("Addresses for the class", icon=":material/link:", width="stretch"):
        st.code(known.address, language=None)
        st.code("\n".join(f"{address}  {title}" for title, address in known.lessons), language=None)
        st.caption("Any page can be given out as it stands: its address holds the whole state, and opens the runs that it names.")


@st.dialog("Reset for the next class?", icon=":material/restart_alt:")
def _confirm() -> None:
    """Say what is deleted, and ask for confirmation."""
    st.markdown(
        f"{standing()} All runs of the class are removed for good, what is being measured stops, and every tab that is open is told and "
        "starts at its beginning. The addresses stay the same."
    )
    with st.container(horizontal=True):
        pressed = st.button("Reset", key="class_reset_confirmed", type="primary", icon=":material/restart_alt:", on_click=_restart)
        left = st.button("Not yet", key="class_reset_kept")
    refused = st.session_state.pop(_REFUSED, "")
    if refused:
        st.error(show.plain(refused), icon=":material/error:")
    elif pressed or left:
        st.rerun()


def _restart() -> None:
    """Start afresh, or keep why not for the page; a button's callback."""
    try:
        restart()
    except PrunekitError as error:
        st.session_state[_REFUSED] = str(error)


def restart() -> None:
    """Stop what runs, remove the runs of the class and forget its seats."""
    if not rules.is_teacher():
        raise PrunekitError("only the teacher's browser can start afresh: open the address that stands on the console of the server")
    shared = board()
    if shared.store is not None:
        clear(shared.store)  # first: where it refuses, nothing is stopped
    shared.forget_all()
    st.cache_data.clear()
    uploads.clear()
    rules.room().restart()
