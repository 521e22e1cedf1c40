"""What is told before it is measured: the size of a sparse file, and which setting goes furthest."""

from types import SimpleNamespace

import numpy as np
import pytest

from prunekit.config.spec import PruneSpec
from prunekit.evaluation.max_sparsity import furthest
from prunekit.evaluation.quality import accuracy_of
from prunekit.evaluation.sizes import format_bytes
from prunekit.pruning.api import prune
from prunekit.ui.accuracy import max_sparsity_panel
from prunekit.ui.prune import file_sizes
from prunekit.ui.shared import cuts, model_cache
from prunekit.ui.shared.model_cache import NO_IMAGES, Source


@pytest.mark.parametrize("sparsity", [0.3, 0.9])
def test_the_estimate_of_a_sparse_file_is_a_bit_for_each_position_and_what_is_not_zero(sparsity):
    source, spec = Source("digits_mlp"), PruneSpec(sparsity=sparsity)
    loaded = model_cache.load(source)
    rows = file_sizes._estimated_rows(loaded, cuts.view(source, spec, NO_IMAGES)).set_index("label")["bytes"]
    masks = prune(loaded.model, spec, input_shape=loaded.input_shape).masks
    layers = [format_bytes(mask.numpy(), 4) for mask in masks.values()]
    saved = sum(layer["dense"] - min(layer["dense"], layer["bitmap"]) for layer in layers)
    assert rows["dense file"] - rows["sparse (a bit a position)"] == pytest.approx(saved, abs=len(layers))


def test_the_setting_of_the_greatest_sparsity_is_said_to_go_furthest(monkeypatch):
    def found(reach):
        return furthest(lambda s: accuracy_of(np.arange(100) < (90 if s <= reach else 10)), accuracy_of(np.arange(100) < 90), 0.01)

    said = []
    monkeypatch.setattr(max_sparsity_panel.st, "caption", said.append)
    lines = [SimpleNamespace(name=name, curve=SimpleNamespace(mode="unstructured")) for name in ("near", "far", "nearer")]
    max_sparsity_panel._say(lines, [found(reach) for reach in (0.5, 0.8, 0.3)], [None] * 3, "images")
    assert said[0].startswith("**far** goes furthest: ")
