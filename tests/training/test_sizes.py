"""The sizes of a recovered model: measured on its own weights."""

import copy

import torch

import prunekit
from prunekit.config.recovery import Recovery
from prunekit.evaluation.before_after import assess
from prunekit.evaluation.file_layout import widened
from prunekit.evaluation.sizes import sizes
from prunekit.pruning.masked_reference import zeroed
from prunekit.training.gradual import recover
from tests.training.drawn import bits, data_of, net, same

DATA = data_of()
SPEC = prunekit.PruneSpec(mode="structured", sparsity=0.5)


def wide_model(dense, small, plan):
    """Return a model with the values of a layout."""
    wide = copy.deepcopy(dense)
    wide.load_state_dict({entry.name: entry.values() for entry in widened(dense, small, plan)})
    return wide


def test_without_recovery_the_dense_shape_is_the_dense_model_with_zeros():
    dense = net()
    result = prunekit.prune(dense, SPEC, DATA)
    assert same(bits(wide_model(dense, result.model, result.plan)), bits(zeroed(dense, result.plan)))


def test_after_recovery_the_dense_shape_holds_the_recovered_weights():
    dense = net()
    found = recover(dense, SPEC, Recovery(epochs=2, lr=0.05, batch_size=16, schedule="linear", steps=2), DATA)
    wide = wide_model(dense, found.model, found.result.plan)
    x = torch.randn(4, 2, 6, 6)
    torch.testing.assert_close(wide(x), found.model(x), rtol=1e-4, atol=1e-5)
    assert {name: t.shape for name, t in wide.state_dict().items()} == {name: t.shape for name, t in dense.state_dict().items()}
    measured = assess(dense, found.result).after.sizes
    assert (measured.dense, measured.gzip) == (sizes(wide).dense, sizes(wide).gzip)
