"""The colours and what each means: slate is dense, teal kept, vermilion removed, Okabe and Ito's are runs; light and dark.

No colour is written anywhere else: `prunekit.plots.theme` draws with them, exported files and the pages take them from here.
"""

DENSE, DENSE_DARK = "#64748b", "#8fa0b5"  # the dense baseline, always first
KEPT = "#0f9b8e"
REMOVED, REMOVED_DARK = "#d55e00", "#f08a45"  # faded vermilion turns brown on a dark page
# Okabe and Ito's colours, told apart by people with any colour vision; in order of picking
RUNS = ("#0072b2", "#e69f00", "#cc79a7", "#56b4e9", "#009e73", "#d55e00", "#8c6d1f", "#7a5195")
RUNS_DARK = ("#4aa3df", "#e69f00", "#cc79a7", "#8fd0f5", "#1fb58f", "#e8743b", "#c9a94b", "#b394d6")
INK, INK_DARK = "#1b2430", "#e7ebf0"
MUTED, MUTED_DARK = "#5b6776", "#9fb0c0"
GRID, GRID_DARK = "#e4e9ee", "#28313c"
PAPER, PAPER_DARK = "#ffffff", "#10151c"
