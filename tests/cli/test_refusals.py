"""Bad input is one line and exit code 2."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from prunekit.cli import main
from tests.tables import case

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
    (["prune", "digits_mlp", "--sparsity", "0.5", "--cluster", "tcp://127.0.0.1:1"], "a cut alone is made here in seconds"),
    (["latency", "digits_mlp", "--cluster", "tcp://127.0.0.1:1"], "latency is never measured on a cluster"),
    (["app", "--workers", "-1"], "--workers must be at least 0"),
    (["prune", "digits_mlp", "--pattern", "2:4", "--sparsity", ".9"], "contradicts"),
    (["prune", "digits_mlp", "--pattern", "4:4"], "pattern"),
    (["prune", "digits_mlp", "--pattern", "2:4", "--mode", "structured"], "pattern belongs to mode 'nm'"),
    (["prune", "digits_mlp", "--pattern", "1:999"], "block of 999"),
    (["prune", "digits_mlp", "--mode", "nm", "--scope", "global"], "scope"),
    (["prune", "digits_mlp", "--sparsity", ".5", "--target", "macs"], "mode 'structured'"),
    (["prune", "digits_mlp", "--sparsity", ".5", "--round", "8"], "mode 'structured'"),
    (["prune", "digits_mlp", "--sparsity", ".5", "--mode", "structured", "--round", "0"], "round_to"),
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


def test_bad_input_is_one_line(refused) -> None:
    for argv, says in BAD:
        with case(*argv):
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


def test_what_was_not_foreseen_is_one_line_too(capsys, monkeypatch) -> None:
    from prunekit.cli import inspect

    def fail(*args: object) -> None:
        raise ZeroDivisionError("oh\nno")

    monkeypatch.setattr(inspect, "list_models", fail)
    assert main(["models"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    monkeypatch.setenv("PRUNEKIT_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        main(["models"])
