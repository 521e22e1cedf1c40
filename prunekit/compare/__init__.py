"""Runs side by side: figures, layers, weights, behaviour, trade-off, lineage; and a recipe repeated elsewhere."""

from prunekit.compare.apply import Applied, apply_recipe
from prunekit.compare.behaviour import Behaviour, behaviour
from prunekit.compare.columns import Column, Comparison, SettingRow, Shipped, Speed
from prunekit.compare.layers import layer_frame
from prunekit.compare.letters import DENSE, LETTERS, letters
from prunekit.compare.lineage import Node, lineage
from prunekit.compare.metrics import METRICS, Metric
from prunekit.compare.numbers import compare_runs
from prunekit.compare.overlaps import channel_overlap, overlap
from prunekit.compare.tradeoff import Best, best_within, metric_frame, pareto
from prunekit.compare.weights import weight_bins

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
