"""Lesson 5: which layers are fragile, each pruned alone."""

from __future__ import annotations

from prunekit.lessons.lesson import Control, Guess, Lesson

OPTIONS = {
    "conv1": "conv1, the first: it looks at the pixels",
    "conv2": "conv2: it combines what conv1 has seen",
    "fc1": "fc1, the largest: it weighs all up",
    "fc2": "fc2, the last: it names the digit",
}
NONE = "None of them: no layer stands out"

LESSON = Lesson(
    5,
    "fragile",
    "Which layers are fragile",
    "One layer at a time loses its smallest {sparsity} % of weights while the other three stay whole. "
    "Which layer does the network miss most?",
    "A network has four layers with weights here, very different in size. A layer is fragile if accuracy falls when only "
    "this layer is pruned.",
    Guess("choice", "The most fragile layer", options=(*OPTIONS.values(), NONE)),
    (Control("sparsity", "Share of the layer's weights to remove", "slider", 50, 95, 5, start=90, unit="%"),),
    "sensitivity",
    ("sensitivity", "layer", "accuracy", "interval", "validation images"),
)
