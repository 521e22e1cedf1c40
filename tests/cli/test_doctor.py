"""`prunekit doctor` says what is installed, what works, and ends with 3 only where something that is needed is broken."""

from __future__ import annotations

import json
import tomllib
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement

from prunekit.cli import doctor, installation, main
from prunekit.latency import measure
from prunekit.runtimes.backends import RUNTIMES

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_quick_tells_packages_extras_and_folders(run, tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNEKIT_HOME", str(tmp_path / "home"))
    found = json.loads(run("doctor", "--quick", "--json"))
    assert found["healthy"] and found["problems"] == [] and found["runtimes"] == [] and found["runs"] == 0
    asked = {Requirement(row).name for row in PROJECT["dependencies"]}
    assert {package["name"]: package["version"] for package in found["packages"]} == {name: version(name) for name in asked}
    assert [extra["name"] for extra in found["extras"]] == list(PROJECT["optional-dependencies"])
    assert {extra["name"] for extra in found["extras"]} <= installation.EXTRAS.keys()
    assert {place["name"]: place["path"] for place in found["places"]}["runs and models"] == str(tmp_path / "home")
    assert not (tmp_path / "home").exists()
    assert "all that is needed works" in run("doctor", "--quick")


def test_a_package_that_is_missing_or_old_is_broken_and_nothing_else_is_tried(capsys, monkeypatch):
    asked = ("torch>=99", "prunekit-no-such-package>=1", 'numpy>=99; extra == "later"')
    monkeypatch.setattr(installation, "requirements", lambda: tuple(map(Requirement, asked)))
    assert main(["doctor"]) == 3
    out, err = capsys.readouterr()
    assert f"torch is {version('torch')} here: pip install 'torch>=99'" in err
    assert "prunekit-no-such-package is not installed: pip install 'prunekit-no-such-package>=1'" in out
    assert "numpy" not in err and "pip install 'prunekit[later]'" in out and "runtimes" not in out


def test_a_folder_that_cannot_be_is_broken(capsys, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PRUNEKIT_HOME", str(tmp_path / "file"))
    assert main(["doctor", "--quick", "--json"]) == 3
    out, err = capsys.readouterr()
    assert not json.loads(out)["healthy"] and f"nothing can be kept in {tmp_path / 'file'}" in err


def test_each_step_is_said_once_where_nobody_watches(capsys):
    tell = doctor.Steps()
    for text in ("trying a in eager", "trying a in eager, batch 1", "trying a in eager, batch 1", "", "exporting a"):
        tell(0.5, text)
    assert capsys.readouterr().err.splitlines() == ["prunekit: trying a in eager", "prunekit: exporting a"]


@pytest.mark.parametrize("compiled", [False, True])
def test_a_model_is_compiled_only_where_that_was_asked_for(capsys, monkeypatch, compiled):
    tried = []
    monkeypatch.setattr(measure, "measure_latency", lambda *_, runtimes, **__: tried.extend(runtimes) or SimpleNamespace(candidates=[]))
    monkeypatch.setattr(doctor, "RUNTIMES", {name: RUNTIMES[name] for name in ("eager", "compile")})
    monkeypatch.setattr(type(RUNTIMES["compile"]), "missing", lambda _: "")
    rows = {row["name"]: row for row in doctor._runtimes([], compiled)}
    assert tried == ["eager", "compile"][: 1 + compiled] and rows["compile"]["tried"] == compiled
    assert doctor._word(rows["compile"]) == ("works" if compiled else "not tried")
    assert ("torch.compile takes up to minutes" in capsys.readouterr().err) == compiled


@pytest.mark.slow
def test_runtimes_are_really_tried(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("PRUNEKIT_HOME", str(tmp_path))
    monkeypatch.setattr(doctor, "RUNTIMES", {name: RUNTIMES[name] for name in ("eager", "onnxruntime", "csr")})
    assert main(["doctor", "--json"]) == 0
    out, err = capsys.readouterr()
    assert err.startswith("prunekit: trying 3 runtimes") and "in ONNX Runtime" in err
    rows = json.loads(out)["runtimes"]
    assert [(row["name"], row["works"]) for row in rows] == [("eager", True), ("onnxruntime", True), ("csr", True)]
    assert "of eager" in rows[1]["sentence"]
