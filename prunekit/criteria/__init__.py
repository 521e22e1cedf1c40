"""Importance scores: one module for each criterion, in `methods`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from prunekit.criteria.criterion import Criterion
from prunekit.criteria.methods import CRITERIA

if TYPE_CHECKING:
    from prunekit.criteria.samples import BATCH, scored_on, scoring_split
    from prunekit.criteria.scoring import channel_scores, score_pieces, weight_scores

__all__ = ["BATCH", "CRITERIA", "Criterion", "channel_scores", "score_pieces", "scored_on", "scoring_split", "weight_scores"]


def __getattr__(name: str) -> Any:
    """Import what scores at first use: the names of criteria must not wait for torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "samples" if name in {"BATCH", "scored_on", "scoring_split"} else "scoring"
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
