"""Runs side by side: figures, layers, weights, behaviour, trade-off, lineage; and a recipe repeated elsewhere."""

from prunekit.comparison.apply import Applied, apply_recipe
from prunekit.comparison.behaviour import Behaviour, behaviour
from prunekit.comparison.columns import Column, Comparison, SettingRow, Shipped, Speed
from prunekit.comparison.layers import layer_frame
from prunekit.comparison.letters import DENSE, LETTERS, letters
from prunekit.comparison.lineage import Node, lineage
from prunekit.comparison.metrics import METRICS, Metric
from prunekit.comparison.numbers import compare_runs
from prunekit.comparison.overlaps import channel_overlap, overlap
from prunekit.comparison.tradeoff import Best, best_within, metric_frame, pareto
from prunekit.comparison.weights import weight_bins

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
