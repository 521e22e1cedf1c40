"""Every mode, criterion and scope that go together, on one small trained model: what is asked for is what goes, to the weight."""

from itertools import product

import pytest

import prunekit
from prunekit.config.choices import MODES, SCOPES, WEIGHT_CRITERIA, refusal
from prunekit.config.spec import PruneSpec
from prunekit.models.layers import prunable_layers, weight_of
from prunekit.models.state import state_hash
from prunekit.pruning.schedule import tighten
from prunekit.pruning.unstructured.n_m import rank
from tests.pruning.drawn import gone

WEIGHT_MODES = tuple(mode for mode in MODES if mode != "structured")
TABLE = [row for row in product(WEIGHT_MODES, WEIGHT_CRITERIA, SCOPES) if refusal(*row) is None]


@pytest.fixture(scope="module")
def digits():
    return prunekit.load_model("digits_mlp"), prunekit.load_data("digits")


def expected(model, spec):
    """How many weights go from each layer, or None where that is the ranking's to say, and in all."""
    shapes = {name: tuple(weight_of(model, name).shape) for name in prunable_layers(model)}
    sizes = {name: out * inputs for name, (out, inputs) in shapes.items()}
    if spec.mode == "nm":
        n, m = map(int, spec.pattern.split(":"))
        counts = {name: out * (inputs // m) * (m - n) for name, (out, inputs) in shapes.items()}
        return counts, sum(counts.values())
    if spec.scope == "uniform":
        counts = {name: round(spec.sparsity * size) for name, size in sizes.items()}
        return counts, sum(counts.values())
    return None, round(spec.sparsity * sum(sizes.values()))


@pytest.mark.parametrize(("mode", "criterion", "scope"), TABLE)
def test_every_combination_removes_exactly_what_is_asked(digits, mode, criterion, scope):
    model, data = digits
    amounts = [{"pattern": "2:4"}, {"pattern": "1:8"}] if mode == "nm" else [{"sparsity": 0.37}, {"sparsity": 0.9}]
    before = state_hash(model)
    for amount in amounts:
        spec = PruneSpec(mode=mode, criterion=criterion, scope=scope, samples=64, **amount)
        ranking = rank(model, spec, data)
        cut = ranking.cut()
        masks = ranking.masks(cut)
        counts, total = expected(model, spec)
        assert sum(gone(masks).values()) == total and ranking.removed(cut) == gone(masks)
        assert counts is None or gone(masks) == counts
        again = rank(model, spec, data)
        assert all(bool((mask == masks[name]).all()) for name, mask in again.masks(again.cut()).items())
    assert state_hash(model) == before


@pytest.mark.parametrize("criterion", WEIGHT_CRITERIA)
def test_every_criterion_prunes_a_pruned_model_further(digits, criterion):
    model, data = digits
    total = sum(weight_of(model, name).numel() for name in prunable_layers(model))
    first, second = tighten(model, PruneSpec(criterion=criterion, samples=64), (0.6, 0.85), data)
    assert (sum(gone(first).values()), sum(gone(second).values())) == (round(0.6 * total), round(0.85 * total))
    assert all(bool((second[name] <= first[name]).all()) for name in first)
