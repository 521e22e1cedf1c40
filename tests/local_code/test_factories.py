"""``file.py:factory``: what runs, and what is said when it does not."""

import sys

import pytest
import torch
from torch import nn

from prunekit.errors import ModelError
from prunekit.models.info import info
from prunekit.models.load import load_model
from tests.tables import case

GOOD = """
import torch
from torch import nn

def small():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

small.input_shape = (1, 8, 8)
small.data = "digits"
small.mean, small.std = [0.5], [0.25]
small.classes = list("0123456789")

class Net(nn.Module):
    input_shape = (3, 16, 16)
    mean = 7  # a module may use the name for something else

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.conv(x).mean((2, 3))

ready = Net()

def silent():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Dropout())

def broken():
    raise RuntimeError("no luck\\ntoday")

def leaves():
    raise SystemExit(3)

def wrong():
    return {"state_dict": {}}

def odd():
    return small()

odd.input_shape = "8x8"
number = 3

def needs(width, depth=2):
    return small()

def counted():
    return small()

counted.classes = 10
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(GOOD)
    return path


def test_a_factory_says_what_its_model_expects(file):
    model = load_model(f"{file}:small")
    known = info(model)
    assert (known.input_shape, known.size, known.data, known.mean, known.std) == ((1, 8, 8), 8, "digits", (0.5,), (0.25,))
    assert known.classes == tuple("0123456789") and known.id.name == f"{file}:small"
    assert not model.training and not any(p.requires_grad for p in model.parameters())


def test_a_class_and_a_ready_module_serve_as_factories(file):
    for name in ("Net", "ready"):
        model = load_model(f"{file}:{name}")
        assert info(model).input_shape == (3, 16, 16) and info(model).mean is None
        assert model(torch.zeros(2, 3, 16, 16)).shape == (2, 4)
    assert load_model(f"{file}:ready") is not load_model(f"{file}:ready")


def test_an_unsaid_input_shape_is_a_guess_that_resizes_nothing(file):
    guess, told = (info(load_model(f"{file}:{name}")) for name in ("silent", "small"))
    assert (guess.input_shape, guess.guessed, guess.size) == ((1, 8, 8), True, None)
    assert (told.input_shape, told.guessed, told.size) == ((1, 8, 8), False, 8)


def test_classes_may_be_a_number(file):
    assert info(load_model(f"{file}:counted")).classes == tuple("0123456789")


def test_untrained_weights_are_the_same_each_time_and_the_callers_random_state_is_untouched(file):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, two = load_model(f"{file}:silent"), load_model(f"{file}:silent")
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(one[1].weight, two[1].weight) and one is not two


def test_weights_are_loaded_into_the_users_own(file, tmp_path):
    torch.manual_seed(9)
    trained = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    torch.save({"state_dict": {f"module.{k}": v for k, v in trained.state_dict().items()}}, tmp_path / "w.th")
    model = load_model(f"{file}:small", weights=tmp_path / "w.th")
    assert torch.equal(model[1].weight, trained[1].weight)
    assert info(model).id.weights == str(tmp_path / "w.th")


def test_relative_paths_and_neighbours_work(tmp_path, monkeypatch):
    (tmp_path / "parts_of_mine.py").write_text("from torch import nn\nlayer = nn.Linear(64, 2)\n")
    (tmp_path / "whole.py").write_text("def make():\n    import parts_of_mine\n    return parts_of_mine.layer\n")
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    assert load_model("whole.py:make").out_features == 2
    assert load_model("./whole.py:make").out_features == 2
    assert sys.path == before


def test_an_edited_file_is_read_again(file):
    load_model(f"{file}:small")
    file.write_text(GOOD.replace("64, 10", "64, 11"))
    assert load_model(f"{file}:small")[1].out_features == 11


def test_dataclasses_and_their_annotations_work(tmp_path):
    text = "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom torch import nn\n"
    (tmp_path / "dc.py").write_text(text + "@dataclass\nclass C:\n    n: int = 3\ndef make():\n    return nn.Linear(C().n, 2)\n")
    assert load_model(f"{tmp_path / 'dc.py'}:make").in_features == 3


def test_what_goes_wrong_is_one_plain_sentence(file):
    for name, said in [
        ("nowhere.py:make", "there is no file .*nowhere.py"),
        ("{file}:smal", "no 'smal': did you mean small"),
        ("{file}:zzzzzz", "no 'zzzzzz'.* it has .*small"),
        ("{file}:", "names no function"),
        ("{file}:a-b", "names no function"),
        ("{file}:broken", r"failed: RuntimeError: no luck today \(line 30\)"),
        ("{file}:leaves", "SystemExit: 3"),
        ("{file}:wrong", "returned a dict, which is no torch module. A model of your own is"),
        ("{file}:number", "no function but a int"),
        ("{file}:needs", r"needs arguments \(width\). A model of your own is .* For example: def net"),
        ("{file}:odd", "input_shape of the factory must be the shape"),
    ]:
        with case(name, said):
            with pytest.raises(ModelError, match=said) as caught:
                load_model(name.format(file=file))
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [("def make(:", r"SyntaxError.*line 1"), ("x = 1 / 0", r"ZeroDivisionError.*line 1"), ("import no_such_thing", "no_such_thing")],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path, text, said):
    (tmp_path / "bad.py").write_text(text)
    for _ in range(2):  # a failure is not remembered as a success
        with pytest.raises(ModelError, match=said):
            load_model(f"{tmp_path / 'bad.py'}:make")
