"""A whole recovery on one worker of a cluster, as `recover` does it here."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

from torch import nn

from prunekit.errors import SpecError
from prunekit.evaluation.progress import Progress
from prunekit.experiments.cluster.client import Cluster
from prunekit.experiments.cluster.worker import Call, Loaded
from prunekit.experiments.experiment import Experiment, Keeper
from prunekit.experiments.requests import AccuracyRequest
from prunekit.models.info import info, remember
from prunekit.training.gradual import recover
from prunekit.training.result import Epoch, Recovered


def recover_at(
    address: str,
    request: AccuracyRequest,
    model: nn.Module,
    data: Any,
    *,
    input_shape: tuple[int, ...] | None,
    report: Callable[[Epoch], object],
    progress: Progress,
) -> Recovered:
    """Have a worker prune and recover a model; the learning curve comes in the end."""
    if not request.recovery.active:
        raise SpecError("a cut alone is made here in seconds: leave --cluster out, or fine-tune with --epochs")
    here = Experiment(request, model, data, Keeper(None))
    call = Call(_recovered, request, here.weights, here.data_hash, request.recovery.title(), (input_shape,))
    with closing(Cluster(address)) as cluster:
        [(_, found)] = cluster.results([call], progress, model=model)
    for made in filter(None, (found.model, found.before, found.recalibrated)):
        remember(made, info(model))  # what is known of a model does not travel
    for epoch in found.history:
        report(epoch)
    return found  # type: ignore[no-any-return]


def _recovered(request: AccuracyRequest, loaded: Loaded, progress: Progress, input_shape: tuple[int, ...] | None) -> Recovered:
    """Do it, on the worker."""
    assert request.spec is not None
    return recover(loaded.model, request.spec, request.recovery, loaded.data, input_shape=input_shape, progress=progress)
