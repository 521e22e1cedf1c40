"""The training loop: one owned model, its images, and a course that says everything else."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunekit.evaluation.batches import eval_mode
from prunekit.models.running import checked_labels, raw_scores
from prunekit.models.state import tensor_state
from prunekit.training.images import TrainingImages
from prunekit.training.train_config import Course, steps_of
from sample_models.teaching import taught_loss


class Loop:
    """A model in training; it is owned, and changes.

    Parameters
    ----------
    model : nn.Module
        Written to.
    images : TrainingImages
        What is learned from.
    course : Course
        How.
    masks : mapping of str to BoolTensor, optional
        Layer name to mask; weights where it is False are held at zero.
    """

    def __init__(self, model: nn.Module, images: TrainingImages, course: Course, masks: Mapping[str, Tensor] | None = None) -> None:
        flat = any(isinstance(module, nn.Conv2d) for module in model.modules())
        self.layout = torch.channels_last if flat else torch.contiguous_format
        self.model, self.images, self.course = model.to(memory_format=self.layout), images, course
        for parameter in model.parameters():
            parameter.requires_grad_(parameter.is_floating_point())
        self.held = [(_weight(model, name), ~mask.to(_weight(model, name).device)) for name, mask in (masks or {}).items()]
        self.optimizer = _optimizer(model, course)
        self.steps = steps_of(len(images), course.batch_size)
        self.hold()

    def hold(self) -> None:
        """Set what the masks remove to zero."""
        with torch.no_grad():
            for weight, gone in self.held:
                weight.masked_fill_(gone, 0)

    def epoch(self, index: int, tick: Callable[[float], None]) -> tuple[float, float] | None:
        """Pass once over the images and return mean loss and accuracy, or None as soon as the loss is not finite."""
        course = self.course
        generator = torch.Generator().manual_seed((course.seed * 100_003 + course.first + index) % 2**63)
        size = min(course.batch_size, len(self.images))
        order = torch.randperm(len(self.images), generator=generator)[: self.steps * size]
        self.model.train()
        total, right = 0.0, 0
        for step, take in enumerate(torch.split(order, size)):
            tick(step / self.steps)
            loss, hits = self.step(take, index, course.rates[index * self.steps + step], generator)
            if not math.isfinite(loss):
                return None
            total, right = total + loss, right + hits
        self.model.eval()
        return total / self.steps, right / len(order)

    def step(self, take: Tensor, index: int, rate: float, generator: torch.Generator) -> tuple[float, int]:
        """Take one step on some images; return the loss and how many were right. A loss that is not finite moves nothing."""
        loss, hits = self._loss(take, index, generator)
        value = float(loss.detach())
        if not math.isfinite(value):
            return value, 0
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for weight, gone in self.held:
            if weight.grad is not None:
                weight.grad.masked_fill_(gone, 0)
        self.optimizer.step()
        self.hold()  # whatever an optimizer remembers or adds, nothing comes back
        return value, hits

    def _loss(self, take: Tensor, index: int, generator: torch.Generator) -> tuple[Tensor, int]:
        """Return the loss of one batch and how many of it are right."""
        course = self.course
        x = course.augmentation.apply(self.images.take(take), self.images.fill, generator)
        size, until = course.small
        if index < until:
            x = F.interpolate(x, size=(size, size), mode="bilinear", antialias=True)
        x = x.contiguous(memory_format=self.layout) if x.dim() == 4 else x
        scores = raw_scores(self.model, x, self.images.classes)
        y = checked_labels(self.images.labels[take], scores)
        hits = int((scores.detach().argmax(1) == y).sum())
        if course.teacher is None or course.teaching is None:
            return F.cross_entropy(scores, y, label_smoothing=course.smoothing), hits
        with torch.no_grad():
            soft = F.softmax(raw_scores(course.teacher, x, self.images.classes) / course.teaching.temperature, dim=1)
        return taught_loss(scores, y, soft, course.teaching), hits

    def works(self) -> bool:
        """Return whether the model still gives finite numbers."""
        if not all(bool(torch.isfinite(tensor).all()) for tensor in tensor_state(self.model).values() if tensor.is_floating_point()):
            return False
        first = self.images.take(torch.arange(min(2, len(self.images))))
        with eval_mode(self.model), torch.no_grad():
            return bool(torch.isfinite(raw_scores(self.model, first, self.images.classes)).all())


def _weight(model: nn.Module, name: str) -> Tensor:
    """Return the weight of a layer, as a parameter."""
    weight = model.get_submodule(name).weight
    assert isinstance(weight, Tensor)
    return weight


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
