"""Reading a weights file without running anything in it, and fitting it to an architecture."""

from __future__ import annotations

import argparse
import io
import pickle
import re
import threading
import warnings
import zipfile
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from prunekit.errors import CheckpointError

State = dict[str, Tensor]

NESTED = (
    *("state_dict", "state_dict_ema", "model_ema", "ema_state_dict", "ema", "model_state_dict", "model_state", "model", "net", "network"),
    *("weights", "params"),
)
PREFIXES = ("module.", "_orig_mod.")
# what training code puts before a model's names, where they fit without
WRAPPERS = (*PREFIXES, "model.", "net.", "network.", "backbone.", "ema.", "ema_model.", "model_ema.", "encoder.", "student.")
SHOWN = 8
SAVE = "save it with safetensors.torch.save_file(model.state_dict(), ...) or torch.save(model.state_dict(), ...)"


# what training scripts leave beside the weights (an accuracy as a numpy number, their options) and what cannot run anything
_SCALAR: Any = np.float64(0).__reduce__()[0]
_KINDS = ("float64", "float32", "float16", "int64", "int32", "uint8", "bool")
INERT: list[Any] = [
    argparse.Namespace,
    _SCALAR,
    (_SCALAR, "numpy.core.multiarray.scalar"),  # as numpy 1 wrote it
    np.dtype,
    *(type(np.dtype(kind)) for kind in _KINDS),
]
_LOCK = threading.Lock()  # torch holds the list of what may be read for all threads


def read_checkpoint(source: str | Path | bytes, filename: str | None = None) -> State:
    """Return the tensors of a weights file, by name.

    What the file is gets read from its bytes, not from its name. Nothing in it is run: safetensors holds tensors alone, and
    PyTorch files are read with ``weights_only=True``.

    Parameters
    ----------
    source : str, Path or bytes
        The file, or what is in it.
    filename : str, optional
        What to call it in errors; the path's last part by default.

    Returns
    -------
    dict of str to Tensor
        The state, out of ``state_dict`` or ``model`` where it is nested, without the prefix that DataParallel or
        ``torch.compile`` adds, masks of ``torch.nn.utils.prune`` applied.

    Raises
    ------
    CheckpointError
        If the file is missing, empty, damaged, unsafe, of another kind, or has NaN or infinite weights.
    """
    name = filename or ("the upload" if isinstance(source, bytes) else Path(source).name)
    payload = source if isinstance(source, bytes) else _bytes(Path(source))
    if not payload:
        raise CheckpointError(f"{name} is empty: choose the weights file again")
    state = _plain(_fold_masks(_without_prefix(_find(_parse(payload, name), name))), name, len(payload))
    for key, tensor in state.items():
        if (tensor.is_floating_point() or tensor.is_complex()) and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"{name} has NaN or infinite values in {key}: its training diverged; use an earlier file")
    return state


def _bytes(path: Path) -> bytes:
    """Return what is in a file."""
    path = path.expanduser()
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder: name the weights file in it")
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise CheckpointError(f"there is no weights file {str(path)!r} (looked in {Path.cwd()}): check the path") from None
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from None


def _parse(payload: bytes, name: str) -> Any:
    """Return what the file holds, by its first bytes."""
    if len(payload) > 9 and payload[8:9] == b"{" and int.from_bytes(payload[:8], "little") < 2**32:
        try:
            return load_safetensors(payload)
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"{name} is a damaged safetensors file ({_line(error)}): copy or download it again") from None
    if payload[:4] == b"PK\x03\x04":
        _check_zip(payload, name)
        return _torch_load(payload, name)
    if payload[:1] == b"\x80":
        return _torch_load(payload, name)
    raise CheckpointError(f"{name} is not a weights file that prunekit reads (safetensors, .pt, .pth or .th), or is damaged: {SAVE}")


def _check_zip(payload: bytes, name: str) -> None:
    """Refuse archives that are damaged, hold a program, or were not written by ``torch.save``."""
    try:
        with zipfile.ZipFile(io.BytesIO(payload)) as archive:
            entries = archive.infolist()
            broken = archive.testzip() if all(e.compress_type == zipfile.ZIP_STORED for e in entries) else None
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError) as error:
        raise CheckpointError(f"{name} is cut short or damaged ({_line(error)}): copy or download it again") from None
    names = [entry.filename.partition("/")[2] for entry in entries]
    if "constants.pkl" in names or any(n.startswith("code/") for n in names):
        raise CheckpointError(f"{name} is a TorchScript archive, which holds a program: {SAVE}")
    if "data.pkl" not in names or any(e.compress_type != zipfile.ZIP_STORED for e in entries):
        raise CheckpointError(f"{name} is a zip archive but no PyTorch weights file: {SAVE}")
    if broken is not None:
        raise CheckpointError(f"{name} is damaged (checksum of {broken}): copy or download it again")


def _torch_load(payload: bytes, name: str) -> Any:
    """Return the content of a PyTorch file; a pickle that would call anything is refused unread."""
    try:
        with _LOCK, warnings.catch_warnings(), torch.serialization.safe_globals(INERT):
            warnings.simplefilter("ignore")
            return torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        culprit = re.search(r"GLOBAL ([\w.]+)|(?:global|class|function) ([\w.]+\.[\w.]+)", str(error))
        if culprit is None:
            raise CheckpointError(f"{name} is cut short, damaged or no weights file: copy it again, or {SAVE}") from None
        what = culprit.group(1) or culprit.group(2)
        raise CheckpointError(f"{name} holds more than tensors ({what}), which could run code, so it is not read: {SAVE}") from None
    except Exception as error:  # whatever a damaged file makes the reader trip over
        raise CheckpointError(f"{name} is cut short or damaged ({_line(error)}): copy or download it again") from None


def _find(content: Any, name: str, depth: int = 0) -> State:
    """Return the state in what was read: the mapping itself, or one that it holds under a usual name."""
    if isinstance(content, Mapping) and depth < 4:
        if content and all(isinstance(k, str) and (isinstance(v, Tensor) or k.endswith("_extra_state")) for k, v in content.items()):
            return {key: value for key, value in content.items() if isinstance(value, Tensor)}
        for key in NESTED:
            if isinstance(content.get(key), Mapping):
                return _find(content[key], name, depth + 1)
    if isinstance(content, Mapping):
        keys = ", ".join(str(key) for key in list(content)[:SHOWN]) or "none"
        raise CheckpointError(f"{name} holds no state_dict (its keys: {keys}): {SAVE}")
    raise CheckpointError(f"{name} holds no state_dict but a {type(content).__name__}: {SAVE}")


def _without_prefix(state: State) -> State:
    """Return the state without prefixes that wrappers put before every name."""
    for _ in range(4):
        prefix = next((p for p in PREFIXES if state and all(key.startswith(p) for key in state)), None)
        if prefix is None:
            break
        state = {key[len(prefix) :]: value for key, value in state.items()}
    return state


def _fold_masks(state: State) -> State:
    """Return the state with ``weight_orig`` and ``weight_mask`` of ``torch.nn.utils.prune`` made one ``weight``."""
    folded = dict(state)
    for key in state:
        stem = key.removesuffix("_orig")
        if stem != key and f"{stem}_mask" in state and stem not in state and state[key].shape == state[f"{stem}_mask"].shape:
            folded[stem] = folded.pop(key) * folded.pop(f"{stem}_mask").to(state[key].dtype)
    return folded


def _plain(state: State, name: str, nbytes: int) -> State:
    """Return detached dense tensors; refuse other layouts and tensors that claim more than the file holds."""
    for key, tensor in state.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
            raise CheckpointError(f"{name}: {key} is not a plain dense tensor: save it with .to_dense() or .dequantize()")
        if tensor.numel() * tensor.element_size() > nbytes:
            raise CheckpointError(f"{name}: {key} claims to be larger than the file: it is damaged or made to do harm")
    return {key: tensor.detach() for key, tensor in state.items()}


def fit_state(model: nn.Module, state: State, name: str) -> None:
    """Load ``state`` into ``model``, every tensor of it, or say all that does not fit.

    ``model``: changed in place, only if everything fits.
    """
    own = {key: value for key, value in model.state_dict().items() if isinstance(value, Tensor)}
    state = _renamed(state, own, name)
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = sorted(key for key in state if key not in own)
    both = [(key, tuple(state[key].shape), tuple(own[key].shape)) for key in own if key in state]
    shapes = [f"{key} {there} instead of {here}" for key, there, here in both if there != here]
    types = [
        f"{key} {state[key].dtype} instead of {own[key].dtype}"
        for key in own
        if key in state and state[key].is_floating_point() != own[key].is_floating_point()
    ]
    problems = [("missing", missing), ("unexpected", unexpected), ("of another shape", shapes), ("of another type", types)]
    told = [f"{len(keys)} {what}: {_some(keys)}" for what, keys in problems if keys]
    near = next(((key, found[0]) for key in missing[:SHOWN] if (found := get_close_matches(key, unexpected, 1))), None)
    told += [f"nearest to {near[0]} is {near[1]}"] if near else []
    if told:
        raise CheckpointError(f"{name} does not fit this architecture; {'; '.join(told)}")
    model.load_state_dict(state, strict=False)


def _renamed(state: State, own: Mapping[str, Tensor], name: str) -> State:
    """Return a state with the model's names, where something stands before all of them, or before all of the model's.

    Any such name will do where one alone holds all that the model has; of several those that training code puts there go first.
    """
    needed = [key for key in own if not key.endswith("num_batches_tracked")]
    outer = ""  # what stands before all of the model's own names
    while needed and not all(key in state for key in needed):
        probe = needed[0]
        fits = [
            found
            for found in sorted(key.removesuffix(probe) for key in state if key.endswith(f".{probe}"))
            if all(f"{found}{key}" in state for key in needed)
        ]
        if fits:
            ranks = {found: [_rank(part) for part in found.split(".")[:-1]] for found in fits}
            best = [found for found in fits if ranks[found] == min(ranks.values())]
            if len(best) > 1:
                raise CheckpointError(f"{name} holds this architecture as {' and as '.join(best)}: save the state of the one that is meant")
            return {f"{outer}{key.removeprefix(best[0])}": value for key, value in state.items() if key.startswith(best[0])}
        first = probe[: probe.find(".") + 1]
        if not first or not all(key.startswith(first) for key in needed):
            return state
        outer, needed = outer + first, [key.removeprefix(first) for key in needed]
    return {f"{outer}{key}": value for key, value in state.items()} if outer else state


def _rank(part: str) -> int:
    """Return how early one part of a prefix is looked for."""
    return WRAPPERS.index(f"{part}.") if f"{part}." in WRAPPERS else len(WRAPPERS)


def _some(keys: list[str]) -> str:
    """Return the first few keys and how many more there are."""
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return ", ".join(keys[:SHOWN]) + more


def _line(error: BaseException) -> str:
    """Return the first line of an error, cut to a readable length."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 120 else text[:117] + "..."
