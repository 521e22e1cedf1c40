"""A probe as it is kept: inputs by seed, the values of the outputs, and digests of the tensors that they came from."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prunekit.errors import CheckpointError

SEED = 20_260_611
MOST_VALUES, MOST_TENSORS, MOST_INPUT = 2048, 16, 2**26
KINDS = ("normal", "uniform", "indices", "samples")
FORM = "form"
"""The kind of inputs that the model's own example tells: floats by seed, whole numbers of the example."""


@dataclass(frozen=True)
class Answer:
    """One output tensor: its shape, its largest value, and values at evenly spaced places (all of them where they are few)."""

    shape: tuple[int, ...]
    scale: float
    values: tuple[float, ...]

    @classmethod
    def of(cls, tensor: Tensor, most: int) -> Answer:
        """Read a tensor."""
        plain = torch.view_as_real(tensor) if tensor.is_complex() else tensor
        flat = plain.detach().to("cpu", torch.float32).reshape(-1)
        places = torch.linspace(0, max(flat.numel() - 1, 0), min(flat.numel(), most), dtype=torch.float64).round().long()
        return cls(tuple(tensor.shape), float(flat.abs().max()) if flat.numel() else 0.0, tuple(flat[places].tolist()))

    def off(self, other: Answer) -> float:
        """Return the largest difference by the largest value of this one; infinite where the shapes differ or a value is not finite."""
        if self.shape != other.shape or len(self.values) != len(other.values) or not math.isfinite(other.scale):
            return math.inf
        apart = [abs(self.scale - other.scale), *(abs(a - b) for a, b in zip(self.values, other.values, strict=True))]
        return max(apart) / (self.scale or 1.0)


@dataclass(frozen=True)
class Probe:
    """What a model answered."""

    shape: tuple[int, ...] = ()  # of one sample
    # what the inputs are: ``normal`` or ``uniform`` noise, ``indices``, ``samples`` that are kept beside, or of the ``form`` of the model's
    # own example; "" where there are none
    kind: str = ""
    samples: int = 0  # samples, limit: how many, and below which number indices lie
    limit: int = 0
    answers: tuple[Answer, ...] = ()
    tensors: Mapping[str, str] = field(default_factory=dict)  # digest of every parameter and buffer
    code: str = ""  # code, torch: what tells the code of the model's own file, where it has one, and the version of torch
    torch: str = ""
    why: str = ""  # why there are no answers; mostly ""

    def inputs(self, samples: Tensor | None = None) -> Tensor:
        """Return the inputs: by seed, or the samples that are kept beside."""
        if self.kind == "samples":
            if samples is None:
                raise CheckpointError("the samples that its answers were noted on are missing: write the model again")
            return samples
        return noise(self.kind, self.samples, self.shape, self.limit)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; the answers' bytes as text."""
        answers = [
            {"shape": list(a.shape), "scale": a.scale, "values": base64.b64encode(np.asarray(a.values, "<f4").tobytes()).decode()}
            for a in self.answers
        ]
        return {**asdict(self), "shape": list(self.shape), "answers": answers, "tensors": dict(self.tensors), "seed": SEED}

    @classmethod
    def from_dict(cls, told: object) -> Probe:
        """Read what `to_dict` gave, checked: it may come from anybody."""
        try:
            assert isinstance(told, Mapping) and told["seed"] == SEED
            shape = _shape(told["shape"], MOST_INPUT)
            samples, kind = int(told["samples"]), str(told["kind"])
            assert kind in ("", *KINDS, FORM) and 0 <= samples <= 8 and bool(kind) == bool(told["answers"])
            answers = tuple(_answer(each) for each in told["answers"][:MOST_TENSORS])
            tensors = {str(name): str(digest) for name, digest in told["tensors"].items()}
            return cls(shape, kind, samples, int(told["limit"]), answers, tensors, *(str(told[key]) for key in ("code", "torch", "why")))
        except (AssertionError, KeyError, TypeError, ValueError, OverflowError, AttributeError):
            raise CheckpointError("what it notes of its answers is damaged: write the model again") from None


def _shape(told: Sequence[Any], most: int) -> tuple[int, ...]:
    """Return a shape of whole numbers that is not too large."""
    shape = tuple(told)
    assert all(type(side) is int and side >= 0 for side in shape) and math.prod(shape) <= most
    return shape


def _answer(told: Mapping[str, Any]) -> Answer:
    """Return an answer from plain values."""
    values = np.frombuffer(base64.b64decode(told["values"], validate=True), "<f4")
    assert len(values) <= MOST_VALUES
    return Answer(_shape(told["shape"], 2**40), float(told["scale"]), tuple(values.tolist()))


def noise(kind: str, n: int, shape: tuple[int, ...], limit: int) -> Tensor:
    """Return inputs by seed."""
    source = torch.Generator().manual_seed(SEED)
    if kind == "indices":
        return torch.randint(max(limit, 1), (n, *shape), generator=source)
    return torch.rand(n, *shape, generator=source) if kind == "uniform" else torch.randn(n, *shape, generator=source)
