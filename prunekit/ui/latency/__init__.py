"""The Latency page."""

from prunekit.ui.page import Page

PAGE = Page(
    title="Latency",
    icon="timer",
    about="Whether the pruned model is really faster on this machine.",
    section="Measure",
    question="Is it really faster, here?",
    sentence="The dense model, the same with zeroed weights, and a physically smaller one take turns on this machine, in every "
    "runtime: what counts is measured time, not MACs.",
    order=70,
)
