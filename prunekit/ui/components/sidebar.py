"""The sidebar, on every page: the model and data in use, what runs in the background, and for the teacher's browser the class."""

from __future__ import annotations

import streamlit as st

from prunekit.errors import PrunekitError
from prunekit.experiments.classroom import clear, from_environment
from prunekit.experiments.jobs import board
from prunekit.experiments.jobs.job import Job
from prunekit.formatting import count, plural, size
from prunekit.ui import routes
from prunekit.ui.classroom import rules
from prunekit.ui.components import show
from prunekit.ui.components.show import plain, plus_minus, said
from prunekit.ui.shared import baseline, data_cache, measuring, model_cache
from prunekit.ui.shared.data_cache import source_of
from prunekit.ui.shared.model_cache import Loaded
from prunekit.ui.start import input_fields
from prunekit.ui.state.session import settings
from prunekit.ui.state.settings import Settings
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


def draw() -> None:
    """Draw the sidebar."""
    with st.sidebar:
        _model()
        if board().warning:
            st.warning(plain(board().warning), icon=":material/save_as:")
        if _active():
            st.fragment(_jobs, run_every=0.8, key="sidebar_jobs")()
        panel()
        rules.watch()


def _model() -> None:
    """Show what is in use."""
    now = settings()
    with st.container(border=True, gap="xsmall"):
        try:
            loaded = model_cache.load(source_of(now))
            counts, file_size = model_cache.counts_of(loaded.source), model_cache.file_of(loaded.source).dense
        except PrunekitError as error:
            st.markdown(f"**{plain(now.model)}**")
            st.caption(f":red[{said(error)}]")
        else:
            st.markdown(f"**{plain(model_cache.title_of(now.model))}**" + (" :gray[uploaded weights]" if now.upload else ""))
            figure = baseline.figure(now, loaded)
            st.caption(
                (
                    f"{plus_minus(figure.value, figure.low, figure.high, figure.metric)} {figure.metric.phrase} (n = {figure.n:,})"
                    if figure
                    else f"{measuring.task_here(now, loaded).headline.phrase} not measured"
                )
                + f"  \n{count(counts.params)} parameters · {count(counts.macs)} MACs · {size(file_size)}"
                + f"  \ndata: {plain(data_cache.data_name(now, loaded))}"
                + _guessed(now, loaded)
            )
        routes.link("start", "Change model or data")


def _guessed(now: Settings, loaded: Loaded) -> str:
    """Say, on every page, what its figures were guessed with."""
    if not input_fields.are_asked(now):
        return ""
    data = data_cache.data_here(now, loaded)
    pixels = data is not None and data.guesses
    what = f"input size {loaded.input_words}" if loaded.guessed else "mean and std of pixels" if pixels else ""
    return f"  \n:orange[a guess: {what}]" if what else ""


def _jobs() -> None:
    """Show what runs and what waits, for whomever; once something is over, draw the whole page."""
    jobs = _active()
    known = st.session_state.get("jobs_seen", ())
    st.session_state["jobs_seen"] = tuple(job.key for job in jobs)
    if set(known) - {job.key for job in jobs}:
        st.rerun()
    for job in jobs:
        with st.container(horizontal=True, wrap=False, vertical_alignment="center", gap="xsmall"):
            st.progress(job.fraction, text=f"{plain(job.title)}  \n:gray[{plain(measuring.standing(job))}]", width="stretch")
            may = measuring.mine(job)
            st.button(
                "", key=f"cancel_side_{job.key}", icon=":material/close:", type="tertiary", on_click=measuring.stop, args=(job.key,),
                disabled=not may, help="Cancel" if may else "Somebody else waits for it",
            )  # fmt: skip


def _active() -> list[Job]:
    """Return all unfinished jobs that may be seen here, in the order of asking."""
    return [job for job in board().all() if job.active and board().shows(job)]
