"""Short lessons on pruning. Every figure is computed when it is asked for, on samples that ship."""

from prunekit.lessons.answer import Answer, Verdict
from prunekit.lessons.budgets import Advice, at_equal_budgets, when_to_use
from prunekit.lessons.course import answer_of
from prunekit.lessons.glossary import TERMS, Paper, Term, term
from prunekit.lessons.lesson import LESSONS, Control, Guess, Lesson
from prunekit.lessons.presets import PRESETS, Measured, Preset, measure, preset

__all__ = [
    "LESSONS",
    "PRESETS",
    "TERMS",
    "Advice",
    "Answer",
    "Control",
    "Guess",
    "Lesson",
    "Measured",
    "Paper",
    "Preset",
    "Term",
    "Verdict",
    "answer_of",
    "at_equal_budgets",
    "measure",
    "preset",
    "term",
    "when_to_use",
]
