"""The Start page."""

from prunekit.ui.page import Page

PAGE = Page(
    title="Start",
    icon="home",
    about="Choose a model and see what it can do before anything is pruned.",
    section="Explore",
    question="What do you want to prune?",
    sentence="Choose a model, and see what it can do before anything is removed: quality, size and cost are what pruning trades "
    "against each other.",
    order=10,
)
