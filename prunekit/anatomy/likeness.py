"""What was found of a model is remembered for as long as the model is like it was."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar
from weakref import WeakKeyDictionary

from torch import nn

PLAIN = {int, float, bool, str}
REMEMBERED = 8  # for one model: more come of a counter that forward() keeps in an attribute

Found = TypeVar("Found")
Cache = WeakKeyDictionary[nn.Module, dict[Hashable, Found]]


def likeness(model: nn.Module) -> Hashable:
    """Return what tells a model from itself after a change: shapes of its tensors, classes and plain attributes of its modules.

    Parameters
    ----------
    model : nn.Module
        Any model; its weights' values do not count.
    """
    return tuple(tuple(p.shape) for p in model.parameters()), tuple(map(_settings, model.modules()))


def _settings(module: nn.Module) -> tuple[object, ...]:
    """Return a module's class and plain attributes, such as its stride."""
    plain = ((name, value) for name, value in vars(module).items() if name != "training" and _is_plain(value))
    return type(module), *plain


def _is_plain(value: object) -> bool:
    """Return whether an attribute is a number, a word, or a tuple of these."""
    return type(value) in PLAIN or (type(value) is tuple and all(type(part) in PLAIN for part in value))


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
