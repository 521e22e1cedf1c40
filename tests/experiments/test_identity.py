"""Equal settings have equal ids, different ones different ids, and whatever decides the outcome is part of them."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from prunekit.config.ids import DataId, ModelId
from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.data.load import load_data
from prunekit.errors import DataError, PrunekitError, SpecError
from prunekit.experiments.identity import canonical, data_hash, digest, measurement_id, run_id, trained_on, weights_of
from prunekit.experiments.requests import AccuracyRequest, SweepRequest
from prunekit.models.load import load_model
from prunekit.models.state import state_hash

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
SPECS = st.builds(
    PruneSpec,
    sparsity=st.floats(0, 0.99),
    criterion=st.sampled_from(["l1", "l2", "random", "lamp"]),
    scope=st.sampled_from(["global", "uniform"]),
    layers=st.none() | st.lists(st.sampled_from("abc"), min_size=1, unique=True).map(tuple),
    caps=st.dictionaries(st.sampled_from("abc"), st.floats(0.2, 1)),
    overrides=st.dictionaries(st.sampled_from("abc"), st.floats(0, 0.2)),
    seed=st.integers(0, 5),
    samples=st.integers(1, 600),
)
RECOVERIES = st.builds(
    Recovery, recalibrate=st.booleans(), epochs=st.integers(1, 3), lr=st.floats(0, 1), augment=st.booleans(), seed=st.integers(0, 5)
)


def reversed_keys(value: object) -> object:
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(value)}
    return [reversed_keys(item) for item in value] if isinstance(value, list) else value


@given(PLAIN)
def test_the_order_of_keys_does_not_matter(value: object) -> None:
    assert canonical(value) == canonical(reversed_keys(value))
    assert json.loads(canonical(value)) == value


@given(SPECS, SPECS, RECOVERIES, RECOVERIES)
def test_runs_have_the_same_id_exactly_when_their_settings_are_equal(one: PruneSpec, two: PruneSpec, a: Recovery, b: Recovery) -> None:
    assert run_id("w", one, a, "t") == run_id("w", PruneSpec.from_dict(one.to_dict()), Recovery.from_dict(a.to_dict()), "t")
    assert (run_id("w", one, a, "t") == run_id("w", two, b, "t")) == ((one, a) == (two, b))


@given(SPECS, RECOVERIES, st.sampled_from([f.name for f in fields(Recovery)]), st.data())
def test_any_field_of_an_active_recovery_changes_the_id(spec: PruneSpec, recovery: Recovery, field: str, data: st.DataObject) -> None:
    value = getattr(recovery, field)
    change = {
        "optimizer": "adam",
        "rate": "rewind",
        "schedule": "agp",
        "temperature": 3.0,
        "momentum": 0.5,
        "distill": 0.5,
        "prepare": "growing",
        "penalty": 0.5,
    }
    other = change[field] if field in change else not value if isinstance(value, bool) else value + 1
    more = {"steps": 2, "epochs": 6} if field in ("steps", "schedule") else {}
    more |= {"schedule": "agp"} if field == "steps" else {}
    changed = replace(recovery, **{field: other, **more})
    assert run_id("w", spec, changed) != run_id("w", spec, recovery)


def test_a_recovery_that_does_nothing_is_none() -> None:
    assert run_id("w", PruneSpec(), Recovery(seed=3, lr=0.5)) == run_id("w", PruneSpec(), None)
    assert run_id("w", PruneSpec(), Recovery(epochs=1)) != run_id("w", PruneSpec(), None)


@pytest.mark.parametrize("field", ["weights", "trained_on"])
def test_weights_and_training_data_belong_to_a_run(field: str) -> None:
    known = {"weights": "w", "trained_on": "t"}
    assert run_id(spec=None, recovery=None, **known) != run_id(spec=None, recovery=None, **{**known, field: "other"})


def test_each_part_of_a_measurement_changes_its_id() -> None:
    plain = {"run": "r", "data_hash": "d", "split": "test", "images": 10}
    more = {"what": "latency", "runtime": "onnx", "machine": {"cpu": "z80"}, "versions": {"torch": "9"}}
    seen = {measurement_id(**plain)}
    for field, value in {"run": "s", "data_hash": "e", "split": "train", "images": 11, **more}.items():
        seen.add(measurement_id(**{**plain, field: value}))
    assert len(seen) == 9
    assert measurement_id(**plain, machine={"a": "1", "b": "2"}) == measurement_id(**plain, machine={"b": "2", "a": "1"})


def test_minus_zero_is_zero() -> None:
    assert PruneSpec(sparsity=-0.0) == PruneSpec(sparsity=0.0)
    assert run_id("w", PruneSpec(sparsity=-0.0), None) == run_id("w", PruneSpec(sparsity=0.0), None)
    with pytest.raises(ValueError):
        digest(float("nan"))


def test_the_code_of_a_model_of_ones_own_is_part_of_it(tmp_path) -> None:
    file = tmp_path / "net.py"
    net = "nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.{})"
    text = f"from torch import nn\ndef make():\n    return {net}\nmake.input_shape = (1, 8, 8)\n"
    file.write_text(text.format("ReLU()"))
    one = load_model(f"{file}:make")
    first = weights_of(one)
    file.write_text(text.format("GELU()") + "# another\n")
    two = load_model(f"{file}:make")
    assert state_hash(one) == state_hash(two)
    assert weights_of(two) != first


def test_a_sample_is_its_weights_unless_its_images_have_another_size() -> None:
    model = load_model("digits_mlp")
    assert weights_of(model) == weights_of(model, (1, 8, 8)) == state_hash(model)
    assert weights_of(model, (1, 16, 16)) != state_hash(model)
    changed = nn.Linear(2, 2)
    before = weights_of(changed)
    with torch.no_grad():
        changed.weight[0, 0] += 1
    assert weights_of(changed) != before


def test_training_images_count_where_something_looks_at_them() -> None:
    whole, some = load_data("digits"), load_data(DataId("digits", limit=100))
    assert trained_on(whole, PruneSpec(), None) == trained_on(some, PruneSpec(), Recovery(seed=1)) == ""
    for spec, recovery in ((PruneSpec(criterion="snip"), None), (PruneSpec(), Recovery(epochs=1)), (None, Recovery(recalibrate=True))):
        assert trained_on(whole, spec, recovery) == trained_on(load_data("digits"), spec, recovery)
        assert trained_on(whole, spec, recovery) != trained_on(some, spec, recovery)
    # the validation images choose the epoch, but have no say in new statistics
    other = replace(whole, validation=whole.test)
    assert trained_on(other, None, Recovery(epochs=1)) != trained_on(whole, None, Recovery(epochs=1))
    assert trained_on(other, None, Recovery(recalibrate=True)) == trained_on(whole, None, Recovery(recalibrate=True))
    assert data_hash(whole.test) != data_hash(some.test)


SWEEP = SweepRequest(ModelId("digits_mlp"), DataId("digits"), PruneSpec(seed=3), sparsities=(0.5, 0.9))


@pytest.mark.parametrize(
    "change",
    [
        {"model": ModelId("digits_cnn")},
        {"data": DataId("digits", limit=9)},
        {"spec": PruneSpec(seed=4)},
        {"recovery": Recovery(epochs=1)},
        {"split": "test"},
        {"images": 10},
        {"sparsities": (0.5,)},
        {"sparsities": None},
    ],
    ids=lambda change: next(iter(change)),
)
def test_requests_survive_as_plain_values_and_differ_in_every_field(change: dict[str, object]) -> None:
    changed = replace(SWEEP, **change)
    assert changed.id != SWEEP.id
    for request in (SWEEP, changed):
        again = SweepRequest.from_dict(json.loads(json.dumps(request.to_dict())))
        assert again == request and again.id == request.id


def test_what_does_not_count_in_a_request_does_not_change_it() -> None:
    assert replace(SWEEP, spec=PruneSpec(seed=3, threshold=0.2)) == SWEEP == replace(SWEEP, recovery=Recovery(lr=0.3), evaluations=40)
    assert replace(SWEEP, sparsities=(0.5, 0.9, 0.5)) == SWEEP
    one = AccuracyRequest(ModelId("digits_mlp"), DataId("digits"), PruneSpec(mode="nm"))
    assert AccuracyRequest.from_dict(json.loads(json.dumps(one.to_dict()))) == one
    assert AccuracyRequest.from_dict({**one.to_dict(), "spec": None}).id != one.id


def test_bad_requests_say_what_is_wrong() -> None:
    with pytest.raises(PrunekitError, match="a pattern has one sparsity"):
        replace(SWEEP, spec=PruneSpec(mode="nm"))
    with pytest.raises(PrunekitError, match="at least one sparsity"):
        replace(SWEEP, sparsities=())
    with pytest.raises(SpecError, match="below 1"):
        replace(SWEEP, sparsities=(1.0,))
    with pytest.raises(SpecError, match="evaluations"):
        replace(SWEEP, sparsities=None, evaluations=1)
    with pytest.raises(DataError, match="split must be one of"):
        replace(SWEEP, split="tset")
    with pytest.raises(SpecError, match="images"):
        replace(SWEEP, images=-1)
    with pytest.raises(SpecError, match="unknown keys: colour"):
        SweepRequest.from_dict({**SWEEP.to_dict(), "colour": 1})
    with pytest.raises(SpecError, match="has no spec"):
        SweepRequest.from_dict({"model": {"name": "a"}, "data": {"name": "b"}})
    with pytest.raises(SpecError, match="give a spec"):
        AccuracyRequest(ModelId("a"), DataId("digits"), None, Recovery(epochs=1))


@given(SPECS)
def test_a_run_that_was_kept_before_blocks_could_go_is_found_again(spec):
    came_later = {"units", "depth", "blocks", "consumers", "reduction", "normaliser", "shares", "indices", "soft", "remove_layers"}
    came_later |= {"rows", "row_criterion", "row_shares"}
    before = {name: value for name, value in spec.to_dict().items() if name not in came_later}
    assert run_id("w", spec, None) == digest({"weights": "w", "spec": before, "recovery": None, "trained_on": ""})


def test_blocks_and_units_make_another_run():
    specs = [PruneSpec(mode="structured", sparsity=0.3, **more) for more in ({}, {"depth": 0.5}, {"blocks": ["a"]}, {"units": ["heads"]})]
    assert len({run_id("w", spec, None) for spec in specs}) == 4
