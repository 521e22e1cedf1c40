"""Pruning in several steps: how far each step goes, and masks that only ever grow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from prunekit.config import fields as check
from prunekit.config.kinds import Share
from prunekit.config.spec import PruneSpec
from prunekit.errors import SpecError
from prunekit.models.layers import weight_of
from prunekit.models.meta_copy import copied
from prunekit.pruning.unstructured.masks import Ranking, check_unstructured

Schedule = Callable[[float, int, float], tuple[float, ...]]


def agp(final: float, steps: int, start: float = 0.0) -> tuple[float, ...]:
    """Return rising sparsities, fast at first and ever slower: automated gradual pruning.

    ``s[t] = final + (start - final) * (1 - t / steps) ** 3`` for t = 1 .. steps.

    Parameters
    ----------
    final : float
        Sparsity at the end, at least 0 and below 1.
    steps : int
        How many steps, at least 1.
    start : float
        Sparsity before the first step, from 0 to ``final``.

    Returns
    -------
    tuple of float
        Sparsity after each step, never falling; the last one is ``final``.

    Raises
    ------
    SpecError
        If a number is out of its range.

    References
    ----------
    Zhu and Gupta 2017, To prune, or not to prune; arXiv:1710.01878.

    Examples
    --------
    >>> agp(0.5, 2)
    (0.4375, 0.5)
    """
    return _rising(lambda t: final + (start - final) * (1 - t) ** 3, final, steps, start)


def iterative(final: float, steps: int, start: float = 0.0) -> tuple[float, ...]:
    """Return rising sparsities of which each removes the same share of what is left.

    Parameters, returns and errors as for :func:`agp`.

    References
    ----------
    Han et al. 2015, Learning both Weights and Connections; arXiv:1506.02626. Frankle and Carbin 2019, The Lottery Ticket Hypothesis;
    arXiv:1803.03635 (the same share in each round).

    Examples
    --------
    >>> iterative(0.75, 2)
    (0.5, 0.75)
    """
    return _rising(lambda t: 1 - (1 - start) * ((1 - final) / (1 - start)) ** t, final, steps, start)


def linear(final: float, steps: int, start: float = 0.0) -> tuple[float, ...]:
    """Return sparsities that rise by the same amount; parameters, returns and errors as for :func:`agp`.

    Examples
    --------
    >>> linear(0.5, 2)
    (0.25, 0.5)
    """
    return _rising(lambda t: start + (final - start) * t, final, steps, start)


SCHEDULES: dict[str, Schedule] = {"agp": agp, "iterative": iterative, "linear": linear}
"""Gradual schedules by name."""


def _rising(at: Callable[[float], float], final: float, steps: int, start: float) -> tuple[float, ...]:
    """Return a curve at ``steps`` even points of (0, 1], exact at the end, and level where rounding would make it fall."""
    Share()("final", final)
    Share()("start", start)
    check.whole("steps", steps, 1)
    if start > final:
        raise SpecError(f"start must be at most final, {final:g}: pruning does not bring weights back; got {start!r}")
    found = [float(start)]
    for t in range(1, steps):
        found.append(min(max(at(t / steps), found[-1]), float(final)))
    return (*found[1:], float(final))


def tighten(model: nn.Module, spec: PruneSpec, sparsities: Iterable[float], data: Any = None) -> Iterator[dict[str, Tensor]]:
    """Yield masks step by step, each scored on what the one before has left.

    Unlike :func:`prunekit.pruning.masks_at`, which scores once, a criterion that runs the model (Taylor, SNIP, Wanda) sees it pruned. For
    those that look at weights alone both give the same masks: what has gone does not change the rank of what is left, not for LAMP either.

    Parameters
    ----------
    model : nn.Module
        The dense model; not modified.
    spec : PruneSpec
        An unstructured setting; its own sparsity or threshold is ignored.
    sparsities : iterable of float
        Each at least 0 and below 1, as a schedule gives them. One below what has gone already changes nothing.
    data : Data or Split, optional
        For criteria that look at training data.

    Yields
    ------
    dict of str to BoolTensor
        Layer name to mask, True where a weight stays; each a subset of the one before.

    Raises
    ------
    PruningError
        If the mode is not unstructured, or a total is out of reach.
    """
    check_unstructured(spec)
    working = copied(model)
    for sparsity in sparsities:
        ranking = Ranking.of(working, spec, data)
        masks = ranking.masks(ranking.cut(sparsity))
        with torch.no_grad():
            for name, mask in masks.items():
                weight = weight_of(working, name)
                weight.masked_fill_(~mask.to(weight.device), 0)
        yield masks
