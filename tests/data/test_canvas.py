"""Canvases: the same on every machine, no digit in two parts, boxes and masks where the ink is."""

import hashlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import chi2
from torchvision.ops import masks_to_boxes

from prunekit.data.canvas import AREAS, PARTS
from prunekit.data.load import load_data
from prunekit.errors import DataError
from prunekit.tasks.batches import batches_of, samples_at
from prunekit.tasks.detection import DETECTION
from sample_models.augment import Move


@pytest.fixture(scope="module")
def canvas():
    """Boxes."""
    return load_data("canvas")


def test_the_same_on_every_machine(canvas):
    pixels = canvas.test.pictures.pixels(np.arange(3)).numpy().tobytes()
    boxes = b"".join(target["boxes"].numpy().tobytes() for target in canvas.train.targets)
    assert hashlib.sha256(pixels).hexdigest()[:16] == "eec98e57ae14d3f7"
    assert hashlib.sha256(boxes).hexdigest()[:16] == "62c2108999ecdd28"


def test_no_digit_is_in_two_parts_and_all_classes_are_as_many(canvas):
    parts = [{digit.tobytes() for digit in getattr(canvas, name).pictures.digits} for name in PARTS]
    assert not parts[0] & parts[1] and not parts[1] & parts[2] and not parts[0] & parts[2]
    counts = np.bincount(torch.cat([target["labels"] for target in canvas.train.targets]).numpy())
    assert len(counts) == 10 and ((counts - counts.mean()) ** 2 / counts.mean()).sum() < chi2.ppf(0.9999, 9)
    areas = torch.cat([(b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]) for b in (target["boxes"] for target in canvas.test.targets)])
    assert (np.histogram(areas, [0, *AREAS, np.inf])[0] > len(areas) / 5).all()


def test_masks_and_boxes_hold_the_same_ink(canvas):
    masks = load_data("canvas:masks").test
    for place, target in enumerate(canvas.test.targets[:20]):
        inside = torch.zeros(96, 96, dtype=torch.bool)
        for box, label in zip(target["boxes"].long().tolist(), target["labels"].tolist(), strict=True):
            part = masks[place][1][box[1] : box[3], box[0] : box[2]]
            assert (part == label + 1).any()
            inside[box[1] : box[3], box[0] : box[2]] = True
        assert not masks[place][1][~inside].any()
    assert torch.equal(masks.images(np.arange(2)), canvas.test.images(np.arange(2)))


def test_a_detector_that_learns_from_masks_gets_them_and_they_move_with_its_boxes(canvas):
    learner = torch.nn.Module()
    learner.roi_heads = SimpleNamespace(mask_roi_pool=object())
    data, classes = load_data("canvas", model=learner), load_data("canvas:masks").train
    assert "masks" not in data.test[0][1] and data.train.fingerprint() != canvas.train.fingerprint()
    at = np.array([7, 3])
    targets, ink = data.train.take(at).targets_at(np.arange(2)), classes.targets_at(at)
    for target, own in zip(targets, ink, strict=True):
        assert torch.equal((target["masks"] * (1 + target["labels"][:, None, None])).sum(0), own)
    moves = [Move(1, 5, True, 4), Move(96, 0, False, 96)]  # the second one leaves nothing in sight
    moved, gone = DETECTION.moved(targets, moves, (96, 96))
    around = masks_to_boxes(moved["masks"])
    assert ((around[:, :2] >= moved["boxes"][:, :2]) & (around[:, 2:] < moved["boxes"][:, 2:])).all()
    assert gone["masks"].shape == (0, 96, 96) and not gone["boxes"].numel()


def test_parts_batches_and_sizes_keep_pictures_and_boxes_together(canvas):
    few, large = canvas.test.subset(30), load_data("canvas", size=192).test
    assert len(few) == 30 and few.fingerprint() == canvas.test.subset(30).fingerprint() != canvas.test.fingerprint()
    batch = samples_at(canvas.test, few.choice(30))
    assert torch.equal(next(batches_of(few, 8)).args[0], few.images(np.arange(8))) and batch.samples == 30
    assert torch.equal(large.targets[5]["boxes"], 2 * canvas.test.targets[5]["boxes"]) and large[5][0].shape == (3, 192, 192)
    mixed = np.array([950, 3, 420])
    assert all(torch.equal(image, canvas.test[int(i)][0]) for i, image in zip(mixed, canvas.test.images(mixed), strict=True))
    with pytest.raises(DataError, match="show nothing"):
        load_data("canvas", size=4)
