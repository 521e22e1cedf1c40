"""Lesson 4: all layers at one sparsity, to the cliff."""

from __future__ import annotations

from prunekit.lessons.lesson import Control, Guess, Lesson

LESSON = Lesson(
    4,
    "cliff",
    "All layers, to the cliff",
    "Remove {criterion} from all layers at once and repair nothing. What share can go before accuracy falls by more than {drop} points?",
    "A network holds weights that nobody misses, but not only such. The edge behind which it stops working is called the cliff.",
    Guess("number", "Share that can go", "%"),
    (
        Control(
            "criterion",
            "What goes first",
            "choice",
            options=(("l1", "the smallest weights"), ("random", "weights drawn by lot")),
            start="l1",
        ),
        Control("drop", "Accuracy that may be lost", "slider", 1, 20, 1, start=5, unit="points"),
    ),
    "accuracy",
    ("accuracy", "sparsity", "global scope", "criterion", "interval", "validation images"),
)
