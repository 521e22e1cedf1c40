"""Models whose inputs, parameters, types or random numbers are restricted: proved within what they mean, or told that they are at fault."""

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from prunekit.config.spec import PruneSpec
from prunekit.errors import ModelError
from prunekit.pruning import proof
from prunekit.pruning.api import prune
from prunekit.pruning.proof import prove, zeroed
from prunekit.pruning.random_copy import randomise
from prunekit.pruning.structured.grouping import trace
from prunekit.pruning.structured.plan import Removal
from prunekit.pruning.structured.surgery import shrink

SHAPE = (1, 10, 10)
HALF = PruneSpec(mode="structured", sparsity=0.5, layers=("a", "b"))


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.fc = nn.Conv2d(1, 9, 3), nn.Conv2d(9, 12, 3), nn.Linear(12, 4)
        self.eval()

    def first(self, x):
        return x

    def middle(self, x):
        return x

    def forward(self, x):
        return self.fc(self.middle(self.b(torch.relu(self.a(self.first(x))))).relu().mean((2, 3)))


class Logarithm(Base):
    def first(self, x):
        return torch.log(x)


class Checked(Base):
    def first(self, x):
        if not x.is_meta and (x.min() < 0 or x.max() > 1):
            raise ValueError("pixels lie in 0..1")
        return x


class Table(Base):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(40, 1)

    def first(self, x):
        return self.table(x.long())[..., 0]


class Variance(Base):
    def __init__(self):
        super().__init__()
        self.register_buffer("middle_", torch.zeros(12))
        self.register_buffer("spread", torch.ones(12))

    def middle(self, x):
        return (x - self.middle_[:, None, None]) / self.spread[:, None, None].sqrt()


class Casts(Base):
    """One layer in half precision, with the casts written out."""

    def __init__(self):
        super().__init__()
        self.b.half()

    def middle(self, x):
        return x.float()

    def forward(self, x):
        return self.fc(self.middle(self.b(torch.relu(self.a(x)).half())).relu().mean((2, 3)))


class Explodes(Base):
    def middle(self, x):
        return (x * 1e15) ** 3 * 1e-30


class Recorded(Base):
    """In inference mode whatever the caller asks for."""

    @torch.inference_mode()
    def forward(self, x):
        return super().forward(x)


class Noise(Base):
    def middle(self, x):
        return x + 0.3 * torch.randn_like(x)


class Dropout(Base):
    def middle(self, x):
        return F.dropout(x, 0.4)


class Chance(Base):
    def middle(self, x):
        return x * (2.0 if random.random() > 0.5 else 1.0) * float(np.random.rand() + 1)  # noqa: NPY002  (what a model of somebody else does)


class State(Base):
    """What it kept of the last call counts in the next."""

    kept = None

    def middle(self, x):
        self.kept = x if self.kept is None or self.kept.shape != x.shape else 0.9 * self.kept + x
        return self.kept


KINDS = (Logarithm, Checked, Table, Variance, Casts, Explodes, Recorded, Noise, Dropout, Chance, State)


@pytest.mark.parametrize("kind", KINDS)
def test_a_restricted_model_is_proved_and_wrong_surgery_of_it_is_not(kind):
    model = kind()
    result = prune(model, HALF, input_shape=SHAPE)
    assert result.proof.passed and result.achieved.removed in {10, 11}
    assert ("draws random numbers" in " ".join(result.limits)) == (kind in {Noise, Dropout})

    def shifted(dense, plan):
        small = shrink(dense, plan)
        with torch.no_grad():
            small.b.bias.copy_(small.b.bias.roll(1))
        return small

    assert not prove(model, result.plan, surgery=shifted).passed


@pytest.mark.parametrize("kind", [Logarithm, Checked])
def test_what_was_proved_holds_on_the_models_own_values(kind):
    model = kind()
    result, x = prune(model, HALF, input_shape=SHAPE), torch.rand(2, *SHAPE)
    with torch.no_grad():
        torch.testing.assert_close(result.model(x), zeroed(model, result.plan)(x), rtol=1e-4, atol=1e-5)


class Private(Base):
    """Noise from a generator of its own, which goes on from call to call."""

    def __init__(self):
        super().__init__()
        self.source = np.random.default_rng(0)

    def middle(self, x):
        return x + float(SOURCE.random())


SOURCE = np.random.default_rng(0)


class Fails(Base):
    def first(self, x):
        if not x.is_meta and x.numel():
            raise ValueError("never")
        return x


@pytest.mark.parametrize(("kind", "words"), [(Private, "differs from itself"), (Fails, r"the dense model itself stops in .*: never")])
def test_the_models_own_fault_is_told_as_such(kind, words):
    with pytest.raises(ModelError, match=words):
        prune(kind(), HALF, input_shape=SHAPE)


def test_randomised_values_keep_what_they_mean():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3))
    model[1].weight = nn.Parameter(torch.randn(4, 4, 3, 3))
    for name, values in {"places": [3.0, 0, 1, 2], "borders": [-1.0, 0.5, 0.7, 2], "mask": [0.0, 1, 1, 0], "spread": [1.0] * 4}.items():
        model.register_buffer(name, torch.tensor(values))
    model.scale, model.tied = nn.Parameter(torch.full((4,), 1e-6)), model[0].weight
    other = randomise(model)
    assert all(torch.equal(getattr(other, name), getattr(model, name)) for name in ("places", "borders", "mask"))
    assert bool((other.spread > 0).all()) and not torch.equal(other.spread, model.spread)
    assert bool((other.scale > 0.01).all()) and other.tied is other[0].weight


def test_only_what_the_proof_does_not_let_go_is_held(monkeypatch):
    """A rule that forgets a coupling spoils one layer, not the model."""
    model = nn.Sequential(
        *(layer for _ in range(3) for layer in (nn.Conv2d(1 if not _ else 8, 8, 3), nn.ReLU())), nn.Conv2d(8, 4, 1)
    ).eval()
    real = proof.reference

    def spoiled(dense, plan, x):
        outputs = real(dense, plan, x)
        return [out + 1.0 for out in outputs] if ("2.weight", 0) in plan.masks else outputs

    monkeypatch.setattr(proof, "reference", spoiled)
    result = prune(model, PruneSpec(mode="structured", sparsity=0.5, scope="uniform", layers=("0", "2", "4")), input_shape=(1, 9, 9))
    assert [len(result.kept[name]) for name in ("0", "2", "4")] == [4, 8, 4] and result.proof.passed
    assert any(limit.startswith("2 stays whole: removing it does not give what zeroing it gives") for limit in result.limits)
    graph = trace(model, (1, 9, 9))
    assert "2" in graph.immovable and {group.layers[0] for group in graph.groups} == {"0", "4"}  # inspect and the pages say the same
    assert isinstance(result.plan, Removal)
