"""Lesson 7: remove filters. The layer gets narrower, and so does the next one."""

from __future__ import annotations

from prunekit.lessons.lesson import Control, Guess, Lesson

LESSON = Lesson(
    7,
    "filters",
    "Remove filters",
    "The layer conv2 has 64 filters, and {gone} of them are cut out. What share of the weights of the next layer, fc1, goes with them?",
    "A filter makes one picture, a channel, out of what enters the layer. The next layer has weights for every channel that it is given.",
    Guess("number", "Share of fc1 that goes too", "%"),
    (Control("gone", "Filters to cut out of conv2", "slider", 1, 60, 1, start=20),),
    "prune",
    ("structured pruning", "filter", "channel", "coupling", "surgery", "proof"),
)
