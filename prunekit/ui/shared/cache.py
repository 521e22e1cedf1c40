"""Values that all visitors share: computed once for each question however many ask, found again in no time.

Streamlit's own caches hash what is asked by walking through it, which for the settings here takes longer than most of a page's other work:
a page asks some thirty times in every run. Here the question is a key of a dictionary, which frozen settings are good for.
"""

from __future__ import annotations

import inspect
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import nullcontext
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

P = ParamSpec("P")
R = TypeVar("R")


class Shared(Generic[P, R]):
    """A function whose values are kept and shared: never write to them.

    Parameters
    ----------
    function : callable
        Its arguments are hashable; those whose names begin with an underscore do not tell values apart.
    most : int
        So many values are kept, the latest used.
    saying : str
        What a visitor reads meanwhile; nothing where it is quick.
    weigh : callable, optional
        From the arguments to what a value weighs.
    budget : float
        Values that together weigh more are not kept, but for the latest two.
    """

    def __init__(
        self, function: Callable[P, R], most: int, saying: str = "", weigh: Callable[..., float] | None = None, budget: float = 0.0
    ) -> None:
        update_wrapper(self, function)
        self._function, self._most, self._saying = function, most, saying
        self._weigh, self._budget = weigh, budget
        self._signature = inspect.signature(function)
        self._told = [i for i, name in enumerate(self._signature.parameters) if not name.startswith("_")]
        self._kept: OrderedDict[Hashable, tuple[R, float]] = OrderedDict()
        self._asked: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the value: the kept one, or that which somebody else is computing, or a new one."""
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        values = tuple(bound.arguments.values())
        key = tuple(values[i] for i in self._told)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key][0]
            mine = self._asked.setdefault(key, threading.Lock())
        with mine:
            with self._lock:
                if key in self._kept:
                    return self._kept[key][0]
            try:
                with st.spinner(self._saying) if self._saying and get_script_run_ctx(suppress_warning=True) else nullcontext():
                    value = self._function(*args, **kwargs)
                self._keep(key, value, 0.0 if self._weigh is None else self._weigh(*key))
            finally:
                with self._lock:
                    self._asked.pop(key, None)
            return value

    def _keep(self, key: Hashable, value: R, weight: float) -> None:
        """Keep a value, and let the oldest go where there are too many."""
        with self._lock:
            self._kept[key] = value, weight
            while len(self._kept) > self._most or (len(self._kept) > 2 and sum(w for _, w in self._kept.values()) > self._budget > 0):
                self._kept.popitem(last=False)

    def clear(self) -> None:
        """Forget all values."""
        with self._lock:
            self._kept.clear()


def shared(most: int, saying: str = "", **weights: Any) -> Callable[[Callable[P, R]], Shared[P, R]]:
    """Return a decorator that makes a function :class:`Shared`."""
    return lambda function: Shared(function, most, saying, **weights)
