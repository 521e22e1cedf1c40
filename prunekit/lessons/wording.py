"""Numbers in the words of the lessons."""

from __future__ import annotations

from prunekit.evaluation.paired import Difference
from prunekit.evaluation.progress import Progress
from prunekit.evaluation.quality import Evaluation
from prunekit.runtimes.backends import RUNTIMES

KINDS = {"dense": "the original", "unstructured": "single weights gone", "structured": "whole channels gone"}
"""What copies are called."""


def percent(share: float) -> str:
    """Return a share as percent with one decimal where it needs one; what is neither nothing nor all never reads 0 or 100.

    Examples
    --------
    >>> percent(0.7), percent(0.123), percent(0.0001), percent(0.9999)
    ('70 %', '12.3 %', 'under 0.1 %', 'over 99.9 %')
    """
    value = 100 * share
    if 0 < value < 0.05:
        return "under 0.1 %"
    if 99.95 <= value < 100:
        return "over 99.9 %"
    return f"{value:.1f}".removesuffix(".0") + " %"


def points(share: float) -> str:
    """Return the size of a difference of shares in percentage points.

    Examples
    --------
    >>> points(-0.006), points(0.01)
    ('0.6 points', '1 point')
    """
    text = f"{100 * abs(share):.1f}".removesuffix(".0")
    return f"{text} point{'' if text == '1' else 's'}"


def told(difference: Difference) -> str:
    """Return whether a difference of two models on the same images can be told from chance."""
    if difference.significant:
        return f"a real difference (p {small(difference.p_value)})"
    return f"not significant on {difference.n} images"


def small(p: float) -> str:
    """Return a probability: ``= 0.021``, ``< 0.001``."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def change(difference: Difference) -> str:
    """Return what became of accuracy: ``falls by 3 points, a real difference (p = 0.021)``."""
    if not difference.value:
        return "stays the same"
    verb = "falls" if difference.value < 0 else "rises"
    return f"{verb} by {points(difference.value)}, {told(difference)}"


def right(accuracy: Evaluation) -> str:
    """Return an accuracy as percent."""
    return percent(accuracy.value)


def shape(sizes: tuple[int, ...]) -> str:
    """Return the shape of a weight: ``64 x 1,024``."""
    return " x ".join(f"{size:,}" for size in sizes)


def plural(number: int, one: str) -> str:
    """Return ``1 weight`` or ``1,000 weights``."""
    return f"{number:,} {one}{'' if number == 1 else 's'}"


def timing(progress: Progress) -> Progress:
    """Return the progress of a measurement of time without the name of the runtime: there is only one in the lessons."""
    ending = f" in {RUNTIMES['eager'].title}"
    return Progress(lambda share, text: progress(share, text.replace(ending, "")), progress.cancel)
