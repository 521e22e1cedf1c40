"""Nine short lessons on pruning. Every figure is computed when it is asked for, on the embedded digits."""

from prunekit.lessons.course import LESSONS, answer_of
from prunekit.lessons.lesson import Answer, Control, Guess, Lesson, Verdict

__all__ = ["LESSONS", "Answer", "Control", "Guess", "Lesson", "Verdict", "answer_of"]
