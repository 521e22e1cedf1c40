"""``prunekit models`` and ``prunekit inspect``."""

from __future__ import annotations

import json
from pathlib import Path


def test_models_lists_samples_and_torchvision(run) -> None:
    found = json.loads(run("models", "--json"))["models"]
    names = {entry["name"]: entry for entry in found}
    assert names["digits_mlp"]["kind"] == "sample"
    assert names["torchvision/resnet18"]["kind"] == "torchvision"
    assert "digits_cnn" in run("models")


def test_inspect_shows_layers_costs_and_couplings(run) -> None:
    found = json.loads(run("inspect", "torchvision/shufflenet_v2_x0_5", "--json"))
    assert found["params"] == 1_366_792
    assert [layer["name"] for layer in found["layers"]][:2] == ["conv1.0", "stage2.0.branch1.0"]
    assert found["sizes"]["dense"] > 4 * found["params"]
    assert found["input_shape"] == [3, 224, 224]
    small = json.loads(run("inspect", "torchvision/shufflenet_v2_x0_5", "--size", 64, "--json"))
    assert small["macs"] < found["macs"] / 9
    groups = json.loads(run("inspect", "cifar10_resnet20", "--json"))["groups"]
    assert any({"conv1", "layer1.0.conv2", "layer1.1.conv2"} <= set(group["layers"]) for group in groups)
    text = run("inspect", "digits_cnn")
    for word in ("conv2", "64×32×3×3", "What shrinks together", "parameters", "MACs"):
        assert word in text


def test_inspect_opens_a_file(run, net: Path) -> None:
    assert json.loads(run("inspect", f"{net}:make", "--json"))["input_shape"] == [1, 8, 8]


def test_a_model_that_cannot_be_traced_can_be_looked_at(run, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "from torch import nn\n\n\nclass Early(nn.Linear):\n    def forward(self, x):\n        y = super().forward(x)\n"
        "        return y * y.max().item()\n\n\ndef net():\n    return Early(6, 3)\n\n\nnet.input_shape = (6,)\n"
    )
    text = run("inspect", f"{tmp_path / 'own.py'}:net")
    assert "21 parameters" in text and "! structured pruning has to see" in text and "What shrinks together" not in text


def test_what_a_card_measured_is_said(run) -> None:
    assert "when it was trained: accuracy 98.6 % (96.8 to 99.4 %, n = 360)" in run("inspect", "digits_mlp")
    assert "when it was trained: r2 0.491 (0.356 to 0.610, n = 100); mae 45.6" in run("inspect", "diabetes_mlp")


def test_inspect_and_prune_agree_on_what_can_go(run, tmp_path: Path) -> None:
    (tmp_path / "written.py").write_text(
        "import torch\nfrom torch import nn\n\n\nclass Written(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.a, self.b, self.c, self.d = nn.Linear(8, 12), nn.Linear(12, 12), nn.Linear(12, 10), nn.Linear(10, 3)\n\n"
        "    def forward(self, x):\n        y = self.b(self.a(x).relu()).view(-1, 4, 3).softmax(1).reshape(-1, 12)\n"
        "        return self.d(self.c(y).relu())\n\n\ndef net():\n    return Written()\n\n\nnet.input_shape = (8,)\n"
    )
    here = f"{tmp_path / 'written.py'}:net"
    found = json.loads(run("inspect", here, "--json"))
    result = json.loads(run("prune", here, "--mode", "structured", "--sparsity", "0.5", "--json"))
    shrank = {layer["name"] for layer in result["layers"] if layer["shape_after"][0] < layer["shape_before"][0]}
    assert shrank == {name for group in found["groups"] for name in group["layers"]} == {"a", "c"}
    assert set(found["immovable"]) == {"b", "d"}
    said = {each["name"]: each["reason"] for each in result["skipped"]}
    text = run("inspect", here)
    assert "written.py:11" in said["b"] and found["immovable"]["b"] in said["b"] and found["immovable"]["b"] in text
