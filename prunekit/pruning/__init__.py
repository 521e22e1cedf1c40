"""Masks, channel groups, surgery, the proof that surgery was faithful, and `prune()`."""

from prunekit.pruning.blocks import Block
from prunekit.pruning.carry import carry_out, graph_of, layer_results, mask, planned_counts, prune, sample_shape
from prunekit.pruning.channels import ChannelRanking, plan
from prunekit.pruning.couplings import Coupling
from prunekit.pruning.groups import ChannelGraph, Group, trace
from prunekit.pruning.leaving import cut_by
from prunekit.pruning.masks import Cut, LayerCut, Ranking, masked_copy, masks_at
from prunekit.pruning.nm import PatternRanking, rank
from prunekit.pruning.proof import Proof, prove
from prunekit.pruning.removal import Plan
from prunekit.pruning.result import Achieved, LayerResult, PruneResult
from prunekit.pruning.schedule import SCHEDULES, agp, iterative, linear, tighten
from prunekit.pruning.selection import chosen_layers, default_layers, protected_layers
from prunekit.pruning.shares import erk_densities
from prunekit.pruning.surgery import shrink

__all__ = [
    "SCHEDULES",
    "Achieved",
    "Block",
    "ChannelGraph",
    "ChannelRanking",
    "Coupling",
    "Cut",
    "Group",
    "LayerCut",
    "LayerResult",
    "PatternRanking",
    "Plan",
    "Proof",
    "PruneResult",
    "Ranking",
    "agp",
    "carry_out",
    "chosen_layers",
    "cut_by",
    "default_layers",
    "erk_densities",
    "graph_of",
    "iterative",
    "layer_results",
    "linear",
    "mask",
    "masked_copy",
    "masks_at",
    "plan",
    "planned_counts",
    "protected_layers",
    "prove",
    "prune",
    "rank",
    "sample_shape",
    "shrink",
    "tighten",
    "trace",
]
