"""The gzipped size of a stream of tensors: measured by compressing all of it, or estimated from a sample of blocks.

One compressor serves everywhere, Intel's ISA-L at level 2, as ``igzip -2`` does: ten times as fast as ``gzip -6``, and on float32 weights
within a few percent of its size. Any gzip can unpack the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from prunekit.evaluation.progress import QUIET, Progress

LEVEL = 2
BY = f"igzip -{LEVEL}"
LARGE = 64_000_000  # bytes of a file of which the gzipped size is estimated unless it is asked for exactly
STEP = 1 << 20
BLOCK = 1 << 18  # bytes compressed at a time in a sample
WINDOW = 1 << 15  # what deflate looks back upon
SAMPLE = 64_000_000  # bytes that a sample takes of a large file, about
FEW = 8  # a tensor of fewer blocks is counted together with other small ones
TOGETHER = 64  # so many blocks of small tensors make a stratum
ALONE = 1.5e-3  # what compressing blocks by themselves may change, as a share; measured on drawn weights: up to 0.12 %
MIXED = 4e-3  # and of small tensors, of which a block of deflate may hold several kinds, as a share of their bytes
SEED = 20_261_129
Z = 1.96

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Gzipped:
    """A gzipped size."""

    bytes: int  # measured, or estimated
    low: int | None = None  # low, high: the 95 % interval of an estimate; None for a measured size, which has none
    high: int | None = None

    @property
    def how(self) -> str:
        """``measured`` or ``estimated``."""
        return "measured" if self.low is None else "estimated"


class Squeeze(Protocol):
    """What takes the parts of a file one after the other, and tells its gzipped size."""

    def add(self, part: Bytes) -> None:
        """Take the next part."""

    def finish(self) -> Gzipped:
        """Return the size of all."""


def squeeze(total: int, *, exact: bool = False, above: int = LARGE, progress: Progress = QUIET) -> Squeeze:
    """Return what tells the gzipped size of a file."""
    return Whole(progress) if exact or total <= above else Sampled(total, progress)


class Whole:
    """Compresses everything, a megabyte at a time; nothing is kept."""

    def __init__(self, progress: Progress = QUIET) -> None:
        self._deflate, self._size, self._progress = _deflate(31), 0, progress  # 31: with gzip's head and sum
        self._rest = bytearray()  # the compressor is fed whole steps, so that the parts of a file make no difference

    def add(self, part: Bytes) -> None:
        """Compress the next part."""
        start = 0
        if self._rest:
            start = STEP - len(self._rest)
            self._rest += part[:start].tobytes()
            if len(self._rest) < STEP:
                return
            self._step(self._rest)
            self._rest = bytearray()
        whole = start + (len(part) - start) // STEP * STEP
        for place in range(start, whole, STEP):
            self._step(part[place : place + STEP].data)
        self._rest += part[whole:].tobytes()

    def _step(self, content: Any) -> None:
        """Compress a megabyte."""
        self._progress.check()
        self._size += len(self._deflate.compress(content))

    def finish(self) -> Gzipped:
        """Return the size."""
        self._step(self._rest)
        return Gzipped(self._size + len(self._deflate.flush()))


@dataclass(frozen=True)
class _Group:
    """Some blocks of a stratum: how many, their words that are not zero on average, and of two that were drawn these words and bytes."""

    count: int
    mean: float
    words: tuple[float, float]
    bytes: tuple[float, float]

    def total(self, slope: float) -> float:
        """Return the bytes of all blocks, given how many a word more takes."""
        return self.count * (sum(self.bytes) / 2 + slope * (self.mean - sum(self.words) / 2))

    def variance(self, slope: float) -> float:
        """Return the variance of that, for a finite population."""
        rest = self.bytes[0] - self.bytes[1] - slope * (self.words[0] - self.words[1])
        return self.count * (self.count - 2) * rest**2 / 4


class Sampled:
    """Compresses a sample of blocks, each behind the window that it has in the file.

    Every tensor is a stratum of its own, small ones are strata together. How many words of a block are not zero is known of all blocks:
    by that those of a stratum are put in order and cut into groups, two blocks of each are drawn, and what a word more takes (one slope for
    the file) corrects for the two having more or fewer than their group. The interval comes from the spread that is left within the groups
    (Cochran 1977, Sampling Techniques, chapters 5A and 7), and a small allowance for compressing blocks by themselves.
    """

    def __init__(self, total: int, progress: Progress = QUIET) -> None:
        self._rate, self._progress = min(SAMPLE / max(total, 1), 1.0), progress
        self._noise = np.random.default_rng(SEED)
        self._small: list[Bytes] = []
        self._waiting = self._mixed = 0
        self._size = 18.0  # gzip's own head and sum
        self._strata: list[list[_Group]] = []

    def add(self, part: Bytes) -> None:
        """Take the next tensor."""
        if len(part) >= FEW * BLOCK:
            self._stratum(part)
            return
        self._small.append(part.copy())
        self._waiting += len(part)
        if self._waiting >= TOGETHER * BLOCK:
            self._flush()

    def finish(self) -> Gzipped:
        """Return the estimate."""
        self._flush()
        slope = self._slope()
        size = self._size + sum(group.total(slope) for groups in self._strata for group in groups)
        spreads = [group.variance(slope) for groups in self._strata for group in groups]
        variance, fourth = sum(spreads), sum(spread**2 for spread in spreads)
        freedom = variance**2 / fourth if fourth else np.inf  # Satterthwaite: each group adds one degree
        error = (Z + (Z**3 + Z) / (4 * freedom)) * variance**0.5 + ALONE * size + MIXED * self._mixed
        return Gzipped(round(size), round(max(size - error, 0)), round(size + error))

    def _slope(self) -> float:
        """Return how many bytes one word more that is not zero takes: by least squares, each stratum with a level of its own."""
        spread = common = 0.0
        for groups in self._strata:
            weights = np.repeat([group.count / 2 for group in groups], 2)
            words, sizes = (np.array([pair for group in groups for pair in getattr(group, name)]) for name in ("words", "bytes"))
            words = words - np.average(words, weights=weights)
            spread += float((weights * words**2).sum())
            common += float((weights * words * sizes).sum())
        return common / spread if spread else 0.0

    def _flush(self) -> None:
        """Make a stratum of the small tensors that wait."""
        if self._small:
            self._stratum(np.concatenate(self._small))
            self._mixed += self._waiting
        self._small, self._waiting = [], 0

    def _stratum(self, part: Bytes) -> None:
        """Draw blocks from a stratum and add what they tell of it; what is left behind the last whole block is compressed in any case."""
        blocks = len(part) // BLOCK
        if len(part) > blocks * BLOCK:
            self._size += _alone(part, blocks)
        if not blocks:
            return
        words, groups = _nonzeros(part, blocks), []
        for group in np.array_split(np.argsort(words, kind="stable"), max(round(blocks * self._rate / 2), 1)):
            self._progress.check()
            drawn = group if len(group) <= 2 else self._noise.choice(group, 2, replace=False)
            found = [float(_alone(part, int(block))) for block in drawn]
            if len(group) <= 2:
                self._size += sum(found)
            else:
                first, second = (float(words[block]) for block in drawn)
                groups.append(_Group(len(group), float(words[group].mean()), (first, second), (found[0], found[1])))
        if groups:
            self._strata.append(groups)


def _nonzeros(part: Bytes, blocks: int) -> NDArray[np.int64]:
    """Return the number of words in each whole block that are not zero."""
    return np.asarray(np.count_nonzero(part[: blocks * BLOCK].view(np.uint32).reshape(blocks, -1), axis=1), dtype=np.int64)


def _alone(part: Bytes, block: int) -> int:
    """Return what one block takes, with what precedes it as the window."""
    start = block * BLOCK
    deflate = _deflate(-15, part[max(start - WINDOW, 0) : start].tobytes())  # without head and sum
    return len(deflate.compress(part[start : start + BLOCK].data)) + len(deflate.flush())


def _deflate(bits: int, window: bytes = b"") -> Any:
    """Return a compressor."""
    rest = (isal_zlib.DEF_MEM_LEVEL, isal_zlib.Z_DEFAULT_STRATEGY, window) if window else ()
    return isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, bits, *rest)


def gzipped(content: bytes) -> int:
    """Return the measured size of a file's content."""
    whole = Whole()
    whole.add(np.frombuffer(content, np.uint8))
    return whole.finish().bytes
