"""torchvision's convolutional classifiers, at uneven random counts.

ResNet, Wide ResNet, ResNeXt, VGG, AlexNet, SqueezeNet, DenseNet, MobileNetV2 and V3, MNASNet, EfficientNet and V2, RegNet X and Y.
"""

import dataclasses

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torchvision.models import get_model, list_models, regnet

from prunekit import load_model
from prunekit.config.spec import PruneSpec
from prunekit.models.cost import model_macs
from prunekit.models.layers import prunable_layers
from prunekit.models.state import state_hash
from prunekit.pruning.api import prune
from prunekit.pruning.execution import carry_out, planned_counts
from prunekit.pruning.proof import prove
from prunekit.pruning.structured.grouping import trace
from prunekit.pruning.structured.plan import Removal
from prunekit.pruning.structured.ranking import ChannelRanking
from prunekit.pruning.structured.surgery import shrink

FAMILY = (  # one of each in the fast tests
    *("resnet18", "squeezenet1_1", "mobilenet_v2", "mobilenet_v3_small", "mnasnet0_5", "efficientnet_b0", "efficientnet_v2_s"),
    *("regnet_x_400mf", "regnet_y_400mf", "resnext50_32x4d"),
)
LARGE = ("alexnet", "vgg11_bn", "densenet121", "wide_resnet50_2")  # of families without a small one
OTHERS = (
    *("resnet34", "resnet50", "resnet101", "resnet152", "vgg11", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn"),
    *("squeezenet1_0", "densenet161", "densenet169", "densenet201"),
    *("wide_resnet101_2", "resnext101_32x8d", "resnext101_64x4d"),
    *("mobilenet_v3_large", "mnasnet0_75", "mnasnet1_0", "mnasnet1_3", "efficientnet_v2_m", "efficientnet_v2_l"),
    *(f"efficientnet_b{k}" for k in range(1, 8)),
    *(f"regnet_{kind}_{size}" for kind in "xy" for size in ("800mf", "1_6gf", "3_2gf", "8gf", "16gf", "32gf")),
)
HUGE = "regnet_y_128gf"
FAMILIES = ("resne", "wide_resnet", "vgg", "alexnet", "squeezenet", "densenet", "mobilenet", "mnasnet", "efficientnet", "regnet")
SHAPE = (3, 96, 96)  # every one of them pools to its own grid, so a smaller picture proves the same couplings in less time
SETTINGS = ((1, 0.37), (2, 0.7))  # seed and share that goes, of all channels ranked together: every layer loses another share


def shares(plan):
    """Which shares of their channels the layers kept: equal ones would hide a missing coupling."""
    return {round(after[0] / before[0], 3) for before, after in plan.layer_shapes.values()}


def cut(model, graph, seed, sparsity):
    """Return a plan of random channels, of all layers ranked together."""
    spec = PruneSpec(mode="structured", sparsity=sparsity, criterion="random", seed=seed, layers=prunable_layers(model))
    return ChannelRanking.of(model, spec, graph).cut()


def train_one_step(model):
    """Take one step of gradient descent; return the gradients."""
    torch.manual_seed(0)
    model.train().requires_grad_(True)
    nn.functional.cross_entropy(model(torch.randn(2, *SHAPE)), torch.tensor([3, 7])).backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    return [p.grad for p in model.parameters()]


def check(name, settings):
    model = load_model(f"torchvision/{name}")
    before = state_hash(model)
    graph = trace(model, SHAPE)
    assert not graph.limits and list(graph.immovable) == [prunable_layers(model)[-1]]
    for seed, sparsity in settings:
        plan = cut(model, graph, seed, sparsity)
        assert plan.atoms.size and len(shares(plan)) > 3
        result = carry_out(model, plan, plan.spec)
        assert result.proof.passed
        assert planned_counts(model, plan, result.before) == (result.after.params, result.after.macs)
        with torch.inference_mode():
            one, two = (result.model(torch.ones(batch, *SHAPE)) for batch in (1, 2))
        assert one.shape == (1, 1000) and two.shape == (2, 1000)
        torch.testing.assert_close(two[1:], one, rtol=1e-3, atol=1e-4)
    small, shrunk = result.model, state_hash(result.model)
    assert all(grad is not None and bool(torch.isfinite(grad).all()) for grad in train_one_step(small))
    assert state_hash(small) != shrunk and state_hash(model) == before


@pytest.mark.parametrize("name", [*FAMILY, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)])
def test_pruned_and_proved(name):
    check(name, SETTINGS[:1])


@pytest.mark.nightly
@pytest.mark.parametrize("name", (*FAMILY, *LARGE, *OTHERS))
def test_pruned_and_proved_at_two_settings(name):
    check(name, SETTINGS)


def test_every_member_of_these_families_is_named_above():
    found = {name for name in list_models(module=torchvision.models) if name.startswith(FAMILIES)}
    assert found == {*FAMILY, *LARGE, *OTHERS, HUGE}


@pytest.fixture
def huge(monkeypatch):
    """A network without values. torchvision computes a RegNet's widths with tensors; those alone get some."""
    widths = regnet.BlockParams.from_init_params

    def with_values(*args, **kwargs):
        with torch.device("cpu"):
            return widths(*args, **kwargs)

    monkeypatch.setattr(regnet.BlockParams, "from_init_params", with_values)
    with torch.device("meta"):
        return get_model(HUGE, weights=None).eval()


@pytest.mark.slow
def test_the_one_of_645_million_parameters_is_cut_without_values_and_not_proved_which_would_take_8_gb(huge):
    graph = trace(huge, SHAPE)
    assert not graph.limits and list(graph.immovable) == ["fc"]
    noise = np.random.default_rng(0)
    picked = [noise.permutation(group.atoms)[: int(noise.uniform(0.1, 0.8) * group.size)] for group in graph.groups]
    removal = Removal(graph, np.concatenate(picked))
    assert len(shares(removal)) > 3
    small = shrink(huge, removal)
    gone = removal.removed_params({name: tuple(p.shape) for name, p in huge.named_parameters()})
    before, after = (sum(p.numel() for p in model.parameters()) for model in (huge, small))
    assert (before, after) == (644_812_894, before - gone) and gone > 0
    assert model_macs(small, SHAPE) == model_macs(huge, SHAPE) - removal.removed_macs()
    assert small(torch.zeros(2, *SHAPE, device="meta")).shape == (2, 1000)


def coupled(graph, prefix):
    """Return the groups that touch layers under a name: (layers without the prefix, size) -> kinds of operation that couple them."""
    found = [group for group in graph.groups if any(layer.startswith(prefix) for layer in group.layers)]
    return {(tuple(layer.removeprefix(prefix) for layer in g.layers), g.size): {c.operation for c in g.couplings} for g in found}


def test_resnets_couplings_are_the_known_ones():
    graph = trace(load_model("torchvision/resnet18"), SHAPE)
    assert {group.layers for group in graph.groups if len(group.layers) > 1} == {
        ("conv1", "layer1.0.conv2", "layer1.1.conv2"),
        ("layer2.0.conv2", "layer2.0.downsample.0", "layer2.1.conv2"),
        ("layer3.0.conv2", "layer3.0.downsample.0", "layer3.1.conv2"),
        ("layer4.0.conv2", "layer4.0.downsample.0", "layer4.1.conv2"),
    }
    assert sum(group.size for group in graph.groups) == 64 * 3 + 128 * 3 + 256 * 3 + 512 * 3


def test_a_gate_of_mobilenet_v3_goes_with_the_widened_channels_and_its_middle_by_itself():
    graph = trace(load_model("torchvision/mobilenet_v3_small"), SHAPE)
    widen, depthwise, squeeze, expand = "0.0", "1.0", "2.fc1", "2.fc2"
    assert coupled(graph, "features.5.block.") == {
        ((widen, depthwise, expand), 240): {"depthwise convolution", "product"},
        ((squeeze,), 64): set(),
        (("features.4.block.3.0", "3.0", "features.6.block.3.0"), 40): {"addition"},
    }


def test_a_regnet_y_block_shrinks_by_whole_groups_or_by_one_place_in_each_of_them():
    graph = trace(load_model("torchvision/regnet_y_400mf"), SHAPE)
    enter, grouped, squeeze, expand, leave = "f.a.0", "f.b.0", "f.se.fc1", "f.se.fc2", "f.c.0"
    assert coupled(graph, "trunk_output.block1.block1-0.") == {
        ((enter, grouped, expand), 6): {"grouped convolution", "product"},  # whole groups
        ((enter,), 8): set(),  # a place among each group's inputs
        ((grouped, expand), 8): {"product"},  # a place among each group's outputs
        ((squeeze,), 8): set(),
        (("proj.0", leave), 48): {"addition"},
    }


def test_a_resnext_block_shrinks_by_whole_groups_or_by_one_place_in_each_of_them():
    graph = trace(load_model("torchvision/resnext50_32x4d"), SHAPE)
    assert coupled(graph, "layer1.0.") == {
        (("conv1", "conv2"), 32): {"grouped convolution"},
        (("conv1",), 4): set(),
        (("conv2",), 4): set(),
        (("conv3", "downsample.0", "layer1.1.conv3", "layer1.2.conv3"), 256): {"addition"},
    }


@pytest.mark.parametrize(("name", "suffix"), [("resnext50_32x4d", "conv2"), ("regnet_y_400mf", "f.b.0")])
def test_the_groups_of_a_convolution_that_stay_keep_equally_many_channels_of_the_same_places(name, suffix):
    model = load_model(f"torchvision/{name}")
    plan = cut(model, trace(model, SHAPE), 3, 0.4)
    small = shrink(model, plan)
    fewer = 0
    for layer in (layer for layer in prunable_layers(model) if layer.endswith(suffix)):
        old, new = model.get_submodule(layer), small.get_submodule(layer)
        stays = np.isin(np.arange(old.out_channels), plan.kept[layer]).reshape(old.groups, -1)
        alive = stays[stays.any(1)]
        assert (alive == alive[0]).all() and len(alive) == new.groups and alive[0].sum() * new.groups == new.out_channels
        assert new.in_channels == new.weight.shape[1] * new.groups
        fewer += (new.groups < old.groups) + (new.out_channels / new.groups < old.out_channels / old.groups)
    assert fewer > 1


def off_by_one(part):
    """Return a surgery that keeps the wrong outputs of the layers whose name ends in ``part``: as many, one further on."""

    def surgery(model, plan):
        masks = {axis: np.roll(keep, 1) if axis[0].endswith(part) and axis[1] == 0 else keep for axis, keep in plan.masks.items()}
        wrong = dataclasses.replace(plan)
        wrong.__dict__["masks"] = masks
        return shrink(model, wrong)

    return surgery


@pytest.mark.parametrize(
    ("name", "part"),
    [("mobilenet_v3_small", "fc2.weight"), ("mobilenet_v3_small", "fc1.bias"), ("regnet_y_400mf", "f.b.0.weight")],
    ids=["the gate", "the middle of the gate", "the grouped convolution"],
)
def test_a_part_of_a_block_that_is_off_by_one_channel_fails_the_proof(name, part):
    model = load_model(f"torchvision/{name}")
    plan = cut(model, trace(model, SHAPE), 3, 0.4)
    assert prove(model, plan).passed and not prove(model, plan, surgery=off_by_one(part)).passed


def test_defaults_leave_the_stem_and_the_classifier_alone():
    model = load_model("torchvision/resnet18")
    result = prune(model, PruneSpec(mode="structured", sparsity=0.5), input_shape=SHAPE)
    assert len(result.kept["conv1"]) == 64 and len(result.kept["fc"]) == 1000
    assert any("layer1.0.conv2 stays whole: it shrinks together with conv1" in said for said in result.limits)
