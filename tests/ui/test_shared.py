"""What people share: uploads, caches of numbers."""

import numpy as np
import pytest

import prunekit
from prunekit.config.choices import drawn_criteria_of
from prunekit.errors import CheckpointError
from prunekit.plots.weight_histograms import CutBins
from prunekit.ui.components import weight_bins
from prunekit.ui.shared import cuts, model_cache
from prunekit.ui.shared.model_cache import Images, Source
from prunekit.ui.state.uploads import Store, fingerprint


def test_uploads_are_held_by_content_and_bounded():
    held = Store(most_files=2, most_bytes=10)
    a, b = held.put("a.pt", b"aaaa"), held.put("b.pt", b"bbbb")
    assert a == fingerprint(b"aaaa") != b
    assert held.get(a).payload == b"aaaa"
    c = held.put("c.pth", b"cccc")
    assert held.get(b) is None, "the oldest goes, the one just looked at stays"
    assert held.get(a) and held.get(c)
    held.put("d.th", b"d" * 10)
    assert held.get(a) is None and held.get(c) is None


@pytest.mark.parametrize("name", ["evil.py", "model.pkl", "noending", "x.safetensors.exe"])
def test_only_checkpoints_are_taken(name):
    with pytest.raises(CheckpointError, match=r"\.safetensors"):
        Store().put(name, b"x")


def test_too_big_an_upload_is_refused():
    with pytest.raises(CheckpointError, match="at most 3 are kept"):
        Store(most_bytes=3).put("a.pt", b"aaaa")


@pytest.mark.parametrize("criterion", ["l1", "l2", "random"])
@pytest.mark.parametrize("scope", ["global", "uniform"])
@pytest.mark.parametrize("sparsity", [0.0, 0.37, 0.9])
def test_the_numbers_of_a_move_are_those_of_pruning(criterion, scope, sparsity):
    spec = prunekit.PruneSpec(sparsity=sparsity, criterion=criterion, scope=scope)
    view = cuts.view(Source("digits_mlp"), spec)
    result = prunekit.prune(prunekit.load_model("digits_mlp"), spec)
    assert view.gone == result.achieved.removed
    assert view.params == (result.before.params, result.after.nonzero)
    assert view.macs[1] == pytest.approx(result.after.effective_macs, abs=2)
    assert view.sparsity == pytest.approx(result.after.sparsity)
    assert list(view.frame["removed"]) == pytest.approx([layer.sparsity for layer in result.layers])


@pytest.mark.parametrize("scope", ["global", "uniform"])
@pytest.mark.parametrize("sparsity", [0.2, 0.6])
def test_the_numbers_of_a_structured_move_are_those_of_surgery(scope, sparsity):
    spec = prunekit.PruneSpec(mode="structured", sparsity=sparsity, scope=scope)
    view = cuts.view(Source("digits_cnn"), spec)
    result = prunekit.prune(prunekit.load_model("digits_cnn"), spec)
    assert view.params == (result.before.params, result.after.params)
    assert view.macs == (result.before.macs, result.after.macs)
    assert list(view.frame["after"]) == [layer.shape_after for layer in result.layers]
    kept = cuts.kept_channels(view)
    assert {name: tuple(np.flatnonzero(mask)) for name, mask in kept.items()} == {n: k for n, k in result.kept.items() if n in kept}


MASKED = [("unstructured", criterion) for criterion in drawn_criteria_of("unstructured")] + [("nm", "l1"), ("nm", "taylor")]


@pytest.mark.parametrize(("mode", "criterion"), MASKED)
@pytest.mark.parametrize("focus", [None, "fc1"])
def test_the_drawn_cut_agrees_with_the_masks(mode, criterion, focus):
    amount = {} if mode == "nm" else {"sparsity": 0.6}
    spec = prunekit.PruneSpec(mode=mode, criterion=criterion, samples=64, **amount)
    view = cuts.view(Source("digits_mlp"), spec, Images("digits"))
    layers = tuple(view.frame["name"])
    found = weight_bins.cut_bins(Source("digits_mlp"), view, focus, layers)
    assert isinstance(found, CutBins)
    model = prunekit.load_model("digits_mlp")
    masks = prunekit.prune(model, spec, prunekit.load_data("digits", model=model)).masks
    names = [focus] if focus else layers
    kept = np.concatenate([masks[n].numpy().ravel() for n in names])
    weights = np.concatenate([model.get_submodule(n).weight.numpy().ravel() for n in names])
    assert found.kept.sum() + found.removed.sum() == pytest.approx(kept.size)
    assert found.removed.sum() == pytest.approx((~kept).sum())
    if criterion != "random":  # drawn as the same share of each bar
        # what lies outside the picture counts in its outermost bars
        inside = np.clip(weights[~kept], found.edges[0] + 1e-9, found.edges[-1] - 1e-9)
        expected, _ = np.histogram(inside, bins=found.edges)
        assert np.abs(found.removed - expected).sum() <= 0.02 * (~kept).sum()
    by_size = mode == "unstructured" and (criterion in ("l1", "l2") or (criterion == "lamp" and focus))
    assert (found.threshold is not None) == bool(by_size), "a line stands only where one magnitude parts what stays from what goes"
    if by_size:
        assert (np.abs(weights) < found.threshold).mean() == pytest.approx((~kept).mean(), abs=0.01)


def test_distributions_count_every_weight_over_shared_bins():
    layers = model_cache.load(Source("digits_cnn")).layers
    found = weight_bins.distributions(Source("digits_cnn"), layers)
    for one in found:
        weights = model_cache.load(Source("digits_cnn")).model.get_submodule(one.name).weight
        assert one.counts.sum() == weights.numel()
        assert np.array_equal(one.edges, found[0].edges)
        assert one.mean == pytest.approx(float(weights.mean()), abs=1e-6)
        inside = one.counts[1:-1]
        expected, _ = np.histogram(weights.numpy().astype(np.float64), bins=one.edges)
        assert np.abs(inside - expected[1:-1]).sum() <= 0.02 * weights.numel() + 4
