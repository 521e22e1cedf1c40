"""Importance scores: one registry, one function for each criterion."""

from prunekit.criteria.registry import CRITERIA, Criterion, channel_scores, weight_scores

__all__ = ["CRITERIA", "Criterion", "channel_scores", "weight_scores"]
