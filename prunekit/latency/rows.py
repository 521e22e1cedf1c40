"""Rows of a latency report: what the measuring processes found, and accuracy in each runtime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from prunekit.errors import PrunekitError
from prunekit.evaluation.progress import QUIET, Progress
from prunekit.evaluation.quality import Evaluation
from prunekit.evaluation.sizes import file_bytes
from prunekit.latency.ratio import ratio
from prunekit.latency.report import Candidate, CandidateLatency
from prunekit.latency.worker_payload import Request, Row
from prunekit.runtimes.backends import RUNTIMES
from prunekit.runtimes.checking import Check
from prunekit.runtimes.session_accuracy import evaluate_session


@dataclass(frozen=True, eq=False)
class Findings:
    """What a measuring process found.

    Attributes
    ----------
    candidates : sequence of Candidate
        The baseline first.
    request : Request
        What was asked.
    result : dict
        ``trials``, ``turns`` and ``energy``, as the process gives them.
    """

    candidates: Sequence[Candidate]
    request: Request
    result: dict[str, Any]

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
        if turn is None or trial.get("error"):
            return replace(made, error=trial.get("error") or "it was not timed")
        index = turn["rows"].index(row.key)
        told = {name: trial[name] for name in ("peak_bytes", "file_bytes", "compile_s")}
        if not RUNTIMES[row.runtime].file:  # the weights' file as it is named everywhere, without what the folder for timing notes in it
            told["file_bytes"] = file_bytes(candidate.model)
        timed = self._timed(turn, index, Row(0, self.request.runtimes[0], row.batch).key, Row(0, row.runtime, row.batch).key)
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
    progress: Progress = QUIET,
) -> list[CandidateLatency]:
    """Measure the headline metric: in eager mode, whose outputs every float32 runtime gives, and in each runtime with fewer bits.

    Parameters
    ----------
    rows : sequence of CandidateLatency
        Rows that failed are left as they are.
    candidates : sequence of Candidate
        What they are of.
    request : Request
        Where the files are.
    split : Split
        The samples.
    progress
        As for :func:`prunekit.latency.measure`.
    """
    known, models = dict[tuple[str, str], Evaluation | str](), {candidate.name: candidate.model for candidate in candidates}
    found = []
    for row in rows:
        key = (row.name, "eager" if RUNTIMES[row.runtime].precision == "float32" else row.runtime)
        if row.error is None and key not in known:
            known[key] = _accuracy(row, key[1], request, split, models[row.name], progress=progress)
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
    progress: Progress,
) -> Evaluation | str:
    """Return the quality of a candidate in a runtime, or why there is none."""
    words = f"accuracy of {row.name}, {RUNTIMES[runtime].title}"
    threads = torch.get_num_threads()  # opening a torch runtime sets them for the whole process
    try:
        files = request.files(request.names.index(row.name))
        session = RUNTIMES[runtime].open(files, threads=row.threads, device=request.device)
        return evaluate_session(session, split, model=model, progress=progress.part(1.0, 1.0, f"{words}: "))
    except (PrunekitError, OSError) as error:
        progress.check()
        return f"its accuracy could not be measured: {error}"
    finally:
        torch.set_num_threads(threads)
