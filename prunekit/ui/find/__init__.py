"""The Find page."""

from prunekit.ui.page import Page

PAGE = Page(
    title="Find",
    icon="travel_explore",
    about="The smallest or fastest model whose quality still holds, searched for in the time that you give.",
    section="Measure",
    question="What is the smallest that still holds?",
    sentence="Say what must hold and how long to look: settings of pruning and fine-tuning are tried, each trial is kept as a run, and the "
    "best one is confirmed on test data that chose nothing.",
    order=65,
)
