"""Models whose inputs, parameters, types or random numbers are restricted: proved within what they mean, or told that they are at fault."""

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from prunekit.config.spec import PruneSpec
from prunekit.errors import ModelError, PruningError
from prunekit.evaluation.sweep import Scored
from prunekit.pruning import proof_trial
from prunekit.pruning.api import prune
from prunekit.pruning.masked_reference import zeroed
from prunekit.pruning.proof import prove, tried
from prunekit.pruning.proof_inputs import randomise
from prunekit.pruning.structured.grouping import trace
from prunekit.pruning.structured.plan import Removal
from prunekit.pruning.structured.surgery import shrink
from prunekit.training.pruning_steps import Shrinking

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
        return x * (2.0 if random.random() > 0.5 else 1.0) * float(np.random.rand() + 1)  # noqa: NPY002


class Coin(Base):
    """Of two passes that toss it each, half agree."""

    def middle(self, x):
        return x if random.random() > 0.5 else 1.1 * x


class State(Base):
    """What it kept of the last call counts in the next."""

    kept = None

    def middle(self, x):
        self.kept = x if self.kept is None or self.kept.shape != x.shape else 0.9 * self.kept + x
        return self.kept


class Decays(Base):
    """It writes to its own weights whenever it runs."""

    def middle(self, x):
        self.b.weight.data *= 0.9
        return x


KINDS = (Logarithm, Checked, Table, Variance, Casts, Explodes, Recorded, Noise, Dropout, Chance, State, Decays)


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


@pytest.mark.parametrize("tossed", range(4))
def test_a_toss_that_is_not_torchs_is_seen_however_it_falls(tossed):
    random.seed(tossed)
    assert prune(Coin(), HALF, input_shape=SHAPE).proof.passed


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


class Chain(nn.Sequential):
    """Three convolutions, of a class of someone's own."""

    def __init__(self):
        super().__init__(*(layer for n in (1, 8, 8) for layer in (nn.Conv2d(n, 8, 3), nn.ReLU())), nn.Conv2d(8, 4, 1))


@pytest.fixture
def spoiled(monkeypatch):
    """A model of which a rule forgets one coupling: whatever removes outputs of layer 2 is not what zeroing gives."""
    real = proof_trial.reference

    def spoiled(dense, plan, x, notes=None):
        outputs = real(dense, plan, x, notes)
        return [out + 1.0 for out in outputs] if ("2.weight", 0) in plan.masks else outputs

    monkeypatch.setattr(proof_trial, "reference", spoiled)
    return Chain().eval()


THREE = PruneSpec(mode="structured", sparsity=0.5, scope="uniform", layers=("0", "2", "4"))


def test_only_what_the_proof_does_not_let_go_is_held(spoiled):
    """It spoils one layer, not the model."""
    model = spoiled
    result = prune(model, THREE, input_shape=(1, 9, 9))
    assert [len(result.kept[name]) for name in ("0", "2", "4")] == [4, 8, 4] and result.proof.passed
    assert any(limit.startswith("2 stays whole: removing it does not give what zeroing it gives") for limit in result.limits)
    graph = trace(model, (1, 9, 9))
    assert "2" in graph.immovable and {group.layers[0] for group in graph.groups} == {"0", "4"}  # inspect and the pages say the same
    assert isinstance(result.plan, Removal)


@pytest.mark.parametrize("way", ["sweep", "gradual", "shown"])
def test_whatever_prunes_or_shows_what_can_go_holds_the_same(spoiled, way):
    if way == "shown":
        held = tried(spoiled, trace(spoiled, (1, 9, 9)))
        assert trace(spoiled, (1, 9, 9)) is held and "2" in held.immovable and len(held.groups) == 2
        return
    if way == "sweep":
        small = Scored(spoiled, THREE, (1, 9, 9)).at(0.5).model
    else:
        cuts, small = Shrinking(spoiled, THREE, None, (1, 9, 9)), spoiled
        for share in (0.25, 0.5):
            small = cuts.cut(small, THREE.at(share)).model
    assert [small.get_submodule(name).out_channels for name in ("0", "2", "4")] == [4, 8, 4]


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.fc = nn.Linear(4, 9), nn.Linear(6, 9), nn.Linear(9, 3)

    def forward(self, x, y):
        return self.fc(torch.relu(self.a(x)) + torch.relu(self.b(y)))


def test_several_inputs_are_told_by_their_shapes_and_missing_ones_are_asked_for():
    spec = PruneSpec(mode="structured", sparsity=0.5, layers=("a", "b"))
    result = prune(Pair().eval(), spec, input_shape=((4,), (6,)))
    assert result.proof.passed and result.kept["a"] == result.kept["b"]
    for mode in ("structured", "unstructured"):
        with pytest.raises((ModelError, PruningError), match=r"missing 1 required.*factory.example = \(x, y\)"):
            prune(Pair().eval(), PruneSpec(mode=mode), input_shape=(4,))


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.a, self.out = nn.Embedding(20, 6), nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.out(torch.relu(self.a(self.table(x))).mean(1))


def test_a_model_that_starts_with_a_table_gets_whole_numbers_below_its_length():
    for mode in ("structured", "unstructured"):
        result = prune(Words().eval(), PruneSpec(mode=mode, sparsity=0.5, layers=("a",)), input_shape=(5,))
        assert result.achieved.removed and result.model(torch.tensor([[1, 2, 3, 4, 19]])).shape == (1, 3)


class Narrow(Base):
    """Takes nothing but what the data hold."""

    def first(self, x):
        if not x.is_meta and not bool((x.abs() > 50).all()):
            raise ValueError("amplitudes above 50")
        return x / 100


def test_real_samples_serve_where_no_noise_does():
    class Data:
        test = torch.utils.data.TensorDataset(60 + torch.rand(6, *SHAPE), torch.zeros(6, dtype=torch.long))

    assert prune(Narrow(), HALF, Data()).proof.passed
    with pytest.raises(ModelError, match="amplitudes above 50"):
        prune(Narrow(), HALF, input_shape=SHAPE)


class Remembers(Base):
    """Keeps what it computed, with its history, and a constant that no buffer holds."""

    def __init__(self):
        super().__init__()
        self.constant, self.seen = torch.full((1, 1, 1), 0.5), {}
        self(torch.rand(1, *SHAPE))

    def middle(self, x):
        self.last, self.seen["features"] = x, [x]
        return x.view(x.shape[0], 3, -1, *x.shape[2:]).flatten(1, 2) - self.constant


def test_what_a_forward_pass_kept_and_constants_are_in_nobodys_way():
    model = Remembers()
    assert prune(model, HALF, input_shape=SHAPE).achieved.removed
    assert prune(model, PruneSpec(sparsity=0.5), input_shape=SHAPE).achieved.removed
    assert model.last.grad_fn is not None


class Attention(nn.Module):
    def __init__(self, cut, scale):
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(16, 16) for _ in range(4))
        self.cut, self.scale = cut, scale

    def heads(self, x):
        return x.view(*x.shape[:2], *((4, -1) if self.cut == "heads" else (-1, 4))).transpose(1, 2)

    def forward(self, x):
        q, k, v = map(self.heads, (self.q(x), self.k(x), self.v(x)))
        factor = {"stored": 0.5, "shape": q.shape[-1] ** -0.5, "layer": self.q.out_features**-0.5}.get(self.scale)
        out = F.scaled_dot_product_attention(q, k, v) if factor is None else (q @ k.transpose(-2, -1) * factor).softmax(-1) @ v
        return self.o(out.transpose(1, 2).flatten(2)).mean(1)


@pytest.mark.parametrize("cut", ["heads", "width"])
@pytest.mark.parametrize("scale", ["stored", "shape", "layer", "sdpa"])
def test_heads_in_the_code_and_scales_that_follow_a_width_are_found_as_such(cut, scale):
    """Every count, fitting or not: 3 of 4 heads of 4 fill two heads of 6, and three of 4."""
    model = Attention(cut, scale).eval()
    graph = trace(model, (5, 16))
    sizes = {group.layers: group.size for group in graph.groups}
    follows = scale == "layer" or (cut == "heads" and scale in {"shape", "sdpa"})
    if cut == "width":  # heads go from all of q, k and v
        assert sizes == ({} if follows else {("q", "k", "v"): 4})
    else:
        assert sizes == {("v",): 4} if follows else {("q", "k"): 4, ("v",): 4}
    for group in graph.groups:
        for count in range(1, group.size):
            assert prove(model, Removal(graph, group.atoms[:count])).passed
    assert all("test_proof_domain.py" in why for name, why in graph.immovable.items() if name in "qkv")


@pytest.mark.parametrize("mode", ["structured", "unstructured"])
@pytest.mark.parametrize("total", [0.297, 0.3, 0.303])
def test_a_total_need_not_match_overrides_of_every_layer_to_the_unit(mode, total):
    layers = ("a", "b")
    result = prune(Base(), PruneSpec(mode=mode, sparsity=total, layers=layers, overrides=dict.fromkeys(layers, 0.3)), input_shape=SHAPE)
    assert result.achieved.removed == {"structured": 3 + 4, "unstructured": round(0.3 * 81) + round(0.3 * 972)}[mode]
