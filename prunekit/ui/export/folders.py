"""A run on the Export page as folders that other programs open: transformers, and Google's Model Explorer."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from prunekit.errors import ModelError, RuntimeFault
from prunekit.experiments.archive.exporting import export_folder
from prunekit.experiments.archive.model_explorer import export_model_explorer
from prunekit.experiments.home import home
from prunekit.experiments.jobs import board
from prunekit.experiments.jobs.job import Job
from prunekit.experiments.records import Run
from prunekit.formatting import plural, size
from prunekit.models.hugging_face_files import PREFIX as HUGGING_FACE
from prunekit.ui.compare.picked_runs import DIGITS
from prunekit.ui.components import show
from prunekit.ui.export.export import file_name, tidy, title_of
from prunekit.ui.shared import measuring
from prunekit.ui.state import session


@dataclass(frozen=True)
class Folder:
    """A folder, zipped, with what was tried of it in words; or why there is none."""

    path: Path
    said: str = ""
    why: str = ""


Make = Callable[[Run, Path], tuple[Path, str]]


def _of_transformers(run: Run, into: Path) -> tuple[Path, str]:
    """Write a folder that ``from_pretrained`` opens."""
    made, opens = export_folder(run.id, into, board().store)
    return made, f"`transformers.{opens}.from_pretrained` opens it without prunekit: tried here, with the same answers."


def _of_explorer(run: Run, into: Path) -> tuple[Path, str]:
    """Write a folder for Model Explorer."""
    found = export_model_explorer(run.id, into, board().store)
    data = ",".join(found.files[1:])
    said = f"{plural(found.layers, 'layer')} with figures. In the folder: `model-explorer {found.files[0]} --node_data_paths={data}`"
    return found.folder, said


def section(run: Run) -> None:
    """Offer a run as folders that other programs open."""
    if str(run.model.get("name", "")).startswith(HUGGING_FACE):
        show.section("As a folder of transformers")
        words = "Weights, a `config.json` with every size, and the tokeniser: where layers are alike (scope “every layer gives equally”)."
        _folder(run, "transformers", "hugging-face", _of_transformers, words)
    if run.kind != "quantised":
        show.section("For Model Explorer")
        words = (
            "The program of `torch.export`, and beside it how much of each layer is gone, which channels stay and, where it was measured, "
            "its sensitivity: node data for Google's Model Explorer (`pip install ai-edge-model-explorer`)."
        )
        _folder(run, "explorer", "model-explorer", _of_explorer, words)


def _folder(run: Run, name: str, flag: str, make: Make, words: str) -> None:
    """Offer a run as one folder, or say why it cannot be one."""
    key = measuring.key_of("folder", name, run.id)
    job, found = board().get(key), measuring.finished(key)
    ready = isinstance(found, Folder) and found.path.is_file()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Make it again" if ready else "Make the folder", key=f"{name}_start", icon=":material/folder_zip:", on_click=_write_folder,
            args=(run, name, make, key), disabled=job is not None and job.active,
        )  # fmt: skip
        if ready:
            st.download_button(
                f"Download ({size(found.path.stat().st_size)})", data=found.path.read_bytes, mime="application/zip", type="primary",
                file_name=file_name(run).replace(".zip", f"-{name}.zip"), icon=":material/download:", on_click="ignore",
                key=f"{name}_download",
            )  # fmt: skip
        with st.popover("Copy as command", icon=":material/terminal:"):
            st.code(f"prunekit export {run.id[:DIGITS]} --{flag} DIR", language=None, wrap_lines=True)
    measuring.panel(key)
    if ready:
        st.success(found.said, icon=":material/verified:")
    elif isinstance(found, Folder):
        st.info(show.plain(found.why), icon=":material/block:")
    elif job is None or not job.active:
        st.caption(words)


def _write_folder(run: Run, name: str, make: Make, key: str) -> None:
    """Make a folder in the background; a button's callback."""
    session.change(opened=run.id[:DIGITS])
    board().drop(key)

    def work(job: Job) -> Folder:
        kept = home() / "archives"
        kept.mkdir(parents=True, exist_ok=True)
        target = kept / f"{run.id[:DIGITS]}-{name}.zip"
        job.progress(0.1, "opening the run")
        with tempfile.TemporaryDirectory(dir=kept) as private:
            try:
                made, said = make(run, Path(private) / target.stem)
            except (ModelError, RuntimeFault) as error:  # a configuration cannot say what it is, or it cannot be exported
                return Folder(target, why=str(error))
            job.progress(0.9, "packing")
            packed = shutil.make_archive(str(Path(private) / "packed"), "zip", private, made.name)
            Path(packed).replace(target)
        tidy(kept)
        return Folder(target, said)

    measuring.start(key, f"Folder of {title_of(run)}", work)
