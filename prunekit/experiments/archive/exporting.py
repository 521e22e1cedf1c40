"""Writing a run as an archive that opens without prunekit, with the forms that need torch's exporter."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

from torch import nn

from prunekit.errors import LatencyError, ModelError
from prunekit.evaluation.progress import QUIET, Progress, Tell
from prunekit.experiments.archive.assembling import Assembled, assemble, complete, draft, pack
from prunekit.experiments.archive.gathering import gather
from prunekit.experiments.archive.manifest import EXPORTED, INT8, LOADER, ONNX, ArchiveError, Exported, FormatCheck
from prunekit.experiments.archive.proving import NAMES, prove
from prunekit.experiments.archive.reader import unpack
from prunekit.experiments.home import store as usual_store
from prunekit.experiments.load_run import Opened, open_run
from prunekit.experiments.store import RunStore
from prunekit.latency.worker import run_child
from prunekit.models.hugging_face import HEAD, Pooled
from prunekit.models.hugging_face_export import export_hugging_face, pruned_config
from prunekit.models.wrappers import unwrapped
from prunekit.tasks.input_form import InputForm
from prunekit.tasks.stored_batch import write

WORK = "prunekit.experiments.archive.forms_worker:make_all"
FORMS = (ONNX, EXPORTED)
REQUEST, FORM = "request.json", "form.safetensors"


def make_forms(
    folder: Path, shape: Sequence[int], progress: Progress = QUIET, names: Sequence[str] = FORMS, *, fixed: bool = False
) -> dict[str, dict[str, Any]]:
    """Write ``model.onnx`` and ``model.pt2`` into a folder that holds the weights and what builds the architecture.

    Name of the file -> ``error`` (why it could not be made; ""), ``batch`` (1 where it takes one sample at a time; 0 for any) and, of
    ``model.pt2``, ``operations`` (state name of a weight -> the nodes of its graph that take it).
    """
    request = folder.parent / REQUEST
    if isinstance(shape, InputForm):
        write(shape.example, folder.parent / FORM)
    told = {"folder": str(folder), "shape": list(shape), "names": list(names), "fixed": fixed}
    request.write_text(json.dumps(told), encoding="utf-8")
    died = ""
    try:
        run_child(request, 1, progress=progress, work=WORK)
    except LatencyError as error:
        died = str(error)
    return {name: _form_result(folder, name, died) for name in names}


def note_of(folder: Path, name: str) -> Path:
    """Return where the process notes what came of a file."""
    return folder.parent / f"{name}.json"


def _form_result(folder: Path, name: str, died: str) -> dict[str, Any]:
    """Return what came of a file."""
    note = note_of(folder, name)
    if note.is_file():
        return dict(json.loads(note.read_text(encoding="utf-8")))
    return {"error": died or "its process ended without a word", "batch": 0}


def export_run(
    run: str,
    out: str | PathLike[str],
    store: RunStore | None = None,
    *,
    progress: Progress | Tell = QUIET,
) -> Exported:
    """Write a run as one archive: weights, recipe, ONNX, torch.export, a program that loads it, and the measured figures.

    Every form of the model is unpacked and opened in a fresh process that cannot import prunekit, and compared with the run on the same
    images. What does not give the same predictions is left out, and said. The same run gives the same bytes.

    Parameters
    ----------
    run : str
        Its id, or the beginning of one.
    out : path
        The file to write; an archive that is there is replaced, as a whole and only at the end.
    store : RunStore, optional
        Where the run is kept; `prunekit.experiments.store` when left out.
    progress : Progress or callable, optional
        Told how far it is, as ``progress(fraction, text)``; may stop the work.

    Raises
    ------
    StoreError, RunGone
        If there is no such run, or what it was made of is gone.
    ArchiveError
        If it cannot be written, or no form of the model gives the predictions of the run.
    Cancelled
        If ``progress`` was cancelled.
    """
    where = usual_store() if store is None else store
    target = Path(out).expanduser()
    with draft(target) as part, tempfile.TemporaryDirectory(prefix="prunekit-export-") as private:
        done = _Export(Path(private), part, Progress.of(progress)).carry_out(run, where)
    return Exported(target, *done)


def export_folder(run: str, out: str | PathLike[str], store: RunStore | None = None) -> tuple[Path, str]:
    """Write a run of transformers as a folder that ``from_pretrained`` opens without prunekit.

    The folder, and the class of transformers that opens it.
    """
    where = usual_store() if store is None else store
    model = open_run(where.find(run), where).model
    if model is None:
        raise ModelError("a quantised run is a file of ONNX Runtime and no folder of transformers: take it away as an archive")
    written = export_hugging_face(model, out)
    return written, type(_inner(model)).__name__


def _inner(model: nn.Module) -> Any:
    """Return the model of transformers in a model: what stands behind a pooled head of prunekit's own."""
    whole = unwrapped(model)
    return whole.encoder if isinstance(whole, Pooled) else whole


@dataclass(frozen=True, eq=False)
class _Export:
    """One export under way: its private folder, the half-written file, and who watches."""

    private: Path
    part: Path
    progress: Progress

    def carry_out(self, name: str, store: RunStore) -> tuple[str, tuple[FormatCheck, ...], tuple[str, ...]]:
        """Make, check, and leave out what does not agree; return the run, what was checked, and notes."""
        self.progress(0.0, "opening the run")
        opened = open_run(store.find(name), store)
        self.progress(0.1, "predicting")
        made = assemble(self.private / "made", opened, gather(opened), store)
        forms = {} if opened.model is None else self._forms(made)
        failed = {file: _failed(file, form["error"]) for file, form in forms.items() if form["error"]}
        notes = [note for note in (opened.note, *made.gathered.notes, _where(opened, made)) if note]
        notes += [f"{EXPORTED} takes one sample at a time: the model's code fixes the batch."] if _alone(forms, failed) else []
        checks = self._checked(made, forms, failed, notes)
        bad = [check for check in checks if not check.agrees and check.name not in {check.name for check in failed.values()}]
        if bad:
            files = {name: file for file, name in NAMES.items()}
            gone = {files.get(check.name, LOADER): check for check in bad}  # the weights stay without what opens them
            failed |= {file: replace(check, file=file) for file, check in gone.items()}
            checks = self._checked(made, forms, failed, notes)
        if not any(check.agrees for check in checks):
            raise ArchiveError(f"no form of this model gives its predictions: {'; '.join(f'{c.file}: {c.sentence}' for c in checks)}")
        return opened.run.id, tuple(checks), tuple(notes)

    def _forms(self, made: Assembled) -> Mapping[str, Mapping[str, Any]]:
        """Make what torch's exporter makes."""
        self.progress(0.2, "starting torch's exporter")
        return make_forms(made.folder, made.gathered.pixels.shape, self.progress.part(0.2, 0.6))

    def _checked(
        self, made: Assembled, forms: Mapping[str, Mapping[str, Any]], failed: Mapping[str, FormatCheck], notes: list[str]
    ) -> list[FormatCheck]:
        """Pack what did not fail, unpack it as a stranger would, and open every form of it."""
        for file in failed:
            (made.folder / file).unlink(missing_ok=True)
        complete(made, [*notes, *(f"{check.file}: {check.sentence}." for check in failed.values())])
        self.progress(0.6, "packing")
        pack(made.folder, self.part, self.progress)
        with tempfile.TemporaryDirectory(dir=self.private) as unpacked:
            code = unpack(self.part, Path(unpacked)).code
            found, opening = [], (LOADER,) if (made.folder / INT8).is_file() else tuple(NAMES)
            for place, file in enumerate(opening):
                self.progress(0.65 + 0.35 * place / len(opening), f"opening {file} without prunekit")
                batch = int(forms.get(file, {}).get("batch", 0))
                how: dict[str, Any] = {"batch": batch, "code": code, "progress": self.progress.silent}
                found.append(failed.get(file) or prove(Path(unpacked), file, made.gathered, self.private, **how))
        return found


def _where(opened: Opened, made: Assembled) -> str:
    """Say of a model of transformers which of its forms opens where, and whether a folder of transformers can hold it."""
    if opened.model is None or made.source is None or made.source.package != "transformers":
        return ""
    inner = _inner(opened.model)
    opens = f"{LOADER} needs torch, safetensors and transformers; {ONNX} needs ONNX Runtime alone, and {EXPORTED} torch alone"
    try:
        pruned_config(inner)
    except ModelError as error:
        why = str(error).partition(". Prune structured")[0].partition(". Let MLP width")[0]
        return f"{opens}. No folder of transformers can hold this model: {why}. It travels by {LOADER}."
    head = f" (its head goes into {HEAD}, which transformers does not read)" if inner is not unwrapped(opened.model) else ""
    folder = f"prunekit export {opened.run.id[:12]} --hugging-face DIR"
    return f"{opens}. `{folder}` writes a folder that transformers.{type(inner).__name__}.from_pretrained opens without prunekit{head}."


def _failed(file: str, error: str) -> FormatCheck:
    """Return the check of a form that could not be made."""
    return FormatCheck(NAMES[file], file, False, None, f"left out: {error}")


def _alone(forms: Mapping[str, Mapping[str, Any]], failed: Mapping[str, FormatCheck]) -> bool:
    """Return whether model.pt2 is there and takes one sample at a time."""
    return EXPORTED not in failed and forms.get(EXPORTED, {}).get("batch") == 1
