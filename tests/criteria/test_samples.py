"""Which images a criterion sees, and in which order."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import prunekit
from prunekit.criteria.samples import BATCH, mixed, scored_on, scoring_split
from prunekit.criteria.scoring import weight_scores
from prunekit.data.dataset import Normal, TensorSplit
from prunekit.errors import DataError
from tests.criteria.samples import Noise


@pytest.fixture(scope="module")
def digits():
    return prunekit.load_data("digits")


def sorted_by_class(n=200, classes=4):
    """A split whose image ``i`` is the number ``i``, all of one class before the next."""
    pixels = torch.arange(n, dtype=torch.float32).view(n, 1, 1, 1)
    return TensorSplit(pixels, np.repeat(np.arange(classes), n // classes), Normal((0.0,), (1.0,)), scale=1.0)


def seen(data, samples, seed):
    return torch.cat([x.flatten() for x, _ in mixed(data, samples, seed).batches(BATCH)])


def test_training_images_serve_and_what_serves_instead_is_said(digits):
    assert scoring_split(digits) == (digits.train, "training")
    assert scored_on(digits) is None
    held_out = replace(digits, train=None)
    assert scoring_split(held_out) == (digits.validation, "validation")
    assert "looked at 100 validation samples" in scored_on(held_out, 100)
    only_test = replace(digits, train=None, validation=None)
    assert scoring_split(only_test) == (digits.test, "test")
    assert f"looked at {len(digits.test)} test samples" in scored_on(only_test, 10_000)
    assert scoring_split(digits.test) == (digits.test, "given")
    assert scored_on(digits.test) is None


def test_what_is_no_data_is_refused():
    with pytest.raises(DataError, match="cannot read samples from list: pass data as load_data returns it"):
        scoring_split([1, 2])


def test_no_images_are_an_error():
    with pytest.raises(DataError, match="no given samples to score on"):
        mixed(Noise(0, (1,)), 10, 0)


@pytest.mark.parametrize("samples", [1, 40, 200, 1000])
def test_every_chosen_image_is_seen_once_in_an_order_set_by_the_seed(samples):
    split = sorted_by_class()
    chosen = sorted(split.subset(samples).pixels.flatten().tolist())
    assert sorted(seen(split, samples, 0).tolist()) == chosen
    assert torch.equal(seen(split, samples, 0), seen(split, samples, 0))
    if samples > 10:
        assert not torch.equal(seen(split, samples, 0), seen(split, samples, 1))


def test_mini_batches_of_data_sorted_by_class_are_mixed():
    for _, y in mixed(sorted_by_class(), 200, 0).batches(BATCH):
        assert len(y) < BATCH or len(set(y.tolist())) == 4  # by chance, one of four classes is missing from 32 in one of 2,500 batches


def test_labels_stay_with_their_images():
    split = sorted_by_class()
    for x, y in mixed(split, 120, 5).batches(BATCH):
        np.testing.assert_array_equal(split.labels[x.flatten().long().numpy()], y.numpy())
    noise = Noise(70, (3,))
    order = [int((noise.x == row).all(1).nonzero()) for x, _ in mixed(noise, 50, 5).batches(BATCH) for row in x]
    assert sorted(order) == list(range(50))
    assert torch.equal(torch.cat([y for _, y in mixed(noise, 50, 5).batches(BATCH)]), noise.y[order])


def test_only_the_split_that_serves_is_read(digits):
    class Closed:
        def batches(self, batch_size):
            raise AssertionError("this split must not be read")

    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    guarded = replace(digits, validation=Closed(), test=Closed())
    for name in ("taylor", "snip", "wanda"):
        expected = weight_scores(net, ["1"], name, data=digits.train)["1"]
        assert torch.equal(weight_scores(net, ["1"], name, data=guarded)["1"], expected)
