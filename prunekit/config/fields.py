"""The table of fields: what each field of a setting is called, takes and is for. Flags, addresses, widgets and checks follow from it.

A field is one line of a frozen dataclass:
``batch_size: int = setting(128, Whole(2), "Batch size", "images a step", when=TUNED)``.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any, cast

from prunekit.errors import PrunekitError, SpecError, named


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


Condition = Mapping[str, Sequence[Any] | None]
"""Other fields, and the values that they must have; None for any that is not nothing."""


@dataclass(frozen=True)
class Setting:
    """One row of the table."""

    name: str
    default: Any  # its value where nothing is said
    kind: Any  # what it takes
    label: str  # what it is called on the screen, in comparisons and in errors there
    help: str  # what it does: a sentence that starts small and ends without a full stop
    flag: str  # its flag without the dashes; empty for none
    address: str  # its name in the address of a page; empty where the screen does not have it
    usual: str  # what is said of the default, where its value alone does not tell; it is what an absent value reads as
    when: tuple[Condition, ...]  # when it has an effect: at least one of these holds; always, where there is none

    def applies(self, values: Any) -> bool:
        """Whether it has an effect beside other values, given as a mapping or as attributes."""
        known = values if isinstance(values, Mapping) else vars(values)
        return not self.when or any(
            all(known.get(name) in allowed if allowed else bool(known.get(name)) for name, allowed in condition.items())
            for condition in self.when
        )

    @property
    def noun(self) -> str:
        """Its label within a sentence."""
        return self.label[:1].lower() + self.label[1:]

    @property
    def condition(self) -> str:
        """When it has an effect, in words; empty for always."""
        return " or ".join(
            ", ".join(f"{name} {' or '.join(map(str, allowed))}" if allowed else f"with {name}" for name, allowed in condition.items())
            for condition in self.when
        )

    @property
    def option(self) -> str:
        """Its flag on the command line; the one of what is on by default takes it away."""
        return f"--{'no-' if self.default is True else ''}{self.flag}"

    def text(self, value: Any) -> str:
        """Return a value as it is read."""
        if self.usual and (value is None or value == self.default):
            return self.usual
        return "none" if value is None else self.kind.text(value)


def again(cls: Any, name: str, default: Any, kind: Any = None) -> Any:
    """Return a field of another dataclass with another default, and maybe another kind of value; all else of its row is as it was."""
    row: Setting = cls.__dataclass_fields__[name].metadata["setting"]
    return field(default=default, metadata={"setting": replace(row, default=default, kind=kind or row.kind)})


_TABLES: dict[type, dict[str, Setting]] = {}


def setting(
    default: Any, kind: Any, label: str, help: str = "", *, flag: str | None = None, address: str | None = None, usual: str = "",
    when: Condition | tuple[Condition, ...] = (),
) -> Any:  # fmt: skip
    """Return a field of a frozen dataclass with its row of the table; flag and address are named after the field unless they are given."""
    row = Setting("", default, kind, label, help, "-" if flag is None else flag, "-" if address is None else address, usual,
                  (when,) if isinstance(when, Mapping) else when)  # fmt: skip
    return field(default=default, metadata={"setting": row})


def table(cls: type) -> dict[str, Setting]:
    """Return the row of each field of a dataclass, in order; a class that only changes a default keeps the row of its base."""
    if cls not in _TABLES:
        _TABLES[cls] = _read(cls)
    return _TABLES[cls]


def _read(cls: type) -> dict[str, Setting]:
    """Collect the rows of a dataclass."""
    found = {}
    for f in dataclasses.fields(cls):
        rows = (base.__dict__.get("__dataclass_fields__", {}).get(f.name) for base in cls.__mro__)
        row = next((known.metadata["setting"] for known in rows if known is not None and "setting" in known.metadata), None)
        if row is not None:
            flag = f.name.replace("_", "-") if row.flag == "-" else row.flag
            found[f.name] = replace(row, name=f.name, default=f.default, flag=flag, address=f.name if row.address == "-" else row.address)
    return found


def check_fields(values: Any, error: type[PrunekitError] = SpecError) -> None:
    """Bring every field of a frozen dataclass into its one canonical form; nothing is a value where it is the default."""
    for name, row in table(type(values)).items():
        value = getattr(values, name)
        if value is None and row.default is None:
            continue
        try:
            object.__setattr__(values, name, row.kind(name, value))
        except SpecError as wrong:
            raise wrong if error is SpecError else error(wrong.marked) from None


def documented(cls: Any) -> Any:
    """Add a section ``Parameters`` to the docstring of a dataclass, from its table."""
    types = {f.name: f.type for f in dataclasses.fields(cls)}
    told = ((name, f"{row.help[:1].upper()}{row.help[1:]}. Must be {row.kind.allowed}.") for name, row in table(cls).items())
    rows = (f"    {name} : {types[name]}\n        {about}" for name, about in told)
    head, mark, rest = (cls.__doc__ or "").partition("\n\n    Raises\n")
    cls.__doc__ = f"{head.rstrip()}\n\n    Parameters\n    ----------\n" + "\n".join(rows) + mark + rest
    return cls
