"""Semantic segmentation: one class for each pixel, judged by mean intersection over union (IoU), pixel accuracy and IoU by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from prunekit.errors import DataError, ModelError
from prunekit.statistics.bootstrap import Sums
from prunekit.statistics.ranking import ratio
from prunekit.tasks.base import BaseTask
from prunekit.tasks.faults import check_finite
from prunekit.tasks.metrics import PERCENT, Metric
from prunekit.tasks.observations import Observations
from prunekit.tasks.shown import ClassMap, Reader, Shown, named

if TYPE_CHECKING:
    from torch import Tensor

    from prunekit.tasks.batch import Batch
    from sample_models.augment import Move, Shrink

IGNORED = 255
"""Pixels of this value are nobody's: they count in no figure and in no loss."""
AUXILIARY = 0.4
"""Weight of the auxiliary head in the loss (Zhao et al., 2017)."""
QUERIES = ("class_queries_logits", "masks_queries_logits")
INTERSECTION, UNION, TARGET = "intersection", "union", "target"


def _counts(seen: Observations) -> NDArray[np.float64]:
    """Return intersections, unions and pixels of each class, [samples, 3 classes]."""
    return np.column_stack([seen[name].reshape(seen.n, -1) for name in (INTERSECTION, UNION, TARGET)])


def _mean_iou(sums: NDArray[np.float64]) -> Any:
    """Return the mean IoU of the classes that the labels or the predictions hold."""
    intersection, union, _ = np.split(sums, 3, axis=-1)
    there = union > 0
    return ratio(np.where(there, np.nan_to_num(ratio(intersection, union)), 0).sum(-1), there.sum(-1))


def _pixel_accuracy(sums: NDArray[np.float64]) -> Any:
    """Return the share of pixels that are right."""
    intersection, _, target = np.split(sums, 3, axis=-1)
    return ratio(intersection.sum(-1), target.sum(-1))


def _constant_iou(seen: Observations) -> float:
    """Return the mean IoU of naming the most frequent class everywhere."""
    pixels = seen[TARGET].reshape(seen.n, -1).sum(0)
    return float(pixels.max() / pixels.sum() / np.count_nonzero(pixels)) if pixels.any() else float("nan")


def _constant_accuracy(seen: Observations) -> float:
    """Return the pixel accuracy of naming the most frequent class everywhere."""
    pixels = seen[TARGET].reshape(seen.n, -1).sum(0)
    return float(pixels.max() / pixels.sum()) if pixels.any() else float("nan")


VOID = f"all of their pixels are {IGNORED}, which counts for nothing"
MEAN_IOU = Metric("mean_iou", "Mean IoU", Sums(_counts, _mean_iou), PERCENT, chance=_constant_iou, needs=VOID)
PIXEL_ACCURACY = Metric("pixel_accuracy", "Pixel accuracy", Sums(_counts, _pixel_accuracy), PERCENT, chance=_constant_accuracy, needs=VOID)


def iou_of(k: int, name: str = "") -> Metric:
    """Return the metric "IoU of class ``k``": undefined where neither labels nor predictions hold it."""

    def columns(seen: Observations) -> NDArray[np.float64]:
        return np.column_stack([seen[f"{INTERSECTION}.{k}"], seen[f"{UNION}.{k}"]])

    return Metric(f"iou.{k}", f"IoU of {name or f'class {k}'}", Sums(columns, lambda sums: ratio(sums[..., 0], sums[..., 1])), PERCENT)


@dataclass(frozen=True)
class Segmentation(BaseTask):
    """One of several classes for each pixel of an image.

    Targets are classes [N, H, W] in any type of integers, `IGNORED` where nobody says. A model may return scores [N, classes, h, w],
    alone or as ``out`` (with ``aux``, torchvision) or ``logits`` (transformers) of a mapping, or Mask2Former's queries; scores of other
    sides are resized to those of the labels.
    """

    given_as = "segmentation:PATH"

    def loss(self, output: Any, batch: Batch) -> Tensor:
        """Return the cross-entropy, the mean over pixels that have a class; an auxiliary head's counts for `AUXILIARY`."""
        scores, labels = self._pair(output, batch)
        loss = _cross_entropy(scores, labels)
        auxiliary = self.tensors(output).get("aux") if isinstance(output, Mapping) else None
        return loss if auxiliary is None else loss + AUXILIARY * _cross_entropy(_resized(auxiliary.float(), labels.shape[1:]), labels)

    def distance(self, output: Any, teacher: Any, batch: Batch, temperature: float = 1.0) -> Tensor:
        """Return the Kullback-Leibler divergence from the teacher's softened classes, the mean over pixels, times temperature squared."""
        from torch.nn import functional  # noqa: PLC0415 (a task's name and metrics need no torch)

        own, theirs = (self._scores(each) for each in (output, teacher))
        if own.shape[:2] != theirs.shape[:2]:
            raise ModelError(
                f"the teacher answers with {list(theirs.shape)}, and the model with {list(own.shape)}: they need the same classes"
            )
        own, theirs = own / temperature, _resized(theirs, own.shape[2:]) / temperature
        divergence = functional.kl_div(own.log_softmax(1), theirs.softmax(1), reduction="none").sum(1).mean()
        return divergence * temperature**2

    def observe(self, output: Any, batch: Batch) -> Observations:
        """Return pixels by class k: ``intersection.k`` (labelled and predicted), ``union.k`` (one or both) and ``target.k``."""
        import torch  # noqa: PLC0415 (a task's name and metrics need no torch)

        scores, labels = self._pair(output, batch)
        scores = scores.detach()
        check_finite(scores)
        n, classes = scores.shape[:2]
        cells = torch.where(labels == IGNORED, classes * classes, labels * classes + scores.argmax(1)).flatten(1)
        cells = cells + torch.arange(n, device=cells.device)[:, None] * (classes * classes + 1)
        counts = torch.bincount(cells.flatten(), minlength=n * (classes * classes + 1)).view(n, -1)[:, :-1].view(n, classes, classes)
        both, labelled, predicted = counts.diagonal(dim1=1, dim2=2), counts.sum(2), counts.sum(1)
        union = labelled + predicted - both
        return Observations.of(**{INTERSECTION: both, UNION: union, TARGET: labelled})

    def shown(self, split: Any, number: int, names: Sequence[str] = ()) -> Shown | None:
        """Return a picture with the classes that its pixels are labelled with."""
        found = super().shown(split, number, names)
        if found is None:
            return None
        labels = np.asarray(split[number][1], dtype=np.int64)
        return replace(found, truth=ClassMap(np.where(labels == IGNORED, -1, labels), named(names)))

    def answer(self, output: Any, batch: Batch, reader: Reader) -> ClassMap:
        """Return the likeliest class of each pixel, in the size of the labels, or else of the input."""
        labels = getattr(batch.targets, "shape", ())
        size = labels[1:] if len(labels) == 3 else next((each.shape[-2:] for _, each in batch.named_tensors() if each.ndim == 4), None)
        scores = self._scores(output)[:1].detach()
        classes = (scores if size is None else _resized(scores, size))[0].argmax(0)
        return ClassMap(classes.cpu().numpy(), named(reader.classes))

    def readable(self, seen: Observations) -> Observations:
        """Return mean IoU and share of right pixels of each image, in percent."""
        counts = _counts(seen)
        return Observations.of(**{"mean IoU, %": 100 * _mean_iou(counts), "right pixels, %": 100 * _pixel_accuracy(counts)})

    def by_class(self, seen: Observations, names: Sequence[str] = ()) -> tuple[Metric, ...]:
        """Return the IoU of each class."""
        classes = sum(column.startswith(f"{UNION}.") for column in seen.columns)
        return tuple(iou_of(k, names[k] if k < len(names) else "") for k in range(classes))

    def metric(self, name: str) -> Metric:
        """Return a metric by name: also the IoU of one class, ``iou.3``."""
        kind, _, k = name.partition(".")
        return iou_of(int(k)) if kind == "iou" and k.isdecimal() else super().metric(name)

    def moved(self, targets: Any, moves: Sequence[Move | Shrink], size: tuple[int, int]) -> Any:
        """Return labels that are moved as their images are; nobody's pixels come in."""
        import torch  # noqa: PLC0415 (a task's name and metrics need no torch)
        from torchvision.tv_tensors import Mask  # noqa: PLC0415

        if targets is None:
            return None
        return torch.stack([move(Mask(each), IGNORED).as_subclass(torch.Tensor) for each, move in zip(targets, moves, strict=True)])

    def _scores(self, output: Any) -> Tensor:
        """Return the scores of pixels in an output, [N, classes, h, w]."""
        named = self.tensors(output)
        if all(name in named for name in QUERIES):
            return _of_queries(*(named[name].float() for name in QUERIES))
        flat = {name: each for name, each in named.items() if each.is_floating_point() and each.ndim == 4}
        scores = next((flat[name] for name in ("out", "logits") if name in flat), next(iter(flat.values()), None))
        if scores is None:
            listed = "; ".join(f"{name} {list(each.shape)}" for name, each in named.items()) or type(output).__name__
            raise ModelError(f"the model must return scores of pixels, [N, classes, h, w]; got {listed}. Is it for semantic segmentation?")
        return scores.float() if scores.itemsize < 4 else scores  # halves would round the loss away

    def _pair(self, output: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return scores [N, classes, H, W] and labels [N, H, W], checked and in one size."""
        labels, n = batch.targets, batch.samples
        if not hasattr(labels, "is_floating_point") or labels.is_floating_point() or labels.ndim != 3 or len(labels) != n:
            got = f"{labels.dtype} of shape {list(labels.shape)}" if hasattr(labels, "dtype") else type(labels).__name__
            raise DataError(f"need a class for each pixel of {self.count(n)}, [{n}, H, W]; got {got}")
        scores = self._scores(output)
        labels, classes = labels.to(scores.device).long(), scores.shape[1]
        there = labels[labels != IGNORED]
        if there.numel() and (int(there.min()) < 0 or int(there.max()) >= classes):
            wrong = int(there.min()) if int(there.min()) < 0 else int(there.max())
            raise DataError(
                f"a pixel has the label {wrong}, which is outside 0..{classes - 1}: the model has {classes} classes. Choose data with the "
                f"same classes, or write {IGNORED} where nothing is to be counted"
            )
        return _resized(scores, labels.shape[1:]), labels


def _resized(scores: Tensor, size: Any) -> Tensor:
    """Return scores of another height and width."""
    from torch.nn import functional  # noqa: PLC0415 (a task's name and metrics need no torch)

    same = tuple(scores.shape[2:]) == tuple(size)
    return scores if same else functional.interpolate(scores, size=tuple(size), mode="bilinear", align_corners=False)


def _cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    """Return the mean over pixels that have a class; zero where none has."""
    from torch.nn import functional  # noqa: PLC0415 (a task's name and metrics need no torch)

    total = functional.cross_entropy(scores, labels, ignore_index=IGNORED, reduction="sum")
    return total / (labels != IGNORED).sum().clamp_min(1)


def _of_queries(kinds: Tensor, masks: Tensor) -> Tensor:
    """Return scores of pixels from queries (Cheng et al., 2022): the logarithm of how much all queries together say for each class."""
    import torch  # noqa: PLC0415 (a task's name and metrics need no torch)

    said = torch.einsum("nqk,nqhw->nkhw", kinds.softmax(-1)[..., :-1], masks.sigmoid())
    return said.clamp_min(1e-8).log()


SEGMENTATION = Segmentation("semantic-segmentation", "semantic segmentation", (MEAN_IOU, PIXEL_ACCURACY), "image", "images")
