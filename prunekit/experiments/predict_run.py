"""Predictions of a run, kept: for each image its class and probability."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prunekit.config.ids import DataId, ModelId
from prunekit.errors import DataError, StoreError
from prunekit.evaluation.progress import QUIET, Progress
from prunekit.experiments.load_run import Opened, open_run
from prunekit.experiments.measured_samples import Images, how
from prunekit.experiments.records import Measurement
from prunekit.experiments.store import RunStore
from prunekit.models.running import classes_of
from prunekit.tasks.batches import batches_of
from prunekit.tasks.classification import Classification

WHAT = "predictions"
BATCH = 256


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model says about the images of a split, in their order.

    Attributes
    ----------
    classes : ndarray of int16, shape [n]
        The class with the highest score.
    confidence : ndarray of float32, shape [n]
        Its softmax probability, 0..1 (not calibrated).
    """

    classes: NDArray[np.int16]
    confidence: NDArray[np.float32]

    def packed(self) -> bytes:
        """Return them as compressed bytes."""
        return zlib.compress(self.classes.astype("<i2").tobytes() + self.confidence.astype("<f4").tobytes())

    @classmethod
    def unpacked(cls, payload: bytes, n: int) -> Predictions:
        """Return what was packed.

        Raises
        ------
        StoreError
            If it is damaged.
        """
        try:
            plain = zlib.decompress(payload)
            return cls(np.frombuffer(plain, "<i2", n).astype(np.int16), np.frombuffer(plain, "<f4", n, 2 * n).astype(np.float32))
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
        return Predictions.unpacked(seen.observations, len(images))
    if stored:
        return None
    found = ask(open_run(known, store, data=images.data), images.part, progress, images.task.units_of_data)
    where = (data_id.to_dict(), images.hashed, split, len(images))
    store.put_measurement(Measurement(name, known.id, *where, {"n": len(images)}, found.packed(), WHAT, **how(known)))
    return found


def ask(opened: Opened, part: object, progress: Progress = QUIET, units: str = "images") -> Predictions:
    """Return what an opened run says about samples, called ``units`` where progress is told."""
    classes, confidence, done = list[Tensor](), list[Tensor](), 0
    total = len(part)  # type: ignore[arg-type]
    for batch in batches_of(part, BATCH):
        progress.check()
        best = opened.scores(batch, classes_of(part)).double().softmax(1).max(1)
        classes.append(best.indices)
        confidence.append(best.values)
        done += batch.samples
        progress(done / total, f"{done} of {total} {units}")
    if not classes:
        raise DataError("there are no images to ask about: choose data that are not empty")
    return Predictions(torch.cat(classes).numpy().astype(np.int16), torch.cat(confidence).numpy().astype(np.float32))
