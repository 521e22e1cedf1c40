"""What a model is made of: prunable layers, weights and their statistics, parameters, MACs, bytes."""

from prunekit.anatomy.cost import Counts, count, layer_macs, model_macs, nonzeros
from prunekit.anatomy.hashing import state_hash
from prunekit.anatomy.histograms import Histogram, filter_norms, histogram
from prunekit.anatomy.layers import channel_layers, check_finite, layer_table, prunable_layers, weight_of
from prunekit.anatomy.rebuilding import apply_widths
from prunekit.anatomy.shapes import input_shape_of
from prunekit.anatomy.widths import widths

__all__ = [
    "Counts",
    "Histogram",
    "apply_widths",
    "channel_layers",
    "check_finite",
    "count",
    "filter_norms",
    "histogram",
    "input_shape_of",
    "layer_macs",
    "layer_table",
    "model_macs",
    "nonzeros",
    "prunable_layers",
    "state_hash",
    "weight_of",
    "widths",
]
