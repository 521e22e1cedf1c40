"""Data go into a model of one's own at their own size; what nobody gave is a guess, and says so."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import prunekit
from prunekit.local_code import contract
from prunekit.models.info import guesses
from tests.tables import case

TEXT = """
import torch
from torch import nn
from torch.utils.data import TensorDataset

def any_size():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))

def grey():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))

def sized(): return any_size()
sized.input_shape, sized.mean, sized.std = (3, 20, 20), (0.5,) * 3, (0.5,) * 3

def flat(): return nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 2))
def line(): return nn.Sequential(nn.Conv1d(2, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 2))
def cube(): return nn.Sequential(nn.Conv3d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 2))

def data_of(*shape):
    x = torch.randn(10, *shape, generator=torch.Generator().manual_seed(1))
    return TensorDataset(x, torch.arange(10) % 2)

def wide_data(): return data_of(3, 48, 48)
def tall_data(): return data_of(3, 18, 30)
def grey_data(): return data_of(1, 28, 28)
def flat_data(): return data_of(12)
def line_data(): return data_of(2, 17)
def cube_data(): return data_of(1, 6, 7, 8)
"""


@pytest.fixture
def own(tmp_path):
    (tmp_path / "own.py").write_text(TEXT)
    return f"{tmp_path}/own.py"


@pytest.fixture
def pictures(tmp_path):
    """Two classes of colour images of 48 pixels."""
    for name, level in (("dark", 40), ("light", 200)):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(3):
            Image.fromarray(np.full((48, 48, 3), level + i, np.uint8)).save(tmp_path / "pictures" / name / f"{i}.png")
    return f"imagefolder:{tmp_path / 'pictures'}"


@pytest.mark.parametrize(
    ("model", "data", "shape"),
    [
        ("any_size", "wide", (3, 48, 48)),
        ("any_size", "tall", (3, 18, 30)),
        ("grey", "grey", (1, 28, 28)),
        ("flat", "flat", (12,)),
        ("line", "line", (2, 17)),
        ("cube", "cube", (1, 6, 7, 8)),
    ],
)
def test_own_data_go_in_as_they_are_and_tell_the_shape(own, model, data, shape):
    net = prunekit.load_model(f"{own}:{model}")
    seen = prunekit.load_data(f"{own}:{data}_data", model=net)
    assert tuple(seen.test[0][0].shape) == shape and not guesses(net, seen)
    assert prunekit.prune(net, prunekit.PruneSpec(sparsity=0.5), seen).input_shape == shape
    assert prunekit.evaluate(net, seen.test).n == 10


def test_images_keep_their_size_unless_somebody_gave_another(own, pictures):
    for name, options, side in (("any_size", {}, 48), ("any_size", {"size": 24}, 24), ("sized", {}, 20), ("sized", {"size": 24}, 24)):
        with case(name, options):
            net = prunekit.load_model(f"{own}:{name}")
            assert tuple(prunekit.load_data(pictures, model=net, **options).test[0][0].shape) == (3, side, side)
    digits = prunekit.load_data("digits", model=prunekit.load_model(f"{own}:grey"))
    assert tuple(digits.test[0][0].shape) == (1, 8, 8)


def test_a_normalisation_that_nobody_gave_is_a_guess(own, pictures):
    net, told = prunekit.load_model(f"{own}:any_size"), prunekit.load_model(f"{own}:sized")
    (said,) = guesses(net, prunekit.load_data(pictures, model=net))
    assert "mean and std" in said and "a guess" in said and "0 to 1" in said
    half = prunekit.load_data(pictures, model=net, mean=(0.5, 0.5, 0.5))
    assert half.guesses and "mean" not in half.guesses[0] and "std" in half.guesses[0]
    assert not prunekit.load_data(pictures, model=net, mean=(0.5,) * 3, std=(0.5,) * 3).guesses
    assert not prunekit.load_data(pictures, model=told).guesses
    assert not prunekit.load_data("digits", model=prunekit.load_model("digits_cnn")).guesses
    (of_digits,) = prunekit.load_data("digits", model=prunekit.load_model(f"{own}:grey")).guesses
    assert "that of digits is used" in of_digits


def test_a_shape_is_a_guess_only_where_nothing_tells_it(own):
    net = prunekit.load_model(f"{own}:any_size")
    assert "3 × 32 × 32 is a guess" in guesses(net)[0]
    assert not guesses(net, None, (3, 64, 64)) and not guesses(prunekit.load_model(f"{own}:sized"))
    assert not guesses(net, prunekit.load_data(f"{own}:wide_data"))


def test_folders_of_images_are_numbered_by_the_classes_that_somebody_names(pictures):
    data = prunekit.load_data(pictures, classes=("light", "dark"))
    assert data.classes == ("light", "dark") and data.test.labels.tolist() == [1] * 3 + [0] * 3
    assert prunekit.load_data(pictures).test.labels.tolist() == [0] * 3 + [1] * 3
    assert data.id == prunekit.DataId.from_dict(data.id.to_dict()) and "classes" not in prunekit.DataId("digits").to_dict()


def test_a_folder_keeps_what_was_given_and_a_guess_stays_one(own, pictures, tmp_path):
    net = prunekit.load_model(f"{own}:any_size")
    data = prunekit.load_data(pictures, model=net, size=24, mean=(0.4,) * 3, std=(0.2,) * 3, classes=("light", "dark"))
    result = prunekit.prune(net, prunekit.PruneSpec(sparsity=0.5), data)
    named = prunekit.ModelId(f"{own}:any_size").to_dict()
    for of_data, shape in ((data.id.to_dict(), result.input_shape), (None, None)):
        prunekit.write_folder(tmp_path / "out", result.model, prunekit.Recipe(named, of_data, result.spec, input_shape=shape))
        known = prunekit.info(prunekit.load_model(tmp_path / "out"))
        if of_data is None:
            assert (known.input_shape, known.guessed, known.size) == ((3, 32, 32), True, None)
        else:
            assert (known.input_shape, known.guessed, known.size) == ((3, 24, 24), False, 24)
            assert (known.mean, known.std, known.classes) == ((0.4,) * 3, (0.2,) * 3, ("light", "dark"))


def test_the_examples_of_the_contract_run(tmp_path):
    setting = "import torch\nfrom torch import nn\nfrom torch.utils.data import TensorDataset\n"
    setting += "class Net(nn.Sequential):\n    def __init__(self): super().__init__(nn.Flatten(), nn.Linear(3 * 64 * 64, 2))\n"
    setting += "x = x_test = torch.zeros(4, 3, 64, 64)\ny = y_test = torch.arange(4) % 2\n"
    (tmp_path / "mine.py").write_text(setting + contract.MODEL_EXAMPLE + contract.DATA_EXAMPLE)
    net = prunekit.load_model(f"{tmp_path}/mine.py:net")
    data = prunekit.load_data(f"{tmp_path}/mine.py:data", model=net)
    assert prunekit.info(net).input_shape == (3, 64, 64) and data.classes == ("cat", "dog")
    assert prunekit.evaluate(net, data.test).n == 4 and torch.equal(data.test[0][0], torch.zeros(3, 64, 64))
