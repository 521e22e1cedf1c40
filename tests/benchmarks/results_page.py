"""The part of a page that one script writes: from its mark, a comment, up to the next script's."""

from __future__ import annotations

from pathlib import Path

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results.md"
NEXT = "\n<!-- "


def part(mark: str) -> str:
    """Return what stands behind a mark."""
    return RESULTS.read_text(encoding="utf-8").partition(mark)[2].partition(NEXT)[0]


def write_part(mark: str, text: str) -> None:
    """Write what stands behind a mark, at the end of the page where there is none yet; all other parts stay."""
    before, _, after = RESULTS.read_text(encoding="utf-8").partition(mark)
    _, following, others = after.partition(NEXT)
    RESULTS.write_text(f"{before.rstrip()}\n\n{mark}\n{text.strip()}\n{following}{others}", encoding="utf-8")
