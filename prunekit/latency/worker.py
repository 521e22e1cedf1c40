"""The child process that times models: one request at a time, from a private folder, started, listened to and ended."""

from __future__ import annotations

import contextlib
import json
import math
import multiprocessing
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from time import monotonic
from typing import IO, Any

from torch import nn

from prunekit.errors import LatencyError
from prunekit.evaluation.progress import QUIET, Progress, Tell
from prunekit.latency.worker_payload import known_ids, pack_model
from prunekit.tasks.input_form import InputForm
from prunekit.tasks.stored_batch import write

LIMIT_S = 300.0


def in_a_process(work: Callable[..., None], *args: Any, alive: Callable[[], object], fork: bool = True) -> str:
    """Do work in a process of its own and return how it ended, where it did not end well; ``alive`` is called every second."""
    context: Any = multiprocessing.get_context("fork" if fork and sys.platform == "linux" else "spawn")
    process = context.Process(target=work, args=args)
    process.start()
    start = time.monotonic()
    while process.exitcode is None and time.monotonic() - start < LIMIT_S:
        process.join(1.0)
        alive()
    if process.exitcode is None:
        process.kill()
        process.join()
        return f"it took longer than {LIMIT_S:.0f} s and was ended"
    if process.exitcode == -9:
        return "its process was killed by the system, as happens when memory runs out: take a smaller batch"
    return "" if process.exitcode == 0 else f"its process died (exit code {process.exitcode})"


class ChildDied(LatencyError):
    """The process ended without a result: something in it took it down."""


MAIN = "prunekit.latency.worker_main"
TIMING = "prunekit.latency.timing_worker:measure"
GRACE_S = 5.0
STALL_S = 180.0  # silence after which the child counts as hung: loading and one round of a large model take less


def _environment(threads: int, private: Path) -> dict[str, str]:
    """Return the child's environment: fixed threads, this very package first on its path, a folder of its own for temporary files."""
    home = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(part for part in (home, os.environ.get("PYTHONPATH")) if part)
    fixed = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    # what libraries leave behind when they are killed goes with the private folder
    own = {"TMPDIR": str(private), "TORCHINDUCTOR_CACHE_DIR": str(private / "inductor")}
    return {**os.environ, **fixed, **own, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def _listen(pipe: IO[str], lines: queue.Queue[str | None]) -> None:
    """Pass on every line, then None."""
    with pipe:
        for line in pipe:
            lines.put(line)
    lines.put(None)


def _messages(process: subprocess.Popen[str], stall_s: float, progress: Progress) -> Any:
    """Yield what the child says until it closes its output."""
    lines: queue.Queue[str | None] = queue.Queue()
    assert process.stdout is not None
    threading.Thread(target=_listen, args=(process.stdout, lines), daemon=True).start()
    heard, patience = monotonic(), stall_s
    while True:
        progress.check()
        try:
            line = lines.get(timeout=0.1)
        except queue.Empty:
            if monotonic() - heard > patience:
                raise ChildDied(f"the timing process said nothing for {patience:.0f} s and was ended: try a smaller batch") from None
            continue
        if line is None:
            return
        heard = monotonic()
        try:
            message = json.loads(line)
        except json.JSONDecodeError:
            raise LatencyError(f"the timing process said something else than a measurement: {line.strip()[:200]}") from None
        patience = max(stall_s, float(message.get("patience", 0.0)))  # slow rows announce how long they will be silent
        yield message


def _last_line(errors: IO[str]) -> str:
    """Return the last line that the child wrote on stderr."""
    errors.seek(0)
    lines = [line.strip() for line in errors if line.strip()]
    return lines[-1][:300] if lines else "it left no message"


def _ended(process: subprocess.Popen[str], well: bool) -> int:
    """End the child with everything that it started, and return its exit code; with a result in hand it may end by itself first."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_S if well else 0.05)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    return process.wait()


def run_child(
    request: Path,
    threads: int,
    *,
    progress: Progress | Tell = QUIET,
    stall_s: float = STALL_S,
    work: str = TIMING,
) -> dict[str, Any]:
    """Return what one request gives in a fresh process: plain values. After ``stall_s`` seconds of silence the child is killed."""
    # -P: the current folder is no place to import from, a file there could shadow a library
    progress = Progress.of(progress)
    command = [sys.executable, "-P", "-m", MAIN, work, str(request)]
    with (request.parent / "stderr").open("w+") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL, text=True,
            env=_environment(threads, request.parent), start_new_session=True,
        )  # fmt: skip
        result = None
        try:
            for message in _messages(process, stall_s, progress):
                if "error" in message:
                    raise LatencyError(message["error"])
                if "result" in message:
                    result = message["result"]
                else:
                    progress(message["progress"], message["text"])
        finally:
            code = _ended(process, result is not None)
        if result is None:
            raise ChildDied(f"the timing process ended without a result (exit code {code}): {_last_line(errors)}")
        return dict(result)


TURN = threading.Lock()
"""Held by the measurement that runs: two would slow each other down and both be wrong."""
MOST_BATCH = 65536
MOST_TOKENS = 131_072
MOST_ROUNDS = 1000


@contextmanager
def my_turn(progress: Progress) -> Iterator[None]:
    """Wait until no other measurement runs in this process."""
    while not TURN.acquire(timeout=0.1):
        progress(0.0, "waiting for another latency measurement")
    try:
        progress(0.0, "starting a process of its own")
        yield
    finally:
        TURN.release()


def check_numbers(
    batches: Sequence[int], threads: Sequence[int], budget_s: float, min_rounds: int = 1, lengths: Sequence[int] = ()
) -> None:
    """Raise unless the numbers make sense."""
    if not batches or not threads:
        raise LatencyError("give at least one batch and one number of threads")
    checks = [("batch", value, MOST_BATCH) for value in batches] + [("threads", value, os.cpu_count() or 1) for value in threads]
    checks += [("length", value, MOST_TOKENS) for value in lengths]
    for name, value, most in (*checks, ("min_rounds", min_rounds, MOST_ROUNDS)):
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise LatencyError(f"{name} must be a whole number from 1 to {most}; got {value!r}")
    if not math.isfinite(budget_s) or not 0 < budget_s <= 3600:
        raise LatencyError(f"the time budget must be above 0 and at most 3600 seconds; got {budget_s!r}")


WORK = "prunekit.latency.diagnosis.worker:work"
FORM = "form.safetensors"
Source = nn.Module | str | PathLike[str]


def ask(request: dict[str, Any], models: Mapping[str, Source], progress: Progress, form: InputForm | None = None) -> dict[str, Any]:
    """Return the result of a request, carried out in a fresh process that opens the models as folders, after other measurements."""
    with tempfile.TemporaryDirectory(prefix="prunekit-causes-") as private:
        folders = _pack(models, Path(private))
        path = Path(private) / "request.json"
        if form is not None:
            write(form.example, Path(private) / FORM)
            request = request | {"form": str(Path(private) / FORM)}
        path.write_text(json.dumps(request | {"folders": folders}))
        with my_turn(progress):
            return run_child(path, request["threads"], progress=progress, work=WORK)


def _pack(models: Mapping[str, Source], private: Path) -> dict[str, str]:
    """Return a folder for each model: its own where it is one already."""
    known = known_ids({name: model for name, model in models.items() if isinstance(model, nn.Module)})
    return {
        name: str(pack_model(model, known[name], private / str(index)) if isinstance(model, nn.Module) else Path(model).absolute())
        for index, (name, model) in enumerate(models.items())
    }


def check_settings(threads: int, budget_s: float, batch: int = 1, min_rounds: int = 1) -> None:
    """Raise unless the settings make sense."""
    check_numbers((batch,), (threads,), budget_s, min_rounds)
