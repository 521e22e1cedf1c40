"""What the proof does not let go: found by bisection over the groups that shrank, and held, so that all else may go.

Whatever carries a plan out goes through :func:`proved`, and whatever only shows what can go through :func:`tried`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from torch import nn

from prunekit.errors import ModelError, ProofError
from prunekit.pruning.influence import check_influence
from prunekit.pruning.proof import TOLERANCE, Proof, prove, require
from prunekit.pruning.structured.channel_groups import ChannelGraph, Group
from prunekit.pruning.structured.dry_run import alike_groups, first_failing, may_hold_sizes, sparing
from prunekit.pruning.structured.grouping import hold
from prunekit.pruning.structured.plan import Removal
from prunekit.tasks.batch import Batch

MOST_HELD = 16  # kinds of groups that are held one after another before a model is given up
Made = TypeVar("Made", bound=Removal)


def proved(model: nn.Module, make: Callable[[], Made], samples: Batch | None = None) -> tuple[Made, Proof | None]:
    """Return a plan with its proof, made again without what stands in the way of one; None where nothing goes."""
    for left in reversed(range(MOST_HELD + 1)):
        plan = make()
        if plan.empty:
            break
        try:
            return plan, require(prove(model, plan, samples=samples))
        except ProofError:
            check_influence(model, plan.shrunk, plan.graph.input_shape, samples)
            if not left or hold_stubborn(model, plan, samples) is None:
                raise
    return plan, None


def tried(model: nn.Module, graph: ChannelGraph, samples: Batch | None = None) -> ChannelGraph:
    """Return a model's couplings with what does not go kept whole: half of all there is goes on trial.

    A model of torch's and torchvision's classes is not tried: what those do is known.

    Parameters
    ----------
    model : nn.Module
        The dense model.
    graph : ChannelGraph
        As :func:`prunekit.pruning.trace` returns it.
    samples : Batch, optional
        As for the proof.
    """
    if not may_hold_sizes(model, graph):
        return graph
    for _ in range(MOST_HELD):
        half = [group.atoms[: group.allowed(group.size // 2)] for group in graph.groups]
        removal = sparing(graph, np.concatenate([np.zeros(0, np.int64), *half]))
        try:
            if removal.empty or prove(model, removal, samples=samples).max_relative_error < TOLERANCE:
                break
        except ModelError:  # what stands in the way is the model's own, and said to whoever prunes it
            break
        except ProofError:
            pass
        held = hold_stubborn(model, removal, samples)
        if held is None:
            break
        graph = held
    return graph


def hold_stubborn(model: nn.Module, plan: Removal, samples: Batch | None = None) -> ChannelGraph | None:
    """Hold the group for which a plan is not proved, and all like it; return the couplings then, or None where there is none."""
    graph = plan.graph

    def failure(groups: Sequence[Group]) -> str | None:
        atoms = np.concatenate([np.zeros(0, np.int64), *(group.atoms[np.isin(group.atoms, plan.atoms)] for group in groups)])
        if not atoms.size:
            return None
        try:
            proof = prove(model, Removal(graph, atoms), samples=samples)
        except ProofError as error:
            return str(error)
        off = proof.max_relative_error
        form = f"; form of input: {proof.worst}" if proof.worst else ""
        return None if off < TOLERANCE else f"removing it does not give what zeroing it gives (relative error {off:.2g}{form})"

    shrinking = [group for group in graph.groups if np.isin(group.atoms, plan.atoms).any()]
    if not shrinking or failure(shrinking) is None:
        return None  # the blocks that go, then
    culprit, how = first_failing(shrinking, failure)
    reason = failure((culprit,)) or how or "it cannot go together with others"
    where = culprit.layers[0].rpartition(".")[0]
    alike = [group for group in alike_groups(model, graph, culprit, where) if failure((group,)) is not None]
    return hold(model, graph, np.concatenate([group.atoms for group in (culprit, *alike)]), reason)
