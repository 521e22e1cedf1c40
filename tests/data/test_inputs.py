"""Data are known by their inputs: all of them where that is cheap, else a fixed choice, and what cannot be known says so."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, Subset, TensorDataset

from prunekit.data.fingerprints import CHOSEN, FEW, MANY
from prunekit.data.load import load_data
from prunekit.data.own_images import OwnSplit


class Computed(Dataset):
    """Samples that are computed one by one, with a word to say about each."""

    def __init__(self, n, change=lambda i, x: x):
        self.n, self.change, self.asked = n, change, []

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        self.asked.append(i)
        return self.change(i, torch.full((3,), float(i))), i % 2


class Held(Computed):
    """The same from an array in memory."""

    def __init__(self, n, change=lambda i, x: x):
        super().__init__(n, change)
        self.data = np.zeros((n, 3), dtype=np.uint8)


def of(dataset, **more):
    labels = np.arange(len(dataset)) % 2
    return OwnSplit(dataset, "data", labels=labels[more["indices"]] if more else labels, **more)


def at(place):
    """Return a change of the input at one place."""
    return lambda i, x: x + (i == place)


@pytest.mark.parametrize("kind", [Computed, Held, lambda n, *c: [Computed(n, *c)[i] for i in range(n)]], ids=["computed", "held", "list"])
def test_every_input_counts_where_there_are_few(kind):
    known = of(kind(50)).fingerprint()
    assert of(kind(50)).fingerprint() == known
    assert len({known, *(of(kind(50, at(place))).fingerprint() for place in (0, 17, 49))}) == 4


def test_of_many_a_fixed_choice_is_read_once_and_it_says_so():
    n = FEW + 1
    split = of(Computed(n))
    known, read = split.fingerprint(), sorted(set(split.dataset.asked))
    assert 64 <= len(read) <= CHOSEN + 1 and read[0] < n / 8 and read[-1] > 7 * n / 8
    before = len(split.dataset.asked)
    assert split.fingerprint() == known and len(split.dataset.asked) == before
    assert f"{CHOSEN} of {n:,}" in split.told_by
    assert of(Computed(n, lambda i, x: 2 * x)).fingerprint() != known
    held = of(Held(n))
    assert held.told_by == "" and held.inputs.seen == n
    assert of(Held(n, at(n - 2))).fingerprint() != held.fingerprint()


def test_tensors_in_memory_count_whole_through_subsets_and_only_what_is_chosen_of_them():
    x = torch.randn(MANY + 10, 4)
    y = torch.arange(len(x)) % 2
    whole = OwnSplit(TensorDataset(x, y), "data")
    assert whole.told_by == "" and whole.inputs.seen == len(x)
    changed = x.clone()
    changed[MANY, 2] += 1e-3
    assert OwnSplit(TensorDataset(changed, y), "data").fingerprint() != whole.fingerprint()
    few = list(range(100))
    one, two = (OwnSplit(Subset(TensorDataset(each, y), few), "data") for each in (x, changed))
    assert one.fingerprint() == two.fingerprint() and one.inputs.seen == 100
    assert OwnSplit(Subset(TensorDataset(x, y), few[::-1]), "data").fingerprint() != one.fingerprint()


def test_where_samples_stand_counts():
    dataset, swapped = Computed(10, lambda i, x: x * 0), np.array([1, 0, *range(2, 10)])
    assert of(dataset).fingerprint() != of(dataset, indices=swapped).fingerprint()


@pytest.mark.parametrize(
    "noise",
    [lambda: torch.rand(1), random.random, lambda: torch.from_numpy(np.random.rand(1))],  # noqa: NPY002
    ids=["torch", "random", "numpy"],
)
def test_random_transforms_are_known_from_a_fixed_state_and_leave_the_callers_alone(noise):
    shaken, again = (of(Computed(30, lambda i, x: x + noise())) for _ in range(2))
    other = of(Computed(30, lambda i, x: x + 1 + noise()))
    expected = noise()
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    assert shaken.fingerprint() == again.fingerprint() != other.fingerprint()
    assert shaken.varies and not of(Computed(30)).varies
    assert torch.equal(before[0], torch.get_rng_state()) and before[1:] == (random.getstate(), np.random.get_state()[1].tolist())  # noqa: NPY002
    assert noise() != expected


def test_what_cannot_be_read_twice_alike_is_never_taken_for_something_seen_before():
    count = iter(range(10**6))
    split = of(Computed(20, lambda i, x: x + next(count)))
    other = of(split.dataset)
    assert not split.inputs.steady and split.fingerprint() == split.fingerprint() != other.fingerprint()


def test_random_test_samples_are_told_and_random_training_samples_are_usual(tmp_path):
    text = """
import torch
from torch.utils.data import Dataset
class Noisy(Dataset):
    def __init__(self, much): self.much = much
    def __len__(self): return 20
    def __getitem__(self, i): return torch.full((2,), float(i)) + self.much * torch.rand(2), i % 2
def good(): return Noisy(1.0), Noisy(0.0)
def bad(): return Noisy(0.0), Noisy(1.0)
"""
    (tmp_path / "noisy.py").write_text(text)
    assert "each time they are read" in load_data(f"{tmp_path}/noisy.py:bad").note
    good = [load_data(f"{tmp_path}/noisy.py:good") for _ in range(2)]
    assert "test samples" not in good[0].note and good[0].train.fingerprint() == good[1].train.fingerprint()
