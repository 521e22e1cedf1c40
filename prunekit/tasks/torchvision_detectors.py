"""torchvision's detectors: what they compute before they choose boxes by score, their own losses, and what they find.

Faster R-CNN proposes boxes by score, and its other heads read the features under these. What is traced, proved and exported (`heads`) is
every head's tensor instead, those behind the proposals on fixed boxes: which boxes are proposed, and every choice behind a threshold or
non-maximum suppression, depends on values.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from prunekit.errors import ModelError
from prunekit.tasks.batch import Batch
from prunekit.tasks.detector_forms import Detections, objects_of

PACKAGE = "torchvision.models.detection."
BOXES = 4  # fixed boxes of a picture where values are computed; where operations are counted, as many as the model keeps
TRAINED = 100  # proposals of a picture that are looked at while training
EXTRAS = {"masks": "mask_roi_pool", "keypoints": "keypoint_roi_pool"}  # what targets may hold -> without which module its head is left out


class TorchvisionForm:
    """Faster, Mask and Keypoint R-CNN, RetinaNet, FCOS and SSD; pictures are a tensor [N, 3, H, W] or a list of tensors [3, H, W].

    The first output of R-CNN and SSD is the background, so label 0 of the data is the second one. RetinaNet and FCOS have none, unless the
    model's attribute ``first_label`` says 1. Norms and dropout stay in the mode that they are in while losses are computed.
    """

    def fits(self, model: nn.Module) -> bool:
        """Return whether a model is one of them, or of a class derived from theirs."""
        return PACKAGE.rstrip(".") in sys.modules and isinstance(model, _classes())

    def heads(self, model: Any, batch: Batch) -> dict[str, Tensor]:
        """Return the tensors of all heads, each with an entry for each sample, before anything is chosen."""
        images, size = _pictures(model, batch)
        features = model.backbone(images)
        features = {"0": features} if isinstance(features, Tensor) else features
        levels = list(features.values())
        if not hasattr(model, "roi_heads"):
            return dict(model.head(levels))
        scores, moves = model.rpn.head(levels)
        found = {f"objectness.{i}": each for i, each in enumerate(scores)} | {f"proposals.{i}": each for i, each in enumerate(moves)}
        roi, n = model.roi_heads, len(images)
        sizes = size if isinstance(size, list) else [size] * n
        boxes = _fixed(images, sizes, model.rpn.post_nms_top_n())
        found["class_logits"], found["box_regression"] = roi.box_predictor(roi.box_head(roi.box_roi_pool(features, boxes, sizes)))
        boxes = _fixed(images, sizes, roi.detections_per_img)
        for kind, pool in EXTRAS.items():
            part = pool.partition("_")[0]
            if learns(model, kind):
                read = getattr(roi, f"{part}_head")(getattr(roi, pool)(features, boxes, sizes))
                found[kind] = getattr(roi, f"{part}_predictor")(read)
        return {name: each if "." in name else each.unflatten(0, (n, -1)) for name, each in found.items()}  # what is read under boxes

    def reads(self, output: Any) -> bool:
        """Whether an output is one that `forward` gives."""
        return isinstance(output, Answer)

    def forward(self, model: Any, batch: Batch) -> Answer:
        """Return what a model finds; where gradients are on and targets are known, its losses too."""
        images, first = list(batch.args[0]), _first_label(model)
        teaching = torch.is_grad_enabled() and batch.targets is not None
        targets = [{**each, "labels": each["labels"] + first} for each in objects_of(batch)] if teaching else None
        with _switched(model, training=teaching), _without_heads(model, targets or []), _Seen(model) as seen:
            made = model(images, targets)
        with torch.no_grad(), _switched(model, training=False):
            found = [_detections(each, first) for each in (seen.detections(images) if teaching else made)]
        return Answer(found, made if teaching else {}, seen.levels, seen.same)

    def loss(self, output: Answer, batch: Batch) -> Tensor:
        """Return the sum of a model's own losses."""
        if not output.losses:
            raise ModelError("this detector computes its losses itself: run it with gradients on, on pictures with their boxes")
        return torch.stack([each.reshape(()) for each in output.losses.values()]).sum()

    def distance(self, output: Answer, teacher: Answer, batch: Batch, temperature: float) -> Tensor:
        """Return how far a student's attention to places is from its teacher's, and what its dense heads give.

        Of features, whose widths differ, the energy of each place is compared, the levels' being of length one (Zagoruyko and Komodakis
        2017, arXiv:1612.03928); of scores and boxes the mean square.
        """
        apart = [(_attention(a) - _attention(b)).square().sum(1).mean() for a, b in zip(output.levels, teacher.levels, strict=True)]
        apart += [functional.mse_loss(a, b) for a, b in zip(output.same, teacher.same, strict=True)]
        return torch.stack(apart).mean()

    def detections(self, output: Answer, batch: Batch) -> list[Detections]:
        """Return what is found in each picture, as the model itself chooses it."""
        return output.found


@dataclass(frozen=True, eq=False)
class Answer:
    """What a detector of torchvision gives."""

    found: list[Detections]
    losses: dict[str, Tensor]  # its own, while it learns
    levels: list[Tensor]  # [N, C, H, W]: features under the heads
    same: list[Tensor]  # what the heads give for every place, in shapes that do not depend on widths


def learns(model: nn.Module, kind: str) -> bool:
    """Return whether a model has a head that learns from ``masks`` or ``keypoints`` of objects."""
    return getattr(getattr(model, "roi_heads", None), EXTRAS[kind], None) is not None


def _first_label(model: nn.Module) -> int:
    """Return which output of a model is label 0 of the data."""
    told = getattr(model, "first_label", None)
    return told if isinstance(told, int) else int(hasattr(model, "roi_heads") or type(model).__name__.startswith("SSD"))


def _detections(found: dict[str, Tensor], first: int) -> Detections:
    """Return what was found in a picture, with labels from 0 and without what is none of the data's classes."""
    kept = found["labels"] >= first
    return Detections(found["boxes"][kept], found["scores"][kept], found["labels"][kept] - first)


def _attention(features: Tensor) -> Tensor:
    """Return the energy of each place over all channels, of length one for each picture."""
    return functional.normalize(features.float().square().mean(1).flatten(1))


def _classes() -> tuple[type, ...]:
    """Return the classes of torchvision whose parts are known."""
    from torchvision.models.detection.fcos import FCOS  # noqa: PLC0415 (only where one of them is at hand)
    from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN  # noqa: PLC0415
    from torchvision.models.detection.retinanet import RetinaNet  # noqa: PLC0415
    from torchvision.models.detection.ssd import SSD  # noqa: PLC0415

    return GeneralizedRCNN, RetinaNet, FCOS, SSD


def _pictures(model: Any, batch: Batch) -> tuple[Tensor, tuple[int, int] | list[tuple[int, int]]]:
    """Return pictures as the backbone reads them, and the size of all or of each before it was padded."""
    given = batch.args[0]
    if not isinstance(given, Tensor):
        made, _ = model.transform(list(given))
        return made.tensors, made.image_sizes
    # all at once: the number of samples stays open for whoever traces this
    change = model.transform
    planes = given.shape[1]
    wide, _ = change.resize(change.normalize(given).flatten(0, 1), None)
    images, (high, across) = wide.unflatten(0, (-1, planes)), wide.shape[-2:]
    by = change.size_divisible
    return functional.pad(images, (0, -across % by, 0, -high % by)), (high, across)


def _fixed(images: Tensor, sizes: list[tuple[int, int]], most: int) -> list[Tensor]:
    """Return boxes around the middle of each picture, from small ones to the whole of it."""
    many = most if images.is_meta else min(most, BOXES)
    share = (torch.arange(many, device=images.device, dtype=images.dtype) + 1) / many
    low, high = (1 - share) / 2, (1 + share) / 2
    return [torch.stack((low * wide, low * tall, high * wide, high * tall), 1) for tall, wide in sizes]


@contextmanager
def _switched(model: nn.Module, *, training: bool) -> Iterator[None]:
    """Let a detector and its parts compute losses, or choose boxes; norms, dropout and the size of pictures keep the mode they are in."""
    parts = [part for part in (model, getattr(model, "rpn", None), getattr(model, "roi_heads", None)) if part is not None]
    before = [part.training for part in parts]
    try:
        for part in parts:
            part.training = training
        yield
    finally:
        for part, mode in zip(parts, before, strict=True):
            part.training = mode


@contextmanager
def _without_heads(model: Any, targets: list[dict[str, Tensor]]) -> Iterator[None]:
    """Leave the heads out that targets have nothing to teach."""
    roi = getattr(model, "roi_heads", None)
    idle = [pool for kind, pool in EXTRAS.items() if learns(model, kind) and not all(kind in each for each in targets)]
    held = {pool: getattr(roi, pool) for pool in idle}
    try:
        for pool in held:
            setattr(roi, pool, None)
        yield
    finally:
        for pool, module in held.items():
            setattr(roi, pool, module)


class _Seen:
    """What the parts of a detector gave during one pass, of which detections are made without another one."""

    def __init__(self, model: Any) -> None:
        self.model, self.given = model, dict[str, Any]()
        self._hooks: list[Any] = []

    def __enter__(self) -> _Seen:
        """Listen."""
        rpn = getattr(self.model, "rpn", None)
        parts = {name: getattr(self.model, name, None) for name in ("transform", "backbone", "rpn", "head", "anchor_generator")}
        for name, part in (parts if rpn is None else {**parts, "head": rpn.head}).items():
            if isinstance(part, nn.Module):

                def note(_m: nn.Module, _a: Any, out: Any, name: str = name) -> None:
                    self.given[name] = out

                self._hooks.append(part.register_forward_hook(note))
        return self

    def __exit__(self, *_: object) -> None:
        """Listen no more."""
        for hook in self._hooks:
            hook.remove()

    @property
    def levels(self) -> list[Tensor]:
        """The features under the heads."""
        features = self.given["backbone"]
        return [features] if isinstance(features, Tensor) else list(features.values())

    @property
    def same(self) -> list[Tensor]:
        """What the heads give for every place."""
        made = self.given["head"]
        return list(made.values()) if isinstance(made, dict) else [each for part in made for each in part]

    def detections(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        """Return what the model found, in pixels of the pictures as they came."""
        model, given = self.model, self.given
        sizes, features = given["transform"][0].image_sizes, given["backbone"]
        if hasattr(model, "roi_heads"):
            boxes = [each[:TRAINED].detach() for each in given["rpn"][0]]
            found = model.roi_heads({"0": features} if isinstance(features, Tensor) else features, boxes, sizes)[0]
        else:
            heads, anchors = {name: each.detach() for name, each in given["head"].items()}, given["anchor_generator"]
            if not type(model).__name__.startswith("SSD"):
                cells = [each.shape[-2] * each.shape[-1] for each in self.levels]
                each_cell = heads["cls_logits"].shape[1] // sum(cells)
                counts = [count * each_cell for count in cells]
                heads = {name: list(each.split(counts, 1)) for name, each in heads.items()}
                anchors = [list(each.split(counts)) for each in anchors]
            found = model.postprocess_detections(heads, anchors, sizes)
        return list(model.transform.postprocess(found, sizes, [tuple(each.shape[-2:]) for each in images]))
