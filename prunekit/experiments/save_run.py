"""Saving a setting as a run: made, measured on the test images, and marked as asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from prunekit.config.ids import DataId, ModelId
from prunekit.config.recipe import Recipe
from prunekit.config.recovery import Recovery
from prunekit.data.dataset import samples_of
from prunekit.errors import PrunekitError
from prunekit.evaluation.before_after import Assessment, Snapshot, assess
from prunekit.evaluation.progress import QUIET, Progress
from prunekit.evaluation.quality import Evaluation
from prunekit.evaluation.sizes import outdated, sizes
from prunekit.experiments.backfill import fill
from prunekit.experiments.experiment import Experiment, Keeper
from prunekit.experiments.home import weights_folder
from prunekit.experiments.identity import data_hash, for_task, trained_on, weights_of
from prunekit.experiments.load_run import vouched
from prunekit.experiments.new_run import course, dense_run, facts, placed, pruned_run
from prunekit.experiments.records import Label, Measurement, Run
from prunekit.experiments.requests import AccuracyRequest
from prunekit.experiments.run_structure import layers_of
from prunekit.experiments.sources import how, load
from prunekit.experiments.store import RunStore
from prunekit.models.cost import count
from prunekit.models.folder import is_folder, placed_data, write_folder
from prunekit.models.info import guesses, info
from prunekit.pruning.api import sample_shape
from prunekit.tasks.input_form import noted
from prunekit.training.gradual import recover
from prunekit.training.result import Recovered

MAKING = 0.8  # share of the progress that recovery takes, where there is one


def save(
    request: AccuracyRequest,
    store: RunStore,
    progress: Progress = QUIET,
    *,
    model: nn.Module | None = None,
    data: Any = None,
    called: str = "",
) -> Run:
    """Make what a setting leads to, measure it and the dense model on all test images, and mark it as saved.

    What the store holds is not made again: only what is not known of it is measured. Without data all but the accuracy is kept.
    """
    named = Label("", name=called).name  # too long a one is refused before any work
    if model is None or (data is None and request.data is not None):
        model, data = load(request.model, request.data)
    run = _alone(request, model, store, progress) if data is None else _measured(request, model, data, store, progress)
    store.relabel(run, saved=True, **({"name": named} if named else {}))
    return store.find(run)


def _measured(request: AccuracyRequest, model: nn.Module, data: Any, store: RunStore, progress: Progress) -> str:
    """Make a run where it is not there, measure what is not known of it, and return its id."""
    assert request.data is not None
    experiment = Experiment(replace(request, split="test", images=0), model, data, Keeper(None, progress))
    run = experiment.run(request.spec, request.recovery)
    if request.spec is not None and not is_here(run, store):
        _make(request, experiment, store, progress)
    else:
        dense = _dense(experiment, store)
        fill([dense.id, run.id], request.data, "test", store, progress=progress)
    return run.id


def _alone(request: AccuracyRequest, model: nn.Module, store: RunStore, progress: Progress) -> str:
    """Make a run without data, and return its id: counts and sizes are known of it, and no accuracy."""
    shape = sample_shape(model)
    if request.spec is None:
        run, size = dense_run(request.model, weights_of(model, shape)), sizes(model, progress=progress)
        told = {**facts(model, None, count(model, shape), 0.0, shape), "sizes": size.to_dict(), **vouched(model, request.model, shape)}
        store.put_run(replace(run, info=told))
        return run.id
    known = store.get_run(pruned_run(request.model, weights_of(model, shape), request.spec, request.recovery, "").id)
    if known is not None and not known.earlier and not outdated(known.info.get("sizes")) and is_here(known, store):
        return known.id
    made = recover(model, request.spec, request.recovery, None, input_shape=shape, progress=progress)
    found = assess(model, made.result, progress=progress)
    return keep_made(request.model, model, made, found, store).id


def _make(request: AccuracyRequest, experiment: Experiment, store: RunStore, progress: Progress) -> None:
    """Make, measure and keep a run."""
    assert request.spec is not None
    share, shape = MAKING if request.recovery.active else 0.0, experiment.shape
    making, measuring = progress.part(0.0, share), progress.part(share, 1.0)
    made = recover(experiment.model, request.spec, request.recovery, experiment.data, input_shape=shape, progress=making)
    known = experiment.accuracy_in(store, experiment.run(None, Recovery()).id)
    found = assess(experiment.model, made.result, experiment.part, baseline=known, progress=measuring)
    keep_made(request.model, experiment.model, made, found, store, data_id=request.data, data=experiment.data)


def _dense(experiment: Experiment, store: RunStore) -> Run:
    """Return the run of the dense model, kept now where it was not."""
    run = experiment.run(None, Recovery())
    if store.get_run(run.id) is None:
        made = experiment.made_dense()
        told = facts(made.model, None, made.counts, made.sparsity, experiment.shape)
        store.put_run(replace(run, info={**told, **vouched(made.model, experiment.model_id, experiment.shape)}))
    return run


def is_here(run: Run, store: RunStore) -> bool:
    """Whether a run was made before and can be opened: recovered weights have to be there."""
    return store.get_run(run.id) is not None and (run.kind != "recovered" or is_folder(weights_folder(run.id)))


def keep_made(
    model_id: ModelId,
    model: nn.Module,
    made: Recovered,
    found: Assessment,
    store: RunStore,
    *,
    data_id: DataId | None = None,
    data: Any = None,
) -> Run:
    """Keep what was made already, with the dense model that it was made from: weights, counts, sizes and accuracy on test images."""
    shape, spec, recovery = made.result.input_shape, made.result.spec, made.recovery
    model_id = model_id if data is None else for_task(model_id, model, data)
    weights = weights_of(model, shape, model_id.task)
    on = trained_on(data, spec, recovery) if data is not None else ""
    kept = {} if data_id is None else {"data": placed_data(data_id.to_dict())}
    dense = dense_run(model_id, weights)
    kept |= guessed(model, data, shape)
    before = facts(model, None, found.before.counts, 0.0, shape) | guessed(model, data, shape)
    dense = replace(dense, info={**before, **_sizes(found.before), **vouched(model, model_id, shape)})
    run = pruned_run(model_id, weights, spec, recovery, on)
    told = {**facts(made.model, spec, found.after.counts, made.result.achieved.sparsity, shape), **_sizes(found.after), **kept}
    told |= vouched(made.model, model_id, shape)
    if recovery.active:
        told |= {
            **course(made),
            "file": _keep_weights(run, made, Recipe(placed(model_id), kept.get("data"), spec, recovery.to_dict(), noted(shape)), data),
        }
    run = replace(run, info=told)
    store.put_run(dense)
    store.put_run(run)
    for each, accuracy in ((dense, found.before.accuracy), (run, found.after.accuracy)):
        if accuracy is not None and data_id is not None:
            store.put_measurement(_measurement(each, accuracy, data_id, data))
    return run


def _sizes(side: Snapshot) -> dict[str, Any]:
    """Return the four sizes, as a run notes them, where the slow one was measured too."""
    return {} if side.sizes.gzip is None else {"sizes": side.sizes.to_dict()}


def _keep_weights(run: Run, made: Recovered, recipe: Recipe, data: Any) -> str:
    """Write recovered weights beside the store and return the name of the folder."""
    folder = weights_folder(run.id)
    try:
        write_folder(folder, made.model, recipe, layers_of(made.result), samples=samples_of(data))
    except PrunekitError:
        # another process may have written the same run in the same moment
        if not is_folder(folder):
            raise
    return folder.name


def _measurement(run: Run, accuracy: Evaluation, data_id: DataId, data: Any) -> Measurement:
    """Return an accuracy on all test images as a measurement."""
    return Measurement.of(run.id, accuracy, data_id.to_dict(), data_hash(data.test), "test", versions=how(run)["versions"])


def guessed(model: nn.Module, data: Any, shape: Sequence[int]) -> dict[str, Any]:
    """Return what is noted of a shape that was guessed; what was guessed of samples is noted of what is measured on them."""
    found = guesses(model) if data is None and tuple(shape) == info(model).input_shape else ()
    return {"guesses": list(found)} if found else {}
