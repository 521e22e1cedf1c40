"""Criteria by second derivatives against their definitions, and beside torch-pruning."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from prunekit.criteria.criterion import ScoringTask
from prunekit.criteria.gradients import hessian_diagonal
from prunekit.criteria.samples import BATCH, mixed
from prunekit.criteria.scoring import channel_scores, weight_scores
from tests.criteria.samples import Noise
from tests.pruning.peer import Theirs, oracle

SHAPE = (2, 5, 5)
LAYERS = ("0", "3")


@pytest.fixture
def net():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(nn.Conv2d(2, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(36, 5)).eval().requires_grad_(False)


def test_fisher_is_half_the_mean_square_of_single_gradients(net):
    data = Noise(40, SHAPE)
    squares = {name: 0.0 for name in LAYERS}
    for x, y in zip(data.x, data.y, strict=True):
        learner = copy.deepcopy(net).requires_grad_(True)
        functional.cross_entropy(learner(x[None]), y[None]).backward()
        squares = {name: total + learner.get_submodule(name).weight.grad.square() for name, total in squares.items()}
    single, whole = (score(net, LAYERS, "fisher", 0, data) for score in (weight_scores, channel_scores))
    for name, total in squares.items():
        expected = total / 40 * net.get_submodule(name).weight.square() / 2
        torch.testing.assert_close(single[name], expected, rtol=1e-3, atol=1e-9)
        np.testing.assert_allclose(whole[name], expected.flatten(1).sum(1), rtol=1e-3)


def test_fisher_of_channels_is_torch_prunings_grouped_hessian(net):
    data = Noise(1, SHAPE)  # of more samples it keeps the last one's gradient alone
    theirs = Theirs(net, SHAPE)
    importance = oracle.importance.GroupHessianImportance(group_reduction="first", normalizer=None)
    functional.cross_entropy(theirs.model(data.x), data.y).backward()
    importance.accumulate_grad(theirs.model)
    expected = importance(theirs.group("0", range(4))).numpy()
    np.testing.assert_allclose(2 * channel_scores(net, ["0"], "fisher", 0, data)["0"], expected, rtol=1e-4)


def exact(net, data, seed):
    """Return the diagonal of the Hessian of each mini-batch's mean loss, averaged, layer by layer."""
    found = {}
    for name in LAYERS:
        total = 0.0
        batches = list(mixed(data, 512, seed).batches(BATCH))
        for x, y in batches:
            weight = net.get_submodule(name).weight

            def loss(w, x=x, y=y, name=name):
                return functional.cross_entropy(torch.func.functional_call(net, {f"{name}.weight": w}, (x,)), y)

            whole = torch.autograd.functional.hessian(loss, weight).reshape(weight.numel(), -1)
            total = total + whole.diagonal().reshape(weight.shape)
        found[name] = total / len(batches)
    return found


def test_the_diagonal_has_no_bias(net):
    data = Noise(32, SHAPE)
    task = [ScoringTask(net, LAYERS, seed, mixed(data, 512, 0)) for seed in range(120)]
    with torch.no_grad():
        drawn = [hessian_diagonal(each) for each in task]
    for name, h in exact(net, data, 0).items():
        stacked = torch.stack([each[name] for each in drawn])
        error = (stacked.mean(0) - h) / (stacked.std(0) / len(task) ** 0.5 + 1e-9)
        assert error.abs().max() < 5 and error.square().mean() < 1.5


def test_obd_and_the_trace_are_made_of_it(net):
    data = Noise(70, SHAPE)
    with torch.no_grad():
        h = hessian_diagonal(ScoringTask(net, LAYERS, 3, mixed(data, 512, 3)))
    single = weight_scores(net, LAYERS, "obd", 3, data)
    obd, trace = (channel_scores(net, LAYERS, each, 3, data) for each in ("obd", "hutchinson"))
    for name in LAYERS:
        w = net.get_submodule(name).weight
        torch.testing.assert_close(single[name], h[name].abs() * w.square() / 2)
        np.testing.assert_allclose(obd[name], (h[name] * w.square() / 2).flatten(1).sum(1).abs(), rtol=1e-3, atol=1e-9)
        mean = h[name].flatten(1).mean(1).abs() / 2 * w.square().flatten(1).sum(1)
        np.testing.assert_allclose(trace[name], mean, rtol=1e-3, atol=1e-9)


def test_lamp_of_channels_is_torch_prunings(net):
    importance = oracle.importance.LAMPImportance(group_reduction="first")
    expected = importance(Theirs(net, SHAPE).group("0", range(4))).numpy()
    np.testing.assert_allclose(channel_scores(net, ["0"], "lamp")["0"], expected, rtol=1e-5)
