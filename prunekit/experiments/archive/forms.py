"""Making the forms of a model that need torch's exporter: ``model.onnx`` and ``model.pt2``, each in a process of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prunekit.errors import LatencyError
from prunekit.evaluation.progress import QUIET, Progress
from prunekit.experiments.archive.manifest import EXPORTED, ONNX
from prunekit.latency.worker import run_child
from prunekit.tasks.input_form import InputForm
from prunekit.tasks.stored_batch import write

WORK = "prunekit.experiments.archive.forms_worker:make_all"
FORMS = (ONNX, EXPORTED)
REQUEST, FORM = "request.json", "form.safetensors"


def make_forms(folder: Path, shape: Sequence[int], progress: Progress = QUIET) -> dict[str, dict[str, Any]]:
    """Write ``model.onnx`` and ``model.pt2`` into a folder that holds the weights and what builds the architecture.

    Parameters
    ----------
    folder : Path
        As `write_folder` wrote it, ``load.py`` with it. Files of its own go into the folder above it, which is private.
    shape : sequence of int
        Of one sample, or an `InputForm`.
    progress
        As for :func:`prunekit.experiments.archive.export_run`.

    Returns
    -------
    dict
        Name of the file -> ``error`` (why it could not be made; "") and ``batch`` (1 where it takes one sample at a time; 0 for any).
    """
    request = folder.parent / REQUEST
    if isinstance(shape, InputForm):
        write(shape.example, folder.parent / FORM)
    request.write_text(json.dumps({"folder": str(folder), "shape": list(shape)}), encoding="utf-8")
    died = ""
    try:
        run_child(request, 1, progress=progress, work=WORK)
    except LatencyError as error:
        died = str(error)
    return {name: _found(folder, name, died) for name in FORMS}


def note_of(folder: Path, name: str) -> Path:
    """Return where the process notes what came of a file."""
    return folder.parent / f"{name}.json"


def _found(folder: Path, name: str, died: str) -> dict[str, Any]:
    """Return what came of a file."""
    note = note_of(folder, name)
    if note.is_file():
        return dict(json.loads(note.read_text(encoding="utf-8")))
    return {"error": died or "its process ended without a word", "batch": 0}
