"""What the store knows of a setting at other sparsities: its own measured curve, and no other's."""

from dataclasses import replace

import prunekit
from prunekit.config.ids import DataId, ModelId
from prunekit.config.spec import PruneSpec
from prunekit.evaluation.cautions import MUCH
from prunekit.experiments.identity import weights_of
from prunekit.experiments.known_losses import NOTHING, known_losses
from prunekit.experiments.requests import AccuracyRequest
from prunekit.experiments.store import RunStore
from prunekit.experiments.sweep_run import measure_one

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
