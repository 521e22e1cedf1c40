"""Checks of single fields of a setting: each returns the one canonical form, or says which field is wrong and what is allowed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from numbers import Real
from typing import Any, cast

from prunekit.config.choices import UNITS
from prunekit.errors import SpecError, one_of

Shares = tuple[tuple[str, float], ...]


def number(field: str, value: object) -> float:
    """Return ``value`` as a finite float or say which field is wrong."""
    try:
        found = math.nan if isinstance(value, bool) or not isinstance(value, Real) else float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise SpecError(f"{field} must be a finite number; got {value!r}")
    return found


def fraction(field: str, value: object) -> float:
    """Return ``value`` as a fraction in [0, 1)."""
    found = number(field, value)
    if not 0 <= found < 1:
        raise SpecError(f"{field} must be at least 0 and below 1 (the share that is removed); got {value!r}")
    return found


def cap(field: str, value: object) -> float:
    """Return ``value`` as the largest share that may go, in [0, 1]."""
    found = number(field, value)
    if not 0 <= found <= 1:
        raise SpecError(f"{field} must be from 0 to 1 (the largest share that may be removed); got {value!r}")
    return found


def whole(field: str, value: object, low: int) -> int:
    """Return ``value`` as a whole number of at least ``low``, below 2 ** 63."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value < 2**63:
        raise SpecError(f"{field} must be an integer of at least {low}; got {value!r}")
    return value


def shares(field: str, value: object, check: Any) -> Shares:
    """Return a share for each of some layers as sorted pairs; a mapping or pairs are accepted.

    Parameters
    ----------
    field : str
        Name of the field.
    value : object
        What was given.
    check : callable
        Takes a field's name and a share, and returns it as a float or raises.
    """
    try:
        pairs = list(value.items()) if isinstance(value, Mapping) else [(n, s) for n, s in cast(Any, value)]
    except (TypeError, ValueError):
        raise SpecError(f"{field} must map layer names to sparsities, as in {{'conv1': 0.3}}; got {value!r}") from None
    for name, _ in pairs:
        if not isinstance(name, str) or not name:
            raise SpecError(f"{field} must be keyed by layer name; got {name!r}")
    names = [name for name, _ in pairs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SpecError(f"{field} name {', '.join(twice)} more than once; give each layer one sparsity")
    return tuple(sorted((name, check(f"{field}[{name}]", share)) for name, share in pairs))


def layers(value: object) -> tuple[str, ...] | None:
    """Return layer names as a tuple without repeats, or None for the default choice."""
    return names("layers", "layer", value)


def names(field: str, what: str, value: object) -> tuple[str, ...] | None:
    """Return names of modules as a tuple without repeats, or None for the default choice.

    Parameters
    ----------
    field, what : str
        Name of the field, and of one such module in words.
    value : object
        What was given.
    """
    if value is None:
        return None
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        raise SpecError(f"{field} must be a list of {what} names, or left out for the default choice; got {value!r}")
    given = list(cast(Any, value))
    for name in given:
        if not isinstance(name, str) or not name:
            raise SpecError(f"{field} must hold {what} names; got {name!r}")
    found = tuple(dict.fromkeys(given))
    if not found:
        raise SpecError(f"{field} is empty: name at least one {what}, or leave it out for the default choice")
    return found


def units(value: object) -> tuple[str, ...] | None:
    """Return kinds of units in their usual order, or None for all of them."""
    found = names("units", "unit", value)
    for name in found or ():
        one_of("units", name, UNITS)
    return None if found is None or set(found) == set(UNITS) else tuple(name for name in UNITS if name in found)


def pattern(value: object) -> tuple[int, int]:
    """Return N and M of a pattern such as ``"2:4"``: N of every M weights stay, 0 < N < M."""
    match = re.fullmatch(r"\s*(\d{1,4})\s*:\s*(\d{1,4})\s*", value) if isinstance(value, str) else None
    n, m = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 0 < n < m:
        raise SpecError(f"pattern must be N:M with 0 < N < M, as in 2:4 (2 of every 4 weights stay); got {value!r}")
    return n, m


def known_keys(what: str, values: object, known: list[str]) -> None:
    """Raise unless ``values`` is a mapping with known keys only."""
    if not isinstance(values, Mapping):
        raise SpecError(f"{what} must be a mapping with the keys {', '.join(known)}; got {type(values).__name__}")
    unknown = [str(key) for key in values if key not in known]
    if unknown:
        raise SpecError(f"{what} has unknown keys: {', '.join(unknown)}; known are {', '.join(known)}")


def shape(field: str, value: object) -> tuple[int, ...]:
    """Return ``value`` as the shape of one sample: one to eight whole numbers of at least 1."""
    sides = () if isinstance(value, str) or not hasattr(value, "__iter__") else tuple(cast(Any, value))
    good = all(isinstance(side, int) and not isinstance(side, bool) and 0 < side < 2**20 for side in sides)
    if not good or not 0 < len(sides) <= 8:
        raise SpecError(f"{field} must be the shape of one sample, as in [3, 64, 64]; got {value!r}")
    return sides
