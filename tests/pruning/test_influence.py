"""A pruned model whose output cannot have moved is an error that says why; one whose output can move is never refused for it."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import prunekit
from prunekit.config.ids import DataId
from prunekit.config.recovery import Recovery
from prunekit.data.dataset import Data, Normal, TensorSplit
from prunekit.errors import PruningError
from prunekit.evaluation.sensitivity.measure import sensitivity
from prunekit.models.state import state_hash
from prunekit.pruning.influence import check_influence
from prunekit.training.fine_tuning import fine_tune

SHAPE = (1, 6, 6)


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.c, self.fc = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 6, 1), nn.Linear(6, 4)
        self.eval()

    def head(self, x):
        return self.fc(self.c(x.relu()).relu().mean((2, 3)))

    def forward(self, x):
        return self.head(self.b(self.a(x).relu()))


def closure():
    model = Base()
    old = model.forward
    model.forward = lambda x: old(x) * 2
    return model


def one_layer():
    model = Base()
    old = model.b.forward
    model.b.forward = lambda x: old(x) * 1.5
    return model


class Attribute(Base):
    def __init__(self):
        super().__init__()
        self.go = lambda x: self.b(self.a(x).relu())

    def forward(self, x):
        return self.head(self.go(x))


class Hook(Base):
    def __init__(self):
        super().__init__()
        self.kept = {}
        self.b.register_forward_hook(lambda module, args, out: self.kept.update(b=out))

    def forward(self, x):
        self.b(self.a(x).relu())
        return self.head(self.kept["b"])


class Skip(Hook):
    """Every weight has a part in the output, and a part of it is of an earlier pass."""

    def forward(self, x):
        return self.head(self.b(self.a(x).relu()) + self.kept.get("b", 0))


HOLDING = {"closure": (closure, "a, b, c, fc"), "one layer": (one_layer, "weights of b:"), "attribute": (Attribute, "a, b:")}


@pytest.mark.parametrize("make, names", HOLDING.values(), ids=HOLDING)
@pytest.mark.parametrize("setting", [{}, {"mode": "nm", "pattern": "2:4"}])
def test_a_copy_that_uses_the_models_own_weights_is_refused_by_name(make, names, setting):
    spec = prunekit.PruneSpec(**({"sparsity": 0.8} | setting)) if not setting else prunekit.PruneSpec(**setting, layers=("b", "c", "fc"))
    with pytest.raises(PruningError, match="hold on to the model") as told:
        prunekit.prune(make(), spec, input_shape=SHAPE)
    assert setting or names in str(told.value)


@pytest.mark.parametrize("make", [Hook, Skip])
@pytest.mark.parametrize("ran", [False, True])
def test_a_copy_that_uses_what_the_model_computed_is_refused(make, ran):
    model = make()
    if ran:  # what the hook kept is copied too
        with torch.no_grad():
            model(torch.randn(2, *SHAPE))
    with pytest.raises(PruningError, match="hold on to the model"):
        prunekit.prune(model, prunekit.PruneSpec(sparsity=0.8), input_shape=SHAPE)


def test_structured_pruning_says_the_same():
    for make in (closure, Hook, Attribute):  # of the last, what was held takes no part in the cut
        with pytest.raises(PruningError, match="hold on to the model"):
            prunekit.prune(make(), prunekit.PruneSpec(mode="structured", sparsity=0.5), input_shape=SHAPE)


class ByName(Base):
    """A function of the file, which finds the model by a global name."""

    made = None

    def __init__(self):
        super().__init__()
        self.last = by_name
        ByName.made = [self]

    def head(self, x):
        return self.last(super().head(x))


def by_name(x):
    return x * ByName.made[0].fc.bias


def test_what_a_function_finds_by_a_global_name_is_refused_in_every_mode():
    for spec in (prunekit.PruneSpec(sparsity=0.5), prunekit.PruneSpec(mode="structured", sparsity=0.5, layers=("a",))):
        with pytest.raises(PruningError, match="weights of fc: functions of the model"):
            prunekit.prune(ByName(), spec, input_shape=SHAPE)


class Unused(Base):
    def __init__(self):
        super().__init__()
        self.left = nn.Linear(6, 400)


class Discarded(Unused):
    def forward(self, x):
        out = super().forward(x)
        self.left(x.new_ones(1, 6))
        return out


@pytest.mark.parametrize("make", [Unused, Discarded])
def test_weights_that_have_no_part_in_the_output_are_named(make):
    with pytest.raises(PruningError, match="does not use the weights of left"):
        prunekit.prune(make(), prunekit.PruneSpec(sparsity=0.5, layers=("left",)), input_shape=SHAPE)
    result = prunekit.prune(make(), prunekit.PruneSpec(sparsity=0.5), input_shape=SHAPE)
    assert "left has no part in the output: what is removed there changes nothing" in result.limits
    assert not any("no part" in limit for limit in prunekit.prune(Base(), prunekit.PruneSpec(), input_shape=SHAPE).limits)
    assert prunekit.prune(make(), prunekit.PruneSpec(sparsity=0.0, layers=("left",)), input_shape=SHAPE).achieved.removed == 0
    if make is Discarded:  # in no forward pass at all it is not open to be removed
        with pytest.raises(PruningError, match="does not use the weights of left"):
            prunekit.prune(make(), prunekit.PruneSpec(mode="structured", layers=("left",)), input_shape=SHAPE)


def dead():
    model = Base()
    with torch.no_grad():
        model.b.bias.fill_(-1e6)
    return model


def zero():
    model = Base()
    with torch.no_grad():
        model.fc.weight.zero_()
    return model


class Coarse(Base):
    def forward(self, x):
        return super().forward(x).argmax(1)


class Ungraded(Base):
    @torch.inference_mode()
    def forward(self, x):
        return super().forward(x).detach()


class Numpy(Base):
    def forward(self, x):
        out = super().forward(x)
        return torch.from_numpy(out.detach().numpy().copy()) if out.device.type == "cpu" else out


class Early(Base):
    """The second half runs for few samples."""

    def forward(self, x):
        first = self.a(x).relu()
        if first.device.type == "cpu" and len(x) < 3:
            return self.fc(first.new_ones(len(x), 6))
        return self.head(self.b(first))


class Chance(Base):
    def forward(self, x):
        return super().forward(F.dropout(x, 0.5))


class Reused(Base):
    def __init__(self):
        super().__init__()
        self.act, self.seen = F.relu, []
        self.b.register_forward_hook(lambda module, args, out: self.seen.append(out))

    def forward(self, x):
        return self.head(self.act(self.b(self.a(x).relu())))


class Slices(Base):
    """Weights read through other tensors on the same memory."""

    def forward(self, x):
        return self.head(F.conv2d(self.a(x).relu(), self.b.weight.data, self.b.bias))


FINE = (Base, dead, zero, Coarse, Ungraded, Numpy, Early, Chance, Reused, Slices)


@pytest.mark.parametrize("make", FINE, ids=lambda make: make.__name__)
def test_no_model_is_refused_whose_output_depends_on_its_weights(make):
    for _ in range(2):  # whatever one look leaves behind
        model = make()
        for layer in ("b", "c"):
            result = prunekit.prune(model, prunekit.PruneSpec(sparsity=0.5, layers=(layer,)), input_shape=SHAPE)
            assert not result.limits


def test_weights_that_are_zero_already_may_go_alone():
    model = Base()
    with torch.no_grad():
        model.b.weight.view(-1)[::2] = 0
    result = prunekit.prune(model, prunekit.PruneSpec(sparsity=0.5, layers=("b",)), input_shape=SHAPE)
    assert torch.equal(result.model.b.weight, model.b.weight) and result.achieved.removed


class Clips(Base):
    """Writes to its weights in forward()."""

    def forward(self, x):
        with torch.no_grad():
            self.c.weight.clamp_(-0.01, 0.01)
        return super().forward(x)


@pytest.mark.parametrize("make", [Base, Clips, Reused])
def test_looking_writes_to_nothing_of_the_model(make):
    model = make()
    before, frozen = state_hash(model), [p.requires_grad for p in model.parameters()]
    check_influence(model, ["a", "b"], SHAPE)
    assert state_hash(model) == before and [p.requires_grad for p in model.parameters()] == frozen
    copy.deepcopy(model)  # no tensor with a history is left in it


def data():
    pixels = torch.rand(16, *SHAPE, generator=torch.Generator().manual_seed(0))
    split = lambda: TensorSplit(pixels, [i % 4 for i in range(16)], Normal((0.5,), (0.2,)), 1.0)  # noqa: E731
    return Data(DataId("own"), split(), split(), split())


def test_curves_sensitivity_and_fine_tuning_refuse_it_too():
    own = data()
    for measured in (
        lambda model: list(prunekit.sweep(model, prunekit.PruneSpec(), [0.5], own)),
        lambda model: sensitivity(model, own, prunekit.PruneSpec(), [0.5]),
        lambda model: fine_tune(model, own, Recovery(epochs=1)),
        lambda model: prunekit.prune_and_recover(model, prunekit.PruneSpec(), Recovery(epochs=2, schedule="linear", steps=2), own),
    ):
        with pytest.raises(PruningError, match="hold on to the model"):
            measured(closure())
        measured(Base())
