"""``prunekit prune``: what it prints, that every setting reaches the core, and the folder that it writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import prunekit
from prunekit.cli import main
from prunekit.evaluation.accuracy import evaluate
from prunekit.evaluation.paired import compare
from prunekit.training.gradual import recover

SIDE = ["accuracy", "params", "nonzero", "macs", "effective_macs", "sparsity", "sizes"]
LAYER = {"name", "type", "shape_before", "shape_after", "requested", "sparsity", "kept", "rows"}


def test_prune_unstructured_prints_one_object(run) -> None:
    found = json.loads(run("prune", "digits_mlp", "--sparsity", 0.8, "--data", "digits", "--json"))
    assert {"model", "data", "spec", "before", "after", "layers", "proof"} <= set(found)
    assert found["model"]["name"] == "digits_mlp"
    assert found["data"]["name"] == "digits"
    assert found["proof"] is None
    for side in (found["before"], found["after"]):
        assert set(SIDE) <= set(side)
        assert list(side["accuracy"]) == ["value", "low", "high", "n"]
        assert list(side["sizes"])[:4] == ["dense", "gzip", "sparse", "surgery"] and side["sizes"]["gzip_how"] == "measured"
    assert all(set(layer) == LAYER and layer["kept"] is None for layer in found["layers"])
    # the same by the Python API
    model, data = prunekit.load_model("digits_mlp"), prunekit.load_data("digits")
    result = prunekit.prune(model, prunekit.PruneSpec(sparsity=0.8), data)
    assert found["after"]["accuracy"] == evaluate(result.model, data.test).to_dict()
    assert found["after"]["nonzero"] == sum(int(p.count_nonzero()) for p in result.model.parameters())
    assert found["after"]["sizes"]["dense"] == found["before"]["sizes"]["dense"] == found["after"]["sizes"]["surgery"]
    assert found["after"]["sizes"]["sparse"] < found["after"]["sizes"]["dense"]
    assert found["after"]["sparsity"] == pytest.approx(0.8, abs=1e-3)
    paired = compare(evaluate(model, data.test), evaluate(result.model, data.test))
    assert found["difference"] == json.loads(json.dumps(paired.to_dict()))


def test_a_large_model_that_is_used_up_prints_the_same(run, monkeypatch) -> None:
    words = ("prune", "digits_mlp", "--sparsity", 0.8, "--criterion", "sparsegpt", "--samples", 32, "--json")
    usual = json.loads(run(*words))
    consumed = []
    monkeypatch.setattr("prunekit.cli.prune.LARGE", 0)
    monkeypatch.setattr("prunekit.cli.prune.recover", lambda *args, **given: consumed.append(given["consume"]) or recover(*args, **given))
    assert json.loads(run(*words)) == usual and consumed == [True]


def test_prune_structured_keeps_indices_and_is_proved(run) -> None:
    found = json.loads(run("prune", "digits_mlp", "--sparsity", 0.5, "--mode", "structured", "--json"))
    assert found["proof"]["passed"] is True
    assert set(found["proof"]) == {"max_relative_error", "output_change", "passed", "forms"}
    assert found["after"]["sizes"]["surgery"] < found["after"]["sizes"]["dense"] == found["before"]["sizes"]["dense"]
    for layer in found["layers"]:
        assert len(layer["kept"]) == layer["shape_after"][0]
        assert max(layer["kept"]) < layer["shape_before"][0]
    assert found["data"]["name"] == "digits"  # the sample's own


def test_every_setting_reaches_the_core(run) -> None:
    words = ["--criterion", "random", "--scope", "uniform", "--layers", "fc1,fc2", "--override", "fc2=0.25", "--seed", 7, "--limit", 50]
    found = json.loads(run("prune", "digits_mlp", "--sparsity", 0.5, *words, "--json"))
    spec = prunekit.PruneSpec(sparsity=0.5, criterion="random", scope="uniform", layers=("fc1", "fc2"), overrides={"fc2": 0.25}, seed=7)
    assert found["spec"] == spec.to_dict()
    by_name = {layer["name"]: layer for layer in found["layers"]}
    assert by_name["fc2"]["sparsity"] == 0.25
    assert by_name["fc3"]["sparsity"] == 0
    assert found["before"]["accuracy"]["n"] == 50
    assert found["data"]["limit"] == 50


def test_every_structured_setting_reaches_the_core(run) -> None:
    words = ["--mode", "structured", "--criterion", "taylor", "--samples", 96, "--target", "macs", "--round", 4]
    caps = ["--cap", "conv1=0.5", "--cap", "fc1=0.25", "--cap-all", 0.75]
    found = json.loads(run("prune", "digits_cnn", "--sparsity", 0.3, *words, *caps, "--layers", "conv1,conv2,fc1", "--json"))
    spec = prunekit.PruneSpec(
        mode="structured", sparsity=0.3, criterion="taylor", samples=96, target="macs", round_to=4,
        caps={"conv1": 0.5, "fc1": 0.25}, cap_all=0.75, layers=("conv1", "conv2", "fc1"),
    )  # fmt: skip
    assert found["spec"] == spec.to_dict()
    achieved = found["achieved"]
    assert achieved["unit"] == "macs" and achieved["total"] == found["before"]["macs"]
    assert achieved["removed"] == found["before"]["macs"] - found["after"]["macs"]
    assert abs(achieved["sparsity"] - 0.3) <= 0.02
    by_name = {layer["name"]: layer for layer in found["layers"]}
    assert all(by_name[name]["shape_after"][0] % 4 == 0 for name in spec.layers)
    assert by_name["conv1"]["shape_after"][0] >= 16 and by_name["fc1"]["shape_after"][0] >= 48


def test_a_depth_of_0_beside_a_sparsity_lets_no_block_go(run) -> None:
    found, plain = (
        json.loads(run("prune", "cifar10_resnet20", "--data", "none", "--mode", "structured", "--sparsity", "0.3", *depth, "--json"))
        for depth in (["--depth", "0"], [])
    )
    assert found["blocks"] == [] and found["achieved"] == plain["achieved"] and found["achieved"]["removed"] > 0
    assert [row["kept"] for row in found["layers"]] == [row["kept"] for row in plain["layers"]]


def test_a_target_out_of_reach_says_what_prevents_it(run) -> None:
    text = run("prune", "digits_cnn", "--mode", "structured", "--sparsity", 0.9, "--target", "macs", "--cap-all", 0.25, "--data", "none")
    assert "MACs" in text and "! 90 % of the MACs were asked for" in text and "the caps prevent it" in text


def test_a_pattern_needs_no_sparsity(run) -> None:
    for words in (("--pattern", "1:4"), ("--mode", "nm", "--pattern", "1:4"), ("--pattern", "1:4", "--sparsity", 0.75)):
        found = json.loads(run("prune", "digits_mlp", *words, "--data", "none", "--json"))
        assert found["spec"]["mode"] == "nm" and found["spec"]["pattern"] == "1:4" and found["achieved"]["sparsity"] == 0.75
        assert found["limits"] == []


def test_what_a_pattern_leaves_whole_is_reported(run) -> None:
    text = run("prune", "digits_cnn", "--mode", "nm", "--data", "none")
    assert "! conv1: 1 input does not make a block of 4" in text and "nm, l1, 2:4" in text


def test_a_threshold_instead_of_a_sparsity(run) -> None:
    found = json.loads(run("prune", "digits_mlp", "--threshold", 0.05, "--json", "--data", "none"))
    state = prunekit.load_model("digits_mlp").state_dict()
    weights = np.concatenate([v.numpy().ravel() for k, v in state.items() if k.endswith("weight")])
    assert found["after"]["sparsity"] == pytest.approx((np.abs(weights) < 0.05).mean())
    assert found["spec"]["threshold"] == 0.05
    assert found["data"] is found["before"]["accuracy"] is found["after"]["accuracy"] is found["difference"] is None


def test_a_model_of_ones_own_has_no_data_unless_named(run, net: Path) -> None:
    assert json.loads(run("prune", f"{net}:make", "--sparsity", 0.5, "--json"))["before"]["accuracy"] is None
    named = json.loads(run("prune", f"{net}:make", "--sparsity", 0.5, "--data", "digits", "--mean", "0.5", "--std", "0.5", "--json"))
    assert named["data"]["mean"] == [0.5]
    assert named["before"]["accuracy"]["n"] == 360


def test_what_a_model_prints_stays_out_of_the_json(capsys, net: Path) -> None:
    assert main(["prune", f"{net}:talk", "--sparsity", "0.5", "--json"]) == 0
    out, err = capsys.readouterr()
    json.loads(out)
    assert "a word on stdout" in err


def test_the_table_sets_before_beside_after(run) -> None:
    text = run("prune", "digits_mlp", "--sparsity", 0.5, "--mode", "structured")
    for word in (
        "before",
        "after",
        "requested",
        "achieved",
        "accuracy",
        "parameters",
        "MACs",
        "file in the dense shape",
        "proved",
        "fc1",
        "200×64",
        "n = 360",
    ):
        assert word in text
    assert "significant" in text
    assert "threshold 0.05" in run("prune", "digits_mlp", "--threshold", 0.05, "--data", "none")


ATTENTION = """from torch import nn


class Net(nn.Module):
    input_shape = (3, 8)

    def __init__(self):
        super().__init__()
        self.attention, self.out = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 2)

    def forward(self, x):
        return self.out(self.attention(x, x, x, need_weights=False)[0].mean(1))
"""


def test_units_that_are_chosen_are_counted_by_their_name(run, tmp_path: Path) -> None:
    file = tmp_path / "heads.py"
    file.write_text(ATTENTION)
    assert ": 1 of 2 heads\n" in run("prune", f"{file}:Net", "--mode", "structured", "--units", "heads", "--sparsity", 0.5)


@pytest.mark.parametrize("mode", ["unstructured", "structured"])
def test_out_opens_again(run, tmp_path: Path, mode: str) -> None:
    out = tmp_path / "out"
    printed = json.loads(run("prune", "digits_cnn", "--sparsity", 0.5, "--mode", mode, "--out", out, "--json"))
    assert {path.name for path in out.iterdir()} == {"model.safetensors", "recipe.yaml", "result.json"}
    assert json.loads((out / "result.json").read_text()) == printed
    recipe = prunekit.Recipe.from_yaml((out / "recipe.yaml").read_text())
    assert (recipe.model["name"], recipe.data["name"], recipe.prune.mode) == ("digits_cnn", "digits", mode)
    model = prunekit.load_model(str(out))
    state = load_file(out / "model.safetensors")
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert evaluate(model, prunekit.load_data("digits", model=model).test).to_dict() == printed["after"]["accuracy"]
    seen = json.loads(run("inspect", out, "--json"))
    assert seen["params"] == printed["after"]["params"]
    assert seen["macs"] == printed["after"]["macs"]
    assert seen["result"] == printed
    again = json.loads(run("prune", out, "--sparsity", 0.2, "--mode", mode, "--out", tmp_path / "second", "--json"))
    assert again["before"]["params"] == printed["after"]["params"]
    assert prunekit.load_model(str(tmp_path / "second")) is not None


def test_out_replaces_its_own_folder_and_no_other(run, refused, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for sparsity in (0.5, 0.7):
        run("prune", "digits_mlp", "--sparsity", sparsity, "--out", out, "--data", "none")
    assert json.loads((out / "result.json").read_text())["spec"]["sparsity"] == 0.7
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("keep me")
    assert "did not write it" in refused("prune", "digits_mlp", "--sparsity", 0.5, "--out", mine, "--data", "none")
    assert (mine / "notes.txt").read_text() == "keep me"
    (tmp_path / "file").write_text("x")
    refused("prune", "digits_mlp", "--sparsity", 0.5, "--out", tmp_path / "file" / "deeper", "--data", "none")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "mine", "out"]


def test_data_that_nobody_asked_for_may_be_missing(capsys, monkeypatch) -> None:
    from prunekit.cli import arguments
    from prunekit.errors import DataError

    def offline(*args: object, **kwargs: object) -> None:
        raise DataError("the data are not here")

    monkeypatch.setattr(arguments, "load_data", offline)
    assert main(["prune", "digits_mlp", "--sparsity", "0.5", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["before"]["accuracy"] is None
    assert err == "prunekit: note: accuracy is not measured: the data are not here\n"
    assert main(["prune", "digits_mlp", "--sparsity", "0.5", "--data", "digits"]) == 2
