"""Networks of all kinds of pieces, drawn at random: pruned, proved, looked at from outside, trained, exported and opened again."""

import io
import logging

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from torch import nn

from prunekit.config.spec import PruneSpec
from prunekit.errors import PruningError
from prunekit.models.layers import prunable_layers
from prunekit.models.rebuilding import apply_widths
from prunekit.models.widths import widths
from prunekit.pruning.api import prune
from tests.pruning.random_networks import build, checked, inputs, networks


def cut(drawn):
    """Prune a network, look at the result from outside, train it a step and open it again; return it."""
    dense, x = build(drawn), inputs(drawn)
    spec = PruneSpec(mode="structured", sparsity=0.4, criterion="random", seed=drawn[-1], layers=prunable_layers(dense))
    try:
        result = prune(dense, spec, input_shape=(x,))
    except PruningError as error:
        assert "nothing can be removed" in str(error)
        assume(False)
    assert not any("is not supported yet" in limit for limit in result.limits), result.limits
    assert result.proof.passed
    error, moved = checked(dense, result.model, x)
    assert error < 1e-4 and moved > 1e-4
    saved = io.BytesIO()
    torch.save(result.model.state_dict(), saved)
    saved.seek(0)
    again = build(drawn)
    state = torch.load(saved, weights_only=True)
    apply_widths(again, widths(result.model), {**state, **dict(result.model.named_buffers())})
    again.load_state_dict(state)
    assert torch.equal(again.eval()(x), result.model.eval()(x))
    again.train().requires_grad_(True)
    again(x).square().mean().backward()
    torch.optim.SGD(again.parameters(), 0.01).step()
    assert all(bool(torch.isfinite(p).all()) for p in again.parameters())
    return result.model.eval(), x


@settings(max_examples=4)
@given(networks())
def test_a_few_networks(drawn):
    cut(drawn)


def exported(small, x, folder):
    """Write a network to a file and ask ONNX Runtime, where the exporter can write what it does at all."""
    import onnxruntime

    path = folder / "small.onnx"
    logging.disable(logging.WARNING)
    try:
        with torch.no_grad():
            torch.onnx.export(small.requires_grad_(False), (x,), path, dynamo=True, verbose=False)
            expected = small(x)
    finally:
        logging.disable(logging.NOTSET)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    assert np.abs(found - expected.numpy()).max() < 1e-4 * max(1.0, float(expected.abs().max()))


@pytest.mark.nightly
@settings(max_examples=200, deadline=None)
@given(drawn=networks())
def test_two_hundred_networks_and_their_files(drawn, tmp_path_factory):
    small, x = cut(drawn)
    if not any(isinstance(module, nn.LSTM) and module.proj_size for module in small.modules()):  # ONNX's LSTM has no projection
        exported(small, x, tmp_path_factory.mktemp("drawn"))
