"""Training: the loop over batches of one owned model, and over epochs: what is measured after each, which is kept, what ends it early."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunekit.errors import DataError, ModelError
from prunekit.evaluation.accuracy import evaluate
from prunekit.evaluation.progress import QUIET, Progress, eval_mode
from prunekit.evaluation.quality import Evaluation
from prunekit.models.layers import weight_name
from prunekit.models.running import task_of
from prunekit.models.state import tensor_state
from prunekit.tasks.batch import Batch
from prunekit.tasks.batches import fitting
from prunekit.tasks.classification import Classification
from prunekit.tasks.observations import Observations
from prunekit.tasks.protocol import Task
from prunekit.training.images import TrainingSamples, are_images, with_images
from prunekit.training.recipes import Course, steps_of
from prunekit.training.result import Epoch, Tuned
from sample_models.augment import Shrink


class Loop:
    """A model in training; it is owned, and changes."""

    def __init__(self, model: nn.Module, images: TrainingSamples, course: Course, masks: Mapping[str, Tensor] | None = None) -> None:
        flat = any(isinstance(module, nn.Conv2d) for module in model.modules())
        self.layout = torch.channels_last if flat else torch.contiguous_format
        self.model, self.images, self.course = model.to(memory_format=self.layout), images, course
        task = course.task or task_of(model, images.source)
        self.task = replace(task, smoothing=course.smoothing) if isinstance(task, Classification) else task
        for parameter in model.parameters():
            parameter.requires_grad_(parameter.is_floating_point())
        self.held = [(_weight(model, name), ~mask.to(_weight(model, name).device)) for name, mask in (masks or {}).items()]
        self.optimizer = _optimizer(model, course)
        self.steps, self.taken = steps_of(len(images), course.batch_size), 0
        self.penalty = None if course.penalty is None else course.penalty(self.model)
        self.hold()

    def hold(self) -> None:
        """Set what the masks remove to zero."""
        with torch.no_grad():
            for weight, gone in self.held:
                weight.masked_fill_(gone, 0)

    def epoch(self, index: int, tick: Callable[[float], None]) -> tuple[float, float] | None:
        """Pass once over the samples and return mean loss and the headline metric, or None as soon as the loss is not finite."""
        course = self.course
        generator = torch.Generator().manual_seed((course.seed * 100_003 + course.first + index) % 2**63)
        size = min(course.batch_size, len(self.images))
        order = torch.randperm(len(self.images), generator=generator)[: self.steps * size]
        self.model.train()
        total, seen = 0.0, list[Observations]()
        for step, take in enumerate(torch.split(order, size)):
            tick(step / self.steps)
            loss, found = self.step(take, index, course.rates[index * self.steps + step], generator)
            if found is None:
                return None
            total += loss
            seen.append(found)
        self.model.eval()
        try:
            return total / self.steps, self.task.headline.reduce(Observations.concat(seen))
        except DataError:  # it may be undefined on what came by
            return total / self.steps, math.nan

    def step(self, take: Tensor, index: int, rate: float, generator: torch.Generator) -> tuple[float, Observations | None]:
        """Take one step on some samples; return the loss and what was observed. What is not finite moves nothing, and observes None."""
        batch = self._batch(take, index, generator)
        value, seen, size = 0.0, list[Observations](), fitting(self.images.source, batch.samples)
        whole = self.task.terms(batch) if size < batch.samples else None
        self.optimizer.zero_grad(set_to_none=True)
        for begin in range(0, batch.samples, size):  # gradients add up over parts of a step that is too large for memory
            part = batch if size == batch.samples else batch.take(np.arange(begin, min(begin + size, batch.samples)))
            output = self.task.forward(self.model, part)
            loss = self._loss(output, part) * ((self.task.terms(part) or 0) / whole if whole else part.samples / batch.samples)
            value += float(loss.detach())
            if not math.isfinite(value):
                return value, None
            try:
                with torch.no_grad():
                    seen.append(self.task.observe(output, part))
            except ModelError:  # a finite loss of an output that is not
                return value, None
            loss.backward()  # type: ignore[no-untyped-call]
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        if self.penalty is not None:
            self.taken += 1
            self.penalty(self.taken / (self.steps * self.course.epochs))
        for weight, gone in self.held:
            if weight.grad is not None:
                weight.grad.masked_fill_(gone, 0)
        self.optimizer.step()
        self.hold()  # whatever an optimizer remembers or adds, nothing comes back
        return value, Observations.concat(seen)

    def _batch(self, take: Tensor, index: int, generator: torch.Generator) -> Batch:
        """Return some samples; images moved, in the epoch's size and in the layout of training."""
        batch = self.course.augmentation.moved(self.images.take(take), self.images.fill, generator, self.task)
        size, until = self.course.small
        if index < until and are_images(batch):
            before = batch.args[0].shape[-2:]
            batch = with_images(batch, lambda x: F.interpolate(x, size=(size, size), mode="bilinear", antialias=True))
            batch = replace(batch, targets=self.task.moved(batch.targets, [Shrink(size, tuple(before))] * batch.samples, tuple(before)))
        return with_images(batch, lambda x: x.contiguous(memory_format=self.layout))

    def _loss(self, output: Any, batch: Batch) -> Tensor:
        """Return the loss of one batch: of its targets, and of what the teacher says of it."""
        loss, teaching = self.task.loss(output, batch), self.course.teaching
        if self.course.teacher is None or teaching is None:
            return loss
        with torch.no_grad():
            said = self.task.forward(self.course.teacher, batch)
        return (1 - teaching.share) * loss + teaching.share * self.task.distance(output, said, batch, teaching.temperature)

    def works(self) -> bool:
        """Return whether the model still gives finite numbers."""
        if not all(bool(torch.isfinite(tensor).all()) for tensor in tensor_state(self.model).values() if tensor.is_floating_point()):
            return False
        first = self.images.take(torch.arange(min(2, len(self.images))))
        with eval_mode(self.model), torch.no_grad():
            found = self.task.tensors(self.task.forward(self.model, first)).values()
        return all(bool(torch.isfinite(tensor).all()) for tensor in found if tensor.is_floating_point())


def _weight(model: nn.Module, name: str) -> Tensor:
    """Return the weight of a layer, as a parameter."""
    return model.get_parameter(weight_name(model, name))


def _optimizer(model: nn.Module, course: Course) -> torch.optim.Optimizer:
    """Return a fresh optimizer; weights decay, biases and norms do not."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": course.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if course.optimizer == "adam":
        return torch.optim.Adam(groups, lr=0.0, betas=(course.momentum, 0.999))
    return torch.optim.SGD(groups, lr=0.0, momentum=course.momentum, nesterov=course.momentum > 0)


Report = Callable[[Epoch], object]
"""What is told of each epoch."""

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
