"""Sizes against files that are really written and formats that are really encoded."""

from __future__ import annotations

import copy
import gzip
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from isal import isal_zlib
from safetensors.torch import save_file
from torch import nn

from prunekit.errors import PrunekitError
from prunekit.evaluation.progress import Cancelled, Progress
from prunekit.evaluation.sizes import file_bytes, format_bytes, gzip_bytes, parts, sizes, smallest, sparse_bytes


def network(width: int = 32) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.Flatten(), nn.Linear(width * 36, 40), nn.Linear(40, 10))


def written(model: nn.Module, folder: Path, **metadata: str) -> Path:
    path = folder / "model.safetensors"
    save_file(model.state_dict(), path, metadata=metadata or None)
    return path


def igzipped(path: Path) -> int:
    """Return the size of a real file after igzip at level 2, read a megabyte at a time; any gzip unpacks it."""
    squeeze, packed = isal_zlib.compressobj(2, isal_zlib.DEFLATED, 31), b""
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            packed += squeeze.compress(part)
    packed += squeeze.flush()
    assert gzip.decompress(packed) == path.read_bytes()
    return len(packed)


class Awkward(nn.Module):
    """Every type, an empty tensor, a scalar and names that need escaping."""

    def __init__(self) -> None:
        super().__init__()
        types = [torch.bool, torch.uint8, torch.int8, torch.int16, torch.float16, torch.bfloat16, torch.int32, torch.float64, torch.int64]
        for i, dtype in enumerate(types):
            self.register_buffer(f"b{i}", torch.ones(i + 1, 3, dtype=dtype))
        self.register_buffer('quote"\\ü', torch.zeros(()))
        self.register_buffer("empty", torch.zeros(0, 4))
        self.register_buffer("turned", torch.arange(12.0).view(3, 4).t())


@pytest.mark.parametrize("make", [network, Awkward, lambda: nn.Linear(1, 1, bias=False), lambda: network(5).half(), nn.ReLU])
def test_file_bytes_is_the_file(tmp_path: Path, make) -> None:
    model = make()
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, tmp_path / "f")
    assert file_bytes(model) == (tmp_path / "f").stat().st_size
    save_file(state, tmp_path / "g", metadata={"format": "pt"})
    assert file_bytes(model, {"format": "pt"}) == (tmp_path / "g").stat().st_size
    assert gzip_bytes(model) == igzipped(tmp_path / "f")


def test_masked_sizes_are_those_of_the_masked_copy(tmp_path: Path) -> None:
    model = network()
    rng = torch.Generator().manual_seed(2)
    masks = {name: torch.rand(model.get_submodule(name).weight.shape, generator=rng) > 0.9 for name in ("0", "3")}
    copied = copy.deepcopy(model)
    with torch.no_grad():
        for name, mask in masks.items():
            copied.get_submodule(name).weight.masked_fill_(~mask, 0)  # a product would leave -0.0
    got = sizes(model, masks=masks)
    assert got == sizes(copied)
    path = written(copied, tmp_path)
    assert got.dense == got.surgery == path.stat().st_size == file_bytes(model)
    assert got.gzip == igzipped(path)
    assert got.sparse < got.gzip < got.dense
    assert list(got.to_dict())[:4] == ["dense", "gzip", "sparse", "surgery"]
    assert list(got.to_dict().values())[4:] == [None, None, "measured", "igzip -2"]


def test_structured_sizes_take_the_zeroed_layout_and_the_smaller_file(tmp_path: Path) -> None:
    zeroed, smaller = network(32), network(8)
    with torch.no_grad():
        zeroed[0].weight[8:] = 0
        zeroed[3].weight.view(40, 32, 36)[:, 8:] = 0
    got = sizes(smaller, zeroed=zeroed)
    assert got.surgery == written(smaller, tmp_path).stat().st_size
    assert got.dense == file_bytes(network(32))
    assert got.surgery < got.sparse < got.dense
    ahead = sizes(zeroed, surgery_bytes=file_bytes(smaller), gzip=False)
    assert (ahead.dense, ahead.sparse, ahead.surgery, ahead.gzip) == (got.dense, got.sparse, got.surgery, None)


def test_a_dense_network_gains_nothing() -> None:
    got = sizes(network(), gzip=False)
    assert got.dense == got.sparse == got.surgery
    assert (got.gzip, got.sparse_format) == (None, "dense")


def test_broadcast_masks_stand_for_channels() -> None:
    model = network()
    keep = torch.arange(32) < 5
    wide = keep[:, None, None, None].expand(32, 3, 3, 3)
    assert sparse_bytes(model, {"0": keep[:, None, None, None]}) == sparse_bytes(model, {"0": wide})


def test_gzip_can_be_stopped() -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        sizes(network(), progress=Progress(cancel=cancel))


def test_a_type_without_a_file_form_is_an_error() -> None:
    model = nn.Module()
    model.register_buffer("odd", torch.zeros(2, dtype=torch.complex128))
    with pytest.raises(PrunekitError, match="odd has the type"):
        file_bytes(model)


# --- formats, against encoders and decoders of their own ---


def unsigned(largest: int) -> np.dtype:
    return np.min_scalar_type(largest)


def encode_bitmap(values: np.ndarray) -> tuple[int, np.ndarray]:
    bits, kept = np.packbits(values != 0), values[values != 0]
    back = np.zeros(values.size, values.dtype)
    back[np.unpackbits(bits, count=values.size).astype(bool)] = kept
    return bits.nbytes + kept.nbytes, back


def encode_csr(values: np.ndarray, rows: int) -> tuple[int, np.ndarray]:
    table = values.reshape(rows, -1)
    r, c = np.nonzero(table)
    columns = c.astype(unsigned(table.shape[1] - 1))
    starts = np.concatenate([[0], np.cumsum((table != 0).sum(1))]).astype(unsigned(len(r)))
    back = np.zeros_like(table)
    for row in range(rows):
        span = slice(int(starts[row]), int(starts[row + 1]))
        back[row, columns[span]] = table[r, c][span]
    return columns.nbytes + starts.nbytes + table[r, c].nbytes, back.reshape(-1)


def encode_delta8(values: np.ndarray) -> tuple[int, np.ndarray]:
    steps, kept, gap = [], [], 0
    for value in values:
        if value != 0 or gap == 255:  # a stored zero carries the gap on
            steps.append(gap)
            kept.append(value)
            gap = 0
        else:
            gap += 1
    while kept and kept[-1] == 0:  # nothing needs to be stored for the zeros at the end
        kept.pop()
        steps.pop()
    codes, stored = np.array(steps, np.uint8), np.array(kept, values.dtype)
    back, at = np.zeros_like(values), -1
    for step, value in zip(codes, stored, strict=True):
        at += int(step) + 1
        back[at] = value
    return codes.nbytes + stored.nbytes, back


@given(st.integers(1, 6), st.integers(1, 900), st.floats(0, 1), st.integers(0, 99))
def test_format_bytes_are_those_of_real_encodings(rows: int, columns: int, density: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((rows, columns)).astype(np.float32) * (rng.random((rows, columns)) < density**4)
    values = values.astype(np.float32)
    flat = values.reshape(-1)
    encoded = {"bitmap": encode_bitmap(flat), "csr": encode_csr(flat, rows), "delta8": encode_delta8(flat)}
    for _, back in encoded.values():
        assert (back == flat).all()
    counted = format_bytes(values != 0, 4)
    assert counted["dense"] == values.nbytes
    for name, (size, _) in encoded.items():
        if name in counted:
            assert counted[name] == size, name
    assert smallest(counted)[1] == min([values.nbytes] + [size for size, _ in encoded.values()])


@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=4, max_side=9)))
def test_the_smallest_is_never_more_than_dense(alive: np.ndarray) -> None:
    name, size = smallest(format_bytes(alive, 4))
    assert size <= alive.size * 4
    assert name != "dense" or size == alive.size * 4


def test_sparse_bytes_add_up(tmp_path: Path) -> None:
    model = network()
    with torch.no_grad():
        model[3].weight[torch.rand(model[3].weight.shape) > 0.05] = 0
    total, used = sparse_bytes(model)
    saved = model[3].weight.numel() * 4 - smallest(format_bytes(model[3].weight.detach().numpy() != 0, 4))[1]
    assert total == written(model, tmp_path).stat().st_size - saved
    assert used == "dense, delta8"


@pytest.mark.slow
def test_a_large_network_is_counted_at_once() -> None:
    from time import perf_counter

    from torchvision.models import resnet18

    model = resnet18()
    masks = {n: torch.rand_like(m.weight) > 0.9 for n, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    start = perf_counter()
    sizes(model, masks=masks, gzip=False)
    assert perf_counter() - start < 2.0  # generous: a slider needs it, and a hidden compression would take 3 s and more


def test_bytes_of_embedding_tables_are_told_apart_in_each_form():
    model = nn.Sequential(nn.Embedding(100, 8), nn.Flatten(), nn.Linear(16, 4))
    with torch.no_grad():
        model[0].weight[10:] = 0
    found = sizes(model, gzip=False)
    assert found.tables["dense"] == found.tables["surgery"] == 3200 and found.tables["sparse"] < 800
    for form, told in parts(found.to_dict()).items():
        assert sum(told.values()) == getattr(found, form)
    assert sizes(model[2], gzip=False).tables is None and parts(sizes(model[2], gzip=False).to_dict()) == {}
