"""A model's state: the tensors of its state dict, the buffers outside it, what modules tell by ``get_extra_state``; and its hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from prunekit.errors import ModelError

PLAIN = {int, float, bool, str}
KINDS = {*PLAIN, tuple}
REMEMBERED = 8  # for one model: more come of a counter that forward() keeps in an attribute

Found = TypeVar("Found")
Cache = WeakKeyDictionary[nn.Module, dict[Hashable, Found]]


def likeness(model: nn.Module) -> Hashable:
    """Return what tells a model from itself after a change: names and shapes of parameters, classes and plain attributes of modules."""
    left, seen, found = [model], set[int](), list[tuple[object, ...]]()
    while left:  # as ``modules()`` does, which takes three times as long
        module = left.pop()
        if id(module) not in seen:
            seen.add(id(module))
            if isinstance(module, torch.jit.ScriptModule):  # a program: its tables are no dicts
                found.append((type(module), *((name, tuple(p.shape)) for name, p in module.named_parameters())))
                continue
            found.append(_settings(module))
            left += [child for child in module._modules.values() if child is not None]
    return tuple(found)


def _settings(module: nn.Module) -> tuple[object, ...]:
    """Return a module's class, its children's names, its parameters' names and shapes, and plain attributes, such as its stride."""
    shapes = [(name, None if p is None else tuple(p.shape)) for name, p in module._parameters.items()]
    plain = [entry for entry in vars(module).items() if type(entry[1]) in KINDS and entry[0] != "training"]
    return (
        type(module),
        *module._modules,
        *shapes,
        *(e for e in plain if type(e[1]) is not tuple or all(type(part) in PLAIN for part in e[1])),
    )


def remembered(cache: Cache[Found], model: nn.Module, key: Hashable, find: Callable[[], Found]) -> Found:
    """Return what is known of a model under a key; found now where it is not, and the oldest forgotten where it is too much."""
    known = cache.setdefault(model, {})
    if key not in known:
        new = find()
        while len(known) >= REMEMBERED:
            del known[next(iter(known))]
        known[key] = new
    return known[key]


DIGITS = 16  # of a sha256: enough to tell a changed tensor, which nobody makes up for its digest


def tensor_state(model: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a state dict, by name; what ``get_extra_state`` gives is left to `extra_state`, unless it is a tensor."""
    return {name: value.detach() for name, value in model.state_dict().items() if isinstance(value, Tensor)}


def tied_names(model: nn.Module) -> dict[str, str]:
    """Return the names in a state dict under which a tensor stands once more, each with the first one; a file holds it once."""
    first: dict[int, str] = {}
    found = {
        name: first.setdefault(id(value), name) for name, value in model.state_dict(keep_vars=True).items() if isinstance(value, Tensor)
    }
    return {name: at for name, at in found.items() if name != at}


def extra_state(model: nn.Module) -> dict[str, Any]:
    """Return what modules give by ``get_extra_state``, by name in the state dict: plain values alone."""
    found = {name: value for name, value in model.state_dict().items() if not isinstance(value, Tensor)}
    for name, value in found.items():
        if not _plain(value):
            where = name.removesuffix("_extra_state").rstrip(".") or "the model itself"
            raise ModelError(
                f"{where} keeps a {type(value).__name__} by get_extra_state, and a weights file holds tensors and plain values: let it "
                "return a tensor, or numbers, texts, lists and dicts with texts as keys"
            )
    return found


def _plain(value: object) -> bool:
    """Return whether a value is the same after a way through JSON."""
    try:
        return _same(json.loads(json.dumps(value, allow_nan=False)), value)
    except (TypeError, ValueError, RecursionError):
        return False


def _same(one: object, other: object) -> bool:
    """Return whether two values are equal, their types too: a tuple is no list, and True is not 1."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return one == other


def buffers_beside(model: nn.Module) -> dict[str, Tensor]:
    """Return the buffers that are in no state dict (``persistent=False``), by name; one with two names stands under both."""
    stored = model.state_dict().keys()
    return {name: buffer for name, buffer in model.named_buffers(remove_duplicate=False) if name not in stored}


def digest_of(tensor: Tensor) -> str:
    """Return what tells a tensor from every other one: hexadecimal digits over type, shape and bytes."""
    plain = tensor.detach().cpu().contiguous()
    hashed = hashlib.sha256(f"{plain.dtype}|{tuple(plain.shape)}|".encode())
    hashed.update(plain.reshape(-1).view(torch.uint8).numpy().data if plain.numel() else b"")
    return hashed.hexdigest()[:DIGITS]


def digests(model: nn.Module) -> dict[str, str]:
    """Return the digest of every tensor of a model, parameters and buffers, also those outside its state dict."""
    return {name: digest_of(tensor) for name, tensor in (*tensor_state(model).items(), *buffers_beside(model).items())}


def state_hash(model: nn.Module) -> str:
    """Return the sha256 of names, shapes, types and bytes of everything in the state dict.

    Parameters
    ----------
    model : nn.Module
        Any model on any device.

    Returns
    -------
    str
        64 hexadecimal digits; equal exactly when every parameter and buffer is bit for bit equal, and what ``get_extra_state`` gives.

    Raises
    ------
    ModelError
        If a module gives something by ``get_extra_state`` that cannot be written down.
    """
    return fingerprint(tensor_state(model), extra_state(model))


def fingerprint(state: Mapping[str, Tensor], told: Mapping[str, Any] | None = None) -> str:
    """Return the sha256 of names, shapes, types and bytes of tensors, and of plain values beside them."""
    digest = hashlib.sha256()
    for name, value in state.items():
        tensor = value.detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    for name, plain in (told or {}).items():
        digest.update(f"{name}|{json.dumps(plain, sort_keys=True)}|".encode())
    return digest.hexdigest()
