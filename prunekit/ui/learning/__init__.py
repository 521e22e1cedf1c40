"""The Learn page: nine lessons, and what was learnt from them at a glance."""

from __future__ import annotations

from prunekit.ui import show, state
from prunekit.ui.learning import goodbad, lesson, look, sheet, top, versus, words

_PARTS = {"lessons": lesson.draw, "versus": versus.draw, "presets": goodbad.draw, "words": words.draw, "sheet": sheet.draw}


def page() -> None:
    """Draw the page."""
    now = state.settings()
    look.style(large=now.large)
    show.heading(
        "What does pruning do?", "Guess first, then measure: every number here is computed while you look, on small images of digits."
    )
    top.bar()
    with show.plain_errors():
        _PARTS[now.part](now)
