"""Numbers as people read them: percent as percent, thousands with k and M, bytes with their unit."""

from __future__ import annotations

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


def points(fraction: float, digits: int = 1) -> str:
    """Return a difference of fractions in percentage points with its sign, ``-0.006`` as ``−0.6``."""
    text = f"{100 * abs(fraction):.{digits}f}"
    sign = "" if float(text) == 0 else (MINUS if fraction < 0 else "+")
    return f"{sign}{text}"


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
    """Return a ratio as ``2.9×``."""
    return f"{_three(ratio)}×"


def shape(values: object) -> str:
    """Return a shape as ``64 × 3 × 7 × 7``."""
    if isinstance(values, (tuple, list)):
        return " × ".join(str(int(v)) for v in values)
    return str(values)


def error(value: float) -> str:
    """Return a small error in scientific form, ``3e-07`` as ``3e-7``."""
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def short(name: str, most: int = 24) -> str:
    """Return a layer's name with its beginning cut off where it is long: the end tells layers apart."""
    return name if len(name) <= most else "…" + name[-(most - 1) :]


def plural(number: int, one: str, many: str = "") -> str:
    """Return ``1 layer`` or ``3 layers``."""
    return f"{number:,} {one if number == 1 else (many or one + 's')}".replace(",", THIN)


def _three(number: float) -> str:
    """Return a number with three significant figures and no exponent."""
    digits = 2 if abs(number) < 9.995 else 1 if abs(number) < 99.95 else 0
    return f"{number:.{digits}f}"
