"""One curve of the page "Quality vs sparsity", and how curves stand in the address."""

from __future__ import annotations

import re
from dataclasses import dataclass

from prunekit.config.choices import CRITERIA, MODES, SCOPES

RECOVERY = r"r|p|f(?:[1-9]\d?|1\d\d|200)"


@dataclass(frozen=True)
class Curve:
    """One curve of the page "Quality vs sparsity"."""

    mode: str
    criterion: str
    scope: str
    chosen: bool = False  # whether the layers, overrides, caps, target and channel multiple of the Prune page count, or their defaults
    # what follows the cut: empty for nothing, ``r`` for BatchNorm recalibration, ``f5`` for five epochs of fine-tuning with the Recover
    # page's other choices, ``p`` for all choices of the Recover page
    recovery: str = ""
    rows: bool = False  # whether the rows of embedding tables are what goes, more at each point, and not channels


def write(curves: tuple[Curve, ...]) -> str:
    """Return curves as ``mode-criterion-scope``, with ``-rows`` or ``-own`` (chosen layers count), and with what follows the cut."""

    def words(c: Curve) -> list[str]:
        return [c.mode, c.criterion.replace("_", "."), c.scope] + ["rows"] * c.rows + ["own"] * c.chosen + [c.recovery] * bool(c.recovery)

    return "_".join("-".join(words(c)) for c in curves)


def read(text: str) -> tuple[Curve, ...]:
    """Read what ``write`` wrote."""
    found: list[Curve] = []
    for part in text.split("_")[:12]:
        words = part.replace(".", "_").split("-")
        known = all(word in allowed for word, allowed in zip(words, (MODES, CRITERIA, SCOPES), strict=False))
        rows = words[3:4] == ["rows"]
        words = words[:3] + words[4:] if rows else words
        own = words[3:4] == ["own"]
        after = words[4 if own else 3 :]
        known = known and (words[0] == "structured" or not rows)
        if not known or len(words) < 3 or len(after) > 1 or (after and not re.fullmatch(RECOVERY, after[0])):
            raise ValueError("curves such as unstructured-l1-global or structured-l2-global-f5")
        found.append(Curve(words[0], words[1], words[2], own, "".join(after), rows))
    return tuple(dict.fromkeys(found))
