"""Charts: DataFrames and arrays in, plotly figures out. Nothing here knows of Streamlit."""

from prunekit.plots.curves import accuracy_curves, thumbnail_curve
from prunekit.plots.cuts import CutBins, cut
from prunekit.plots.distributions import Bins, multiples, norms, overlay
from prunekit.plots.filters import kernels, matrix, ranked, strip
from prunekit.plots.latency import ratios, samples
from prunekit.plots.layers import MOST_NAMED, by_layer, sizes
from prunekit.plots.theme import DENSE, KEPT, REMOVED, run_colour, template

__all__ = [
    "DENSE",
    "KEPT",
    "MOST_NAMED",
    "REMOVED",
    "Bins",
    "CutBins",
    "accuracy_curves",
    "by_layer",
    "cut",
    "kernels",
    "matrix",
    "multiples",
    "norms",
    "overlay",
    "ranked",
    "ratios",
    "run_colour",
    "samples",
    "sizes",
    "strip",
    "template",
    "thumbnail_curve",
]
