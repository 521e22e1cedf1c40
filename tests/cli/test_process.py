"""The command line as a process, its version, and how it writes numbers, tables and JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import prunekit
from prunekit.cli import main
from prunekit.cli.arguments import to_json
from prunekit.cli.tables import byte_text, short, table


def shell(*argv: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(Path(prunekit.__file__).parents[1])}
    return subprocess.run(
        [sys.executable, "-m", "prunekit", *argv], capture_output=True, text=True, cwd=cwd, env=env, timeout=120, check=False
    )


def test_a_process_prints_json_or_one_line(tmp_path: Path) -> None:
    good = shell("prune", "digits_mlp", "--sparsity", "0.5", "--data", "none", "--json", cwd=tmp_path)
    assert (good.returncode, good.stderr) == (0, "")
    json.loads(good.stdout)
    bad = shell("prune", "digits_mlp", "--sparsity", "1.5", "--json", cwd=tmp_path)
    assert (bad.returncode, bad.stdout, bad.stderr.count("\n")) == (2, "", 1)
    assert not list(tmp_path.iterdir())


def test_help_does_not_wait_for_torch() -> None:
    code = """
import sys
import prunekit, prunekit.cli, prunekit.cli.app  # the launcher of the dashboard, which imports torch itself
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


def test_the_server_loads_what_its_first_page_needs_and_no_more() -> None:
    code = """
import sys
from prunekit.experiments.jobs import board
from prunekit.ui.classroom import rules
slow = {"torchvision", "torch._dynamo", "scipy", "sklearn", "transformers", "optuna", "onnx", "distributed"} & set(sys.modules)
assert not slow, slow
"""
    env = {**os.environ, "PYTHONPATH": str(Path(prunekit.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_every_public_name_can_be_imported() -> None:
    assert all(getattr(prunekit, name) is not None for name in prunekit.__all__)
    assert set(prunekit.__all__) <= set(dir(prunekit))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = prunekit.nothing


def test_the_version_is_said(capsys) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.strip() == f"prunekit {prunekit.__version__}"


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
