"""What the proof does not let go: found by bisection over the groups that shrank, and held, so that all else may go."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import nn

from prunekit.errors import ProofError
from prunekit.pruning.proof import TOLERANCE, prove
from prunekit.pruning.structured.channel_groups import Group
from prunekit.pruning.structured.dry_run import alike_groups, first_failing
from prunekit.pruning.structured.grouping import hold
from prunekit.pruning.structured.plan import Removal
from prunekit.tasks.batch import Batch


def hold_stubborn(model: nn.Module, plan: Removal, samples: Batch | None = None) -> bool:
    """Hold the group for which a plan is not proved, and all like it; return whether there is one.

    Parameters
    ----------
    model : nn.Module
        The dense model.
    plan : Removal
        Whose proof failed.
    samples : Batch, optional
        As for the proof.
    """
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
        return None if off < TOLERANCE else f"removing it does not give what zeroing it gives (relative error {off:.2g})"

    shrinking = [group for group in graph.groups if np.isin(group.atoms, plan.atoms).any()]
    if not shrinking or failure(shrinking) is None:
        return False  # the blocks that go, then
    culprit, how = first_failing(shrinking, failure)
    reason = failure((culprit,)) or how or "it cannot go together with others"
    where = culprit.layers[0].rpartition(".")[0]
    alike = [group for group in alike_groups(model, graph, culprit, where) if failure((group,)) is not None]
    hold(model, graph, np.concatenate([group.atoms for group in (culprit, *alike)]), reason)
    return True
