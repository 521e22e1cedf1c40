"""Recommenders in plain embeddings and bags: pruned with proof, masked, judged and trained through factories of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunekit import PruneSpec, evaluate, fine_tune, load_data, load_model, prune
from prunekit.config.recovery import Recovery
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
    masked = prune(model, PruneSpec(mode="unstructured", sparsity=0.5), data=data)
    assert sum(int(mask.sum()) for mask in masked.masks.values()) == pytest.approx(
        0.5 * sum(m.numel() for m in masked.masks.values()), abs=1
    )
    tuned = fine_tune(cut.model, data, Recovery(epochs=1, optimizer="adam", lr=0.01, distill=0.5 if name == "dlrm" else 0.0), teacher=model)
    seen = evaluate(tuned.model, data.test)
    assert seen.n == dense.n and dense.observations.same_samples(seen.observations)
    assert seen.metric.compare(dense.observations, seen.observations).value != 0
