"""The Sensitivity page."""

from prunekit.ui.page import Page

PAGE = Page(
    title="Sensitivity",
    icon="monitor_heart",
    about="Which layers are fragile, each pruned alone, and targets from what was measured.",
    section="Measure",
    question="Which layers are fragile?",
    sentence="Each layer is pruned alone, ever further, while the rest stays dense: what gives way first needs care, what does not "
    "can give more.",
    order=40,
)
