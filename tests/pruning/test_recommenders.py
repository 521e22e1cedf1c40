"""Recommenders in plain embeddings and bags: pruned with proof, masked, judged and trained through factories of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunekit import PruneSpec, evaluate, load_data, load_model, prune
from tests import recommenders

FILE = Path(recommenders.__file__)


@pytest.mark.parametrize("name", recommenders.NAMES)
def test_a_recommender_of_ones_own_is_pruned_judged_and_trained(name):
    model = load_model(f"{FILE}:{name}")
    data = load_data(f"{FILE}:{name}_data", model=model)
    dense = evaluate(model, data.test)
    assert dense.metric.name == "auc" and dense.observations.groups is not None
    cut = prune(model, PruneSpec(mode="structured", sparsity=0.5), data=data)
    assert cut.proof.passed and cut.proof.output_change > 0.01
    before, after = (sum(p.numel() for p in each.parameters()) for each in (model, cut.model))
    assert after < 0.75 * before
    assert evaluate(cut.model, data.test).n == dense.n
    masked = prune(model, PruneSpec(mode="unstructured", sparsity=0.5), data=data)
    assert sum(int(mask.sum()) for mask in masked.masks.values()) == pytest.approx(
        0.5 * sum(m.numel() for m in masked.masks.values()), abs=1
    )
