"""Semantic segmentation: its figures are torchmetrics' and numpy's, whatever form a model answers in."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex
from torchmetrics.segmentation import MeanIoU

from prunekit.errors import DataError, ModelError
from prunekit.evaluation.quality import Evaluation
from prunekit.tasks import Batch, Observations, resolve, task
from prunekit.tasks.segmentation import IGNORED
from prunekit.training.images import Augmentation
from sample_models.augment import Shrink

SEGMENTATION: Any = task("semantic-segmentation")
K = 4


def drawn(n: int = 6, seed: int = 0, size: tuple[int, int] = (5, 7)) -> tuple[Tensor, Tensor]:
    """Return scores and labels of which some are nobody's; the last class is in no label and in no prediction."""
    source = torch.Generator().manual_seed(seed)
    scores, labels = torch.randn(n, K, *size, generator=source), torch.randint(0, K - 1, (n, *size), generator=source)
    scores[:, K - 1] = -9
    labels[torch.rand(labels.shape, generator=source) < 0.2] = IGNORED
    return scores, labels


def seen_of(output: Any, labels: Tensor) -> Observations:
    """Return what is observed."""
    return SEGMENTATION.observe(output, Batch.of(torch.zeros(len(labels), 1), labels))


def test_figures_are_those_of_torchmetrics() -> None:
    scores, labels = drawn()
    seen = seen_of(scores, labels)
    jaccard = MulticlassJaccardIndex(K, ignore_index=IGNORED)(scores, labels)
    correct = MulticlassAccuracy(K, average="micro", ignore_index=IGNORED)(scores, labels)
    assert SEGMENTATION.headline.reduce(seen) == pytest.approx(float(jaccard), abs=1e-6)
    assert SEGMENTATION.metric("pixel_accuracy").reduce(seen) == pytest.approx(float(correct), abs=1e-6)
    each = MulticlassJaccardIndex(K, average="none", ignore_index=IGNORED)(scores, labels)
    by_class = SEGMENTATION.by_class(seen, ("sky", "road"))
    assert [metric.title for metric in by_class[:3]] == ["IoU of sky", "IoU of road", "IoU of class 2"]
    assert [metric.reduce(seen) for metric in by_class[:3]] == pytest.approx(each[:3].tolist(), abs=1e-6)
    with pytest.raises(DataError, match="IoU of class 3 is undefined"):
        SEGMENTATION.metric("iou.3").reduce(seen)


def test_of_one_image_it_is_the_mean_iou_of_torchmetrics() -> None:
    scores, labels = drawn(1)
    labels[labels == IGNORED] = 0
    found = MeanIoU(K, per_class=False, input_format="index")(scores.argmax(1), labels)
    assert SEGMENTATION.headline.reduce(seen_of(scores, labels)) == pytest.approx(float(found), abs=1e-6)


def test_images_are_what_is_resampled() -> None:
    scores, labels = drawn(40)
    seen = seen_of(scores, labels)
    low, high = SEGMENTATION.headline.interval(seen)
    assert seen.n == 40 and low < SEGMENTATION.headline.reduce(seen) < high
    better = scores + 2 * functional.one_hot(labels.clamp_max(K - 1), K).movedim(3, 1)
    difference = SEGMENTATION.headline.compare(seen, seen_of(better, labels))
    assert difference.significant and difference.value > 0.1
    with pytest.raises(DataError, match="these differ"):
        SEGMENTATION.headline.compare(seen, seen_of(scores, labels.flip(0)))


@pytest.mark.parametrize("form", ["tensor", "torchvision", "transformers", "queries"])
def test_forms_of_output(form: str) -> None:
    small, labels = drawn(2, size=(4, 6))
    labels = labels.repeat_interleave(2, 1).repeat_interleave(2, 2)
    large = functional.interpolate(small, size=(8, 12), mode="bilinear")
    output: Any = {
        "tensor": small,
        "torchvision": {"aux": large * 0, "out": large},
        "transformers": {"loss": torch.zeros(()), "logits": small},
    }.get(form)
    if output is None:  # a query for each class that is sure of it, and one for "nothing"
        kinds = torch.full((2, K + 1, K + 1), -30.0) + 60 * torch.eye(K + 1)
        masks = torch.cat([small, torch.zeros(2, 1, 4, 6)], 1)
        output = SimpleNamespace(class_queries_logits=kinds, masks_queries_logits=masks)
        output, large = vars(output), functional.interpolate(small.sigmoid().log(), size=(8, 12), mode="bilinear")
    assert np.array_equal(seen_of(output, labels).values, seen_of(large, labels).values)
    batch = Batch.of(torch.zeros(2, 1), labels)
    if form != "queries":
        plain = functional.cross_entropy(large, labels, ignore_index=IGNORED)
        auxiliary = 0.4 * np.log(K) if form == "torchvision" else 0.0
        assert float(SEGMENTATION.loss(output, batch)) == pytest.approx(float(plain) + auxiliary, rel=1e-5)
    assert float(SEGMENTATION.distance(output, output, batch)) == pytest.approx(0, abs=1e-6)


def test_distance_is_the_divergence_of_each_pixel() -> None:
    (own, labels), (theirs, _) = drawn(2), drawn(2, seed=1)
    p, q = (functional.softmax(each.double() / 2, 1).movedim(1, 3).reshape(-1, K).numpy() for each in (theirs, own))
    expected = 4 * (p * np.log(p / q)).sum(1).mean()
    found = SEGMENTATION.distance(own, theirs, Batch.of(torch.zeros(2, 1), labels), 2.0)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_what_is_wrong_is_said() -> None:
    scores, labels = drawn(2)
    with pytest.raises(DataError, match=r"label 4, which is outside 0..3: the model has 4 classes.*write 255"):
        seen_of(scores, labels.clamp_max(4))
    with pytest.raises(DataError, match=r"a class for each pixel of 2 images, \[2, H, W\]; got torch.int64 of shape \[2\]"):
        seen_of(scores, labels[:, 0, 0])
    with pytest.raises(ModelError, match=r"\[N, classes, h, w\]; got output \[2, 4\]"):
        seen_of(scores[..., 0, 0], labels)
    with pytest.raises(ModelError, match="NaN or infinity"):
        seen_of(scores * float("nan"), labels)


def test_nobodys_pixels_cost_nothing() -> None:
    scores, labels = drawn(1)
    assert float(SEGMENTATION.loss(scores, Batch.of(torch.zeros(1, 1), labels * 0 + IGNORED))) == 0


def test_masks_move_with_their_images() -> None:
    source = torch.Generator().manual_seed(0)
    x = torch.randint(0, K, (8, 1, 6, 9), generator=source).float()
    batch = Batch.of(x, x[:, 0].to(torch.uint8))
    found = Augmentation(2, True).moved(batch, torch.tensor([float(IGNORED)]), source, SEGMENTATION)
    assert torch.equal(found.args[0][:, 0].to(torch.uint8), found.targets) and not torch.equal(found.args[0], x)
    assert torch.equal(Augmentation(2, True).moved(batch, torch.zeros(1), source).targets, batch.targets)  # a class would not move


def test_boxes_move_with_their_images() -> None:
    source = torch.Generator().manual_seed(0)
    x, boxes = torch.zeros(8, 1, 12, 16), torch.tensor([[5.0, 4.0, 9.0, 7.0]])
    x[:, :, 4:7, 5:9] = 1
    batch = Batch.of(x, [{"boxes": boxes, "labels": torch.tensor([2])}] * 8)
    found = Augmentation(3, True).moved(batch, torch.zeros(1), source, task("object-detection"))
    for image, target in zip(found.args[0], found.targets, strict=True):
        left, top, right, low = target["boxes"][0].long().tolist()
        assert image.sum() == 12 == image[0, top:low, left:right].sum() and target["labels"].tolist() == [2]
    shrunk = task("object-detection").moved(batch.targets, [Shrink(6, (12, 16))] * 8, (12, 16))
    assert shrunk[0]["boxes"].tolist() == [[5 * 6 / 16, 2, 9 * 6 / 16, 3.5]] and shrunk[7]["labels"].tolist() == [2]
    assert SEGMENTATION.moved(torch.arange(24).view(1, 4, 6), [Shrink(2, (4, 6))], (4, 6)).shape == (1, 2, 2)
    gone = Batch.of(x, [{"boxes": torch.tensor([[0.0, 0.0, 1.0, 1.0]]), "labels": torch.tensor([2])}] * 8)
    left = [len(target["boxes"]) for target in Augmentation(3, True).moved(gone, torch.zeros(1), source, task("object-detection")).targets]
    assert 0 in left and 1 in left


def test_targets_that_are_masks_speak_for_it() -> None:
    pairs = [(torch.zeros(3, 4, 5), torch.zeros(4, 5, dtype=torch.int64))]
    assert resolve(None, SimpleNamespace(test=pairs)) == SEGMENTATION


def test_figures_of_one_class_come_from_the_same_observations():
    both = np.array([[3, 0, 1], [1, 0, 2]])
    seen = Observations.of(intersection=both, union=both + 2, target=both + 1)
    whole = Evaluation.of(seen, SEGMENTATION.headline, task=SEGMENTATION)
    figures = whole.figures(("sky", "road"))
    assert [each.title for each in figures] == ["Mean IoU", "Pixel accuracy", "IoU of sky", "IoU of road", "IoU of class 2"]
    assert [each.phrase for each in figures[1:4]] == ["pixel accuracy", "IoU of sky", "IoU of road"]
    assert whole.under(figures[2]).value == pytest.approx(4 / 8) == SEGMENTATION.metric("iou.0").reduce(seen)
    assert whole.under(figures[2]) is whole.under(figures[2])
    assert whole.under(SEGMENTATION.headline) is whole
