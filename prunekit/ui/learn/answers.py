"""Answers of the lessons: quick ones at once, long ones in the background, one result for all who ask the same."""

from __future__ import annotations

from typing import Any

import streamlit as st

from prunekit.experiments.jobs import board
from prunekit.experiments.jobs.job import Job
from prunekit.lessons.course import answer_of
from prunekit.lessons.lesson import Answer, Lesson
from prunekit.ui.shared import measuring


def found(lesson: Lesson, values: dict[str, Any]) -> Answer | None:
    """Return the answer: computed now where that is quick, otherwise what a background job has found, or None.

    Parameters
    ----------
    lesson : Lesson
        Which one.
    values : dict
        A value for each control.
    """
    if lesson.long:
        answer: Answer | None = measuring.finished(key_of(lesson, values))
        return answer
    return _quick(lesson.number, tuple(values.items()))


@st.cache_data(max_entries=128, show_spinner="Measuring …")
def _quick(number: int, values: tuple[tuple[str, Any], ...]) -> Answer:
    """Compute an answer, once for everybody."""
    return answer_of(number, **dict(values))


def key_of(lesson: Lesson, values: dict[str, Any]) -> str:
    """Return what the job of an answer is called: the same for the same controls."""
    return measuring.key_of("lesson", lesson.number, tuple(values.items()))


def ask(lesson: Lesson, values: dict[str, Any], *, anew: bool = False) -> None:
    """Start measuring in the background; a callback.

    Parameters
    ----------
    lesson : Lesson
        Which one.
    values : dict
        A value for each control.
    anew : bool
        Forget what was measured before.
    """
    key = key_of(lesson, values)
    if anew:
        board().drop(key)

    def work(job: Job) -> Answer:
        return answer_of(lesson.number, progress=job.progress, **values)

    measuring.start(key, f"Lesson {lesson.number}: {lesson.title}", work, alone=lesson.timed)
