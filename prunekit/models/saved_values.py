"""How a model opens again as it was: weights, what is in no state dict, and a probe, in files; and folders of earlier versions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from prunekit.errors import CheckpointError
from prunekit.local_code.factories import is_factory
from prunekit.models.checkpoints import fit_state, read_checkpoint
from prunekit.models.layers import channel_layers, weight_of
from prunekit.models.probe import Probe, difference, take
from prunekit.models.rebuilding import apply_widths, resized, settle
from prunekit.models.state import buffers_beside, digest_of, extra_state, tensor_state, tied_names
from prunekit.models.widths import widths
from prunekit.models.wrappers import computed_from, remove_parametrizations
from prunekit.models.zoos import switch, switches

Kept = Mapping[str, Sequence[int]]
Cutter = Callable[[nn.Module, tuple[int, ...], Kept], Mapping[str, Tensor]]

_CUTTERS: list[Cutter] = []


def use_cutter(cutter: Cutter) -> None:
    """Let a function cut: it takes a dense model, the shape of a sample and the outputs that stay in each layer, and returns tensors."""
    _CUTTERS[:] = [cutter]


def cut(dense: nn.Module, shape: tuple[int, ...], kept: Kept) -> Mapping[str, Tensor]:
    """Return those parameters and buffers of a dense model that become smaller, cut; none where nobody can cut."""
    return _CUTTERS[0](dense, shape, kept) if _CUTTERS else {}


RESULT = "result.json"


def read_result(path: str | PathLike[str]) -> dict[str, Any]:
    """Return what was measured when a folder was written; empty where nothing was."""
    try:
        told = json.loads((Path(path).expanduser() / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def kept_in(folder: Path) -> dict[str, tuple[int, ...]] | None:
    """Return the outputs that stay in each layer, as the ``result.json`` of a folder has them; None where it does not say."""
    layers = read_result(folder).get("layers")
    found = {}
    for layer in layers if isinstance(layers, list) else ():
        stay = layer.get("kept") if isinstance(layer, dict) else None
        if isinstance(stay, list) and isinstance(layer.get("name"), str) and all(type(i) is int for i in stay):
            found[layer["name"]] = tuple(stay)
    return found or None


def beside_of(dense: nn.Module, shape: tuple[int, ...] | None, widths: Mapping[str, Any], folder: Path) -> dict[str, Tensor]:
    """Return the buffers outside the state dict whose shape changes, cut from the dense model's."""
    shapes = resized(dense, widths)
    wanted = {name: shapes[name] for name in buffers_beside(dense) if name in shapes}
    kept = kept_in(folder) if wanted and shape is not None and _from_here(dense, folder) else None
    found = {} if kept is None or shape is None else cut(dense, shape, kept)
    missing = [name for name, sides in wanted.items() if name not in found or tuple(found[name].shape) != sides]
    if missing:
        raise CheckpointError(
            f"{folder} was written by an earlier version of prunekit, which did not keep {', '.join(missing)} (buffers with "
            "persistent=False whose shape has changed), and which of their values stay cannot be told: carry its recipe out again with "
            f"`prunekit apply {folder} --out NEW`"
        )
    return {name: found[name] for name in wanted}


def _from_here(dense: nn.Module, folder: Path) -> bool:
    """Return whether what a folder notes of its layers begins at the dense model, and not at one that was pruned before."""
    layers = channel_layers(dense)
    told = [layer for layer in read_result(folder).get("layers", ()) if isinstance(layer, dict)]
    return all(row.get("name") in layers and row.get("shape_before") == list(weight_of(dense, row["name"]).shape) for row in told)


WEIGHTS, BESIDE = "model.safetensors", "beside.safetensors"
VERSION, EARLIER = 2, 1
SAMPLES = "probe:samples"
"""The name, beside buffers, of what a probe was taken on where noise will not do."""


def keep(folder: Path, model: nn.Module, architecture: str, shape: Sequence[int] | None, *, samples: Tensor | None, probed: bool) -> None:
    """Write the values of a model into a folder."""
    told: dict[str, Any] = {"version": VERSION, "architecture": architecture, "widths": widths(model), "extra": extra_state(model)}
    told["switches"] = switches(model)
    probe = take(model, shape, samples=samples, code=code_of(architecture)) if probed else None
    told["probe"] = None if probe is None else probe.to_dict()
    beside, first = {}, dict[str, str]()
    told["beside"] = {}
    for name, buffer in buffers_beside(model).items():  # masks that all layers share are stored once
        told["beside"][name] = first.setdefault(digest_of(buffer), name)
        beside[told["beside"][name]] = buffer
    if probe is not None and probe.kind == "samples" and samples is not None:
        beside[SAMPLES] = samples[: probe.samples]
    told["tied"] = tied_names(model)
    state = {name: tensor for name, tensor in tensor_state(model).items() if name not in told["tied"]}
    save_file(_plain(state), str(folder / WEIGHTS), metadata={"format": "pt", "prunekit": json.dumps(told)})
    (folder / WEIGHTS).chmod(0o644)  # safetensors makes it private
    if beside:
        save_file(_plain(beside), str(folder / BESIDE), metadata={"format": "pt"})
        (folder / BESIDE).chmod(0o644)


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies that share nothing."""
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}


def metadata(folder: Path) -> dict[str, Any]:
    """Return what a weights file says about itself, checked."""
    path = folder / WEIGHTS
    try:
        with safe_open(str(path), framework="pt") as file:
            told = json.loads((file.metadata() or {}).get("prunekit", "null"))
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged or no safetensors file ({error}): write the folder again") from None
    if not isinstance(told, dict) or told.get("version") not in (VERSION, EARLIER):
        raise CheckpointError(
            f"{path} was not written by this version of prunekit: prune again, or pass it as --weights of its architecture"
        )
    if not isinstance(told.get("architecture"), str) or not isinstance(told.get("widths"), dict):
        raise CheckpointError(f"{path} does not say which architecture it is: write the folder again")
    wanted: dict[str, Any] = {"extra": dict, "switches": dict, "beside": dict, "probe": (dict, type(None))}
    if told["version"] == VERSION and not all(key in told and isinstance(told[key], kind) for key, kind in wanted.items()):
        raise CheckpointError(f"{path} does not say what its model answers: write the folder again")
    return told


def restore(model: nn.Module, folder: Path, told: Mapping[str, Any], shape: tuple[int, ...] | None) -> str:
    """Give a freshly built model the values in a folder; return how it is known to answer as the one that was saved, in a sentence."""
    path = folder / WEIGHTS
    state = read_checkpoint(path)
    state |= {name: state[first] for name, first in told.get("tied", {}).items()}
    earlier = told["version"] == EARLIER
    kept = {} if earlier else _kept(folder, told)
    beside = beside_of(model, shape, told["widths"], folder) if earlier else {name: kept[key] for name, key in told["beside"].items()}
    if not computed_from(model) <= state.keys():  # it was made plain before it was pruned
        remove_parametrizations(model)
    switch(model, told.get("switches", {}))
    apply_widths(model, told["widths"], {**beside, **state})
    settle(model, state, beside)
    fit_state(model, state, str(path))
    _tell(model, told.get("extra", {}), str(path))
    if earlier:
        return "not checked: it was written by an earlier version, which noted no answers"
    return "" if told["probe"] is None else _checked(model, Probe.from_dict(told["probe"]), kept.get(SAMPLES), told, folder, shape)


def _kept(folder: Path, told: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return what a folder holds beside the weights, and all that it should."""
    path = folder / BESIDE
    try:
        kept = load_file(str(path)) if path.is_file() else {}
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged or no safetensors file ({error}): write the folder again") from None
    missing = sorted({str(key) for key in told["beside"].values()} - kept.keys())
    if missing:
        raise CheckpointError(f"{folder} has no values for {', '.join(missing[:4])} in {BESIDE}: write the folder again")
    return kept


def _tell(model: nn.Module, extra: Mapping[str, Any], name: str) -> None:
    """Give modules back what they gave by ``get_extra_state``."""
    unknown = extra.keys() - model.state_dict().keys()
    if unknown:
        raise CheckpointError(f"{name} holds a state of {min(unknown)}, which this architecture does not have: its code has changed since")
    try:
        model.load_state_dict(dict(extra), strict=False)
    except Exception as error:  # whatever a module's own set_extra_state makes of it
        raise CheckpointError(f"{name} holds a state that its modules do not take ({type(error).__name__}: {error})") from error


def _checked(  # noqa: PLR0917 (a model, and all that is known of it)
    model: nn.Module, probe: Probe, samples: Tensor | None, told: Mapping[str, Any], folder: Path, shape: tuple[int, ...] | None
) -> str:
    """Compare a model with the one that was saved."""
    architecture = str(told["architecture"])
    differs = difference(model, probe, samples, code_of(architecture), shape)
    if differs:
        raise CheckpointError(
            f"the model in {folder}, built from {architecture}, is not the one that was saved: {differs}. It is not opened"
        )
    if not probe.kind:
        return f"its weights and buffers are those that were saved; its answers were not noted: {probe.why}"
    what = {"samples": "samples of its data", "indices": "indices by seed", "form": "inputs of its own example"}.get(
        probe.kind, "inputs by seed"
    )
    return f"it answers as the model that was saved, on {probe.samples} {what}"


def code_of(architecture: str) -> str:
    """Return what tells the code of the file behind ``file.py:factory``; "" for other names."""
    path = Path(architecture.rpartition(":")[0]).expanduser() if is_factory(architecture) else None
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path is not None and path.is_file() else ""
