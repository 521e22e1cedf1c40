"""The Recover page."""

from prunekit.ui.page import Page

PAGE = Page(
    title="Recover",
    icon="healing",
    about="What recalibration and fine-tuning bring back.",
    section="Measure",
    question="How much comes back after pruning?",
    sentence="Recalibrate BatchNorm or fine-tune what the cut left over, in one go or step by step, and see what each step brings.",
    order=60,
)
