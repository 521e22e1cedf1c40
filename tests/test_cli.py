"""The command line: what it prints, what it refuses, and that bad input is one line and exit code 2."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import prunekit
from prunekit.catalog import DataId, ModelId, registered, registry
from prunekit.cli import main
from prunekit.cli.app import command, script
from prunekit.cli.arguments import to_json
from prunekit.cli.tables import byte_text, short, table
from prunekit.measure import compare, evaluate

NET = """
import torch
from torch import nn

def make():
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 10))
make.input_shape = (1, 8, 8)

def talk():
    print("a word on stdout")
    return make()
talk.input_shape = (1, 8, 8)

def broken():
    raise RuntimeError("two\\nlines")

def plain():
    return nn.Sequential(nn.ReLU())
plain.input_shape = (4,)

def damaged():
    model = make()
    nn.init.constant_(model[2].weight, float("nan"))
    return model
damaged.input_shape = (1, 8, 8)
"""


@pytest.fixture
def net(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(NET)
    return tmp_path / "net.py"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    """Run one command; return its stdout, having checked that it went well and said nothing else."""

    def call(*argv: object) -> str:
        code = main([str(a) for a in argv])
        out, err = capsys.readouterr()
        assert (code, err) == (0, "")
        return out

    return call


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]):
    """Run one command; return its one line of complaint."""

    def call(*argv: object) -> str:
        code = main([str(a) for a in argv])
        out, err = capsys.readouterr()
        assert code == 2
        assert out == ""
        assert err.startswith("prunekit: error: ")
        assert err.count("\n") == 1
        assert err.endswith("\n")
        return err

    return call


# --- prune ---

SIDE = ["accuracy", "params", "nonzero", "macs", "effective_macs", "sparsity", "sizes"]
LAYER = {"name", "type", "shape_before", "shape_after", "requested", "sparsity", "kept"}


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


def test_prune_structured_keeps_indices_and_is_proved(run) -> None:
    found = json.loads(run("prune", "digits_mlp", "--sparsity", 0.5, "--mode", "structured", "--json"))
    assert found["proof"]["passed"] is True
    assert set(found["proof"]) == {"max_relative_error", "output_change", "passed"}
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
    assert "MACs" in text and "! 90.0% of the MACs were asked for" in text and "the caps prevent it" in text


@pytest.mark.parametrize("words", [("--pattern", "1:4"), ("--mode", "nm", "--pattern", "1:4"), ("--pattern", "1:4", "--sparsity", 0.75)])
def test_a_pattern_needs_no_sparsity(run, words) -> None:
    found = json.loads(run("prune", "digits_mlp", *words, "--json"))
    assert found["spec"]["mode"] == "nm" and found["spec"]["pattern"] == "1:4" and found["achieved"]["sparsity"] == 0.75
    assert found["limits"] == []


def test_what_a_pattern_leaves_whole_is_reported(run) -> None:
    text = run("prune", "digits_cnn", "--mode", "nm", "--data", "none")
    assert "! conv1: 1 input does not make a block of 4" in text and "nm, l1, 2:4" in text


def test_a_sweep_scores_on_training_data(run) -> None:
    found = json.loads(run("sweep", "digits_mlp", "--criterion", "wanda", "--scope", "erk", "--sparsities", "0.5,0.9", "--json"))
    assert found["spec"]["criterion"] == "wanda" and [point["sparsity"] for point in found["points"]] == pytest.approx([0.5, 0.9], abs=1e-4)


def test_latency_takes_each_models_own_choices(run) -> None:
    words = ["--round", 8, "--target", "macs", "--criterion", "taylor", "--samples", 64, "--budget", 0.2]
    found = json.loads(run("latency", "digits_cnn", *words, "--json"))
    assert [spec["mode"] for spec in found["specs"]] == ["unstructured", "structured"]
    assert found["specs"][1]["target"] == "macs" and found["specs"][0]["target"] is None
    assert found["candidates"][2]["macs_ratio"] == pytest.approx(0.5, abs=0.02)


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
        "dense file",
        "proved",
        "fc1",
        "200×64",
        "n = 360",
    ):
        assert word in text
    assert "significant" in text
    assert "threshold 0.05" in run("prune", "digits_mlp", "--threshold", 0.05, "--data", "none")


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


# --- the other commands ---


def test_models_lists_samples_and_torchvision(run) -> None:
    found = json.loads(run("models", "--json"))["models"]
    names = {entry["name"]: entry for entry in found}
    assert names["digits_mlp"]["kind"] == "sample"
    assert names["torchvision/resnet18"]["kind"] == "torchvision"
    assert "digits_cnn" in run("models")


def test_inspect_shows_layers_costs_and_couplings(run) -> None:
    found = json.loads(run("inspect", "torchvision/resnet18", "--json"))
    assert found["params"] == 11_689_512
    assert [layer["name"] for layer in found["layers"]][:2] == ["conv1", "layer1.0.conv1"]
    assert found["sizes"]["dense"] > 4 * found["params"]
    assert any({"conv1", "layer1.0.conv2", "layer1.1.conv2"} <= set(group["layers"]) for group in found["groups"])
    assert found["input_shape"] == [3, 224, 224]
    small = json.loads(run("inspect", "torchvision/resnet18", "--size", 64, "--json"))
    assert small["macs"] < found["macs"] / 10
    text = run("inspect", "digits_cnn")
    for word in ("conv2", "64×32×3×3", "What shrinks together", "parameters", "MACs"):
        assert word in text


def test_inspect_opens_a_file(run, net: Path) -> None:
    assert json.loads(run("inspect", f"{net}:make", "--json"))["input_shape"] == [1, 8, 8]


def test_sweep_prints_points_in_order(run) -> None:
    found = json.loads(run("sweep", "digits_mlp", "--data", "digits", "--sparsities", "0.9,0,0.5", "--json"))
    assert [point["requested"] for point in found["points"]] == [0.9, 0, 0.5]
    keys = ["requested", "sparsity", "accuracy", "params", "nonzero", "macs", "effective_macs"]
    assert all(list(point) == keys for point in found["points"])
    alone = json.loads(run("prune", "digits_mlp", "--sparsity", 0.9, "--json"))
    assert found["points"][0]["accuracy"] == alone["after"]["accuracy"]
    assert found["points"][0]["nonzero"] == alone["after"]["nonzero"]
    assert found["points"][1]["accuracy"] == alone["before"]["accuracy"]
    text = run("sweep", "digits_mlp", "--sparsities", "0,0.5", "--mode", "structured")
    assert "requested" in text
    assert "50.0 %" in text


def test_latency_times_three_candidates(run) -> None:
    found = json.loads(run("latency", "digits_mlp", "--budget", 0.3, "--sparsity", 0.75, "--json"))
    assert [c["name"] for c in found["candidates"]] == ["dense", "masked at 75 %", "smaller at 75 %"]
    for c in found["candidates"]:
        assert {"median_ms", "q1_ms", "q3_ms", "samples", "ratio", "macs_ratio"} <= set(c)
        assert c["samples"] == found["turns"][0]["rounds"]
        assert 0 < c["q1_ms"] <= c["median_ms"] <= c["q3_ms"]
        assert set(c["ratio"]) == {"value", "low", "high"}
    assert found["candidates"][0]["ratio"]["value"] == 1
    assert found["candidates"][1]["macs_ratio"] == pytest.approx(0.25, abs=0.001)


def test_latency_of_one_mode_as_text(run, monkeypatch) -> None:
    turns = {"seconds": [[0.002] * 9, [0.001] * 9], "orders": [[0, 1]] * 9, "repetitions": [1, 2], "stopped": "narrow enough"}
    turns |= {"batch": 1, "rows": ["0-eager-1", "1-eager-1"], "energy_j": [None, None]}
    trial = {"peak_bytes": 2000, "file_bytes": 1000, "compile_s": None, "notes": [], "check": None}
    samples = {"turns": [turns], "trials": {"0-eager-1": trial, "1-eager-1": trial}, "energy": "not here"}
    monkeypatch.setattr(sys.modules["prunekit.measure.latency"], "run_child", lambda *args, **kwargs: samples)
    text = run("latency", "digits_mlp", "--mode", "structured")
    assert "masked" not in text
    for words in ("smaller at 50 %", "baseline", "2.000", "0.500 (0.500–0.500)", "2.00 times as fast", "9 rounds", "narrow enough"):
        assert words in text


# --- bad input ---

BAD = [
    ([], "COMMAND"),
    (["frobnicate"], "frobnicate"),
    (["models", "extra"], "extra"),
    (["prune"], "MODEL"),
    (["prune", "digits_mlp"], "--sparsity --threshold"),
    (["prune", "digits_mlp", "--depth", "0"], "say how much is to go"),
    (["prune", "digits_cnn", "--mode", "structured", "--depth", "0"], "say how much is to go"),
    (["prune", "digits_cnn", "--mode", "structured", "--depth=-0.0"], "say how much is to go"),
    (["prune", "digits_mlp", "--sparsity", "0.5", "--threshold", "1"], "not allowed with"),
    (["prune", "digits_mlp", "--sparsity", "1"], "below 1"),
    (["prune", "digits_mlp", "--sparsity", "1.5"], "below 1"),
    (["prune", "digits_mlp", "--sparsity=-0.1"], "at least 0"),
    (["prune", "digits_mlp", "--sparsity", "nan"], "finite"),
    (["prune", "digits_mlp", "--sparsity", "half"], "'half' is not a number"),
    (["prune", "digits_mlp", "--threshold=-1"], "threshold"),
    (["prune", "digits_mlp", "--sparsity", ".5", "--mode", "sideways"], "sideways"),
    (["prune", "digits_mlp", "--sparsity", ".5", "--criterion", "l3"], "l3"),
    (["prune", "digits_mlp", "--sparsity", ".5", "--layers", "fc9"], "fc9"),
    (["prune", "digits_mlp", "--sparsity", ".5", "--layers", ","], "layers"),
    (["prune", "digits_mlp", "--sparsity", ".5", "--override", "fc1"], "layer=sparsity"),
    (["prune", "digits_mlp", "--sparsity", ".5", "--override", "fc1=2"], "overrides[fc1]"),
    (["prune", "digits_mlp", "--sparsity", ".5", "--override", "fc1=.1", "--override", "fc1=.2"], "more than once"),
    (["prune", "digits_mlp", "--sparsity", ".99", "--override", "fc1=0"], "at most"),
    (["prune", "digits_mlp", "--sparsity", ".5", "--seed=-1"], "seed"),
    (["prune", "digits_mlp", "--sparsity", ".5", "--mode", "structured", "--layers", "fc3"], "fc3"),
    (["prune", "digits_mlp", "--pattern", "2:4", "--sparsity", ".9"], "contradicts"),
    (["prune", "digits_mlp", "--pattern", "4:4"], "pattern"),
    (["prune", "digits_mlp", "--pattern", "2:4", "--mode", "structured"], "pattern belongs to mode 'nm'"),
    (["prune", "digits_mlp", "--pattern", "1:999"], "block of 999"),
    (["prune", "digits_mlp", "--mode", "nm", "--scope", "global"], "scope"),
    (["prune", "digits_mlp", "--sparsity", ".5", "--target", "macs"], "mode 'structured'"),
    (["prune", "digits_mlp", "--sparsity", ".5", "--round", "8"], "mode 'structured'"),
    (["prune", "digits_mlp", "--sparsity", ".5", "--mode", "structured", "--round", "5"], "--round"),
    (["prune", "digits_mlp", "--sparsity", ".5", "--mode", "structured", "--criterion", "wanda"], "wanda"),
    (["prune", "digits_mlp", "--sparsity", ".5", "--mode", "structured", "--criterion", "bn_scale"], "no BatchNorm"),
    (["prune", "digits_mlp", "--sparsity", ".5", "--mode", "structured", "--scope", "erk"], "erk"),
    (["prune", "digits_mlp", "--sparsity", ".5", "--criterion", "fpgm"], "fpgm"),
    (["prune", "digits_mlp", "--sparsity", ".5", "--criterion", "taylor", "--data", "none"], "taylor"),
    (["prune", "digits_mlp", "--sparsity", ".5", "--criterion", "snip", "--samples", "0"], "samples"),
    (["prune", "digits_mlp", "--sparsity", ".5", "--cap", "fc1"], "layer=sparsity"),
    (["prune", "digits_mlp", "--sparsity", ".5", "--cap", "fc9=.5"], "fc9"),
    (["prune", "digits_mlp", "--sparsity", ".5", "--cap-all", "2"], "cap_all"),
    (["prune", "digits_mlp", "--sparsity", ".5", "--cap", "fc1=.2", "--override", "fc1=.5"], "cap"),
    (["sweep", "digits_mlp", "--pattern", "2:4", "--sparsities", "0.5"], "one sparsity"),
    (["prune", "no_such_model", "--sparsity", ".5"], "no_such_model"),
    (["prune", "digits_mpl", "--sparsity", ".5"], "digits_mlp"),
    (["prune", "torchvision/resnet19", "--sparsity", ".5"], "resnet19"),
    (["prune", "nowhere.py:make", "--sparsity", ".5"], "nowhere.py"),
    (["prune", "digits_mlp", "--sparsity", ".5", "--weights", "nowhere.pt"], "nowhere.pt"),
    (["prune", "digits_mlp", "--sparsity", ".5", "--pretrained"], "pretrained"),
    (["prune", "digits_mlp", "--sparsity", ".5", "--data", "imagenet"], "imagenet"),
    (["prune", "digits_mlp", "--sparsity", ".5", "--data", "imagefolder:/nowhere/at/all"], "/nowhere/at/all"),
    (["prune", "digits_mlp", "--sparsity", ".5", "--limit", "0"], "limit"),
    (["prune", "digits_mlp", "--sparsity", ".5", "--limit", "many"], "whole number"),
    (["prune", "digits_mlp", "--sparsity", ".5", "--mean", "a,b"], "list of numbers"),
    (["prune", "digits_mlp", "--sparsity", ".5", "--std", "0"], "std"),
    (["prune", "digits_mlp", "--sparsity", ".5", "--data", "none", "--limit", "5"], "--limit without data"),
    (["prune", "digits_mlp", "--sparsity", ".5", "--size", "9"], "9"),
    (["inspect", "torchvision/resnet18", "--size", "0"], "--size"),
    (["sweep", "digits_mlp", "--sparsities", "0,1"], "below 1"),
    (["sweep", "digits_mlp", "--sparsities", "0,x"], "list of numbers"),
    (["sweep", "digits_mlp", "--sparsities", ","], "at least one sparsity"),
    (["sweep", "torchvision/resnet18", "--sparsities", "0.5"], "--data"),
    (["latency", "digits_mlp", "--threads", "0"], "threads"),
    (["latency", "digits_mlp", "--batch", "0"], "batch"),
    (["latency", "digits_mlp", "--budget", "0"], "budget"),
    (["latency", "digits_mlp", "--sparsity", "1"], "below 1"),
    (["app", "--weights", "w.pt"], "--model"),
    (["app", "--model", "digits_mlp", "--weights", "a", "--weights", "b"], "--weights b"),
    (["app", "--model", "no_such_model"], "no_such_model"),
    (["app", "--model", "digits_mlp", "--weights", "nowhere.pt"], "nowhere.pt"),
    (["app", "--data", "no_such_data"], "no_such_data"),
    (["app", "--port", "70000"], "--port"),
]


@pytest.mark.parametrize(("argv", "says"), BAD, ids=[" ".join(argv) for argv, _ in BAD])
def test_bad_input_is_one_line(refused, argv: list[str], says: str) -> None:
    assert says in refused(*argv)


def test_bad_models_of_ones_own_are_one_line(refused, net: Path) -> None:
    assert "two lines" in refused("prune", f"{net}:broken", "--sparsity", 0.5)
    assert "no_such" in refused("inspect", f"{net}:no_such")
    assert "nothing to prune" in refused("prune", f"{net}:plain", "--sparsity", 0.5)
    assert "NaN" in refused("prune", f"{net}:damaged", "--sparsity", 0.5)


def test_bad_weights_are_one_line(refused, net: Path, tmp_path: Path) -> None:
    good = tmp_path / "good.pt"
    torch.save(nn.Sequential(nn.Linear(3, 3)).state_dict(), good)
    assert "0.weight" in refused("prune", f"{net}:make", "--sparsity", 0.5, "--weights", good)
    for name, content in (("cut.safetensors", b"\x10\0\0\0\0\0\0\0{"), ("cut.pt", good.read_bytes()[:200]), ("empty.pth", b"")):
        (tmp_path / name).write_bytes(content)
        assert name in refused("prune", f"{net}:make", "--sparsity", 0.5, "--weights", tmp_path / name)


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


def test_what_was_not_foreseen_is_one_line_too(capsys, monkeypatch) -> None:
    from prunekit.cli import looking

    def fail(*args: object) -> None:
        raise ZeroDivisionError("oh\nno")

    monkeypatch.setattr(looking, "list_models", fail)
    assert main(["models"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    monkeypatch.setenv("PRUNEKIT_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        main(["models"])


# --- the process ---


def shell(*argv: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(Path(prunekit.__file__).parents[1])}
    return subprocess.run(
        [sys.executable, "-m", "prunekit", *argv], capture_output=True, text=True, cwd=cwd, env=env, timeout=120, check=False
    )


def test_a_process_prints_json_or_one_line(tmp_path: Path) -> None:
    good = shell("prune", "digits_mlp", "--sparsity", "0.5", "--json", cwd=tmp_path)
    assert (good.returncode, good.stderr) == (0, "")
    json.loads(good.stdout)
    bad = shell("prune", "digits_mlp", "--sparsity", "1.5", "--json", cwd=tmp_path)
    assert (bad.returncode, bad.stdout, bad.stderr.count("\n")) == (2, "", 1)
    assert not list(tmp_path.iterdir())


def test_help_does_not_wait_for_torch() -> None:
    code = """
import sys
import prunekit, prunekit.cli
assert prunekit.PruneSpec().sparsity == 0.5
try:
    prunekit.cli.main(["prune", "--help"])
except SystemExit as done:
    assert done.code == 0
slow = {"torch", "torchvision", "pandas", "streamlit", "numpy", "scipy"} & set(sys.modules)
assert not slow, slow
"""
    env = {**os.environ, "PYTHONPATH": str(Path(prunekit.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "--sparsity" in done.stdout


def test_every_public_name_can_be_imported() -> None:
    assert all(getattr(prunekit, name) is not None for name in prunekit.__all__)
    assert set(prunekit.__all__) <= set(dir(prunekit))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = prunekit.nothing


def test_the_version_is_the_projects(capsys) -> None:
    import tomllib

    project = tomllib.loads((Path(prunekit.__file__).parents[1] / "pyproject.toml").read_text())["project"]
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.strip() == f"prunekit {project['version']}" == f"prunekit {prunekit.__version__}"


# --- app ---


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch):
    """Catch what `prunekit app` would start."""
    from prunekit.cli import app

    started: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr(app, "serve", lambda words, environment: started.append((words, environment)) or 0)
    return started


def test_app_hands_over_models_weights_and_data(run, net: Path, tmp_path: Path, launched, monkeypatch) -> None:
    weights = tmp_path / "w.pt"
    torch.save(prunekit.load_model(f"{net}:make").state_dict(), weights)
    words = [
        "--model",
        f"{net}:make",
        "--weights",
        weights,
        "--model",
        "digits_mlp",
        "--data",
        "digits",
        "--port",
        8600,
        "--host",
        "0.0.0.0",
    ]
    run("app", *words)
    (started, environment), *none = launched
    assert not none
    assert started[:5] == [sys.executable, "-P", "-m", "streamlit", "run"]
    assert Path(started[5]).is_absolute()
    assert started[6:] == ["--server.port", "8600", "--server.address", "0.0.0.0"]
    monkeypatch.setenv(registered.VARIABLE, environment[registered.VARIABLE])
    assert registered.from_environment() == ([ModelId(f"{net}:make", str(weights)), ModelId("digits_mlp")], [DataId("digits")])


def test_the_server_lists_what_was_registered(net: Path, monkeypatch) -> None:
    monkeypatch.setattr(registry, "_MODELS", [])
    monkeypatch.setattr(registry, "_DATA", [])
    handed = registered.to_environment([ModelId(f"{net}:make")], [DataId("imagefolder:pictures")])
    monkeypatch.setenv(registered.VARIABLE, handed[registered.VARIABLE])
    registry._from_launch.cache_clear()
    try:
        assert [e.id for e in prunekit.list_models() if e.kind == "own"] == [ModelId(f"{net}:make")]
        assert registry.registered_data() == (DataId("imagefolder:pictures"),)
    finally:
        registry._from_launch.cache_clear()
        monkeypatch.delenv(registered.VARIABLE)
        registry._from_launch()


@pytest.mark.parametrize("text", ["{", "[]", '{"models": []}', '{"models": 1, "data": []}'])
def test_a_damaged_registration_is_one_sentence(monkeypatch, text: str) -> None:
    monkeypatch.setenv(registered.VARIABLE, text)
    with pytest.raises(prunekit.PrunekitError, match=registered.VARIABLE):
        registered.from_environment()


def test_app_without_anything_registers_nothing(run, launched) -> None:
    run("app")
    assert registered.VARIABLE not in launched[0][1]
    assert launched[0][0] == command(script(), None, None)


def test_a_server_that_fails_is_one_line(refused, monkeypatch) -> None:
    from prunekit.cli import app

    monkeypatch.setattr(app, "serve", lambda words, environment: 3)
    assert "exit code 3" in refused("app")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
def test_the_app_serves_from_any_folder_and_ends_with_its_parent(tmp_path: Path, net: Path) -> None:
    port, env = free_port(), {**os.environ, "PYTHONPATH": str(Path(prunekit.__file__).parents[1])}
    words = [sys.executable, "-m", "prunekit", "app", "--model", f"{net}:make", "--port", str(port)]
    process = subprocess.Popen(words, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        body = ""
        for _ in range(240):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2) as answer:
                    body = answer.read().decode()
                break
            except OSError:
                assert process.poll() is None
                time.sleep(0.5)
        assert body == "ok"
        # the address of .streamlit/config.toml holds: the server listens on this machine only
        with socket.socket() as other, pytest.raises(OSError):
            other.settimeout(2)
            other.connect((own_address(), port))
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    with socket.socket() as gone, pytest.raises(OSError):
        gone.connect(("127.0.0.1", port))


def own_address() -> str:
    """Return an address of this machine other than the loopback's 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: it only picks the outgoing address
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.2"


# --- formatting ---


def test_numbers_are_short() -> None:
    assert [short(n) for n in (0, 999, 1000, 12_345, 999_600, 11_689_512, None)] == [
        "0",
        "999",
        "1.00 k",
        "12.3 k",
        "1.00 M",
        "11.7 M",
        None,
    ]
    assert [byte_text(n) for n in (12, 44_000, 46_800_000)] == ["12 B", "44.0 kB", "46.8 MB"]


def test_tables_align() -> None:
    lines = table(["name", "n"], [("a", 1), ("long name", 22), ("x", None)]).splitlines()
    assert lines == ["name        n", "---------  --", "a           1", "long name  22", "x           –"]


def test_json_is_strict() -> None:
    assert json.loads(to_json({"a": float("nan"), "b": (1.0, float("inf")), "c": {"d": 2}})) == {"a": None, "b": [1.0, None], "c": {"d": 2}}
