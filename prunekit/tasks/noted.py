"""What is noted of a model: what its factory, card or file says of its inputs and its task, wherever the model is copied to."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from torch import nn


_NOTED: WeakKeyDictionary[nn.Module, object] = WeakKeyDictionary()
_LOCK = threading.Lock()
CARRIED = "_prunekit_told"


class _Carried:
    """What a model's factory says of its task, where copies of the model find it too."""

    def __init__(self, known: object = None) -> None:
        self.known = known

    def __deepcopy__(self, memo: dict[int, object]) -> _Carried:
        return self

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return _Carried, ()  # a user's task need not be such as can be pickled


def note(model: nn.Module, known: object) -> None:
    """Keep what whoever loaded a model knows of it, as attributes: ``input_shape``, ``example``, ``task``, ``card``, ``code``."""
    with _LOCK:
        _NOTED[model] = known
    if any(getattr(known, name, None) is not None for name in ("task", "example", "tokeniser")):
        model.__dict__[CARRIED] = _Carried(known)


def told(model: nn.Module, attribute: str) -> Any:
    """Return what was noted of a model, or of the one that it is a copy of, or what it says of itself; None where nobody says anything."""
    with _LOCK:
        noted = getattr(_NOTED.get(model), attribute, None)
    if noted is None and CARRIED in model.__dict__:
        noted = getattr(model.__dict__[CARRIED].known, attribute, None)
    own = getattr(model, attribute, None)  # a module may use the name for a layer or a method
    return noted if noted is not None else None if callable(own) else own
