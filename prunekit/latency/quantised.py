"""A model as ONNX files, in float32 and in int8, written by a process of its own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from prunekit.errors import DataError, LatencyError, RuntimeFault
from prunekit.evaluation.progress import QUIET, Progress, Tell
from prunekit.latency import trial
from prunekit.latency.worker import in_a_process, run_child
from prunekit.latency.worker_main import Say
from prunekit.latency.worker_payload import Request, known_ids, pack_model, pack_samples
from prunekit.runtimes.runtime import Files
from prunekit.tasks.input_form import InputForm

WORK = "prunekit.latency.quantised:export_and_quantise"


def quantise(
    model: nn.Module,
    data: Any,
    folder: Path | str,
    *,
    input_shape: Sequence[int],
    like: nn.Module | None = None,
    progress: Progress | Tell = QUIET,
) -> Files:
    """Write a model as ONNX, and quantised to int8.

    Weights and activations in int8 by ONNX Runtime's static quantisation, calibrated on training samples, a scale for each channel; of a
    model that reads token ids its linear layers by dynamic quantisation, without samples.
    """
    progress = Progress.of(progress)
    shape, target = input_shape if isinstance(input_shape, InputForm) else tuple(input_shape), Path(folder)
    with tempfile.TemporaryDirectory(prefix="prunekit-int8-") as private:
        named = {"the model": model} if like is None else {"the dense model": like, "the model": model}
        pack_model(model, known_ids(named)["the model"], Path(private) / "0")
        uncalibrated = pack_samples(Path(private), shape, ("int8",), data, 0)[1]
        if uncalibrated:
            raise DataError(uncalibrated)
        request = Request(private, ("model",), ("int8",), (1,), 1, "cpu", tuple(shape), 1.0, 1, 0)
        try:
            run_child(request.write(), 1, progress=progress, work=WORK)
        except LatencyError as error:
            raise RuntimeFault(str(error)) from error
        return _moved(request.files(0), target)


def export_and_quantise(path: Path, say: Say) -> dict[str, object]:
    """Write the ONNX file of candidate 0 and its quantised one: the child's work, for torch's exporter wants one thread."""
    request = Request.read(path)
    row = request.rows()[0]
    for place, (file, words) in enumerate((("onnx", "exporting"), ("int8", "calibrating and quantising"))):
        ended = in_a_process(trial.make, request, row, file, alive=partial(say, place / 2, words))
        reason = trial.reason_of(request, row, file)
        if ended or reason.is_file():
            raise RuntimeFault(reason.read_text() if reason.is_file() else f"{words}: {ended}")
    return {}


def _moved(made: Files, target: Path) -> Files:
    """Bring the files to their place, each as a whole or not at all."""
    found = []
    for path in (made.onnx, made.int8):
        assert path is not None
        target.mkdir(parents=True, exist_ok=True)
        part = target / f".{path.name}.part"
        try:
            shutil.copyfile(path, part)
            part.replace(target / path.name)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        found.append(target / path.name)
    return Files(target, found[0], found[1])
