"""Interleaved timing: warm up, then take turns, round by round; and the ratio of two latencies measured so, with its interval."""

from __future__ import annotations

import gc
import math
import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
from numpy.typing import ArrayLike

from prunekit.errors import LatencyError
from prunekit.formatting import ratio_span, times
from prunekit.statistics.series import median_interval

Run = Callable[[], object]
Clock = Callable[[], float]
Sampler = Callable[[int, Run, int], float]
"""From the index of a candidate, one call and a number of repetitions to the mean seconds of a call."""

SAMPLE_S = 0.002  # a sample lasts at least this long: shorter ones measure the clock and the scheduler
NARROW = 0.005  # half the width of every ratio's interval, relative to the ratio, at which measuring stops
MAX_ROUNDS = 5000
WARM_CALLS = 40


@dataclass
class Rounds:
    """Every sample of a measurement."""

    seconds: list[list[float]]  # for each candidate the time of one call in each round
    repetitions: list[int]  # calls in each sample, for each candidate the same in all rounds
    orders: list[list[int]] = field(default_factory=list)  # in which order the candidates took their turns, for each round
    stopped: str = "time budget"  # ``narrow enough``, ``time budget`` or ``most rounds``


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep Python's garbage collector out of the samples."""
    was = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def warm_up(run: Run, limit_s: float, clock: Clock = perf_counter) -> float:
    """Call until the best time has stopped falling, and return it in seconds.

    ``limit_s``: seconds after which it is left as it is; three calls are made in any case; ``clock``: seconds; monotonic.
    """
    best, since, start = math.inf, 0, clock()
    for calls in range(1, WARM_CALLS + 1):
        before = clock()
        run()
        took = clock() - before
        since = 0 if took < 0.98 * best else since + 1
        best = min(best, took)
        if calls >= 3 and (since >= 5 or clock() - start > limit_s):
            break
    return best


def by_clock(clock: Clock = perf_counter) -> Sampler:
    """Return a sampler that reads a clock before and after."""

    def sample(_index: int, run: Run, repetitions: int) -> float:
        if repetitions > 1:
            run()  # untimed: a short model would otherwise be charged for the caches that its predecessor left behind
        start = clock()
        for _ in range(repetitions):
            run()
        return (clock() - start) / repetitions

    return sample


def _narrow(seconds: Sequence[Sequence[float]]) -> bool:
    """Return whether the interval of every ratio to the first candidate is narrow; of one alone, that of its median."""
    # alone there is no ratio: its own median has to be known as well
    beside = [(other, seconds[0]) for other in seconds[1:]] or [(seconds[0], [statistics.median(seconds[0])] * len(seconds[0]))]
    ratios = [ratio(one, other) for one, other in beside]
    return all((r.high - r.low) / 2 <= NARROW * r.value for r in ratios)


def take_turns(
    runs: Sequence[Run],
    *,
    budget_s: float,
    min_rounds: int = 10,
    seed: int = 0,
    clock: Clock = perf_counter,
    sample: Sampler | None = None,
    progress: Callable[[float, int], object] | None = None,
) -> Rounds:
    """Measure some functions in turns until the ratios are known well enough or the time is up.

    In every round each function gives one sample, in an order that is shuffled for each round.

    ``budget_s``: seconds for warm-up and rounds; it is exceeded only to finish ``min_rounds``; ``clock``: seconds; monotonic.
    """
    start, rng = clock(), random.Random(seed)
    sample = sample or by_clock(clock)
    with _no_collection():
        once = [warm_up(run, 0.15 * budget_s / len(runs), clock) for run in runs]
        rounds = Rounds([[] for _ in runs], [max(1, math.ceil(SAMPLE_S / max(t, 1e-7))) for t in once])
        check = min_rounds
        while len(rounds.orders) < MAX_ROUNDS:
            _one_round(runs, rounds, rng, sample)
            done, spent = len(rounds.orders), clock() - start
            if progress is not None:
                progress(min(spent / budget_s, 1.0), done)
            if done >= check:  # looked at ever more rarely: at each look chance gets another try
                if _narrow(rounds.seconds):
                    rounds.stopped = "narrow enough"
                    break
                check = math.ceil(check * 1.3)
            if done >= min_rounds and spent >= budget_s:
                break
        else:
            rounds.stopped = "most rounds"
    return rounds


def _one_round(runs: Sequence[Run], rounds: Rounds, rng: random.Random, sample: Sampler) -> None:
    """Let every candidate give one sample, in a fresh random order."""
    order = rng.sample(range(len(runs)), len(runs))
    rounds.orders.append(order)
    for index in order:
        rounds.seconds[index].append(sample(index, runs[index], rounds.repetitions[index]))


__all__ = ["MARGIN", "Ratio", "ratio"]

MARGIN = 0.01  # two copies of one model can differ by this much by where their weights lie in memory


@dataclass(frozen=True)
class Ratio:
    """Time of a candidate by time of the baseline: 1 is the same, below 1 is faster.

    Attributes
    ----------
    value, low, high : float
        Median over rounds of the candidate's time by the baseline's in the same round, and its 95 % interval.
    different : bool
        The interval leaves 1 out and the ratio is more than 1 % away from it. (The interval alone would call one pair of equal models in
        twenty different.)
    """

    value: float
    low: float
    high: float
    different: bool

    def to_dict(self) -> dict[str, float]:
        """Return ``value``, ``low`` and ``high``."""
        return {"value": self.value, "low": self.low, "high": self.high}

    @property
    def speed(self) -> tuple[float, float, float]:
        """How many times as fast the candidate is: value, low, high."""
        return 1 / self.value, 1 / self.high, 1 / self.low


def speed_words(found: Ratio, baseline: str) -> str:
    """Say how a candidate's speed compares: ``is 1.05× slower than dense (95 % interval 1.03 to 1.07)``."""
    value, low, high = found.speed
    if not found.different:
        return f"shows no significant difference from {baseline} ({times(value)} as fast, 95 % interval {ratio_span(low, high)})"
    if value > 1:
        return f"is {times(value)} faster than {baseline} (95 % interval {ratio_span(low, high)})"
    return f"is {times(found.value)} slower than {baseline} (95 % interval {ratio_span(found.low, found.high)})"


def ratio(candidate: ArrayLike, baseline: ArrayLike) -> Ratio:
    """Return the ratio of two series of times, paired by round.

    Candidate and baseline of one round stay together, for what slows a machine down slows both. Few rounds, and rounds that are like their
    neighbours, widen the interval (`prunekit.statistics.median_interval`, of logarithms: either of the two may be the baseline).

    ``candidate``, ``baseline`` [rounds]: times round by round. A single round has no spread, and is never different.
    """
    a, b = np.asarray(candidate, dtype=float), np.asarray(baseline, dtype=float)
    if a.ndim != 1 or a.shape != b.shape or not len(a) or not (np.isfinite(a) & np.isfinite(b) & (a > 0) & (b > 0)).all():
        raise LatencyError(f"need one positive time for each round from both; got {a.shape} and {b.shape}")
    series = a / b
    low, high = (float(np.exp(end)) for end in median_interval(np.log(series)))
    value = float(np.median(series))
    different = len(series) > 1 and bool((low > 1 or high < 1) and abs(value - 1) > MARGIN)
    return Ratio(value, min(low, value), max(high, value), different)
