"""The nine lessons in order, and the answer to each."""

from __future__ import annotations

from typing import Any

from prunekit.errors import PrunekitError
from prunekit.lessons import choose, cliff, faster, filters, fragile, heal, layer, matrix, weights
from prunekit.lessons.lesson import Answer, Lesson

MODULES = (weights, matrix, layer, cliff, fragile, heal, filters, faster, choose)
LESSONS: tuple[Lesson, ...] = tuple(module.LESSON for module in MODULES)


def answer_of(number: int, **controls: Any) -> Answer:
    """Measure what a lesson asks.

    Parameters
    ----------
    number : int
        Of the lesson, from 1.
    **controls
        Values of its controls; what is left out stands where the question puts it.

    Returns
    -------
    Answer
        Computed anew from the model and the data, within seconds.

    Raises
    ------
    PrunekitError
        If there is no such lesson or control, or a control cannot stand there.
    """
    if isinstance(number, bool) or number not in range(1, len(MODULES) + 1):
        raise PrunekitError(f"there are lessons 1 to {len(MODULES)}; got {number!r}")
    module = MODULES[number - 1]
    values = module.LESSON.checked(**controls)
    answer: Answer = module.answer(**values)
    return answer
