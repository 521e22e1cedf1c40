"""Close matches for a mistyped name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def closest(name: str, names: Iterable[str]) -> str:
    """Return ``": did you mean A or B?"`` for the names nearest to ``name``, or ``""`` where none is near.

    A name counts by its last part too, so that ``resnet18`` finds ``torchvision/resnet18``.
    """
    known = list(names)
    short: dict[str, str] = {}
    for full in known:
        short.setdefault(full.lower(), full)
        short.setdefault(full.rpartition("/")[2].lower(), full)
    wanted = name.lower()
    if wanted in short:
        return f": did you mean {short[wanted]}?"
    found: list[str] = []
    for part in (wanted, wanted.rpartition("/")[2]):
        found += [short[match] for match in difflib.get_close_matches(part, short, n=3, cutoff=0.6)]
    best = list(dict.fromkeys(found))[:3]
    return f": did you mean {' or '.join(best)}?" if best else ""
