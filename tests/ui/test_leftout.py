"""A share of the prunable weights never stands alone where most of a model takes no part."""

import pytest

import prunekit
from prunekit.config import registered
from prunekit.ui.components import left_out
from prunekit.ui.shared import cuts, model_cache
from prunekit.ui.shared.model_cache import Source

OWN = """
import torch
from torch import nn


class Place(nn.Module):
    def __init__(self):
        super().__init__()
        self.position = nn.Parameter(torch.ones(100, 20))

    def forward(self, x):
        return x + self.position[: x.shape[1]]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.pre, self.place, self.head = nn.Linear(4, 20), Place(), nn.Linear(20, 2)

    def forward(self, x):
        return self.head(self.place(self.pre(x))[:, -1])


def net():
    return Net()


net.input_shape = (3, 4)
"""


@pytest.fixture
def positioned(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    prunekit.register_model(prunekit.ModelId(f"{tmp_path / 'own.py'}:net"))
    yield "own.py:net"
    registered._MODELS.clear()
    for cached in (
        model_cache.dense,
        model_cache.layer_frame,
        model_cache.counts_of,
        cuts.graph,
        left_out._masked,
    ):
        cached.clear()


def labels(one):
    return [box.label for box in one.app.expander]


def test_prune_says_of_how_much_of_the_model_a_share_is(tab, positioned):
    one = tab("prune", model=positioned, data="none", sparsity="50")
    assert "50.0\u202f% of all 120 prunable weights are zero" in one.text
    assert "2.8\u202f% of all 2.14\u202fk parameters are zero. What takes no part, listed below, holds 93.4\u202f% of all." in one.text
    assert "What takes no part: 1 module, 93.4\u202f% of all parameters" in labels(one)
    listed = one.table("why")
    assert list(listed["module"]) == ["place"]
    assert "weights of its own" in listed["why"][0]


def test_layers_lists_what_stands_in_no_row_of_its_table(tab, positioned):
    one = tab("layers", model=positioned, data="none")
    assert "What takes no part: 1 module, 93.4\u202f% of all parameters" in labels(one)
    assert list(one.table("why")["module"]) == ["place"]
    plain = tab("layers", model="digits_mlp", data="none")
    assert not any("takes no part" in label for label in labels(plain)), "all of it is linear layers"


@pytest.mark.parametrize("mode", ["unstructured", "structured"])
def test_the_page_lists_what_the_result_lists(mode):
    source = Source("digits_cnn")
    spec = prunekit.PruneSpec(mode=mode, sparsity=0.5)
    result = prunekit.prune(model_cache.load(source).model, spec)
    view = cuts.view(source, spec)
    assert left_out.of_view(source, view) == result.skipped
    assert 1 - view.params[1] / view.params[0] == pytest.approx(result.of_all)
