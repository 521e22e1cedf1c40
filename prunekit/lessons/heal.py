"""Lesson 6: fine-tune, and see it come back."""

from __future__ import annotations

from prunekit.lessons.lesson import Control, Guess, Lesson

LESSON = Lesson(
    6,
    "heal",
    "Fine-tune and see it come back",
    "{sparsity} % of the channels are cut out, and the network is hurt. Then it trains on for a moment (passes over its images: {epochs}). "
    "How many of a hundred test images does it read right afterwards?",
    "A pruned network can learn again: training goes on from the weights that are left, which is called fine-tuning.",
    Guess("number", "Accuracy after fine-tuning", "%"),
    (
        Control("sparsity", "Share of the channels to cut out", "slider", 30, 80, 10, start=70, unit="%"),
        Control("epochs", "Passes over the training images", "slider", 1, 3, 1, start=2),
    ),
    "recover",
    ("fine-tuning", "epoch", "structured pruning", "one-shot", "accuracy"),
)
