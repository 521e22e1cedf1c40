"""What is measured of runs later: accuracy of some on the same images, their sizes, and the predictions of one, kept."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from prunekit.config.ids import DataId, ModelId
from prunekit.errors import DataError, PrunekitError, RunGone, StoreError
from prunekit.evaluation.accuracy import Predictions, each_batch, evaluate
from prunekit.evaluation.compression import BY, gzipped
from prunekit.evaluation.file_layout import widened
from prunekit.evaluation.progress import QUIET, Cancelled, Progress, Warn
from prunekit.evaluation.sizes import file_bytes, outdated
from prunekit.evaluation.sizes import sizes as sizes_of_model
from prunekit.experiments.load_run import Opened, open_run
from prunekit.experiments.records import Measurement, Run
from prunekit.experiments.run_structure import cut_of, same_shapes
from prunekit.experiments.sources import Images, how
from prunekit.experiments.store import RunStore
from prunekit.models.running import classes_of
from prunekit.runtimes.checking import evaluate_session
from prunekit.tasks.classification import Classification
from prunekit.tasks.input_form import form_of_data


def fill(
    run_ids: Sequence[str],
    data_id: DataId,
    split: str,
    store: RunStore,
    *,
    sizes: bool = True,
    progress: Progress = QUIET,
    warn: Warn | None = None,
) -> None:
    """Measure the accuracy on a whole split of those runs that lack it, and the sizes of those that lack them.

    ``split``: {"train", "validation", "test"}: which part of them.
    """
    runs = [store.find(name) for name in dict.fromkeys(run_ids)]
    lacking = _Lacking(data_id, split, store, sizes)
    for place, run in enumerate(runs):
        progress.check()
        try:
            lacking.fill(run, progress.step(place, len(runs), f"{run.title}: "))
        except (RunGone, PrunekitError) as error:
            if isinstance(error, Cancelled) or (isinstance(error, StoreError) and not isinstance(error, RunGone)) or warn is None:
                raise
            warn(str(error))


class _Lacking:
    """What some runs lack on one part of some data; these are loaded when the first run needs them."""

    def __init__(self, data_id: DataId, split: str, store: RunStore, sizes: bool) -> None:
        self.data_id, self.split, self.store, self.sizes = data_id, split, store, sizes
        self._loaded: dict[ModelId, Images] = {}

    def fill(self, run: Run, progress: Progress) -> None:
        """Measure what a run lacks."""
        model_id = ModelId.from_dict(run.model)
        if model_id not in self._loaded:
            self._loaded[model_id] = Images.of(model_id, self.data_id, self.split)
        images = self._loaded[model_id]
        known = self.store.measurement(images.name_of(run))
        seen = known is not None and not known.earlier
        sized = not self.sizes or ("sizes" in run.info and not outdated(run.info["sizes"]))
        if seen and sized:
            return
        if not seen:
            _fits(run, images)
        opened = open_run(run, self.store, data=images.data)
        if not seen:
            self.store.put_measurement(accuracy_of(opened, images, progress.part(0.0, 0.9)))
        if not sized:
            progress(0.9, "sizes")
            self.store.put_run(replace(run, info={"sizes": sizes_of(opened, self.store, progress)}))


def _fits(run: Run, images: Images) -> None:
    """Raise where a run was made for samples of another shape, as one without data may have been."""
    made, here = run.info.get("input_shape"), form_of_data(images.part)
    if made and tuple(made) != tuple(here):
        was, are = (" × ".join(map(str, shape)) for shape in (made, here))
        raise DataError(f"{run.title} was made for samples of {was}, and those of {images.data_id.name} are {are}: name other data")


def accuracy_of(opened: Opened, images: Images, progress: Progress = QUIET) -> Measurement:
    """Measure the accuracy of a run in its runtime."""
    if opened.session is not None:
        found = evaluate_session(opened.session, images.part, model=opened.base(), progress=progress)
    else:
        assert opened.model is not None
        found = evaluate(opened.model, images.part, progress=progress)
    seen = Measurement.of(opened.run.id, found, images.data_id.to_dict(), images.hashed, images.split)
    return replace(seen, id=images.name_of(opened.run), **how(opened.run))


def sizes_of(opened: Opened, store: RunStore, progress: Progress = QUIET) -> dict[str, Any]:
    """Return the four sizes of a run in bytes; None for what cannot be told."""
    if opened.model is None:
        assert opened.file is not None
        packed = gzipped(opened.file.read_bytes())
        return {"dense": None, "gzip": packed, "sparse": None, "surgery": opened.file.stat().st_size, "gzip_how": "measured", "gzip_by": BY}
    dense, removal = cut_of(opened, store)
    if removal is None and not same_shapes(dense, opened.model):
        return {"dense": file_bytes(dense), "gzip": None, "sparse": None, "surgery": file_bytes(opened.model)}
    wide = None if removal is None else widened(dense, opened.model, removal)
    return sizes_of_model(opened.model, zeroed=wide, progress=progress).to_dict()


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
