"""Values that all visitors share: computed once for each question however many ask, found again in no time.

Streamlit's own caches hash what is asked by walking through it, which for the settings here takes longer than most of a page's other work:
a page asks some thirty times in every run. Here the question is a key of a dictionary, which frozen settings are good for.
"""

from __future__ import annotations

import inspect
import math
import threading
from collections.abc import Callable, Hashable
from contextlib import nullcontext
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

P = ParamSpec("P")
K = TypeVar("K")
R = TypeVar("R")


_NOTHING: Any = object()


class LRU(Generic[K, R]):
    """The latest used values, safe for threads: so many, and so heavy together, but for the latest few whatever they weigh."""

    def __init__(self, most: int, budget: float = math.inf, least: int = 2) -> None:
        self._most, self._budget, self._least = most, budget, least
        self._kept: dict[K, tuple[R, float]] = {}  # the latest used last
        self._lock = threading.Lock()

    def get(self, key: K, otherwise: Any = None) -> R | Any:
        """Return a value, which is the latest used now."""
        with self._lock:
            if key not in self._kept:
                return otherwise
            self._kept[key] = found = self._kept.pop(key)
            return found[0]

    def put(self, key: K, value: R, weight: float = 0.0) -> None:
        """Keep a value, and let the oldest go where there are too many or they are too heavy."""
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = value, weight
            while len(self._kept) > self._most or (
                len(self._kept) > self._least and sum(heavy for _, heavy in self._kept.values()) > self._budget
            ):
                del self._kept[next(iter(self._kept))]

    def clear(self) -> None:
        """Forget all values."""
        with self._lock:
            self._kept.clear()


class Shared(Generic[P, R]):
    """A function whose values are kept and shared: never write to them.

    Its arguments are hashable; those whose names begin with an underscore do not tell values apart.
    """

    def __init__(
        self, function: Callable[P, R], kept: LRU[Hashable, Any], saying: str = "", weigh: Callable[..., float] = lambda *_: 0.0
    ) -> None:
        update_wrapper(self, function)
        self._function, self._kept, self._saying, self._weigh = function, kept, saying, weigh
        self._signature = inspect.signature(function)
        self._told = [i for i, name in enumerate(self._signature.parameters) if not name.startswith("_")]
        self._asked: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()

    def _key(self, *args: P.args, **kwargs: P.kwargs) -> tuple[Hashable, ...]:
        """Return what tells a value from others, behind the function itself."""
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        values = tuple(bound.arguments.values())
        return (self._function, *(values[i] for i in self._told))

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the value: the kept one, or that which somebody else is computing, or a new one."""
        key = self._key(*args, **kwargs)
        found: R = self._kept.get(key, _NOTHING)
        if found is not _NOTHING:
            return found
        with self._lock:
            mine = self._asked.setdefault(key, threading.Lock())
        with mine:
            found = self._kept.get(key, _NOTHING)
            if found is not _NOTHING:
                return found
            try:
                with st.spinner(self._saying) if self._saying and get_script_run_ctx(suppress_warning=True) else nullcontext():
                    value = self._function(*args, **kwargs)
                self._kept.put(key, value, self._weigh(*key[1:]))
            finally:
                with self._lock:
                    self._asked.pop(key, None)
            return value

    def known(self, *args: P.args, **kwargs: P.kwargs) -> R | None:
        """Return the kept value, or None."""
        found: R | None = self._kept.get(self._key(*args, **kwargs))
        return found

    def put(self, value: R, *args: P.args, **kwargs: P.kwargs) -> None:
        """Keep a value that was computed elsewhere."""
        key = self._key(*args, **kwargs)
        self._kept.put(key, value, self._weigh(*key[1:]))

    def clear(self) -> None:
        """Forget all values, also of functions that keep theirs in the same place."""
        self._kept.clear()


def shared(kept: int | LRU[Hashable, Any], saying: str = "", **weights: Any) -> Callable[[Callable[P, R]], Shared[P, R]]:
    """Return a decorator that makes a function :class:`Shared`, its latest values kept: so many, or in a place that exists."""
    return lambda function: Shared(function, LRU(kept) if isinstance(kept, int) else kept, saying, **weights)
