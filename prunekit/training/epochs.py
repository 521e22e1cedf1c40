"""Training over epochs: what is measured after each, which one is kept, and what ends it early."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from prunekit.errors import ModelError
from prunekit.evaluation.accuracy import evaluate
from prunekit.evaluation.progress import QUIET, Progress
from prunekit.evaluation.quality import Evaluation
from prunekit.tasks.base import Task
from prunekit.training.images import TrainingSamples
from prunekit.training.result import Epoch, Tuned
from prunekit.training.train_config import Course
from prunekit.training.trainer import Loop

Report = Callable[[Epoch], object]

LAST_KEPT = "there is no validation part to choose an epoch by: the last one is kept"


def fit(
    model: nn.Module,
    images: TrainingSamples,
    course: Course,
    *,
    masks: Mapping[str, Tensor] | None = None,
    validation: Any = None,
    report: Report | None = None,
    progress: Progress = QUIET,
) -> Tuned:
    """Train an owned model and return it with the weights of its best epoch on the validation part, of equal ones the later."""
    loop = Loop(model, images, course, masks)
    kept, best, history, stopped = _copied(model), 0, list[Epoch](), ""
    top: float | None = None
    with torch.random.fork_rng(devices=[]):  # dropout draws from torch's one generator
        for index in range(course.epochs):
            torch.manual_seed((course.seed * 100_003 + course.first + index) % 2**63)
            done = _one(loop, index, validation, progress)
            if done is None:
                stopped = _diverged(course, index, best)
                break
            history.append(done)
            value = None if done.validation is None else done.validation.value
            if value is None or top is None or not loop.task.headline.is_better(top, value):
                kept, best, top = _copied(model), done.number, value
            if report is not None:
                report(done)
    model.load_state_dict(kept)
    notes = (LAST_KEPT,) if validation is None and course.epochs else ()
    return Tuned(model.to(memory_format=torch.contiguous_format).eval().requires_grad_(False), tuple(history), best, stopped, notes)


def _one(loop: Loop, index: int, validation: Any, progress: Progress) -> Epoch | None:
    """Train for one epoch and measure it; None where the numbers are no longer finite."""
    course, begin = loop.course, time.monotonic()

    def tick(share: float) -> None:
        progress((index + share) / course.epochs, f"epoch {index + 1} of {course.epochs}")

    found = loop.epoch(index, tick)
    if found is None or not loop.works():
        return None
    measured = None if validation is None else _measured(loop.model, validation, loop.task, progress.silent)
    if validation is not None and measured is None:
        return None
    rate = course.rates[index * loop.steps]
    return Epoch(course.first + index + 1, course.sparsity, rate, *found, measured, time.monotonic() - begin)


def _measured(model: nn.Module, validation: Any, task: Task, progress: Progress) -> Evaluation | None:
    """Return the headline metric on the validation part, or None where the model no longer gives finite numbers."""
    try:
        return evaluate(model, validation, task=task, progress=progress)
    except ModelError:
        return None


def _copied(model: nn.Module) -> dict[str, Any]:
    """Return a copy of the state, also of what modules give by ``get_extra_state``."""
    return {name: value.detach().clone() if isinstance(value, Tensor) else deepcopy(value) for name, value in model.state_dict().items()}


def _diverged(course: Course, index: int, best: int) -> str:
    """Say that training went astray, and what is left."""
    kept = f"epoch {best} is kept" if best else "the weights from before are kept"
    peak = max(course.rates, default=0.0)
    return f"the loss was no longer a finite number in epoch {course.first + index + 1}: {kept}. Lower the learning rate ({peak:g})"
