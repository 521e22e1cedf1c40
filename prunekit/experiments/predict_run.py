"""Predictions of a run, kept: for each image its class and probability."""

from __future__ import annotations

import zlib

import numpy as np

from prunekit.config.ids import DataId, ModelId
from prunekit.errors import DataError, StoreError
from prunekit.evaluation.accuracy import Predictions, each_batch
from prunekit.evaluation.progress import QUIET, Progress
from prunekit.experiments.load_run import open_run
from prunekit.experiments.measured_samples import Images, how
from prunekit.experiments.records import Measurement
from prunekit.experiments.store import RunStore
from prunekit.models.running import classes_of
from prunekit.tasks.classification import Classification

WHAT = "predictions"


def pack(found: Predictions) -> bytes:
    """Return predictions as compressed bytes: classes as int16, probabilities as float32."""
    return zlib.compress(found.classes.astype("<i2").tobytes() + found.confidences.astype("<f4").tobytes())


def unpack(payload: bytes, n: int) -> Predictions:
    """Return what was packed; a StoreError where it is damaged."""
    try:
        plain = zlib.decompress(payload)
        return Predictions(np.frombuffer(plain, "<i2", n).astype(np.int64), np.frombuffer(plain, "<f4", n, 2 * n).astype(np.float64))
    except (zlib.error, ValueError) as error:
        raise StoreError(f"the stored predictions are damaged ({error}): delete the run and save it again") from error


def predictions(
    run: str,
    data_id: DataId,
    split: str,
    store: RunStore,
    *,
    progress: Progress = QUIET,
    stored: bool = False,
) -> Predictions | None:
    """Return what a run says about every image of a split: from the store, or computed and kept."""
    known = store.find(run)
    images = Images.of(ModelId.from_dict(known.model), data_id, split)
    if not isinstance(images.task, Classification):
        if stored:
            return None
        raise DataError(f"{images.task.title} has no classes to predict: predictions are kept of classifiers alone")
    name = images.name_of(known, WHAT)
    seen = store.measurement(name)
    if seen is not None and seen.observations is not None and not seen.earlier:
        return unpack(seen.observations, len(images))
    if stored:
        return None
    opened, classes = open_run(known, store, data=images.data), classes_of(images.part)
    found = Predictions.of(each_batch(lambda batch: opened.scores(batch, classes), images.part, progress=progress))
    if not len(found.classes):
        raise DataError("there are no images to ask about: choose data that are not empty")
    payload, where = pack(found), (data_id.to_dict(), images.hashed, split, len(images))
    store.put_measurement(Measurement(name, known.id, *where, {"n": len(images)}, payload, WHAT, **how(known)))
    return unpack(payload, len(images))
