"""Lesson 3: one layer. Most of its weights go, and its shape stays."""

from __future__ import annotations

from prunekit.lessons.lesson import Control, Guess, Lesson

SAME = "It stays as it is"
NARROWER = "It gets narrower: columns disappear"
SHORTER = "It gets shorter: rows disappear"

LESSON = Lesson(
    3,
    "layer",
    "One layer: weights go, the shape stays",
    "The last layer of this network is a matrix of 10 x 100 weights. The smallest {sparsity} % of them are removed, one by one. "
    "What happens to the shape of the matrix?",
    "Removing single weights is called unstructured pruning. It takes the least important weights, wherever they stand.",
    Guess("choice", "The shape afterwards", options=(SAME, NARROWER, SHORTER)),
    (Control("sparsity", "Share of the weights to remove", "slider", 0, 95, 5, start=70, unit="%"),),
    "prune",
    ("unstructured pruning", "sparsity", "mask", "sparse format"),
)
