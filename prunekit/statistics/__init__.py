"""Intervals, paired comparisons and corrections: functions of numpy arrays, each with its source."""

from prunekit.statistics.bootstrap import ByUnit, Sums, Weighted, bootstrap_difference, bootstrap_interval, bootstrap_replicates
from prunekit.statistics.difference import ALPHA, Difference, holm
from prunekit.statistics.proportions import Z95, difference_interval, paired_proportions, wilson
from prunekit.statistics.series import independent_values, median_interval

__all__ = [
    "ALPHA",
    "Z95",
    "ByUnit",
    "Difference",
    "Sums",
    "Weighted",
    "bootstrap_difference",
    "bootstrap_interval",
    "bootstrap_replicates",
    "difference_interval",
    "holm",
    "independent_values",
    "median_interval",
    "paired_proportions",
    "wilson",
]
