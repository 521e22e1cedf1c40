"""The page "Quality vs sparsity", whose address is that of its first metric."""

from prunekit.ui.page import Page

PAGE = Page(
    title="Quality vs sparsity",
    icon="show_chart",
    about="How far a model can be pruned before its quality breaks.",
    section="Measure",
    question="How far can it be pruned before it breaks?",
    sentence="Several settings on one picture, each measured where its curve bends: how far it holds is how far you can go.",
    order=50,
)
