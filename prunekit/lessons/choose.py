"""Lesson 9: single weights or channels, for a phone, a server, a paper."""

from __future__ import annotations

from prunekit.lessons.lesson import Control, Guess, Lesson

WEIGHTS = "The one that lost single weights"
CHANNELS = "The one that lost whole channels"
EQUAL = "No difference that can be told"

LESSON = Lesson(
    9,
    "choose",
    "Which one for a phone, a server, a paper?",
    "Two copies of the network may keep the same amount of {budget}: {share} % of the original. "
    "One lost single weights, the other whole channels. Which one reads more digits right?",
    "Single weights or whole channels: which is better depends on what is scarce. Compare them at an equal budget, and see where each "
    "is at home.",
    Guess("choice", "More digits read right", options=(WEIGHTS, CHANNELS, EQUAL)),
    (
        Control(
            "budget",
            "What is scarce",
            "choice",
            options=(("params", "weights that are not zero"), ("macs", "work"), ("bytes", "storage"), ("ms", "time")),
            start="params",
        ),
        Control("share", "How much may stay", "slider", 10, 60, 10, start=20, unit="%"),
    ),
    "accuracy",
    ("unstructured pruning", "structured pruning", "N:M sparsity", "sparse accelerator", "compression ratio", "latency"),
)
