"""Charts: DataFrames and arrays in, plotly figures out. Nothing here knows of Streamlit.

Functions that draw return a ``plotly.graph_objects.Figure``; ``dark`` draws it for a dark page, ``height`` is in pixels.
"""

from prunekit.plots.breakeven import break_even_lines, break_even_map
from prunekit.plots.channel_groups import coupled
from prunekit.plots.compare_classes import class_dumbbells, classes_caption, confusion_caption, confusion_change, most_changed
from prunekit.plots.compare_layers import layers_beside, layers_caption, letter_colour, weight_outlines, weights_caption
from prunekit.plots.compare_lineage import family_tree, lineage_caption
from prunekit.plots.compare_masks import overlap_by_layer, overlap_caption, overlap_matrix
from prunekit.plots.compare_tradeoff import tradeoff, tradeoff_caption
from prunekit.plots.filter_tiles import colour_tiles, filter_tiles, kernel_tiles
from prunekit.plots.filters import kernels, matrix, ranked, strip
from prunekit.plots.latency import ratios, samples, speed_grid, time_by_layer
from prunekit.plots.layer_bars import MOST_NAMED, by_layer, sizes
from prunekit.plots.learning_curves import learning_curves, recovery_steps, schedule_chart
from prunekit.plots.quality_curves import AXES, quality_curves, thumbnail_curve
from prunekit.plots.sensitivity import sensitivity_caption, sensitivity_map, sensitivity_panels
from prunekit.plots.theme import DENSE, KEPT, REMOVED, run_colour, template
from prunekit.plots.weight_histograms import Bins, CutBins, cut, multiples, norms, overlay
from prunekit.plots.weight_pixels import blocks, parts, planes, share_map, weight_pixels

__all__ = [
    "AXES",
    "DENSE",
    "KEPT",
    "MOST_NAMED",
    "REMOVED",
    "Bins",
    "CutBins",
    "blocks",
    "break_even_lines",
    "break_even_map",
    "by_layer",
    "class_dumbbells",
    "classes_caption",
    "colour_tiles",
    "confusion_caption",
    "confusion_change",
    "coupled",
    "cut",
    "family_tree",
    "filter_tiles",
    "kernel_tiles",
    "kernels",
    "layers_beside",
    "layers_caption",
    "learning_curves",
    "letter_colour",
    "lineage_caption",
    "matrix",
    "most_changed",
    "multiples",
    "norms",
    "overlap_by_layer",
    "overlap_caption",
    "overlap_matrix",
    "overlay",
    "parts",
    "planes",
    "quality_curves",
    "ranked",
    "ratios",
    "recovery_steps",
    "run_colour",
    "samples",
    "schedule_chart",
    "sensitivity_caption",
    "sensitivity_map",
    "sensitivity_panels",
    "share_map",
    "sizes",
    "speed_grid",
    "strip",
    "template",
    "thumbnail_curve",
    "time_by_layer",
    "tradeoff",
    "tradeoff_caption",
    "weight_outlines",
    "weight_pixels",
    "weights_caption",
]
