"""The Learn page: nine lessons, and what was learnt from them at a glance."""

from __future__ import annotations

from prunekit.ui.components import show
from prunekit.ui.learn import glossary, good_and_bad, lesson, look, versus
from prunekit.ui.state import session

_PARTS = {"lessons": lesson.draw, "versus": versus.draw, "presets": good_and_bad.draw, "words": glossary.glossary, "sheet": glossary.draw}


def page() -> None:
    """Draw the page."""
    now = session.settings()
    look.style(large=now.large)
    show.heading(
        "What does pruning do?", "Guess first, then measure: every number here is computed while you look, on small images of digits."
    )
    look.bar()
    with show.plain_errors():
        _PARTS[now.part](now)
