"""The Learn page: the lessons, and what was learnt from them at a glance."""

from prunekit.ui.page import Page

PAGE = Page(
    title="Learn",
    icon="school",
    about="Short lessons: guess, measure, see why; then which kind of pruning for which goal.",
    section="Learn",
    question="What does pruning do?",
    sentence="Guess first, then measure: every number here is computed while you look, on small samples.",
    order=100,
)
