"""Lesson 8: measure what is smaller and what is faster."""

from __future__ import annotations

import pandas as pd
from torch import nn

from prunekit.evaluation.progress import QUIET, Progress
from prunekit.evaluation.sizes import sizes
from prunekit.latency.diagnosis.wording import ms
from prunekit.latency.interleaved_timing import Ratio
from prunekit.latency.measure import measure_latency
from prunekit.latency.report import Candidate, CandidateLatency
from prunekit.lessons.answer import Answer
from prunekit.lessons.lesson import lesson
from prunekit.lessons.settings import CNN, model_of, percent, spec_of, timing
from prunekit.pruning.api import prune
from prunekit.pruning.result import PruneResult

NAMES = ("original", "zeros", "smaller")
BUDGET_S = 2
BLURRED = 0.3  # an interval that is wider than this says little about a ratio

LESSON = lesson("faster")
ZEROS, SMALLER, BOTH, NEITHER = LESSON.guess.options


def answer(sparsity: int, batch: str, *, progress: Progress = QUIET) -> Answer:
    """Time the original, a masked copy and a smaller copy in turns, in a process of their own."""
    settings = {"model": CNN, "mode": "structured", "sparsity": sparsity / 100, "batch": (int(batch),), "threads": (1,)}
    settings |= {"runtimes": ("eager",), "budget": BUDGET_S}
    model = model_of(settings)
    zeros, small = (prune(model, spec_of(settings | {"mode": mode}, model)) for mode in ("unstructured", "structured"))
    candidates = _candidates(model, zeros, small)
    rows = measure_latency(
        candidates, input_shape=zeros.input_shape, batch=int(batch), budget_s=BUDGET_S, progress=timing(progress)
    ).candidates
    frame = _frame(rows, zeros, small)
    columns = ("ms", "macs", "effective_macs", "bytes")
    numbers = {f"{name}_{column}": float(frame.loc[i, column]) for i, name in enumerate(NAMES) for column in columns}
    numbers |= {f"{name}_ratio": row.ratio.value for name, row in zip(NAMES, rows, strict=True) if row.ratio is not None}
    value = {(True, True): BOTH, (True, False): ZEROS, (False, True): SMALLER, (False, False): NEITHER}[faster(rows[1]), faster(rows[2])]
    shown = f"{value[0].lower()}{value[1:]}"
    return Answer(value, shown, (_zeros(rows[1], zeros), _small(rows[2], small)), {"times": frame}, numbers, settings, LESSON.guess)


def _candidates(model: nn.Module, zeros: PruneResult, small: PruneResult) -> list[Candidate]:
    """Return the original, the masked copy and the smaller copy."""
    nets = ((model, zeros.before), (zeros.model, zeros.after), (small.model, small.after))
    return [Candidate(name, net, counts.macs) for name, (net, counts) in zip(NAMES, nets, strict=True)]


def faster(row: CandidateLatency) -> bool:
    """Return whether a copy is faster than the original beyond doubt."""
    return row.ratio is not None and row.ratio.different and row.ratio.value < 1


def _frame(rows: tuple[CandidateLatency, ...], zeros: PruneResult, small: PruneResult) -> pd.DataFrame:
    """Return times, work and bytes of each copy; the zeros are stored in the smallest sparse format."""
    counts = (zeros.before, zeros.after, small.after)
    stored = (sizes(zeros.model, gzip=False).dense, sizes(zeros.model, gzip=False).sparse, sizes(small.model, gzip=False).surgery)
    found = []
    for row, count, size in zip(rows, counts, stored, strict=True):
        low, high = (row.ratio.low, row.ratio.high) if row.ratio else (None, None)
        ratio, sure = (row.ratio.value, row.ratio.different) if row.ratio else (None, False)
        found.append((row.name, row.median_ms, row.q1_ms, row.q3_ms, ratio, low, high, sure, count.macs, count.effective_macs, size))
    columns = ["copy", "ms", "q1", "q3", "ratio", "low", "high", "different", "macs", "effective_macs", "bytes"]
    return pd.DataFrame(found, columns=columns)


def _time(row: CandidateLatency) -> str:
    """Return how a copy's time compares with the original's."""
    if row.ratio is None or row.median_ms is None:
        return f"could not be timed here: {row.error}"
    found = f"takes {_share(row.ratio)} of the original's time"
    if not row.ratio.different:
        return f"makes no measurable difference here: it {found}"
    return f"is {'faster' if row.ratio.value < 1 else 'slower'} here: it {found} ({ms(row.median_ms)})"


def _share(ratio: Ratio) -> str:
    """Return a share of a time with what the measurement leaves open."""
    return f"{100 * ratio.value:.0f} % (95 % interval {100 * ratio.low:.0f} to {100 * ratio.high:.0f} %)"


def _zeros(row: CandidateLatency, result: PruneResult) -> str:
    """Return what the zeros do."""
    idle = percent(1 - result.after.effective_macs / result.after.macs)
    same = f"the {idle} of its multiplications that are by zero are carried out like all others"
    return f"The copy with the zeros {_time(row)}{_why(row, equal=f', for {same}', otherwise=f', although {same}')}."


def _small(row: CandidateLatency, result: PruneResult) -> str:
    """Return what fewer channels do."""
    work = f"{percent(result.after.macs / result.before.macs)} of the work"
    if faster(row):
        return f"The copy with fewer channels {_time(row)}, with {work}."
    equal = f", although it has {work}: what a call costs in any case decides"
    slower = f", although it has {work}: fewer multiplications do not make up for what else it costs"
    return f"The copy with fewer channels {_time(row)}{_why(row, equal=equal, otherwise=slower)}."


def _why(row: CandidateLatency, *, equal: str, otherwise: str) -> str:
    """Return the explanation that goes with what was measured; none where nothing was, or too little."""
    if row.ratio is None:
        return ""
    if row.ratio.different:
        return otherwise
    if row.ratio.high - row.ratio.low > BLURRED:
        return ", but the times differ too much from round to round to tell: measure again when this machine has less else to do"
    return equal
