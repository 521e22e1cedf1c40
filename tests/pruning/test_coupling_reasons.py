"""Which operation ties which layers: every group is held together by its couplings, and known models have the known ones."""

import pytest
import torch
from hypothesis import given
from torch import nn

import prunekit
from prunekit.pruning.structured.grouping import trace
from tests.nets import SHAPE, Depthwise, nets


def held_together(group):
    """Walk from the first layer through the couplings; return what was reached."""
    reached = {group.layers[0]}
    for _ in group.layers:
        reached |= {name for coupling in group.couplings if reached & set(coupling.layers) for name in coupling.layers}
    return reached


@given(nets())
def test_every_group_is_held_together_by_its_couplings(net):
    for group in trace(net, SHAPE).groups:
        assert held_together(group) == set(group.layers)
        for coupling in group.couplings:
            assert len(coupling.layers) > 1 and set(coupling.layers) <= set(group.layers)
        assert group.reasons == tuple(map(str, group.couplings))


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "regnet_y_400mf"])
def test_groups_of_torchvision_are_held_together(name):
    graph = trace(prunekit.load_model(f"torchvision/{name}"), (3, 64, 64))
    assert any(group.couplings for group in graph.groups)
    for group in graph.groups:
        assert held_together(group) == set(group.layers)


def test_a_resnet_adds_what_each_block_gives_to_what_came_before():
    (first, *_) = [group for group in trace(prunekit.load_model("cifar10_resnet20"), (3, 32, 32)).groups if len(group.layers) > 1]
    assert [(c.operation, c.module, c.layers) for c in first.couplings] == [
        ("addition", "layer1.0", ("conv1", "layer1.0.conv2")),
        ("addition", "layer1.1", ("layer1.0.conv2", "layer1.1.conv2")),
        ("addition", "layer1.2", ("layer1.1.conv2", "layer1.2.conv2")),
    ]


class Excited(nn.Module):
    """A depthwise convolution whose channels are scaled by a layer that looks at them."""

    def __init__(self):
        super().__init__()
        self.stem, self.block, self.scale = nn.Conv2d(2, 4, 1), Depthwise(4, 6, 1), nn.Linear(6, 6)
        self.head = nn.Conv2d(6, 3, 1)

    def forward(self, x):
        found = self.block(self.stem(x))
        return self.head(found * self.scale(found.mean((2, 3)))[:, :, None, None])


def test_depthwise_convolutions_and_products_name_both_sides():
    groups = {group.id: group for group in trace(Excited().eval(), SHAPE).groups}
    assert [str(c) for c in groups["stem"].couplings] == ["depthwise convolution in block.depth"]
    assert groups["stem"].couplings[0].layers == ("stem", "block.depth")
    (product,) = groups["block.point"].couplings
    assert (str(product), product.layers) == ("product", ("block.point", "scale")), "the model's own forward has no module's name"


class Met(nn.Module):
    """Two layers that meet without an addition: stacked along another axis, multiplied, or read by the same layer."""

    def __init__(self, how):
        super().__init__()
        self.a, self.b, self.out = nn.Linear(5, 8), nn.Linear(5, 8), nn.Linear(8, 3)
        self.how = how

    def forward(self, x):
        a, b = self.a(x), self.b(x)
        if self.how == "stacked":
            return self.out(torch.cat([a, b], 0))
        if self.how == "multiplied":
            return a @ b.t()
        return self.out(a) * self.out(torch.relu(b))


@pytest.mark.parametrize(
    ("how", "reason"),
    [("stacked", "concatenation along another axis"), ("multiplied", "matrix product"), ("read", "matrix product in out")],
)
def test_layers_that_meet_elsewhere_are_coupled_by_that(how, reason):
    (group,) = [group for group in trace(Met(how).eval(), (5,)).groups if len(group.layers) > 1]
    assert group.layers == ("a", "b")
    assert group.reasons == (reason,)


def test_a_layer_that_shrinks_alone_has_no_couplings():
    graph = trace(prunekit.load_model("digits_mlp"), (1, 8, 8))
    assert graph.groups and not any(group.couplings for group in graph.groups)


def test_a_model_without_layers_has_no_groups():
    assert trace(nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()), (3, 4, 4)).groups == ()
