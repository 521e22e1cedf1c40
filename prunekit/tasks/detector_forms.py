"""Forms of detectors: how a model is run, trained and read, whatever library it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from prunekit.errors import DataError, ModelError
from prunekit.statistics.ranking import MOST, OVERLAP, SCORE
from prunekit.tasks.base import PLAIN
from prunekit.tasks.batch import Batch
from prunekit.tasks.detection_loss import dense_loss, pairwise_giou

CANDIDATES = 400
"""So many of the best scores of a picture take part in the choice."""
SCORES, BOXES, POINTS = "scores", "boxes", "points"


@dataclass(frozen=True, eq=False)
class Detections:
    """What a model found in one picture, the surest first."""

    boxes: Tensor  # [n, 4]: corners x1, y1, x2, y2 in pixels of the picture as the model gets it
    scores: Tensor  # [n]
    labels: Tensor  # [n]: classes from 0


class DetectorForm(Protocol):
    """One way in which detectors answer."""

    def fits(self, model: nn.Module) -> bool:
        """Whether a model is of this form."""

    def reads(self, output: Any) -> bool:
        """Whether an output is one that `forward` gives."""

    def forward(self, model: nn.Module, batch: Batch) -> Any:
        """Return what evaluation and training read: with what the loss needs where gradients are on or the model trains."""

    def heads(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return tensors from before any decision that depends on values: what is traced, proved and exported."""

    def loss(self, output: Any, batch: Batch) -> Tensor:
        """Return the scalar that training makes small."""

    def distance(self, output: Any, teacher: Any, batch: Batch, temperature: float) -> Tensor:
        """Return how far a student's output is from a teacher's."""

    def detections(self, output: Any, batch: Batch) -> list[Detections]:
        """Return what is found in each picture."""


class PlainForm:
    """A model that returns a dict with ``scores``, logits [pictures, places, classes], and ``boxes`` [pictures, places, 4].

    Boxes are corners in pixels, and nothing is decided yet. A model whose method ``points(height, width)`` says where in a picture each
    place is, [places, 2], is trained with these places; for any other the centres of its boxes serve. One with a method
    ``loss(output, targets)`` is trained by that.
    """

    def fits(self, model: nn.Module) -> bool:
        """Whether a model is of this form: what no other form knows is taken to be."""
        return True

    def reads(self, output: Any) -> bool:
        """Whether an output is a mapping with scores and boxes."""
        return isinstance(output, Mapping) and {SCORES, BOXES} <= set(output)

    def forward(self, model: nn.Module, batch: Batch) -> Any:
        """Return the model's answer; for training with its places, or its own loss."""
        output = PLAIN.forward(model, batch)
        if not self.reads(output):
            kind = f"a mapping with {', '.join(map(str, output))}" if isinstance(output, Mapping) else f"a {type(output).__name__}"
            raise ModelError(
                f"a detector must return a dict with two tensors, scores: logits (no sigmoid yet) [pictures, places, classes], and boxes: "
                f"[pictures, places, 4], corners in pixels; this one returns {kind}. Is it a detector?"
            )
        _checked(output, batch)
        if not torch.is_grad_enabled():
            return output
        own = getattr(model, "loss", None)
        if callable(own) and batch.targets is not None:
            return {**output, "loss": own(output, batch.targets)}
        places = getattr(model, POINTS, None)
        if not callable(places):
            return output
        height, width = next(tensor for _, tensor in batch.named_tensors() if tensor.ndim == 4).shape[-2:]
        return {**output, POINTS: places(height, width).to(output[BOXES])}

    def heads(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return scores and boxes of every place."""
        return dict(PLAIN.forward(model, batch))

    def loss(self, output: Any, batch: Batch) -> Tensor:
        """Return the model's own loss, or that of dense detectors without anchors."""
        if "loss" in output:
            own: Tensor = output["loss"]
            return own
        scores, boxes = (output[name].float() for name in (SCORES, BOXES))
        targets = objects_of(batch, scores.shape[2])
        points = output.get(POINTS)
        if points is None:
            points = (boxes[..., :2] + boxes[..., 2:]).detach() / 2
        return dense_loss(scores, boxes, points.to(boxes), targets)

    def distance(self, output: Any, teacher: Any, batch: Batch, temperature: float) -> Tensor:
        """Return cross-entropy to the teacher's softened scores and generalised IoU where it is sure, for each object that it sees."""
        (own, boxes), (theirs, others) = ((each[SCORES].float(), each[BOXES].float()) for each in (output, teacher))
        if own.shape != theirs.shape:
            raise ModelError(f"the teacher scores {list(theirs.shape)} places and classes, the model {list(own.shape)}: they must be alike")
        sure = theirs.sigmoid()
        soft = (theirs / temperature).sigmoid()
        apart = functional.binary_cross_entropy_with_logits(own / temperature, soft, reduction="sum")
        least = functional.binary_cross_entropy(soft, soft, reduction="sum")
        weight = sure.amax(2).flatten()
        overlap = ((1 - pairwise_giou(boxes.flatten(0, 1), others.flatten(0, 1))) * weight).sum()
        distance: Tensor = ((apart - least) * temperature**2 + overlap) / weight.sum().clamp_min(1)
        return distance

    def detections(self, output: Any, batch: Batch) -> list[Detections]:
        """Return the surest boxes of each picture, without those that overlap a better one of their class."""
        scores, boxes = (output[name].detach().float() for name in (SCORES, BOXES))
        return [chosen(each, own) for each, own in zip(scores.sigmoid(), boxes, strict=True)]


def chosen(scores: Tensor, boxes: Tensor) -> Detections:
    """Return the detections among places of one picture: scores [places, classes] from 0 to 1, boxes [places, 4]."""
    from torchvision.ops import batched_nms  # noqa: PLC0415 (slow to import)

    best = scores.flatten().topk(min(CANDIDATES, scores.numel()))
    there = best.indices[best.values >= SCORE]
    places, labels = there // scores.shape[1], there % scores.shape[1]
    values, found = best.values[: len(there)], boxes[places]
    kept = batched_nms(found, values, labels, OVERLAP)[:MOST]
    return Detections(found[kept], values[kept], labels[kept])


LIKELY_NONE = 0.1
"""Most places of a picture show nothing: half of a detector's probabilities are below this."""
CORNERS = "give corners x1, y1, x2, y2 in pixels of the picture"


def _checked(output: Mapping[str, Tensor], batch: Batch) -> None:
    """Refuse scores and boxes that do not belong together, or that are in another form than they must be."""
    scores, boxes = output[SCORES], output[BOXES]
    if scores.ndim != 3 or boxes.shape != (*scores.shape[:2], 4):
        raise ModelError(
            f"scores must be [pictures, places, classes] and boxes [pictures, places, 4] of the same places; got {list(scores.shape)} "
            f"and {list(boxes.shape)}"
        )
    if not (scores.is_floating_point() and boxes.is_floating_point()):
        raise ModelError(f"scores and boxes must be floating numbers; got {scores.dtype} and {boxes.dtype}")
    if scores.numel():
        _in_form(scores.detach().float(), boxes.detach().float(), batch)


def _in_form(scores: Tensor, boxes: Tensor, batch: Batch) -> None:
    """Refuse probabilities in place of logits, and boxes that are no corners in pixels."""
    least, most = (float(each) for each in scores.aminmax())
    if least >= 0 and most <= 1 and least < most and float(scores.median()) < LIKELY_NONE:
        raise ModelError(
            f"the detector's scores lie between {least:.2g} and {most:.2g}, as probabilities do: return logits, from before the sigmoid"
        )
    low, high = boxes[..., :2], boxes[..., 2:]
    if float((high <= low).any(-1).float().mean()) > 0.5 and float((high > 0).all(-1).float().mean()) > 0.5:
        raise ModelError(f"most of the detector's boxes end before they begin, as boxes of a place and a size do: {CORNERS}")
    side = min((min(each.shape[-2:]) for _, each in batch.named_tensors() if each.ndim == 4), default=0)
    if side > 8 and float(boxes.abs().max()) <= 2 and float((high > low).all(-1).float().mean()) > 0.5:
        raise ModelError(f"the detector's boxes are all below 2, as shares of the picture are: {CORNERS}")


def check_classes(output: Any, classes: int) -> None:
    """Raise where an answer scores another number of classes than the data have."""
    found = output[SCORES].shape[2] if PlainForm().reads(output) else classes
    if found != classes:
        raise ModelError(
            f"the detector scores {found} classes, and the data have {classes}, counted from 0: choose data with the same classes, or let "
            "the model score those of the data alone"
        )


def objects_of(batch: Batch, classes: int = 0) -> list[dict[str, Tensor]]:
    """Return the targets of a batch, a mapping for each picture, checked."""
    targets = batch.targets
    if isinstance(targets, Mapping):  # as many in each picture, so that they were stacked
        targets = [{name: each[row] for name, each in targets.items()} for row in range(batch.samples)]
    if not isinstance(targets, Sequence) or len(targets) != batch.samples:
        raise DataError(f"need a mapping with boxes and labels for each of {batch.samples} pictures; got {type(targets).__name__}")
    return [_objects(target, classes) for target in targets]


def _objects(target: Any, classes: int) -> dict[str, Tensor]:
    """Return the objects of one picture, checked."""
    if not isinstance(target, Mapping) or not {"boxes", "labels"} <= set(target):
        got = f"a mapping with {', '.join(map(str, target))}" if isinstance(target, Mapping) else f"a {type(target).__name__}"
        raise DataError(f"the target of a picture must be a mapping with boxes [n, 4] and labels [n]; got {got}")
    found = {name: torch.as_tensor(value) for name, value in target.items()}
    boxes, labels = found["boxes"].reshape(-1, 4), found["labels"].reshape(-1).long()
    if len(boxes) != len(labels):
        raise DataError(f"a picture has {len(boxes)} boxes and {len(labels)} labels: each box needs one")
    if len(boxes) and float(boxes.max()) <= 1:
        raise DataError(f"the box {boxes[0].tolist()} lies within one pixel, as shares of a picture do: {CORNERS}")
    flat = (boxes[:, 2:] <= boxes[:, :2]).any(1)
    if bool(flat.any()):
        raise DataError(f"the box {boxes[flat][0].tolist()} has no area: boxes are corners x1, y1, x2, y2 with x1 < x2 and y1 < y2")
    if len(labels) and (int(labels.min()) < 0 or (classes and int(labels.max()) >= classes)):
        wrong = int(labels.min()) if int(labels.min()) < 0 else int(labels.max())
        raise DataError(
            f"an object has the label {wrong}, and the model knows {classes} classes, 0 to {classes - 1}: correct the label, or choose "
            "data with the same classes"
        )
    return found | {"boxes": boxes, "labels": labels}
