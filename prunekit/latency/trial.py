"""The trial of one row in a process of its own: whether it opens and runs and computes what eager computes, and what memory it takes."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict
from importlib import import_module
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prunekit.errors import LatencyError, PrunekitError
from prunekit.latency import counters
from prunekit.latency.interleaved_timing import Run
from prunekit.latency.worker_payload import CACHED, CALIBRATION, Request, Row
from prunekit.local_code.factories import is_factory
from prunekit.models.architectures import load_code
from prunekit.models.folder import stored_architecture
from prunekit.models.load import load_model
from prunekit.models.outputs import joined
from prunekit.runtimes.backends import RUNTIMES
from prunekit.runtimes.checking import check
from prunekit.runtimes.export import export_onnx, load_exporter
from prunekit.runtimes.quantise import quantise_linear, quantise_onnx
from prunekit.runtimes.runtime import Runtime, Session, words_of
from prunekit.runtimes.torch_sessions import OneToken, after_prompt
from prunekit.tasks.batch import Batch
from prunekit.tasks.input_form import InputForm, reads_ids, samples_like
from prunekit.tasks.protocol import ONE_TOKEN
from prunekit.tasks.stored_batch import read, write

EAGER = "eager"
AFTER = "after"
"""What is made of keys and values, beside the files of models."""


def load_libraries(request: Request) -> None:
    """Import what several trials would each import for themselves: a library of models, and torch's exporter."""
    named = [stored_architecture(request.files(index).folder) for index in range(len(request.names))]
    with suppress(PrunekitError):  # whoever needs it says what is missing
        for name in named:
            if not is_factory(name):  # one's own code may do anything: it is run where it costs only itself
                load_code(name)
    if len(named) > 1 and any(RUNTIMES[name].file for name in request.runtimes):
        load_exporter()


def make(request: Request, row: Row, file: str) -> None:
    """Write what a row opens or reads: an ONNX file, a quantised one, keys and values; where that fails, a file beside it says why."""
    files, reason = request.files(row.candidate, row.length, row.phase), reason_of(request, row, file)
    counters.volunteer()
    try:
        if file == AFTER:
            write(
                after_prompt(load_model(str(files.folder)), request.compared(row.length).take(CACHED)),
                request.cache(row.candidate, row.length),
            )
        elif file == "onnx" and files.onnx is not None:
            model = load_model(str(files.folder))
            form = InputForm.of(read(request.cache(row.candidate, row.length))) if files.after else request.form(row.length)
            export_onnx(OneToken(model).eval() if files.after else model, form, files.onnx)
        elif files.onnx is not None and files.int8 is not None:
            if reads_ids(request.form(row.length)):
                quantise_linear(files.onnx, files.int8)
                return
            if request.uncalibrated:
                raise LatencyError(request.uncalibrated)
            samples = read(Path(request.folder) / CALIBRATION)
            quantise_onnx(files.onnx, parts(samples, 32), files.int8)
    except Exception as error:
        reason.write_text(_words(error))


def reason_of(request: Request, row: Row, file: str) -> Path:
    """Return the file that says why something could not be made."""
    files = request.files(row.candidate, row.length, row.phase)
    return files.folder / f"{files.onnx.stem if files.onnx else 'model'}.{file}.error"


def attempt(request: Request, row: Row) -> None:
    """Try one row and write down what came of it."""
    counters.volunteer()
    try:
        found = _tried(request, row)
    except Exception as error:
        found = {"error": _words(error)}
    result_of(request, row).write_text(json.dumps(found))


def result_of(request: Request, row: Row) -> Path:
    """Return the file that a trial leaves."""
    return Path(request.folder) / f"trial-{request.threads}-{row.key}.json"


def parts(samples: Batch, size: int) -> list[Batch]:
    """Return samples in parts of at most so many."""
    return [samples.take(np.arange(start, min(start + size, samples.samples))) for start in range(0, samples.samples, size)]


def inputs(request: Request, row: Row, batch: int | None = None) -> Batch:
    """Return the input that is timed, of as many samples as the row has, or another number."""
    n, free = batch or row.batch, counters.available()
    form, kept = request.form(row.length), read(request.cache(row.candidate, row.length)) if row.phase == ONE_TOKEN.name else None
    one = samples_like(form, 1, torch.Generator()) if isinstance(form, InputForm) and kept is None else kept and kept.take(1)
    need = n * (4 * prod(form) if one is None else sum(tensor.nbytes for _, tensor in one.named_tensors()))
    if free is not None and need > free:
        raise LatencyError(f"a batch of {n} does not fit in memory: its input alone takes {need / 2**30:.1f} GiB; take a smaller batch")
    if kept is not None:
        return kept.take(np.arange(n) % kept.samples)
    return samples_like(form, n, torch.Generator().manual_seed(request.seed))


def _tried(request: Request, row: Row) -> dict[str, Any]:
    """Open, run, compare."""
    runtime = RUNTIMES[row.runtime]
    torch.set_num_threads(request.threads)
    missing = runtime.missing()
    if missing:
        raise LatencyError(missing)
    # the memory of code is not the model's
    import_module(runtime.package)
    if not runtime.file:
        load_code(stored_architecture(request.files(row.candidate).folder))
    x = inputs(request, row)
    before = _settled(request.device)
    session = runtime.open(request.files(row.candidate, row.length, row.phase), threads=request.threads, device=request.device)
    run = session.bind(x)
    _run(run, request, row)
    _settled(request.device)  # opening and compiling may take more than running: from here on the peak is that of inference
    _run(run, request, row)
    peak = _peak(request.device, before)
    size = _file_bytes(request, row, runtime)
    found = {"peak_bytes": peak, "file_bytes": size, "compile_s": session.compile_s, "notes": list(session.notes)}
    return {**found, **_compared(request, row, session)}


def _run(run: Run, request: Request, row: Row) -> None:
    """Make one pass, and say in plain words what is wrong with it."""
    try:
        run()
    except Exception as error:
        if isinstance(error, PrunekitError) or _memory(error):
            raise
        line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise LatencyError(f"it does not run on {words_of(inputs(request, row, 1))}: {line[:300]}") from error


def _settled(device: str) -> int | None:
    """Return what is held before the model is opened."""
    if device == "cuda":
        if not torch.cuda.is_available():
            raise LatencyError("there is no CUDA device on this machine")
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    return counters.settled()


def _peak(device: str, before: int | None) -> int | None:
    """Return the most that the model needed."""
    if device == "cuda":
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - (before or 0)
    most = counters.peak()
    return None if most is None or before is None else max(0, most - before)


def _file_bytes(request: Request, row: Row, runtime: Runtime) -> int:
    """Return the size of the file that a runtime opens."""
    files = request.files(row.candidate, row.length, row.phase)
    return (files.need(runtime.file) if runtime.file else files.folder / "model.safetensors").stat().st_size


def _compared(request: Request, row: Row, session: Session) -> dict[str, Any]:
    """Compare all outputs with those of eager mode, which the first trial of a candidate leaves."""
    reference = Path(request.folder) / f"outputs-{row.candidate}-{row.length}-{row.phase}.npz"
    samples = read(request.cache(row.candidate, row.length)) if row.phase == ONE_TOKEN.name else request.compared(row.length)
    some = parts(samples, row.batch)  # what fits is what is timed, not more
    found = joined([session.outputs(part) for part in some], [len(part) for part in some])
    if not found:
        raise LatencyError("it gives nothing that has an entry for each sample, so that there is nothing to compare")
    if not reference.is_file():
        if row.runtime != EAGER:
            raise LatencyError("there is nothing of eager mode to compare with: the model does not run there")
        np.savez(reference, **{name: tensor.numpy() for name, tensor in found.items()})  # type: ignore[arg-type]
    with np.load(reference) as kept:
        expected = {name: torch.from_numpy(kept[name]) for name in kept.files}
    checked = check(RUNTIMES[row.runtime], expected, found, samples.samples)
    return {"check": asdict(checked), **({} if checked.passed else {"error": f"not timed: {checked.sentence}"})}


def _memory(error: BaseException) -> bool:
    """Return whether memory ran out."""
    return isinstance(error, MemoryError) or "can't allocate memory" in str(error) or "out of memory" in str(error).lower()


def _words(error: BaseException) -> str:
    """Return an error in one line."""
    if isinstance(error, PrunekitError):
        return str(error)
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if _memory(error):
        return f"it does not fit in memory ({lines[0][:120]}): take a smaller batch or a smaller model"
    return f"{type(error).__name__}: {lines[0][:300]}"
