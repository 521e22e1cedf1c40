"""The loss of dense detectors without anchors: task-aligned assignment, cross-entropy of soft scores and generalised IoU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

ALIGNED, SHARPNESS, CANDIDATES = 1.0, 6.0, 10
"""Powers of score and IoU in the alignment of a place with an object, and how many places an object gets at most (Feng et al. 2021)."""
BOXES = 2.0
"""Weight of boxes beside scores."""
TINY = 1e-9


def pairwise_giou(a: Tensor, b: Tensor) -> Tensor:
    """Return the generalised IoU of boxes row by row, [n] (Rezatofighi et al. 2019)."""
    from torchvision.ops import box_area  # noqa: PLC0415 (slow to import, and most processes never see a box)

    low, high = torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:])
    shared = (high - low).clamp_min(0).prod(1)
    union = box_area(a) + box_area(b) - shared
    around = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(1)
    giou: Tensor = shared / union.clamp_min(TINY) - (around - union) / around.clamp_min(TINY)
    return giou


@torch.no_grad()
def assigned(scores: Tensor, boxes: Tensor, points: Tensor, target: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Assign places of one picture to objects.

    ``scores`` [places, classes]: logits; ``boxes`` [places, 4]; ``points`` [places, 2]: where each place is in the picture; ``target``:
    ``boxes`` [objects, 4] and ``labels`` [objects]. Which places got an object, which object each of these got, and the score it should
    have for that object's class, 0 to 1.
    """
    from torchvision.ops import box_iou  # noqa: PLC0415 (slow to import)

    wanted, labels = target["boxes"].to(boxes.dtype), target["labels"]
    iou = box_iou(wanted, boxes).nan_to_num()  # [objects, places]
    x, y = points[None, :, 0], points[None, :, 1]
    inside = (x > wanted[:, :1]) & (x < wanted[:, 2:3]) & (y > wanted[:, 1:2]) & (y < wanted[:, 3:])
    centre = (wanted[:, :2] + wanted[:, 2:]) / 2
    nearest = torch.cdist(centre, points.to(centre.dtype)).argmin(1, keepdim=True)
    inside = inside.scatter(1, nearest, True)  # an object between all places keeps one
    aligned = scores.sigmoid().T[labels] ** ALIGNED * iou**SHARPNESS + TINY
    best = (aligned * inside).topk(min(CANDIDATES, aligned.shape[1]), dim=1)
    chosen = torch.zeros_like(inside).scatter(1, best.indices, best.values > 0)
    taken = torch.where(chosen, iou, -1.0).max(0)  # of several objects a place gets the one that it overlaps most
    places = (taken.values >= 0).nonzero()[:, 0]
    objects = taken.indices[places]
    chosen = torch.zeros_like(chosen)
    chosen[objects, places] = True
    strength = torch.where(chosen, aligned, 0.0)
    most = (iou * chosen).amax(1) / strength.amax(1).clamp_min(TINY)
    return places, objects, (strength * most[:, None])[objects, places]


def dense_loss(scores: Tensor, boxes: Tensor, points: Tensor, targets: Sequence[Mapping[str, Tensor]]) -> Tensor:
    """Return the loss of scores [pictures, places, classes] and boxes [pictures, places, 4], summed over places, for each object.

    Where the places are, ``points``, is [places, 2] or differs from picture to picture, [pictures, places, 2].

    Feng et al. 2021, TOOD: task-aligned one-stage object detection; Rezatofighi et al. 2019, Generalized intersection over union.
    """
    wanted, overlap = torch.zeros_like(scores), scores.new_zeros(())
    points = points.expand(*boxes.shape[:2], 2)
    for row, target in enumerate(targets):
        alone = ~target.get("crowd", torch.zeros_like(target["labels"])).bool()
        there = {name: target[name][alone] for name in ("boxes", "labels")}
        if not len(there["labels"]):
            continue
        places, objects, share = assigned(scores[row], boxes[row], points[row], there)
        wanted[row, places, there["labels"][objects]] = share.to(scores.dtype)
        apart = 1 - pairwise_giou(boxes[row, places], there["boxes"][objects].to(boxes.dtype))
        overlap = overlap + (apart * share).sum()
    total = wanted.sum().clamp_min(1)
    return (functional.binary_cross_entropy_with_logits(scores, wanted, reduction="sum") + BOXES * overlap) / total
