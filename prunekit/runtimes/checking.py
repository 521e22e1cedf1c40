"""Whether a runtime computes what eager torch computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from prunekit.runtimes.runtime import Runtime

MOST_ERROR = 1e-3
"""Largest difference of scores in float32, relative to the largest score."""


@dataclass(frozen=True)
class Check:
    """How a runtime's class scores compare with those of eager torch.

    Attributes
    ----------
    agreement : float or None
        Share of samples whose highest score is at the same class, 0..1; None where the scores cannot be compared.
    error : float or None
        Largest difference by the largest absolute score of eager; None where the scores cannot be compared.
    n : int
        Samples compared.
    passed : bool
        Whether the runtime may be timed.
    sentence : str
        The same in words.
    """

    agreement: float | None
    error: float | None
    n: int
    passed: bool
    sentence: str


def check(runtime: Runtime, expected: Tensor, found: Tensor) -> Check:
    """Compare a runtime's class scores with those of eager torch.

    Parameters
    ----------
    runtime : Runtime
        In float32 the scores must be within ``1e-3`` of eager's, relative to the largest; with fewer bits the agreement of the highest
        score is reported, and only a wrong shape, NaN or infinity is refused.
    expected, found : Tensor, shape [N, classes]
        Class scores of eager torch and of the runtime.
    """
    n = len(expected)
    if not bool(torch.isfinite(expected).all()):
        return Check(None, None, n, False, "eager itself gives scores that hold NaN or infinity: the model's weights are damaged")
    if found.shape != expected.shape:
        return Check(
            None, None, n, False, f"{runtime.title} gives scores of shape {list(found.shape)} where eager gives {list(expected.shape)}"
        )
    if not bool(torch.isfinite(found).all()):
        return Check(None, None, n, False, f"{runtime.title} gives scores that hold NaN or infinity")
    scale = float(expected.abs().max()) or 1.0
    error = float((expected - found).abs().max()) / scale
    agreement = float((expected.argmax(1) == found.argmax(1)).double().mean())
    if runtime.precision != "float32":
        return Check(agreement, error, n, True, f"same top class as eager on {agreement:.1%} of {n} samples")
    if error > MOST_ERROR:
        return Check(
            agreement, error, n, False, f"{runtime.title} differs from eager by {error:.1e} of the largest score; {MOST_ERROR:g} is allowed"
        )
    return Check(agreement, error, n, True, f"within {error:.1e} of eager, relative to the largest score")
