"""torchvision's transformers and ConvNeXt at their own image size, at uneven random counts; GoogLeNet, Inception and ShuffleNet too."""

import pytest
import torch

from prunekit import load_model
from prunekit.config.spec import PruneSpec
from prunekit.models.info import info
from prunekit.models.layers import prunable_layers
from prunekit.models.state import state_hash
from prunekit.pruning.execution import carry_out, planned_counts
from prunekit.pruning.structured.grouping import trace
from prunekit.pruning.structured.operation_calls import tensors_in
from prunekit.pruning.structured.ranking import ChannelRanking

# one of each family, and the others up to a hundred million parameters; tests/benchmarks/coverage.py proves all of them
NAMES = ("convnext_tiny", "swin_t", "swin_v2_t", "vit_b_32", "maxvit_t", "googlenet", "inception_v3", "shufflenet_v2_x0_5")
OTHERS = (
    *("convnext_small", "convnext_base", "swin_s", "swin_b", "swin_v2_s", "swin_v2_b", "vit_b_16"),
    *("shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0"),
)
TIERS = ((NAMES, pytest.mark.slow), (OTHERS, pytest.mark.nightly))


@pytest.mark.parametrize("name", [pytest.param(name, marks=mark) for names, mark in TIERS for name in names])
def test_pruned_proved_counted_and_trained(name):
    model = load_model(f"torchvision/{name}")
    before, shape = state_hash(model), info(model).input_shape
    graph = trace(model, shape)
    assert not graph.limits and prunable_layers(model)[-1] in graph.immovable
    spec = PruneSpec(mode="structured", sparsity=0.43, criterion="random", seed=5, layers=prunable_layers(model))
    plan = ChannelRanking.of(model, spec, graph).cut()
    assert len({round(after[0] / whole[0], 3) for whole, after in plan.layer_shapes.values()}) > 3
    result = carry_out(model, plan, spec)
    assert result.proof.passed and type(result.model) is type(model) and state_hash(model) == before
    assert planned_counts(model, plan, result.before) == (result.after.params, result.after.macs)
    with torch.inference_mode():
        assert [tuple(result.model(torch.zeros(n, *shape)).shape) for n in (1, 2)] == [(1, 1000), (2, 1000)]
    small = result.model.train().requires_grad_(True)
    sum(out.logsumexp(1).sum() for out in tensors_in(small(torch.randn(2, *shape)))).backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in small.parameters())
