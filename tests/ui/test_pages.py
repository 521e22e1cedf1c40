"""Every page, from the router: what it shows and what its widgets do."""

import json
import shlex

import pytest

import prunekit
from prunekit.ui.latency import setup
from prunekit.ui.shared import model_cache
from prunekit.ui.shared.model_cache import Source
from prunekit.ui.state.address import encode
from prunekit.ui.state.settings import Settings

from .conftest import TITLES

NET = """
from torch import nn


def make():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


make.input_shape = (1, 8, 8)
make.data = "digits"
"""


def figures(tab):
    return [json.loads(chart.proto.spec) for chart in tab.app.get("plotly_chart")]


@pytest.mark.parametrize("page", TITLES)
@pytest.mark.parametrize("model", ["digits_mlp", "digits_cnn"])
def test_every_page_opens_for_every_embedded_model(tab, page, model):
    one = tab(page, model=model)
    assert not one.app.error
    assert not one.app.warning


def test_start_shows_the_baseline_of_the_card(tab):
    one = tab()
    card = prunekit.info(prunekit.load_model("digits_cnn")).card["test_accuracy"]
    accuracy = one.metric("Accuracy")
    assert accuracy.value.startswith(f"{100 * card['value']:.1f}")
    assert "measured" in accuracy.tag
    assert f"n = {card['n']}" in accuracy.delta
    assert one.metric("Parameters").value


def test_start_leads_into_the_lessons_and_back_to_the_one_that_was_left(tab):
    offered = [[link.proto.label for link in tab(**where).app.get("page_link")] for where in ({}, {"lesson": 3}, {"done": "1-2"})]
    assert [("Take the first lesson" in labels, "Go on with the lessons" in labels) for labels in offered] == [
        (True, False), (False, True), (False, True),
    ]  # fmt: skip


def test_start_takes_another_model_and_forgets_what_was_bound_to_the_old_one(tab):
    one = tab(mode="structured", layers="1", overrides="1~25", pick="0", sparsity="70")
    one.click("use_digits_mlp")
    assert one.address == {"model": "digits_mlp", "mode": "structured", "sparsity": "70"}


def test_start_offers_every_torchvision_classifier_and_says_that_weights_are_random(tab):
    one = tab()
    one.set("pick_shelf", "torchvision")
    box = one.app.selectbox(key="pick_torchvision")
    assert len(box.options) >= 80
    box.select("torchvision/squeezenet1_1").run()
    one.check()
    assert one.address["model"] == "torchvision/squeezenet1_1"
    assert "Random weights, fixed seed" in one.text


def test_start_measures_a_dense_model_where_the_card_does_not_hold(tab):
    one = tab(limit=60)
    assert one.metric("Accuracy").value == "—"
    one.click("measure_baseline")
    one.wait(lambda: one.metric("Accuracy").value != "—")
    assert "n = 60" in one.metric("Accuracy").delta


def test_layers_shows_the_table_and_draws_what_is_selected(tab):
    one = tab("layers", pick="0-1")
    table = one.app.dataframe[0].value
    assert list(table["layer"]) == list(model_cache.load(Source("digits_cnn")).layers)
    assert table["share"].sum() == pytest.approx(100, abs=1)
    names = {trace["name"] for trace in figures(one)[0]["data"]}
    assert names == set(table["layer"][:2])
    one.set("pick_view", "multiples")
    assert len(figures(one)[0]["data"]) == 2
    one.set("pick_scale", "log")
    assert one.address["scale"] == "log"


def test_prune_moves_with_the_slider_and_counts_exactly(tab):
    one = tab("prune")
    model = prunekit.load_model("digits_cnn")
    for percent in (10.0, 37.0, 90.0):
        one.set("pick_sparsity", percent)
        result = prunekit.prune(model, prunekit.PruneSpec(sparsity=percent / 100))
        assert f"{result.achieved.removed:,}".replace(",", "\u202f") in one.metric("Weights removed").delta
        shown = one.app.dataframe[0].value
        assert list(shown["removed"]) == [round(100 * layer.sparsity, 1) for layer in result.layers]


def test_prune_structured_shows_shapes_and_the_proof(tab):
    one = tab("prune", mode="structured", sparsity="50")
    result = prunekit.prune(prunekit.load_model("digits_cnn"), prunekit.PruneSpec(mode="structured", sparsity=0.5))
    one.set("ticks_part", "layers")
    shapes = list(one.table("shape")["shape"])
    for text, layer in zip(shapes, result.layers, strict=True):
        assert text.endswith(" × ".join(map(str, layer.shape_after)))
    assert "Removing = zeroing" in one.text
    assert any("stem" in note for note in one.table("note")["note"])
    assert any("answer of the model" in note for note in one.table("note")["note"])


def test_prune_measures_accuracy_with_a_paired_difference(tab):
    one = tab("prune", sparsity="95", model="digits_mlp")
    assert one.metric("Accuracy").value == "—"
    one.click("measure")
    one.wait(lambda: one.metric("Accuracy").value != "—")
    model, data = prunekit.load_model("digits_mlp"), prunekit.load_data("digits", model=prunekit.load_model("digits_mlp"))
    after = prunekit.evaluate(prunekit.prune(model, prunekit.PruneSpec(sparsity=0.95)).model, data.test)
    assert one.metric("Accuracy").value.startswith(f"{100 * after.value:.1f}")
    assert "McNemar" in one.text
    one.set("pick_sparsity", 94.0)
    assert one.metric("Accuracy").value == "—"
    one.set("pick_sparsity", 95.0)
    assert one.metric("Accuracy").value != "—", "coming back finds the result"


def test_prune_says_what_is_out_of_reach_and_keeps_the_table(tab):
    one = tab("prune", sparsity="10", overrides="0~99_1~99_2~99")
    assert not one.app.error
    assert "with them at least 98.26\u202f% of the weights go. Raise “Removed”" in one.app.warning[0].value
    assert len(one.app.dataframe[0].value) == 4
    one.set("pick_sparsity", 98.5)
    assert not [each for each in one.app.warning if "Raise" in each.value]
    assert one.metric("Weights removed").value.startswith("98.5")


def test_prune_offers_the_same_as_a_command_line(tab):
    one = tab("prune", mode="structured", sparsity="40", criterion="l2", scope="uniform", layers="1-2", overrides="1~25", limit="100")
    command = next(code.value for code in one.app.code if code.value.startswith("prunekit prune"))
    for part in (
        "digits_cnn",
        "--mode structured",
        "--sparsity 0.4",
        "--criterion l2",
        "--scope uniform",
        "--layers conv2,fc1",
        "--override conv2=0.25",
        "--limit 100",
    ):
        assert part in command
    from prunekit.cli.parser import build_parser

    args = build_parser().parse_args(shlex.split(command)[1:])
    assert args.model == "digits_cnn"


def test_prune_without_data_says_so(tab):
    one = tab("prune", model="torchvision/squeezenet1_1")
    assert "no data" in one.metric("Accuracy").delta
    assert one.app.button(key="measure").disabled


def test_accuracy_draws_points_and_reads_off_the_answer(tab):
    one = tab("accuracy", curves="unstructured-l1-global_structured-l1-global", limit="80", model="digits_mlp")
    one.click("measure_curves")
    one.wait(
        lambda: one.app.button(key="measure_curves").label == "Measured" and any("goes furthest" in c.value for c in one.app.caption), 120
    )
    one.wait(lambda: len(one.app.dataframe[1].value) == 24, 120)
    points = one.app.dataframe[1].value
    assert set(points["n"]) == {80}
    assert (points["low"] <= points["value"]).all() and (points["value"] <= points["high"]).all()
    assert any(shape.get("type") == "line" for shape in figures(one)[0]["layout"]["shapes"]), "the dense model is a line"
    one.click("drop_1")
    assert one.address["curves"] == "unstructured-l1-global"


def test_a_waiting_curve_can_be_cancelled_and_the_others_go_on(tab):
    one = tab("accuracy", curves="unstructured-l2-global_unstructured-random-global_structured-random-uniform", seed="11")
    one.click("measure_curves")
    last = [button.key for button in one.app.button if str(button.key).startswith("cancel_") and "side" not in button.key][-1]
    one.click(last)
    one.wait(lambda: not any(str(button.key).startswith("cancel_") for button in one.app.button), 120)
    points = one.app.dataframe[1].value
    assert list(points["setting"].unique())[:2] == ["Unstructured, L2 magnitude, global", "Unstructured, Random, global"]
    assert len(points[points["setting"] == "Structured, Random, uniform"]) < 12
    assert one.app.button(key="measure_curves").label == "Measure", "what was cancelled can be measured again"


def test_accuracy_says_which_split_is_used(tab):
    one = tab("accuracy")
    assert one.app.get_by_key("pick_split").value == "validation"
    one.set("pick_split", "test")
    assert one.address["split"] == "test"


def test_latency_takes_turns_and_answers_in_words(tab, no_clock):
    one = tab("latency", model="digits_mlp", sparsity="80", budget="2")
    one.click("measure_latency")
    one.wait(lambda: one.app.metric and one.metric("Dense"), 120)
    assert (
        one.metric("Dense").value == "2.00 ms"
        and one.metric("Smaller").value == "1.00 ms"
        and one.metric("Fastest: dense").value == "0.400 ms"
    )
    zeroed, removed = (next(line for line in one.text.splitlines() if verb in line) for verb in ("Zeroing 80", "Removing 80"))
    assert "no significant difference" in zeroed and "× faster than dense" in removed and "95\u202f% interval" in removed


def test_shares_of_single_layers_hold_for_both_models_that_are_timed_and_are_said(tab):
    now = Settings(layers=(0, 1, 2, 3), overrides=((0, 0.5), (1, 0.6), (2, 0.8), (3, 0.9)), sparsity=0.75)
    settings, loaded = encode(now), model_cache.load(Source(now.model))
    one = tab("latency", **settings)
    found = setup.specs(now, loaded)
    assert dict(found["masked"].overrides) == {"conv1": 0.5, "conv2": 0.6, "fc1": 0.8, "fc2": 0.9}
    assert dict(found["smaller"].overrides) == {"conv1": 0.5, "conv2": 0.6, "fc1": 0.8}
    for page in (one, tab("recover", **settings)):
        assert "Own shares of 4 layers\\: conv1 50.0\u202f%, conv2 60.0\u202f%" in page.text
    assert "fc2 keeps all its channels" in one.text and "own shares of 4 layers" in tab("recover", **settings).text


def test_data_that_are_not_here_are_asked_for_and_not_fetched(tab, monkeypatch, tmp_path):
    monkeypatch.setenv("PRUNEKIT_DATA", str(tmp_path))
    one = tab(model="mnist_lenet300", limit="50")
    assert one.app.button(key="fetch_mnist").label == "Download mnist"
    for page in ("prune", "accuracy"):
        one.go(page)
        assert one.app.button(key="fetch_mnist")
    assert not list(tmp_path.iterdir())


def test_models_named_at_launch_stand_on_the_shelf_and_hide_their_folder(tab, tmp_path):
    from prunekit.config import registered

    file = tmp_path / "net.py"
    file.write_text(NET)
    prunekit.register_model(prunekit.ModelId(f"{file}:make"))
    try:
        one = tab()
        assert one.app.get_by_key("pick_shelf").value == "own" and one.app.button(key="use_net.py:make").disabled
        assert one.address == {"model": "net.py:make"}
        for page in TITLES:
            one.go(page)
            assert not one.app.error
        assert one.metric
        one.go("prune").click("measure")
        one.wait(lambda: one.metric("Accuracy").value != "—")
    finally:
        registered._MODELS.clear()


def test_the_baseline_never_moves(tab):
    from prunekit.models.state import state_hash

    model = model_cache.load(Source("digits_cnn")).model
    before = state_hash(model)
    one = tab()
    for page in TITLES:
        one.go(page)
    one.go("prune").set("pick_sparsity", 80.0).ask("measure")
    one.wait(lambda: one.metric("Accuracy").value != "—")
    for mode, criterion in (("structured", "l1"), ("nm", "wanda"), ("structured", "taylor")):
        one.set("pick_mode", mode).set("pick_criterion", criterion).ask("measure")
        one.wait(lambda: one.metric("Accuracy").value != "—")
    assert model_cache.load(Source("digits_cnn")).model is model
    assert state_hash(model) == before
    assert not any(p.requires_grad for p in model.parameters())
    assert not model.training
