"""One cut of a gradual schedule: made on the weights as they are now, counted against the dense model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import nn

from prunekit.anatomy import count
from prunekit.errors import RecoveryError
from prunekit.pruning import Ranking, mask, prune
from prunekit.pruning.result import PruneResult
from prunekit.pruning.schedule import SCHEDULES
from prunekit.recover.shrinking import Shrinking
from prunekit.recovery import Recovery
from prunekit.spec import PruneSpec

Cut = Callable[[nn.Module, PruneSpec], PruneResult]
"""From the model as it is now and the setting of a cut to all that has gone from the dense model; ``model`` has the present weights."""


def settings_of(spec: PruneSpec, recovery: Recovery) -> tuple[PruneSpec, ...]:
    """Return the pruning setting of each cut; what overrides ask for rises with the total.

    Raises
    ------
    RecoveryError
        If a gradual schedule is asked for where there is no sparsity to rise to.
    """
    if recovery.schedule == "one-shot":
        return (spec,)
    if spec.mode == "nm":
        raise RecoveryError(
            f"the pattern {spec.pattern} has one sparsity, and schedule {recovery.schedule!r} needs several: choose one-shot"
        )
    if spec.sparsity is None:
        raise RecoveryError(f"schedule {recovery.schedule!r} rises to a sparsity: give one instead of a threshold, or choose one-shot")
    shares = SCHEDULES[recovery.schedule](spec.sparsity, recovery.steps, 0.0)
    return tuple(_scaled(spec, share) for share in shares)


def _scaled(spec: PruneSpec, share: float) -> PruneSpec:
    """Return a setting at a smaller sparsity, its overrides in proportion."""
    assert spec.sparsity is not None
    part = share / spec.sparsity if spec.sparsity else 1.0
    return replace(spec.at(share), overrides=tuple((name, value * part) for name, value in spec.overrides))


def cutter(model: nn.Module, spec: PruneSpec, recovery: Recovery, data: Any, shape: tuple[int, ...]) -> Cut:
    """Return what carries out the cuts of a schedule on a dense model."""
    if recovery.schedule == "one-shot":
        return lambda now, setting: prune(now, setting, data, input_shape=shape)
    if spec.mode == "structured":
        return Shrinking(model, spec, data, shape).cut
    before = count(model, shape)

    def tighter(now: nn.Module, setting: PruneSpec) -> PruneResult:
        # weights that are zero already go first, so that the masks only ever grow
        return replace(mask(now, Ranking.of(now, setting, data), setting, shape), before=before)

    return tighter
