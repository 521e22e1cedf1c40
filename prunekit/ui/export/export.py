"""The Export page: a run as one archive, its forms checked, and an archive taken in as a run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import streamlit as st

from prunekit.errors import PrunekitError
from prunekit.experiments.archive.exporting import export_run
from prunekit.experiments.archive.importing import import_archive
from prunekit.experiments.archive.manifest import Exported
from prunekit.experiments.home import home
from prunekit.experiments.jobs import board
from prunekit.experiments.jobs.job import Job
from prunekit.experiments.records import QUALITY, Label, Run
from prunekit.experiments.run_list import ALL, EARLIER, best_accuracy, in_passing
from prunekit.experiments.store import RunStore
from prunekit.experiments.stored_metric import told_metric
from prunekit.formatting import count, size
from prunekit.reports.table import model_name, short_title
from prunekit.tasks.classification import ACCURACY
from prunekit.ui import routes
from prunekit.ui.classroom import rules
from prunekit.ui.compare.picked_runs import DIGITS
from prunekit.ui.components import show
from prunekit.ui.shared import measuring
from prunekit.ui.state import session
from prunekit.ui.state.settings import Settings

MOST_ARCHIVES = 8
"""So many of the latest archives lie in the home folder, ready to be downloaded again."""
MOST_OF_A_CLASS = 64
MARKS = {True: "✓ agrees", False: "✗ left out"}


def pick(now: Settings, store: RunStore) -> Run | None:
    """Show all runs in one box and return the one in view; None where there are none."""
    runs = {run.id[:DIGITS]: run for run in _offered(now, store)}
    if not runs:
        show.empty("Nothing has been kept yet. Choose a setting on the Prune page and press **Save as run** there.", "bookmark_add")
        routes.link("prune", "Go to the Prune page")
        return None
    names = {run: label.name for run, label in store.labels().items()}
    first = next((name for name in (now.opened, *now.runs) if name in runs), None) or _meant(runs, store)
    st.selectbox(
        "Run", list(runs), format_func=lambda name: f"{_called(runs[name], names)} ({name})",
        **session.bind("opened", start=list(runs), show=lambda name: name if name in runs else first),
    )  # fmt: skip
    st.toggle(
        "Unsaved runs, too",
        help="Points of curves and single measurements that nobody saved, tagged or noted are left out otherwise.",
        **session.bind("every"),
    )
    return runs[now.opened if now.opened in runs else first]


def _offered(now: Settings, store: RunStore) -> list[Run]:
    """Return the runs to choose from, the latest first; those that the address names are always among them."""
    passing, named = set() if now.every else in_passing(store), {now.opened, *now.runs}
    return [run for run in store.runs(limit=ALL) if run.id not in passing or run.id[:DIGITS] in named]


def _meant(runs: Mapping[str, Run], store: RunStore) -> str:
    """Return the run that a person is most likely to take away: the latest that was saved or worked on, not only timed in passing."""
    said = store.labels()
    for_sure = (name for name, run in runs.items() if run.kind not in ("dense", "pruned") or said.get(run.id, Label(run.id)).said)
    others = (name for name, run in runs.items() if run.kind != "dense")
    return next(for_sure, next(others, next(iter(runs))))


def _called(run: Run, names: Mapping[str, str]) -> str:
    """Return a run's name where it has one, its model, and what was done to it."""
    name = names.get(run.id, "")
    return f"{name}: {title_of(run)}" if name else title_of(run)


def title_of(run: Run) -> str:
    """Return the model's name without folders, and what was done to it."""
    model, what = model_name(run), short_title(run)
    return f"{model}, {'dense' if what.endswith(model) else what}"


def key_of(run: Run, store: RunStore) -> str:
    """Return the key of an export: measured again or renamed, a run has other words to take along."""
    seen = (f"{seen.id} {seen.created}" for seen in store.measurements(run.id))
    return measuring.key_of("export", run.id, store.label(run.id).name, *seen)


def export(run: Run, store: RunStore) -> None:
    """Show the button, how the export goes, and what came of it."""
    key = key_of(run, store)
    job = board().get(key)
    found = measuring.finished(key)
    ready = isinstance(found, Exported) and found.path.is_file()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Make it again" if ready else "Make the archive", key="export_start", icon=":material/archive:", on_click=_start,
            args=(run, key), disabled=job is not None and job.active, type="secondary" if ready else "primary",
        )  # fmt: skip
        if ready:
            _download(found, run)
        with st.popover("Copy as command", icon=":material/terminal:"):
            st.code(f"prunekit export {run.id[:DIGITS]} --out {file_name(run)}", language=None, wrap_lines=True)
    measuring.panel(key)
    if ready:
        _checks(found)
    elif job is None or not job.active:
        st.caption(
            "The archive holds the weights (safetensors), the recipe and the measured figures, and as far as the model lets itself be "
            "written so ONNX, torch.export, and a `load.py` that rebuilds it without prunekit. Before you can download it, every form is "
            "opened in a fresh process that cannot import prunekit; one that does not give the same predictions is left out, and said."
        )


def _start(run: Run, key: str) -> None:
    """Make the archive in the background; a button's callback."""
    session.change(opened=run.id[:DIGITS])  # a later run does not push it out of view
    board().drop(key)

    def work(job: Job) -> Exported:
        folder = home() / "archives"
        made = export_run(run.id, folder / f"{run.id[:DIGITS]}.zip", board().store, progress=job.progress)
        tidy(folder)
        return made

    measuring.start(key, f"Archive of {title_of(run)}", work)


def tidy(folder: Path) -> None:
    """Remove all but the latest archives."""
    latest = sorted(folder.glob("*.zip"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in latest[MOST_OF_A_CLASS if rules.active() else MOST_ARCHIVES :]:
        path.unlink(missing_ok=True)


def file_name(run: Run) -> str:
    """Return what a run's archive is called where it is downloaded."""
    words = re.sub(r"[^A-Za-z0-9._]+", "-", title_of(run)).strip("-.").lower()
    return f"{words[:60].strip('-.') or 'run'}-{run.id[:6]}.zip"


def _download(found: Exported, run: Run) -> None:
    """Offer the file."""
    st.download_button(
        f"Download ({size(found.path.stat().st_size)})", data=found.path.read_bytes, file_name=file_name(run), mime="application/zip",
        icon=":material/download:", on_click="ignore", type="primary", key="export_download",
    )  # fmt: skip


def _checks(found: Exported) -> None:
    """Show for each form whether it gives the run's predictions without prunekit."""
    good, all_forms = sum(form.agrees for form in found.formats), len(found.formats)
    who = "every form gives" if good == all_forms else f"{good} of {all_forms} forms give"
    told = f"Opened in a fresh process without prunekit, {who} the predictions of the run."
    (st.success if good == all_forms else st.warning)(told, icon=":material/verified:")
    rows = [
        (form.name, form.file, "agrees" if form.agrees else "left out", form.sentence.removeprefix("left out: ")) for form in found.formats
    ]
    st.table(pd.DataFrame(rows, columns=["form", "file", "without prunekit", "what was compared"]).set_index("form"))
    for note in found.notes:
        st.warning(show.plain(note), icon=":material/info:")


def taking_in(store: RunStore) -> None:
    """Take an archive in as a run: the upload, how it goes, and what came of it."""
    if rules.active():
        st.caption("Uploads are off in a class.")
        return
    file = st.file_uploader(
        "Archive", type=["zip"], key="import_file",
        help="Its weights are read as plain tensors, and every file must match its hash.",
    )  # fmt: skip
    if file is None:
        st.caption("The file of an export, from here or from somebody else. Nothing in it is executed.")
        return
    payload = file.getvalue()
    key = measuring.key_of("import", file.file_id, len(payload))
    job = board().get(key)
    st.button(
        "Take it in", key="import_start", icon=":material/upload:", type="primary", on_click=_begin, args=(key, file.name, payload),
        disabled=job is not None and (job.active or job.state == "done"),
    )  # fmt: skip
    measuring.panel(key)
    run = measuring.finished(key)
    if isinstance(run, Run):
        _taken(run)


def _begin(key: str, name: str, payload: bytes) -> None:
    """Take an archive in, in the background; a button's callback."""
    board().drop(key)

    def work(job: Job) -> Run:
        job.progress(0.05, "checking every file")
        return import_archive(payload, board().store)

    measuring.start(key, f"Take in {name[:60]}", work)


def _taken(run: Run) -> None:
    """Show what was taken in, and what the archive says was measured."""
    info = run.info
    counts = f": {count(info['params'])} parameters, {count(info['macs'])} MACs, counted here" if "params" in info else ""
    st.success(f"Run `{run.id[:DIGITS]}`, {show.plain(run.title)}{counts}.", icon=":material/check:")
    for seen in info["told"]["measurements"]:
        if seen.get("what") in QUALITY and {"value", "n"} <= set(seen):
            metric = told_metric({"decimals": None, **seen})
            low, high = (float(seen.get(end, "nan")) for end in ("low", "high"))
            told = f"{metric.phrase} {show.plus_minus(seen['value'], low, high, metric)}"
            units = "images" if metric.name == ACCURACY.name else "samples"
            where = show.plain(f"{seen.get('split', '')} {units} of {seen.get('data', 'unknown data')}")
            st.caption(f"The archive says: {told} (n = {int(seen['n']):,}, {where}). That was measured elsewhere, not here.")
    with st.container(horizontal=True):
        st.button("Export it", key="export_imported", on_click=_open, args=(run.id[:DIGITS],), icon=":material/archive:")
        routes.link("compare", "Compare it with others")


def _open(name: str) -> None:
    """Bring a run into view; a button's callback."""
    session.change(opened=name)


def figures(run: Run, store: RunStore) -> None:
    """Say in a line what is known of a run."""
    try:
        best = best_accuracy(store.measurements(run.id))
    except PrunekitError:
        best = None
    parts = [run.kind]
    if best is not None:
        value, metric = best.value, told_metric(best.value)
        low, high = (float("nan") if value[end] is None else value[end] for end in ("low", "high"))
        parts.append(f"{show.plus_minus(value['value'], low, high, metric)} {metric.phrase} ({best.split}, n = {best.n:,})")
        parts += [EARLIER] if best.earlier else []
    else:
        parts.append("quality not measured")
    if "params" in run.info:
        parts += [f"{count(run.info['params'])} parameters", f"{count(run.info['macs'])} MACs"]
    st.caption(" · ".join(parts))
