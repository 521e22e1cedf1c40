"""Fixed, stratified choices of samples: the same on every machine and with every version of numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Indices = NDArray[np.int64]


def mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return well-mixed 64-bit keys: SplitMix64 (Steele, Lea and Flood, 2014)."""
    z = values * np.uint64(0x9E3779B97F4A7C15)  # wraps around modulo 2 ** 64, as it should
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _shares(counts: Indices, n: int) -> Indices:
    """Return how many of ``n`` each class gets: by largest remainder, ties to the first class."""
    exact = counts * n
    total = int(counts.sum())
    shares = exact // total
    order = np.argsort(-(exact % total), kind="stable")
    shares[order[: n - int(shares.sum())]] += 1
    return shares


def stratified(labels: ArrayLike, n: int, seed: int = 0) -> Indices:
    """Return a fixed choice of ``n`` samples in which each class keeps its share.

    The choice depends on the labels, ``n`` and ``seed`` alone (no random generator whose stream may change), and within
    a class a smaller choice is part of every larger one.
    """
    labels = np.asarray(labels)
    if n >= labels.size:
        return np.arange(labels.size)
    classes, counts = np.unique(labels, return_counts=True)
    chosen = []
    for c, share in zip(classes, _shares(counts.astype(np.int64), n), strict=True):
        members = np.flatnonzero(labels == c)
        keys = mix((np.arange(members.size, dtype=np.uint64) + np.uint64(1)) ^ (np.uint64(seed) << np.uint64(40)))
        chosen.append(members[np.argsort(keys, kind="stable")[:share]])
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def spread(total: int, n: int) -> Indices:
    """Return a fixed choice of at most ``n`` of ``total`` samples, whatever their labels: sorted indices."""
    if n >= total:
        return np.arange(total)
    keys = mix(np.arange(total, dtype=np.uint64) + np.uint64(1))
    return np.sort(np.argsort(keys, kind="stable")[:n]).astype(np.int64)


def held_out(labels: ArrayLike, n: int, seed: int = 0) -> tuple[Indices, Indices]:
    """Return (kept, held out): a fixed stratified part of ``n`` samples and the rest, both sorted."""
    out = stratified(labels, n, seed)
    return np.setdiff1d(np.arange(np.asarray(labels).size), out), out
