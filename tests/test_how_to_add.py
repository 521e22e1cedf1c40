"""One of each added as docs/extending.md says, to a copy of the tree: as many new files as said, and it works."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from prunekit.discovery import discovered

ROOT = Path(__file__).resolve().parents[1]
WAYS = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
FILES = re.compile(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", re.DOTALL)

USED = """
import sys
from pathlib import Path

import prunekit, prunekit.cli.parser
parse = prunekit.cli.parser.build_parser().parse_args
assert parse(["prune", "digits_mlp", "--criterion", "linf"]).criterion == "linf"
spec = prunekit.PruneSpec(mode="structured", criterion="linf", layers=["0", "2"], sparsity=0.5)
assert "torch" not in sys.modules

import torch
from torch import nn

class Angle(nn.Module):
    def forward(self, x):
        return x.atan()

net = nn.Sequential(nn.Conv2d(1, 8, 3), Angle(), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(32, 4)).eval()
result = prunekit.prune(net, spec, input_shape=(1, 6, 6))
kept = result.kept["0"]
assert result.proof.passed and len(kept) < 8
most = net[0].weight.abs().flatten(1).amax(1)
assert most[list(kept)].min() >= most[[i for i in range(8) if i not in kept]].max()

from prunekit.models import write_folder
from prunekit.runtimes import RUNTIMES, Files
folder, model, x = Path("written"), prunekit.load_model("digits_mlp"), torch.rand(3, 1, 8, 8)
write_folder(folder, model, prunekit.Recipe({"name": "digits_mlp"}, None, spec))
scores = RUNTIMES["float64"].open(Files(folder)).scores(x)
assert torch.allclose(scores, model(x), atol=1e-5) and list(RUNTIMES)[-1] == "float64"

import json
from contextlib import redirect_stdout
from io import StringIO
from prunekit.cli import main
model, data = prunekit.load_model("counting"), prunekit.load_data("counting")
dense = prunekit.evaluate(model, data.test)
assert (dense.metric.name, dense.metric.better, dense.n) == ("miscount", "lower", 300) and dense.value < 3
assert prunekit.tasks.task("counting").unit_of_data == "hour"
assert "counting" in [entry.name for entry in prunekit.list_models("sample")]
with redirect_stdout(StringIO()) as said:
    assert not main(["prune", "counting", "--mode", "structured", "--sparsity", "0.5", "--out", "fewer", "--json"])
after, recipe = json.loads(said.getvalue())["after"], Path("fewer", "recipe.yaml").read_text()
assert "name: counting" in recipe and "sample.py" not in recipe
again = prunekit.evaluate(prunekit.load_model("fewer"), data.test)
assert after["metric"] == "miscount" and abs(after["metrics"]["miscount"]["value"] - again.value) < 1e-6

from prunekit.ui import MAIN, routes
from prunekit.ui.shared import warm_up
from prunekit.ui.state import address
from streamlit.testing.v1 import AppTest
assert list(routes.ABOUT)[-1] == "biggest" and ("biggest", "") in warm_up.VISITS
app = AppTest.from_file(str(MAIN), default_timeout=300)
app.query_params.update(model="digits_mlp", mode="structured", criterion="linf", runtimes="float64")
app.switch_page(str(routes.PAGES / "biggest.py")).run()
assert not app.exception and not app.warning, (app.exception, app.warning)
assert app.title[0].value == "Which layers hold the weights?" and app.get("vega_lite_chart")
app = AppTest.from_file(str(MAIN), default_timeout=300)
app.query_params.update(model="counting", mode="structured")
for page, shown in (("prune", "data: counting"), ("start", "Two linear layers that give a rate.")):
    app.switch_page(str(routes.PAGES / f"{page}.py")).run()
    texts = [element.value for kind in ("markdown", "metric", "caption") for element in app.get(kind) if isinstance(element.value, str)]
    assert not app.exception and any(shown in text for text in texts), (page, app.exception, texts)
print(prunekit.__file__)
"""


def test_each_takes_the_files_that_the_map_says_and_is_at_hand_everywhere(tmp_path):
    for name in ("prunekit", "pages", "sample_models"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.pyc.*"))  # what is being written
    sections = re.findall(r"^## ([^\n]*?): (\d+) (file|folder)s?\n(.*?)(?=^## |\Z)", WAYS, re.DOTALL | re.MULTILINE)
    assert {what for what, *_ in sections} == {"A criterion", "A runtime", "An operator's rule", "A task with its sample", "A page"}
    for what, count, unit, text in sections:
        files = FILES.findall(text)
        assert len(files if unit == "file" else {Path(path).parent for path, _ in files}) == int(count), what
        assert unit == "file" or not any((tmp_path / path).parent.exists() for path, _ in files), f"{what} changes a folder"
        for path, code in files:
            assert not (tmp_path / path).exists(), f"{what} changes {path}"
            (tmp_path / path).parent.mkdir(exist_ok=True)
            (tmp_path / path).write_text(code, encoding="utf-8")
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "PRUNEKIT_HOME": str(tmp_path / "home"), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "sample_models/counting/sample.py"], cwd=tmp_path, env=env, timeout=600, check=True)
    done = subprocess.run([sys.executable, "-c", USED], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path / "prunekit" / "__init__.py")]


def test_two_of_one_name_are_refused(tmp_path, monkeypatch):
    for name in ("one", "other"):
        (tmp_path / "twice").mkdir(exist_ok=True)
        code = "from types import SimpleNamespace\n\nIT = SimpleNamespace(name='same', order=1)\n"
        (tmp_path / "twice" / f"{name}.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match=r"twice\.other declares 'same', which another module of twice does too"):
        discovered("twice", type(sys.implementation))
