"""In a process of its own: the rows of a latency measurement are tried, then those that work take turns.

First every row is tried in a process forked from this one, so that a row that dies costs only itself; then the rows that work take
turns here. Which row has its turn is in the file ``turn``: if this process dies all the same, the row that did it is known.
"""

from __future__ import annotations

import json
import mmap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from prunekit.errors import PrunekitError
from prunekit.latency import counters, trial
from prunekit.latency.counters import Meter
from prunekit.latency.interleaved_timing import Rounds, Run, Sampler, by_clock, take_turns
from prunekit.latency.worker import LIMIT_S, in_a_process
from prunekit.latency.worker_main import Say
from prunekit.latency.worker_payload import Request, Row
from prunekit.runtimes.backends import RUNTIMES
from prunekit.runtimes.runtime import Session
from prunekit.tasks.protocol import ONE_TOKEN, Group

SHARE_OF_TRIALS = 0.4
PATIENCE = 20  # times a round without compiling, before a silence counts as hanging
NOBODY = b" " * 64
Note = Callable[[bytes], None]


def prepare(request: Request, say: Say) -> dict[str, dict[str, Any]]:
    """Write the files that the runtimes open, and try every row.

    From a row's key to what its trial found: ``peak_bytes``, ``file_bytes``, ``compile_s``, ``notes``, ``check``, or ``error``.
    """
    trial.load_libraries(request)
    rows, found = request.rows(), dict[str, dict[str, Any]]()
    few = min(request.batches)
    first = [row.of(row.candidate, trial.EAGER) for row in rows if row.batch == few and row.runtime == request.runtimes[0]]
    todo = [*first, *(row for row in rows if row not in first)]
    for index, row in enumerate(todo):
        say(SHARE_OF_TRIALS * index / len(todo), f"trying {request.names[row.candidate]} in {RUNTIMES[row.runtime].title}")
        found[row.key] = _trial_result(request, row, say, SHARE_OF_TRIALS * index / len(todo))
    return found


def _trial_result(request: Request, row: Row, say: Say, share: float) -> dict[str, Any]:
    """Return what the trial of a row found; one that was made before is read."""
    gone = (request.given_up or {}).get(row.key)
    if gone is not None:
        return {"error": gone}
    runtime = RUNTIMES[row.runtime]
    made = [trial.AFTER] if row.phase == ONE_TOKEN.name else []
    made += {"": [], "onnx": ["onnx"]}.get(runtime.file, ["onnx", runtime.file])
    problem = runtime.missing() or _device_missing(request, row) or _made(request, row, made, say, share)
    if problem:
        return {"error": problem}
    result = trial.result_of(request, row)
    if not result.is_file():
        ended = in_a_process(trial.attempt, request, row, alive=partial(say, share, _trying(request, row)), fork=request.device == "cpu")
        if not result.is_file():
            return {"error": ended or "its process ended without a word"}
    return dict(json.loads(result.read_text()))


def _group(request: Request, row: Row) -> Group:
    """Return what a row shares with those that it takes turns with."""
    return Group(row.batch, request.threads, row.length, row.phase)


def _trying(request: Request, row: Row) -> str:
    """Say what is under way."""
    return f"trying {request.names[row.candidate]} in {RUNTIMES[row.runtime].title}, {_group(request, row).where}"


def _device_missing(request: Request, row: Row) -> str:
    """Return why a row cannot run on the device."""
    # whether there is a GPU at all is for the trial to say: asking here would spoil CUDA for what is forked later
    usable = request.device in RUNTIMES[row.runtime].devices
    return "" if usable else f"{RUNTIMES[row.runtime].title} does not run on {request.device} here"


def _made(request: Request, row: Row, wanted: Sequence[str], say: Say, share: float) -> str:
    """Write what a row needs in a process of its own, once; return why it cannot be, "" where it is there."""
    files, name = request.files(row.candidate, row.length, row.phase), request.names[row.candidate]
    targets = {trial.AFTER: request.cache(row.candidate, row.length), "onnx": files.onnx, "int8": files.int8}
    verbs = {trial.AFTER: "reading a prompt with", "onnx": "exporting", "int8": "quantising"}
    for kind in wanted:
        target, reason = targets[kind], trial.reason_of(request, row, kind)
        if target is not None and not target.is_file() and not reason.is_file():
            words = f"{verbs[kind]} {name}"
            ended = in_a_process(trial.make, request, row, kind, alive=partial(say, share, words))
            if ended:
                reason.write_text(f"{words}: {ended}")
        if reason.is_file():
            return reason.read_text()
    return ""


@contextmanager
def _turn_marker(folder: Path) -> Iterator[Note]:
    """Give a function that notes which row has its turn; a memory-mapped file, since it is called before every sample."""
    path = folder / "turn"
    path.write_bytes(NOBODY)
    with path.open("r+b") as file, mmap.mmap(file.fileno(), len(NOBODY)) as shared:

        def note(key: bytes) -> None:
            shared[:] = key

        yield note
        shared[:] = NOBODY


def _sampler(request: Request, rows: list[Row], meter: Meter, spent: list[float], note: Note) -> Sampler:
    """Return how one sample is taken: marked, by the clock or by CUDA events, with the energy counter read around it."""
    take, keys = by_clock() if request.device == "cpu" else by_events(), [_marked(row) for row in rows]

    def sample(index: int, run: Run, repetitions: int) -> float:
        note(keys[index])
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


def measure(path: Path, say: Say) -> dict[str, Any]:
    """Try the rows of a request and let those that work take turns.

    ``trials`` by row, ``turns``: for each batch, length and phase the keys of its ``rows`` and what :class:`Rounds` holds, ``energy``: why
    there is none.
    """
    request = Request.read(path)
    counters.volunteer()
    trials = prepare(request, say)  # before torch has threads here: forked processes could not use theirs
    torch.set_num_threads(request.threads)
    torch.set_num_interop_threads(1)
    sessions, turns, meter = dict[tuple[int, str, int, str], Session](), [], Meter()
    groups = list(dict.fromkeys(_group(request, row) for row in request.rows()))
    width = (1 - SHARE_OF_TRIALS) / len(groups)
    with _turn_marker(Path(request.folder)) as note:
        for place, group in enumerate(groups):
            told = Telling(say, SHARE_OF_TRIALS + width * place, width, group)
            rows = [row for row in request.rows() if _group(request, row) == group and not trials[row.key].get("error")]
            found = Batch(request, sessions, trials, note, told, meter).carry_out(rows)
            if found is not None:
                turns.append({"batch": group.batch, "length": group.length, "phase": group.phase, **found})
    return {"trials": trials, "turns": turns, "energy": meter.reason}


@dataclass(frozen=True)
class Telling:
    """Tells the progress of one group of rows."""

    say: Say
    begin: float
    width: float
    group: Group

    def rounds(self, patience: float, share: float, rounds: int) -> None:
        """Tell how far the rounds are, and how long one may take."""
        self.say(self.begin + self.width * share, f"{self.group.where}: {rounds} rounds", patience)

    def silence(self, text: str, seconds: float) -> None:
        """Announce a silence."""
        self.say(self.begin, f"{self.group.where}: {text}", seconds)


@dataclass(frozen=True, eq=False)
class Batch:
    """The rows of one batch, opened and timed."""

    request: Request
    sessions: dict[tuple[int, str, int, str], Session]
    trials: dict[str, dict[str, Any]]
    note: Note
    told: Telling
    meter: Meter

    def carry_out(self, rows: list[Row]) -> dict[str, Any] | None:
        """Open the rows and let them take turns; None where not one of them works."""
        working, runs = [], list[Run]()
        for row in rows:
            self.note(_marked(row))
            self.told.silence(f"opening {self.request.names[row.candidate]} in {RUNTIMES[row.runtime].title}", LIMIT_S)
            try:
                runs.append(self._session(row).bind(trial.inputs(self.request, row)))
                working.append(row)
            except (PrunekitError, RuntimeError, MemoryError) as error:  # it worked in its trial, alone
                self.trials[row.key]["error"] = next(iter(str(error).splitlines()), type(error).__name__)
        return self._turns(working, runs) if runs else None

    def _session(self, row: Row) -> Session:
        """Return a candidate in a runtime, opened once for all batches."""
        key = (row.candidate, row.runtime, row.length, row.phase)
        if key not in self.sessions:
            files = self.request.files(row.candidate, row.length, row.phase)
            self.sessions[key] = RUNTIMES[row.runtime].open(files, threads=self.request.threads, device=self.request.device)
        return self.sessions[key]

    def _turns(self, rows: list[Row], runs: list[Run]) -> dict[str, Any]:
        """Let the rows take turns."""
        request, spent, once = self.request, [0.0] * len(rows), 0.0
        for row, run in zip(rows, runs, strict=True):
            self.note(_marked(row))
            self.told.silence("first passes", LIMIT_S)
            start = time.monotonic()
            run()
            once += time.monotonic() - start
        self.told.silence("warming up", PATIENCE * once + request.budget_s)
        sample = _sampler(request, rows, self.meter, spent, self.note)
        timing: dict[str, Any] = {"budget_s": request.budget_s, "min_rounds": request.min_rounds, "seed": request.seed}
        rounds: Rounds = take_turns(runs, **timing, sample=sample, progress=partial(self.told.rounds, PATIENCE * once))
        # before the passes that are timed there is one that is not, where there are several
        calls = [len(rounds.orders) * (n + (n > 1 and request.device == "cpu")) for n in rounds.repetitions]
        energy = [None if self.meter.reason else joules / max(n, 1) for joules, n in zip(spent, calls, strict=True)]
        return {"rows": [row.key for row in rows], "energy_j": energy, **asdict(rounds)}


def _marked(row: Row) -> bytes:
    """Return a row's key as the marker holds it."""
    return row.key.encode().ljust(len(NOBODY))
