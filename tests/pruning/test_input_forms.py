"""Forms of input beside the example: masks, other lengths, training; a surgery that is right under one and wrong under another is found."""

import pytest
import torch
from torch import nn

from prunekit.config.spec import PruneSpec
from prunekit.errors import ProofError
from prunekit.pruning.api import prune
from prunekit.pruning.proof import prove
from prunekit.pruning.structured.grouping import trace
from prunekit.pruning.structured.surgery import shrink

SHAPE, WIDTH = (8, 6), 16
HALF = PruneSpec(mode="structured", sparsity=0.5)


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.out = nn.Linear(6, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 4)
        self.eval()

    def between(self, h):
        return h

    def forward(self, x, mask=None):
        h = self.b(self.a(x).relu())
        if mask is not None:
            h = self.between(h) * mask[..., None]
        if self.training:
            h = h + self.out.weight.sum(0)
        return self.out(h)


class Written(Plain):
    def between(self, h):
        return h.view(len(h), -1, 4, WIDTH // 4).flatten(2)


class Mixed(Plain):
    def between(self, h):
        return h + h.mean(-1, keepdim=True)


class Counted(Plain):
    def between(self, h):
        return h * torch.arange(h.shape[-1])


@pytest.mark.parametrize(("kind", "reason"), [(Written, "a size written into forward()"), (Mixed, "a mean"), (Counted, "cannot shrink")])
def test_what_only_a_mask_leads_to_is_seen(kind, reason):
    """The layer that the masked path does not carry stays, the other goes, and the model fits with and without a mask."""
    result = prune(kind(), HALF, input_shape=SHAPE)
    assert any(limit.startswith("b stays whole") and reason in limit for limit in result.limits)
    assert result.kept["b"] == tuple(range(WIDTH)) and len(result.kept["a"]) < WIDTH
    assert {"with mask", "another length"} <= set(result.proof.forms)
    result.model(torch.randn(3, 5, 6), mask=torch.ones(3, 5, dtype=torch.bool))


class Louder(nn.Linear):
    """Tells the forms apart by their input."""

    when = staticmethod(lambda module, x: False)

    def forward(self, x):
        return super().forward(x) * (1.5 if Louder.when(self, x) else 1.0)


@pytest.mark.parametrize(
    ("form", "when"),
    [
        ("", lambda module, x: True),
        ("another length", lambda module, x: x.shape[1] == 6),
        ("training mode", lambda module, x: module.training),
        ("with mask", lambda module, x: not module.training and bool((x[:, -1] == 0).all())),
    ],
)
def test_a_surgery_that_is_wrong_under_one_form_is_found(monkeypatch, form, when):
    """The proof says under which."""

    def spoiled(model, plan):
        small = shrink(model, plan)
        small.out.__class__ = Louder
        return small

    monkeypatch.setattr(Louder, "when", staticmethod(when))
    net = Plain()
    plan = prune(net, HALF, input_shape=SHAPE).plan
    proof = prove(net, plan, surgery=spoiled)
    assert not proof.passed and proof.worst == form and proof.max_relative_error > 0.1
    assert prove(net, plan).forms == ("with mask", "another length", "training mode")


def test_a_surgery_that_does_not_run_under_one_form_is_named():
    """What stops says where it was."""

    class Stops(nn.Linear):
        def forward(self, x):
            assert x.shape[1] == 8
            return super().forward(x)

    def spoiled(model, plan):
        small = shrink(model, plan)
        small.out.__class__ = Stops
        return small

    net = Plain()
    with pytest.raises(ProofError, match="another length"):
        prove(net, prune(net, HALF, input_shape=SHAPE).plan, surgery=spoiled)


def test_examples_of_a_factory_are_forms():
    """What a model says of other inputs is traced and proved."""
    net = Mixed()
    net.examples = [{"x": torch.randn(2, 8, 6), "mask": torch.ones(2, 8, dtype=torch.bool)}]
    graph = trace(net, SHAPE)
    assert graph.facts.forms[0][0].name == "example 2" and "b" in graph.immovable


def test_layers_of_torch_alone_have_no_other_forms():
    """They read all sizes from what they get."""
    assert trace(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).eval(), SHAPE).facts.forms == ()


class Skips(Plain):
    """Skips a norm over its channels while training, by a number that it draws, as layer drop does."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH).eval()

    def forward(self, x):
        h = self.b(self.a(x).relu())
        if not self.training or torch.rand(()) > 0.5:
            h = self.norm(h)
        return self.out(h)


@pytest.mark.parametrize("seed", range(4))
def test_a_layer_that_is_skipped_by_chance_while_training_holds_nothing(seed):
    """Whichever way the form was traced on, the channels go and the proof passes."""
    net = Skips()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        result = prune(net, HALF, input_shape=SHAPE)
    assert result.proof.passed and len(result.kept["b"]) < WIDTH and not result.limits
