"""Every mode, criterion and scope on a real sample: each combination that is not refused works, on the data that it needs."""

from itertools import product

import pytest

from prunekit import load_data, load_model
from prunekit.config.choices import CRITERIA, MODES, SCOPES, refusal
from prunekit.config.spec import PruneSpec
from prunekit.models.state import state_hash
from prunekit.pruning.api import prune

TABLE = [row for row in product(MODES, CRITERIA, SCOPES) if refusal(*row) is None]  # tests/config/test_spec.py asks for the others' reasons


@pytest.fixture(scope="module")
def digits():
    return load_model("digits_cnn"), load_data("digits")


@pytest.mark.parametrize(("mode", "criterion", "scope"), TABLE)
def test_works_on_the_data_that_it_needs(digits, mode, criterion, scope):
    model, data = digits
    before = state_hash(model)
    spec = PruneSpec(mode=mode, criterion=criterion, scope=scope, samples=64, seed=3)
    result = prune(model, spec, data)
    assert state_hash(model) == before
    again = prune(model, spec, data)
    if mode == "structured":
        assert result.proof.passed and result.kept == again.kept
        assert result.achieved.removed <= round(0.5 * result.achieved.total) and all(result.kept.values())
        assert result.achieved.removed >= 0.45 * result.achieved.total
    else:
        assert all(mask.equal(again.masks[name]) for name, mask in result.masks.items())
        whole = model.conv1.weight.numel() if mode == "nm" else 0  # one input does not make a block of four
        assert result.achieved.removed == (result.achieved.total - whole) // 2
        assert all((result.model.get_submodule(name).weight != 0).le(mask).all() for name, mask in result.masks.items())
