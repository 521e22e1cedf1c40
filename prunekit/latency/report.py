"""`LatencyReport` and its parts: candidates, rows, turns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import nn

from prunekit.colours import KEPT
from prunekit.evaluation.quality import Evaluation, quality_document
from prunekit.formatting import milliseconds, ratio_span, times
from prunekit.latency.interleaved_timing import Ratio, speed_words
from prunekit.notebook import bar, card, notes, table
from prunekit.runtimes.backends import RUNTIMES
from prunekit.runtimes.checking import Check
from prunekit.tasks.protocol import PASS, Group

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Candidate:
    """A model to time.

    Attributes
    ----------
    name : str
        As it is to be called in the report.
    model : nn.Module
        Loaded with :func:`prunekit.load_model`, or made by pruning such a model.
    macs : float, optional
        Multiply-accumulates that count for it, for the ratio that theory gives.
    """

    name: str
    model: nn.Module = field(repr=False)
    macs: float | None = None


@dataclass(frozen=True)
class CandidateLatency:
    """One row: a candidate in a runtime, at a batch and a number of threads.

    Attributes
    ----------
    name, runtime : str
        Of the candidate; a name of :data:`prunekit.runtimes.RUNTIMES`.
    batch, threads : int
        Samples at a time; threads of the runtime.
    error : str or None
        Why it could not be measured; then the figures are None.
    samples_ms : tuple of float
        Time of one forward pass in each round, in milliseconds; all samples, none left out.
    median_ms, q1_ms, q3_ms : float or None
        Median and quartiles of the samples.
    ratio : Ratio or None
        Its time by that of the baseline, which is the first row of the same batch and threads: below 1 is faster, exactly 1 for the
        baseline itself. None where the baseline could not be measured.
    macs_ratio : float or None
        Its MACs by the baseline's: theory, to stand beside the measurement, not for it.
    repetitions : int
        Forward passes in each sample.
    peak_bytes : int or None
        Memory of inference: the most that a process of its own held while it ran, less what it held before the model was opened. Weights,
        activations and the runtime's working memory. None where the system does not tell.
    file_bytes : int or None
        Size of the file that the runtime opens.
    energy_j : float or None
        Of one forward pass, by the processor's own counter, the rest of the machine included; None where there is none.
    compile_s : float or None
        Seconds of compilation before the first pass, where the runtime compiles.
    check : Check or None
        How its scores compare with those of the same candidate in eager mode.
    accuracy : Accuracy or None
        Where it was asked for: of a float32 runtime that of eager mode, whose scores it gives; else measured in the runtime.
    notes : tuple of str
        What a person should know.
    within : Ratio or None
        Its time by that of the first candidate in the same runtime, at the same batch and threads: what pruning brings there, whatever the
        runtime itself brings. None where that could not be measured.
    length, phase : int, str
        Tokens of each text, 0 where samples are no texts; name of what was timed: ``pass``, ``prompt`` or ``one-token``.
    unit, units, count : str, str, int
        What throughput counts, and how many of it one forward pass deals with.
    """

    name: str
    runtime: str
    batch: int
    threads: int
    error: str | None = None
    samples_ms: tuple[float, ...] = field(default=(), repr=False)
    median_ms: float | None = None
    q1_ms: float | None = None
    q3_ms: float | None = None
    ratio: Ratio | None = None
    macs_ratio: float | None = None
    repetitions: int = 0
    peak_bytes: int | None = None
    file_bytes: int | None = None
    energy_j: float | None = None
    compile_s: float | None = None
    check: Check | None = None
    accuracy: Evaluation | None = None
    notes: tuple[str, ...] = ()
    within: Ratio | None = None
    length: int = 0
    phase: str = PASS
    unit: str = "sample"
    units: str = "samples"
    count: int = 0

    @property
    def group(self) -> Group:
        """What it shares with the rows that it is compared with."""
        return Group(self.batch, self.threads, self.length, self.phase)

    @property
    def throughput(self) -> float | None:
        """Samples or tokens a second, by the median."""
        return None if self.median_ms is None else 1000 * (self.count or self.batch) / self.median_ms

    @property
    def title(self) -> str:
        """Candidate and runtime in a few words."""
        return f"{self.name}, {RUNTIMES[self.runtime].title}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        found = {name: getattr(self, name) for name in ("name", "runtime", "batch", "threads", "median_ms", "q1_ms", "q3_ms")}
        found |= {"samples": len(self.samples_ms), "ratio": None if self.ratio is None else self.ratio.to_dict()}
        found |= {"different": None if self.ratio is None else self.ratio.different, "macs_ratio": self.macs_ratio}
        found |= {"within": None if self.within is None else {**self.within.to_dict(), "different": self.within.different}}
        found |= {"length": self.length or None, "phase": self.phase, "unit": self.unit}
        found |= {name: getattr(self, name) for name in ("throughput", "peak_bytes", "file_bytes", "energy_j", "compile_s")}
        checked = self.check
        found["check"] = checked and {"agreement": checked.agreement, "error": checked.error, "n": checked.n, "sentence": checked.sentence}
        found |= {**quality_document(self.accuracy, every=False), "error": self.error, "notes": list(self.notes)}
        return {**found, "samples_ms": list(self.samples_ms)}


@dataclass(frozen=True)
class Turns:
    """The rounds of all rows of one batch and one number of threads, of one length and phase.

    Attributes
    ----------
    batch, threads, rounds : int
        Samples at a time, threads, rounds in which every row had its turn.
    stopped : str
        Why it stopped: ``narrow enough`` (every ratio is known to half a percent) or ``time budget``.
    orders : tuple of tuple of int
        The order of the turns in each round.
    length, phase : int, str
        As for `CandidateLatency`.
    """

    batch: int
    threads: int
    rounds: int
    stopped: str
    orders: tuple[tuple[int, ...], ...] = field(default=(), repr=False)
    length: int = 0
    phase: str = PASS

    @property
    def group(self) -> Group:
        """What its rows share."""
        return Group(self.batch, self.threads, self.length, self.phase)


@dataclass(frozen=True)
class LatencyReport:
    """One measurement.

    Attributes
    ----------
    candidates : tuple of CandidateLatency
        A row for each batch, number of threads, length, phase, candidate and runtime; in each group of those the baseline first.
    input_shape : tuple of int
        Of one sample.
    device : str
        ``cpu`` or ``cuda``.
    turns : tuple of Turns
        One for each batch, number of threads, length and phase.
    versions : dict of str to str
        Runtime to package and version.
    energy : str
        Why there is no energy; "" where there is.
    checked_on : str
        What the scores of the runtimes were compared on.
    """

    candidates: tuple[CandidateLatency, ...]
    input_shape: tuple[int, ...]
    device: str
    turns: tuple[Turns, ...]
    versions: dict[str, str]
    energy: str
    checked_on: str

    @property
    def groups(self) -> list[Group]:
        """What rows are compared within, in their order."""
        return list(dict.fromkeys(row.group for row in self.candidates))

    def rows(self, batch: int, threads: int, length: int = 0, phase: str = PASS) -> list[CandidateLatency]:
        """Return the rows of a group."""
        return [row for row in self.candidates if row.group == Group(batch, threads, length, phase)]

    def baseline(self, batch: int, threads: int, length: int = 0, phase: str = PASS) -> CandidateLatency:
        """Return what the rows of a group are compared with."""
        return self.rows(batch, threads, length, phase)[0]

    def within_runtimes(self, batch: int, threads: int, length: int = 0, phase: str = PASS) -> tuple[str, ...]:
        """Return a sentence for each pruned candidate in each runtime: how it compares with the baseline's model in that very runtime."""
        first, *others = self.rows(batch, threads, length, phase)
        rows = [row for row in others if row.name != first.name]
        return tuple(f"In {RUNTIMES[row.runtime].title}, {row.name} {speed_words(row.within, first.name)}" for row in rows if row.within)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        said = {
            ", ".join(filter(None, (turn.group.title, f"batch {turn.batch}", f"threads {turn.threads}"))): list(
                self.within_runtimes(*turn.group)
            )
            for turn in self.turns
        }
        turns = [
            {"batch": t.batch, "threads": t.threads, "length": t.length or None, "phase": t.phase, "rounds": t.rounds, "stopped": t.stopped}
            for t in self.turns
        ]
        setting = {"input_shape": list(self.input_shape), "device": self.device, "turns": turns, "versions": self.versions}
        return {
            "candidates": [c.to_dict() for c in self.candidates],
            "within_runtimes": said,
            **setting,
            "energy": self.energy,
            "checked_on": self.checked_on,
        }

    def _repr_html_(self) -> str:
        """Return it for a notebook: a row for each candidate in each runtime, and why some could not be measured."""
        slowest = max((row.median_ms or 0.0 for row in self.candidates), default=0.0) or 1.0
        rows = [(row.title, *self._where(row), self._bar(row, slowest), *self._times(row)) for row in self.candidates if row.error is None]
        header = ["", "batch", "threads", "median, ms", "times as fast", "between", "in its runtime"]
        failed = [f"{row.title}: {row.error}" for row in self.candidates if row.error is not None]
        about = f"Measured in turns on this machine, {self.device}; intervals are of 95 %."
        return card("Latency", about, table(header, rows), notes(failed))

    @staticmethod
    def _where(row: CandidateLatency) -> tuple[object, ...]:
        """Return under which conditions a row was measured."""
        phase = "" if row.phase == PASS else f", {row.phase}"
        return f"{row.batch}{phase}{f', {row.length} tokens' if row.length else ''}", row.threads

    @staticmethod
    def _bar(row: CandidateLatency, slowest: float) -> str:
        """Return a median as a bar."""
        return bar((row.median_ms or 0.0) / slowest, milliseconds(row.median_ms or 0.0), KEPT)

    def _times(self, row: CandidateLatency) -> tuple[str | None, ...]:
        """Return how many times as fast a row is as the baseline, and as the baseline's model in the same runtime; None of itself."""
        base = self.baseline(*row.group)
        total = None if row.ratio is None or row is base else row.ratio.speed
        within = None if row.within is None or row.name == base.name else row.within.speed
        return total and times(total[0]), total and ratio_span(*total[1:]), within and f"{times(within[0])} ({ratio_span(*within[1:])})"

    def to_frame(self) -> pd.DataFrame:
        """Return every sample: columns ``candidate``, ``runtime``, ``batch``, ``threads``, ``length``, ``phase``, ``round``, ``ms``."""
        import pandas as pd  # noqa: PLC0415 (slow to import, and processes that time have no use for it)

        rows = [(c.name, c.runtime, *c.group, i, ms) for c in self.candidates for i, ms in enumerate(c.samples_ms)]
        return pd.DataFrame(rows, columns=["candidate", "runtime", "batch", "threads", "length", "phase", "round", "ms"])
