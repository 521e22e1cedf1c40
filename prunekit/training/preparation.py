"""Training that prepares for a cut: a penalty drives whole channels towards zero before they go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.errors import RecoveryError
from prunekit.evaluation.progress import QUIET, Progress
from prunekit.pruning.api import plan_of
from prunekit.pruning.structured.grouping import CoupledGroup, coupled, trace
from prunekit.training.fine_tuning import Tuner
from prunekit.training.result import Tuned
from prunekit.training.trainer import Report

STRENGTHS = {"group_lasso": 1e-3, "bn_scale": 1e-3, "growing": 1.0}
EPS = 1e-8


def prepared(  # noqa: PLR0917 (what to train for which cut, then on what)
    model: nn.Module, spec: PruneSpec, recovery: Recovery, data: Any, shape: tuple[int, ...], report: Report | None = None,
    progress: Progress = QUIET,
) -> Tuned:  # fmt: skip
    """Train a copy of a dense model with the penalty that a recovery names, for a cut that follows."""
    if spec.mode != "structured":
        raise RecoveryError(
            f"prepare {recovery.prepare!r} drives whole channels to zero, and mode {spec.mode!r} removes none: leave it out"
        )
    tuner = Tuner.of(replace(recovery, epochs=recovery.prepare_epochs, schedule="one-shot", steps=1, distill=0.0), data, model)
    graph = trace(model, shape)
    groups = coupled(graph, plan_of(model, spec, shape, data).gone) if recovery.prepare == "growing" else coupled(graph)
    strength = STRENGTHS[recovery.prepare] if recovery.penalty is None else recovery.penalty
    course = replace(tuner.course(recovery.prepare_epochs), penalty=lambda owned: PENALTIES[recovery.prepare](owned, groups, strength))
    # the last epoch is wanted, not the best: quality falls while channels shrink
    tuned = replace(tuner, validation=None).run(model, course, report=report, progress=progress)
    return replace(tuned, notes=tuner.notes)


Penalty = Callable[[float], None]
"""Adds to the gradients, told which share of the steps is done."""
Part = tuple[Tensor, int, Tensor, Tensor]


def _parts(model: nn.Module, group: CoupledGroup) -> list[Part]:
    """Return the parameters of a group: each with its axis, elements and units."""
    known = dict(model.named_parameters())
    found = ((known.get(m.tensor), m) for m in group.members)
    return [
        (p, m.axis, torch.from_numpy(m.positions).to(p.device), torch.from_numpy(m.units).to(p.device)) for p, m in found if p is not None
    ]


def _add(part: Part, scale: Tensor) -> None:
    """Add to a gradient the parameter times a number for each unit."""
    p, axis, positions, units = part
    if p.grad is None:
        return
    rows = p.detach().movedim(axis, 0)[positions] * scale[units].view(-1, *[1] * (p.dim() - 1)).to(p)
    p.grad.movedim(axis, 0).index_add_(0, positions, rows)


def group_lasso(model: nn.Module, groups: tuple[CoupledGroup, ...], strength: float) -> Penalty:
    """Penalise the norm of everything that goes with each unit (Yuan and Lin 2006; over coupled layers as in Fang et al. 2023)."""
    every = [(group.size, _parts(model, group)) for group in groups]

    def add(done: float) -> None:
        for size, parts in every:
            square = torch.zeros(size)
            for p, axis, positions, units in parts:
                rows = p.detach().movedim(axis, 0)[positions].flatten(1) if p.dim() > 1 else p.detach()[positions][:, None]
                square.index_add_(0, units.cpu(), rows.square().sum(1).float().cpu())
            scale = strength / (square.sqrt() + EPS)
            for part in parts:
                _add(part, scale.to(part[0].device))

    return add


def bn_scale(model: nn.Module, groups: tuple[CoupledGroup, ...], strength: float) -> Penalty:
    """Penalise the size of BatchNorm's scales where channels may go (Liu et al. 2017, Network Slimming)."""
    norms = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, _BatchNorm)}
    names = {member.tensor for group in groups for member in group.members} & norms
    scales = [p for name, p in model.named_parameters() if name in names]
    if not scales:
        raise RecoveryError("prepare 'bn_scale' penalises scales of BatchNorm, and no channel that may go has one: choose group_lasso")

    def add(done: float) -> None:
        for p in scales:
            if p.grad is not None:
                p.grad.add_(p.detach().sign(), alpha=strength)

    return add


def growing(model: nn.Module, groups: tuple[CoupledGroup, ...], strength: float) -> Penalty:
    """Decay what is going to go, ever faster (Wang et al. 2021, Neural Pruning via Growing Regularization)."""
    every = [(np.isin(np.arange(group.size), group.removed), _parts(model, group)) for group in groups if group.removed]

    def add(done: float) -> None:
        for going, parts in every:
            for part in parts:
                _add(part, torch.from_numpy(strength * done * going).to(part[0].device))

    return add


PENALTIES = {"group_lasso": group_lasso, "bn_scale": bn_scale, "growing": growing}
