"""The answer to each lesson, and which module measures it."""

from __future__ import annotations

from typing import Any

from prunekit.errors import PrunekitError
from prunekit.evaluation.progress import QUIET, Progress
from prunekit.lessons import choose, cliff, closing, faster, filters, fragile, heads, heal, layer, matrix, popularity, weights
from prunekit.lessons.answer import Answer
from prunekit.lessons.lesson import LESSONS
from prunekit.lessons.settings import one_thread

MODULES = (weights, matrix, layer, cliff, fragile, heal, filters, faster, choose, heads, closing, popularity)
MEASURED_BY = {module.LESSON.key: module for module in MODULES}


def answer_of(number: int, *, progress: Progress = QUIET, **controls: Any) -> Answer:
    """Measure what a lesson asks.

    Parameters
    ----------
    number : int
        Of the lesson, from 1.
    progress : Progress, optional
        Told how far the work is by the lessons that take a while; may stop these.
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
    Cancelled
        If ``progress`` was cancelled.
    """
    if isinstance(number, bool) or number not in range(1, len(LESSONS) + 1):
        raise PrunekitError(f"there are lessons 1 to {len(LESSONS)}; got {number!r}")
    lesson = LESSONS[number - 1]
    module, values = MEASURED_BY[lesson.key], lesson.checked(**controls)
    progress.check()
    watch = {"progress": progress} if lesson.long else {}
    with one_thread():
        answer: Answer = module.answer(**values, **watch)
    return answer
