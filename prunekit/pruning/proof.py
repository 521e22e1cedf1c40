"""The proof that surgery was faithful: removing channels gives what zeroing them gives.

On a copy whose every parameter and statistic is random at a non-trivial scale, so that no zero-initialised weight hides a mistake,
compare the physically smaller model with the dense one in which exactly the removed elements are zero: rows, biases, norms and the
consumers' columns, so that it does not matter where a channel arises. Where zeroes alone do not say what remains (a norm over
channels), :mod:`prunekit.pruning.masked_reference` does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from prunekit.errors import ProofError
from prunekit.models.meta_copy import copied
from prunekit.models.outputs import tensors_of
from prunekit.pruning.masked_reference import reference
from prunekit.pruning.structured.plan import Removal
from prunekit.pruning.structured.surgery import by_tensor, consuming, owner_of
from prunekit.pruning.structured.trace_errors import place
from prunekit.tasks.batch import Batch
from prunekit.tasks.input_form import InputForm, answer, noise

TOLERANCE = 1e-4
LEAST_CHANGE = 0.01
ATTEMPTS = 6
SEED = 20_240_917
MOST_MACS, LEAST_SIDE = 2**34, 96  # a proof of more work than this takes smaller images, down to so many pixels

SIZES = "A size written into forward() does this, such as view(-1, 400): read sizes from the input, or use flatten(1)"
READS = "forward() uses something of a layer or block that has changed: leave that one out"
NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
Surgery = Callable[[nn.Module, Any], nn.Module]


@dataclass(frozen=True)
class Proof:
    """What comparing removal with zeroing gave.

    Attributes
    ----------
    max_relative_error : float
        max|a - b| / max|a| over the outputs, a from zeroing and b from removing.
    output_change : float
        max|a - d| / max|d|, d from the dense model: how far pruning moved the output. Under 1 % the proof is void.
    passed : bool
        Error under 1e-4 and the output moved by at least 1 %.
    """

    max_relative_error: float
    output_change: float
    passed: bool

    def to_dict(self) -> dict[str, float | bool]:
        """Return plain values."""
        return asdict(self)


def _fill(tensor: Tensor, noise: torch.Generator, centre: float, spread: float) -> None:
    """Fill with uniform noise of a mean and a standard deviation."""
    half = spread * 3**0.5
    if tensor.is_cpu and tensor.is_contiguous() and tensor.dtype == torch.float32:
        tensor.uniform_(centre - half, centre + half, generator=noise)
    else:
        tensor.copy_(torch.empty(tensor.shape).uniform_(centre - half, centre + half, generator=noise))


def randomise(model: nn.Module, seed: int = SEED) -> nn.Module:
    """Return a copy whose every floating-point parameter and statistic is random.

    Weights have the standard deviation sqrt(1 / fan-in), so that activations neither explode nor die through a hundred layers (at twice the
    variance a deep residual network reaches 1e8, and float32 no longer tells right from wrong); norms and statistics are far from neutral.

    Parameters
    ----------
    model : nn.Module
        Not modified.
    seed : int
        Of the noise.
    """
    # parameters are filled below: their values are not copied first
    memo: dict[int, object] = {
        id(p): nn.Parameter(torch.empty_like(p), requires_grad=False) for p in model.parameters() if p.is_floating_point()
    }
    other, noise = copied(model, memo).eval(), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in other.modules():
            own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
            for name, tensor in own:
                if not tensor.is_floating_point():
                    continue
                if isinstance(module, NORMS):
                    positive = name in ("weight", "running_var")
                    _fill(tensor, noise, 1.0 if positive else 0.0, 0.25 if positive else 0.3)
                elif tensor.dim() > 1 and tensor.shape[0] > 1:
                    _fill(tensor, noise, 0.0, (1 / max(tensor[0].numel(), 1)) ** 0.5)
                else:
                    _fill(tensor, noise, 0.0, 0.3)
    return other


def removed_mask(shape: tuple[int, ...], keeps: dict[int, np.ndarray[tuple[int], np.dtype[np.bool_]]]) -> Tensor:
    """Return which elements of a tensor go: those on a removed index of any axis."""
    gone = torch.zeros(shape, dtype=torch.bool)
    for axis, keep in keeps.items():
        view = [1] * len(shape)
        view[axis] = -1
        gone |= torch.from_numpy(~keep).view(view)
    return gone


def zeroed(model: nn.Module, plan: Removal) -> nn.Module:
    """Return a dense copy of a model in which everything that a plan removes is zero.

    Parameters
    ----------
    model : nn.Module
        Not modified.
    plan : Removal
        What goes.
    """
    dense = copied(model)
    _zero(dense, plan)
    return dense


def _zero(model: nn.Module, plan: Removal, value: float = 0.0) -> None:
    """Set what goes to zero, or to another value, in place."""
    with torch.no_grad():
        for name, keeps in by_tensor(plan.masks).items():
            module, attribute = owner_of(model, name)
            tensor = getattr(module, attribute)
            tensor.masked_fill_(removed_mask(tuple(tensor.shape), keeps).to(tensor.device), value)
        for name in plan.blocks:  # a parameter without axes, such as one scale of a whole branch
            for parameter in model.get_submodule(name).parameters():
                parameter.fill_(value)


def _amplify(model: nn.Module, plan: Removal, factor: float) -> None:
    """Scale what goes, in place, so that its absence shows in the output of a large network."""
    with torch.no_grad():
        for name, keeps in by_tensor(plan.masks).items():
            module, attribute = owner_of(model, name)
            tensor = getattr(module, attribute)
            if tensor.is_floating_point() and attribute != "running_var":
                gone = removed_mask(tuple(tensor.shape), keeps).to(tensor.device)
                tensor[gone] *= factor


def _output(model: nn.Module, x: Batch, plan: Removal | None = None) -> list[Tensor]:
    """Return all output tensors of a model; those of the zeroed dense one where a plan is given."""
    if plan is not None:
        return reference(model, plan, x)
    with torch.inference_mode():
        return list(tensors_of(answer(model, x)).values())


def _relative(a: list[Tensor], b: list[Tensor]) -> float:
    """Return the largest max|a - b| / max|a| of any output; infinite where shapes or values do not allow it."""
    if [t.shape for t in a] != [t.shape for t in b] or not all(bool(torch.isfinite(t).all()) for t in (*a, *b)):
        return float("inf")
    pairs = [(s, t) for s, t in zip(a, b, strict=True) if s.numel()]
    # an index or a truth value tells of scores that are compared themselves, and turns where two of them are nearly equal
    pairs = [pair for pair in pairs if pair[0].is_floating_point()] or [(s.double(), t.double()) for s, t in pairs]
    found = [(float((s - t).abs().max()), float(s.abs().max())) for s, t in pairs]
    return max((difference / scale if scale > 0 else float("inf") for difference, scale in found if difference > 0), default=0.0)


def prove(model: nn.Module, plan: Removal, *, surgery: Surgery = consuming, seed: int = SEED, batch: int = 1) -> Proof:
    """Compare removing with zeroing.

    Parameters
    ----------
    model : nn.Module
        The dense model; only its structure matters, and it is not modified.
    plan : Removal
        What goes. A plan that removes nothing proves nothing: its proof does not pass.
    surgery : callable
        ``(model, plan) -> smaller model``; the one under test. It may use up the model that it is given.
    seed : int
        Of weights and input.
    batch : int
        Samples in the input.

    Returns
    -------
    Proof
        In float32, evaluation mode, on random input: of the model's own size, or a half or quarter of it where a large model takes that
        too.

    Raises
    ------
    ProofError
        If the smaller model does not run at all.
    """
    for attempt in range(ATTEMPTS):
        # a draw in which what goes happens to be silent (a dead ReLU, one channel of thousands) proves nothing: draw again, louder
        dense = randomise(model, seed + attempt).float()
        if attempt:
            _amplify(dense, plan, 4.0**attempt)
        x, before = _first(dense, plan, batch, torch.Generator().manual_seed(seed + attempt))
        _zero(dense, plan)
        expected = _output(dense, x, plan)
        change = _relative(before, expected)
        if change >= LEAST_CHANGE or plan.empty:
            break
    # what goes is far from zero again before the surgery: something that it wrongly left would show
    _zero(dense, plan, 1.0)
    error_size = _relative(expected, _of_smaller(surgery, dense, plan, x))
    return Proof(error_size, change, error_size < TOLERANCE and LEAST_CHANGE <= change < float("inf"))


def _first(dense: nn.Module, plan: Removal, batch: int, source: torch.Generator) -> tuple[Batch, list[Tensor]]:
    """Return an input and what the dense model makes of it; a smaller image than its own where a large model takes that too."""
    shapes = list(dict.fromkeys((_cheaper(plan), plan.graph.input_shape)))
    for shape in shapes:
        x = noise(dense, shape, batch, source)
        try:
            return x, _output(dense, x)
        except (RuntimeError, AssertionError, ValueError, TypeError, IndexError):
            if shape == shapes[-1]:
                raise
    raise AssertionError("there is always the model's own shape")


def _cheaper(plan: Removal) -> tuple[int, ...]:
    """Return the shape of a sample, its height and width halved until a forward pass is no longer dear, or they are small."""
    shape, macs = plan.graph.input_shape, sum(plan.graph.macs.values())
    while not isinstance(shape, InputForm) and len(shape) == 3 and macs > MOST_MACS and min(shape[1:]) // 2 >= LEAST_SIDE:
        shape, macs = (shape[0], shape[1] // 2, shape[2] // 2), macs // 4
    return shape


def _of_smaller(surgery: Surgery, dense: nn.Module, plan: Removal, x: Batch) -> list[Tensor]:
    """Return what the smaller model gives, which lives no longer than this: a large one need not fit beside its proof."""
    small = dense
    try:
        small = surgery(dense, plan).eval()
        return _output(small, x)
    except ProofError:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        reads = isinstance(error, (AttributeError, KeyError, TypeError))
        raise ProofError(
            f"the smaller model does not run, and stops in {place(error, small)}: {lines[0]}. {READS if reads else SIZES}"
        ) from error


def require(proof: Proof) -> Proof:
    """Return a proof that passed.

    Raises
    ------
    ProofError
        If it did not: the surgery must not be handed out.
    """
    if not proof.passed:
        raise ProofError(
            "removing these channels does not give what zeroing them gives: "
            f"largest relative error {proof.max_relative_error:.2g} (allowed {TOLERANCE:g}), "
            f"output moved by {proof.output_change:.2%} (needed {LEAST_CHANGE:.0%}). "
            "No result is given; please report the model. Mode unstructured works meanwhile"
        )
    return proof
