"""The Export page."""

from prunekit.ui.page import Page

PAGE = Page(
    title="Export",
    icon="archive",
    about="One archive for each run, checked without prunekit; and taking one in.",
    section="Decide",
    question="How do I take it away?",
    sentence="One archive for each run, which opens anywhere without prunekit; and archives of others taken in as runs.",
    order=90,
)
