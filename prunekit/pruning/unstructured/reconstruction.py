"""SparseGPT on one layer: weights are removed by their effect on the layer's output, and the kept ones make up for it.

Frantar and Alistarh 2023, SparseGPT: Massive Language Models Can Be Accurately Pruned in One-Shot; arXiv:2301.00774.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from prunekit.errors import ModelError

BLOCK = 128
"""Columns whose errors are made up for within themselves before they are passed on."""
DAMPING = 0.01
"""Of the mean of the diagonal, what is added to it."""


@dataclass(frozen=True)
class Goal:
    """How much goes from a layer."""

    count: int = 0  # how many weights go, where there is no pattern; those that are zero already among them
    pattern: tuple[int, int] | None = None  # N and M: of every M consecutive columns N stay
    # after so many columns, the inputs at one place of a kernel, blocks of a pattern begin anew; what is no whole block stays
    inputs: int | None = None
    by_row: bool = False  # whether every row loses as many, rather than the layer as a whole

    def blocks(self, columns: int) -> dict[int, int]:
        """Return where each block of the pattern begins and ends."""
        assert self.pattern is not None
        m, run = self.pattern[1], self.inputs or columns
        return {c: min(c + m, start + run, columns) for start in range(0, columns, run) for c in range(start, min(start + run, columns), m)}


def reconstruct(weight: Tensor, product: Tensor, goal: Goal, *, block: int = BLOCK, damping: float = DAMPING) -> tuple[Tensor, Tensor]:
    """Prune a matrix so that its products with the inputs change as little as can be.

    Columns are gone through from the first to the last. Which weights of a block of columns go is decided when it is reached, on the
    weights as they are by then: those of the lowest ``w**2 / d**2``, with ``d`` the column's diagonal in the Cholesky factor of the
    inverse of X'X. What a column loses is made up for by the columns behind it.

    ``weight`` [rows, columns]: float32. ``product`` [columns, columns], or [rows] where each row meets one input alone and nothing can
    make up for it: X'X of the inputs. Returned are the new weight, zero where it was removed, and which weights stay.
    """
    if product.dim() == 1:
        score = weight.square() * product[:, None]
        if goal.pattern:
            spans = [slice(*ends) for ends in goal.blocks(weight.shape[1]).items()]
            kept = torch.cat([_pattern(score[:, span], weight[:, span] == 0, *goal.pattern) for span in spans], 1)
        else:
            kept = _kept(score, weight == 0, goal, goal.count)
        return weight.masked_fill(~kept, 0), kept
    w, zero = weight.clone(), weight == 0
    kept = torch.ones_like(zero)
    factor, there = _factor(product, damping), product.diagonal() > 0
    columns, gone = weight.shape[1], 0
    ends = goal.blocks(columns) if goal.pattern else {}
    whole = 1 if goal.pattern is None else goal.pattern[1] if (goal.inputs or 0) % goal.pattern[1] == 0 else goal.inputs or 1
    block = max(block // whole, 1) * whole  # holds whole blocks of the pattern
    for start in range(0, columns, block):
        end = min(start + block, columns)
        part, own = w[:, start:end].t().contiguous(), factor[start:end, start:end]  # a column lies in one piece: twice as fast
        errors, diagonal = torch.zeros_like(part), own.diagonal()
        if goal.pattern is None:
            wanted = round(goal.count * end / columns) - gone
            score = w[:, start:end].square() / diagonal.square() * there[start:end]
            kept[:, start:end] = _kept(score, zero[:, start:end], goal, wanted)
            gone += int((~kept[:, start:end]).sum())
        for i in range(end - start):
            if goal.pattern is not None and start + i in ends:
                span = slice(start + i, ends[start + i])
                within = slice(i, span.stop - start)
                score = part[within].t().square() / diagonal[within].square() * there[span]
                kept[:, span] = _pattern(score, zero[:, span], *goal.pattern)
            errors[i] = torch.where(kept[:, start + i], 0, part[i]) / diagonal[i]
            part[i:].addr_(own[i, i:], errors[i], alpha=-1)
        w[:, start:end] = part.t()
        w[:, end:] -= errors.t() @ factor[start:end, end:]
    return w.masked_fill(~kept, 0), kept


def _factor(product: Tensor, damping: float) -> Tensor:
    """Return the upper Cholesky factor of the inverse of X'X, by float64 if float32 fails; an input that is never there is alone."""
    for kind in (torch.float32, torch.float64):
        damped = product.to(kind, copy=True)
        diagonal = damped.diagonal()
        dead = diagonal == 0
        diagonal += damping * diagonal.mean() + dead
        lower, failed = torch.linalg.cholesky_ex(damped)
        if failed and kind is torch.float32:
            continue
        factor, failed = torch.linalg.cholesky_ex(torch.cholesky_inverse(lower), upper=True)
        if not failed and bool(torch.isfinite(factor.diagonal()).all()):
            found: Tensor = factor.float()
            return found
    raise ModelError("the inputs of a layer cannot be told apart: look at more samples, or choose another criterion, such as wanda")


def _kept(score: Tensor, zero: Tensor, goal: Goal, wanted: int) -> Tensor:
    """Return which weights of a block stay where so many go: no fewer than are zero already."""
    ranked = score.masked_fill(zero, -1)
    wanted = min(max(wanted, int(zero.sum())), score.numel())
    kept = torch.ones_like(zero)
    if not goal.by_row:
        lowest = ranked.flatten().topk(wanted, largest=False, sorted=False).indices
        kept.view(-1)[lowest] = False
        return kept
    each, more = divmod(wanted, len(score))
    order = ranked.sort(dim=1, stable=True).indices
    counts = torch.full((len(score), 1), each)
    counts[:more] += 1
    places = torch.arange(score.shape[1]).expand_as(order)
    return kept.scatter_(1, order, places >= counts) & ~zero


def _pattern(score: Tensor, zero: Tensor, n: int, m: int) -> Tensor:
    """Return which of M columns stay in each row: the N best, all of what is no whole M."""
    if score.shape[1] < m:
        return ~zero
    lowest = score.masked_fill(zero, -1).topk(m - n, dim=1, largest=False).indices
    return torch.ones_like(zero).scatter_(1, lowest, False) & ~zero
