"""A rehearsal without values: where a module's Python holds sizes that surgery cannot change, what it takes apart stays whole.

Attention written by hand computes the width of a head from the embedding's, or cuts an axis at a number. Whether a smaller copy runs is
seen on the meta device, at uneven random counts, before anyone is offered channels that cannot go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import nn

from prunekit.models.meta_copy import meta_copy
from prunekit.pruning.structured.axis_tracker import ALL, LAST, OUTER, SPLITS, Closed
from prunekit.pruning.structured.block_dry_run import Quick
from prunekit.pruning.structured.channel_groups import ChannelGraph, Group
from prunekit.pruning.structured.plan import Removal
from prunekit.pruning.structured.surgery import shrink
from prunekit.pruning.structured.trace_errors import modules_of
from prunekit.tasks.input_form import answer, zeros

ROUNDS = 20


def rehearsed(model: nn.Module, build: Callable[[Closed], ChannelGraph]) -> ChannelGraph:
    """Return a model's couplings, with what its smaller copies cannot take apart kept whole.

    Parameters
    ----------
    model : nn.Module
        Not modified.
    build : callable
        From the modules that are closed, and how far, to the couplings.
    """
    closed: dict[str, int] = {}
    graph = build(closed)
    for _ in range(ROUNDS if _own(model, graph.facts.splits) else 0):
        chain = _failure(model, graph)
        if chain is None:
            break
        more = _culprits(model, chain, _own(model, graph.facts.splits), closed)
        if not more:
            break  # nothing that is taken apart stands in the way: the proof says what does
        closed |= more
        graph = build(closed)
    return graph


def _own(model: nn.Module, splits: Iterable[str]) -> frozenset[str]:
    """Return the modules that may hold sizes: torch's own layers read them from what they get."""
    return frozenset(
        name
        for name in splits
        if isinstance(module := model.get_submodule(name), (nn.MultiheadAttention, nn.Unflatten))
        or not type(module).__module__.startswith("torch.nn.")
    )


def _failure(model: nn.Module, graph: ChannelGraph) -> list[str] | None:
    """Return the modules, innermost first, in whose forward a smaller copy fails; None where it runs."""
    copy = meta_copy(model)
    for seed in (0, 1):
        small = shrink(copy, _uneven(graph, seed))
        try:
            with torch.no_grad(), Quick():  # type: ignore[no-untyped-call]
                answer(small, zeros(small, graph.input_shape, 2).to("meta"))
        except Exception as error:
            return modules_of(error, small)
    return None


def _uneven(graph: ChannelGraph, seed: int) -> Removal:
    """Return the removal of another random share of every group."""
    noise = np.random.default_rng(seed)
    picked = [noise.permutation(g.atoms)[: _some(noise, g)] for g in graph.groups]
    return Removal(graph, np.concatenate([np.zeros(0, np.int64), *picked]))


def _some(noise: np.random.Generator, group: Group) -> int:
    """Return how many units of a group go: at least one, where one can."""
    return group.allowed(max(group.multiple, int(noise.uniform(0.1, 0.8) * group.size)))


def _culprits(model: nn.Module, chain: list[str], splits: frozenset[str], closed: Closed) -> dict[str, int]:
    """Return what to close, with all of its class, one level more: from within, a module's own splits, then those of its parts."""
    open_to = {*splits, *closed}
    for name in chain:
        inside = [split for split in open_to if split == name or not name or split.startswith(f"{name}.")]
        steps = [([name] if name in open_to else [], level) for level in (OUTER, LAST, SPLITS)]
        for these, level in (*steps, *((inside, level) for level in (OUTER, LAST, SPLITS, ALL))):
            kinds = {type(model.get_submodule(split)) for split in these if closed.get(split, 0) < level}
            if kinds:
                return {split: level for split in open_to if type(model.get_submodule(split)) in kinds}
    return {}
