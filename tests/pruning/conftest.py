"""What the tests of pruning share."""

import pytest

from prunekit.models.state import state_hash
from tests.held import HASHES


@pytest.fixture(scope="session", autouse=True)
def _held_models_are_read_only():
    """Prove at the end that no test changed a model that all of them share."""
    yield
    assert [name for name, model, before in HASHES if model.training or state_hash(model) != before] == []


@pytest.fixture(autouse=True)
def nothing_is_held_by_night(request, monkeypatch):
    """Let a night's test fail where a group is held for its proof: of models of known libraries that hides a wrong rule."""
    if request.node.get_closest_marker("nightly") is None:
        return

    def hold(model, graph, atoms, reason):
        pytest.fail(f"a unit of {type(model).__name__} is held: {reason}")

    monkeypatch.setattr("prunekit.pruning.proof.hold", hold)
