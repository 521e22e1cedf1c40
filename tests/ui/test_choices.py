"""Every mode, criterion and scope that the screen offers, the folded choices, and criteria that look at data."""

import math
import shlex

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import prunekit
from prunekit.cli.arguments import spec_of
from prunekit.cli.parser import build_parser
from prunekit.config.choices import CRITERIA, MODES, NEEDS_DATA, drawn_criteria_of, scopes_of
from prunekit.config.fields import table
from prunekit.criteria.methods import CRITERIA as REGISTRY
from prunekit.errors import DataError
from prunekit.experiments.jobs import board
from prunekit.models.state import state_hash
from prunekit.plots.layer_bars import by_layer
from prunekit.ui.components import setting_controls
from prunekit.ui.prune import downloads
from prunekit.ui.shared import cuts, model_cache, scores
from prunekit.ui.shared.model_cache import Images, Source
from prunekit.ui.state.compatible import MODES as TITLES
from prunekit.ui.state.compatible import fit
from prunekit.ui.state.settings import Settings

from .test_address import NAMES, whatever

DIGITS = Images("digits")
UNITS = {"unstructured": "Weights removed", "nm": "Weights removed", "structured": "Channels removed"}
WALK = [(mode, criterion) for mode in MODES for criterion in drawn_criteria_of(mode)]


def names(box):
    """What a selectbox offers, as people read it."""
    return list(box.options)


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.nightly)], ids=["pairs", "every"])
@pytest.mark.parametrize("mode", MODES)
def test_every_criterion_and_scope_that_the_screen_offers_works(tab, mode, every):
    before = state_hash(model_cache.load(Source("digits_cnn")).model)
    one = tab("prune")
    one.set("pick_mode", mode)
    assert names(one.app.selectbox(key="pick_criterion")) == [setting_controls.criterion_name(name) for name in drawn_criteria_of(mode)]
    seen = set()
    for criterion in drawn_criteria_of(mode):
        one.set("pick_criterion", criterion)
        assert one.app.selectbox(key="pick_criterion").help.startswith(setting_controls._about(criterion)), (
            "help begins with the picked one"
        )
        scopes = scopes_of(mode)
        if len(scopes) > 1:
            assert names(one.app.selectbox(key="pick_scope")) == [setting_controls.SCOPES[scope] for scope in scopes]
        for scope in scopes if every or criterion == drawn_criteria_of(mode)[0] else scopes[-1:]:
            if len(scopes) > 1:
                one.set("pick_scope", scope)
            assert not one.app.error
            assert one.metric(UNITS[mode]).value not in ("—", "")
            seen.add(tuple(chart.proto.spec for chart in one.app.get("plotly_chart")))
    assert len(seen) > len(drawn_criteria_of(mode)) / 2, "criteria and scopes make a difference"
    assert state_hash(model_cache.load(Source("digits_cnn")).model) == before


def test_the_modes_are_called_by_their_names(tab):
    assert list(TITLES) == list(MODES)
    one = tab("prune")
    assert list(one.app.get_by_key("pick_mode").options) == ["Unstructured", "N:M", "Structured"]


@pytest.mark.parametrize(("mode", "criterion"), WALK)
def test_the_numbers_on_the_screen_are_those_of_pruning(mode, criterion):
    model = prunekit.load_model("digits_cnn")
    data = prunekit.load_data("digits", model=model)
    for scope in scopes_of(mode):
        extra = {"pattern": "1:4"} if mode == "nm" else {"sparsity": 0.6, "cap_all": 0.7}
        spec = prunekit.PruneSpec(mode=mode, criterion=criterion, scope=scope, samples=64, **extra)
        view = cuts.view(Source("digits_cnn"), spec, DIGITS)
        result = prunekit.prune(model, spec, data)
        assert (view.gone, view.chosen, view.unit) == (result.achieved.removed, result.achieved.total, result.achieved.unit)
        assert list(view.frame["removed"]) == pytest.approx([layer.sparsity for layer in result.layers])
        assert list(view.frame["after"]) == [layer.shape_after for layer in result.layers]
        assert set(view.limits) <= set(result.limits)
        if mode != "structured":
            assert all((cuts.mask_of(view, name) == mask.numpy()).all() for name, mask in result.masks.items())
        asked = [layer.requested for layer in result.layers]
        shown = [None if math.isnan(share) else share for share in view.frame["requested"]]
        assert shown == pytest.approx(asked)


@pytest.mark.parametrize("target", ["params", "macs"])
def test_the_share_counts_what_was_picked(tab, target):
    one = tab("prune", mode="structured", sparsity="50")
    one.set("pick_target", target)
    spec = prunekit.PruneSpec(mode="structured", sparsity=0.5, target=target)
    achieved = prunekit.prune(prunekit.load_model("digits_cnn"), spec).achieved
    tile = one.metric({"params": "Parameters removed", "macs": "MACs removed"}[target])
    assert tile.value.startswith(f"{100 * achieved.sparsity:.1f}")
    assert "asked 50\u202f%" in tile.delta
    assert one.app.slider(key="pick_sparsity").label == f"Remove this share of {setting_controls.COUNTED[target]}"
    one.go("latency")
    assert one.app.slider(key="pick_sparsity").label == f"Remove this share of the weights, or of {setting_controls.COUNTED[target]}"


def test_what_is_folded_away_is_said_beside_it(tab):
    one = tab("prune", mode="structured")
    assert "More choices" not in one.text
    one.set("pick_round_to", 8).set("pick_cap_all", 60.0).set("pick_criterion", "taylor").set("pick_samples", 100).set("pick_seed", 3)
    line = next(caption.value for caption in one.app.caption if "More choices" in caption.value)
    for words in ("multiples of 8", "cap of every layer 60\u202f%", "samples to score on 100", "seed 3"):
        assert words in line
    assert one.address == {"mode": "structured", "round_to": "8", "cap_all": "60", "criterion": "taylor", "samples": "100", "seed": "3"}
    one.set("pick_criterion", "l1")
    line = next(caption.value for caption in one.app.caption if "More choices" in caption.value)
    assert "seed" not in line and "images" not in line, "what no longer counts is not said"


def test_a_pattern_takes_the_place_of_the_slider(tab):
    one = tab("prune")
    one.set("pick_mode", "nm")
    assert not one.app.slider
    assert "2:4: asked 50\u202f%, reached 49.8" in one.metric("Weights removed").delta
    one.set("pick_pattern", "1:4")
    assert one.address == {"mode": "nm", "pattern": "1:4"}
    one.set("pattern_m", 5)
    assert one.address["pattern"] == "1:5"
    one.set("pattern_n", 7)
    assert one.address["pattern"] == "7:8", "a block that is too small grows"
    one.set("pattern_m", 2)
    assert one.address["pattern"] == "1:2", "no more stay than the block has"
    assert one.app.get_by_key("pick_pattern").value == "1:2"
    assert "does not make a block of 2" in one.text, "one grey channel in"
    assert {"override", "cap"}.isdisjoint(one.app.dataframe[0].columns if hasattr(one.app.dataframe[0], "columns") else ())


def test_a_pattern_wider_than_every_layer_is_an_error_in_plain_words(tab):
    one = tab("prune", mode="nm", pattern="1:9999", model="digits_mlp")
    assert "no chosen layer has a block of 9999 inputs" in one.app.error[0].value
    assert one.metric("Removed").value == "—"
    one.set("pick_pattern", "2:4")
    assert not one.app.error


def test_caps_hold_and_are_drawn(tab):
    one = tab("prune", sparsity="80", caps="0~10_1~50")
    view = cuts.view(Source("digits_cnn"), prunekit.PruneSpec(sparsity=0.8, caps={"conv1": 0.1, "conv2": 0.5}))
    assert list(one.app.dataframe[0].value["cap"])[:2] == [10, 50]
    removed = list(one.app.dataframe[0].value["removed"])
    assert removed[0] <= 10 and removed[1] <= 50
    marks = next(trace for trace in by_layer(view.frame).data if trace.name == "cap")
    assert dict(zip(marks.y, marks.x, strict=True)) == pytest.approx({"conv1": 0.9, "conv2": 0.5})
    assert "cap" not in [trace.name for trace in by_layer(view.frame.drop(columns="cap")).data]
    one.app.button[[button.label for button in one.app.button].index("Back to the default layers")].click().run()
    assert one.check().address == {"sparsity": "80"}


def test_what_caps_stand_in_the_way_of_is_said(tab):
    one = tab("prune", sparsity="90", cap_all="50")
    assert "the caps hold" in one.text
    assert one.metric("Weights removed").value.startswith("50.0")


@pytest.mark.parametrize("criterion", [name for name in NEEDS_DATA if any(name in drawn_criteria_of(mode) for mode in MODES)])
def test_without_data_a_criterion_that_looks_at_them_says_what_to_do(tab, criterion):
    mode = next(mode for mode in MODES if criterion in drawn_criteria_of(mode))
    one = tab("prune", data="none", criterion=criterion, **({} if mode == "unstructured" else {"mode": mode}))
    assert f"{REGISTRY[criterion].title} looks at training images" in one.text
    assert not one.app.error
    assert one.app.button(key="measure").disabled
    assert len(one.app.dataframe[0].value) == (3 if mode == "structured" else 4), "the table of layers stays"
    one.click("use_l1")
    assert "criterion" not in one.address
    assert one.metric("Channels removed" if mode == "structured" else "Weights removed").value != "—"


def test_scoring_that_takes_long_waits_for_a_button_and_then_every_sparsity_is_there(tab, monkeypatch):
    monkeypatch.setattr(scores, "PATIENCE", 0)
    one = tab("prune", criterion="wanda", seed="77")
    assert one.metric("Removed").value == "—"
    assert len(one.app.dataframe[0].value) == 4
    one.click("score")
    one.wait(lambda: any(metric.label.startswith("Weights removed") for metric in one.app.metric))
    for percent in (30.0, 80.0):
        one.set("pick_sparsity", percent)
        assert one.metric("Weights removed").value.startswith(f"{percent:.1f}")
    scores.HELD.clear()
    one.app.run()
    assert one.check().app.button(key="score"), "what was dropped from memory can be scored again"


def test_the_amount_caps_and_scopes_do_not_score_again(monkeypatch):
    source, calls = Source("digits_mlp"), []
    score = scores.rank
    monkeypatch.setattr(scores, "rank", lambda *args: calls.append(1) or score(*args))
    base = prunekit.PruneSpec(criterion="taylor", samples=31)
    for spec in (
        base,
        base.at(0.9),
        prunekit.PruneSpec(criterion="taylor", samples=31, scope="erk", caps={"fc1": 0.5}, overrides={"fc3": 0.1}),
    ):
        cuts.view(source, spec, DIGITS)
    assert len(calls) == 1
    cuts.view(source, prunekit.PruneSpec(criterion="taylor", samples=32), DIGITS)
    assert len(calls) == 2


def test_other_images_give_other_scores():
    spec = prunekit.PruneSpec(criterion="taylor", sparsity=0.5)
    few, all_of_them = (cuts.view(Source("digits_mlp"), spec, Images("digits", limit)) for limit in (20, 0))
    assert list(few.frame["gone"]) != list(all_of_them.frame["gone"])
    with pytest.raises(DataError, match="looks at training data"):
        cuts.view(Source("digits_mlp"), spec)


@pytest.mark.parametrize("mode", ["nm", "structured"])
def test_accuracy_of_every_mode_is_measured(tab, mode):
    one = tab("prune", mode=mode, criterion="taylor", samples="48")
    one.click("measure")
    one.wait(lambda: one.metric("Accuracy").value != "—")
    spec = one.app.session_state["settings"].spec(model_cache.load(Source("digits_cnn")).layers)
    model = prunekit.load_model("digits_cnn")
    data = prunekit.load_data("digits", model=model)
    after = prunekit.evaluate(prunekit.prune(model, spec, data).model, data.test)
    assert one.metric("Accuracy").value.startswith(f"{100 * after.value:.1f}")


def test_curves_offer_only_what_has_one(tab):
    one = tab("accuracy", mode="nm", criterion="wanda", limit="60")
    assert "has no curve" in one.text
    assert list(one.app.get_by_key("add_mode").options) == ["Unstructured", "Structured"]
    one.app.get_by_key("add_mode").set_value("structured").run()
    offered = one.check().app.selectbox(key="add_criterion_structured")
    assert names(offered) == [setting_controls.criterion_name(name) for name in drawn_criteria_of("structured")]
    offered.set_value("bn_scale").run()
    one.check().click("add_curve")
    assert one.address["curves"] == "unstructured-wanda-uniform_structured-bn.scale-global"
    one.click("measure_curves")
    one.wait(lambda: one.app.button(key="measure_curves").label == "Measured", 120)
    assert not one.app.error


def test_latency_makes_each_candidate_by_what_goes_with_it(tab, no_clock):
    one = tab("latency", mode="nm", criterion="wanda", model="digits_mlp", budget="2")
    assert "The smaller model is pruned by L1 magnitude: Wanda does not score channels." in one.text
    one.click("measure_latency")
    one.wait(lambda: one.app.metric and one.metric("Dense"), 120)
    assert "Zeroing weights by 2:4" in one.text


def test_latency_without_data_says_what_a_criterion_lacks(tab):
    one = tab("latency", criterion="taylor", data="none")
    assert one.app.button(key="measure_latency").disabled
    one.click("use_l1")
    assert not one.app.button(key="measure_latency").disabled


LAYERS = ("conv1", "conv2", "fc1", "fc2")
few_layers = whatever.map(
    lambda s: s.change(
        model="digits_cnn", upload="", pretrained=False, data="",
        layers=None if s.layers is None else tuple(sorted({place % 4 for place in s.layers})),
        overrides=tuple(sorted({place % 4: share for place, share in s.overrides}.items())),
        caps=tuple(sorted({place % 4: share for place, share in s.caps}.items())),
        shares=tuple(sorted({(places[0] % 4,): share for places, share in s.shares}.items())),
    )
)  # fmt: skip


@given(few_layers)
def test_the_command_gives_the_same_setting(settings):
    now, _ = fit(settings)
    loaded = model_cache.load(Source("digits_cnn"))
    assert loaded.layers == LAYERS
    spec = now.spec(loaded.layers)
    words = shlex.split(downloads.command(now, loaded, spec))
    assert words[:2] == ["prunekit", "prune"]
    assert spec_of(build_parser().parse_args(words[1:]), loaded.model) == spec


@given(whatever)
def test_the_command_says_only_what_differs(settings):
    now, _ = fit(settings)
    spec = now.spec(NAMES)
    words = downloads.words_of(spec)
    plain = prunekit.PruneSpec(mode=spec.mode)
    for field, row in table(prunekit.PruneSpec).items():
        if field not in downloads.FIRST:
            assert (row.option in words) == (getattr(spec, field) != getattr(plain, field))
    assert ("--layers" in words, words.count("--override"), words.count("--cap")) == (
        spec.layers is not None, len(spec.overrides), len(spec.caps),
    )  # fmt: skip


@given(st.sampled_from(CRITERIA))
def test_help_says_formula_source_and_advice(criterion):
    found = REGISTRY[criterion]
    text = setting_controls._about(criterion)
    assert found.title in text and found.source in text and found.advice in text
    assume("`" not in found.formula)
    assert text.replace("\\", "").count(found.formula) == 1


def test_a_job_scores_once_for_all_who_ask(monkeypatch):
    loaded = model_cache.load(Source("digits_mlp"))
    spec = prunekit.PruneSpec(criterion="snip", samples=16)
    scores.begin(loaded.source, spec, DIGITS)
    key = scores.job_key(loaded.source, spec.at(0.9), DIGITS)
    job = board().get(key)
    assert job is not None, "another sparsity is the same job"


AT_THE_LIMITS = [
    {"sparsity": "99.9999", "seed": str(2**53 - 1), "criterion": "random", "cap_all": "0"},
    {"criterion": "taylor", "samples": str(100_000), "cap_all": "99.9999", "caps": "0~0_1~99.9999"},
    {"mode": "nm", "pattern": "9998:9999", "layers": "0"},
    {"mode": "structured", "sparsity": "99.9999", "round_to": "16", "target": "macs", "caps": "1~0", "overrides": "1~0"},
    {"mode": "structured", "criterion": "lamp", "scope": "erk", "pattern": "9:3", "round_to": "7", "caps": "~", "target": "<b>"},
    {"mode": "structured", "layers": "3", "target": "params"},
    {"overrides": "0~99_1~99_2~99_3~99", "cap_all": "1"},
    {"caps": "4000~50"},
]


@pytest.mark.parametrize("address", AT_THE_LIMITS, ids=range(len(AT_THE_LIMITS)))
@pytest.mark.parametrize("page", ["prune", "accuracy", "latency"])
def test_pages_open_at_the_limits_of_every_choice(tab, page, address):
    one = tab(page, **address)
    if page == "prune":
        layers = len(one.table("tick"))
        assert layers == (3 if address.get("mode") == "structured" else 4), "the table of layers stands, whatever cannot be done"


def test_plain_settings_are_plain():
    assert fit(Settings()) == (Settings(), [])


class Earlier(list):
    """Options of a widget as a browser names the picked one that has not seen their labels change."""

    def __getitem__(self, place):
        return f"{super().__getitem__(place)}, as it was called before"


@pytest.mark.parametrize(
    ("page", "key"), [("prune", "pick_focus_pixels"), ("accuracy", "pick_images"), ("sensitivity", "pick_images"), ("prune", "pick_focus")]
)
def test_a_choice_whose_label_changed_is_nobodys_choice(tab, page, key):
    one = tab(page, images="100", focus="1", sparsity="60")
    address = one.address
    box = one.app.selectbox(key=key)
    box.options = Earlier(box.options)
    one.app.run()
    assert one.check().address == address
    assert one.app.selectbox(key=key).index is not None
