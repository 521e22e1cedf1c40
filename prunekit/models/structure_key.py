"""What was found of a model is remembered for as long as the model is like it was."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import nn

PLAIN = {int, float, bool, str}
KINDS = {*PLAIN, tuple}
REMEMBERED = 8  # for one model: more come of a counter that forward() keeps in an attribute

Found = TypeVar("Found")
Cache = WeakKeyDictionary[nn.Module, dict[Hashable, Found]]


def likeness(model: nn.Module) -> Hashable:
    """Return what tells a model from itself after a change: names and shapes of parameters, classes and plain attributes of modules.

    Parameters
    ----------
    model : nn.Module
        Any model; its weights' values do not count.
    """
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
    """Return what is known of a model under a key; found now where it is not, and the oldest forgotten where it is too much.

    Parameters
    ----------
    cache : WeakKeyDictionary
        Forgets a model with the model.
    model : nn.Module
        Which one.
    key : hashable
        Holds the model's likeness.
    find : callable
        Finds it.
    """
    known = cache.setdefault(model, {})
    if key not in known:
        new = find()
        while len(known) >= REMEMBERED:
            del known[next(iter(known))]
        known[key] = new
    return known[key]
