"""Shares of single layers hold in the other mode too: the same share of each layer goes, and what cannot is said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunekit.config.spec import PruneSpec
from prunekit.models.layers import prunable_layers
from prunekit.pruning.counterpart import counterpart
from prunekit.pruning.structured.ranking import ChannelRanking
from prunekit.pruning.unstructured.masks import masks_at
from tests.held import held

SHARES = st.integers(0, 90).map(lambda share: share / 100)
WEIGHTS, CHANNELS = PruneSpec(sparsity=0.3), PruneSpec(mode="structured", sparsity=0.3)
NAMES = {"digits_cnn": (1, 8, 8), "cifar10_resnet20": (3, 32, 32)}


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_each_layer_loses_the_share_of_its_channels_that_was_set_for_its_weights(name, data):
    model, graph = held(name, NAMES[name])
    layers = prunable_layers(model)
    ticked = data.draw(st.lists(st.sampled_from(layers), min_size=1, unique=True))
    if not any(set(group.layers) <= set(ticked) for group in graph.groups):
        ticked = list(layers)
    shares = {layer: data.draw(SHARES) for layer in ticked if data.draw(st.booleans())}
    spec = PruneSpec(sparsity=0.95, layers=tuple(ticked), overrides=tuple(shares.items()))
    found = counterpart(model, spec, CHANNELS, graph)
    plan = ChannelRanking.of(model, found.spec, graph).cut()
    lost = {layer: 1 - after[0] / before[0] for layer, (before, after) in plan.layer_shapes.items()}
    assert all(lost[layer] == 0 for layer in layers if layer not in ticked)
    for group in graph.groups:
        own = [shares[layer] for layer in group.layers if layer in shares]
        if own and set(group.layers) <= set(ticked):
            share = sum(own) / len(own)
            assert all(abs(lost[layer] - share) <= 1.01 / group.size for layer in group.layers)
            assert len(set(own)) == 1 or any("the mean of their shares" in note for note in found.notes)
    for layer, share in shares.items():
        if not any(layer in group.layers and set(group.layers) <= set(ticked) for group in graph.groups) and share:
            assert lost[layer] == 0 and any(note.startswith(f"{layer} keeps all its channels") for note in found.notes)


@pytest.mark.parametrize("name", NAMES)
@given(share=st.integers(1, 90).map(lambda share: share / 100))
def test_layers_that_shrink_together_all_lose_the_share_of_their_weights(name, share):
    model, graph = held(name, NAMES[name])
    group = max(graph.groups, key=lambda group: len(group.layers))
    spec = PruneSpec(mode="structured", sparsity=0.5, layers=group.layers, overrides=((group.layers[0], share),))
    found = counterpart(model, spec, WEIGHTS, graph)
    assert {name for name, _ in found.spec.overrides} == set(group.layers)
    stays = masks_at(model, found.spec, [found.spec.sparsity])
    for layer, mask in next(iter(stays)).items():
        asked = share if layer in group.layers else 0.0
        assert 1 - mask.float().mean().item() == pytest.approx(asked, abs=1.01 / mask.numel())


def test_without_shares_of_single_layers_the_total_stays():
    model, graph = held("digits_cnn", NAMES["digits_cnn"])
    spec = PruneSpec(sparsity=0.6, layers=("conv1", "conv2"), caps=(("conv2", 0.7),), cap_all=0.8)
    found = counterpart(model, spec, CHANNELS, graph).spec
    assert (found.layers, found.caps, found.cap_all, found.sparsity, found.mode) == (spec.layers, spec.caps, 0.8, 0.3, "structured")
