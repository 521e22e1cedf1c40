"""Shared set-up of the tests."""

import os
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from prunekit import cli
from tests import schemas

# How many examples a property gets is the profile's matter, not the test's: few while working, the same ones at every run of CI, and many
# at random at night. No test asserts a time: machines differ, and a first call loads libraries.
settings.register_profile("dev", deadline=None, max_examples=10)
settings.register_profile("ci", deadline=None, max_examples=20, derandomize=True, database=None)
settings.register_profile("nightly", deadline=None, max_examples=150)
NIGHTLY = "nightly"

# compiled code is kept, whatever the environment says: every worker, server and child process would compile the package and the tests anew
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# the networks here are small: threads would wait for each other longer than they work
torch.set_num_threads(1)

# public data beside the repository serve the tests that need them; elsewhere those are skipped
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
if SHARED.is_dir():
    os.environ.setdefault("PRUNEKIT_DATA", str(SHARED))


def pytest_configure(config):
    """Choose the examples' profile: by ``--hypothesis-profile`` where given, else by what is run and where."""
    if not config.getoption("--hypothesis-profile"):
        settings.load_profile(NIGHTLY if config.option.markexpr == NIGHTLY else "ci" if os.environ.get("CI") else "dev")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Let ``-m nightly`` draw at length for every property, too."""
    if config.option.markexpr == NIGHTLY:
        for item in items:
            if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
                item.add_marker(NIGHTLY)


@pytest.fixture(scope="session", autouse=True)
def _own_home(tmp_path_factory):
    """Keep runs in a folder of this session: nothing of the user is read or written."""
    os.environ["PRUNEKIT_HOME"] = str(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session", autouse=True)
def _answers_of_their_schema():
    """Hold whatever a command prints with ``--json``, in any test, against the schema that is published for it."""
    real = cli._answer

    def answer(args):
        found = real(args)
        if getattr(args, "json", False):
            schemas.check(args, found if isinstance(found, str) else found.text)
        return found

    cli._answer = answer
    yield
    cli._answer = real


@pytest.fixture(scope="session")
def mnist_here():
    """Skip where MNIST has not been downloaded."""
    folder = Path(os.environ.get("PRUNEKIT_DATA", "")) / "MNIST" / "raw"
    if not folder.is_dir():
        pytest.skip("MNIST is not here: set PRUNEKIT_DATA to a folder that holds it")
