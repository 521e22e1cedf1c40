"""The page "Accuracy vs sparsity"."""

from prunekit.ui.page import Page

PAGE = Page(
    title="Accuracy vs sparsity",
    icon="show_chart",
    about="How far a model can be pruned before its accuracy breaks.",
    section="Measure",
    question="How far can it be pruned before accuracy breaks?",
    sentence="Several settings on one picture, each measured where its curve bends: how far it holds is how far you can go.",
    order=50,
)
