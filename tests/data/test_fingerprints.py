"""A split's fingerprint tells apart all that a model would see otherwise."""

import numpy as np
import torch

from prunekit.data.dataset import Normal, TensorSplit

PIXELS = torch.arange(2 * 3 * 4 * 4, dtype=torch.uint8).reshape(2, 3, 4, 4)
PLAIN = {"pixels": PIXELS, "labels": [0, 1], "normal": Normal((0.5,) * 3, (0.25,) * 3), "scale": 255.0}


def test_whatever_changes_the_images_changes_the_fingerprint():
    changes = [
        {},
        {"pixels": PIXELS.flip(0)},
        {"pixels": PIXELS.reshape(2, 3, 2, 8)},
        {"labels": [1, 0]},
        {"normal": Normal((0.4,) * 3, (0.25,) * 3)},
        {"normal": Normal((0.5,) * 3, (0.5,) * 3)},
        {"normal": Normal((0.5,) * 3, (0.25,) * 3, size=2)},
        {"scale": 16.0},
    ]
    splits = [TensorSplit(**{**PLAIN, **change}) for change in changes]
    images = [split.images(np.arange(2)) for split in splits]
    alike = [a.shape == b.shape and torch.equal(a, b) for a in images for b in images]
    labels = [tuple(split.labels) for split in splits]
    assert sum(same and one == other for same, (one, other) in zip(alike, ((a, b) for a in labels for b in labels), strict=True)) == len(
        splits
    )
    assert len({split.fingerprint() for split in splits}) == len(splits)


def test_the_same_images_have_the_same_fingerprint():
    assert TensorSplit(**PLAIN).fingerprint() == TensorSplit(**{**PLAIN, "pixels": PIXELS.clone()}).fingerprint()
