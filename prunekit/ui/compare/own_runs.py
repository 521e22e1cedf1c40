"""Runs of the model in use: which of all runs they are, and the data that they can be measured on."""

from __future__ import annotations

from prunekit.comparison.comparison import Comparison
from prunekit.config.ids import DataId
from prunekit.errors import PrunekitError
from prunekit.experiments.naming import placed
from prunekit.experiments.records import Run
from prunekit.reports.material import images_of
from prunekit.ui.shared import data_cache, job_sources, model_cache
from prunekit.ui.shared.data_cache import source_of
from prunekit.ui.shared.model_cache import Loaded
from prunekit.ui.state.settings import Settings


def in_use(now: Settings) -> Loaded | None:
    """Return the model in use; None where it cannot be loaded."""
    try:
        return model_cache.load(source_of(now))
    except PrunekitError:
        return None


def is_of(run: Run, loaded: Loaded) -> bool:
    """Return whether a run was made of a model, at whatever size of its images."""
    usual = loaded.info.input_shape
    if run.weights == model_cache.weights_known(loaded.source, usual or ()):
        return True
    shape = tuple(run.info.get("input_shape") or usual or ())
    if run.model.get("name") != placed(job_sources.model_of(loaded))["name"] or (shape == usual and not run.earlier):
        return False
    known = {model_cache.weights_known(loaded.source, shape)} | (
        {model_cache.earlier_weights_known(loaded.source, shape)} if run.earlier else set()
    )
    return run.weights in known


def data_of(now: Settings, found: Comparison) -> DataId | None:
    """Return the data of a comparison; where its runs name none, those in use, if they were made of the model in use."""
    data, loaded = images_of(found), in_use(now)
    if data is not None or loaded is None or not is_of(found.baseline.run, loaded):
        return data
    name = data_cache.data_name(now, loaded)
    return None if name == data_cache.NO_DATA else job_sources.names(now, loaded)[1]
