"""What shrinks together, on the Layers page: facts against what removing a channel really does, words, picks and empty states."""

import json

import numpy as np
import pytest
from hypothesis import given
from torch import nn

import prunekit
from prunekit.config import registered
from prunekit.plots.theme import fade, run_colour
from prunekit.pruning.structured.channel_groups import Coupling, Group, weight_name
from prunekit.pruning.structured.grouping import trace
from prunekit.ui.components.group_changes import because, follow, sentence
from prunekit.ui.layers import coupled_groups, tracks
from prunekit.ui.shared import cuts, model_cache
from prunekit.ui.shared.model_cache import Source
from tests.nets import SHAPE, Depthwise, Grouped, Residual, nets

SHAPES = {"outputs": 0, "inputs": 1}


def lost(graph, atom):
    """Remove one unit; return for each side the layers that lose channels, and how many."""
    kept = graph.kept(graph.solution.removed(np.array([atom])))
    masks = {side: {name: kept.get((weight_name(name), axis)) for name in graph.layers} for side, axis in SHAPES.items()}
    return {side: {name: int((~mask).sum()) for name, mask in found.items() if mask is not None} for side, found in masks.items()}


@given(nets())
def test_what_follows_a_group_is_what_goes_when_one_of_its_units_is_removed(net):
    graph = trace(net, SHAPE)
    for entry in follow(graph):
        removed = [lost(graph, atom) for atom in entry.group.atoms.tolist()]
        assert entry.at_once == max(len(r["outputs"]) for r in removed)
        for side, followers in (("outputs", entry.members), ("inputs", entry.readers)):
            names = {name for r in removed for name in r[side]}
            assert {f.layer for f in followers} == names and {f.side for f in followers} <= {side}
            for f in followers:
                assert f.each == max(r[side].get(f.layer, 0) for r in removed)
                assert f.of == net.get_submodule(f.layer).weight.shape[SHAPES[side]]


@given(nets())
def test_coupled_groups_come_first_and_none_is_left_out(net):
    graph = trace(net, SHAPE)
    found = follow(graph)
    assert sorted(entry.group.id for entry in found) == sorted(group.id for group in graph.groups)
    assert [entry.coupled for entry in found] == sorted((entry.coupled for entry in found), reverse=True)


def entries(*modules):
    net = nn.Sequential(nn.Conv2d(2, 6, 1), *modules, nn.Conv2d(6, 3, 1)).eval()
    return {entry.group.id: entry for entry in follow(trace(net, SHAPE))}


def test_a_sentence_says_how_many_layers_go_at_once_and_why():
    entry = entries(Residual(6, 4), Residual(6, 5))["0"]
    assert sentence(entry) == (
        "Removing one of these 6 channels removes it from **3 layers at once**, because 1 and 2 add outputs of these layers. "
        "With it 3 layers lose inputs."
    )
    assert "because 1 adds the outputs of 0 and its b." in sentence(entries(Residual(6, 4))["0"])


def test_a_sentence_names_depthwise_and_grouped_convolutions():
    found = entries(Depthwise(6, 6, 1), Grouped(2, 3, 6))
    assert "because 1.depth filters each channel on its own (depthwise convolution)" in sentence(found["0"])
    (grouped,) = [entry for entry in found.values() if "grouped convolution" in str(entry.group.reasons)]
    assert "Removing one of these 2 sets of 3 channels" in sentence(grouped) and "where whole groups go" in sentence(grouped)
    assert grouped.units == "2 × 3 channels" and grouped.channels == 6
    assert "2 multiplies the outputs of" in sentence(next(e for e in found.values() if "product in 2" in e.group.reasons))


def test_a_layer_alone_takes_no_other_outputs_along():
    entry = entries(nn.BatchNorm2d(6))["0"]
    assert sentence(entry) == (
        "**0** shrinks alone: removing one of its 6 channels takes no other layer's outputs along. "
        "With it 1 layer loses inputs and 1 norm or the like shrinks."
    )


def test_a_layer_that_loses_inputs_too_says_both():
    notes = tracks._notes(entries(Looped(6))["0"])
    assert notes == {"0": "1 of 6 outputs", "1.again": "1 of 6 outputs, 1 input", "2": "1 of 6 inputs"}


class Looped(nn.Module):
    """A layer that reads the same channels that it is added to."""

    def __init__(self, width):
        super().__init__()
        self.again = nn.Conv2d(width, width, 1)

    def forward(self, x):
        return x + self.again(x)


def test_any_operation_has_words():
    group = Group("a", ("a", "b"), np.arange(3), (Coupling("something new", "", ("a", "b")), Coupling("matrix product", "m", ("a", "m.b"))))
    assert because(group) == "the model needs them alike (something new); m takes the matrix product of the outputs of a and its b"
    many = Group("a", ("a", "b"), np.arange(3), tuple(Coupling("addition", f"m_{i}", ("a", "b")) for i in range(7)))
    assert because(many) == r"m\_0, m\_1, m\_2 and 4 more add outputs of these layers"


def figure(tab):
    return json.loads(tab.app.get("plotly_chart")[-1].proto.spec)


def lines(tab):
    return [trace["line"] for trace in figure(tab)["data"] if trace["mode"] == "lines" and "dash" not in trace["line"]]


def table(tab):
    return next(frame.value for frame in reversed(tab.app.dataframe) if "becomes" not in frame.value)


RESNET = "couplings_cifar10_resnet20_"


def test_the_page_draws_each_coupled_group_and_counts_them(tab):
    one = tab("layers", model="cifar10_resnet20")
    tied = [group for group in cuts.graph(Source("cifar10_resnet20")).groups if len(group.layers) > 1]
    assert {line["color"] for line in lines(one)} == {fade(run_colour(i), 1) for i in range(3)}
    assert list(table(one)["layers"]) == [len(group.layers) for group in tied]
    assert list(table(one)["by"]) == ["+"] * 3
    assert "**3 groups** tie 12 of 22 layers; the largest ties **4**, from conv1 on, by 3 additions." in one.text
    assert "shrinks alone (9)" in one.text and "cannot shrink (1)" in one.text
    assert "**fc** cannot lose outputs: these are the model's outputs." in one.text


def test_picking_a_group_singles_it_out_and_shows_what_goes_with_it(tab):
    one = tab("layers", model="cifar10_resnet20").set(RESNET, "conv1")
    assert "removes it from **4 layers at once**, because layer1.0, layer1.1 and layer1.2 add outputs of these layers" in one.text
    (entry,) = [entry for entry in follow(cuts.graph(Source("cifar10_resnet20"))) if entry.group.id == "conv1"]
    assert list(table(one)["layer"]) == [row.layer for row in (*entry.members, *entry.readers)]
    assert list(table(one)["loses"][:5]) == ["1 of 16 outputs"] * 4 + ["1 of 16 inputs"]
    assert table(one)["by"][1] == "+ layer1.0, layer1.1" and table(one)["by"][5] == ""
    assert sum(line["color"].endswith(",1)") for line in lines(one)) == 1
    one.set(RESNET, "")
    assert sum(line["color"].endswith(",1)") for line in lines(one)) == 3


@pytest.mark.parametrize("data", [lambda place: [place], lambda place: {"0": place}])
def test_a_click_on_a_mark_picks_its_group_and_another_click_leaves_it(data, monkeypatch):
    def click(*points):
        state[coupled_groups.CHART] = {"selection": {"points": list(points)}}
        coupled_groups._take_mark(Source("cifar10_resnet20"), ["conv1", "fc"])

    state = {}
    monkeypatch.setattr(coupled_groups.st, "session_state", state)
    click({"customdata": data(1)})
    assert state[RESNET] == "fc"
    for nothing in ((), ({"x": 1},), ({"customdata": data(-1)},)):
        click(*nothing)
        assert state[RESNET] == "fc"
    click({"customdata": data(0)})
    assert state[RESNET] == "conv1"
    click({"customdata": data(0)})
    assert state[RESNET] == ""


def test_a_pick_stays_while_other_pages_are_visited_and_is_not_carried_to_another_model(tab):
    one = tab("layers", model="cifar10_resnet20").set(RESNET, "conv1")
    one.go("prune").go("layers")
    assert "**4 layers at once**" in one.text
    assert one.app.get_by_key(RESNET).value == "conv1"
    one.go("start").click("use_digits_cnn")
    one.go("layers")
    assert one.app.get_by_key("couplings_digits_cnn_").value == ""


def test_a_model_without_couplings_says_that_every_layer_shrinks_alone(tab):
    one = tab("layers", model="digits_mlp")
    assert "No layers of this model are tied: 2 of 3 can shrink, each alone." in one.text
    one.set("couplings_digits_mlp_", "fc1")
    assert "**fc1** shrinks alone" in one.text
    assert list(table(one)["loses"]) == ["1 of 200 outputs", "1 of 200 inputs"] and "by" not in table(one)


def test_a_long_model_without_couplings_is_drawn_only_around_a_pick(tab):
    one = tab("layers", model="torchvision/densenet121")
    before = len(one.app.get("plotly_chart"))
    one.set("couplings_torchvision/densenet121_", "features.conv0")
    assert len(one.app.get("plotly_chart")) == before + 1
    assert "Layers 1 to 15 of 121." in one.text and "7 layers lose inputs" in one.text
    assert len(figure(one)["layout"]["yaxis"]["ticktext"]) == 15
    one.set("couplings_all_torchvision/densenet121_", True)
    assert len(figure(one)["layout"]["yaxis"]["ticktext"]) == 121


OWN = """
from torch import nn


class Choosy(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(64, 32), nn.Linear(32, 10)

    def forward(self, x):
        x = self.a(x.flatten(1))
        return self.b(x if float(x.sum()) > 0 else -x)


def choosy():
    return Choosy()


def single():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


choosy.input_shape = single.input_shape = (1, 8, 8)
choosy.data = single.data = "digits"
"""


@pytest.fixture
def own(tmp_path):
    file = tmp_path / "own.py"
    file.write_text(OWN)
    for factory in ("choosy", "single"):
        prunekit.register_model(prunekit.ModelId(f"{file}:{factory}"))
    yield
    registered._MODELS.clear()
    model_cache.dense.clear()


def test_a_model_that_structured_pruning_cannot_see_shows_the_sentence_of_trace(tab, own):
    one = tab("layers", model="own.py:choosy")
    (error,) = one.app.error
    assert "structured pruning has to see one forward pass without values" in error.value
    assert len(one.app.dataframe[0].value) == 2, "the table of layers is there"


def test_a_model_in_which_nothing_can_shrink_says_so(tab, own):
    one = tab("layers", model="own.py:single")
    assert "No layer of this model can lose channels" in one.text and "**1** cannot lose outputs" in one.text
