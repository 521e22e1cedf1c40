"""What the Prune page shows of one layer: the mask of the core, and numbers that are counted in it."""

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

import prunekit
from prunekit.formatting import THIN
from prunekit.plots.weight_pixels import share_map
from prunekit.ui.prune import kept_weights, weight_map
from prunekit.ui.prune.one_layer import Layer, layer_of
from prunekit.ui.shared import cuts, model_cache
from prunekit.ui.shared.model_cache import Source
from prunekit.ui.state.settings import Settings

CNN = Source("digits_cnn")
SPECS = {
    "unstructured": prunekit.PruneSpec(sparsity=0.8),
    "nm": prunekit.PruneSpec(mode="nm", pattern="2:4"),
    "structured": prunekit.PruneSpec(mode="structured", sparsity=0.5),
}


def layer(spec, name, source=CNN):
    loaded = model_cache.load(source)
    return layer_of(loaded, cuts.view(source, spec), name)


def read(text):
    """Read what ``ranges`` wrote."""
    parts = [part.split("-") for part in text.split(", ")] if text else []
    return [number for first, *last in parts for number in range(int(first), int(last[0] if last else first) + 1)]


@given(st.sets(st.integers(0, 300)))
def test_ranges_can_be_read_back_and_could_not_be_shorter(numbers):
    text = kept_weights.ranges(numbers)
    assert read(text) == sorted(numbers)
    gaps = sum(number - 1 not in numbers for number in numbers)
    assert len(text.split(", ")) == max(gaps, 1)


@pytest.mark.parametrize("mode", ["unstructured", "nm"])
def test_the_mask_of_a_layer_is_the_one_that_pruning_makes(mode):
    masks = prunekit.prune(prunekit.load_model("digits_cnn"), SPECS[mode]).masks
    for name, mask in masks.items():
        one = layer(SPECS[mode], name)
        assert np.array_equal(one.kept, mask.numpy())
        assert one.ticked


def test_a_layer_that_loses_channels_keeps_exactly_the_weights_of_the_smaller_model():
    result = prunekit.prune(prunekit.load_model("digits_cnn"), SPECS["structured"])
    for shrunk in result.layers:
        one = layer(SPECS["structured"], shrunk.name)
        assert tuple(np.flatnonzero(kept_weights.outputs(one.kept))) == shrunk.kept
        assert one.weight[one.kept].tolist() == result.model.get_submodule(shrunk.name).weight.reshape(-1).tolist()


def test_a_layer_that_is_not_ticked_stays_whole_and_says_so():
    one = layer(prunekit.PruneSpec(sparsity=0.9, layers=("conv2",)), "fc1")
    assert one.kept.all() and not one.ticked
    assert "it is not ticked" in kept_weights.caption(one, "values", range(64), range(1024))


def test_the_file_of_kept_indices_is_that_of_the_result():
    result = prunekit.prune(prunekit.load_model("digits_cnn"), SPECS["structured"])
    found = json.loads(kept_weights.kept_indices(cuts.view(CNN, SPECS["structured"]).cut))
    assert {name: tuple(kept) for name, kept in found.items()} == result.kept


def made(kept, **more):
    kept = np.asarray(kept)
    weight = np.linspace(-1, 1, kept.size, dtype=np.float32).reshape(kept.shape)
    return Layer("a", weight, kept, **({"block": 0, "channels": False, "ticked": True} | more))


def test_a_caption_counts_kernels_and_outputs_that_lost_everything():
    kept = np.ones((4, 3, 2, 2), dtype=bool)
    kept[1] = False
    kept[2, 0] = False
    text = kept_weights.caption(made(kept), "values", range(4), range(3))
    assert "loses 16 of 48 weights" in text
    assert f"4 of 12{THIN}kernels".replace(THIN, " ") in text
    assert "1 output lost everything" in text


def test_a_caption_counts_in_the_part_that_is_in_view():
    kept = np.ones((10, 8), dtype=bool)
    kept[:2, :4] = False
    text = kept_weights.caption(made(kept), "mask", range(2), range(8))
    assert "loses 8 of 80 weights (10.0" in text
    assert "outputs 0–1 of 10;" in text and "50.0" in text.partition("In view")[2]
    assert "inputs" not in text.partition("In view")[2].partition(";")[0], "they are all in view"


@pytest.mark.parametrize("start", [0, 2, 5])
def test_a_caption_counts_what_a_pattern_leaves_of_every_block(start):
    kept = np.tile([True, True, False, False], (3, 3))[:, :11]
    kept[:, 8:] = True
    text = kept_weights.caption(made(kept, block=4), "mask", range(3), range(start, 11))
    whole = {0: 2, 2: 1, 5: 0}[start]
    assert (f"Of every 4 inputs in a row 2 stay, in all {3 * whole} blocks" in text) == bool(whole)
    assert "The last 3 inputs make no block and stay" in text


def test_a_caption_of_channels_tells_own_outputs_from_inputs_that_no_longer_come():
    kept = np.outer(np.arange(6) > 1, np.arange(4) > 0)
    text = kept_weights.caption(made(kept, channels=True), "values", range(6), range(4))
    assert "from 6 × 4 to 4 × 3" in text
    assert "2 outputs of its own and 1 input that" in text
    assert "50.0" in text


@given(st.integers(1, 700), st.integers(1, 700), st.sampled_from([(), (3, 3), (1, 1), (7, 7), (5,)]), st.booleans())
def test_every_way_of_showing_a_layer_covers_it_in_parts(out, ins, kernel, channels):
    one = Layer("a", np.broadcast_to(np.float32(1), (out, ins, *kernel)), np.broadcast_to(True, (out, ins, *kernel)), 0, channels, True)
    for how in one.ways:
        outputs, inputs = one.parts(how)
        assert [c for part in outputs for c in part] == list(range(out))
        assert [c for part in inputs for c in part] == list(range(ins))
        if how != "density":
            cells = len(outputs[0]) * one.pixels * (1 if how == "filters" else len(inputs[0]))
            assert cells <= 60_000, "more than a browser draws at every move of a slider"


def test_the_layer_in_focus_is_shown_and_else_the_biggest_that_fits_whatever_the_sparsity():
    view = cuts.view(CNN, SPECS["unstructured"])
    assert weight_map.shown(Settings(focus=2), view) == 2
    for sparsity in (0.1, 0.9):
        assert weight_map.shown(Settings(), cuts.view(CNN, prunekit.PruneSpec(sparsity=sparsity))) == 1, "conv2; fc1 is bigger but too wide"


def page():
    from prunekit.ui.prune import weight_map
    from prunekit.ui.shared import cuts
    from prunekit.ui.state import session
    from prunekit.ui.state.current_model import model_in_use

    session.sync()
    now, loaded = model_in_use(link=False)
    weight_map.section(now, loaded, cuts.view(loaded.source, now.spec(loaded.layers)))


def opened(**parameters):
    app = AppTest.from_function(page, default_timeout=60)
    for name, value in parameters.items():
        app.query_params[name] = str(value)
    return checked(app.run())


def checked(app):
    assert not app.exception, app.exception
    return app


def text(app):
    return "\n".join(str(part.value) for part in [*app.markdown, *app.caption])


def test_another_layer_is_picked_and_stands_in_the_address():
    app = opened()
    assert "**conv2** loses" in text(app)
    checked(app.selectbox(key="pick_focus_pixels").set_value(2).run())
    assert app.query_params["focus"] in ("2", ["2"])
    assert "**fc1** loses" in text(app)


@pytest.mark.parametrize("mode", ["unstructured", "nm", "structured"])
def test_every_way_of_showing_every_layer_can_be_drawn(mode):
    scope = {"scope": "uniform"} if mode == "nm" else {}
    for focus, name in enumerate(model_cache.load(CNN).layers):
        app = opened(mode=mode, focus=focus, **scope)
        ways = layer(SPECS[mode], name).ways
        for how in ways:
            checked(app.get_by_key("pixels_how_" + "_".join(ways)).set_value(how).run())
            assert len(app.get("plotly_chart")) == 1


def test_a_part_of_a_wide_layer_is_chosen_by_a_slider():
    app = opened(focus=2)
    slider = app.select_slider[0]
    assert slider.label == f"Inputs of 1{THIN}024"
    checked(slider.set_value(3).run())
    assert f"inputs 384–511 of 1{THIN}024" in text(app)


def test_outputs_that_lost_all_their_weights_can_be_copied():
    app = opened(model="digits_mlp", focus=0, sparsity="98")
    mask = prunekit.prune(prunekit.load_model("digits_mlp"), prunekit.PruneSpec(sparsity=0.98)).masks["fc1"].numpy()
    lost = [np.flatnonzero(~mask.any(axis=axis)).tolist() for axis in (1, 0)]
    assert all(lost), "else this checks nothing"
    assert [read(code.value) for code in app.code] == lost


def test_kept_channels_of_a_layer_can_be_copied():
    app = opened(mode="structured", focus=2)
    result = prunekit.prune(prunekit.load_model("digits_cnn"), SPECS["structured"])
    assert read(app.code[0].value) == list(result.kept["fc1"])
    assert f"{len(result.kept['fc1'])} of 64 outputs stay" in text(app).replace(THIN, " ")
    assert len(read(app.code[1].value)) == result.model.fc1.in_features


def test_numbers_of_a_page_are_those_of_the_mask():
    one = layer(SPECS["unstructured"], "conv2")
    left = np.count_nonzero(one.kept, axis=(1, 2, 3))
    said = text(opened(focus=1, sparsity="80")).replace(THIN, "")
    assert f"{one.kept.sum()} of {one.kept.size} weights" in re.sub(r"(\d)\s(?=\d{3})", r"\1", said)
    assert f"Each output keeps {left.min()} to {left.max()} of its 288 weights (median {np.median(left):g})" in said


def test_a_large_matrix_is_shown_first_as_the_share_that_is_gone_of_each_block():
    kept = np.random.default_rng(0).random((4096, 1024)) > 0.7
    one = Layer("fc", np.zeros((4096, 1024), np.float32), kept, 0, False, True)
    assert one.ways[0] == "density"
    shares = share_map(one.blocks).data[0].z
    assert max(np.shape(shares)) <= 128
    np.testing.assert_allclose(shares, 1 - kept.reshape(128, 32, 128, 8).mean((1, 3)), atol=1e-6)
