"""The Compare page."""

from prunekit.ui.page import Page

PAGE = Page(
    title="Compare",
    icon="compare_arrows",
    about="Two to six runs side by side: which one to take.",
    section="Decide",
    question="Which one do I take?",
    sentence="Two to six runs of one dense model side by side: the answer first, then everything that it rests on.",
    order=80,
)
