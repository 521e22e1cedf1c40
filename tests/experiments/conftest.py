"""What tests of runs share: a store in a home of its own, and the sample that most of them look at."""

import pytest

from prunekit.data.load import load_data
from prunekit.experiments.store import RunStore
from prunekit.models.load import load_model
from tests.experiments.forker import Forker


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNEKIT_HOME", str(tmp_path))
    store = RunStore(tmp_path / "runs.sqlite")
    yield store
    store.close()


@pytest.fixture(scope="session")
def forker():
    """What lets processes work at once."""
    made = Forker()
    yield made
    made.close()


@pytest.fixture(scope="module")
def model():
    return load_model("digits_cnn")


@pytest.fixture(scope="module")
def data(model):
    return load_data("digits", model=model)
