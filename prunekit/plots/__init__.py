"""Charts: DataFrames and arrays in, plotly figures out. Nothing here knows of Streamlit."""

from prunekit.plots.curves import accuracy_curves, thumbnail_curve
from prunekit.plots.distributions import Bins, CutBins, cut, multiples, norms, overlay
from prunekit.plots.filters import kernels, matrix, ranked, strip
from prunekit.plots.latency import ratios, samples
from prunekit.plots.layers import by_layer, sizes
from prunekit.plots.theme import DENSE, KEPT, REMOVED, run_colour, template

__all__ = [
    "DENSE",
    "KEPT",
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
