"""The Layers page."""

from prunekit.ui.page import Page

PAGE = Page(
    title="Layers",
    icon="layers",
    about="Where the weights live, how they are distributed, what shrinks together.",
    section="Explore",
    question="Where do the weights live, and what do they look like?",
    sentence="Which layers hold the parameters and which do the work, how their weights are distributed, and which of them can only "
    "shrink together.",
    order=20,
)
