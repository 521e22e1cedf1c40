"""Object detection: which objects a picture holds and where, judged by average precision (COCO's)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from prunekit.errors import DataError, ModelError
from prunekit.statistics.bootstrap import Weighted
from prunekit.statistics.ranking import BITS, MOST, OVERLAP, SCORE, SIZES, AveragePrecision, matched
from prunekit.tasks.base import BaseTask
from prunekit.tasks.metrics import PERCENT, Metric
from prunekit.tasks.observations import Observations
from prunekit.tasks.shown import Boxes, Reader, Shown, named

if TYPE_CHECKING:
    from torch import Tensor, nn

    from prunekit.tasks.batch import Batch
    from prunekit.tasks.detector_forms import Detections
    from sample_models.augment import Move, Shrink

COCO_AREAS = (32.0**2, 96.0**2)
"""Areas in pixels up to which COCO counts an object as small and as medium."""
DRAWN = 0.3
"""Detections of a lower score are measured, and not drawn."""


def _precision(seen: Observations, size: str = "all") -> AveragePrecision:
    """Return what average precision is computed from."""
    hits, wanted = seen[f"hit_{size}"].astype(np.int64), seen[f"target_{size}"]
    return AveragePrecision(seen["score"], seen["class"], hits, wanted)


def _figure(size: str, *, half: bool = False) -> Weighted:
    """Return mean average precision of objects of a size, at IoU 0.5 or over ten thresholds."""
    return Weighted(lambda seen, weights: _precision(seen, size).mean(weights, slice(0, 1) if half else slice(None)))


def precision_of(k: int, name: str = "") -> Metric:
    """Return the metric "average precision of class ``k`` at IoU 0.5": undefined where there is no object of it."""
    figure = Weighted(lambda seen, weights: _precision(seen).by_class(weights, slice(0, 1), (k,))[:, k, 0])
    return Metric(f"ap_50.{k}", f"AP@50 of {name or f'class {k}'}", figure, PERCENT)


UNLABELLED = "none of their pictures holds an object that is to be found"
MAP50 = Metric("map_50", "mAP@50", _figure("all", half=True), PERCENT, needs=UNLABELLED)
MAP = Metric("map", "mAP@[.5:.95]", _figure("all"), PERCENT, needs=UNLABELLED)
BY_SIZE = tuple(Metric(f"map_{size}", f"mAP@[.5:.95], {size} objects", _figure(size), PERCENT) for size in SIZES[1:])


@dataclass(frozen=True)
class ObjectDetection(BaseTask):
    """Boxes around the objects of a picture, each with its class and a score.

    Targets are a mapping for each picture: ``boxes`` [n, 4], corners in pixels, ``labels`` [n] from 0, and where the data say so ``crowd``
    [n] and ``area`` [n]. Detections are those of score 0.01 or more, at most 100 a picture; of two of one class that overlap by an IoU of
    more than 0.6 the surer one counts (`prunekit.tasks.detector_forms`).
    """

    classes: int = 0  # how many there are; 0 where the data have not said
    areas: tuple[float, float] = COCO_AREAS  # areas up to which objects count as small and as medium

    given_as = "coco:PATH"

    @property
    def identity(self) -> str:
        """The name, what counts as a detection, and areas that are not COCO's."""
        said = f"{self.name} score={SCORE} overlap={OVERLAP} most={MOST}"
        return said if self.areas == COCO_AREAS else f"{said} areas={self.areas!r}"

    def for_data(self, data: Any) -> ObjectDetection:
        """Return the task with the number of classes and the areas of sizes that data say."""
        classes = getattr(data, "classes", None) or 0
        split = next((part for part in (getattr(data, name, None) for name in ("test", "validation", "train")) if part is not None), data)
        areas = tuple(map(float, getattr(split, "areas", None) or self.areas))
        return replace(self, classes=classes if isinstance(classes, int) else len(classes), areas=(areas[0], areas[1]))

    def collate(self, samples: Any) -> Batch:
        """Return samples as one batch; objects stay a list with an entry for each picture."""
        from prunekit.tasks.batch import PerSample, collate  # noqa: PLC0415 (a task's name and metrics need no torch)

        targets = PerSample([target for _, target in samples])
        return replace(collate([(inputs, 0) for inputs, _ in samples]), targets=targets)

    def forward(self, model: nn.Module, batch: Batch) -> Any:
        """Return what the model makes of a batch, in the way of its form."""
        from prunekit.tasks.detectors import form_of  # noqa: PLC0415 (a task's name and metrics need no torch)

        return form_of(model).forward(model, batch)

    def heads(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return the tensors of an answer from before any decision that depends on values: what is traced, proved and exported."""
        from prunekit.tasks.detectors import form_of  # noqa: PLC0415 (a task's name and metrics need no torch)

        return form_of(model).heads(model, batch)

    def loss(self, output: Any, batch: Batch) -> Tensor:
        """Return the model's own loss, else that of dense detectors without anchors (`prunekit.tasks.detection_loss`)."""
        from prunekit.tasks.detectors import form_for  # noqa: PLC0415 (a task's name and metrics need no torch)

        return form_for(output).loss(output, batch)

    def distance(self, output: Any, teacher: Any, batch: Batch, temperature: float = 1.0) -> Tensor:
        """Return how far a student's scores and boxes are from its teacher's."""
        from prunekit.tasks.detectors import form_for  # noqa: PLC0415 (a task's name and metrics need no torch)

        return form_for(output).distance(output, teacher, batch, temperature)

    def detections(self, output: Any, batch: Batch) -> list[Detections]:
        """Return what is found in each picture, the surest first."""
        from prunekit.tasks.detectors import form_for  # noqa: PLC0415 (a task's name and metrics need no torch)

        return form_for(output).detections(output, batch)

    def observe(self, output: Any, batch: Batch) -> Observations:
        """Return what average precision needs of each picture.

        Columns ``score`` and ``class`` hold a place for each of 100 detections (score -1 where there is none), ``hit_SIZE`` at which of ten
        thresholds of IoU it hits an object of that size, or counts for nothing, as bits (`prunekit.statistics.ranking.matched`),
        and ``target_SIZE`` how many objects of each class there are to hit.
        """
        from prunekit.tasks.detector_forms import check_classes, objects_of  # noqa: PLC0415 (a task's name and metrics need no torch)

        if not self.classes:
            raise DataError("nobody says how many classes there are: give the data an attribute classes, with their names or number")
        check_classes(output, self.classes)
        n, sizes = batch.samples, len(SIZES)
        score, kind = np.full((n, MOST), -1.0), np.zeros((n, MOST))
        hits, wanted = np.zeros((sizes, n, MOST)), np.zeros((sizes, n, self.classes))
        ranges = np.array([(0, np.inf), (0, self.areas[0]), self.areas, (self.areas[1], np.inf)])
        for row, (found, target) in enumerate(zip(self.detections(output, batch), objects_of(batch, self.classes), strict=True)):
            own = {name: _plain(getattr(found, name))[:MOST] for name in ("boxes", "scores", "labels")}
            if not (np.isfinite(own["boxes"]).all() and np.isfinite(own["scores"]).all()):
                raise ModelError("the model's boxes hold NaN or infinity: its weights are damaged, or the inputs are out of range")
            objects = {name: _plain(value) for name, value in target.items() if name in ("boxes", "labels", "crowd", "area")}
            m = len(own["scores"])
            score[row, :m], kind[row, :m] = own["scores"], own["labels"]
            hits[:, row, :m], wanted[:, row] = matched(own, objects, ranges, self.classes)
        columns = {f"hit_{size}": hits[k] for k, size in enumerate(SIZES)} | {f"target_{size}": wanted[k] for k, size in enumerate(SIZES)}
        return Observations.of(score=score, **{"class": kind}, **columns)

    def readable(self, seen: Observations) -> Observations:
        """Return how many objects each image holds, how many of them are found (IoU 0.5, score `DRAWN`), and how many boxes are wrong."""
        score, bits = seen["score"], seen["hit_all"].astype(np.int64)
        sure = score >= DRAWN
        found, void = (sure & (bits >> place & 1).astype(bool) for place in (0, BITS))
        wrong = sure & ~found & ~void
        return Observations.of(objects=seen["target_all"].sum(1), found=found.sum(1), wrong=wrong.sum(1))

    def by_class(self, seen: Observations, names: Sequence[str] = ()) -> tuple[Metric, ...]:
        """Return the average precision of each class at IoU 0.5."""
        classes = sum(column.startswith("target_all.") for column in seen.columns)
        return tuple(precision_of(k, names[k] if k < len(names) else "") for k in range(classes))

    def moved(self, targets: Any, moves: Sequence[Move | Shrink], size: tuple[int, int]) -> Any:
        """Return objects that are moved as their images are, without those of which less than half is left in the image."""
        from torchvision.tv_tensors import BoundingBoxes, Mask  # noqa: PLC0415

        found = []
        for target, move in zip(targets, moves, strict=True):
            whole = target["boxes"]
            boxes = move(BoundingBoxes(whole, format="XYXY", canvas_size=size)).as_subclass(type(whole))
            there = (boxes[:, 2:] - boxes[:, :2]).prod(1) >= 0.5 * move.area * (whole[:, 2:] - whole[:, :2]).prod(1)
            found.append({**{name: each[there] for name, each in target.items()}, "boxes": boxes[there]})
            if "area" in target:
                found[-1]["area"] = found[-1]["area"] * move.area
            if "masks" in target and bool(there.any()):
                found[-1]["masks"] = move(Mask(found[-1]["masks"])).as_subclass(type(whole))
        return found

    def metric(self, name: str) -> Metric:
        """Return a metric by name: also the average precision of one class, ``ap_50.3``."""
        kind, _, k = name.partition(".")
        return precision_of(int(k)) if kind == "ap_50" and k.isdecimal() else super().metric(name)

    def shown(self, split: Any, number: int, names: Sequence[str] = ()) -> Shown | None:
        """Return a picture with its objects; crowds are left out."""
        found = super().shown(split, number, names)
        if found is None:
            return None
        known = {name: np.asarray(each) for name, each in split[number][1].items()}
        alone = ~known.get("crowd", np.zeros(len(known["labels"]))).astype(bool)
        boxes, labels = known["boxes"][alone].astype(np.float64), known["labels"][alone].astype(np.int64)
        return replace(found, truth=Boxes(boxes, labels, np.ones(len(labels)), named(names)))

    def answer(self, output: Any, batch: Batch, reader: Reader) -> Boxes:
        """Return the objects found in the first picture, those of a score of `DRAWN` or more."""
        found = self.detections(output, batch)[0]
        boxes, scores, labels = (_plain(each) for each in (found.boxes, found.scores, found.labels))
        sure = scores >= DRAWN
        return Boxes(boxes[sure], labels[sure].astype(np.int64), scores[sure], named(reader.classes), DRAWN)


def _plain(tensor: Any) -> NDArray[np.float64]:
    """Return a tensor as an array."""
    found: NDArray[np.float64] = tensor.detach().cpu().double().numpy()
    return found


DETECTION = ObjectDetection("object-detection", "object detection", (MAP50, MAP, *BY_SIZE), "image", "images")
