"""Detectors of transformers (DETR, RT-DETR, D-FINE, YOLOS and alike): a set of boxes with scores, learned by matching it to the objects."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from prunekit.errors import ModelError
from prunekit.statistics.ranking import MOST, SCORE
from prunekit.tasks.batch import Batch
from prunekit.tasks.detector_forms import Detections, objects_of

LOGITS, BOXES = "logits", "pred_boxes"


@dataclass(frozen=True, eq=False)
class SetOfBoxes:
    """What such a detector gives: ``logits`` [N, queries, classes], ``boxes`` [N, queries, 4] (middle and size, of 1), its own loss.

    ``background`` says that the last class is no object, and scores are shares.
    """

    logits: Tensor
    boxes: Tensor
    background: bool
    loss: Tensor | None = None


class TransformersForm:
    """Models of transformers for object detection. Pictures are a tensor [N, 3, H, W], or what else they take by keyword."""

    def fits(self, model: nn.Module) -> bool:
        """Whether a model is one of them."""
        return "transformers" in sys.modules and type(model).__name__.endswith("ForObjectDetection") and hasattr(model, "config")

    def reads(self, output: Any) -> bool:
        """Whether an output is one that `forward` gives."""
        return isinstance(output, SetOfBoxes)

    def heads(self, model: Any, batch: Batch) -> dict[str, Tensor]:
        """Return scores and boxes of every query: what is kept inside beside them is no answer."""
        found = model(*batch.args, **batch.kwargs)
        return {name: found[name] for name in (LOGITS, BOXES)}

    def forward(self, model: Any, batch: Batch) -> SetOfBoxes:
        """Return scores and boxes; where gradients are on and targets are known, with the model's own loss, which needs scipy."""
        focal = bool(getattr(model.config, "use_focal_loss", False))
        if batch.targets is None or not torch.is_grad_enabled():
            found = model(*batch.args, **batch.kwargs)
            return SetOfBoxes(found[LOGITS], found[BOXES], not focal)
        high, wide = next(tensor for _, tensor in batch.named_tensors() if tensor.ndim == 4).shape[-2:]
        labels = []
        for each in objects_of(batch, int(model.config.num_labels)):
            boxes = each["boxes"] / each["boxes"].new_tensor([wide, high, wide, high])
            middle, size = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
            labels.append({"class_labels": each["labels"], "boxes": torch.cat((middle, size), 1)})
        found = model(*batch.args, **batch.kwargs, labels=labels)
        return SetOfBoxes(found[LOGITS], found[BOXES], not focal, found["loss"])

    def loss(self, output: SetOfBoxes, batch: Batch) -> Tensor:
        """Return the model's own loss."""
        if output.loss is None:
            raise ModelError("this detector computes its loss itself: run it with gradients on, on pictures with their boxes")
        return output.loss

    def distance(self, output: SetOfBoxes, teacher: SetOfBoxes, batch: Batch, temperature: float) -> Tensor:
        """Return how far the scores and boxes of each query are from the teacher's, softened; boxes where the teacher is sure."""
        if output.logits.shape != teacher.logits.shape:
            raise ModelError(f"the teacher answers {list(teacher.logits.shape)} queries and classes, the model {list(output.logits.shape)}")
        own, theirs = output.logits.float() / temperature, teacher.logits.float() / temperature
        if output.background:
            apart = functional.kl_div(own.log_softmax(-1), theirs.log_softmax(-1), reduction="none", log_target=True).sum(-1).mean()
        else:
            soft = theirs.sigmoid()
            each = (functional.binary_cross_entropy_with_logits(x, soft, reduction="none") for x in (own, theirs))
            apart = (next(each) - next(each)).sum(-1).mean()
        sure = _scores(teacher).amax(-1, keepdim=True)
        return apart * temperature**2 + (sure * (output.boxes - teacher.boxes).abs()).sum() / sure.sum().clamp_min(1e-6)

    def detections(self, output: SetOfBoxes, batch: Batch) -> list[Detections]:
        """Return the surest boxes of each picture in pixels; a set needs no suppression."""
        high, wide = next(tensor for _, tensor in batch.named_tensors() if tensor.ndim == 4).shape[-2:]
        found = []
        for scores, boxes in zip(_scores(output).detach(), output.boxes.detach().float(), strict=True):
            corners = torch.cat((boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2), 1)
            best = scores.flatten().topk(min(MOST, scores.numel()))
            there = best.indices[best.values >= SCORE]
            places, labels = there // scores.shape[1], there % scores.shape[1]
            found.append(Detections(corners[places] * corners.new_tensor([wide, high, wide, high]), best.values[: len(there)], labels))
        return found


def _scores(output: SetOfBoxes) -> Tensor:
    """Return scores from 0 to 1 of all classes that are objects."""
    return output.logits.float().softmax(-1)[..., :-1] if output.background else output.logits.float().sigmoid()
