"""Every mode, criterion and scope on a real sample: each combination that is not refused works, on the data that it needs."""

import pytest

from prunekit import load_data, load_model
from prunekit.anatomy import state_hash
from prunekit.choices import CRITERIA, MODES, SCOPES, refusal
from prunekit.errors import SpecError
from prunekit.pruning import prune
from prunekit.spec import PruneSpec

TABLE = [(mode, criterion, scope) for mode in MODES for criterion in CRITERIA for scope in SCOPES]


@pytest.mark.parametrize(("mode", "criterion", "scope"), TABLE)
def test_works_or_is_refused_with_its_reason(mode, criterion, scope):
    reason = refusal(mode, criterion, scope)
    fields = {"mode": mode, "criterion": criterion, "scope": scope, "samples": 64, "seed": 3}
    if reason:
        with pytest.raises(SpecError) as told:
            PruneSpec(**fields)
        assert str(told.value) == reason
        return
    model, data = load_model("digits_cnn"), load_data("digits")
    before = state_hash(model)
    spec = PruneSpec(**fields)
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
