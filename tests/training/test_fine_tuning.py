"""Fine-tuning: which epoch is kept, what ends it early, and what is refused."""

import threading

import numpy as np
import pytest
import torch
from torch import nn

import prunekit
from prunekit.config.recovery import Recovery
from prunekit.errors import DataError, ModelError, RecoveryError
from prunekit.evaluation.progress import Cancelled, Progress
from prunekit.models.state import state_hash
from prunekit.training.fine_tuning import fine_tune
from prunekit.training.result import Epoch
from tests.training.drawn import bits, data_of, net, same, split_of, without

DATA = data_of()
QUICK = Recovery(epochs=4, lr=0.05, batch_size=16)


def test_a_pruned_model_learns_again_and_the_one_given_stays_as_it_is():
    model = net()
    mark = state_hash(model)
    tuned = fine_tune(model, DATA, Recovery(epochs=6, lr=0.05, batch_size=16))
    assert state_hash(model) == mark
    assert prunekit.evaluate(tuned.model, DATA.test).value > prunekit.evaluate(model, DATA.test).value + 0.3
    assert not any(module.training for module in tuned.model.modules())
    assert not any(p.requires_grad for p in tuned.model.parameters())
    assert all(t.is_contiguous() for t in tuned.model.state_dict().values())


@pytest.mark.parametrize("seed", range(4))
def test_the_epoch_that_is_kept_is_the_best_on_validation_and_of_equal_ones_the_later(seed):
    recovery = Recovery(epochs=6, lr=0.3, rate="constant", batch_size=16, seed=seed)
    tuned = fine_tune(net(), DATA, recovery)
    values = [epoch.validation.value for epoch in tuned.history]
    assert tuned.best == max(number for number, value in enumerate(values, 1) if value == max(values))
    assert prunekit.evaluate(tuned.model, DATA.validation).value == max(values)
    cut_short = fine_tune(net(), DATA, Recovery(**{**recovery.to_dict(), "epochs": tuned.best}))
    assert same(bits(tuned.model), bits(cut_short.model))


def test_every_epoch_is_reported_as_it_ends_with_its_numbers():
    seen = []
    tuned = fine_tune(net(), DATA, QUICK, report=seen.append)
    assert tuple(seen) == tuned.history
    assert [epoch.number for epoch in seen] == [1, 2, 3, 4]
    assert all(epoch.validation.n == 30 and 0 <= epoch.train_quality <= 1 and epoch.seconds > 0 for epoch in seen)
    assert [epoch.lr for epoch in seen] == pytest.approx([0.05 * (1 + np.cos(np.pi * k / 4)) / 2 for k in range(4)])
    assert set(seen[0].to_dict()) == {"number", "sparsity", "lr", "loss", "train_quality", "validation", "seconds"}


def test_two_epochs_that_took_another_time_are_equal():
    a, b = (Epoch(1, 0.5, 0.1, 1.0, 0.5, None, seconds) for seconds in (1.0, 2.0))
    assert a == b
    assert hash(a) == hash(b)


def test_without_a_validation_part_the_last_epoch_is_kept_and_that_is_said():
    blind = without(DATA, validation=None)
    tuned = fine_tune(net(), blind, QUICK)
    assert tuned.best == 4
    assert any("no validation part" in note for note in tuned.notes)
    assert all(epoch.validation is None for epoch in tuned.history)
    assert not any("no validation part" in note for note in fine_tune(net(), DATA, QUICK).notes)


def test_neither_the_validation_part_nor_the_test_part_is_learned_from():
    other = without(DATA, test=split_of(30, seed=9))
    assert same(bits(fine_tune(net(), DATA, QUICK).model), bits(fine_tune(net(), other, QUICK).model))
    a, b = (fine_tune(net(), d, Recovery(epochs=1, batch_size=16)) for d in (DATA, without(DATA, validation=split_of(30, seed=8))))
    assert same(bits(a.model), bits(b.model))


@pytest.mark.parametrize("validated", [True, False])
def test_a_loss_that_is_no_number_ends_training_and_the_last_good_weights_are_kept(validated):
    data = DATA if validated else without(DATA, validation=None)
    model = net(norm=False)
    tuned = fine_tune(model, data, Recovery(epochs=3, lr=1e6, batch_size=16))
    assert "no longer a finite number" in tuned.stopped
    assert "Lower the learning rate (1e+06)" in tuned.stopped
    assert all(torch.isfinite(t).all() for t in tuned.model.state_dict().values())
    assert tuned.best == len(tuned.history) == 0
    assert same(bits(tuned.model), bits(model))


class Breaks(nn.Module):
    """A network whose training goes astray after some batches."""

    def __init__(self, after):
        super().__init__()
        self.body, self.after, self.seen = net(norm=False), after, 0

    def forward(self, x):
        self.seen += self.training
        return self.body(x) * (float("nan") if self.training and self.seen > self.after else 1.0)


def test_what_was_good_before_training_went_astray_is_kept():
    tuned = fine_tune(Breaks(13), DATA, Recovery(epochs=5, lr=0.01, batch_size=16))
    assert len(tuned.history) == 2
    assert tuned.best in (1, 2)
    assert f"in epoch 3: epoch {tuned.best} is kept" in tuned.stopped
    whole = fine_tune(Breaks(10**6), DATA, Recovery(epochs=5, lr=0.01, batch_size=16))
    assert whole.stopped == ""


def test_cancel_stops_before_the_next_batch():
    cancel, seen = threading.Event(), []

    def progress(fraction, _text):
        seen.append(fraction)
        if len(seen) == 9:
            cancel.set()

    with pytest.raises(Cancelled):
        fine_tune(net(), DATA, QUICK, progress=Progress(progress, cancel))
    assert len(seen) == 9
    assert seen == sorted(seen)


def test_all_classes_must_be_among_the_training_images():
    poor = without(DATA, train=DATA.train.take(np.flatnonzero(DATA.train.labels != 1)))
    with pytest.raises(DataError, match="class 'middle'"):
        fine_tune(net(), poor, QUICK)
    with pytest.raises(DataError, match="take more training images"):
        fine_tune(net(), DATA, Recovery(epochs=1, train_images=2))


def test_data_without_training_images_are_refused_with_what_to_choose():
    with pytest.raises(DataError, match="choose data with a training part"):
        fine_tune(net(), without(DATA, train=None), QUICK)


def test_labels_beyond_the_models_classes_are_refused():
    with pytest.raises(DataError, match="the model has 3 classes"):
        fine_tune(net(), without(DATA, train=split_of(60, classes=5), classes=()), Recovery(epochs=1, batch_size=32))


def test_a_model_that_is_no_classifier_is_refused():
    with pytest.raises(ModelError, match="has to be a classifier"):
        fine_tune(nn.Sequential(nn.Conv2d(2, 3, 3)), DATA, QUICK)


def test_distillation_needs_the_dense_model():
    with pytest.raises(RecoveryError, match="pass it as teacher"):
        fine_tune(net(), DATA, Recovery(epochs=1, distill=0.5))


def test_a_teacher_is_learned_from_and_not_changed():
    teacher = fine_tune(net(5), DATA, Recovery(epochs=6, lr=0.05, batch_size=16)).model
    mark = state_hash(teacher)
    recovery = Recovery(epochs=3, lr=0.02, batch_size=16, distill=1.0)
    # labels play no part under full distillation: with labels that are shuffled the same is learned
    tuned = fine_tune(net(), DATA, recovery, teacher=teacher)
    shuffled = split_of(len(DATA.train))
    shuffled.labels = np.roll(shuffled.labels, 1)
    other = fine_tune(net(), without(DATA, train=shuffled, validation=None), recovery, teacher=teacher)
    again = fine_tune(net(), without(DATA, validation=None), recovery, teacher=teacher)
    assert state_hash(teacher) == mark
    assert same(bits(other.model), bits(again.model))
    assert prunekit.evaluate(tuned.model, DATA.test).value > 0.6


def test_a_subset_of_the_training_images_is_the_fixed_stratified_one():
    small = without(DATA, train=DATA.train.subset(48))
    a = fine_tune(net(), DATA, Recovery(epochs=1, batch_size=16, train_images=48))
    b = fine_tune(net(), small, Recovery(epochs=1, batch_size=16))
    assert same(bits(a.model), bits(b.model))


def test_fewer_images_than_a_batch_are_one_batch():
    tuned = fine_tune(net(), data_of(train=9), Recovery(epochs=2, batch_size=128))
    assert len(tuned.history) == 2


class Lines:
    """A split whose images come one by one from somewhere, as of an image folder."""

    def __init__(self, split):
        self.split, self.labels, self.reads = split, split.labels, 0

    def __len__(self):
        return len(self.split)

    def __getitem__(self, index):
        return self.split[index]

    def batches(self, batch_size):
        self.reads += 1
        return self.split.batches(batch_size)

    def images(self, indices):
        return self.split.images(indices)


@pytest.mark.parametrize("fits", [True, False])
def test_images_that_are_not_in_memory_are_read_once_where_they_fit_and_give_the_same(fits, monkeypatch):
    if not fits:
        monkeypatch.setattr("prunekit.training.images.HELD_BYTES", 1000)
    lines = Lines(DATA.train)
    tuned = fine_tune(net(), without(DATA, train=lines), QUICK)
    assert lines.reads == (1 if fits else 0)
    assert same(bits(tuned.model), bits(fine_tune(net(), DATA, QUICK).model))


def test_augmentation_is_that_of_the_samples_card_and_can_be_left_out():
    model, data = prunekit.load_model("digits_mlp"), prunekit.load_data("digits", limit=200)
    pruned = prunekit.prune(model, prunekit.PruneSpec(sparsity=0.9)).model
    moved, still = (fine_tune(pruned, data, Recovery(epochs=1, augment=on), teacher=model) for on in (True, False))
    unknown = fine_tune(pruned, data, Recovery(epochs=1))
    assert not same(bits(moved.model), bits(still.model))
    assert same(bits(unknown.model), bits(still.model))
    assert any("not known" in note for note in unknown.notes)
    assert not moved.notes
    assert not still.notes
