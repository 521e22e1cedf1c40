"""Lesson 8: measure what is smaller and what is faster."""

from __future__ import annotations

from prunekit.lessons.lesson import Control, Guess, Lesson

ZEROS = "The copy with the zeros"
SMALLER = "The copy with fewer channels"
BOTH = "Both"
NEITHER = "Neither"

LESSON = Lesson(
    8,
    "faster",
    "Measure: smaller or faster?",
    "In one copy of the network {sparsity} % of the weights are set to zero, from another {sparsity} % of the channels are cut out. "
    "Which copy is faster on this machine ({batch})?",
    "Fewer numbers to multiply should mean less time. Whether it does is measured here and now, the copies taking turns with the original.",
    Guess("choice", "Faster than the original", options=(ZEROS, SMALLER, BOTH, NEITHER)),
    (
        Control("sparsity", "Share to remove", "slider", 50, 90, 10, start=70, unit="%"),
        Control("batch", "Images at a time", "choice", options=(("1", "one image at a time"), ("64", "64 images at a time")), start="64"),
    ),
    "latency",
    ("latency", "MACs", "mask", "structured pruning", "batch"),
)
