"""The Prune page."""

from prunekit.ui.page import Page

PAGE = Page(
    title="Prune",
    icon="content_cut",
    about="Choose what goes; see what stays and what it costs.",
    section="Explore",
    question="What goes, what stays, what does it cost?",
    sentence="Choose how much to remove; what stays is counted at once, and what it costs in quality is measured when you ask.",
    visits=("", "mode=structured", "mode=nm"),
    order=30,
)
