"""Importance scores: one registry, one function for each criterion."""

from prunekit.criteria.registry import CRITERIA, Criterion, channel_scores, score_pieces, weight_scores
from prunekit.criteria.samples import BATCH, scored_on, scoring_split

__all__ = ["BATCH", "CRITERIA", "Criterion", "channel_scores", "score_pieces", "scored_on", "scoring_split", "weight_scores"]
