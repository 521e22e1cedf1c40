"""The registry, and scores against their formulas, written out in numpy."""

import numpy as np
import pytest
import torch
from torch import nn

import prunekit
from prunekit.config.choices import CHANNEL_CRITERIA, NEEDS_DATA, SEEDED, WEIGHT_CRITERIA
from prunekit.config.choices import CRITERIA as NAMES
from prunekit.criteria.methods import CRITERIA
from prunekit.criteria.scoring import channel_scores, weight_scores
from prunekit.errors import DataError, ModelError, PruningError, SpecError
from prunekit.models.layers import prunable_layers
from prunekit.models.state import state_hash
from tests.criteria.samples import Noise

NET = nn.Sequential(nn.Conv2d(2, 5, 3), nn.Linear(4, 6))


def test_every_criterion_is_described_and_the_lists_keep_their_order():
    assert NAMES == (
        "l1",
        "l2",
        "random",
        "lamp",
        "taylor",
        "fisher",
        "head_importance",
        "obd",
        "hutchinson",
        "snip",
        "activation",
        "wanda",
        "sparsegpt",
        "bn_scale",
        "fpgm",
    )
    assert WEIGHT_CRITERIA == ("l1", "l2", "random", "lamp", "taylor", "fisher", "obd", "snip", "wanda", "sparsegpt")
    assert tuple(name for name in NAMES if name not in ("snip", "wanda", "sparsegpt")) == tuple(CHANNEL_CRITERIA)
    unlooking = ("l1", "l2", "random", "lamp", "bn_scale", "fpgm")
    assert tuple(name for name in NAMES if name not in unlooking) == NEEDS_DATA and ("random", *NEEDS_DATA) == SEEDED
    for name, each in CRITERIA.items():
        assert each.name == name and each.title and each.formula and each.source and each.advice.endswith(".")
        assert each.only or (each.weight and each.channel)


@pytest.mark.parametrize(
    ("name", "weight", "channel"),
    [
        ("l1", np.abs, lambda w: np.abs(w).reshape(len(w), -1).sum(1)),
        ("l2", np.square, lambda w: np.sqrt(np.square(w.astype(np.float64)).reshape(len(w), -1).sum(1))),
    ],
)
def test_magnitudes(name, weight, channel):
    for layer in ("0", "1"):
        w = NET.get_submodule(layer).weight.detach().numpy()
        np.testing.assert_array_equal(weight_scores(NET, [layer], name)[layer].numpy(), weight(w))
        np.testing.assert_allclose(channel_scores(NET, [layer], name)[layer], channel(w), rtol=1e-6)


def test_random_is_uniform_by_seed_and_layer():
    net = nn.Sequential(nn.Linear(200, 200))
    scores = weight_scores(net, ["0"], "random", 3)["0"]
    assert torch.equal(scores, weight_scores(net, ["0"], "random", 3)["0"])
    assert not torch.equal(scores, weight_scores(net, ["0"], "random", 4)["0"])
    assert float(scores.min()) >= 0 and float(scores.max()) < 1
    assert abs(float(scores.mean()) - 0.5) < 0.01  # 40,000 draws: five standard errors are 0.007
    assert len(set(channel_scores(net, ["0"], "random", 3)["0"].tolist())) == 200


def test_random_does_not_depend_on_the_values_or_on_the_other_layers():
    one, other = (nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)) for _ in range(2))
    alone, both = weight_scores(one, ["0"], "random", 3), weight_scores(other, ["1", "0"], "random", 3)
    assert torch.equal(alone["0"], both["0"])
    assert not torch.equal(both["0"], both["1"])


def test_the_scale_of_a_batch_norm_is_the_size_of_its_gamma():
    net = nn.Sequential(nn.Conv2d(1, 3, 1), nn.BatchNorm2d(3), nn.BatchNorm1d(4, affine=False))
    net[1].weight.data = torch.tensor([0.5, -2.0, 0.0])
    scores = channel_scores(net, ["1", "2"], "bn_scale")
    assert scores["1"].dtype == np.float64
    assert scores["1"].tolist() == [0.5, 2.0, 0.0]
    assert scores["2"].tolist() == [1, 1, 1, 1]


def test_the_scale_of_what_is_no_batch_norm_is_refused():
    net = nn.Sequential(nn.Conv2d(1, 3, 1), nn.BatchNorm2d(3))
    for name in ("0", "nowhere"):
        with pytest.raises(PruningError, match=f"takes names of BatchNorm modules, and '{name}' is none; there are 1"):
            channel_scores(net, [name], "bn_scale")
    net[1].weight.data[1] = torch.nan
    with pytest.raises(ModelError, match="layer 1 holds NaN or infinite scales"):
        channel_scores(net, ["1"], "bn_scale")


def test_an_unknown_criterion_is_named():
    with pytest.raises(SpecError, match="criterion must be one of l1, l2, random"):
        weight_scores(NET, ["0"], "l0")


def test_a_criterion_scores_only_what_it_is_made_for():
    for name, criterion in CRITERIA.items():
        if criterion.weight is None:
            with pytest.raises(SpecError, match=f"'{name}' does not score single weights"):
                weight_scores(NET, ["0"], name)
        if criterion.channel is None:
            with pytest.raises(SpecError, match=f"'{name}' does not score channels"):
                channel_scores(NET, ["0"], name)


def test_a_criterion_that_looks_at_data_asks_for_them():
    for name in NEEDS_DATA:
        with pytest.raises(DataError, match=f"criterion '{name}' looks at training data: pass data=..., or choose l1"):
            (weight_scores if CRITERIA[name].weight else channel_scores)(NET, ["0"], name)
    with pytest.raises(DataError, match="'taylor' looks at training data"):
        channel_scores(NET, ["0"], "taylor")


@pytest.mark.parametrize("wrong", [{"samples": 0}, {"samples": 2.5}, {"seed": -1}])
def test_a_count_or_a_seed_out_of_range_is_refused(wrong):
    with pytest.raises(SpecError, match=f"{next(iter(wrong))} must be a whole number of at least"):
        weight_scores(NET, ["0"], "taylor", data=Noise(4, (2, 8, 8)), **wrong)


def test_half_precision_scores_in_float32():
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 6)).to(torch.bfloat16)
    for name in WEIGHT_CRITERIA:
        scores = weight_scores(net, ["1"], name, data=Noise(8, (1, 2, 2)))["1"]
        assert scores.dtype == torch.float32 and float(scores.sum()) > 0


@pytest.fixture(scope="module")
def digits():
    return prunekit.load_model("digits_cnn"), prunekit.load_data("digits")


def scores_of(model, name, data, **kwargs):
    """Every score that a criterion gives for a model, as arrays."""
    criterion, found = CRITERIA[name], {}
    if criterion.weight:
        found |= {f"{k}.weight": v.numpy() for k, v in weight_scores(model, prunable_layers(model), name, data=data, **kwargs).items()}
    if criterion.channel:
        norms = [k for k, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)]
        layers = norms if criterion.carrier == "norm" else prunable_layers(model)
        found |= {f"{k}.channel": v for k, v in channel_scores(model, layers, name, data=data, **kwargs).items()}
    return found


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_of_the_right_kind_and_the_same_each_time_and_leave_the_model_alone(digits, name):
    model, data = digits
    before, flags = state_hash(model), [(p.requires_grad, id(p)) for p in model.parameters()]
    first = scores_of(model, name, data, samples=100)
    again = scores_of(model, name, data, samples=100)
    for key, score in first.items():
        layer, kind = key.rsplit(".", 1)
        weight = model.get_submodule(layer).weight
        assert score.shape == (weight.shape if kind == "weight" else weight.shape[:1])
        assert score.dtype == (np.float32 if kind == "weight" else np.float64)
        assert np.isfinite(score).all() and score.min() >= 0 and score.max() > 0
        np.testing.assert_array_equal(score, again[key])
    assert state_hash(model) == before
    assert [(p.requires_grad, id(p)) for p in model.parameters()] == flags
    assert not any(m.training or m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert all(p.grad is None for p in model.parameters())


def accuracy_without(model, scores, share, data):
    """Accuracy on the test images when the lowest-scoring share of all weights is zero."""
    values = np.concatenate([s.numpy().ravel() for s in scores.values()])
    keep = np.ones(values.size, np.float32)
    keep[np.argsort(values, kind="stable")[: round(share * values.size)]] = 0
    state, start = dict(model.state_dict()), 0
    for name, score in scores.items():
        part = torch.from_numpy(keep[start : start + score.numel()]).view(score.shape)
        state[f"{name}.weight"] = state[f"{name}.weight"] * part
        start += score.numel()
    x, y = next(data.test.batches(len(data.test)))
    return float((torch.func.functional_call(model, state, (x,)).argmax(1) == y).float().mean())


def test_every_criterion_beats_random_by_far_on_the_digits(digits):
    model, data = digits
    layers = prunable_layers(model)
    chance = max(accuracy_without(model, weight_scores(model, layers, "random", seed), 0.7, data) for seed in range(5))
    for name in set(WEIGHT_CRITERIA) - {"random"}:
        accuracy = accuracy_without(model, weight_scores(model, layers, name, data=data), 0.7, data)
        assert accuracy > chance + 0.3, name
