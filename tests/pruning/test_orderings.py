"""Orderings as published, on a small language model: Wanda below magnitude, MLP before hidden width, a late layer before the first."""

import pytest

import prunekit
from prunekit import PruneSpec

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def perplexity():
    """Return what measures the perplexity of a model pruned by a setting."""
    model, data = prunekit.load_model("shakespeare_gpt"), prunekit.load_data("shakespeare")
    test = data.test.subset(96)

    def measured(**setting):
        return prunekit.evaluate(prunekit.prune(model, PruneSpec(samples=64, **setting), data).model, test).value

    return measured


def test_wanda_loses_less_than_magnitude(perplexity):
    for setting in ({"sparsity": 0.6, "scope": "uniform"}, {"mode": "nm"}):
        by_row = {"scope": "row"} if "sparsity" in setting else {}
        assert perplexity(criterion="wanda", **{**setting, **by_row}) < perplexity(**setting)


def test_sparsegpt_loses_less_than_wanda(perplexity):
    assert perplexity(mode="nm", criterion="sparsegpt") < perplexity(mode="nm", criterion="wanda")


def test_the_width_of_the_mlp_goes_more_easily_than_the_hidden_width(perplexity):
    structured = {"mode": "structured", "criterion": "activation", "scope": "uniform", "sparsity": 0.25}
    inner = tuple(f"blocks.{i}.up" for i in range(5))
    hidden = ("tokens", "positions", *(f"blocks.{i}.{name}" for i in range(5) for name in ("attention.out", "down")))
    assert perplexity(layers=inner, **structured) < perplexity(layers=hidden, **structured)


def test_the_last_layer_but_one_goes_more_easily_than_the_first(perplexity):
    late, first = (perplexity(mode="structured", blocks=(f"blocks.{i}",)) for i in (3, 0))
    assert late < first
