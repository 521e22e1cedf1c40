"""Pruning a model itself gives what pruning a copy of it gives."""

import pytest
import torch

import prunekit
from prunekit import PruneSpec
from prunekit.models.meta_copy import copied

SPECS = (
    PruneSpec(sparsity=0.7),
    PruneSpec(mode="nm"),
    PruneSpec(criterion="sparsegpt", scope="row", samples=32),
    PruneSpec(mode="structured", sparsity=0.5),
)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.mode} {spec.criterion}")
def test_a_consumed_model_is_pruned_as_its_copy(spec):
    model, data = prunekit.load_model("digits_mlp"), prunekit.load_data("digits")
    usual = prunekit.prune(model, spec, data)
    own = copied(model).train()
    found = prunekit.prune(own, spec, data, consume=True)
    for name, value in usual.model.state_dict().items():
        assert torch.equal(found.model.state_dict()[name], value)
    assert (found.before, found.after, found.achieved, found.layers) == (usual.before, usual.after, usual.achieved, usual.layers)
    assert [each.to_dict() for each in found.skipped] == [each.to_dict() for each in usual.skipped]
    assert (found.model is own) == (spec.mode != "structured")
