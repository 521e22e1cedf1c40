"""Taylor and SNIP against autograd by hand, and what can go wrong with gradients."""

import copy
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from prunekit.criteria import gradients
from prunekit.criteria.samples import BATCH, mixed
from prunekit.criteria.scoring import channel_scores, weight_scores
from prunekit.data.text_splits import WindowSplit
from prunekit.data.tokenisers import Coding
from prunekit.errors import DataError, ModelError
from prunekit.models.layers import prunable_layers
from prunekit.models.state import state_hash
from tests.criteria.samples import Noise
from tests.data.test_text import Letters

SHAPE = (2, 5, 5)


def small_net():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        net = nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=2), nn.Flatten(), nn.Linear(36, 5)
        )
        net[1].running_mean.normal_()
        net[1].running_var.uniform_(0.5, 2)
        return net.eval().requires_grad_(False)


@pytest.fixture
def net():
    return small_net()


def gradients_by_hand(net, batches, reduction):
    """Return, for each batch, layer -> gradient of its loss."""
    found = []
    for x, y in batches:
        learner = copy.deepcopy(net).requires_grad_(True)
        F.cross_entropy(learner(x), y, reduction=reduction).backward()
        found.append({name: learner.get_submodule(name).weight.grad for name in prunable_layers(net)})
    return found


def batches_of(data, seed=0):
    batches = list(mixed(data, 512, seed).batches(BATCH))
    assert [len(y) for _, y in batches] == [32, 32, 6]
    return batches


def test_taylor_is_the_mean_square_of_gradient_times_weight(net):
    data = Noise(70, SHAPE)
    by_hand = gradients_by_hand(net, batches_of(data, 3), "mean")
    scores, channels = (f(net, prunable_layers(net), "taylor", 3, data) for f in (weight_scores, channel_scores))
    for name in prunable_layers(net):
        w = net.get_submodule(name).weight
        products = [g[name] * w for g in by_hand]
        torch.testing.assert_close(scores[name], sum(p**2 for p in products) / 3, rtol=1e-4, atol=1e-12)
        sums = [[float(row.double().sum()) for row in p] for p in products]
        np.testing.assert_allclose(channels[name], np.mean(np.square(sums), axis=0), rtol=1e-4, atol=1e-12)


def test_channel_taylor_is_the_squared_slope_of_a_gate_on_the_filter(net):
    data = Noise(20, SHAPE)  # one mini-batch
    for name in ("0", "3"):
        gate = torch.ones(4, requires_grad=True)
        weight = net.get_submodule(name).weight * gate.view(-1, 1, 1, 1)
        F.cross_entropy(torch.func.functional_call(net, {f"{name}.weight": weight}, (data.x,)), data.y).backward()
        np.testing.assert_allclose(channel_scores(net, [name], "taylor", data=data)[name], gate.grad.square().numpy(), rtol=1e-4)


def test_snip_is_each_weights_share_with_the_gradient_of_all_samples_together(net):
    data = Noise(70, SHAPE)
    (gradient,) = gradients_by_hand(net, [(data.x, data.y)], "mean")
    layers = prunable_layers(net)
    sensitivity = {name: (gradient[name] * net.get_submodule(name).weight).abs() for name in layers}
    for chosen in (layers, layers[:1], layers[1:]):  # the sum is over the layers that are scored
        scores = weight_scores(net, chosen, "snip", data=data)
        whole = sum(float(sensitivity[name].sum()) for name in chosen)
        for name in chosen:
            torch.testing.assert_close(scores[name], sensitivity[name] / whole, rtol=1e-4, atol=1e-9)
        assert sum(float(s.sum()) for s in scores.values()) == pytest.approx(1, rel=1e-5)


def test_with_one_mini_batch_taylor_and_snip_rank_alike_and_with_several_they_do_not(net):
    def orders(n):
        data = Noise(n, SHAPE)
        return [weight_scores(net, ["5"], name, data=data)["5"].flatten().argsort(stable=True) for name in ("taylor", "snip")]

    assert torch.equal(*orders(BATCH))
    assert not torch.equal(*orders(3 * BATCH))


def test_layers_that_are_not_reached_or_dead_score_zero():
    class Partly(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.dead, self.unused = nn.Linear(6, 5), nn.Linear(6, 5), nn.Linear(6, 5)

        def forward(self, x):
            return self.used(x) + 0 * self.dead(x)

    net, layers = Partly(), ("used", "dead", "unused")
    for name in ("taylor", "snip"):
        scores = weight_scores(net, layers, name, data=Noise(40, (6,)))
        assert float(scores["used"].min()) > 0
        assert not scores["dead"].any() and not scores["unused"].any()
        assert not weight_scores(net, ["unused"], name, data=Noise(40, (6,)))["unused"].any()
    assert not channel_scores(net, layers, "taylor", data=Noise(40, (6,)))["dead"].any()


def test_a_weight_that_serves_twice_gets_the_gradient_of_both():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(5, 5, bias=False), nn.Linear(5, 5, bias=False)
            self.b.weight = self.a.weight

        def forward(self, x):
            return self.b(torch.tanh(self.a(x)))

    net, data = Twice(), Noise(30, (5,))
    F.cross_entropy(net(data.x), data.y).backward()
    expected = (net.a.weight.grad * net.a.weight).square().detach()
    torch.testing.assert_close(weight_scores(net, ["a"], "taylor", data=data)["a"], expected, rtol=1e-4, atol=1e-12)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("name", ["taylor", "snip", "wanda"])
def test_scores_are_the_same_where_the_caller_turned_gradients_off(net, context, name):
    data = Noise(40, SHAPE)
    expected = weight_scores(net, ["0"], name, data=data)["0"]
    with context():
        there = weight_scores(net, ["0"], name, data=data)["0"]
        born_there = weight_scores(small_net(), ["0"], name, data=Noise(40, SHAPE))["0"]
    assert torch.equal(there, expected)
    assert not there.requires_grad and not there.is_inference()
    assert torch.equal(born_there, expected)


@pytest.mark.parametrize("name", ["taylor", "snip", "wanda"])
def test_a_model_in_training_mode_is_scored_in_eval_mode_and_stays_as_it_is(name):
    net = small_net()
    net.insert(4, nn.Dropout(0.5))
    net.eval()
    data = Noise(40, SHAPE)
    expected = weight_scores(net, ["0", "3"], name, data=data)
    net.train().requires_grad_(True)
    net[3].eval()
    before, flags = state_hash(net), [m.training for m in net.modules()]
    scores = weight_scores(net, ["0", "3"], name, data=data)
    assert all(torch.equal(scores[layer], expected[layer]) for layer in expected)
    assert state_hash(net) == before and [m.training for m in net.modules()] == flags
    assert all(p.requires_grad and p.grad is None for p in net.parameters())


SEEN = []


class Watched(nn.Module):
    """Looks, in the middle of every forward pass, at the model that others share."""

    def forward(self, x):
        shared, weight = SEEN[:2]
        SEEN.append(shared[1].weight is weight and not weight.requires_grad and not shared[1]._forward_pre_hooks)
        return x


@pytest.mark.parametrize("name", ["taylor", "snip", "wanda"])
def test_the_shared_model_is_itself_in_the_middle_of_scoring(name):
    net = nn.Sequential(nn.Flatten(), nn.Linear(6, 5), Watched()).eval().requires_grad_(False)
    SEEN[:] = [net, net[1].weight]
    weight_scores(net, ["1"], name, data=Noise(40, (6,)))
    assert len(SEEN) > 3 and all(SEEN[2:])


@pytest.mark.parametrize(
    ("score", "name"), [(weight_scores, "taylor"), (weight_scores, "snip"), (weight_scores, "obd"), (channel_scores, "hutchinson")]
)
def test_mini_batches_that_are_too_large_for_memory_run_in_parts_and_give_the_same(monkeypatch, score, name):
    class Counted(nn.Embedding):
        def forward(self, ids):
            ran.append(len(ids))
            return super().forward(ids)

    with torch.random.fork_rng():
        torch.manual_seed(0)
        net, ran = nn.Sequential(Counted(27, 6), nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 27)).eval(), []
    texts = ["to be or not to be" + " that is the question" * n for n in range(1, 9)]  # windows with padding, too
    data = WindowSplit.of(texts, Coding(Letters(), length=8), "texts")
    monkeypatch.setattr(gradients, "KEPT", 1 << 30)
    whole = score(net, ["1", "3"], name, data=data)
    assert max(ran) == BATCH
    ran.clear()
    monkeypatch.setattr(gradients, "KEPT", 20_000)
    parts = score(net, ["1", "3"], name, data=data)
    assert 1 < max(ran) <= BATCH // 4
    for layer, each in whole.items():
        np.testing.assert_allclose(parts[layer], each, rtol=1e-4, atol=1e-9)


@dataclass
class Answer:
    text: str
    logits: torch.Tensor


@pytest.mark.parametrize(
    "wrap",
    [
        lambda t: (t, t[:, :2] * 9),
        lambda t: [t.argmax(1), t],
        lambda t: {"ids": torch.ones(len(t), 7, dtype=torch.int64), "features": t[:, :, None], "logits": t},
        lambda t: Answer("none", t),
        lambda t: ((t,), 3),
    ],
)
def test_class_scores_are_found_in_what_the_model_returns(wrap):
    class Wrapped(nn.Linear):
        def forward(self, x):
            return wrap(super().forward(x))

    class Net(nn.Module):
        def __init__(self, head):
            super().__init__()
            self.head = head

        def forward(self, x):
            return self.head(x)

    wrapped = Wrapped(6, 5)
    plain = nn.Linear(6, 5)
    plain.load_state_dict(wrapped.state_dict())
    scores = [weight_scores(Net(head), ["head"], "taylor", data=Noise(40, (6,)))["head"] for head in (wrapped, plain)]
    assert torch.equal(*scores)


def test_what_is_no_classifier_is_refused():
    data = Noise(10, (2, 6))
    with pytest.raises(ModelError, match=r"must return \[N, classes\], here \[10, classes\]; got \[10, 2, 5\] float32. It has to be"):
        weight_scores(nn.Sequential(nn.Linear(6, 5)), ["0"], "taylor", data=data)


@pytest.mark.parametrize("name", ["taylor", "snip", "wanda"])
def test_images_of_another_shape_are_refused(net, name):
    with pytest.raises(ModelError, match=r"does not run on samples of shape \[3, 5, 5\]: .*Choose data of the shape"):
        weight_scores(net, ["0"], name, data=Noise(10, (3, 5, 5)))


def test_labels_beyond_the_models_classes_are_refused(net):
    data = Noise(10, SHAPE, classes=9)
    data.y[0] = 8
    with pytest.raises(DataError, match=r"label 8 is outside 0..4: the model has 5 classes"):
        weight_scores(net, ["0"], "snip", data=data)
    data.y[:] = -1
    with pytest.raises(DataError, match=r"label -1 is outside 0..4"):
        channel_scores(net, ["0"], "taylor", data=data)
    data.y = torch.rand(10)
    with pytest.raises(ModelError, match=r"the targets are \[10\], and the model returns no tensor of that shape"):
        weight_scores(net, ["0"], "taylor", data=data)


def test_an_output_that_is_not_finite_is_refused(net):
    net[5].bias[0] = torch.nan
    with pytest.raises(ModelError, match="the model's output holds NaN or infinity"):
        weight_scores(net, ["0"], "taylor", data=Noise(10, SHAPE))


class Root(nn.Module):
    """Finite forwards, at zero not finite backwards."""

    def forward(self, x):
        return torch.sqrt(x.abs() * 0)


@pytest.mark.parametrize("score", [weight_scores, channel_scores])
def test_a_gradient_that_is_not_finite_is_said(score):
    net = nn.Sequential(nn.Linear(6, 5), Root())
    with pytest.raises(ModelError, match="the gradient of layer 0 holds NaN or infinity"):
        score(net, ["0"], "taylor", data=Noise(40, (6,)))
    with pytest.raises(ModelError, match="the gradient of layer 0 holds NaN or infinity"):
        weight_scores(net, ["0"], "snip", data=Noise(40, (6,)))


def test_a_model_that_lets_no_gradient_through_is_said():
    class Sealed(nn.Linear):
        @torch.no_grad()
        def forward(self, x):
            return super().forward(x)

    with pytest.raises(ModelError, match="lets no gradient through"):
        weight_scores(nn.Sequential(Sealed(6, 5)), ["0"], "taylor", data=Noise(10, (6,)))
