"""Lesson 2: prune a 5 x 5 matrix by hand."""

from __future__ import annotations

from prunekit.lessons.lesson import Control, Guess, Lesson

LESSON = Lesson(
    2,
    "matrix",
    "Prune a 5 x 5 matrix by hand",
    "These are 25 real weights of a trained network, and {cells} of them have to go. How much of their strength can stay at best?",
    "The strength of a matrix is the sum of its squared weights. Tick the weights that you would set to zero, and see what is left of it.",
    Guess("number", "Strength that can stay", "%"),
    (Control("cells", "Weights to set to zero", "cells", 0, 24, start=tuple(range(15))),),
    "prune",
    ("weight", "mask", "magnitude", "criterion"),
)
