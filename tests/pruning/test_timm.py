"""Families of timm: pruned at uneven random counts, proved, counted, trained; what cannot go is named."""

import numpy as np
import pytest
import torch

from prunekit import load_model
from prunekit.models.cost import count
from prunekit.models.info import info
from prunekit.pruning.execution import planned_counts
from prunekit.pruning.proof import prove
from prunekit.pruning.structured.grouping import trace
from prunekit.pruning.structured.operation_calls import tensors_in
from prunekit.pruning.structured.plan import Removal
from prunekit.pruning.structured.surgery import shrink

pytest.importorskip("timm")

WHOLLY = (  # all but the classifier can shrink
    *(
        "resnext26ts",
        "convnext_atto",
        "mobilenetv3_small_050",
        "regnety_002",
        "vit_tiny_patch16_224",
        "ghostnet_050",
        "dla34",
        "resnest14d",
    ),
    *("repvgg_a0", "mobilevit_xxs"),
)
PARTLY = ("mixer_s32_224", "convnextv2_atto", "levit_128s")
# larger ones, and those whose kind one of the others or of torchvision's is
MORE_WHOLLY = (
    *("resnet18", "efficientnet_b0", "mobilenetv2_050", "regnetx_002", "vgg11", "densenet121", "deit_tiny_patch16_224"),
    *("swin_tiny_patch4_window7_224", "convmixer_768_32", "xception41", "pit_ti_224", "res2net50_14w_8s"),
)
MORE_PARTLY = ("resmlp_12_224", "gmlp_ti16_224", "efficientformer_l1")


@pytest.mark.parametrize(
    "name",
    [
        *(pytest.param(name, marks=pytest.mark.slow) for name in (*WHOLLY, *PARTLY)),
        *(pytest.param(name, marks=pytest.mark.nightly) for name in (*MORE_WHOLLY, *MORE_PARTLY)),
    ],
)
def test_pruned_proved_counted_and_trained(name):
    model = load_model(f"timm/{name}")
    shape = info(model).input_shape
    graph = trace(model, shape)
    assert (len(graph.immovable) == 1) == (name in WHOLLY + MORE_WHOLLY) and all(graph.immovable.values())
    noise = np.random.default_rng(0)
    picked = [noise.permutation(group.atoms)[: int(noise.uniform(0.1, 0.7) * group.size)] for group in graph.groups]
    removal = Removal(graph, np.concatenate(picked))
    assert prove(model, removal).passed
    small = shrink(model, removal)
    before, after = count(model, shape), count(small, shape)
    assert planned_counts(model, removal, before) == (after.params, after.macs) and after.params < before.params
    small.train().requires_grad_(True)
    sum(out.logsumexp(1).sum() for out in tensors_in(small(torch.randn(2, *shape)))).backward()
    assert any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in small.parameters())
