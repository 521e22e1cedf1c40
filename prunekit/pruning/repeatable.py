"""One forward pass that gives the same each time: from the same state, with the same random numbers, in one floating type.

Two models of other widths cannot draw the same noise for each channel, so that what is drawn is one number for all of a tensor, and dropout
drops nothing.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prunekit.models.meta_copy import Seeing, copied

NOISE = {"randn_like", "rand_like", "randn", "rand", "normal", "uniform", "normal_functional", "exponential", "log_normal"}
KEEPS = {"bernoulli", "native_dropout", "rrelu_with_noise", "_fused_dropout"}
OTHERS = {"randint", "randint_like", "randperm", "multinomial", "random", "cauchy", "geometric"}
SEED = 7


def fresh(model: nn.Module) -> nn.Module:
    """Return a copy that starts from what a model holds now: its parameters too, for some models write to them when they run."""
    return copied(model)


@contextmanager
def repeatable(kind: torch.dtype | None = None) -> Iterator[Repeatable]:
    """Let whatever runs draw the same random numbers each time, and compute in one floating type, whatever its code asks for."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 (the model's own code may use it)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(SEED)
        random.seed(SEED)
        np.random.seed(SEED)  # noqa: NPY002
        try:
            with Repeatable(kind) as mode:
                yield mode
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002


class Repeatable(Seeing):
    """Gives random operations one number each, and operations that name a floating type the one that is asked for."""

    def __init__(self, kind: torch.dtype | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kind, self.drawn = kind, list[str]()
        self._source = torch.Generator().manual_seed(SEED)

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = dict(kwargs or {})
        asked = kwargs.get("dtype")
        if self.kind is not None and isinstance(asked, torch.dtype) and asked.is_floating_point:
            kwargs["dtype"] = self.kind
        name = func.overloadpacket.__name__.rstrip("_")
        if name == "native_dropout":
            self.drawn.append(name)
            return args[0].clone(), torch.ones_like(args[0], dtype=torch.bool)
        if name in OTHERS:
            torch.manual_seed(SEED + len(self.drawn))
        out = func(*args, **kwargs)
        if name in NOISE | KEEPS | OTHERS:
            self.drawn.append(name)
        if isinstance(out, Tensor) and name in KEEPS:
            out.fill_(1)
        elif isinstance(out, Tensor) and name in NOISE and out.dim():
            out.fill_(float(torch.rand((), generator=self._source)))
        return out
