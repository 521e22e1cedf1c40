"""How numbers are written, everywhere alike: percent, points, counts, bytes, ratios and times."""

from __future__ import annotations

import re
from collections.abc import Sequence

THIN = "\u202f"  # narrow, and no line breaks there
MINUS = "\u2212"


def percent(fraction: float, digits: int = 1) -> str:
    """Return a fraction as percent, ``0.123`` as ``12.3 %``.

    A share that is neither nothing nor all never reads ``0 %`` or ``100 %``.
    """
    text = f"{100 * abs(fraction):.{digits}f}"
    smallest = 10.0**-digits
    if fraction and float(text) == 0:
        return f"< {smallest:.{digits}f}{THIN}%"
    if fraction < 1 and float(text) == 100:
        text = f"{100 - smallest:.{digits}f}"
    sign = MINUS if fraction < 0 else ""
    return f"{sign}{text}{THIN}%"


def asked(share: float) -> str:
    """Return a share that somebody asked for, without zeros behind the point: ``75 %``, ``75.8 %``; near all or nothing ``99.95 %``."""
    number, unit = percent(share, 1 if 0.01 <= share <= 0.99 else 3).split(THIN)
    return f"{number.rstrip('0').rstrip('.') if '.' in number else number}{THIN}{unit}"


def reached(wanted: float | None, share: float) -> str:
    """Return what was asked and what came of it, both with their words where they differ: ``asked 75 %, reached 75.3 %``."""
    if wanted is None or percent(wanted) == percent(share):
        return percent(share)
    return f"asked {asked(wanted)}, reached {percent(share)}"


def span(low: float, high: float) -> str:
    """Return an interval of fractions in percent: ``97.6 to 99.7 %``."""
    return f"{percent(low).removesuffix(f'{THIN}%')} to {percent(high)}"


def points(fraction: float, digits: int = 1) -> str:
    """Return a difference of fractions in percentage points with its sign, ``-0.006`` as ``−0.6``."""
    text = f"{100 * abs(fraction):.{digits}f}"
    sign = "" if float(text) == 0 else (MINUS if fraction < 0 else "+")
    return f"{sign}{text}"


def lost(fraction: float) -> str:
    """Return a drop in percentage points: ``0.006`` as ``0.6``, a gain with a minus before it."""
    return points(fraction).removeprefix("+")


def count(number: float) -> str:
    """Return a count with three figures and k, M, G or T: ``21840`` as ``21.8 k``."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(number) >= 0.9995 * size:
            return f"{_three(number / size)}{THIN}{unit}"
    return f"{number:,.0f}".replace(",", THIN)


def size(number: float) -> str:
    """Return bytes with three figures and their unit, in powers of 1000: ``88123`` as ``88.1 kB``."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(number) >= 0.9995 * scale:
            return f"{_three(number / scale)}{THIN}{unit}"
    return f"{number:.0f}{THIN}B"


def times(ratio: float) -> str:
    """Return a ratio with three figures, as ``2.90×``."""
    return f"{_three(ratio)}×"


def by_times(before: float, after: float, less: str, more: str, same: str) -> str:
    """Return how many times less or more there is: ``2.90× smaller``, ``1.05× larger``; where that reads as once, ``same``.

    ``less``, ``more``, ``same`` are the words for it; ``same`` stands, too, where one of the two is nothing and there is no ratio.
    """
    ratio = max(before, after) / min(before, after) if before and after else 1.0
    return same if times(ratio) == times(1) else f"{times(ratio)} {less if before > after else more}"


def ratio_span(low: float, high: float) -> str:
    """Return the interval of a ratio: ``1.51 to 1.53``."""
    return f"{_three(low)} to {_three(high)}"


def milliseconds(value: float) -> str:
    """Return a time in milliseconds with three figures and no exponent: ``0.0903``, ``2.35``, ``1,240``."""
    if abs(value) >= 999.5:
        return f"{value:,.0f}"
    return f"{value:#.3g}".removesuffix(".") if abs(value) >= 1e-4 else f"{value:.6f}"


def shape(values: object) -> str:
    """Return a shape as ``64 × 3 × 7 × 7``."""
    if isinstance(values, (tuple, list)):
        return " × ".join(str(int(v)) for v in values)
    return str(values)


def error(value: float) -> str:
    """Return a difference with two figures, a small one in scientific form: ``3.1e-7``, ``0.0012``, ``0.31``."""
    if not 0 < value < 1e-3:
        return f"{value:.2g}" if value < 100 else f"{value:,.0f}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def short(name: str, most: int = 24) -> str:
    """Return a layer's name with its beginning cut off where it is long: the end tells layers apart."""
    return name if len(name) <= most else "…" + name[-(most - 1) :]


def shorts(names: Sequence[str], most: int = 24) -> list[str]:
    """Return names as `short` does, no two alike: where ends are the same, the part that differs stands before the cut."""
    cut = [short(name, most) for name in names]
    found = []
    for name, told in zip(names, cut, strict=True):
        alike = [other.split(".") for other, seen in zip(names, cut, strict=True) if seen == told and other != name]
        parts = name.split(".")
        differs = next((part for place, part in enumerate(parts) if any(other[place : place + 1] != [part] for other in alike)), "")
        found.append(f"{differs}…{name[-(most - len(differs) - 1) :]}" if alike else told)
    return found


def plural(number: int, one: str, many: str = "") -> str:
    """Return ``1 layer`` or ``3 layers``."""
    return f"{number:,} {one if number == 1 else (many or one + 's')}".replace(",", THIN)


def ordinary(text: str) -> str:
    """Return text with ordinary spaces, for a terminal and for files."""
    return text.replace(THIN, " ")


def unbroken(text: str) -> str:
    """Return text whose percent signs stay on the line of their number."""
    return re.sub(r"(?<=\d) (?=%)", THIN, text)


def _three(number: float) -> str:
    """Return a number with three significant figures and no exponent; two behind the point are enough."""
    if 0 < abs(number) < 0.0995:
        return f"{number:.2g}" if abs(number) >= 1e-4 else "0.00"
    digits = 2 if abs(number) < 9.995 else 1 if abs(number) < 99.95 else 0
    return f"{number:.{digits}f}"


def listed(names: Sequence[str], most: int = 0, what: str = "") -> str:
    """Return names in a row: A, B and C; of more than ``most`` the first ones, and how many more of ``what`` there are."""
    if most and len(names) > most:
        return f"{', '.join(names[:most])} and {plural(len(names) - most, f'more {what}')}"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


__all__ = [
    "MINUS",
    "THIN",
    "asked",
    "by_times",
    "count",
    "error",
    "listed",
    "lost",
    "milliseconds",
    "ordinary",
    "percent",
    "plural",
    "points",
    "ratio_span",
    "reached",
    "shape",
    "short",
    "size",
    "span",
    "times",
    "unbroken",
]
