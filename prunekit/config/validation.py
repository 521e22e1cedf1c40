"""Checks of single fields of a setting: each returns the one canonical form, or says which field is wrong and what is allowed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from numbers import Real
from typing import Any, cast

from prunekit.errors import SpecError, named


def number(field: str, value: object) -> float:
    """Return ``value`` as a finite float or say which field is wrong."""
    try:
        found = math.nan if isinstance(value, bool) or not isinstance(value, Real) else float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise SpecError(f"{named(field)} must be a finite number; got {value!r}")
    return found


def whole(field: str, value: object, low: int) -> int:
    """Return ``value`` as a whole number of at least ``low``, below 2 ** 63."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or not low <= int(value) < 2**63:
        raise SpecError(f"{named(field)} must be a whole number of at least {low}; got {value!r}")
    return int(value)


def pattern(value: object) -> tuple[int, int]:
    """Return N and M of a pattern such as ``"2:4"``: N of every M weights stay, 0 < N < M."""
    match = re.fullmatch(r"\s*(\d{1,4})\s*:\s*(\d{1,4})\s*", value) if isinstance(value, str) else None
    n, m = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 0 < n < m:
        raise SpecError(f"{named('pattern')} must be N:M with 0 < N < M, as in 2:4 (2 of every 4 weights stay); got {value!r}")
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
        raise SpecError(f"{named(field)} must be the shape of one sample, as in [3, 64, 64]; got {value!r}")
    return sides
