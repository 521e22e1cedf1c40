"""Whether a runtime computes what eager torch computes, and how accurate a model is in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from prunekit.errors import DataError, ModelError
from prunekit.evaluation.accuracy import evaluated
from prunekit.evaluation.progress import QUIET, Progress, Tell, eval_mode
from prunekit.evaluation.quality import Evaluation
from prunekit.formatting import error as small
from prunekit.formatting import ordinary, percent
from prunekit.models.outputs import SCORES, tensors_of
from prunekit.models.running import classes_of, finite
from prunekit.runtimes.runtime import Session
from prunekit.runtimes.torch_sessions import TorchSession
from prunekit.tasks.batch import Batch
from prunekit.tasks.batches import batches_of, length_of
from prunekit.tasks.classification import Classification
from prunekit.tasks.input_form import heads_of
from prunekit.tasks.protocol import Task
from prunekit.tasks.resolver import resolve

if TYPE_CHECKING:
    from prunekit.runtimes.runtime import Runtime


MOST_BYTES = 2**24  # of input at a time: what a runtime needs beside it is many times more, and here there is no process to lose


def evaluate_session(
    session: Session,
    split: Any,
    *,
    task: Task | str | None = None,
    model: nn.Module | None = None,
    batch_size: int = 256,
    progress: Progress | Tell = QUIET,
) -> Evaluation:
    """Measure the headline metric of the data's task, as the accuracy of a classifier, in the runtime that the session belongs to.

    Parameters
    ----------
    session : Session
        An opened model.
    split : Split, Dataset or iterable of batches
        As for :func:`prunekit.evaluate`.
    task : Task or str, optional
        Left out, that of the model and the data.
    model : nn.Module, optional
        What the session was made from: it tells in which nest a file's outputs come. Classifiers need none.
    batch_size : int
        Samples at a time; fewer where they are large.
    progress : Progress or callable, optional
        Told how far it is, as ``progress(fraction, text)``; looked at before each batch, whether to stop.

    Returns
    -------
    Evaluation
        As :func:`prunekit.evaluate` gives it: both can be compared in pairs.

    Raises
    ------
    DataError
        If there are no samples, or a label is outside the model's classes.
    RuntimeFault, ModelError
        If the model does not run on the samples or gives no finite scores.
    Cancelled
        If ``progress`` was cancelled.
    """
    hooks: dict[str, Any] = {"batch_size": batch_size, "progress": Progress.of(progress)}
    judge, classes = resolve(model, split, task), classes_of(split)
    if isinstance(judge, Classification):
        told = replace(judge, scores_of=lambda scores, _: scores)
        return evaluated(lambda batch: scores_of(session, batch, classes), told, split, **hooks)
    first = next(batches_of(split, 1), None) if length_of(split) else None
    if first is None or model is None:
        raise DataError(f"{judge.title} is measured in a runtime on data that can be indexed, and beside the model itself: give both")
    with eval_mode(model), torch.inference_mode():
        like, heads = judge.forward(model, first), None if isinstance(session, TorchSession) else heads_of(model)
        if heads is not None and [x.shape for x in heads(model, first).values()] != [x.shape for x in tensors_of(like).values()]:
            raise ModelError(
                "a file of this detector gives its heads' tensors, and what it finds is decided behind them, by the model's own code: "
                f"measure {judge.headline.title} in a runtime of torch, such as eager"
            )
    hooks["batch_size"] = max(1, min(batch_size, MOST_BYTES // max(_bytes(first), 1)))
    return evaluated(lambda batch: session.answer(batch, like), judge, split, **hooks)


def _bytes(batch: Batch) -> int:
    """Return what a batch's inputs weigh."""
    return sum(tensor.nbytes for _, tensor in batch.named_tensors())


def _parts(x: Batch) -> list[Batch]:
    """Return samples in parts of at most 16 MiB, one sample at least."""
    step = max(1, MOST_BYTES * x.samples // max(_bytes(x), 1))
    return [x.take(np.arange(start, min(start + step, x.samples))) for start in range(0, x.samples, step)] if step < x.samples else [x]


def scores_of(session: Session, x: Batch | Tensor, classes: int = 0) -> Tensor:
    """Return the class scores of a batch, [N, classes], however large its samples are.

    ``x`` [N, ...]: it is passed on in parts of at most 16 MiB, one sample at least; ``classes``: how many the data have; 0 where nobody
    knows.
    """
    return finite(torch.cat([session.scores(part, classes) for part in _parts(Batch.of(x))]))


MOST_ERROR = 1e-3
"""Largest difference of outputs in float32, relative to the largest value of the same output."""
MOST_FLIPPED = 0.01
"""Largest share of whole numbers and truth values that may differ: two that are nearly equal may be put in another order."""


def apart(expected: Tensor, found: Tensor) -> float:
    """Return the largest difference by the largest value; infinite where shapes, or too many values that are no floats, differ."""
    if found.shape != expected.shape or found.is_floating_point() != expected.is_floating_point():
        return math.inf
    if not expected.numel():
        return 0.0
    if not expected.is_floating_point():
        return 0.0 if float((expected != found).double().mean()) <= MOST_FLIPPED else math.inf
    return float((expected.float() - found.float()).abs().max()) / (float(expected.abs().max()) or 1.0)


@dataclass(frozen=True)
class Check:
    """How what a runtime gives compares with what eager torch gives.

    Attributes
    ----------
    agreement : float or None
        Share of samples whose highest score is at the same class, 0..1; None where there are no class scores to compare.
    error : float or None
        Largest difference by the largest absolute value of eager, of the output where it is largest; None where they cannot be compared.
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


Outputs = Tensor | Mapping[str, Tensor]


def check(runtime: Runtime, expected: Outputs, found: Outputs, n: int | None = None) -> Check:
    """Compare all outputs of a runtime with those of eager torch.

    Parameters
    ----------
    runtime : Runtime
        In float32 outputs must be within ``1e-3`` of eager's, relative to the largest value; with fewer bits the agreement of the highest
        score is reported, and only a wrong shape, NaN or infinity is refused.
    expected, found : mapping of str to Tensor, or Tensor
        Outputs of eager torch and of the runtime by name, else in the same order; class scores are called ``scores``, and a tensor alone
        holds them.
    n : int, optional
        Samples compared; as many as the first output is long when left out.
    """
    expected, found = ({SCORES: each} if isinstance(each, Tensor) else each for each in (expected, found))
    n = len(next(iter(expected.values()))) if n is None else n
    if found.keys() == expected.keys():
        found = {name: found[name] for name in expected}
    if not all(_finite(tensor) for tensor in expected.values()):
        return Check(None, None, n, False, "eager itself gives outputs that hold NaN or infinity: the model's weights are damaged")
    shapes = [[list(tensor.shape) for tensor in outputs.values()] for outputs in (found, expected)]
    if shapes[0] != shapes[1]:
        got, wanted = (", ".join(map(str, each)) or "nothing" for each in shapes)
        return Check(None, None, n, False, f"{runtime.title} gives outputs of shape {got} where eager gives {wanted}")
    if not all(_finite(tensor) for tensor in found.values()):
        return Check(None, None, n, False, f"{runtime.title} gives outputs that hold NaN or infinity")
    error, what = max((apart(a, b), name) for (name, a), b in zip(expected.items(), found.values(), strict=True))
    table = {name: (a, b) for (name, a), b in zip(expected.items(), found.values(), strict=True)}.get(SCORES)
    agreement = None if table is None else float((table[0].argmax(1) == table[1].argmax(1)).double().mean())
    kind = "score" if what == SCORES else "output" if len(expected) == 1 else f"value of {what}"
    if runtime.precision != "float32":
        same = _within(error, kind)
        if agreement is not None:
            same = f"same top class as eager on {ordinary(percent(agreement))} of {n} samples"
        return Check(agreement, error, n, True, same)
    if not error <= MOST_ERROR:
        return Check(agreement, error, n, False, f"{runtime.title} {_by(error, kind)}; {MOST_ERROR:g} is allowed")
    return Check(agreement, error, n, True, _within(error, kind))


def _finite(tensor: Tensor) -> bool:
    """Return whether a tensor holds neither NaN nor infinity."""
    return not tensor.is_floating_point() or bool(torch.isfinite(tensor).all())


def _within(error: float, kind: str) -> str:
    """Say how near a runtime comes to eager."""
    return f"within {small(error)} of eager, relative to the largest {kind}" if error else "the same as eager, to the bit"


def _by(error: float, kind: str) -> str:
    """Say by how much a runtime differs."""
    return f"differs from eager by {small(error)} of the largest {kind}" if math.isfinite(error) else f"gives another {kind} than eager"
