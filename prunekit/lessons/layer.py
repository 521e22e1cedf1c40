"""Lesson 3: one layer. Most of its weights go, and its shape stays."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunekit.evaluation.compression import squeeze
from prunekit.evaluation.sizes import format_bytes, smallest
from prunekit.lessons.answer import Answer
from prunekit.lessons.lesson import lesson
from prunekit.lessons.settings import MLP, model_of, percent, plural, shape, spec_of
from prunekit.models.layers import weight_of
from prunekit.pruning.api import prune
from prunekit.pruning.result import LayerResult

LAYER, PLACE = "fc3", 2
TITLES = {
    "dense": "dense: every number, zeros too",
    "bitmap": "bitmap: a bit for each place, then what is not zero",
    "csr": "CSR: row by row, each number with its column",
    "delta8": "gaps: each number with the distance from the one before",
    "gzip": "gzip: every number, then compressed",
}

LESSON = lesson("layer")
SAME, NARROWER, SHORTER = LESSON.guess.options


def answer(sparsity: int) -> Answer:
    """Remove a share of one layer's weights."""
    settings = {"model": MLP, "layers": (PLACE,), "sparsity": sparsity / 100, "focus": PLACE}
    model = model_of(settings)
    result = prune(model, spec_of(settings, model))
    before, after = weight_of(model, LAYER), weight_of(result.model, LAYER)
    alive = (after != 0).numpy()
    storage = format_bytes(alive, after.element_size()) | {"gzip": _gzipped(after.numpy())}
    numbers = {"weights": before.numel(), "left": int(alive.sum()), "dense_bytes": storage["dense"], "best_bytes": min(storage.values())}
    frames = {"weights": _cells(before.numpy(), alive), "storage": _storage(storage)}
    value = _changed(tuple(before.shape), tuple(after.shape))
    shown = f"{value.split(':')[0].lower()}, {shape(tuple(after.shape))}"
    row = next(layer for layer in result.layers if layer.name == LAYER)
    said = _shape_said(row, numbers["weights"], numbers["left"], storage["dense"]), _storage_said(storage, numbers["left"] / before.numel())
    return Answer(value, shown, said, frames, numbers, settings, LESSON.guess)


def _cells(weights: NDArray[np.float32], alive: NDArray[np.bool_]) -> pd.DataFrame:
    """Return every cell of a matrix, and whether it stays."""
    rows, columns = (places.reshape(-1) for places in np.indices(weights.shape))
    return pd.DataFrame({"row": rows, "column": columns, "weight": weights.reshape(-1), "kept": alive.reshape(-1)})


def _gzipped(weights: NDArray[np.float32]) -> int:
    """Return the bytes of all numbers, zeros too, after compression."""
    whole = squeeze(weights.nbytes, exact=True)
    whole.add(np.ascontiguousarray(weights).reshape(-1).view(np.uint8))
    return whole.finish().bytes


def _storage(found: dict[str, int]) -> pd.DataFrame:
    """Return the ways to store a layer, the smallest first."""
    rows = [(name, TITLES[name], size, size / found["dense"]) for name, size in found.items()]
    return pd.DataFrame(rows, columns=["format", "title", "bytes", "of_dense"]).sort_values("bytes", kind="stable", ignore_index=True)


def _changed(before: tuple[int, ...], after: tuple[int, ...]) -> str:
    """Return which of the options came true."""
    if after[1] < before[1]:
        return NARROWER
    return SHORTER if after[0] < before[0] else SAME


def _shape_said(row: LayerResult, whole: int, left: int, dense: int) -> str:
    """Say what became of the shape, and of the plain file."""
    still = "is still" if row.shape_after == row.shape_before else "is now"
    first = f"{plural(whole, 'weight')} less {whole - left:,} leave {left:,}, and the matrix {still} {shape(row.shape_after)}"
    return first + (
        f": zeros stand where the weights were, and stored as usual it takes {dense:,} bytes as before." if left < whole else "."
    )


def _storage_said(storage: dict[str, int], left: float) -> str:
    """Say what makes the layer smaller to store, the smallest first."""
    dense, gzip = storage["dense"], storage["gzip"]
    best, least = smallest({name: size for name, size in storage.items() if name != "gzip"})
    if best == "dense":
        sparse = "no sparse format is smaller, for saying where the weights stand costs more than leaving out the zeros saves"
    else:
        share = f"{percent(least / dense)} for {percent(left)} of the weights, because their places have to be stored too"
        sparse = f"a sparse format ({TITLES[best]}) takes {least:,} bytes, which is {share}"
    zipped = f"gzip takes {gzip:,} bytes" if gzip < dense else f"gzip does not make it smaller ({gzip:,} bytes)"
    said = "; ".join([zipped, sparse] if gzip < least else [sparse, zipped])
    return f"{said[0].upper()}{said[1:]}."
