"""The user's own datasets: every form a factory may return, every mistake."""

import numpy as np
import pytest
import torch

from prunekit.data.load import load_data
from prunekit.errors import DataError
from prunekit.evaluation.accuracy import evaluate
from prunekit.models.load import load_model
from prunekit.tasks.resolver import resolve
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
def pixels(): return TensorDataset(torch.full((8, 3, 6, 4), 255, dtype=torch.uint8), torch.arange(8) % 2)
def vector(): return TensorDataset(torch.randn(4, 21), torch.arange(4) % 2)
def signal(): return TensorDataset(torch.randn(4, 4, 33), torch.arange(4) % 2)
def volume(): return TensorDataset(torch.randn(4, 1, 5, 3, 9), torch.arange(4) % 2)
def named_wrongly(): return tensors(4)
named_wrongly.classes = "abc"
def needs(path): return tensors(4)
def picture(): return Bad(("a picture", 1))
def single(): return Bad(torch.zeros(3))
def label(): return Bad((torch.zeros(1, 2, 2), -1))
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


def test_samples_that_are_no_images_are_drawn_as_nearly_square_ones(own):
    for name, shape in (("vector", (5, 5, 1)), ("signal", (11, 12, 1)), ("volume", (3, 9, 1)), ("named", (2, 2, 1))):
        with case(name):
            assert own(name).test.picture(1).shape == shape


def test_a_limit_is_stratified_and_fixed(own):
    data, again = own("pair", limit=10), own("pair", limit=10)
    assert np.bincount(data.test.labels).tolist() == [2] * 5 and len(data.train) == 10
    assert torch.equal(next(data.test.batches())[0], next(again.test.batches())[0])
    assert data.test.fingerprint() == again.test.fingerprint() != own("pair", limit=11).test.fingerprint()


def test_what_goes_wrong_is_one_plain_sentence(own):
    for name, said in [
        ("three", "returned 3 things"),
        ("keys", "dict with training. Data of your own are"),
        ("notest", "dict with train. Data"),
        ("stream", "a Stream, which has no len"),
        ("nothing", "a NoneType, which has no len"),
        ("empty", "is empty"),
        ("raises", "OSError: disk on fire"),
        ("picture", "is text, and nobody says how the model reads it: give its factory an attribute tokeniser"),
        ("single", r"\[0\] is not a pair"),
        ("label", "label -1"),
        ("negative", "label -1"),
        ("item", r"\[0\] failed: RuntimeError: file gone"),
        ("missing", "has no 'missing'"),
        ("named_wrongly", "classes of named_wrongly must be a list of names"),
        ("needs", r"needs arguments \(path\)"),
    ]:
        with case(name, said):
            with pytest.raises(DataError, match=said) as caught:
                own(name)
            assert "\n" not in str(caught.value)


def test_size_and_normalisation_come_after_the_users_transforms_and_only_where_they_are_asked_for(own):
    as_it_is, asked = own("one"), own("one", size=8, mean=(1.0,) * 3, std=(2.0, 4.0, 2.0))
    x = as_it_is.test.images(np.arange(20))
    grown = torch.nn.functional.interpolate(x, size=(8, 8), mode="bilinear", antialias=True, align_corners=False)
    expected = (grown - 1) / torch.tensor([2.0, 4.0, 2.0])[:, None, None]
    assert torch.allclose(asked.test.images(np.arange(20)), expected, atol=1e-6) and asked.test[0][0].shape == (3, 8, 8)
    assert asked.test.fingerprint() != as_it_is.test.fingerprint() == own("one").test.fingerprint()
    assert "resized to 8 pixels" in asked.pixels and "mean 1, 1, 1 and std 2, 4, 2" in asked.pixels
    for wrong in ({"size": 8}, {"mean": (0.1, 0.2, 0.3)}):
        with case(wrong), pytest.raises(DataError, match=r"resized|needs 1 or 2 value"):
            own("named", **wrong)
    with pytest.raises(DataError, match="where it loads them"):
        own("data", size=16)


def test_pixels_are_divided_by_255_and_normalised_by_whoever_says_how(own):
    guessed = own("pixels")
    assert guessed.test[0][0].shape == (3, 6, 4) and float(guessed.test[0][0].max()) == 1.0 and "a guess" in guessed.guesses[0]
    given = own("pixels", mean=(0.5,) * 3, std=(0.25,) * 3)
    assert float(given.test[0][0].max()) == 2.0 and not given.guesses and given.test.fingerprint() != guessed.test.fingerprint()
    assert given.test.picture(0).shape == (6, 4, 3)


def test_classes_may_be_named_by_whoever_asks(own):
    assert own("named", classes=("p", "q", "r")).classes == ("p", "q", "r") and own("named").classes == ("x", "y", "z")
    with pytest.raises(DataError, match="different names"):
        own("named", classes=("p", "p"))


HOLES = """
import torch
from torch.utils.data import TensorDataset
from prunekit.tasks import metric

x, y, hollow = torch.rand(60, 10), torch.rand(60), torch.rand(60)
x[17, 3] = hollow[5] = torch.nan

@metric(better="lower")
def error(seen): return seen["error"].mean()

class Filled:
    metrics = [error]
    def loss(self, output, batch): return (output[:, 0] - batch.targets).square().mean()
    def observe(self, output, batch): return {"error": (output[:, 0] - batch.targets).abs()}

def pixels(): return TensorDataset(x.view(60, 1, 2, 5), torch.arange(60) % 5)
def rows(): return TensorDataset(x, y)
def targets(): return TensorDataset(torch.rand(60, 10), hollow)
def theirs(): return TensorDataset(x, y)
theirs.task = Filled()
"""


@pytest.mark.parametrize(("name", "place"), [("pixels", 17), ("rows", 17), ("targets", 5), ("theirs", None)])
def test_a_sample_that_holds_nan_is_named_unless_the_users_own_task_judges_it(tmp_path, name, place):
    (tmp_path / "holes.py").write_text(HOLES)
    test = load_data(f"{tmp_path / 'holes.py'}:{name}").test
    if place is None:
        assert sum(batch.samples for batch in test.batches(16)) == 60
        return
    with pytest.raises(DataError, match=rf"{name} \(test\)\[{place}\] holds NaN: repair that sample, or leave it out"):
        list(test.take(np.arange(1, 60)).batches(16))


READ = """
import torch
from torch import nn

class Letters:
    size, padding, length = 128, 0, 12
    def encode(self, text): return [min(byte, 127) for byte in text.encode()]
    def decode(self, ids): return bytes(ids).decode()

def net(): return nn.Sequential(nn.Embedding(128, 4), nn.Flatten(), nn.Linear(48, 2))
net.example, net.tokeniser, net.classes = torch.ones(2, 12, dtype=torch.long), Letters(), ["bad", "good"]
def plain(): return nn.Sequential(nn.Embedding(128, 4), nn.Flatten(), nn.Linear(48, 2))
plain.example = net.example

SAID = ["a fine film", "dull"] * 10
ids = torch.tensor([(Letters().encode(each) + [0] * 12)[:12] for each in SAID])
def numbers(): return [(x, i % 2) for i, x in enumerate(ids)]
def following(): return [(x, x.roll(-1)) for x in ids]
def texts(): return [(x, i % 2) for i, x in enumerate(SAID)], [(x, i % 2) for i, x in enumerate(SAID)]
def told(): return numbers()
told.tokeniser = Letters()

def boxes():
    return [(torch.full((3, 6, 8), 51, dtype=torch.uint8), {"boxes": torch.tensor([[0.0, 1, 4, 5]]), "labels": torch.tensor([0])})] * 4
boxes.mean, boxes.std, boxes.classes = [0.2] * 3, [1.0] * 3, ["square"]
def masks(): return [(torch.zeros(3, 6, 8), torch.zeros(6, 8, dtype=torch.int64))] * 4
"""


def test_people_read_and_see_what_their_own_datasets_hold(tmp_path):
    (tmp_path / "read.py").write_text(READ)
    name = f"{tmp_path / 'read.py'}:"
    for model, data, named in (
        ("net", "numbers", "text-classification"), ("net", "texts", "text-classification"), ("net", "following", "language-modelling"),
        ("plain", "told", "image-classification"),
    ):  # fmt: skip
        net = load_model(f"{name}{model}")
        found = load_data(f"{name}{data}", model=net)
        chosen = resolve(net, found)
        assert chosen.name == named and chosen.shown(found.test, 0).text == "a fine film", data
        assert found.test.take(np.array([3, 1])).text(0) == "dull"
    net = load_model(f"{name}net")
    first, second = (load_data(f"{name}{data}", model=net).test for data in ("numbers", "texts"))
    assert torch.equal(first.batch_at(np.arange(4)).args[0], second.batch_at(np.arange(4)).args[0])
    assert evaluate(net, first).n == 20
    found = load_data(f"{name}boxes")
    shown = resolve(None, found).shown(found.test, 0, found.classes)
    assert shown.truth.said == "1 square" and shown.picture.shape == (6, 8, 3) and int(shown.picture.max()) == 51
    assert float(found.test[0][0].abs().max()) < 1e-6 and "normalised" in found.pixels  # pixels, prepared as everywhere
    assert resolve(None, load_data(f"{name}masks")).name == "semantic-segmentation"
