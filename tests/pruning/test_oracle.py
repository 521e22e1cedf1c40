"""torch-pruning (Fang et al., 2023, DepGraph; arXiv:2301.12900) as an oracle: the same coupled channels, the same removed indices.

Where the two differ, the difference is named in ``DIFFERENCES`` with the reason, and a test of its own lets the proof decide. A difference
that vanishes fails here as one that appears.
"""

import numpy as np
import pytest
import torch
from hypothesis import given
from torch import nn
from torchvision.models import DenseNet

from prunekit import load_model
from prunekit.config.spec import PruneSpec
from prunekit.errors import PruningError
from prunekit.models.layers import prunable_layers
from prunekit.models.zoos import torchvision_names
from prunekit.pruning.api import prune
from prunekit.pruning.masked_reference import zeroed
from prunekit.pruning.proof import prove
from prunekit.pruning.proof_inputs import randomise
from prunekit.pruning.structured.grouping import trace
from prunekit.pruning.structured.plan import Removal
from prunekit.pruning.structured.ranking import ChannelRanking
from prunekit.pruning.structured.surgery import shrink
from tests.nets import SHAPE as SMALL
from tests.nets import Net, plain_nets
from tests.pruning.peer import Theirs, ours_removed, places, same_state, they_prune

pytestmark = pytest.mark.filterwarnings("ignore")

DIFFERENCES = {
    "classes": "torch-pruning removes the model's classes unless it is told to leave the last layer out; here an output never goes",
    "auxiliary": "heads that run in training only do not exist for torch-pruning, so that its smaller model no longer trains",
    "grouped": "every group of a convolution needs equally many channels: here whole groups go, or one place in each of them; "
    "torch-pruning removes the single channel that it is asked for, and leaves a convolution that does not run or mixes up its groups",
    "grid": "a concatenation that is flattened with more than one position a channel: torch-pruning takes the parts for one another",
    "shuffle": "torch-pruning divides by zero where an axis is cut into chunks",
}
IMAGE = (3, 64, 64)
QUICK = ("digits_mlp", "digits_cnn", "mnist_lenet5", "cifar10_resnet20", "torchvision/resnet18", "torchvision/mobilenet_v3_small")
MODELS = {
    "digits_mlp": ((1, 8, 8), {"classes"}),
    "digits_cnn": ((1, 8, 8), {"classes"}),
    "mnist_lenet5": ((1, 28, 28), {"classes"}),
    "cifar10_resnet20": ((3, 32, 32), {"classes"}),
    "torchvision/resnet18": (IMAGE, {"classes"}),
    "torchvision/resnet50": (IMAGE, {"classes"}),
    "torchvision/alexnet": (IMAGE, {"classes"}),
    "torchvision/vgg11_bn": (IMAGE, {"classes"}),
    "torchvision/squeezenet1_1": (IMAGE, {"classes"}),
    "torchvision/densenet121": (IMAGE, {"classes"}),
    "torchvision/mobilenet_v2": (IMAGE, {"classes"}),
    "torchvision/mobilenet_v3_small": (IMAGE, {"classes"}),
    "torchvision/mnasnet0_5": (IMAGE, {"classes"}),
    "torchvision/efficientnet_b0": (IMAGE, {"classes"}),
    "torchvision/googlenet": (IMAGE, {"classes", "auxiliary"}),
    "torchvision/inception_v3": ((3, 299, 299), {"classes", "auxiliary"}),
    "torchvision/regnet_x_400mf": (IMAGE, {"classes", "grouped"}),
    "torchvision/regnet_y_400mf": (IMAGE, {"classes", "grouped"}),
    "torchvision/resnext50_32x4d": (IMAGE, {"classes", "grouped"}),
    "torchvision/shufflenet_v2_x0_5": (IMAGE, {"shuffle"}),
}
GROUPED = ("regnet", "resnext")
PLAIN = ("resnet", "wide_resnet", "vgg", "alexnet", "squeezenet", "densenet", "mobilenet", "mnasnet", "efficientnet")
TOO_SLOW = ("torchvision/densenet121", "torchvision/vgg11_bn")  # torch-pruning takes a minute and more to rank their channels
SAME_PICKS = tuple(name for name, (_, kinds) in MODELS.items() if kinds == {"classes"} and name not in TOO_SLOW)
CHANNELS = 3  # asked for in every layer: couplings are the same along a layer but at its ends, and those are met at random


def by_time(names):
    """Return parameters of a test: a few models at once, the others where slow tests run."""
    return [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in names]


def outputs_of(removed, layer):
    return sorted(index for name, side, index in removed if (name, side) == (layer, "out"))


def compare(model, graph, theirs, layer, channel):
    """Return which of the named differences there is on one channel; None where the two agree, or in what they differ unexplained."""
    if not theirs.knows(layer):
        return "auxiliary"
    found = theirs.removed(layer, [channel])
    if layer in graph.immovable:
        return "classes" if found == {(layer, "out", channel)} else f"{layer} is immovable here, there it goes with {sorted(found)[:5]}"
    positions, atoms, _ = graph.incidence[layer]
    choices = [ours_removed(model, graph, atom) for atom in atoms[positions == channel]]
    if found in choices:
        return None
    more = [choice - found for choice in choices if found < choice]
    if len(choices) > 1 and len(more) == len(choices):
        # asked for one place in every group at once, torch-pruning removes the same; of a whole group it keeps the convolution's other side
        agreed = [theirs.removed(layer, outputs_of(choice, layer)) == choice for choice in choices]
        return "grouped" if sorted(agreed) == [False, True] else f"{layer}: {[sorted(extra)[:9] for extra in more]}"
    unseen = {name for choice in more for name, _, _ in choice}
    if unseen and not any(theirs.knows(name) for name in unseen):
        return "auxiliary"
    return f"{layer}: torch-pruning removes {sorted(found)[:9]}, prunekit {[sorted(choice)[:9] for choice in choices]}"


def differences(model, shape):
    """Return the names of all differences on a few channels of every layer."""
    graph = trace(model, shape)
    try:
        theirs = Theirs(model, shape)
    except ZeroDivisionError:
        return {"shuffle"}
    draw = np.random.default_rng(0)
    picks = [(name, i) for name in graph.layers for i in draw.permutation(graph.outputs[name].size)[:CHANNELS].tolist()]
    return {compare(model, graph, theirs, *pick) for pick in picks} - {None}


@pytest.mark.parametrize("name", by_time(MODELS))
def test_the_coupled_channels_are_torch_prunings_but_for_the_differences_named(name):
    shape, expected = MODELS[name]
    assert expected <= set(DIFFERENCES)
    assert differences(load_model(name), shape) == expected


@pytest.mark.nightly
@pytest.mark.parametrize("name", [name for name in torchvision_names() if name.startswith(PLAIN + GROUPED) and name != "regnet_y_128gf"])
def test_the_coupled_channels_of_every_member_of_a_family_are_torch_prunings(name):
    assert differences(load_model(f"torchvision/{name}"), IMAGE) == {"classes", *["grouped"] * name.startswith(GROUPED)}


@given(plain_nets())
def test_the_coupled_channels_of_random_networks_are_torch_prunings(net):
    graph, theirs = trace(net, SMALL), Theirs(net, SMALL)
    found = {compare(net, graph, theirs, name, i) for name in graph.layers for i in range(graph.outputs[name].size)}
    assert found == {None, "classes"}


def ranked(model, graph):
    """Return the scored channels of all layers, and the score of every atom."""
    spec = PruneSpec(mode="structured", criterion="l1", scope="uniform", layers=prunable_layers(model))
    ranking = ChannelRanking.of(model, spec, graph)
    return ranking, {a: s for g in ranking.groups for a, s in zip(g.atoms.tolist(), ranking.scores[g.id].tolist(), strict=True)}


class SmallDenseNet(DenseNet):
    """DenseNet's pattern at a size at which torch-pruning takes a second."""

    def __init__(self):
        super().__init__(growth_rate=8, block_config=(3, 3), num_init_features=16, bn_size=2, num_classes=10)


@pytest.mark.parametrize("name", [*by_time(SAME_PICKS), "a small DenseNet"])
def test_the_same_scores_remove_the_same_channels_of_every_layer(name):
    model, shape = (load_model(name), MODELS[name][0]) if name in MODELS else (SmallDenseNet().eval(), IMAGE)
    graph = trace(model, shape)
    ranking, by_atom = ranked(model, graph)
    plan = ranking.cut(0.5)
    small, kept = they_prune(model, graph, shape, by_atom, 0.5, everywhere=False)
    assert kept == plan.kept and same_state(small, shrink(model, plan))


@pytest.mark.parametrize("name", ["digits_cnn", "cifar10_resnet20", "torchvision/resnet18", "torchvision/mobilenet_v3_small"])
def test_the_same_scores_remove_the_same_channels_of_all_layers_together(name):
    model, shape = load_model(name), MODELS[name][0]
    graph = trace(model, shape)
    spec = PruneSpec(mode="structured", sparsity=0.37, criterion="l1", scope="global", layers=prunable_layers(model))
    plan, by_atom = ChannelRanking.of(model, spec, graph).cut(), ranked(model, graph)[1]
    total = sum(group.size for group in plan.groups)
    ratio = (plan.atoms.size - 0.5) / total  # torch-pruning rounds what stays down: half a channel less comes out as ours
    small, kept = they_prune(model, graph, shape, by_atom, ratio, everywhere=True)
    assert kept == plan.kept and same_state(small, shrink(model, plan))
    assert len({round(len(left) / graph.outputs[layer].size, 2) for layer, left in kept.items()}) > 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["torchvision/regnet_x_400mf", "torchvision/resnext50_32x4d"])
def test_places_that_torch_pruning_takes_from_every_group_of_a_convolution_make_the_same_model_here(name):
    model, shape = load_model(name), MODELS[name][0]
    graph, draw = trace(model, shape), np.random.default_rng(5)
    scores = {group.id: draw.random(group.size) for group in places(graph)}
    atoms = np.concatenate([group.atoms[np.argsort(scores[group.id])[: group.size // 2]] for group in places(graph)])
    by_atom = {a: s for group in places(graph) for a, s in zip(group.atoms.tolist(), scores[group.id].tolist(), strict=True)}
    small, kept = they_prune(model, graph, shape, by_atom, 0.5, everywhere=False)
    removal = Removal(graph, atoms)
    assert kept == removal.kept and same_state(small, shrink(model, removal)) and prove(model, removal).passed


def error_against_zeroing(dense, removal, theirs, shape):
    """Return how far a model of torch-pruning's is from zeroing what it says it removed: max|a - b| / max|a|."""
    x = torch.randn(2, *shape, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        a, b = zeroed(dense, removal)(x), theirs(x)
    return float((a - b).abs().max() / a.abs().max())


def test_difference_classes():
    model = load_model("torchvision/resnet18")
    assert Theirs(model, IMAGE).without("fc", [0])(torch.zeros(1, *IMAGE)).shape == (1, 999)
    with pytest.raises(PruningError, match="model's outputs"):
        prune(model, PruneSpec(mode="structured", layers=("fc",)), input_shape=IMAGE)
    result = prune(model, PruneSpec(mode="structured", layers=prunable_layers(model)), input_shape=IMAGE)
    assert result.proof.passed and len(result.kept["fc"]) == 1000


@pytest.mark.slow
def test_difference_auxiliary():
    model = load_model("torchvision/googlenet")
    graph, layer = trace(model, IMAGE), "inception4a.branch1.conv"
    removal = Removal(graph, np.unique(graph.incidence[layer][1])[:5])
    ours, theirs = shrink(model, removal), Theirs(model, IMAGE).without(layer, range(5))
    assert prove(model, removal).passed
    x = torch.randn(2, *IMAGE)
    with torch.inference_mode():
        assert torch.equal(ours(x), theirs(x))
        assert len(ours.train()(x)) == 3
        with pytest.raises(RuntimeError, match="channels"):
            theirs.train()(x)


@pytest.mark.slow
def test_difference_grouped():
    dense, layer, shape = randomise(load_model("torchvision/resnext50_32x4d")), "layer1.0.conv1", IMAGE
    graph = trace(dense, shape)
    with pytest.raises(RuntimeError, match="channels"):
        Theirs(dense, shape).without(layer, [0])(torch.zeros(1, *shape))
    # the last eight groups of four: a quarter of the channels goes, so that torch-pruning's convolution runs, in 32 groups of three
    whole = graph.solution.label[graph.facts.grouped["layer1.0.conv2"]][-8:]
    removal = Removal(graph, whole)
    channels = outputs_of(ours_removed(dense, graph, whole), layer)
    assert channels == list(range(96, 128)) and prove(dense, removal).passed
    assert error_against_zeroing(dense, removal, shrink(dense, removal), shape) < 1e-4
    assert error_against_zeroing(dense, removal, Theirs(dense, shape).without(layer, channels), shape) > 1e-2


def test_difference_grouped_depthwise_with_a_multiplier():
    net = Net(4, [("depthwise", 6, 2)], 5, 1, True).eval()
    graph = trace(net, SMALL)
    atom = graph.incidence["stem"][1][:1]
    with pytest.raises(RuntimeError, match="channels"):
        Theirs(net, SMALL).without("stem", [0])(torch.zeros(1, *SMALL))
    assert outputs_of(ours_removed(net, graph, atom), "body.0.depth") == [0, 1] and prove(net, Removal(graph, atom)).passed


def test_difference_grid():
    dense = randomise(Net(4, [("dense", 3, 1)], 5, 2, True).eval())
    graph, theirs = trace(dense, SMALL), Theirs(dense, SMALL)
    found = theirs.removed("stem", [0])
    # the first channels of both parts go, without need, and the linear layer loses the columns of one of them
    assert [outputs_of(found, layer) for layer in ("stem", "body.0.conv")] == [[0], [0]]
    assert len({index for name, _, index in found if name == "fc1"}) == 4
    one, two = (graph.incidence[layer][1][:1] for layer in ("stem", "body.0.conv"))
    assert prove(dense, Removal(graph, one)).passed and prove(dense, Removal(graph, np.concatenate([one, two]))).passed
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        theirs.without("stem", [0])(torch.zeros(1, *SMALL))


def test_difference_shuffle():
    model = load_model("torchvision/shufflenet_v2_x0_5")
    with pytest.raises(ZeroDivisionError):
        Theirs(model, IMAGE)
    result = prune(model, PruneSpec(mode="structured", criterion="random", layers=prunable_layers(model)), input_shape=IMAGE)
    assert result.proof.passed and result.achieved.removed > 100


def wide_and_narrow(low, high, narrow):
    """Return a network whose first layer has weights of two sizes and whose second layer is narrow, and its couplings."""
    net = nn.Sequential(nn.Linear(8, 40), nn.ReLU(), nn.Linear(40, narrow), nn.ReLU(), nn.Linear(narrow, 3)).eval()
    with torch.no_grad():
        net[0].weight.copy_(torch.linspace(1, 2, 40)[:, None] * torch.tensor([low] * 36 + [high] * 4)[:, None])
        net[2].weight.copy_(torch.linspace(1, 1.1, narrow)[:, None].expand(-1, 40))
    return net, trace(net, (8,))


def lengths(kept):
    return {name: len(left) for name, left in kept.items()}


def test_difference_a_layer_that_would_be_emptied_stays_whole_there_and_keeps_its_best_channel_here():
    net, graph = wide_and_narrow(0.01, 10.0, 2)
    spec = PruneSpec(mode="structured", sparsity=0.9, layers=("0", "2"))
    plan = ChannelRanking.of(net, spec, graph).cut()
    _, kept = they_prune(net, graph, (8,), ranked(net, graph)[1], 0.9, everywhere=True)
    assert lengths(kept) == {"0": 4, "2": 2, "4": 3} and lengths(plan.kept) == {"0": 3, "2": 1, "4": 3}
    assert plan.atoms.size == round(0.9 * 42) and prove(net, plan).passed


@pytest.mark.parametrize(("share", "theirs", "ours"), [(0.25, 7, 8), (0.9, 10, 1)])
def test_difference_of_counts_torch_pruning_rounds_what_stays_down_and_then_drops_what_would_empty_a_layer(share, theirs, ours):
    net, graph = wide_and_narrow(1.0, 1.0, 10)
    ranking, by_atom = ranked(net, graph)
    plan = ranking.cut(share)
    _, kept = they_prune(net, graph, (8,), by_atom, share, everywhere=False)
    assert (len(kept["2"]), len(plan.kept["2"])) == (theirs, ours) and prove(net, plan).passed
