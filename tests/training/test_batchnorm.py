"""Recalibration against statistics computed in float64, and what it must leave alone."""

import threading

import numpy as np
import pytest
import torch
from torch import nn

import prunekit
from prunekit.criteria.samples import mixed
from prunekit.errors import DataError, RecoveryError
from prunekit.evaluation.progress import Cancelled, Progress
from prunekit.models.state import state_hash
from prunekit.training.batchnorm import recalibrate
from sample_models.augment import Moves
from sample_models.recipes import TrainRecipe
from tests.training.drawn import bits, data_of, net, trained, without


def expected_statistics(model, images, batch_size):
    """Means and unbiased variances of what enters each norm, averaged over batches, all in float64."""
    found = {}
    for start in range(0, len(images), batch_size):
        x = images[start : start + batch_size].double()
        for name, module in model.named_children():
            if isinstance(module, nn.BatchNorm2d):
                mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=True)
                found.setdefault(name, []).append((mean, var))
                plain = x.var((0, 2, 3), unbiased=False)
                x = (x - mean[:, None, None]) / (plain[:, None, None] + module.eps).sqrt()
                x = x * module.weight.double()[:, None, None] + module.bias.double()[:, None, None]
            else:
                x = nn.Module.__call__(module.double(), x)
                module.float()
    return {name: [torch.stack(part).mean(0) for part in zip(*pairs, strict=True)] for name, pairs in found.items()}


@pytest.mark.parametrize(("images", "batch_size"), [(64, 64), (64, 16), (60, 20), (90, 40)])
def test_the_statistics_are_those_of_the_same_images(images, batch_size):
    data, model = data_of(), net()
    found = recalibrate(model, data, images=images, batch_size=batch_size)
    batches = list(mixed(data.train, images, 0).batches(images))  # a model without a card: its images stay as they are
    size = int(np.ceil(images / np.ceil(images / batch_size)))
    expected = expected_statistics(net(), torch.cat([x for x, _ in batches]), size)
    assert set(expected) == {"1", "4"}
    for name, (mean, var) in expected.items():
        norm = found.get_submodule(name)
        torch.testing.assert_close(norm.running_mean.double(), mean, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(norm.running_var.double(), var, rtol=1e-4, atol=1e-5)


def moved_by_hand(x, shift, flip, fill, batch_size, seed):
    """The images as training would see them, pixel by pixel in numpy, with the same draws."""
    generator, found = torch.Generator().manual_seed(seed), []
    for start in range(0, len(x), batch_size):
        part = x[start : start + batch_size]
        moves = Moves.draw(len(part), shift, flip, generator)
        for i, image in enumerate(part.numpy()):
            channels, height, width = image.shape
            wide = np.empty((channels, height + 2 * shift, width + 2 * shift), np.float32)
            wide[:] = fill.numpy()[:, None, None]
            wide[:, shift : shift + height, shift : shift + width] = image
            row, column = moves.offsets[:, i].tolist()
            seen = wide[:, row : row + height, column : column + width]
            found.append(seen[:, :, ::-1] if moves.mirrored[i] else seen)
    return torch.from_numpy(np.stack(found).copy())


@pytest.mark.parametrize(("shift", "flip", "seed"), [(1, False, 0), (2, True, 3), (0, True, 5)])
def test_the_statistics_are_those_of_the_images_as_training_moved_them(monkeypatch, shift, flip, seed):
    data, dense = data_of(), net(1)
    recipe = TrainRecipe(epochs=1, shift=shift, flip=flip)
    monkeypatch.setattr("prunekit.models.entries._recipe", lambda model: recipe if model is dense else None)
    found = recalibrate(net(), data, images=60, batch_size=20, dense=dense, seed=seed)
    images = torch.cat([x for x, _ in mixed(data.train, 60, seed).batches(60)])
    normal = data.train.normal
    black = torch.tensor([(0.0 - mean) / std for mean, std in zip(normal.mean, normal.std, strict=True)])
    expected = expected_statistics(net(), moved_by_hand(images, shift, flip, black, 20, seed), 20)
    plain = recalibrate(net(), data, images=60, batch_size=20, dense=dense, seed=seed, augment=False)
    for name, (mean, var) in expected.items():
        norm = found.get_submodule(name)
        torch.testing.assert_close(norm.running_mean.double(), mean, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(norm.running_var.double(), var, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(plain.get_submodule(name).running_var, norm.running_var)


def test_a_sample_that_was_trained_on_moved_images_keeps_its_accuracy():
    model, data = prunekit.load_model("digits_cnn"), prunekit.load_data("digits")
    dense = prunekit.evaluate(model, data.test)
    again = prunekit.evaluate(recalibrate(model, data), data.test)
    assert again.value >= dense.value - 0.01


def test_the_accuracy_of_damaged_norms_comes_back():
    data = data_of()
    model = trained(data)
    with torch.no_grad():
        for norm in (model[1], model[4]):
            norm.running_mean.add_(5.0)
            norm.running_var.mul_(100.0)
    damaged, healed = prunekit.evaluate(model, data.test), prunekit.evaluate(recalibrate(model, data), data.test)
    assert damaged.value < 0.7
    assert healed.value > 0.95


def test_no_weight_changes_and_the_model_given_stays_as_it_is():
    data, model = data_of(), net()
    before, mark = bits(model), state_hash(model)
    found = recalibrate(model, data)
    assert state_hash(model) == mark
    changed = {name for name, tensor in found.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {f"{n}.{part}" for n in "14" for part in ("running_mean", "running_var", "num_batches_tracked")}
    assert not any(module.training for module in found.modules())
    assert [norm.momentum for norm in (found[1], found[4])] == [0.1, 0.1]
    assert not any(p.requires_grad for p in found.parameters())


def test_dropout_stays_out_of_use():
    data, model = data_of(), net()
    loud = nn.Sequential(nn.Dropout(0.9), *model).eval()
    found, plain = recalibrate(loud, data), recalibrate(model, data)
    torch.testing.assert_close(found[2].running_mean, plain[1].running_mean)


def test_a_class_that_is_sorted_to_the_front_does_not_fill_a_batch():
    data = data_of(train=300)
    order = np.argsort(data.train.labels, kind="stable")
    sorted_data = without(data, train=data.train.take(order))
    a, b = (recalibrate(net(), d, images=300, batch_size=100)[4].running_var for d in (data, sorted_data))
    torch.testing.assert_close(a, b, rtol=0.05, atol=1e-4)


def test_a_model_without_norms_is_refused_in_words():
    with pytest.raises(RecoveryError, match="no BatchNorm"):
        recalibrate(net(norm=False), data_of())


def test_data_without_training_images_are_refused_in_words():
    with pytest.raises(DataError, match="no training images"):
        recalibrate(net(), without(data_of(), train=None))


def test_cancel_stops_before_the_next_batch():
    cancel, seen = threading.Event(), []

    def progress(fraction, _text):
        seen.append(fraction)
        cancel.set()

    with pytest.raises(Cancelled):
        recalibrate(net(), data_of(), batch_size=16, progress=Progress(progress, cancel))
    assert len(seen) == 1
