"""Whether every form of a model in an archive gives the predictions of the run, in processes that know nothing of prunekit."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from time import monotonic

import numpy as np
import torch
from torch import Tensor

from prunekit.evaluation.progress import QUIET, Progress
from prunekit.experiments.archive.gathering import BATCH, Gathered
from prunekit.experiments.archive.manifest import EXPORTED, INT8, LOADER, ONNX, WEIGHTS, FormatCheck
from prunekit.formatting import error as small
from prunekit.runtimes.checking import MOST_ERROR, apart
from prunekit.tasks.stored_batch import flattened

CHECKER = Path(__file__).with_name("checker.py")
NAMES = {LOADER: "safetensors", ONNX: "ONNX", EXPORTED: "torch.export"}
"""The forms of a model in float32 by the file that opens them."""
LIMIT_S = 900.0
_MISSING = re.compile(r"No module named '([\w.]+)'")
_UNREAD = re.compile(r"FileNotFoundError: .* No such file or directory: '(.+?)'")


def name_of(file: str, quantised: bool) -> str:
    """Return what a form is called."""
    return "int8 (ONNX Runtime)" if quantised else NAMES[file]


def prove(
    folder: Path,
    file: str,
    gathered: Gathered,
    private: Path,
    *,
    batch: int = 0,
    code: str = "",
    progress: Progress = QUIET,
) -> FormatCheck:
    """Open one form in a fresh process and compare its predictions with those of the run.

    ``batch``: 1 where it takes one sample at a time; 0 for any batch.
    """
    quantised = (folder / INT8).is_file()
    name = name_of(file, quantised)
    shown = INT8 if quantised else WEIGHTS if file == LOADER else file
    inputs, scores = private / "inputs.npz", private / f"{file}.npz"
    tensors, nest = flattened(gathered.inputs)
    if not inputs.is_file():
        np.savez(inputs, **{name: tensor.numpy() for name, tensor in tensors.items()})  # type: ignore[arg-type]
    scores.unlink(missing_ok=True)
    told = {"folder": str(folder), "file": file, "batch": batch or BATCH, "inputs": str(inputs), "scores": str(scores), "path": sys.path}
    told |= {"nest": nest}
    said = _run(told, private, progress)
    if said:
        return FormatCheck(name, shown, False, None, f"left out: {_hint(said, code)}")
    with np.load(scores) as kept:
        found = {int(place): torch.from_numpy(kept[place]) for place in kept.files}
    if file == ONNX and gathered.filed is not None:  # the task of the user's own is in its graph
        places = {path: place for place, path in enumerate(gathered.filed)}
        gathered = replace(gathered, outputs=gathered.filed, places=places, path=None)
    return compared(name, shown, gathered, found, batch)


def compared(name: str, file: str, gathered: Gathered, found: Mapping[int, Tensor], batch: int = 0) -> FormatCheck:
    """Compare all outputs with those of the run.

    Values within 1e-3 of the largest one count as equal; a prediction then only differs where the run's own two best are as close.
    """
    error = 0.0
    for path, expected in gathered.outputs.items():
        got = found.get(gathered.places[path])
        if got is None or got.shape != expected.shape or not (got.dtype.is_complex or bool(torch.isfinite(got).all())):
            what = "scores" if path == gathered.path else path or "output"
            return FormatCheck(name, file, False, None, f"left out: it gives no {what} of shape {list(expected.shape)}")
        error = max(error, apart(expected, got))
    n, same = len(gathered.inputs), len(gathered.inputs)
    if gathered.path is None or gathered.classes < 2:  # of one there is no other
        each = "all outputs" if len(gathered.outputs) > 1 else "the output"
        close = f"within {small(error)} of the largest value" if error else "the same to the bit"
        told = f"{each} as of the run on {gathered.what}, {close}"
    else:
        scores = gathered.outputs[gathered.path], found[gathered.places[gathered.path]]
        same = int((scores[0].argmax(1) == scores[1].argmax(1)).sum())
        many, one = ("scores", "score") if len(gathered.outputs) == 1 else ("all outputs", "value")
        close = f"{many} within {small(error)} of the largest {one}" if error else f"and the same {many.removeprefix('all ')} to the bit"
        told = f"the same class as the run on {same} of {gathered.what}, {close}"
    if error > MOST_ERROR:
        return FormatCheck(name, file, False, error, f"left out: {told}; {MOST_ERROR:g} is allowed")
    ties = f"; the other {n - same} are ties in the run itself" if same < n else ""
    return FormatCheck(name, file, True, error, told + ties + ("; one sample at a time" if batch == 1 else ""))


def _hint(said: str, code: str) -> str:
    """Return an error with what to do about it, where that is known."""
    missing, unread = _MISSING.search(said), _UNREAD.search(said)
    if code and unread is not None:
        return f"{code} reads {Path(unread[1]).name}, which an archive does not hold: put what the model needs of it into {code} itself"
    if missing is None or not code:
        return said
    return f"{code} imports {missing[1]}, which an archive does not hold: put what it needs into {code} itself, or install it as a package"


def _run(told: dict[str, object], private: Path, progress: Progress) -> str:
    """Run the checker and return what went wrong, or ""."""
    request = private / "check.json"
    request.write_text(json.dumps(told), encoding="utf-8")
    # -I: nothing of this environment, this folder or the user's own packages; -B: nothing is left in a folder that may become an archive
    with (private / "stderr").open("w+", encoding="utf-8", errors="replace") as errors:
        process = subprocess.Popen(
            [sys.executable, "-I", "-B", str(CHECKER), str(request)], cwd=private, env=_environment(private), start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
        )  # fmt: skip
        try:
            code = _ended(process, progress)
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if code == 0:
            return ""
        errors.seek(0)
        lines = [line.strip() for line in errors if line.strip()]
    if code is None:
        return f"it took longer than {LIMIT_S:.0f} s"
    return lines[-1][:300] if lines else f"its process ended with the code {code}"


def _ended(process: subprocess.Popen[bytes], progress: Progress) -> int | None:
    """Wait for the process and return its exit code; None where it takes too long."""
    start = monotonic()
    while monotonic() - start < LIMIT_S:
        try:
            return process.wait(0.1)
        except subprocess.TimeoutExpired:
            progress.check()
    return None


def _environment(private: Path) -> dict[str, str]:
    """Return the environment of the process: one thread, no place of prunekit, temporary files in the private folder."""
    fixed = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PRUNEKIT_", "PYTHON"))}
    return {**ours, **fixed, "TMPDIR": str(private)}
