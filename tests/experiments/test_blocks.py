"""Runs without some of their blocks or heads: what went is known again, and nothing asks for layers that are not there."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from prunekit import PruneSpec, load_model, prune
from prunekit.comparison.layers import weight_bins
from prunekit.config.ids import DataId, ModelId
from prunekit.errors import PrunekitError
from prunekit.experiments.requests import SweepRequest
from prunekit.experiments.run_structure import of_removal, removal_of, widths_of
from prunekit.experiments.sweep_run import sweep_through
from prunekit.models.layers import prunable_layers, weight_of
from tests.transformers import SHAPE, build

RESNET = (3, 32, 32)
OWN = """
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 1)

    def forward(self, x):
        return torch.relu(x + self.b(torch.relu(self.a(x))))


def make():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), Block(), Block(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 10))


make.input_shape = (1, 8, 8)
"""


def made(case):
    """Return a dense model, and what pruning made of it."""
    if case == "blocks":
        dense = load_model("cifar10_resnet20")
        return dense, prune(dense, PruneSpec(mode="structured", sparsity=0.4, depth=0.3), input_shape=RESNET)
    dense = build("vit")
    depth = 0.5 if case == "both" else None
    return dense, prune(dense, PruneSpec(mode="structured", sparsity=0.6, depth=depth), input_shape=SHAPE)


@pytest.mark.parametrize("case", ["blocks", "heads", "both"])
def test_what_went_is_known_again_from_the_kept_indices(case):
    dense, result = made(case)
    removal = removal_of(dense, result.model, result.kept, result.input_shape)
    assert removal is not None and removal.kept == result.kept and set(removal.blocks) == set(result.plan.blocks)
    found = of_removal(dense, removal)
    there = prunable_layers(result.model)
    for name, mask in found.masks.items():
        assert int(mask.sum()) == (weight_of(result.model, name).numel() if name in there else 0)
    wrong = {**result.kept, prunable_layers(dense)[1]: (0,)}
    assert removal_of(dense, result.model, wrong, result.input_shape) is None


def test_a_layer_that_went_with_its_block_has_no_width():
    dense, result = made("blocks")
    widths = widths_of(dense, result.model)
    gone = [name for name, stay in result.kept.items() if not stay]
    assert gone and all(widths[name] == (len(weight_of(dense, name)), 0) for name in gone)
    assert all(widths[name][1] == len(weight_of(result.model, name)) for name in prunable_layers(result.model))


def test_weights_of_a_layer_that_only_some_models_have_are_counted_in_those():
    dense, result = made("blocks")
    gone = next(name for name, stay in result.kept.items() if not stay)
    bins = weight_bins({"A": result.model, "B": dense}, [gone], 10).groupby("letter")["count"].sum()
    assert bins["A"] == 0 and bins["B"] == weight_of(dense, gone).numel()
    with pytest.raises(PrunekitError, match="no prunable layer nothing"):
        weight_bins({"A": result.model, "B": dense}, ["nothing"])


def test_a_sweep_with_a_depth_is_without_its_blocks_from_the_first_point_on(tmp_path):
    file = tmp_path / "own.py"
    file.write_text(OWN)
    spec = PruneSpec(mode="structured", depth=0.5)
    points = list(sweep_through(SweepRequest(ModelId(f"{file}:make"), DataId("digits"), spec, images=40, sparsities=(0.0, 0.75)), None))
    dense, first, second = points
    model = load_model(f"{file}:make")
    expected = prune(model, spec.at(0.0), input_shape=(1, 8, 8))
    assert len(expected.plan.blocks) == 1
    assert first.counts.params == expected.after.params < dense.counts.params and second.counts.params < first.counts.params
    with torch.inference_mode():
        assert np.isfinite(expected.model(torch.zeros(1, 1, 8, 8)).numpy()).all()
