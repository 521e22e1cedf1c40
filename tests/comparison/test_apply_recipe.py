"""A recipe carried out again gives the same weights to the bit, or it is said how far they are from it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from prunekit import PruneSpec, load_data, load_model, prune
from prunekit.cli import main
from prunekit.comparison.apply_recipe import apply_recipe
from prunekit.config.ids import DataId, ModelId
from prunekit.config.recipe import Recipe
from prunekit.config.recovery import Recovery
from prunekit.errors import PrunekitError
from prunekit.evaluation.before_after import assess, document
from prunekit.experiments.requests import AccuracyRequest
from prunekit.experiments.store import RunStore
from prunekit.experiments.sweep_run import measure_one
from prunekit.models.folder import write_folder
from tests import recommenders
from tests.experiments.archive.made import plain

MODEL, DATA = ModelId("digits_mlp"), DataId("digits")
SPECS = {
    "weights": PruneSpec(sparsity=0.7),
    "patterns": PruneSpec(mode="nm"),
    "channels": PruneSpec(mode="structured", sparsity=0.5, criterion="l2"),
    "gradients": PruneSpec(mode="structured", sparsity=0.5, criterion="taylor", samples=64),
    "chance": PruneSpec(sparsity=0.5, criterion="random", seed=5),
}


def written(folder: Path, spec: PruneSpec, claimed: PruneSpec | None = None, measured: bool = True) -> Path:
    """Write what `prunekit prune --out` writes; ``claimed`` is what the recipe says instead of the truth."""
    model, data = load_model(MODEL), load_data(DATA)
    result = prune(model, spec, data)
    told = document(result, assess(model, result, data.test, gzip=False), MODEL.to_dict(), DATA.to_dict()) if measured else None
    return write_folder(
        folder, result.model, Recipe(MODEL.to_dict(), DATA.to_dict(), claimed or spec, input_shape=result.input_shape), told
    )


@pytest.mark.parametrize("name", SPECS)
def test_the_same_stays_to_the_bit_and_accuracy_lies_in_its_interval(tmp_path: Path, name: str) -> None:
    folder = written(tmp_path / "out", SPECS[name])
    found = apply_recipe(folder)
    assert found.same_masks is True and found.within is True and found.sentence.startswith("Exactly the same ")
    assert found.overlap is not None and found.overlap["jaccard"] == 1.0 and found.overlap["both"] > 0
    assert found.accuracy is not None and found.expected is not None and found.accuracy.to_dict() == found.expected
    state = load_model(folder).state_dict()
    again = found.recovered.model.state_dict()
    assert state.keys() == again.keys() and all(torch.equal(state[key], again[key]) for key in state)


@pytest.mark.parametrize("name", [pytest.param("weights", marks=pytest.mark.slow), pytest.param("channels", marks=pytest.mark.nightly)])
def test_a_fresh_process_comes_to_the_same(tmp_path: Path, name: str) -> None:
    folder, again = written(tmp_path / "out", SPECS[name]), tmp_path / "again"
    command = [sys.executable, "-m", "prunekit", "apply", str(folder), "--out", str(again), "--json"]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    told = json.loads(out.stdout)
    assert told["same_masks"] is True and told["within"] is True and told["overlap"]["jaccard"] == 1.0
    one, other = (load_file(place / "model.safetensors") for place in (folder, again))
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
    assert (folder / "recipe.yaml").read_bytes() == (again / "recipe.yaml").read_bytes()


@pytest.mark.parametrize(
    ("spec", "claimed", "unit"),
    [
        (PruneSpec(sparsity=0.5, criterion="random", seed=1), PruneSpec(sparsity=0.5, criterion="random", seed=2), "weights"),
        (PruneSpec(mode="structured", criterion="random", seed=1), PruneSpec(mode="structured", criterion="random", seed=2), "channels"),
    ],
)
def test_other_masks_are_told_with_their_overlap_and_what_chance_gives(
    tmp_path: Path, spec: PruneSpec, claimed: PruneSpec, unit: str
) -> None:
    found = apply_recipe(written(tmp_path / "out", spec, claimed))
    assert found.same_masks is False and found.overlap is not None and found.overlap["unit"] == unit
    assert 0 < found.overlap["jaccard"] < 1 and found.overlap["jaccard"] == pytest.approx(found.overlap["expected"], abs=0.1)
    assert f"Not quite the same {unit} stay" in found.sentence and "chance alone" in found.sentence


def test_accuracy_outside_the_recorded_interval_is_said(tmp_path: Path) -> None:
    folder = written(tmp_path / "out", SPECS["weights"])
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    result["after"]["accuracy"] |= {"value": 0.2, "low": 0.1, "high": 0.3}
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
    found = apply_recipe(folder)
    assert found.same_masks is True and found.within is False and "outside the recorded interval 10.0 to 30.0 %" in found.sentence


def test_a_recipe_alone_is_carried_out_and_has_nothing_to_compare_with(tmp_path: Path) -> None:
    folder = written(tmp_path / "out", SPECS["channels"])
    found = apply_recipe(folder / "recipe.yaml")
    assert found.same_masks is found.overlap is found.expected is found.within is None
    assert "nothing recorded to compare with" in found.sentence and found.accuracy is not None
    assert found.document["spec"] == SPECS["channels"].to_dict()


def test_what_was_not_recorded_is_not_made_up(tmp_path: Path) -> None:
    found = apply_recipe(written(tmp_path / "out", SPECS["channels"], measured=False))
    assert found.same_masks is None and found.expected is None and found.within is None
    assert "It is not recorded which channels stayed" in found.sentence and "accuracy is not recorded" in found.sentence


def test_without_data_weights_are_compared_and_accuracy_is_not_measured(tmp_path: Path) -> None:
    model = load_model(MODEL)
    folder = write_folder(tmp_path / "out", prune(model, SPECS["weights"]).model, Recipe(MODEL.to_dict(), None, SPECS["weights"]))
    found = apply_recipe(folder)
    assert found.same_masks is True and found.accuracy is None and any("names no data" in note for note in found.notes)


def test_a_dense_model_is_never_touched_and_recovery_is_repeated(tmp_path: Path) -> None:
    recipe = Recipe(MODEL.to_dict(), replace(DATA, limit=200).to_dict(), SPECS["weights"], Recovery(epochs=1, batch_size=64).to_dict())
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
    found = apply_recipe(tmp_path / "recipe.yaml")
    assert len(found.recovered.history) == 1 and found.recipe == recipe


def _changed(**change: Any) -> str:
    plain = Recipe(MODEL.to_dict(), DATA.to_dict(), PruneSpec()).to_dict()
    return yaml.safe_dump({**plain, **change})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (_changed(model=None), "names no model"),
        (_changed(version=9), "recipe version must be 1"),
        (_changed(surprise=1), "surprise"),
        ("a: [", "not valid YAML"),
        ("\udcff", "no text"),
        (_changed(data={"name": "imagefolder:/nowhere"}, recover={"epochs": 1}), "nowhere"),
    ],
)
def test_recipes_that_cannot_be_carried_out_are_refused_in_words(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "recipe.yaml").write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(PrunekitError, match=words):
        apply_recipe(tmp_path / "recipe.yaml")


def test_places_that_hold_no_recipe_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PrunekitError, match="no folder that prunekit wrote"):
        apply_recipe(tmp_path)
    with pytest.raises(PrunekitError, match="there is no file or folder"):
        apply_recipe(tmp_path / "recipe.yaml")


@pytest.mark.parametrize("name", ["weights", "channels"])
def test_an_archive_is_repeated_and_one_that_was_tampered_with_refused(tmp_path: Path, name: str) -> None:
    store = RunStore(tmp_path / "runs.sqlite")
    point = measure_one(AccuracyRequest(MODEL, DATA, SPECS[name], split="test"), store)
    out = tmp_path / "run.zip"
    out.write_bytes(plain(store, point.run, tmp_path))
    found = apply_recipe(out)
    assert found.same_masks is True and found.within is True and found.notes == ()
    damaged = bytearray(out.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    out.write_bytes(bytes(damaged))
    with pytest.raises(PrunekitError):
        apply_recipe(out)


def test_the_command_says_it_in_one_line_and_bad_input_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = written(tmp_path / "out", SPECS["weights"])
    assert main(["apply", str(folder)]) == 0
    assert "Exactly the same weights stay" in capsys.readouterr().out
    assert main(["apply", str(tmp_path / "nothing.yaml")]) == 2
    assert "there is no file or folder" in capsys.readouterr().err


def test_rows_of_tables_are_compared_too(tmp_path: Path) -> None:
    name = f"{recommenders.__file__}:deepfm"
    model = load_model(name)
    spec = PruneSpec(mode="structured", sparsity=0.0, rows=0.5, row_criterion="norm")
    result = prune(model, spec)
    for claimed, same in ((spec, True), (replace(spec, rows=0.4), False)):
        folder = tmp_path / str(same)
        told = document(result, assess(model, result, None, gzip=False), ModelId(name).to_dict(), None)
        write_folder(folder, result.model, Recipe(ModelId(name).to_dict(), None, claimed), told)
        found = apply_recipe(folder)
        assert found.same_masks is same and found.overlap is not None and found.overlap["unit"] == "channels and rows"
        assert ("Exactly the same channels and rows stay" in found.sentence) == same
