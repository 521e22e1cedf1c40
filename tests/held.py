"""Networks and their couplings, made once for each process and shared: to be read only, which tests/pruning/conftest.py proves."""

from functools import cache

from prunekit import load_model
from prunekit.models.state import state_hash
from prunekit.pruning.structured.grouping import trace
from tests.transformers import NETS, SHAPE, build

HASHES = []  # of every model held, at first


@cache
def held(name, shape=SHAPE):
    """Return a small transformer or a model of the catalog, and its couplings at an image size."""
    model = build(name) if name in NETS else load_model(name)
    HASHES.append((name, model, state_hash(model)))
    return model, trace(model, shape)
