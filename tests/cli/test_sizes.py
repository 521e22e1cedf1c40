"""Gzipped sizes of large files on the command line: estimated, said to be, and exact on demand."""

import json

import pytest
import torch

from prunekit.cli import main
from prunekit.cli.tables import size_text
from prunekit.comparison.metrics import METRICS
from prunekit.evaluation.sizes import gzip_note, sizes

FACTORY = """
import torch


def make():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 5300))
"""


@pytest.fixture
def large(tmp_path):
    """Return the name of a model whose file is just over 64 MB."""
    (tmp_path / "large.py").write_text(FACTORY)
    return f"{tmp_path / 'large.py'}:make"


def told(capsys, *argv):
    assert main(list(argv)) == 0
    return capsys.readouterr().out


def test_prune_says_estimated_and_exact_sizes_measures(large, capsys):
    argv = ["prune", large, "--sparsity", "0.5", "--size", "32"]
    guessed, exact = (json.loads(told(capsys, *argv, "--json", *more)) for more in ([], ["--exact-sizes"]))
    for side in ("before", "after"):
        about, true = guessed[side]["sizes"], exact[side]["sizes"]
        assert (about["gzip_how"], true["gzip_how"]) == ("estimated", "measured") and about["gzip_by"] == true["gzip_by"] == "igzip -2"
        assert about["gzip_low"] <= true["gzip"] <= about["gzip_high"] and abs(about["gzip"] / true["gzip"] - 1) < 0.01
        assert about["dense"] == true["dense"] > 64_000_000 and true["gzip_low"] is None
    line = next(line for line in told(capsys, *argv).splitlines() if line.startswith("file in the dense shape, gzipped"))
    assert line.count("estimated ±") == 2
    exactly = told(capsys, *argv, "--exact-sizes")
    assert not [line for line in exactly.splitlines() if line.startswith("gzipped") and "estimated" in line]


def test_a_small_file_says_nothing_of_the_kind():
    model = torch.nn.Linear(30, 20)
    small, large = sizes(model).to_dict(), sizes(model, above=0).to_dict()
    assert gzip_note(small) == gzip_note(None) == "" and "estimated" not in size_text(small, "gzip")
    assert size_text(large, "gzip").endswith(f"({gzip_note(large)})") and size_text(large, "dense") == size_text(small, "dense")
    assert METRICS["gzip"].title == "File in the dense shape, gzipped"
