"""torchvision's ResNet, VGG, AlexNet, SqueezeNet, DenseNet and MobileNetV2 families, at uneven random counts."""

import pytest
import torch

from prunekit import load_model
from prunekit.anatomy import prunable_layers, state_hash
from prunekit.pruning import ChannelRanking, carry_out, planned_counts, prune, trace
from prunekit.spec import PruneSpec

FAST = ("resnet18", "squeezenet1_1", "mobilenet_v2")
SLOW = (
    *("resnet34", "resnet50", "resnet101", "resnet152", "vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn"),
    *("alexnet", "squeezenet1_0", "densenet121", "densenet161", "densenet169", "densenet201"),
)
SHAPE = (3, 96, 96)  # every one of them pools to its own grid, so a smaller picture proves the same couplings in less time


def check(name):
    model = load_model(f"torchvision/{name}")
    before = state_hash(model)
    graph = trace(model, SHAPE)
    assert not graph.limits and list(graph.immovable) == [prunable_layers(model)[-1]]
    for seed, sparsity, scope in ((1, 0.37, "global"), (2, 0.7, "uniform")):
        spec = PruneSpec(mode="structured", sparsity=sparsity, criterion="random", scope=scope, seed=seed, layers=prunable_layers(model))
        plan = ChannelRanking.of(model, spec, graph).cut()
        result = carry_out(model, plan, spec)
        assert result.proof.passed and plan.atoms.size > 0
        assert planned_counts(model, plan, result.before) == (result.after.params, result.after.macs)
        with torch.inference_mode():
            assert result.model(torch.zeros(2, *SHAPE)).shape == (2, 1000)
    assert state_hash(model) == before


@pytest.mark.parametrize("name", FAST)
def test_pruned_and_proved(name):
    check(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_pruned_and_proved_all(name):
    check(name)


def test_resnets_couplings_are_the_known_ones():
    graph = trace(load_model("torchvision/resnet18"), SHAPE)
    coupled = {group.layers for group in graph.groups if len(group.layers) > 1}
    assert coupled == {
        ("conv1", "layer1.0.conv2", "layer1.1.conv2"),
        ("layer2.0.conv2", "layer2.0.downsample.0", "layer2.1.conv2"),
        ("layer3.0.conv2", "layer3.0.downsample.0", "layer3.1.conv2"),
        ("layer4.0.conv2", "layer4.0.downsample.0", "layer4.1.conv2"),
    }
    assert sum(group.size for group in graph.groups) == 64 * 3 + 128 * 3 + 256 * 3 + 512 * 3


def test_defaults_leave_the_stem_and_the_classifier_alone():
    model = load_model("torchvision/resnet18")
    result = prune(model, PruneSpec(mode="structured", sparsity=0.5), input_shape=SHAPE)
    assert len(result.kept["conv1"]) == 64 and len(result.kept["fc"]) == 1000
    assert any("layer1.0.conv2 stays whole: it shrinks together with conv1" in said for said in result.limits)
