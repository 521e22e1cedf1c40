"""What a run's model answered when it was measured, and that a model which is opened as that run answers the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from prunekit.config.ids import ModelId
from prunekit.errors import CheckpointError
from prunekit.experiments.records import Run
from prunekit.models.probe import Probe, difference, take
from prunekit.models.saved_values import code_of

FEW = 256
"""Values of outputs that are noted: a row is kept of every point of a curve."""


def vouched(model: nn.Module, model_id: ModelId, shape: Sequence[int]) -> dict[str, Any]:
    """Return what is noted of a model's answers; its tensors are told by the hash that is noted too."""
    return {"probe": take(model, shape, code=code_of(model_id.name), most=FEW, hashed=False).to_dict()}


def otherwise(run: Run, model: nn.Module) -> str:
    """Say by what a model's answers differ from those that were noted of a run; "" where they do not, or none were noted."""
    noted = run.info.get("probe")
    if not noted:
        return ""
    try:
        return difference(model, Probe.from_dict(noted), code=code_of(str(run.model.get("name", ""))))
    except CheckpointError as error:
        return str(error)
