"""Which of a model's tensors holds the class scores: told by name, by the number of classes or by the factory, never by place alone."""

import copy
from collections import namedtuple
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import nn

import prunekit
from prunekit.config.ids import DataId
from prunekit.config.recovery import Recovery
from prunekit.criteria.scoring import weight_scores
from prunekit.data.dataset import Data, Normal, TensorSplit
from prunekit.errors import ModelError
from prunekit.evaluation.sensitivity.measure import sensitivity
from prunekit.models.outputs import Choice, export_names, note, scores_in, tensors_of

N, CLASSES = 6, 4
SCORES, WIDE, SAME, MAP = torch.randn(N, CLASSES), torch.randn(N, 9), torch.randn(N, CLASSES), torch.randn(N, 3, 2, 2)
Named = namedtuple("Named", ["features", "logits"])


@dataclass
class Answer:
    last_hidden_state: torch.Tensor
    logits: torch.Tensor
    attentions: tuple = field(default=())


class Plain:
    def __init__(self, **parts):
        self.__dict__.update(parts)


TOLD = {
    "alone": SCORES,
    "index tensor beside": (SCORES, SCORES.argmax(1)),
    "features first": (WIDE, SCORES),
    "two tables": [SCORES, WIDE],
    "nested": (SCORES, None, (MAP, WIDE), 0.5, "aux"),
    "loss first": {"loss": torch.zeros(()), "logits": SCORES},
    "name among equals": {"features": SAME, "logits": SCORES},
    "aux of the same width": {"out": SCORES, "aux": SAME},
    "named tuple": Named(SAME, SCORES),
    "dataclass": Answer(SAME, SCORES, (MAP,)),
    "object": Plain(hidden=SAME, scores=SCORES),
    "name deeper": {"head": {"logits": SCORES}, "hidden": SAME},
    "truth values": (SCORES > 0, SCORES),
    "twice the same tensor": {"logits": SCORES, "last": SCORES},
}


@pytest.mark.parametrize("out", TOLD.values(), ids=TOLD)
def test_class_scores_are_told_by_name_or_number_of_classes(out):
    assert scores_in(out, N, Choice(classes=(CLASSES,))) is SCORES


UNTOLD = {
    "both as wide": (SAME, SCORES),
    "hidden width of the classes": {"hidden": SAME, "prediction": SCORES},
    "none as wide": (WIDE, torch.randn(N, 7)),
    "features beside a map of scores": (WIDE, MAP),
    "the name says one, the classes another": {"out": WIDE, "prediction": SCORES},
    "named scores are no table": {"out": MAP, "features": WIDE},
}


@pytest.mark.parametrize("out", UNTOLD.values(), ids=UNTOLD)
def test_what_stays_ambiguous_lists_the_tensors_and_says_how_to_choose(out):
    with pytest.raises(ModelError) as told:
        scores_in(out, N, Choice(classes=(CLASSES,)))
    for path, tensor in tensors_of(out).items():
        assert f"{path} {list(tensor.shape)} float32" in str(told.value)
    assert "attribute output of the factory" in str(told.value)
    last = list(tensors_of(out))[-1]
    if tensors_of(out)[last].ndim == 2:  # what the message proposes is taken
        assert scores_in(out, N, Choice(last, (CLASSES,))) is tensors_of(out)[last]


def test_the_factory_decides_by_name_path_or_index():
    out = {"a": SAME, "b": {"c": SCORES}}
    for said in ("b.c", "c", 1, -1):
        assert scores_in(out, N, Choice(said)) is SCORES
    assert scores_in((SAME, None, SCORES), N, Choice(2)) is SCORES
    for said, words in (("d", "none of that name"), (5, "none of that name"), ("a", None)):
        if words is None:
            assert scores_in(out, N, Choice(said)) is SAME
        else:
            with pytest.raises(ModelError, match=words):
                scores_in(out, N, Choice(said))
    with pytest.raises(ModelError, match="no table"):
        scores_in((SCORES, MAP), N, Choice(1))


def test_in_a_file_class_scores_have_one_name_and_others_their_path():
    choice = Choice(classes=(CLASSES,))
    assert export_names(tensors_of((WIDE, SCORES)), N, choice) == ["output_0", "scores"]
    assert export_names(tensors_of({"hidden": SAME, "logits": SCORES}), N, choice) == ["hidden", "scores"]
    assert export_names(tensors_of({"scores": WIDE, "prediction": SCORES}), N, choice) == ["output_scores", "prediction"]
    assert export_names(tensors_of(MAP), N) == ["output"]


class Both(nn.Module):
    """Features as wide as the classes, then class scores."""

    def __init__(self, width=CLASSES, pack=lambda features, scores: (features, scores)):
        super().__init__()
        self.pack = pack
        self.a, self.b = nn.Linear(5, width), nn.Linear(width, CLASSES)

    def forward(self, x):
        features = self.a(x.flatten(1)).relu()
        return self.pack(features, self.b(features))


def data(n=64):
    noise = torch.Generator().manual_seed(0)
    pixels, labels = torch.rand(n, 1, 1, 5, generator=noise), np.arange(n) % CLASSES
    split = lambda: TensorSplit(pixels, labels, Normal((0.5,), (0.2,)), 1.0)  # noqa: E731
    return Data(DataId("own"), split(), split(), split())


def models():
    torch.manual_seed(0)
    named = Both(pack=lambda features, scores: {"features": features, "logits": scores}).eval()
    wide, alone = Both(7).eval(), nn.Sequential(nn.Flatten(), named.a, nn.ReLU(), named.b).eval()
    other = nn.Sequential(nn.Flatten(), wide.a, nn.ReLU(), wide.b).eval()
    return [(named, alone), (wide, other)]


@pytest.mark.parametrize("which", [0, 1])
def test_every_figure_is_of_the_class_scores(which):
    own, (model, plain) = data(), models()[which]
    layers = {"a": "1", "b": "3"}
    assert (prunekit.evaluate(model, own.test).correct == prunekit.evaluate(plain, own.test).correct).all()
    for ours, theirs in layers.items():
        scores = (weight_scores(net, [name], "taylor", data=own)[name] for net, name in ((model, ours), (plain, theirs)))
        assert torch.equal(*scores)
    points = [next(iter(prunekit.sweep(net, prunekit.PruneSpec(), [0.6], own))).accuracy for net in (model, plain)]
    assert (points[0].correct == points[1].correct).all()
    found = [sensitivity(net, own, prunekit.PruneSpec(), [0.8]) for net in (model, plain)]
    drops = [[point.accuracy.correct.tolist() for layer in each.layers for point in layer.points] for each in found]
    assert drops[0] == drops[1]
    recovery = Recovery(epochs=1, distill=0.5, recalibrate=False)
    spec = prunekit.PruneSpec(sparsity=0.5)
    tuned = [prunekit.prune_and_recover(net, spec, recovery, own).result.model for net in (model, plain)]
    assert all(torch.equal(tuned[0].get_submodule(n).weight, tuned[1].get_submodule(m).weight) for n, m in layers.items())


def test_an_ambiguous_model_has_no_accuracy_until_its_copies_too_are_told():
    own, model = data(), Both().eval()
    with pytest.raises(ModelError, match="ambiguous"):
        prunekit.evaluate(model, own.test)
    note(model, Choice(1))
    scores = copy.deepcopy(model)
    scores.pack = lambda features, scores: scores
    expected = prunekit.evaluate(scores, own.test)
    masked = prunekit.prune(model, prunekit.PruneSpec(sparsity=0.0), input_shape=(1, 1, 5)).model
    for copied in (model, copy.deepcopy(model), masked):
        assert (prunekit.evaluate(copied, own.test).correct == expected.correct).all()


FILE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(64, 10), nn.Linear(10, 10)
    def forward(self, x):
        features = self.a(x.flatten(1)).relu()
        return features, self.b(features)

def untold():
    return Net()
def told():
    return Net()
untold.input_shape = told.input_shape = (1, 8, 8)
told.output = 1
def wrong():
    return Net()
wrong.input_shape, wrong.output = (1, 8, 8), ["b"]
"""


def test_what_the_factory_says_holds_again_in_a_folder(tmp_path):
    (tmp_path / "nets.py").write_text(FILE)
    digits = prunekit.load_data("digits", limit=60)
    model = prunekit.load_model(f"{tmp_path}/nets.py:told")
    result = prunekit.prune(model, prunekit.PruneSpec(sparsity=0.3), digits)
    expected = prunekit.evaluate(result.model, digits.test)
    recipe = prunekit.Recipe({"name": f"{tmp_path}/nets.py:told"}, None, result.spec)
    prunekit.write_folder(tmp_path / "kept", result.model, recipe)
    opened = prunekit.load_model(tmp_path / "kept")
    assert (prunekit.evaluate(opened, digits.test).correct == expected.correct).all()
    assert prunekit.models.info(opened).output == 1
    with pytest.raises(ModelError, match="ambiguous"):
        prunekit.evaluate(prunekit.load_model(f"{tmp_path}/nets.py:untold"), digits.test)
    with pytest.raises(ModelError, match=r"output of the factory must be the name or the index"):
        prunekit.load_model(f"{tmp_path}/nets.py:wrong")
