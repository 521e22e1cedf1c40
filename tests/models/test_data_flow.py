"""What flows where: ancestors in the graph against what really changes, tied tables, and blocks folded into one."""

from copy import deepcopy

import pytest
import torch
from hypothesis import given, settings
from torch import nn

from prunekit.models.data_flow import ATTENTION, INPUT, OUTPUT, data_flow, fold, stacks
from tests.nets import SHAPE, nets


def ancestors(flow):
    """Return for each node all from which something flows into it."""
    before = {node.id: set() for node in flow.nodes}
    for _ in flow.nodes:
        for a, b in flow.edges:
            before[b] |= before[a] | {a}
    return before


def inputs_of(net, x):
    """Return what enters each layer."""
    seen, hooks = {}, []
    for name, module in net.named_modules():
        if hasattr(module, "weight") and isinstance(module, (nn.Linear, nn.Conv2d)):
            hooks.append(module.register_forward_pre_hook(lambda _, args, name=name: seen.update({name: args[0].clone()})))
    with torch.no_grad():
        seen[OUTPUT] = net(x)
    for hook in hooks:
        hook.remove()
    return seen


@settings(max_examples=12)
@given(nets())
def test_a_layer_stands_before_another_where_its_weights_change_what_enters_that(net):
    net, x = net.double(), torch.rand(2, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.5
    flow, dense = data_flow(net, SHAPE), inputs_of(net, x)
    before = ancestors(flow)
    for name in dense.keys() - {OUTPUT}:
        other = deepcopy(net)
        layer = other.get_submodule(name)
        layer.weight.data = torch.rand(layer.weight.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) - 0.5
        changed = {key for key, value in inputs_of(other, x).items() if not torch.equal(value, dense[key])}
        assert changed <= {key for key in dense if name in before[key]}  # a change may vanish behind a ReLU
        assert all(INPUT in before[key] for key in dense)


class Tied(nn.Module):
    """Attention and a gate between a table and the layer that shares its weight; layers built alike."""

    def __init__(self, depth=4):
        super().__init__()
        self.table = nn.Embedding(11, 8)
        self.blocks = nn.ModuleList(Block() for _ in range(depth))
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.table.weight
        self.input_shape = (5,)

    def forward(self, ids):
        x = self.table(ids.long())
        for block in self.blocks:
            x = block(x)
        return self.head(x)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.v, self.o, self.gate = (nn.Linear(8, 8) for _ in range(5))

    def forward(self, x):
        near = torch.softmax(self.q(x) @ self.k(x).transpose(1, 2), -1) + x.new_zeros(5, 5)
        x = x + self.o(near @ self.v(x))
        return x * self.gate(x).sigmoid()


@pytest.fixture(scope="module")
def tied():
    net = Tied().eval()
    return net, data_flow(net, (5,))


def test_attention_is_one_node_a_gate_another_and_a_tied_table_a_node_of_its_own(tied):
    _, flow = tied
    first = [(node.id, node.label) for node in flow.nodes if node.module.startswith("blocks.0") and node.kind == "join"]
    assert first == [("blocks.0#0", ATTENTION), ("blocks.0#1", "+"), ("blocks.0#2", "×")]
    assert {a for a, b in flow.edges if b == "blocks.0#0"} == {"blocks.0.q", "blocks.0.k", "blocks.0.v"}
    layers = {node.id: node.layer for node in flow.nodes if node.layer}
    assert layers["table"] == layers["head"] == "head"
    assert ("table", "blocks.0.q") in flow.edges
    assert [edge for edge in flow.edges if edge[1] == OUTPUT] == [("head", OUTPUT)]


def test_blocks_that_are_built_alike_fold_into_the_first_and_each_node_is_in_one(tied):
    net, flow = tied
    (stack,) = stacks(net)
    assert (stack.name, stack.blocks) == ("blocks.0–3", ("blocks.0", "blocks.1", "blocks.2", "blocks.3"))
    folded = fold(flow, [stack])
    assert sorted(name for members in folded.members.values() for name in members) == sorted(node.id for node in flow.nodes)
    inside = [node for node in folded.flow.nodes if node.id in folded.stacks]
    assert all(len(folded.members[node.id]) == 4 for node in inside)
    assert {node.id for node in inside} == {node.id for node in flow.nodes if node.module.startswith("blocks.0")}
    order = {node.id: place for place, node in enumerate(folded.flow.nodes)}
    assert all(order[a] < order[b] for a, b in folded.flow.edges)
    assert ("blocks.0#2", "head") in folded.flow.edges
    assert fold(flow, []).flow == flow


def test_blocks_that_differ_are_not_folded():
    assert not stacks(nn.Sequential(*[nn.Sequential(nn.Linear(n, n), nn.Linear(n, n + 1)) for n in range(2, 6)]))
    assert not stacks(nn.Sequential(nn.ReLU(), nn.ReLU(), nn.ReLU()))
