"""The colours and what each means, for light and dark pages; no other module writes one.

Slate is the dense model, teal what is kept or holds, vermilion what is removed, lost or beyond what is allowed; Okabe and Ito's are runs,
groups and layers in order of picking. Values on both sides of zero are indigo below and teal above: a weight that is drawn is kept.
"""

DENSE, DENSE_DARK = "#64748b", "#8fa0b5"  # the dense baseline, always first
KEPT = "#0f9b8e"
REMOVED, REMOVED_DARK = "#d55e00", "#f08a45"  # faded vermilion turns brown on a dark page
# Okabe and Ito's colours, told apart by people with any colour vision, but for the vermilion; in order of picking
RUNS = ("#0072b2", "#e69f00", "#cc79a7", "#56b4e9", "#009e73", "#882255", "#8c6d1f", "#7a5195")
RUNS_DARK = ("#4aa3df", "#e69f00", "#cc79a7", "#8fd0f5", "#1fb58f", "#d0607f", "#c9a94b", "#b394d6")
BELOW, BELOW_DARK = "#443f9c", "#8f8cf0"  # zero
ABOVE, ABOVE_DARK = "#08786d", "#2cc9b8"
INK, INK_DARK = "#1b2430", "#e7ebf0"
MUTED, MUTED_DARK = "#5b6776", "#9fb0c0"
GRID, GRID_DARK = "#e4e9ee", "#28313c"
PAPER, PAPER_DARK = "#ffffff", "#10151c"
WHITE = "#ffffff"  # on a picture or a filled mark, whatever the page is
TRANSPARENT = "rgba(0,0,0,0)"
RULE, GROUND = "rgba(128,128,128,.3)", "rgba(128,128,128,.22)"  # lines and empty bars on a page that may be light or dark
MARK = RUNS[1]  # what differs, in a table
# classes of things in pictures: Tol's muted and light schemes, told apart by people with any colour vision; further classes repeat them
CLASSES = (
    "#88ccee", "#cc6677", "#ddcc77", "#332288", "#aa4499", "#117733", "#ee8866", "#44aa99", "#882255", "#bbcc33", "#77aadd", "#999933",
    "#ffaabb", "#e0e0e0",
)  # fmt: skip
CELL, CELL_DARK, CELL_TAB = "#cdd6de", "#3a4654", "#9fb0bd"  # of the wordmark: a weight that is gone, on the page and in the browser's tab
