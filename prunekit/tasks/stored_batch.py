"""Inputs of any nest in a safetensors file: the tensors by number, and beside them how they are nested, as JSON. Nothing in it is run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from prunekit.errors import DataError
from prunekit.tasks.batch import Batch, PerSample

NEST = "nest"
MOST_DEEP = 32


def flattened(batch: Batch, prefix: str = "") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of a batch's inputs by number, and their nest as plain values."""
    tensors: dict[str, Tensor] = {}
    args, kwargs = ([_plain(each, tensors, prefix) for each in parts] for parts in (batch.args, batch.kwargs.values()))
    return tensors, {"args": args, "kwargs": dict(zip(batch.kwargs, kwargs, strict=True)), "samples": batch.samples}


def nested(tensors: Mapping[str, Tensor], nest: Any) -> Batch:
    """Return the batch of which `flattened` made these."""
    try:
        args = tuple(_grown(each, tensors, 0) for each in nest["args"])
        kwargs = {str(name): _grown(each, tensors, 0) for name, each in nest["kwargs"].items()}
        samples = int(nest["samples"])
        assert 0 < samples < 2**31
        return Batch(args, kwargs, None, samples)
    except (AssertionError, KeyError, TypeError, ValueError, AttributeError, IndexError):
        raise DataError("these inputs are damaged: write them again") from None


def write(batch: Batch, path: Path) -> None:
    """Write the inputs of a batch into a file."""
    tensors, nest = flattened(batch)
    save_file({name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}, str(path), {NEST: json.dumps(nest)})


def read(path: Path) -> Batch:
    """Read what `write` wrote."""
    try:
        with safe_open(str(path), framework="pt") as file:
            nest = json.loads((file.metadata() or {})[NEST])
            return nested({name: file.get_tensor(name) for name in file.keys()}, nest)  # noqa: SIM118 (it is no mapping)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise DataError(f"{path.name} is damaged ({' '.join(str(error).split())[:120]}): write it again") from None


def _plain(tree: Any, tensors: dict[str, Tensor], prefix: str) -> Any:
    """Return a nest as plain values; its tensors are put aside."""

    def below(part: Any) -> Any:
        return _plain(part, tensors, prefix)

    if isinstance(tree, Tensor):
        name = f"{prefix}{len(tensors)}"
        tensors[name] = tree
        return {"tensor": name}
    if isinstance(tree, Mapping) and all(isinstance(key, str) for key in tree):
        return {"dict": {key: below(part) for key, part in tree.items()}}
    for kind, name in ((PerSample, "each"), (list, "list"), (tuple, "tuple")):
        if isinstance(tree, kind) and not hasattr(tree, "_fields"):
            return {name: [below(part) for part in tree]}
    if tree is None or isinstance(tree, (bool, int, float, str)):
        return {"value": tree}
    raise DataError(
        f"inputs that hold a {type(tree).__name__} cannot be kept in a file: only tensors, tuples, lists, dicts and plain values can"
    )


def _grown(plain: Any, tensors: Mapping[str, Tensor], depth: int) -> Any:
    """Return the nest of plain values."""
    assert depth < MOST_DEEP
    ((kind, held),) = plain.items()
    if kind == "tensor":
        return tensors[held]
    if kind == "dict":
        return {str(key): _grown(part, tensors, depth + 1) for key, part in held.items()}
    if kind == "value":
        assert held is None or isinstance(held, (bool, int, float, str))
        return held
    made: Callable[[Any], Any] = {"each": PerSample, "list": list, "tuple": tuple}[kind]
    return made(_grown(part, tensors, depth + 1) for part in held)
