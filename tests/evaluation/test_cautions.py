"""Warnings of what a setting breaks: there is one if and only if, and the choice it names avoids it."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import prunekit
from prunekit.config.spec import PruneSpec
from prunekit.evaluation.cautions import FEW, MUCH, NARROW, SHORT, LayerCut, Point, cautions
from prunekit.evaluation.sensitivity.measure import sensitivity
from prunekit.tasks.classification import ACCURACY
from tests.nets import SHAPE, nets

CHANNELS, WEIGHTS = PruneSpec(mode="structured", sparsity=0.5), PruneSpec(sparsity=0.5)


def cuts_of(result):
    """Return what a pruned model lost, from its own layers."""
    return [
        LayerCut(layer.name, len(layer.kept), layer.shape_before[0], layer.shape_before[0])
        for layer in result.layers
        if layer.sparsity and layer.kept
    ]


def kinds(spec, cuts=(), **known):
    return {caution.kind: caution for caution in cautions(spec, cuts, **known)}


@given(st.integers(1, 300), st.integers(1, 300))
def test_a_layer_of_channels_is_thin_iff_one_is_left_or_few_of_many(left, of):
    left = min(left, of)
    thin = "thin" in kinds(CHANNELS, [LayerCut("a", left, of, of)])
    assert thin == (left < of and ((left == 1 and of >= FEW) or (left < FEW and of >= NARROW)))


@given(st.integers(0, 4000), st.integers(1, 64), st.integers(1, 64))
def test_a_masked_layer_is_thin_iff_it_has_fewer_weights_than_outputs(left, outputs, inputs):
    left, of = min(left, outputs * inputs), outputs * inputs
    found = kinds(WEIGHTS, [LayerCut("a", left, of, outputs)])
    assert ("thin" in found) == (left < outputs < of)
    if found:
        ((_, cap),) = found["thin"].choices[0].changes["caps"]
        assert of - round(cap * of) == outputs


@settings(max_examples=4)
@given(nets(), st.floats(0.5, 0.98))
def test_the_choice_keeps_what_it_says_of_every_layer(net, sparsity):
    spec = replace(CHANNELS, sparsity=sparsity)
    first = prunekit.prune(net, spec, input_shape=SHAPE)
    thin = kinds(spec, cuts_of(first)).get("thin")
    if thin is None:
        return
    again = prunekit.prune(net, replace(spec, **thin.choices[0].changes), input_shape=SHAPE)
    for cut in cuts_of(again):
        assert cut.left >= min(FEW, cut.of // 2)
    assert "thin" not in kinds(spec, cuts_of(again))


points = st.lists(st.tuples(st.floats(0.01, 0.99), st.floats(-0.05, 0.9)), min_size=1, max_size=8, unique_by=lambda p: p[0])


@given(points, st.floats(0.01, 0.99))
def test_a_total_is_beyond_the_cliff_iff_a_measured_one_at_or_below_it_lost_much_and_the_way_back_is_a_measured_one(told, sparsity):
    known = [Point(*pair) for pair in told]
    found = kinds(replace(WEIGHTS, sparsity=sparsity), points=known, metric=ACCURACY)
    assert ("curve" in found) == any(p.sparsity <= sparsity and p.loss > MUCH for p in known)
    for choice in found["curve"].choices if found else ():
        back = replace(WEIGHTS, **choice.changes)
        assert back.sparsity in {p.sparsity for p in known}
        assert "curve" not in kinds(back, points=known, metric=ACCURACY)


@given(st.floats(0.01, 0.99), st.floats(0, 0.99), st.floats(0.1, 0.9))
def test_a_target_is_short_iff_less_goes_and_caps_are_lifted_where_a_layer_stands_at_one(asked, achieved, cap):
    spec = replace(CHANNELS, sparsity=asked, caps=(("a", cap),))
    at_cap = LayerCut("a", 100 - int(100 * cap), 100, 100)
    found = kinds(spec, [at_cap], achieved=achieved)
    assert ("short" in found) == (asked - achieved > SHORT)
    if found:
        assert found["short"].choices[0].changes == {"caps": (), "cap_all": None}
        assert all(choice.changes["sparsity"] <= achieved for choice in found["short"].choices[1:])
        free = kinds(spec, [LayerCut("a", 99, 100, 100)], achieved=achieved)["short"]
        assert not any("caps" in choice.changes for choice in free.choices)


@pytest.fixture(scope="module")
def measured():
    data = prunekit.load_data("digits", limit=60)
    model = prunekit.load_model("digits_mlp")
    return model, sensitivity(model, data, CHANNELS, (0.3, 0.6, 0.95), images=40)


def test_a_layer_beyond_the_cliff_of_its_own_curve_is_named_and_its_cap_stops_before_it(measured):
    model, found = measured
    spec = replace(CHANNELS, sparsity=0.93)
    result = prunekit.prune(model, spec, input_shape=prunekit.info(model).input_shape)
    caution = kinds(spec, cuts_of(result), sensitivity=found)["sensitivity"]
    again = replace(spec, **caution.choices[0].changes)
    held = prunekit.prune(model, again, input_shape=prunekit.info(model).input_shape)
    assert "sensitivity" not in kinds(again, cuts_of(held), sensitivity=found)
    assert not cautions(replace(spec, sparsity=0.0), [], sensitivity=found)
