"""What the tests of pruning share."""

import pytest

from prunekit.models.state import state_hash
from tests.held import HASHES


@pytest.fixture(scope="session", autouse=True)
def _held_models_are_read_only():
    """Prove at the end that no test changed a model that all of them share."""
    yield
    assert [name for name, model, before in HASHES if model.training or state_hash(model) != before] == []
