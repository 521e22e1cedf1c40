"""What people say of runs, and letting runs go: a name, tags, a note, deletion after a confirmation."""

from __future__ import annotations

import streamlit as st

from prunekit.errors import PrunekitError
from prunekit.experiments.records import LONGEST_NAME, LONGEST_NOTE, Run
from prunekit.experiments.run_list import files_of, forget
from prunekit.experiments.store import RunStore
from prunekit.formatting import plural
from prunekit.reports.table import short_title
from prunekit.ui.classroom import rules
from prunekit.ui.compare import picked_runs
from prunekit.ui.components import show
from prunekit.ui.state import session
from prunekit.ui.state.settings import Settings


def tools(now: Settings, store: RunStore) -> None:
    """Show what can be done with the ticked runs."""
    runs = [run for name in now.runs if (run := _find(store, name)) is not None]
    if not runs:
        st.caption("Tick rows to compare or to name them." if rules.active() else "Tick rows to compare them, to name, tag or delete them.")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        own = [run for run in runs if rules.owns(run.id)]
        if own:
            with st.popover("Name, tags and note", icon=":material/sell:"):
                _edit(own, store)
        if not rules.active() and st.button("Delete …", key="delete_runs", icon=":material/delete:"):
            _confirm(runs, store)
        st.button("Untick all", key="untick_all", icon=":material/deselect:", on_click=picked_runs.take, args=((),))
        st.caption(f"{plural(len(runs), 'run')} ticked.")


def _find(store: RunStore, name: str) -> Run | None:
    """Return a run, or None where it is not there any more."""
    try:
        return store.find(name)
    except PrunekitError:
        return None


def _edit(runs: list[Run], store: RunStore) -> None:
    """Show the name, the tags and the note of one of the ticked runs."""
    by_id = {run.id: run for run in runs}
    name = str(
        st.selectbox(
            "Run", list(by_id), format_func=lambda name: short_title(by_id[name]), key="label_of_" + "_".join(r[:6] for r in by_id)
        )
    )
    label = store.label(name)
    # what somebody else saved meanwhile shows as it is now; a form with other words is another form
    mark = f"{name}_{hash((label.name, label.tags, label.note, label.saved))}"
    with st.form(f"label_{name}", border=False):
        called = st.text_input("Name", label.name, key=f"name_{mark}", max_chars=LONGEST_NAME)
        tags = st.text_input("Tags, with commas between them", ", ".join(label.tags), key=f"tags_{mark}", max_chars=300)
        note = st.text_area("Note", label.note, key=f"note_{mark}", max_chars=LONGEST_NOTE, height=100)
        saved = st.checkbox("Saved: keep it in the list", label.saved, key=f"saved_{mark}")
        if st.form_submit_button("Save", type="primary"):
            with show.plain_errors(stop=False):
                store.relabel(name, name=called, tags=tuple(tag.strip() for tag in tags.split(",") if tag.strip()), note=note, saved=saved)
                st.rerun()


@st.dialog("Delete for good?", icon=":material/delete:")
def _confirm(runs: list[Run], store: RunStore) -> None:
    """Name the runs to be deleted, and ask for confirmation."""
    for run in runs:
        st.markdown(f"- **{show.plain(run.title)}** :gray[{run.kind}, {run.id[: picked_runs.DIGITS]}], {goes(run, store)}")
    st.markdown("This cannot be undone.")
    with st.container(horizontal=True):
        if st.button(f"Delete {plural(len(runs), 'run')}", key="delete_confirmed", type="primary", icon=":material/delete:"):
            said = delete(runs, store)
            if not said:
                st.rerun()
            st.error("  \n".join(map(show.plain, said)), icon=":material/error:")
        if st.button("Keep", key="delete_kept"):
            st.rerun()


def goes(run: Run, store: RunStore) -> str:
    """Say what is deleted with a run."""
    seen = store.measurements(run.id)
    return f"with {plural(len(seen), 'measurement')}" + (" and its weights" if files_of(run) else "")


def delete(runs: list[Run], store: RunStore) -> list[str]:
    """Delete runs, what was made from others first; return why some could not be."""
    said, pending = [], list(runs)
    while pending:
        parents = {run.parent for run in pending}
        leaves = [run for run in pending if run.id not in parents]
        said += [sentence for run in leaves if (sentence := _delete(run, store))]
        pending = [run for run in pending if run.id in parents]
    return said


def _delete(run: Run, store: RunStore) -> str:
    """Delete one run, and take it out of the picks; return why it could not be."""
    if rules.active():
        return "Deletion is off in a class."
    try:
        forget(store, run.id)
    except PrunekitError as error:
        return f"{run.title}: {error}."
    name = run.id[: picked_runs.DIGITS]
    picked_runs.take(tuple(other for other in session.settings().runs if other != name))
    return ""
