"""What layers lose is said and drawn as it is: outputs, inputs, both, to scale."""

import json
import math

import pandas as pd
import pytest

import prunekit
from prunekit.config.spec import PruneSpec
from prunekit.plots.layer_bars import by_layer
from prunekit.ui.prune import pictures
from prunekit.ui.shared import cuts
from prunekit.ui.shared.model_cache import Source

CNN = Source("digits_cnn")


def frame(*rows):
    """Layers of ten channels: name, how many go, which share of the inputs is lost, and whether it is ticked."""
    found = pd.DataFrame(rows, columns=["name", "gone", "inputs", "ticked"]).assign(all=10, cap=1.0)
    return found.assign(removed=found.gone / 10, after=[(10 - row[1], 3) for row in rows])


ONE = frame(("a", 0, 0.0, False), ("b", 3, 0.0, True), ("c", 0, 0.3, False))
SWAPPED = frame(("a", 0, 0.0, False), ("b", 0, 0.3, False), ("c", 3, 0.0, True))
CHAIN = frame(("a", 3, 0.0, True), ("b", 6, 0.3, True), ("c", 0, 0.6, False))


def test_one_ticked_layer_is_not_every_layer_and_the_next_one_loses_inputs():
    said, turned = (pictures.layers_caption(rows, "channels") for rows in (ONE, SWAPPED))
    assert "Every layer" not in said
    assert said.startswith("**b** loses 30.0\u202f% of its channels. **c** loses only inputs, 30.0\u202f% of them")
    assert turned.startswith("**c** loses 30.0\u202f% of its channels. **b** loses only inputs")


def test_most_least_and_both_are_those_of_the_frame():
    said = pictures.layers_caption(CHAIN, "channels")
    assert "**b** loses most (60.0" in said
    assert "**a** least (30.0" in said
    assert "**c** loses only inputs, 60.0" in said
    assert "**b** loses inputs, too (30.0" in said
    alike = pictures.layers_caption(CHAIN.assign(ticked=True, gone=3, removed=0.3, inputs=0.0), "channels")
    assert alike.startswith("Every layer loses about 30.0")
    some = pictures.layers_caption(frame(("a", 3, 0.0, True), ("b", 3, 0.0, True), ("c", 0, 0.0, False)), "channels")
    assert some.startswith("2 layers lose about 30.0\u202f% of their channels. Grey: 1 layer not ticked")
    assert pictures.layers_caption(CHAIN.assign(gone=0, removed=0.0, inputs=0.0), "channels") == "Nothing is removed at this setting."


def test_rows_of_a_table_are_no_inputs():
    said = pictures.layers_caption(CHAIN.assign(table=[False, False, True]), "channels")
    assert " Rows go from **c** (60.0" in said and "only inputs" not in said


@pytest.mark.parametrize("rows", [ONE, CHAIN])
def test_what_is_filled_is_the_share_of_the_weights_that_stays(rows):
    bars = [trace for trace in by_layer(rows.assign(requested=math.nan), what="channels").data if trace.type == "bar"]
    traces = {trace.name: trace for trace in bars if trace.width is not None}  # the others stand in the legend alone
    thick = traces["removed"].width[0]
    areas = {name: [x * width / thick for x, width in zip(trace.x, trace.width, strict=True)] for name, trace in traces.items()}
    assert areas["kept"] == pytest.approx(list((1 - rows.removed) * (1 - rows.inputs)))
    assert [sum(parts) for parts in zip(*areas.values(), strict=True)] == pytest.approx([1.0] * len(rows)), "the parts make the whole"
    assert ("inputs lost" in traces) == bool((rows.inputs > 0).any())


def test_it_is_said_that_a_layer_loses_all_its_weights():
    limits = cuts.view(CNN, PruneSpec(sparsity=0.999, layers=("conv1",))).limits
    assert any("conv1 lost all its weights" in said for said in limits)


@pytest.mark.parametrize("sparsity", [0.31, 0.7])
def test_the_inputs_that_a_layer_loses_are_those_that_surgery_takes(sparsity):
    spec = PruneSpec(mode="structured", sparsity=sparsity, layers=("conv2",))
    rows = cuts.view(CNN, spec).frame.set_index("name")
    result = prunekit.prune(prunekit.load_model("digits_cnn"), spec)
    for layer in result.layers:
        before, after = math.prod(layer.shape_before), math.prod(layer.shape_after)
        assert (1 - rows.removed[layer.name]) * (1 - rows.inputs[layer.name]) == pytest.approx(after / before)
    assert rows.inputs["fc1"] > 0.3


def test_prune_says_and_draws_the_inputs_that_the_next_layer_loses(tab):
    one = tab("prune", mode="structured", sparsity="31.25", layers="1", focus="2", data="none")
    assert "**conv2** loses 31.2" in one.text
    assert "**fc1** loses only inputs, 31.2" in one.text
    assert "Every layer loses" not in one.text
    assert "fc1 keeps all its channels and loses 31.2" in one.text
    figure = next(json.loads(chart.proto.spec) for chart in one.app.get("plotly_chart") if "inputs lost" in chart.proto.spec)
    assert {trace.get("name") for trace in figure["data"]} >= {"kept", "removed", "inputs lost"}
    one.set("ticks_part", "layers")
    table = one.table("inputs").set_index("layer")
    assert table.inputs["fc1"] == 31.2, "rounded as the sentence has it"
    assert table.removed["fc1"] == 0
