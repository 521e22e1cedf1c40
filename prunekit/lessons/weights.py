"""Lesson 1: look at the weights, and at how many of them are close to zero."""

from __future__ import annotations

from prunekit.lessons.lesson import Control, Guess, Lesson

LESSON = Lesson(
    1,
    "weights",
    "Look at the weights",
    "Call a weight small if it is less than {below} % of the largest one. What share of the weights in {layer} is small?",
    "This network reads handwritten digits. All that it has learnt is a list of plain numbers, its weights: some large, some close to "
    "zero. Before anything is removed, look at them.",
    Guess("number", "Share of small weights", "%"),
    (
        Control("below", "Small means less than … of the largest weight", "slider", 1, 50, 1, start=10, unit="%"),
        Control(
            "layer",
            "Which weights",
            "choice",
            options=(
                ("all", "all layers"),
                ("conv1", "conv1, the first layer"),
                ("conv2", "conv2"),
                ("fc1", "fc1"),
                ("fc2", "fc2, the last layer"),
            ),
            start="all",
        ),
    ),
    "layers",
    ("weight", "magnitude", "histogram", "layer"),
)
