"""Masks, channel groups, surgery, the proof that surgery was faithful, and `prune()`."""

from prunekit.pruning.api import graph_of, groups, prune, prune_indices, sample_shape
from prunekit.pruning.execution import carry_out, layer_results, mask, planned_counts
from prunekit.pruning.layer_selection import chosen_layers, default_layers, protected_layers
from prunekit.pruning.plugins import Plugin, load_plugin
from prunekit.pruning.proof import Proof, prove, tried
from prunekit.pruning.result import Achieved, LayerResult, PruneResult
from prunekit.pruning.schedule import SCHEDULES, agp, iterative, linear, tighten
from prunekit.pruning.skipped import Skipped, skipped
from prunekit.pruning.structured.channel_groups import ChannelGraph, Group
from prunekit.pruning.structured.grouping import CoupledGroup, Member, trace
from prunekit.pruning.structured.kept_outputs import cut_by
from prunekit.pruning.structured.plan import Plan
from prunekit.pruning.structured.ranking import ChannelRanking, plan
from prunekit.pruning.structured.residual_blocks import Block
from prunekit.pruning.structured.surgery import shrink
from prunekit.pruning.structured.trace_facts import Coupling
from prunekit.pruning.unstructured.allocation import erk_densities
from prunekit.pruning.unstructured.masks import Cut, LayerCut, Ranking, masked_copy, masks_at
from prunekit.pruning.unstructured.n_m import PatternRanking, rank

__all__ = [
    "SCHEDULES",
    "Achieved",
    "Block",
    "ChannelGraph",
    "ChannelRanking",
    "CoupledGroup",
    "Coupling",
    "Cut",
    "Group",
    "LayerCut",
    "LayerResult",
    "Member",
    "PatternRanking",
    "Plan",
    "Plugin",
    "Proof",
    "PruneResult",
    "Ranking",
    "Skipped",
    "agp",
    "carry_out",
    "chosen_layers",
    "cut_by",
    "default_layers",
    "erk_densities",
    "graph_of",
    "groups",
    "iterative",
    "layer_results",
    "linear",
    "load_plugin",
    "mask",
    "masked_copy",
    "masks_at",
    "plan",
    "planned_counts",
    "protected_layers",
    "prove",
    "prune",
    "prune_indices",
    "rank",
    "sample_shape",
    "shrink",
    "skipped",
    "tighten",
    "trace",
    "tried",
]
