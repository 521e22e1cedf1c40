"""Runs side by side: figures, layers, weights, behaviour, trade-off, lineage; and a recipe repeated elsewhere."""

from prunekit.comparison.apply_recipe import Applied, apply_recipe
from prunekit.comparison.behaviour import Behaviour, behaviour
from prunekit.comparison.columns import Column, SettingRow, Shipped, Speed
from prunekit.comparison.compare_runs import compare_runs
from prunekit.comparison.comparison import Comparison
from prunekit.comparison.layers import channel_overlap, layer_frame, overlap, weight_bins
from prunekit.comparison.lineage import Node, lineage
from prunekit.comparison.metrics import LETTERS, METRICS, Metric, letters
from prunekit.comparison.tradeoff import Best, best_within, metric_frame, pareto
from prunekit.evaluation.quality import DENSE

__all__ = [
    "DENSE",
    "LETTERS",
    "METRICS",
    "Applied",
    "Behaviour",
    "Best",
    "Column",
    "Comparison",
    "Metric",
    "Node",
    "SettingRow",
    "Shipped",
    "Speed",
    "apply_recipe",
    "behaviour",
    "best_within",
    "channel_overlap",
    "compare_runs",
    "layer_frame",
    "letters",
    "lineage",
    "metric_frame",
    "overlap",
    "pareto",
    "weight_bins",
]
