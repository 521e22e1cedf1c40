"""Layers, counts, hashes, histograms and widths against torch and numpy."""

import copy

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from prunekit import models
from prunekit.errors import CheckpointError, ModelError, PruningError
from prunekit.models.meta_copy import meta_copy
from tests.nets import SHAPE, nets
from tests.tables import case


@given(nets())
def test_macs_are_what_a_real_forward_pass_counts(net):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(1, *SHAPE))
    table = models.layer_table(net, SHAPE)
    assert models.model_macs(net, SHAPE) == counter.get_total_flops() // 2 == table.macs.sum()
    assert table.params.sum() <= sum(p.numel() for p in net.parameters())
    assert list(table.name) == list(models.prunable_layers(net))


@pytest.mark.parametrize(
    ("name", "params", "gmacs"),
    [("resnet18", 11_689_512, 1.814), ("vgg11", 132_863_336, 7.609), ("mobilenet_v2", 3_504_872, 0.301)],
)
def test_published_figures(name, params, gmacs):
    """Parameters and GMACs that torchvision documents for its own weights."""
    with torch.device("meta"):
        model = getattr(torchvision.models, name)()
    assert sum(p.numel() for p in model.parameters()) == params
    assert models.model_macs(model, (3, 224, 224)) / 1e9 == pytest.approx(gmacs, abs=6e-3)


def test_counts_of_masks_equal_counts_of_the_masked_copy():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 3))
    masks = {name: torch.rand_like(models.weight_of(net, name)) > 0.6 for name in models.prunable_layers(net)}
    masked = copy.deepcopy(net)
    with torch.no_grad():
        for name, mask in masks.items():
            masked.get_submodule(name).weight.mul_(mask)
    assert models.count(net, (1, 6, 6), masks) == models.count(masked, (1, 6, 6))


def test_a_model_that_does_not_run_on_the_shape_says_so():
    with pytest.raises(ModelError, match="does not run on an input of shape"):
        models.model_macs(nn.Sequential(nn.Conv2d(3, 4, 3)), (1, 8, 8))


@given(nets(), st.data())
def test_the_hash_sees_every_single_change_and_nothing_else(net, data):
    before = models.state_hash(net)
    assert models.state_hash(copy.deepcopy(net).train().requires_grad_(False)) == before
    changed = copy.deepcopy(net)
    entries = [t for t in changed.state_dict().values() if t.is_floating_point()]
    entry = data.draw(st.sampled_from(range(len(entries))))
    flat = entries[entry].view(-1)
    flat[data.draw(st.integers(0, flat.numel() - 1))] += 1
    assert models.state_hash(changed) != before


@given(st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=200), st.integers(1, 40))
def test_histogram_is_numpys(values, bins):
    found = models.histogram(torch.tensor(values), bins=bins, range=(-1.0, 2.0))
    counts, edges = np.histogram(np.array(values), bins=bins, range=(-1.0, 2.0))
    assert (found.counts == counts).all() and (found.edges == edges).all() and found.n == len(values)
    assert found.mean == pytest.approx(np.mean(values), abs=1e-6) and found.std == pytest.approx(np.std(values), abs=1e-6)


@pytest.mark.parametrize("p", [1, 2])
def test_filter_norms_are_torchs(p):
    weight = torch.randn(7, 3, 2, 2)
    expected = torch.linalg.vector_norm(weight.flatten(1).double(), ord=p, dim=1)
    np.testing.assert_allclose(models.filter_norms(weight, p), expected.numpy(), rtol=1e-12)


def test_histogram_of_nan_is_refused():
    with pytest.raises(PruningError, match="NaN"):
        models.histogram(torch.tensor([0.0, float("nan")]))


@given(nets())
def test_widths_rebuild_a_model_of_the_same_shapes(net):
    wide = models.widths(net)
    for name, values in wide.items():
        if "groups" in values and values["groups"] == 1 and name == "stem":
            values["out_channels"] += 3
    fresh = copy.deepcopy(net)
    weight, bias = net.stem.weight, net.stem.bias
    values = {"stem.weight": torch.cat([weight, weight[:1], weight[:1], weight[:1]]), "stem.bias": torch.cat([bias, torch.ones(3)])}
    models.apply_widths(fresh, wide, values)
    assert models.widths(fresh) == wide
    assert torch.equal(fresh.stem.weight, values["stem.weight"]) and torch.equal(fresh.stem.bias, values["stem.bias"])


def test_widths_from_a_file_are_checked():
    for bad in [
        {"0": {"in_channels": 1, "out_channels": 0, "groups": 1}},
        {"0": {"in_channels": 1, "out_channels": 4}},
        {"0": {"in_channels": 1, "out_channels": 4, "groups": 1, "forward": 3}},
        {"0": {"in_channels": 1, "out_channels": 4.0, "groups": 1}},
        {"0": {"in_channels": 3, "out_channels": 4, "groups": 2}},
        {"0": {"in_channels": 2**40, "out_channels": 4, "groups": 1}},
        {"nope": {"in_channels": 1, "out_channels": 4, "groups": 1}},
        {"1": {"training": 1}},
        {"0": [1]},
    ]:
        with case(bad):
            net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
            with pytest.raises(CheckpointError):
                models.apply_widths(net, bad)
            assert tuple(net[0].weight.shape) == (4, 1, 3, 3)


def test_a_copy_without_values_keeps_ties_and_leaves_the_model_alone():
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.BatchNorm1d(4))
    net[1].weight = net[0].weight
    before = models.state_hash(net)
    meta = meta_copy(net)
    assert meta[0].weight is meta[1].weight and all(t.is_meta for t in meta.state_dict().values())
    assert models.state_hash(net) == before and not net[0].weight.is_meta


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(784, 2)), (1, 28, 28)),
        (nn.Sequential(nn.Linear(7, 2)), (7,)),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 62 * 62, 2)), (3, 64, 64)),
    ],
)
def test_the_input_shape_is_found_by_trying(model, shape):
    assert models.input_shape_of(model) == shape


def test_a_model_that_takes_nothing_known_is_an_error():
    with pytest.raises(ModelError, match="pass data"):
        models.input_shape_of(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(17, 2)))
