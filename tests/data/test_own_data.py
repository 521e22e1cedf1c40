"""The user's own datasets: every form a factory may return, every mistake."""

import numpy as np
import pytest
import torch

from prunekit.data.load import load_data
from prunekit.errors import DataError
from tests.tables import case

OWN = """
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset
import prunekit

def tensors(n, seed=0):
    g = torch.Generator().manual_seed(seed)
    return TensorDataset(torch.randn(n, 3, 4, 4, generator=g), torch.arange(n) % 5)

class Slow(Dataset):
    def __init__(self, n): self.n = n
    def __len__(self): return self.n
    def __getitem__(self, i): return torch.full((2, 2), float(i)), np.int64(i % 3)

class Named(Slow):
    classes = ["x", "y", "z"]

class Stream(IterableDataset):
    def __iter__(self): return iter(())

class Bad(Slow):
    def __init__(self, item): self.item, self.n = item, 4
    def __getitem__(self, i):
        if isinstance(self.item, Exception): raise self.item
        return self.item

def one(): return tensors(20)
def pair(): return tensors(100), tensors(20, 1)
def full(): return {"train": tensors(50), "validation": tensors(10, 1), "test": tensors(20, 2)}
def val(): return {"train": tensors(50), "val": tensors(10, 1), "test": tensors(20, 2)}
def named(): return Named(9)
def part(): return Subset(Named(9), [8, 1, 2])
def loader(): return DataLoader(tensors(20), batch_size=7)
def data(): return prunekit.load_data("digits", limit=30)
def three(): return tensors(3), tensors(3), tensors(3)
def keys(): return {"training": tensors(3)}
def notest(): return {"train": tensors(3)}
def stream(): return Stream()
def nothing(): return None
def empty(): return tensors(0)
def raises(): raise OSError("disk on fire")
def pixels(): return Bad((torch.zeros(1, 2, 2, dtype=torch.uint8), 1))
def picture(): return Bad(("a picture", 1))
def single(): return Bad(torch.zeros(3))
def label(): return Bad((torch.zeros(1, 2, 2), 1.5))
def negative(): return Bad((torch.zeros(1, 2, 2), -1))
def item(): return Bad(RuntimeError("file gone"))
"""


@pytest.fixture
def own(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    return lambda name, **options: load_data(f"{tmp_path / 'own.py'}:{name}", **options)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("one", (0, 0, 20)),
        ("pair", (90, 10, 20)),
        ("full", (50, 10, 20)),
        ("val", (50, 10, 20)),
        ("loader", (0, 0, 20)),
        ("data", (30, 30, 30)),
    ],
)
def test_every_form_is_understood(own, name, sizes):
    data = own(name)
    assert tuple(0 if s is None else len(s) for s in (data.train, data.validation, data.test)) == sizes
    assert ("same images serve" in data.note) == (data.train is None)
    assert data.id.name.endswith(f":{name}")


def test_samples_come_through_unchanged(own):
    split = own("pair").test
    x, y = next(split.batches(100))
    generator = torch.Generator().manual_seed(1)
    assert torch.equal(x, torch.randn(20, 3, 4, 4, generator=generator)) and y.tolist() == [i % 5 for i in range(20)]
    assert y.dtype == torch.int64 and split[3][1] == 3


def test_held_out_samples_are_not_trained_on(own):
    data = own("pair")
    rows = [{x.numpy().tobytes() for x, _ in (s[i] for i in range(len(s)))} for s in (data.train, data.validation)]
    assert len(rows[0] | rows[1]) == 100 and not rows[0] & rows[1]


def test_labels_classes_and_pictures(own):
    data = own("named")
    assert data.classes == ("x", "y", "z") and data.test.labels.tolist() == [0, 1, 2] * 3
    assert own("part").test.labels.tolist() == [2, 1, 2]
    picture = own("one").test.picture(2)
    assert picture.dtype == np.uint8 and picture.shape == (4, 4, 3) and (picture.min(), picture.max()) == (0, 255)


def test_a_limit_is_stratified_and_fixed(own):
    data, again = own("pair", limit=10), own("pair", limit=10)
    assert np.bincount(data.test.labels).tolist() == [2] * 5 and len(data.train) == 10
    assert torch.equal(next(data.test.batches())[0], next(again.test.batches())[0])
    assert data.test.fingerprint() == again.test.fingerprint() != own("pair", limit=11).test.fingerprint()


def test_what_goes_wrong_is_one_plain_sentence(own):
    for name, said in [
        ("three", "returned 3 things"),
        ("keys", "dict with training: its keys must be train, validation and test"),
        ("notest", "dict with train:"),
        ("stream", "a Stream: a dataset needs len"),
        ("nothing", "a NoneType: a dataset needs len"),
        ("empty", "is empty"),
        ("raises", "OSError: disk on fire"),
        ("pixels", r"\[0\] is a tensor of torch.uint8: its transforms must end"),
        ("picture", r"\[0\] is a str: its transforms must end"),
        ("single", r"\[0\] is not a pair"),
        ("label", "label 1.5"),
        ("negative", "label -1"),
        ("item", r"\[0\] failed: RuntimeError: file gone"),
        ("missing", "has no 'missing'"),
    ]:
        with case(name, said):
            with pytest.raises(DataError, match=said) as caught:
                own(name)
            assert "\n" not in str(caught.value)


def test_size_and_normalisation_belong_to_the_users_transforms(own):
    with pytest.raises(DataError, match="belong into the transforms"):
        own("one", size=8)
