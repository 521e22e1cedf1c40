"""Targets from Sensitivity under one slider: scaled in proportion, capped, kept in the address, dropped with one click."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import prunekit
from prunekit.config.spec import PruneSpec
from prunekit.errors import OutOfReach
from prunekit.ui.accuracy import sweeps
from prunekit.ui.latency import setup
from prunekit.ui.shared import data_cache, model_cache
from prunekit.ui.shared.model_cache import Source
from prunekit.ui.state import layer_choice, target_scaling
from prunekit.ui.state.settings import Settings

SHARES = st.floats(0.01, 0.95).map(lambda share: round(share, 4))
MLP, CNN = Source("digits_mlp"), Source("digits_cnn")
LIBRARY = ("sparsity", "override alone", "overrides alone", "asked for")


def made(now, source):
    """Prune with settings as every page does, and return what was asked of the core and what came out."""
    loaded = model_cache.load(source)
    spec = target_scaling.followed(now, source).spec(loaded.every)
    return spec, prunekit.prune(loaded.model, spec)


@given(st.tuples(SHARES, SHARES, SHARES), SHARES)
def test_the_total_follows_the_slider_and_the_proportions_stay(targets, share):
    now = Settings(model="digits_mlp", layers=(0, 1, 2), sparsity=share, targets=tuple(enumerate(targets)))
    spec, result = made(now, MLP)
    assert result.achieved.sparsity == pytest.approx(spec.sparsity, abs=1e-6)
    assert spec.sparsity == pytest.approx(share, abs=2e-3)
    found = dict(spec.overrides)
    pairs = ((found[name], target) for name, target in zip(("fc1", "fc2", "fc3"), targets, strict=True))
    factors = {round(share / target, 3) for share, target in pairs if share < target_scaling.MOST}
    assert max(factors, default=0) - min(factors, default=0) <= 0.02, "one factor for all that are not at their cap"
    assert dict(spec.overrides) == {layer.name: pytest.approx(layer.sparsity, abs=2e-3) for layer in result.layers}


def test_no_target_goes_beyond_its_cap_and_the_others_make_up_for_it():
    now = Settings(model="digits_mlp", layers=(0, 1, 2), sparsity=0.7, targets=((0, 0.5), (1, 0.5), (2, 0.5)), caps=((0, 0.6),))
    spec, result = made(now, MLP)
    shares = dict(spec.overrides)
    assert shares["fc1"] == 0.6
    assert shares["fc2"] == pytest.approx(shares["fc3"])
    assert shares["fc2"] > 0.7
    assert result.achieved.sparsity == pytest.approx(0.7, abs=2e-3)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.995])
def test_channels_follow_too_and_no_layer_is_emptied(share):
    now = Settings(model="digits_cnn", mode="structured", layers=(1, 2), sparsity=share, targets=((1, 0.5), (2, 0.25)))
    spec, result = made(now, CNN)
    assert result.achieved.removed == round(spec.sparsity * result.achieved.total)
    assert result.achieved.sparsity == pytest.approx(min(share, 126 / 128), abs=0.5 / 64)
    rows = {layer.name: layer.sparsity for layer in result.layers}
    if share in (0.1, 0.5):
        assert rows["conv2"] > 1.5 * rows["fc1"] > 0
    assert not any("emptied" in limit for limit in result.limits)


def test_criteria_that_look_at_images_are_scaled_without_looking_at_any():
    now = Settings(model="digits_mlp", criterion="taylor", layers=(0, 1, 2), sparsity=0.5, targets=((0, 0.2), (1, 0.4), (2, 0.1)))
    plain = target_scaling.followed(now.change(criterion="l1"), MLP)
    assert target_scaling.followed(now, MLP).overrides == plain.overrides


def test_overrides_on_every_layer_make_up_the_total_but_for_rounding():
    overrides = {"fc1": 0.6, "fc2": 0.4, "fc3": 0.2}
    model = prunekit.load_model("digits_mlp")
    exact = (0.6 * 12800 + 0.4 * 20000 + 0.2 * 1000) / 33800
    for share in (exact, round(exact, 3)):
        assert prunekit.prune(model, PruneSpec(sparsity=share, overrides=overrides)).achieved.removed == 15880
    with pytest.raises(OutOfReach, match="Raise sparsity") as low:
        prunekit.prune(model, PruneSpec(sparsity=0.2, overrides=overrides))
    with pytest.raises(OutOfReach, match="Lower sparsity") as high:
        prunekit.prune(model, PruneSpec(sparsity=0.8, overrides=overrides))
    assert low.value.nearest == high.value.nearest == pytest.approx(exact)


TARGETS = {"model": "digits_mlp", "data": "none", "layers": "0-2", "targets": "0~60_1~40_2~20", "sparsity": "46.982249"}


def test_the_slider_scales_targets_and_a_chip_drops_them(tab):
    one = tab("prune", **TARGETS)
    assert "3 targets, as suggested: **fc1** gives 60.0" in one.text
    for share in (20.0, 80.0, 99.5, 0.0, 30.0):
        one.set("pick_sparsity", share)
        assert not one.app.error
        assert not [each for each in one.app.warning if each.icon != ":material/warning:"], "beside what a far cut may break"
        assert one.metric("Weights removed").value.startswith(f"{share:.1f}")
    assert "scaled by 0.639" in one.text
    assert one.address["sparsity"] == "30"
    assert one.address["targets"] == TARGETS["targets"], "the address keeps what was suggested"
    assert tab("prune", **one.address).metric("Weights removed").value.startswith("30.0"), "and opens with the same"
    one.click("drop_targets")
    assert "targets" not in one.address
    assert "overrides" not in one.address
    assert one.metric("Weights removed").value.startswith("30.0")
    assert not any(button.key == "drop_targets" for button in one.app.button)


def test_another_mode_starts_at_a_total_of_its_own_and_says_so(tab):
    one = tab("prune", **TARGETS | {"sparsity": "80"})
    one.set("pick_mode", "structured")
    assert "targets" not in one.address and one.address.get("sparsity", "50") == "50"
    assert "their total of 80.0" in one.text and "Structured is at 50.0" in one.text
    one.set("pick_mode", "unstructured")
    assert one.address["targets"] == TARGETS["targets"] and one.address["sparsity"] == "80"


def test_every_page_prunes_with_the_scaled_targets(tab):
    now = Settings(model="digits_mlp", layers=(0, 1, 2), sparsity=0.3, targets=((0, 0.6), (1, 0.4), (2, 0.2)))
    resolved = target_scaling.followed(now, MLP)
    every = model_cache.load(MLP).every
    assert resolved.spec(every).overrides
    assert setup.specs(resolved, model_cache.load(MLP))["masked"].overrides == resolved.spec(every).overrides
    for page in ("latency", "recover", "accuracy", "export", "compare"):
        one = tab(page, **{**TARGETS, "data": "digits", "sparsity": "30"})
        assert not one.app.error
        assert one.address["targets"] == TARGETS["targets"]


def test_overrides_that_leave_no_room_are_said_in_the_words_of_the_page_and_mended_with_one_click(tab):
    one = tab("prune", model="digits_mlp", data="none", overrides="0~60_1~40_2~20", sparsity="20")
    assert not one.app.error
    (warning,) = one.app.warning
    assert "at least 46.99\u202f%" in warning.value
    assert not any(word in warning.value for word in LIBRARY)
    button = one.app.button(key="nearest_total").label
    assert button.removeprefix("Remove ") in warning.value
    one.click("nearest_total")
    assert not one.app.warning
    assert one.metric("Weights removed").value.startswith("47.0")
    one = tab("prune", model="digits_mlp", data="none", overrides="0~60_1~40_2~20", sparsity="20").click("drop_overrides")
    assert not one.app.warning and one.metric("Weights removed").value.startswith("20.0") and "overrides" not in one.address


def test_a_curve_is_of_the_layers_without_their_targets_and_says_so(tab):
    one = tab("accuracy", **{**TARGETS, "data": "digits", "limit": "100", "evaluations": "3", "sparsity": "30"})
    assert "share out one total, and a curve has many" in one.text
    loaded = model_cache.load(MLP)
    now = target_scaling.followed(Settings(model="digits_mlp", layers=(0, 1), sparsity=0.3, targets=((0, 0.6), (1, 0.4))), MLP)
    (line,) = sweeps.lines_of(now, loaded, data_cache.data_of(now, loaded), "validation")
    assert (line.request.spec.overrides, line.request.spec.layers) == ((), ("fc1", "fc2"))
    assert "without their targets" in line.name


@pytest.fixture
def held(monkeypatch):
    """The settings of a tab, without the tab."""
    kept = [Settings(model="digits_mlp", layers=(0, 1, 2), sparsity=0.3, targets=((0, 0.6), (1, 0.4), (2, 0.2)))]
    monkeypatch.setattr(layer_choice.session, "settings", lambda: kept[0])
    monkeypatch.setattr(layer_choice.session, "change", lambda **values: kept.__setitem__(0, kept[0].change(**values)))
    return kept


def put(fixed):
    """Give the layers of a table these shares and no others, and ticks to all of them."""
    edits = layer_choice.Edits()
    edits.ticked, edits.fixed = {0, 1, 2}, dict(fixed)
    edits.put()


def test_an_edited_target_stays_a_target_and_the_slider_follows(held):
    edited = dict(target_scaling.followed(held[0], MLP).overrides) | {2: 0.9}
    put(edited)
    assert dict(held[0].targets) == edited
    spec, result = made(held[0], MLP)
    assert dict(spec.overrides)["fc3"] == pytest.approx(0.9, abs=1e-6)
    assert result.achieved.sparsity == pytest.approx(held[0].sparsity, abs=1e-6)
    assert held[0].sparsity > 0.3


def test_a_layer_without_a_target_makes_the_others_plain_overrides(held):
    edited = dict(target_scaling.followed(held[0], MLP).overrides)
    del edited[1]
    put(edited)
    assert (held[0].targets, dict(held[0].overrides)) == ((), edited)
    assert made(held[0], MLP)[1].achieved.sparsity == pytest.approx(0.3, abs=1e-3)


def test_where_every_layer_gets_an_override_by_hand_the_slider_follows(held):
    held[0] = Settings(model="digits_mlp", sparsity=0.48)
    for fixed in ({0: 0.6}, {0: 0.6, 1: 0.4}, {0: 0.6, 1: 0.4, 2: 0.2}):
        put(fixed)
        made(held[0], MLP)
    assert held[0].sparsity == pytest.approx(15880 / 33800)
