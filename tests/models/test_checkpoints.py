"""Weights files: what is understood, what is refused, and that nothing in them runs."""

import argparse
import io
import os
import pickle
import zipfile
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save as safetensors
from torch import nn

from prunekit.errors import CheckpointError
from prunekit.models.checkpoints import fit_state, read_checkpoint
from prunekit.models.load import load_upload
from tests.tables import case


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3))


def saved(content, zipped=True):
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def same(state, model):
    own = model.state_dict()
    return state.keys() == own.keys() and all(torch.equal(state[key], own[key]) for key in own)


def nothing(state):
    return state


FORMS = {
    "safetensors": safetensors,
    "zip": saved,
    "legacy": lambda state: saved(state, zipped=False),
}
WRAPS = {
    "plain": nothing,
    "state_dict": lambda s: {"epoch": 3, "state_dict": s, "best_prec1": 91.5},
    "model": lambda s: {"model": s, "optimizer": {"state": {}, "param_groups": []}},
    "beside numbers and options": lambda s: {
        "model": s,
        "best": np.float64(91.5),
        "epochs": np.int64(3),
        "args": argparse.Namespace(lr=0.1, more=[1]),
    },
    "nested twice": lambda s: {"model": {"state_dict": s}},
    "DataParallel": lambda s: {f"module.{k}": v for k, v in s.items()},
    "compiled": lambda s: {f"_orig_mod.module.{k}": v for k, v in s.items()},
    "DataParallel, nested": lambda s: {"state_dict": {f"module.{k}": v for k, v in s.items()}},
}


FLAT = ("plain", "DataParallel", "compiled")  # safetensors holds tensors alone


def test_every_usual_form_gives_the_same_tensors():
    for form, wrap in [(f, w) for f in FORMS for w in WRAPS if f != "safetensors" or w in FLAT]:
        with case(form, wrap):
            content = WRAPS[wrap](net().state_dict())
            assert same(read_checkpoint(FORMS[form](content), "x"), net())


def test_the_bytes_decide_not_the_ending(tmp_path):
    for name, form in product(("w.safetensors", "w.pt", "w.pth", "w.th", "w"), FORMS):
        with case(name, form):
            (tmp_path / name).write_bytes(FORMS[form](net().state_dict()))
            assert same(read_checkpoint(tmp_path / name), net())


def test_parameters_and_masks_of_torch_prune_become_plain_weights():
    from torch.nn.utils import prune

    model = net()
    prune.l1_unstructured(model[3], "weight", amount=0.5)
    state = read_checkpoint(saved({k: nn.Parameter(v, requires_grad=v.is_floating_point()) for k, v in model.state_dict().items()}), "x")
    assert torch.equal(state["3.weight"], model[3].weight.detach()) and "3.weight_orig" not in state
    assert not any(t.requires_grad for t in state.values())
    fit_state(net(), state, "x")


class Touch:
    """Unpickling this would create a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def attacks(path):
    evil = {"state_dict": net().state_dict(), "more": Touch(path)}
    return {
        "plain pickle": pickle.dumps(evil),
        "bare": pickle.dumps(Touch(path)),
        "protocol 0": pickle.dumps(Touch(path), protocol=0),
        "zip torch.save": saved(evil),
        "legacy torch.save": saved(evil, zipped=False),
        "inside the state": saved({"0.weight": Touch(path)}),
    }


def test_nothing_in_a_malicious_file_runs(tmp_path):
    trap = tmp_path / "pwned"
    pickle.loads(pickle.dumps(Touch(tmp_path / "armed")))
    assert (tmp_path / "armed").exists(), "the trap itself works"
    for (attack, payload), name in product(attacks(trap).items(), ("w.pt", "w.pth", "w.th", "w.safetensors", "w.bin")):
        (tmp_path / name).write_bytes(payload)
        for act, words in ((read_checkpoint, (tmp_path / name,)), (load_upload, ("digits_mlp", payload, name))):
            with case(attack, name, act.__name__):
                with pytest.raises(CheckpointError) as caught:
                    act(*words)
                assert not trap.exists()
                assert name in str(caught.value) and "\n" not in str(caught.value)


def test_a_whole_module_is_refused_and_told_how_to_save():
    with pytest.raises(CheckpointError, match=r"more than tensors.*state_dict\(\)"):
        read_checkpoint(saved(net()), "whole.pt")


def test_a_torchscript_archive_is_refused(tmp_path):
    torch.jit.script(net()).save(str(tmp_path / "script.pt"))
    with pytest.raises(CheckpointError, match="TorchScript"):
        read_checkpoint(tmp_path / "script.pt")


def test_nan_and_infinite_weights_are_refused_with_the_layer():
    for form, key, value in product(FORMS, ("0.weight", "1.running_var", "3.bias"), (float("nan"), float("inf"), float("-inf"))):
        state = net().state_dict()
        state[key].view(-1)[-1] = value
        with case(form, key, value), pytest.raises(CheckpointError, match=rf"NaN or infinite values in {key}"):
            read_checkpoint(FORMS[form](state), "x")


@given(st.sampled_from(sorted(FORMS)), st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_refused(form, share):
    payload = FORMS[form](net().state_dict())
    with pytest.raises(CheckpointError, match="cut"):
        read_checkpoint(payload[: int(share * len(payload))], "cut")


@given(st.sampled_from(sorted(FORMS)), st.data())
def test_a_flipped_bit_gives_a_plain_error_or_well_formed_tensors(form, data):
    payload = bytearray(FORMS[form](net().state_dict()))
    where = data.draw(st.integers(0, len(payload) - 1))
    payload[where] ^= 1 << data.draw(st.integers(0, 7))
    try:
        state = read_checkpoint(bytes(payload), "flipped")
    except CheckpointError as error:
        assert "\n" not in str(error)
    else:
        assert all(isinstance(t, torch.Tensor) and bool(torch.isfinite(t).all()) for t in state.values())


def test_a_flipped_weight_in_a_torch_file_is_noticed():
    weight = net().state_dict()["3.weight"].numpy().tobytes()
    payload = bytearray(saved(net().state_dict()))
    payload[payload.index(weight)] ^= 1
    with pytest.raises(CheckpointError, match="damaged"):
        read_checkpoint(bytes(payload), "x")


@given(st.binary(max_size=400))
def test_random_bytes_are_refused(payload):
    with pytest.raises(CheckpointError):
        read_checkpoint(payload, "noise")


def test_what_is_no_state_is_said():
    for content, said in [
        ({"epoch": 3, "loss": 0.1}, "epoch, loss"),
        ([1, 2], "list"),
        (torch.ones(3), "Tensor"),
        ({}, "none"),
        ({"a": torch.ones(2).to_sparse()}, "not a plain dense tensor"),
        ({"a": torch.ones(1).expand(10**9)}, "larger than the file"),
    ]:
        with case(content, said), pytest.raises(CheckpointError, match=said):
            read_checkpoint(saved(content), "x")


def test_a_zip_that_is_no_weights_file_is_refused_unread():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"\0" * 10**6)
    with pytest.raises(CheckpointError, match="no PyTorch weights file"):
        read_checkpoint(file.getvalue(), "bomb.pt")


def test_missing_paths_and_folders_are_said(tmp_path):
    with pytest.raises(CheckpointError, match=r"no weights file.*nowhere"):
        read_checkpoint(tmp_path / "nowhere.pt")
    with pytest.raises(CheckpointError, match="is a folder"):
        read_checkpoint(tmp_path)
    (tmp_path / "empty.pt").touch()
    with pytest.raises(CheckpointError, match="is empty"):
        read_checkpoint(tmp_path / "empty.pt")


def test_a_state_of_another_architecture_is_told_key_by_key_and_nothing_changes():
    state = net().state_dict()
    state["9.bias"] = state.pop("3.bias")
    state["0.weight"] = torch.zeros(5, 1, 3, 3)
    state["1.weight"] = torch.zeros(4, dtype=torch.int64)
    model = net()
    with pytest.raises(CheckpointError) as caught:
        fit_state(model, state, "other.pt")
    for part in ("other.pt", "1 missing: 3.bias", "1 unexpected: 9.bias", "0.weight (5, 1, 3, 3) instead of (4, 1, 3, 3)", "torch.int64"):
        assert part in str(caught.value)
    assert same(model.state_dict(), net())


def test_a_long_list_of_keys_is_cut():
    big = nn.Sequential(*(nn.Linear(2, 2) for _ in range(20)))
    with pytest.raises(CheckpointError, match=r"34 missing: (\S+, ){7}\S+ and 26 more; 3 unexpected"):
        fit_state(big, net().state_dict(), "x")


def test_half_precision_and_absent_batch_counters_fit():
    model, state = net(), {k: v.half() if v.is_floating_point() else v for k, v in net().state_dict().items()}
    del state["1.num_batches_tracked"]
    fit_state(model, state, "x")
    assert model[0].weight.dtype == torch.float32
    assert torch.allclose(model[0].weight, net()[0].weight, atol=1e-3)
