"""Kinds of work that a row of the store describes, so that another process can take them up."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from prunekit.errors import PrunekitError
from prunekit.experiments.jobs.job import Job

Kind = Callable[[dict[str, Any], Job], Any]

KINDS: dict[str, Kind] = {}
"""Name -> function that gets the plain request and its job (progress, partial results, cancel, store) and returns the result."""

MODULE = "prunekit.experiments.jobs.work"
"""Registers the kinds when it is imported."""


def kind(name: str) -> Callable[[Kind], Kind]:
    """Register a function as a kind of work.

    Parameters
    ----------
    name : str
        As it stands in the store; never changed once it was released.
    """

    def register(function: Kind) -> Kind:
        KINDS[name] = function
        return function

    return register


def work_of(name: str) -> Kind:
    """Return the function of a kind."""
    if name not in KINDS:
        importlib.import_module(MODULE)
    if name not in KINDS:
        raise PrunekitError(f"there is no work of the kind {name!r}: it is one of {', '.join(sorted(KINDS))}")
    return KINDS[name]
