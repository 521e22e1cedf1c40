"""Criteria and rules from a file of one's own: everywhere where those of the house are, and part of a run's identity."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import prunekit
from prunekit.config.choices import CHANNEL_CRITERIA, CRITERIA
from prunekit.criteria.methods import CRITERIA as REGISTRY
from prunekit.errors import PluginError, SpecError
from prunekit.experiments.identity import run_id
from prunekit.pruning import plugins
from prunekit.pruning.structured.axis_tracker import RULES

ROOT = Path(__file__).resolve().parents[2]
(SNIPPET,) = re.findall(r"```python\n(# mine\.py\n.*?)```", (ROOT / "docs/methods.md").read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """Write the file of the documentation; what it adds is taken away afterwards."""
    monkeypatch.setenv(plugins.VARIABLE, "")
    criteria, rules, loaded = dict(REGISTRY), dict(RULES), dict(plugins._LOADED)
    path = tmp_path / "mine.py"
    path.write_text(SNIPPET, encoding="utf-8")
    yield path
    for kept, now in ((criteria, REGISTRY), (rules, RULES), (loaded, plugins._LOADED)):
        now.clear()
        now.update(kept)
    plugins.forget()


class Wave(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 2)

    def forward(self, x):
        return self.b(torch.special.bessel_j1(self.a(x)))


def spec_of_mine():
    return prunekit.PruneSpec(mode="structured", criterion="largest", layers=["a"])


def test_its_criterion_and_its_rule_are_used(mine):
    torch.manual_seed(0)
    net = Wave().eval()
    assert [group.id for group in prunekit.groups(net, input_shape=(4,))] == []
    with pytest.raises(SpecError, match="criterion"):
        spec_of_mine()
    found = prunekit.load_plugin(mine)
    assert (found.criteria, found.rules) == (("largest",), ("special_bessel_j1",))
    assert "largest" in CRITERIA and "largest" in CHANNEL_CRITERIA
    result = prunekit.prune(net, spec_of_mine(), input_shape=(4,))
    best = net.a.weight.abs().amax(1).argsort(descending=True)[:3]
    assert result.kept["a"] == tuple(sorted(best.tolist())) and result.proof.passed
    assert prunekit.load_plugin(mine) == found, "again is once"


def test_its_code_is_part_of_the_runs_that_it_takes_part_in(mine):
    plain = run_id("w", prunekit.PruneSpec(), None)
    prunekit.load_plugin(mine)
    first = run_id("w", spec_of_mine(), None)
    assert run_id("w", prunekit.PruneSpec(), None) == plain
    mine.write_text(SNIPPET.replace("amax(1)", "amin(1)"), encoding="utf-8")
    prunekit.load_plugin(mine)
    assert run_id("w", spec_of_mine(), None) != first


@pytest.mark.parametrize(
    ("text", "words"), [("x = 1", "adds nothing"), ("1 / 0", "ZeroDivisionError"), (SNIPPET.replace('"largest"', '"l1"'), "declares l1")]
)
def test_what_cannot_be_taken_in_is_said(mine, text, words):
    mine.write_text(text, encoding="utf-8")
    with pytest.raises(PluginError, match=words):
        prunekit.load_plugin(mine)


def test_the_command_line_takes_it_before_it_reads_what_else_was_said(mine, tmp_path):
    words = ["prune", "digits_cnn", "--data", "none", "--mode", "structured", "--sparsity", "0.3", "--criterion", "largest", "--json"]
    home = {**os.environ, "PRUNEKIT_HOME": str(tmp_path / "home")}

    def run(*more):
        return subprocess.run([sys.executable, "-m", "prunekit", *words, *more], env=home, capture_output=True, text=True, check=False)

    done = run("--plugin", str(mine))
    assert json.loads(done.stdout)["spec"]["criterion"] == "largest", done.stderr
    assert "invalid choice" in run().stderr
