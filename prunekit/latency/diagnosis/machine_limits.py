"""What the machine can do at best: copies, new memory, a matrix product and empty calls, each taking turns with the layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import nn

from prunekit.latency.diagnosis.evidence import Machine
from prunekit.latency.diagnosis.layer_capture import Captured

SMALLEST = 2**16  # bytes: below, a copy measures its own call
MOST = 5  # sizes of copies, and of new memory
SIDE = 512  # of the matrix product

_EMPTY: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "Embedding": (lambda: nn.Embedding(1, 1), 0),
    "EmbeddingBag": (lambda: nn.EmbeddingBag(1, 1), 0),
    "Linear": (lambda: nn.Linear(1, 1), 0),
    "Conv1d": (lambda: nn.Conv1d(1, 1, 1), 1),
    "Conv2d": (lambda: nn.Conv2d(1, 1, 1), 2),
    "Conv3d": (lambda: nn.Conv3d(1, 1, 1), 3),
}


def probes(layers: Sequence[Captured], batch: int, dtype: torch.dtype) -> dict[str, Callable[[], object]]:
    """Return what is to be timed, by name.

    Timed in turns with the layers, so that a neighbour who slows these down slows the yardstick as well, and at the layers' own sizes, for
    memory is no single number: caches make small traffic fast, and the system makes large new memory slow.
    """
    found = {f"copy {size}": _copy(size) for size in sizes(layer.bytes - layer.fresh for layer in layers)}
    found |= {f"fresh {size}": _fresh(size) for size in sizes(layer.fresh for layer in layers)}
    a, b, out = (torch.ones(SIDE, SIDE, dtype=dtype) for _ in range(3))
    found["product"] = lambda: torch.mm(a, b, out=out)
    for kind in sorted({layer.type for layer in layers} & set(_EMPTY)) or ["Linear"]:
        found[f"call {kind}"] = _call(kind, batch, dtype)
    return found


def sizes(wanted: Iterable[float]) -> list[int]:
    """Return a few sizes in bytes that stand for all: the smallest, the largest, and some between."""
    known = sorted({max(SMALLEST, int(size) // 8 * 8) for size in wanted})
    return [known[i] for i in sorted(set(np.linspace(0, len(known) - 1, MOST).round().astype(int).tolist()))]


def _copy(size: int) -> Callable[[], object]:
    """Return a copy that reads and writes so many bytes in all."""
    source, target = (torch.ones(size // 8) for _ in range(2))
    return lambda: target.copy_(source)


def _fresh(size: int) -> Callable[[], object]:
    """Return what asks for so many bytes of new memory and fills them."""
    return lambda: torch.empty(size // 4).fill_(1.0)


def _call(kind: str, batch: int, dtype: torch.dtype) -> Callable[[], object]:
    """Return the call of a layer with one weight and one element for each sample."""
    build, dimensions = _EMPTY[kind]
    module, x = build().to(dtype).eval(), torch.ones(batch, 1, *[1] * dimensions, dtype=dtype)
    ids = torch.zeros(batch, 1, dtype=torch.int64)
    return lambda: module(ids if isinstance(module, (nn.Embedding, nn.EmbeddingBag)) else x)


def machine_of(seconds: Mapping[str, Sequence[float]]) -> Machine:
    """Return the machine's figures from the samples of its probes."""
    medians = {tuple(name.split()): float(np.median(samples)) for name, samples in seconds.items()}
    copies, fresh = (
        tuple(sorted((float(rest[0]), float(rest[0]) / t) for (what, *rest), t in medians.items() if what == kind))
        for kind in ("copy", "fresh")
    )
    calls = tuple((rest[0], t) for (what, *rest), t in medians.items() if what == "call")
    return Machine(copies, fresh, SIDE**3 / medians[("product",)], calls)
