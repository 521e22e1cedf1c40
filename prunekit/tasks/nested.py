"""Nested containers of tensors, as models take and return them: every tensor by its path, and copies with tensors changed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor


def parts_of(tree: Any) -> Iterable[tuple[Any, Any]]:
    """Return what a mapping, named tuple, dataclass, list or tuple holds, by name or index; nothing for any other object."""
    if isinstance(tree, Mapping):
        return tree.items()
    if is_dataclass(tree) and not isinstance(tree, type):
        return [(field.name, getattr(tree, field.name)) for field in fields(tree)]
    if isinstance(tree, (list, tuple)):
        return zip(getattr(tree, "_fields", range(len(tree))), tree, strict=True)
    return ()


Parts = Callable[[Any], Iterable[tuple[Any, Any]]]


def named_tensors(tree: Any, name: str, parts: Parts = parts_of) -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor with its dotted path, such as ``logits`` or ``hidden.0``; a tensor alone is called ``name``."""
    yield from _below(tree, "", name, parts, frozenset())


def _below(tree: Any, path: str, alone: str, parts: Parts, above: frozenset[int]) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors under a path; what holds itself is entered once."""
    if isinstance(tree, Tensor):
        yield path or alone, tree
    elif id(tree) not in above:
        for key, part in parts(tree):
            yield from _below(part, f"{path}.{key}" if path else str(key), alone, parts, above | {id(tree)})


def map_tensors(change: Callable[[Tensor], Any], tree: Any) -> Any:
    """Return a copy whose tensors are changed; containers keep their class, and everything else is passed on as it is."""
    return change(tree) if isinstance(tree, Tensor) else rebuilt(tree, lambda part: map_tensors(change, part))


def rebuilt(tree: Any, change: Callable[[Any], Any]) -> Any:
    """Return a container of the same class whose parts are changed; what is no container is returned itself."""
    if isinstance(tree, Mapping):
        made: Any = copy.copy(tree) if isinstance(tree, MutableMapping) else dict(tree)
        made.update({key: change(part) for key, part in tree.items()})
        return made
    if is_dataclass(tree) and not isinstance(tree, type):
        made = copy.copy(tree)
        for field in fields(tree):
            object.__setattr__(made, field.name, change(getattr(tree, field.name)))  # frozen ones too
        return made
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(change(part) for part in tree))
    return type(tree)(change(part) for part in tree) if isinstance(tree, (list, tuple)) else tree
