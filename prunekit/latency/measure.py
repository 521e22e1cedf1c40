"""Latency of some models in turns, in a fresh child process, in every runtime: the rows of its report."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from prunekit.config.choices import DEVICES
from prunekit.errors import LatencyError, PrunekitError
from prunekit.evaluation.progress import QUIET, Progress, Tell
from prunekit.evaluation.quality import Evaluation
from prunekit.evaluation.sizes import file_bytes
from prunekit.latency.interleaved_timing import ratio
from prunekit.latency.report import Candidate, CandidateLatency, LatencyReport, Turns
from prunekit.latency.worker import ChildDied, check_numbers, my_turn, run_child
from prunekit.latency.worker_payload import Request, Row, pack, pack_samples
from prunekit.models.running import task_of
from prunekit.runtimes.backends import RUNTIMES
from prunekit.runtimes.checking import Check, evaluate_session
from prunekit.tasks.base import PLAIN
from prunekit.tasks.input_form import InputForm
from prunekit.tasks.protocol import Task


@dataclass(frozen=True, eq=False)
class Findings:
    """What a measuring process found."""

    candidates: Sequence[Candidate]  # the baseline first
    request: Request
    result: dict[str, Any]  # ``trials``, ``turns`` and ``energy``, as the process gives them
    task: Task = PLAIN  # what throughput counts

    def rows(self) -> list[CandidateLatency]:
        """Return the rows of the report."""
        return [self._row(row) for row in self.request.rows()]

    def _row(self, row: Row) -> CandidateLatency:
        """Turn one row's trial and samples into what is reported."""
        trial, turn = self.result["trials"][row.key], self._turn(row)
        candidate, dense = self.candidates[row.candidate], self.candidates[0].macs
        macs = candidate.macs / dense if candidate.macs is not None and dense else None
        checked = Check(**trial["check"]) if trial.get("check") else None
        made = CandidateLatency(candidate.name, row.runtime, row.batch, self.request.threads, macs_ratio=macs, check=checked)
        phase = next(each for each in self.task.phases if each.name == row.phase)
        made = replace(
            made, length=row.length, phase=row.phase, unit=phase.unit, units=phase.units, count=phase.count(row.batch, row.length)
        )
        if turn is None or trial.get("error"):
            return replace(made, error=trial.get("error") or "it was not timed")
        index = turn["rows"].index(row.key)
        told = {name: trial[name] for name in ("peak_bytes", "file_bytes", "compile_s")}
        if not RUNTIMES[row.runtime].file:  # the weights' file as it is named everywhere, without what the folder for timing notes in it
            told["file_bytes"] = file_bytes(candidate.model)
        timed = self._timed(turn, index, row.of(0, self.request.runtimes[0]).key, row.of(0, row.runtime).key)
        return replace(made, energy_j=turn["energy_j"][index], notes=tuple(trial["notes"]), **told, **timed)

    def _turn(self, row: Row) -> dict[str, Any] | None:
        """Return the turns that a row took part in."""
        return next((turn for turn in self.result["turns"] if row.key in turn["rows"]), None)

    @staticmethod
    def _timed(turn: dict[str, Any], index: int, base: str, same: str) -> dict[str, Any]:
        """Return what the samples of a row say, beside those of the baseline and of the baseline's model in the same runtime."""
        ms = np.asarray(turn["seconds"][index]) * 1000
        q1, median, q3 = (float(q) for q in np.quantile(ms, [0.25, 0.5, 0.75]))
        against = {
            name: ratio(ms, np.asarray(turn["seconds"][turn["rows"].index(key)]) * 1000) if key in turn["rows"] else None
            for name, key in (("ratio", base), ("within", same))
        }
        found = {"samples_ms": tuple(ms.tolist()), "median_ms": median, "q1_ms": q1, "q3_ms": q3}
        return {**found, **against, "repetitions": turn["repetitions"][index]}


def with_accuracy(
    rows: Sequence[CandidateLatency],
    candidates: Sequence[Candidate],
    request: Request,
    split: Any,
    *,
    own: int = 0,
    progress: Progress = QUIET,
) -> list[CandidateLatency]:
    """Measure the headline metric: in eager mode, whose outputs every float32 runtime gives, and in each runtime with fewer bits.

    ``own``: tokens of each of them; 0 where they are no texts. A file takes one length.
    """
    known, models = dict[tuple[str, str], Evaluation | str](), {candidate.name: candidate.model for candidate in candidates}
    found = []
    for row in rows:
        key = (row.name, "eager" if RUNTIMES[row.runtime].precision == "float32" else row.runtime)
        if row.error is None and key not in known:
            known[key] = _accuracy(row, key[1], request, split, models[row.name], own=own, progress=progress)
        seen = known.get(key) if row.error is None else None
        if isinstance(seen, str):
            found.append(replace(row, notes=(*row.notes, seen)))
        else:
            found.append(replace(row, accuracy=seen))
    return found


def _accuracy(
    row: CandidateLatency,
    runtime: str,
    request: Request,
    split: Any,
    model: nn.Module,
    *,
    own: int,
    progress: Progress,
) -> Evaluation | str:
    """Return the quality of a candidate in a runtime, or why there is none."""
    words = f"quality of {row.name}, {RUNTIMES[runtime].title}"
    if RUNTIMES[runtime].file and own not in request.lengths:
        return f"its quality is not measured: the data hold {own} tokens at a time, and none of the files was made for that length"
    threads = torch.get_num_threads()  # opening a torch runtime sets them for the whole process
    try:
        files = request.files(request.names.index(row.name), own, request.phases[0])
        session = RUNTIMES[runtime].open(files, threads=row.threads, device=request.device)
        return evaluate_session(session, split, model=model, progress=progress.part(1.0, 1.0, f"{words}: "))
    except (PrunekitError, OSError) as error:
        progress.check()
        return f"its quality could not be measured: {error}"
    finally:
        torch.set_num_threads(threads)


MOST_CANDIDATES = 8
MOST_ROWS = 64


def measure_latency(
    candidates: Sequence[Candidate],
    *,
    input_shape: Sequence[int],
    runtimes: Sequence[str] = ("eager",),
    batch: int | Sequence[int] = 1,
    threads: int | Sequence[int] = 1,
    device: str = "cpu",
    data: Any = None,
    accuracy_on: Any = None,
    budget_s: float = 10.0,
    min_rounds: int = 10,
    seed: int = 0,
    length: int | Sequence[int] = (),
    progress: Progress | Tell = QUIET,
) -> LatencyReport:
    """Time some models in turns, round by round, in one fresh child process for each number of threads.

    Inference mode, random input. Each row (candidate, runtime, batch) is first tried in a process forked for it: it must open, run, and
    give the outputs of eager mode, all by name (float32 within 1e-3 of the largest; with fewer bits the share of equal top classes is
    reported); there its peak memory is taken. A row that fails says why, and the others are measured. After warm-up every row of a batch
    gives one sample in each round, in an order that is shuffled for each round; a sample is as many forward passes as last 2 ms. It stops
    when every ratio is known to half a percent, or when the budget is spent. Measurements in one process wait for each other.

    Language models are timed twice: reading a prompt at once, and reading one token after the others, whose keys and values are kept
    (`prunekit.runtimes.torch_sessions`); then throughput is in tokens. What cannot be timed so says why.

    Parameters
    ----------
    candidates : sequence of Candidate
        The baseline first.
    input_shape : sequence of int
        Shape of one sample, or an `InputForm`.
    runtimes : sequence of str
        Names of :data:`prunekit.runtimes.RUNTIMES`; rows are compared with the first candidate in the first of them.
    batch, threads : int or sequence of int
        Samples at a time; threads of the runtime, at most the cores of this machine. Of several, all combinations are measured, and
        rows are compared within each.
    device : {"cpu", "cuda"}
        Where; on CUDA by the GPU's own events.
    data : Data, optional
        Its training samples calibrate int8, which is not measured without; some of its validation samples compare the runtimes.
    accuracy_on : Split, optional
        Samples to measure the headline metric on: of each candidate in eager mode, and again in runtimes with fewer bits.
    budget_s : float
        Seconds of warm-up and rounds for each batch and number of threads; only ``min_rounds`` may take longer. Starting, exporting,
        compiling and trying come on top.
    min_rounds : int
        Rounds in any case.
    seed : int
        Of the input and the orders.
    length : int or sequence of int, optional
        Tokens of each text, for models that read token ids; as many as ``input_shape`` says when left out. Of several, each is measured
        with each batch and number of threads. One token at a time is the last of so many.
    progress : Progress or callable, optional
        Told how far it is, as ``progress(fraction, text)``; may stop the work.

    Returns
    -------
    LatencyReport
        All samples, medians, quartiles, ratios with intervals, memory, and why a row could not be measured.

    Raises
    ------
    LatencyError
        If a setting is not valid, a model was not loaded through the catalog, or not one row could be measured.
    Cancelled
        If ``progress`` was cancelled.
    """
    progress = Progress.of(progress)
    batches, counts, lengths = _several(batch), _several(threads), _several(length)
    names = _check_candidates(candidates, runtimes, device)
    check_numbers(batches, counts, budget_s, min_rounds, lengths)
    shape = input_shape if isinstance(input_shape, InputForm) else tuple(input_shape)
    task = task_of(candidates[0].model, data)
    own = task.length(shape.example) if isinstance(shape, InputForm) else 0
    if lengths and not own:
        raise LatencyError(f"{task.units_of_data} of {task.title} have no length in tokens: leave the length out")
    lengths, phases = lengths or (own,), tuple(phase.name for phase in task.phases)
    if len(names) * len(runtimes) * len(batches) * len(counts) * len(lengths) * len(phases) > MOST_ROWS:
        raise LatencyError(
            f"this is more than {MOST_ROWS} rows: choose fewer candidates, runtimes, batches, threads{' or lengths' * bool(own)}"
        )
    with tempfile.TemporaryDirectory(prefix="prunekit-latency-") as private:
        folder = Path(private)
        pack(candidates, folder)
        checked_on, uncalibrated = pack_samples(folder, shape, runtimes, data, seed, task=task, lengths=lengths)
        base = Request(private, names, tuple(runtimes), batches, 1, device, tuple(shape), budget_s, min_rounds, seed, uncalibrated)
        base = replace(base, lengths=lengths, phases=phases)
        with my_turn(progress):
            results = [(n, _carried_out(replace(base, threads=n), progress.step(place, len(counts)))) for place, n in enumerate(counts)]
        rows = [row for n, result in results for row in Findings(candidates, replace(base, threads=n), result, task).rows()]
        if all(row.error for row in rows):
            raise LatencyError(f"nothing could be measured: {rows[0].name}: {rows[0].error}")
        if accuracy_on is not None:
            rows = with_accuracy(rows, candidates, base, accuracy_on, own=own, progress=progress)
    turns = tuple(_turns(turn, n) for n, result in results for turn in result["turns"])
    versions = {name: RUNTIMES[name].version() for name in runtimes}
    return LatencyReport(tuple(rows), shape, device, turns, versions, str(results[0][1]["energy"]), checked_on)


def _turns(turn: dict[str, Any], threads: int) -> Turns:
    """Return the rounds of a batch, length and phase."""
    orders = tuple(map(tuple, turn["orders"]))
    return Turns(turn["batch"], threads, len(orders), turn["stopped"], orders, turn["length"], turn["phase"])


def _several(value: int | Sequence[int]) -> tuple[int, ...]:
    """Return a tuple of one or of several."""
    return tuple(dict.fromkeys(value)) if isinstance(value, Sequence) else (value,)


def _check_candidates(candidates: Sequence[Candidate], runtimes: Sequence[str], device: str) -> tuple[str, ...]:
    """Return the candidates' names; raise unless they and the runtimes make sense."""
    names = tuple(c.name for c in candidates)
    if not 1 <= len(names) <= MOST_CANDIDATES or len(set(names)) != len(names):
        raise LatencyError(f"give 1 to {MOST_CANDIDATES} candidates, each with a name of its own; got {', '.join(names) or 'none'}")
    unknown = [name for name in runtimes if name not in RUNTIMES]
    if unknown or not runtimes or len(set(runtimes)) != len(runtimes):
        raise LatencyError(f"choose runtimes, each once, of {', '.join(RUNTIMES)}; got {', '.join(map(str, runtimes)) or 'none'}")
    if device not in DEVICES:
        raise LatencyError(f"device must be one of {', '.join(DEVICES)}; got {device!r}")
    return names


def _carried_out(request: Request, progress: Progress) -> dict[str, Any]:
    """Have a request carried out; where a row ends the process, begin again without it."""
    given_up = dict[str, str]()
    while True:
        path = replace(request, given_up=given_up).write()
        try:
            return run_child(path, request.threads, progress=progress)
        except ChildDied as death:
            key = _at_work(Path(request.folder) / "turn")
            if key is None or key in given_up:
                raise
            given_up[key] = f"the timing process died while it had its turn: {death}"


def _at_work(path: Path) -> str | None:
    """Return which row had its turn when the process died."""
    if not path.is_file():
        return None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as shared:
        return bytes(shared[:]).decode(errors="replace").strip() or None
