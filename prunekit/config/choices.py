"""What a setting may choose from, and which choices go together: the one table that the core, the command line and the screen share."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol


class _Criterion(Protocol):
    """What a setting has to know of a criterion; `prunekit.criteria.criterion.Criterion` says what else there is."""

    weight: Any
    channel: Any
    needs_data: bool
    random: bool
    carrier: str
    updates: bool
    only: str


# criteria and runtimes stand above, and are asked for by name: their modules declare them without loading torch
_CRITERIA: dict[str, _Criterion] = importlib.import_module("prunekit.criteria.methods").CRITERIA


class Live(Sequence[str]):
    """The names of those criteria for which something holds, as they are now: a plugin may add some."""

    def __init__(self, holds: Callable[[_Criterion], Any]) -> None:
        self._holds = holds

    def _now(self) -> tuple[str, ...]:
        return tuple(name for name, each in _CRITERIA.items() if self._holds(each))

    def __getitem__(self, index: Any) -> Any:
        return self._now()[index]

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (tuple, Live)) and self._now() == tuple(other)

    def __hash__(self) -> int:
        return id(self)


class LiveTitles(Mapping[str, str]):
    """Every criterion's name, under itself."""

    def __getitem__(self, name: str) -> str:
        if name not in _CRITERIA:
            raise KeyError(name)
        return name

    def __iter__(self) -> Iterator[str]:
        return iter(_CRITERIA)

    def __len__(self) -> int:
        return len(_CRITERIA)


WEIGHT_CRITERIA = Live(lambda each: each.weight)
CHANNEL_CRITERIA = Live(lambda each: each.channel)
CRITERIA = Live(lambda each: True)
NEEDS_DATA = Live(lambda each: each.needs_data)
SEEDED = Live(lambda each: each.needs_data or each.random)  # the seed orders images, too
WITH_READERS = Live(lambda each: each.channel and each.carrier == "layer" and not each.random)
MODES = ("unstructured", "nm", "structured")
REDUCTIONS = ("mean", "max", "prod", "first", "sum")
NORMALISERS = ("none", "mean", "max", "sum", "range", "gaussian")
SCOPES = ("global", "uniform", "erk", "row", "isomorphic")
TARGETS = ("channels", "params", "macs", "bytes")
UNITS = ("channels", "heads", "head dimensions", "experts")
ROW_CRITERIA = ("frequency", "norm", "taylor", "both")
RUNTIMES = tuple(importlib.import_module("prunekit.runtimes.backends").RUNTIMES)
DEVICES = ("cpu", "cuda")
SPARSITY, TABLE_ROWS = "sparsity", "rows"
OVER = (SPARSITY, TABLE_ROWS)
"""Which share of a setting a sweep goes over."""
SPLITS = ("train", "validation", "test")
RUN_KINDS = ("dense", "pruned", "recovered", "trained", "quantised", "imported")


DEFAULT_CRITERION = "l1"
"""The criterion of every mode when none is named, or when the one that is named cannot serve: it looks at weights alone."""


def default_scope(mode: str) -> str:
    """Return the scope of a mode when none is named."""
    return "uniform" if mode == "nm" else "global"


def refusal(mode: str, criterion: str, scope: str) -> str | None:
    """Return why three choices do not go together, or None where they do."""
    what, known = ("channels", CHANNEL_CRITERIA) if mode == "structured" else ("single weights", WEIGHT_CRITERIA)
    if criterion not in known:
        why = f": {_CRITERIA[criterion].only}" if _CRITERIA[criterion].only else ""
        return f"criterion {criterion!r} does not score {what}{why}. Choose one of {', '.join(known)}"
    if mode == "nm" and scope != "uniform":
        return f"scope {scope!r} does not go with mode 'nm': the pattern sets the share of every layer. Leave the scope out"
    if mode == "structured" and scope == "row":
        return "scope 'row' does not go with mode 'structured': within a row only single weights are compared. Choose global or uniform"
    if mode != "structured" and scope == "isomorphic":
        return "scope 'isomorphic' belongs to mode 'structured': what is built alike are coupled groups of channels. Choose another scope"
    if mode == "structured" and scope == "erk":
        return (
            "scope 'erk' does not go with mode 'structured': it shares out single weights by the shape of one layer, and channels "
            "are coupled over several layers. Choose global or uniform"
        )
    return None


def criteria_of(mode: str) -> Sequence[str]:
    """Return the criteria that a mode offers."""
    return CHANNEL_CRITERIA if mode == "structured" else WEIGHT_CRITERIA


def drawn_criteria_of(mode: str) -> tuple[str, ...]:
    """Return the criteria whose scores alone decide the mask, so that pages can draw it: none that updates kept weights."""
    return tuple(name for name in criteria_of(mode) if not _CRITERIA[name].updates)


def scopes_of(mode: str) -> tuple[str, ...]:
    """Return the scopes that a mode offers; the same for all its criteria."""
    return tuple(scope for scope in SCOPES if refusal(mode, DEFAULT_CRITERION, scope) is None)
