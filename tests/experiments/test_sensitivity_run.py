"""Sensitivity and how far, through the store: read and not measured again, taken up where they were."""

from dataclasses import replace

import numpy as np
import pytest

import prunekit
from prunekit.config.ids import DataId, ModelId
from prunekit.config.spec import PruneSpec
from prunekit.data.load import load_data
from prunekit.errors import PrunekitError
from prunekit.evaluation.accuracy import evaluate
from prunekit.evaluation.cautions import MUCH
from prunekit.experiments import max_sparsity_run, sensitivity_run
from prunekit.experiments.experiment import Experiment
from prunekit.experiments.identity import weights_of
from prunekit.experiments.max_sparsity_run import FurthestRequest, find_furthest
from prunekit.experiments.requests import AccuracyRequest, SweepRequest
from prunekit.experiments.sensitivity_run import NOTHING, SensitivityRequest, known_losses, sense, stored
from prunekit.experiments.store import RunStore
from prunekit.experiments.sweep_run import measure_one, sweep_through
from prunekit.models.load import load_model
from prunekit.pruning.unstructured.masks import masked_copy, masks_at
from tests.experiments.here import Here

MODEL, DATA = ModelId("digits_mlp"), DataId("digits")


@pytest.fixture
def kept(tmp_path):
    store = RunStore(tmp_path / "runs.sqlite")
    yield store
    store.close()


def bits(found):
    rows = [found.dense.correct] + [point.accuracy.correct for layer in found.layers for point in layer.points]
    return np.stack(rows)


@pytest.mark.parametrize("mode", ["unstructured", "structured"])
def test_a_stored_sensitivity_is_read_bit_by_bit_and_not_measured_again(kept, monkeypatch, mode):
    request = SensitivityRequest(MODEL, DATA, PruneSpec(mode=mode), sparsities=(0.3, 0.8))
    first = sense(request, kept)
    monkeypatch.setattr(sensitivity_run, "sensitivity", lambda *_, **__: pytest.fail("measured again"))
    again = sense(request, kept)
    assert again.to_dict() == first.to_dict() and np.array_equal(bits(again), bits(first)) and again.done
    model = load_model("digits_mlp")
    assert stored(request, kept, model, load_data("digits", model=model)).to_dict() == first.to_dict()


def test_an_interrupted_scan_goes_on_with_the_images_that_are_missing(kept, monkeypatch):
    monkeypatch.setattr("prunekit.evaluation.sensitivity.scan.FIRST", 40)
    request = SensitivityRequest(MODEL, DATA, PruneSpec(), sparsities=(0.5, 0.9))

    class Stop(Exception):
        pass

    def stop(so_far):
        if so_far.images < so_far.total:
            raise Stop

    with pytest.raises(Stop):
        sense(request, kept, report=stop)
    seen, measured = [], sensitivity_run.sensitivity

    def spy(*args, start=None, **more):
        seen.append(start)
        return measured(*args, start=start, **more)

    monkeypatch.setattr(sensitivity_run, "sensitivity", spy)
    resumed = sense(request, kept)
    assert seen[0] is not None and 0 < seen[0].images < seen[0].total
    assert np.array_equal(bits(resumed), bits(sense(request, None)))


def test_one_row_answers_every_allowed_loss_and_goes_on_where_it_is_open(kept, monkeypatch):
    monkeypatch.setattr("prunekit.evaluation.sensitivity.scan.FIRST", 60)
    whole = SensitivityRequest(MODEL, DATA, PruneSpec(), sparsities=(0.1, 0.5, 0.9))
    some, most = replace(whole, drop=0.05), replace(whole, drop=0.3)
    first = sense(some, kept)
    assert first.answers(0.05) and first.answers(0.05, True) and not first.answers(0.3) and not first.answers(None)
    assert first.done and first.images == first.total == first.dense.n and 0 < first.saved < 1 and first.early
    fewer = [point for point in first.points if point.settled]
    assert fewer and all(point.dense.n == point.accuracy.n < first.total for point in fewer)
    again = sense(some, kept, report=lambda _: None)
    assert again == first and np.array_equal(again.references[0].correct, first.references[0].correct)
    alone = sense(most, None)
    second = sense(most, kept)
    assert [p.accuracy.n >= q.accuracy.n for p, q in zip(second.points, alone.points, strict=True)] and second.answers(0.3)
    assert sense(most, kept) == second
    third = sense(whole, kept)
    assert third == sense(whole, None) and third.answers(None) and third.answers(0.05) and not third.early
    assert np.array_equal(bits(third), bits(sense(whole, None)))
    assert sense(some, kept) == third, "what was measured on all says more, and is not forgotten"
    assert len(kept.measurements(kept.runs(kind="dense")[0].id)) == 1


def test_workers_measure_what_is_open_and_no_more(kept, monkeypatch):
    monkeypatch.setattr("prunekit.evaluation.sensitivity.scan.FIRST", 60)
    model = load_model("digits_mlp")
    data = load_data("digits", model=model)
    request = SensitivityRequest(MODEL, DATA, PruneSpec(mode="structured"), sparsities=(0.1, 0.5, 0.9), drop=0.05)
    there = sense(request, kept, model=model, data=data, cluster=Here(2, MODEL, model, data))
    assert there.to_dict() == sense(request, None).to_dict() == sense(request, kept).to_dict() and there.saved


def test_a_row_of_an_earlier_version_opens(kept):
    request = SensitivityRequest(MODEL, DATA, PruneSpec(), sparsities=(0.5,))
    found, model = sense(request, kept), load_model("digits_mlp")
    row = kept.measurements(kept.runs(kind="dense")[0].id)[0]
    plain = {name: value for name, value in row.value.items() if name not in ("drop", "relative", "saved", "references")}
    plain["layers"] = [
        {**layer, "points": [{n: v for n, v in p.items() if n != "settled"} for p in layer["points"]]} for layer in plain["layers"]
    ]
    kept.put_point([kept.get_run(row.run)], replace(row, value=plain))
    assert stored(request, kept, model, load_data("digits", model=model)) == found
    assert found.answers(None) and sense(replace(request, drop=0.01), kept) == found


@pytest.mark.parametrize("change", [{"images": 100}, {"sparsities": (0.4,)}, {"spec": PruneSpec(criterion="l2")}, {"split": "test"}])
def test_another_question_is_another_row(kept, change):
    request = SensitivityRequest(MODEL, DATA, PruneSpec(), sparsities=(0.5,))
    sense(request, kept)
    model = load_model("digits_mlp")
    data = load_data("digits", model=model)
    plain = {name: getattr(request, name) for name in ("model", "data", "spec", "split", "images", "sparsities")}
    assert stored(request, kept, model, data) is not None
    assert stored(SensitivityRequest(**{**plain, **change}), kept, model, data) is None


def test_sensitivity_requests_are_read_back_and_refuse_what_makes_no_sense():
    request = SensitivityRequest(MODEL, DATA, PruneSpec(mode="structured", sparsity=0.2, target="macs"), images=50)
    assert SensitivityRequest.from_dict(request.to_dict()) == request
    early = replace(request, drop=1, relative=True)
    assert SensitivityRequest.from_dict(early.to_dict()) == early and early.whole == request
    with pytest.raises(PrunekitError, match="drop"):
        replace(request, drop=-0.1)
    assert request.spec == PruneSpec(mode="structured"), "amounts and targets do not count"
    with pytest.raises(PrunekitError, match="a pattern has one"):
        SensitivityRequest(MODEL, DATA, PruneSpec(mode="nm"))
    with pytest.raises(PrunekitError, match="unknown keys"):
        SensitivityRequest.from_dict({**request.to_dict(), "budget": 3})


def test_how_far_is_found_on_validation_and_confirmed_on_test(kept):
    sweep = SweepRequest(MODEL, DATA, PruneSpec(), sparsities=(0.5, 0.8, 0.95))
    sweep_through(sweep, kept)
    answer = find_furthest(FurthestRequest(sweep, 0.02), kept)
    model = load_model("digits_mlp")
    data = load_data("digits", model=model)
    dense = {name: evaluate(model, getattr(data, name)) for name in ("validation", "test")}

    masks = next(iter(masks_at(model, PruneSpec(), [answer.found.sparsity])))
    pruned = {name: evaluate(masked_copy(model, masks), getattr(data, name)) for name in ("validation", "test")}
    assert answer.found.drop.value == pytest.approx(pruned["validation"].value - dense["validation"].value)
    assert answer.confirmation.drop.value == pytest.approx(pruned["test"].value - dense["test"].value)
    assert -answer.found.drop.value <= 0.02
    assert kept.get_run(answer.run).spec["sparsity"] == answer.found.sparsity


def test_how_far_uses_what_a_sweep_has_measured(kept, monkeypatch):
    sweep = SweepRequest(MODEL, DATA, PruneSpec(), sparsities=(0.5, 0.8, 0.9, 0.99))
    points = sweep_through(sweep, kept)
    made, make = [], Experiment._make

    def spy(self, spec, *more):
        made.append(spec)
        return make(self, spec, *more)

    monkeypatch.setattr(Experiment, "_make", spy)
    answer = find_furthest(FurthestRequest(sweep, 0.02), kept)
    asked = {spec.sparsity for spec in made if spec is not None}
    assert not asked & ({point.requested for point in points} - {answer.found.sparsity})
    again = find_furthest(FurthestRequest(sweep, 0.02), kept)
    assert again.to_dict() == answer.to_dict()


def test_where_the_test_images_chose_nothing_is_left_to_confirm(kept):
    answer = find_furthest(FurthestRequest(SweepRequest(MODEL, DATA, PruneSpec(), split="test", sparsities=(0.9,)), 0.05), kept)
    assert answer.confirmation is None and answer.to_dict()["test"] is None


def test_an_allowed_loss_is_a_number_in_the_metrics_own_unit():
    for wrong in (float("nan"), "much", True):
        with pytest.raises(PrunekitError):
            FurthestRequest(SweepRequest(MODEL, DATA, PruneSpec()), wrong)
    assert FurthestRequest(SweepRequest(MODEL, DATA, PruneSpec()), 1.5).allowed == 1.5  # of perplexity
    assert (
        max_sparsity_run.FurthestRequest.from_dict(FurthestRequest(SweepRequest(MODEL, DATA, PruneSpec()), 0.01).to_dict()).allowed == 0.01
    )


SPEC = PruneSpec(sparsity=0.5)


def test_the_curve_is_that_of_the_same_setting_on_the_same_samples(tmp_path):
    store, model = RunStore(tmp_path / "runs.sqlite"), prunekit.load_model("digits_mlp")
    weights = weights_of(model, prunekit.info(model).input_shape)
    assert not known_losses(store, weights, SPEC).points and known_losses(None, weights, SPEC) is NOTHING
    asked = AccuracyRequest(ModelId("digits_mlp"), DataId("digits", limit=60), SPEC, split="test")
    dense = measure_one(replace(asked, spec=None), store).accuracy
    measured = {}
    for spec in (SPEC, replace(SPEC, sparsity=0.97), replace(SPEC, scope="uniform"), replace(SPEC, criterion="random")):
        measured[spec] = measure_one(replace(asked, spec=spec), store).accuracy
    known = known_losses(store, weights, replace(SPEC, sparsity=0.9))
    assert {(p.sparsity, round(p.loss, 9)) for p in known.points} == {
        (spec.sparsity, round(dense.value - measured[spec].value, 9)) for spec in (SPEC, replace(SPEC, sparsity=0.97))
    }
    beyond = known.cautions(replace(SPEC, sparsity=0.98), [], None)
    assert [caution.kind for caution in beyond] == ["curve"] * (known.points[-1].loss > MUCH)
    assert not known.cautions(SPEC, [], None)
