"""A run for Model Explorer: every key of the node data names a node of the program that takes that layer's weight."""

import json

import pytest
import torch

from prunekit.cli import main
from prunekit.config.ids import DataId, ModelId
from prunekit.evaluation.sensitivity.drop_curves import drop_curves
from prunekit.experiments.archive.model_explorer import GRAPH, KEPT_CHANNELS, SENSITIVITY, SPARSITY, export_model_explorer, node_data
from prunekit.experiments.load_run import open_run
from prunekit.experiments.sensitivity_run import SensitivityRequest, sense
from prunekit.models.layers import prunable_layers
from tests.experiments.archive.made import STRUCTURED, run_of


def test_a_figure_stands_at_every_node_that_takes_the_weight_and_nowhere_else():
    told = node_data("gone", {"a.weight": 1.5, "b.weight": 2.0}, {"a.weight": ["linear", "linear_2"], "c.weight": ["linear_1"]})
    assert told[GRAPH]["results"] == {"linear": {"value": 1.5}, "linear_2": {"value": 1.5}}
    assert [stop["stop"] for stop in told[GRAPH]["gradient"]] == [0, 1]
    json.dumps(told)


def test_export_asks_for_one_place(kept, run, capsys):
    assert main(["export", run, "--model-explorer", "a", "--out", "b.zip"]) == 2
    assert "--model-explorer DIR" in capsys.readouterr().err


def weight_at(program, name):
    """Return which parameter the node of an exported program takes, by the names in its own signature."""
    taken = program.graph_signature.inputs_to_parameters
    (node,) = [node for node in program.graph_module.graph.nodes if node.name == name]
    return {taken[each.name] for each in node.all_input_nodes if each.name in taken and each.meta["val"].dim() > 1}


@pytest.mark.slow
def test_every_layer_has_its_figures_at_its_node_of_the_program(kept, home, tmp_path):
    run = run_of(kept, "digits_cnn")
    request = SensitivityRequest(ModelId("digits_cnn"), DataId("digits", limit=60), STRUCTURED, "validation", 20, (0.5,))
    measured = sense(request, kept)
    found = export_model_explorer(run, tmp_path / "out", kept)
    assert found.files == ("model.pt2", SPARSITY, KEPT_CHANNELS, SENSITIVITY) and not found.missing
    program, model = torch.export.load(tmp_path / "out" / "model.pt2"), open_run(run, kept).model
    told = {name: json.loads((tmp_path / "out" / name).read_text())[GRAPH]["results"] for name in found.files[1:]}
    for results in told.values():
        at = {weight: value["value"] for name, value in results.items() for weight in weight_at(program, name)}
        assert len(at) == len(results)
    widths = {f"{name}.weight": model.get_submodule(name).weight.shape[0] for name in prunable_layers(model)}
    named = {name: next(iter(weight_at(program, name))) for name in told[KEPT_CHANNELS]}
    assert {named[name]: value["value"] for name, value in told[KEPT_CHANNELS].items()} == widths
    lost = {f"{curve.name}.weight": 100 * curve.mean for curve in drop_curves(measured)}
    assert {named[name]: value["value"] for name, value in told[SENSITIVITY].items()} == pytest.approx(lost)
