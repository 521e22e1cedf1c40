"""A home of its own, a run in it, and its archive."""

import pytest

from tests.experiments.archive import made


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive-home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRUNEKIT_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def kept(home):
    store = made.store_in(home)
    yield store
    store.close()


@pytest.fixture(scope="module")
def run(kept):
    return made.run_of(kept)


@pytest.fixture(scope="module")
def payload(kept, run, tmp_path_factory):
    return made.plain(kept, run, tmp_path_factory.mktemp("plain"))


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Another home, which knows nothing of the run."""
    monkeypatch.setenv("PRUNEKIT_HOME", str(tmp_path / "elsewhere"))
    store = made.store_in(tmp_path / "elsewhere")
    yield store
    store.close()
