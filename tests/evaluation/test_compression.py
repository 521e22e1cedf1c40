"""The gzipped size of large files: estimated from a sample, against compressing the file that is really written."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

import prunekit
from prunekit.errors import PrunekitError
from prunekit.evaluation import compression
from prunekit.evaluation.before_after import assess
from prunekit.evaluation.compression import Sampled, Whole
from prunekit.evaluation.file_layout import widened
from prunekit.evaluation.progress import Cancelled, Progress
from prunekit.evaluation.sizes import comparable, gzip_bytes, outdated, sizes
from tests.evaluation.test_sizes import igzipped

KINDS = ("dense", "half", "tenth", "rows", "blocks", "trained", "embedding", "constant")


def values(kind: str, words: int, rng: np.random.Generator) -> np.ndarray:
    """Return a tensor as networks have them."""
    found = (rng.standard_normal(words) * 0.02).astype(np.float32)
    if kind in ("half", "tenth"):
        found[rng.random(words) < (0.5 if kind == "half" else 0.9)] = 0
    if kind in ("rows", "blocks"):  # channels, or whole heads
        wide = 1 << (8 if kind == "rows" else 14)
        found[np.repeat(rng.random(-(-words // wide)) < 0.5, wide)[:words]] = 0
    if kind == "trained":  # fewer bits, and scales that differ by row
        found = (np.round(found * 2**12) / 2**12 * np.repeat(rng.gamma(2, 1, -(-words // 512)), 512)[:words]).astype(np.float32)
    if kind == "embedding":
        found[words // 3 :] = 0
    return np.full(words, 0.5, np.float32) if kind == "constant" else found


@pytest.fixture(autouse=True)
def a_small_sample(monkeypatch):
    """Let some megabytes stand for a large file: they are sampled at the rate of a gigabyte."""
    monkeypatch.setattr(compression, "SAMPLE", 4_000_000)


@pytest.mark.parametrize("name", KINDS)
def test_an_estimate_is_within_one_percent_and_its_interval(name: str) -> None:
    rng = np.random.default_rng(KINDS.index(name))
    whole, sample, parts = Whole(), None, [values(name, 6_000_000, rng), values(name, 100, rng), values("dense", 1_000_000, rng)]
    sample = Sampled(sum(part.nbytes for part in parts))
    for part in parts:
        whole.add(part.view(np.uint8))
        sample.add(part.view(np.uint8))
    true, found = whole.finish(), sample.finish()
    assert found.low <= true.bytes <= found.high and abs(found.bytes / true.bytes - 1) < 0.01
    assert (true.how, found.how) == ("measured", "estimated") and found.high - found.low < 0.03 * true.bytes


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.integers(1, 90_000)), min_size=1, max_size=12), st.integers(0, 99))
def test_small_tensors_together_are_one(parts: list[tuple[str, int]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    made = [values(kind, words, rng).view(np.uint8) for kind, words in parts]
    apart, together = Sampled(1), Sampled(1)
    for part in made:
        apart.add(part)
    together.add(np.concatenate(made))
    assert apart.finish().bytes == together.finish().bytes


def test_an_estimate_is_the_same_each_time() -> None:
    model = nn.Linear(2000, 1500)
    assert sizes(model, above=0) == sizes(model, above=0)


def test_how_parts_are_cut_makes_no_difference(monkeypatch) -> None:
    monkeypatch.setattr(compression, "STEP", 1000)
    content = values("half", 3000, np.random.default_rng(1)).view(np.uint8)
    found = set()
    for cut in (1, 999, 1000, 1001, 5000, 12_000):
        whole = Whole()
        for start in range(0, len(content), cut):
            whole.add(content[start : start + cut])
        found.add(whole.finish().bytes)
    assert len(found) == 1


def test_exact_on_demand_is_the_file_and_the_estimate_says_so(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2000, 1500), nn.Linear(1500, 900))
    masks = {name: torch.rand(model.get_submodule(name).weight.shape) > 0.5 for name in ("0", "1")}
    with torch.no_grad():
        for name, mask in masks.items():
            model.get_submodule(name).weight.masked_fill_(~mask, 0)
    save_file(model.state_dict(), tmp_path / "f")
    true = igzipped(tmp_path / "f")
    guessed, exact, small = sizes(model, above=10**6), sizes(model, above=10**6, exact=True), sizes(model)
    assert exact == small and exact.gzip == true == gzip_bytes(model)
    assert (exact.gzip_how, exact.gzip_low, exact.gzip_high) == ("measured", None, None)
    assert guessed.gzip_how == "estimated" and guessed.gzip_low <= true <= guessed.gzip_high and abs(guessed.gzip / true - 1) < 0.01
    assert (guessed.dense, guessed.sparse, guessed.surgery) == (exact.dense, exact.sparse, exact.surgery)
    told = guessed.to_dict()
    assert told["gzip"] == guessed.gzip and told["gzip_how"] == "estimated" and told["gzip_by"] == "igzip -2"
    assert told["gzip_low"] < told["gzip"] < told["gzip_high"]


def test_a_smaller_model_is_sized_without_making_it_wide(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 16, 3), nn.Flatten(), nn.Linear(16 * 16, 5))
    result = prunekit.prune(model, prunekit.PruneSpec(mode="structured", sparsity=0.5), input_shape=(3, 8, 8))
    save_file({entry.name: entry.values() for entry in widened(model, result.model, result.plan)}, tmp_path / "f")
    found = assess(model, result).after.sizes
    assert (found.dense, found.gzip) == ((tmp_path / "f").stat().st_size, igzipped(tmp_path / "f")) and found.surgery < found.dense


def test_a_sample_can_be_stopped() -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        sizes(nn.Linear(3000, 3000), above=0, progress=Progress(cancel=cancel))


def test_a_size_of_another_compressor_is_not_compared() -> None:
    old, new = {"dense": 9, "gzip": 5, "sparse": 4, "surgery": 9}, sizes(nn.Linear(3, 2)).to_dict()
    assert outdated(old) and comparable(old) == {**old, **dict.fromkeys(("gzip", "gzip_low", "gzip_high", "gzip_how", "gzip_by"))}
    assert not outdated(new) and comparable(new) == new
    without = {**old, "gzip": None}
    assert not outdated(without) and comparable(without) == without and comparable(None) is None and not outdated(None)


def test_a_type_without_a_file_form_is_refused_before_anything_is_compressed() -> None:
    model = nn.Module()
    model.register_buffer("odd", torch.zeros(2, dtype=torch.complex128))
    with pytest.raises(PrunekitError, match="odd has the type"):
        sizes(model)
