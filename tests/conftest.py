"""Shared set-up of the tests."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

# no test asserts a time: machines differ, and a first call loads libraries
settings.register_profile("prunekit", deadline=None, max_examples=60)
settings.load_profile("prunekit")

# the networks here are small: threads would wait for each other longer than they work
torch.set_num_threads(1)

# public data beside the repository serve the tests that need them; elsewhere those are skipped
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
if SHARED.is_dir():
    os.environ.setdefault("PRUNEKIT_DATA", str(SHARED))


@pytest.fixture(scope="session", autouse=True)
def _own_home(tmp_path_factory):
    """Keep runs in a folder of this session: nothing of the user is read or written."""
    os.environ["PRUNEKIT_HOME"] = str(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def mnist_here():
    """Skip where MNIST has not been downloaded."""
    folder = Path(os.environ.get("PRUNEKIT_DATA", "")) / "MNIST" / "raw"
    if not folder.is_dir():
        pytest.skip("MNIST is not here: set PRUNEKIT_DATA to a folder that holds it")
