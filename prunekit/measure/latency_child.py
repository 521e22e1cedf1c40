"""The fresh process in which latency is timed: ``python -m prunekit.measure.latency_child REQUEST.json``.

One JSON object a line: ``{"progress": share, "text": words}`` while it works, at the end ``{"result": ...}`` or ``{"error": sentence}``.
First every row is tried in a process forked from this one, so that a row that dies costs only itself; then the rows that work take
turns here. Which row has its turn is in the file ``turn``: if this process dies all the same, the row that did it is known.
"""

from __future__ import annotations

import json
import mmap
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import torch

from prunekit.errors import LatencyError, PrunekitError
from prunekit.measure import memory, trial
from prunekit.measure.energy import Meter
from prunekit.measure.packing import Request, Row
from prunekit.measure.rounds import Rounds, Run, Sampler, by_clock, take_turns
from prunekit.runtimes import RUNTIMES, Session

# forked: what is imported is there already. Elsewhere than on Linux system libraries do not survive a fork
PROCESSES: Any = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
TRIAL_S = 300.0
SHARE_OF_TRIALS = 0.4
Say = Callable[[float, str], None]


def prepare(request: Request, say: Say) -> dict[str, dict[str, Any]]:
    """Write the files that the runtimes open, and try every row.

    Parameters
    ----------
    request : Request
        What is measured.
    say : callable
        Told the share of the whole and what is done.

    Returns
    -------
    dict
        From a row's key to what its trial found: ``peak_bytes``, ``file_bytes``, ``compile_s``, ``notes``, ``check``, or ``error``.
    """
    rows, found = request.rows(), dict[str, dict[str, Any]]()
    first = [Row(index, trial.EAGER, request.batches[0]) for index in range(len(request.names))]
    todo = [*first, *(row for row in rows if row not in first)]
    for index, row in enumerate(todo):
        say(SHARE_OF_TRIALS * index / len(todo), f"trying {request.names[row.candidate]} in {RUNTIMES[row.runtime].title}")
        found[row.key] = _found(request, row, say, SHARE_OF_TRIALS * index / len(todo))
    return found


def _found(request: Request, row: Row, say: Say, share: float) -> dict[str, Any]:
    """Return what the trial of a row found; one that was made before is read."""
    gone = (request.given_up or {}).get(row.key)
    if gone is not None:
        return {"error": gone}
    file = RUNTIMES[row.runtime].file
    missing = RUNTIMES[row.runtime].missing() or _device_missing(request, row)
    problem = missing or (_made(request, row.candidate, file, say, share) if file else "")
    if problem:
        return {"error": problem}
    result = trial.result_of(request, row)
    if not result.is_file():
        ended = _in_a_process(partial(say, share, _trying(request, row)), trial.attempt, request, row)
        if not result.is_file():
            return {"error": ended or "its process ended without a word"}
    return dict(json.loads(result.read_text()))


def _trying(request: Request, row: Row) -> str:
    """Say what is under way."""
    return f"trying {request.names[row.candidate]} in {RUNTIMES[row.runtime].title}, batch {row.batch}"


def _device_missing(request: Request, row: Row) -> str:
    """Return why a row cannot run on the device."""
    if request.device not in RUNTIMES[row.runtime].devices:
        return f"{RUNTIMES[row.runtime].title} does not run on {request.device} here"
    return "there is no CUDA device on this machine" if request.device == "cuda" and not torch.cuda.is_available() else ""


def _made(request: Request, candidate: int, file: str, say: Say, share: float) -> str:
    """Write a candidate's file in a process of its own, once; return why it cannot be, "" where it is there."""
    for kind in ("onnx", "int8")[: 1 if file == "onnx" else 2]:
        path, reason = request.files(candidate), Path(request.folder) / str(candidate) / f"{kind}.error"
        target = path.onnx if kind == "onnx" else path.int8
        if target is not None and not target.is_file() and not reason.is_file():
            words = f"{'exporting' if kind == 'onnx' else 'quantising'} {request.names[candidate]}"
            ended = _in_a_process(partial(say, share, words), trial.make, request, candidate, kind)
            if ended:
                reason.write_text(f"{words}: {ended}")
        if reason.is_file():
            return reason.read_text()
    return ""


def _in_a_process(alive: Callable[[], object], work: Callable[..., None], *args: Any) -> str:
    """Do work in a process of its own; return how it ended if it did not end well."""
    process = PROCESSES.Process(target=work, args=args)
    process.start()
    start = time.monotonic()
    while process.exitcode is None and time.monotonic() - start < TRIAL_S:
        process.join(1.0)
        alive()
    if process.exitcode is None:
        process.kill()
        process.join()
        return f"it took longer than {TRIAL_S:.0f} s and was ended"
    if process.exitcode == -9:
        return "its process was killed by the system, as happens when memory runs out: take a smaller batch"
    return "" if process.exitcode == 0 else f"its process died (exit code {process.exitcode})"


@contextmanager
def _turn_marker(folder: Path, rows: list[Row]) -> Iterator[Callable[[int], None]]:
    """Give a function that notes which row has its turn; a memory-mapped file, since it is called before every sample."""
    path = folder / "turn"
    path.write_bytes(b" " * 64)
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 64) as shared:
        keys = [row.key.encode().ljust(64) for row in rows]

        def note(index: int) -> None:
            shared[:64] = keys[index]

        yield note
        shared[:64] = b" " * 64


def _sampler(request: Request, meter: Meter, spent: list[float], note: Callable[[int], None]) -> Sampler:
    """Return how one sample is taken: marked, by the clock or by CUDA events, with the energy counter read around it."""
    take = by_clock() if request.device == "cpu" else by_events()

    def sample(index: int, run: Run, repetitions: int) -> float:
        note(index)
        if meter.reason:
            return take(index, run, repetitions)
        before = meter.read()
        seconds = take(index, run, repetitions)
        spent[index] += meter.joules(before, meter.read())
        return seconds

    return sample


def by_events() -> Sampler:
    """Return a sampler that lets the GPU itself tell the time: events around the calls, synchronised."""

    def sample(_index: int, run: Run, repetitions: int) -> float:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()
        begin.record()
        for _ in range(repetitions):
            run()
        end.record()
        torch.cuda.synchronize()
        return float(begin.elapsed_time(end)) / 1000 / repetitions

    return sample


def measure(request: Request, out: TextIO) -> dict[str, Any]:
    """Try the rows and let those that work take turns.

    Returns
    -------
    dict
        ``trials`` by row, ``turns``: for each batch the keys of its ``rows`` and what :class:`Rounds` holds, ``energy``: why there is none.
    """

    def say(share: float, text: str) -> None:
        print(json.dumps({"progress": share, "text": text}), file=out, flush=True)

    memory.volunteer()
    trials = prepare(request, say)  # before torch has threads here: forked processes could not use theirs
    torch.set_num_threads(request.threads)
    torch.set_num_interop_threads(1)
    sessions, turns, meter = dict[tuple[int, str], Session](), [], Meter()
    for place, batch in enumerate(request.batches):
        rows = [row for row in request.rows() if row.batch == batch and not trials[row.key].get("error")]
        working, runs = _bound(request, rows, sessions, trials)
        if not runs:
            continue
        width = (1 - SHARE_OF_TRIALS) / len(request.batches)
        begin = SHARE_OF_TRIALS + width * place

        def told(share: float, rounds: int, begin: float = begin, width: float = width, batch: int = batch) -> None:
            say(begin + width * share, f"batch {batch}: {rounds} rounds")

        turns.append({"batch": batch, **_turns(request, working, runs, meter, told)})
    return {"trials": trials, "turns": turns, "energy": meter.reason}


def _bound(
    request: Request, rows: list[Row], sessions: dict[tuple[int, str], Session], trials: dict[str, dict[str, Any]]
) -> tuple[list[Row], list[Run]]:
    """Open the rows of a batch; what worked in its trial and fails here says so."""
    working, runs = [], list[Run]()
    for row in rows:
        try:
            key = (row.candidate, row.runtime)
            if key not in sessions:
                files = request.files(row.candidate)
                sessions[key] = RUNTIMES[row.runtime].open(files, threads=request.threads, device=request.device)
            runs.append(sessions[key].bind(trial.noise(request, row.batch)))
            working.append(row)
        except (PrunekitError, RuntimeError, MemoryError) as error:
            trials[row.key]["error"] = str(error).splitlines()[0]
    return working, runs


def _turns(request: Request, rows: list[Row], runs: list[Run], meter: Meter, told: Callable[[float, int], None]) -> dict[str, Any]:
    """Let the rows of a batch take turns."""
    spent = [0.0] * len(rows)
    with _turn_marker(Path(request.folder), rows) as note:
        for index, run in enumerate(runs):  # the first pass here: what dies of it is known
            note(index)
            run()
        sample = _sampler(request, meter, spent, note)
        timing: dict[str, Any] = {"budget_s": request.budget_s, "min_rounds": request.min_rounds, "seed": request.seed}
        rounds: Rounds = take_turns(runs, **timing, sample=sample, progress=told)
    calls = [max(1, len(rounds.orders) * repetitions) for repetitions in rounds.repetitions]
    energy = [None if meter.reason else joules / n for joules, n in zip(spent, calls, strict=True)]
    return {"rows": [row.key for row in rows], "energy_j": energy, **asdict(rounds)}


def main(argv: list[str] | None = None) -> int:
    """Run one request; what the models print goes to stderr, so that stdout holds nothing but JSON."""
    path = Path((sys.argv[1:] if argv is None else argv)[0])
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)
        try:
            result = measure(Request.read(path), out)
        except (PrunekitError, LatencyError) as error:
            print(json.dumps({"error": str(error)}), file=out, flush=True)
            return 2
        print(json.dumps({"result": result}), file=out, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
