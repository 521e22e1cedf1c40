"""Masks, channel groups, surgery, the proof that surgery was faithful, and `prune()`."""

from prunekit.pruning.carry import carry_out, graph_of, layer_results, mask, planned_counts, prune, sample_shape
from prunekit.pruning.channels import ChannelRanking, plan
from prunekit.pruning.groups import ChannelGraph, Group, trace
from prunekit.pruning.masks import Cut, LayerCut, Ranking, masked_copy, masks_at
from prunekit.pruning.proof import Proof, prove
from prunekit.pruning.removal import Plan
from prunekit.pruning.result import Achieved, LayerResult, PruneResult
from prunekit.pruning.selection import chosen_layers, default_layers, protected_layers
from prunekit.pruning.surgery import shrink

__all__ = [
    "Achieved",
    "ChannelGraph",
    "ChannelRanking",
    "Cut",
    "Group",
    "LayerCut",
    "LayerResult",
    "Plan",
    "Proof",
    "PruneResult",
    "Ranking",
    "carry_out",
    "chosen_layers",
    "default_layers",
    "graph_of",
    "layer_results",
    "mask",
    "masked_copy",
    "masks_at",
    "plan",
    "planned_counts",
    "protected_layers",
    "prove",
    "prune",
    "sample_shape",
    "shrink",
    "trace",
]
