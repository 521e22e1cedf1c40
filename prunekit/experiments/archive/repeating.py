"""The accuracy that an archive or a folder states, measured again on the very samples that it is of."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prunekit.config.ids import DataId, ModelId
from prunekit.config.recipe import Recipe
from prunekit.data.load import load_data
from prunekit.errors import DataError, PrunekitError
from prunekit.evaluation.accuracy import evaluate
from prunekit.evaluation.progress import QUIET, Progress, Tell
from prunekit.evaluation.quality import Evaluation, quality_document
from prunekit.experiments.archive.allow_list import trusted_recipe
from prunekit.experiments.archive.importing import NEEDED, built, trusted
from prunekit.experiments.archive.manifest import INT8, ArchiveError
from prunekit.experiments.archive.reader import recipe_in, unpack
from prunekit.experiments.archive.result_file import result_in, stated_in
from prunekit.experiments.archive.samples import Samples, targets_of
from prunekit.experiments.home import store as usual_store
from prunekit.experiments.store import RunStore
from prunekit.formatting import ordinary, percent
from prunekit.local_code.factories import is_factory
from prunekit.models.folder import is_folder, read_result
from prunekit.models.info import info
from prunekit.models.load import load_model
from prunekit.runtimes.backends import RUNTIMES
from prunekit.runtimes.checking import evaluate_session
from prunekit.runtimes.runtime import Files, Session
from prunekit.tasks.batches import batches_of, samples_at
from prunekit.tasks.classification import ACCURACY

ROUNDING = 1e-5  # by which sums of floats may differ between machines


@dataclass(frozen=True, eq=False)
class Repeated:
    """An accuracy measured again."""

    accuracy: Evaluation | None  # as it was measured here; None where nothing says on which data
    stated: Mapping[str, Any] | None  # ``value`` and ``n`` as stated
    data: Mapping[str, Any] | None  # plain fields of the data
    sentence: str  # whether it is the same, and how the model is known to be the one that was saved

    @property
    def same(self) -> bool | None:
        """Whether as many samples are right as stated, or another metric is the same up to rounding; None where nothing is stated."""
        if self.accuracy is None or self.stated is None:
            return None
        if self.accuracy.metric.name != self.stated.get("metric", ACCURACY.name) or self.accuracy.n != int(self.stated["n"]):
            return False
        if not self.accuracy.is_accuracy:
            return math.isclose(self.accuracy.value, float(self.stated["value"]), rel_tol=ROUNDING, abs_tol=ROUNDING)
        return _right(self.accuracy.to_dict()) == _right(self.stated)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        stated = None if self.stated is None else dict(self.stated)
        return {**quality_document(self.accuracy), "stated": stated, "same": self.same, "data": self.data, "sentence": self.sentence}


def repeat(
    source: str | PathLike[str],
    store: RunStore | None = None,
    *,
    factory: str | None = None,
    task: str | None = None,
    data: str | None = None,
    samples_to: str | PathLike[str] | None = None,
    progress: Progress | Tell = QUIET,
) -> Repeated:
    """Open an archive or a folder, and measure its headline metric again. Nothing of it is kept, and no code in it is run."""
    place, progress = Path(source).expanduser(), Progress.of(progress)
    if place.is_dir():
        if not is_folder(place):
            raise ArchiveError(f"{place} is no folder that prunekit wrote: name what `prunekit prune --out` or `prunekit export` made")
        model = load_model(place)
        opened = _Opened(model, None, None, info(model).measured, _of_folder(place), info(model).checked, task=task)
        return opened.again(data, samples_to, progress)
    where = usual_store() if store is None else store
    with tempfile.TemporaryDirectory(prefix="prunekit-check-") as private:
        return _unpacked(place, Path(private), where, factory, task).again(data, samples_to, progress)


@dataclass(frozen=True, eq=False)
class _Opened:
    """A model, and what is stated of it."""

    model: nn.Module | None
    session: Session | None
    samples: Samples | None
    data_id: DataId | None
    stated: Mapping[str, Any] | None
    checked: str
    task: str | None = None
    needed: str = ""

    def again(self, data: str | None, samples_to: str | PathLike[str] | None, progress: Progress) -> Repeated:
        """Measure."""
        if data is None and self.data_id is None:
            noun = "Accuracy" if self.stated is None else str(self.stated.get("title", "Accuracy"))
            why = f"{noun}: not measured, and {self.needed or 'no data are named: give --data to measure it'}"
            return Repeated(None, self.stated, None, f"{why}. {self.checked[:1].upper()}{self.checked[1:]}.")
        data_id = self.data_id or DataId(str(data))
        data_id = data_id if data is None else replace(data_id, name=data)
        test = self._test(data_id)
        if samples_to is not None:
            if not hasattr(test, "labels") or (self.samples is not None and self.samples.nest is not None):
                raise DataError("only images with a class each are written into a file, for load.py measures no other: leave --samples out")
            images = np.concatenate([part.args[0].numpy() for part in batches_of(test, 256)])
            np.savez(Path(samples_to).expanduser(), images=images, labels=np.asarray(test.labels))
        if self.session is not None:
            found = evaluate_session(self.session, test, task=self.task, model=self.model, progress=progress)
        else:
            assert self.model is not None
            found = evaluate(self.model, test, task=self.task, progress=progress)
        told = Repeated(found, self.stated, data_id.to_dict(), "")
        return replace(told, sentence=f"{_compared(told)}. {self.checked[:1].upper()}{self.checked[1:]}.")

    def _test(self, data_id: DataId) -> Any:
        """Return the test samples that the accuracy is of."""
        if self.samples is None or not len(self.samples.indices):
            return load_data(data_id, model=self.model).test
        whole = load_data(replace(data_id, limit=None), model=self.model).test
        places, labels = self.samples.indices.numpy(), self.samples.labels.numpy()
        test = whole.take(places) if places.min() >= 0 and places.max() < len(whole) else None
        if test is None or (len(labels) and not same_tensors(targets_of(test), self.samples.labels)):
            other = "classes" if labels.dtype.kind == "i" else "targets"
            raise DataError(f"the test part of {data_id.name} here is not the one that was measured: its samples have other {other}")
        test.classes = whole.classes
        mine, theirs = (
            dict(each.named_tensors()) for each in (samples_at(test, np.arange(self.samples.inputs.samples)), self.samples.inputs)
        )
        if mine.keys() != theirs.keys() or not all(same_tensors(mine[name], theirs[name]) for name in theirs):
            raise DataError(
                f"the test samples of {data_id.name} here are not those that were measured: they hold other values, as other "
                "pixels or another normalisation, or texts read by another tokeniser or to another length"
            )
        return test


def same_tensors(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same, floats up to rounding."""
    if one.shape != other.shape or one.is_floating_point() != other.is_floating_point():
        return False
    return torch.allclose(one.double(), other.double(), rtol=1e-4, atol=1e-4) if one.is_floating_point() else torch.equal(one, other)


def _unpacked(place: Path, folder: Path, store: RunStore, factory: str | None, task: str | None) -> _Opened:
    """Open an archive in a private folder; files of somebody's own that it names are not run."""
    manifest = unpack(place, folder, NEEDED)
    asked, samples, stated = recipe_in(folder), Samples.read(folder), stated_in(result_in(folder))
    recipe, needed = trusted(folder, store, factory, task), _needed(asked, stated)
    told = None if stated is None else stated["data"]
    if told is not None:
        told = trusted_recipe(replace(asked, data=told), store).data
    if INT8 not in manifest.files:
        model, recipe = built(folder, manifest, recipe, store, factory)
        data = told if told is not None and recipe.data is not None else recipe.data
        data_id = None if data is None else DataId.from_dict(data)
        value = None if stated is None else stated["value"]
        return _Opened(model, None, samples, data_id, value, info(model).checked, task, needed)
    session = RUNTIMES["int8"].open(Files(folder, folder / "model.onnx", folder / INT8))
    if samples is not None:
        samples.check(session.outputs)
    data = told or recipe.data
    data_id = None if data is None else DataId.from_dict(data)
    try:
        base = load_model(ModelId.from_dict(dict(recipe.model or {})))
    except (PrunekitError, OSError):
        base = None  # it knows how pixels are prepared; the pixels are compared in any case
    checked = "it gives the outputs that were saved with its samples" if samples is not None else "its outputs were not noted"
    return _Opened(base, session, samples, data_id, None if stated is None else stated["value"], checked, task, needed)


def _needed(recipe: Recipe, stated: Mapping[str, Any] | None) -> str:
    """Say which code of somebody's own it would take to measure again; "" where it takes none."""
    data = (recipe.data if stated is None else stated.get("data")) or {}
    task, name = str((recipe.model or {}).get("task") or ""), str(data.get("name") or "")
    wanted = [f"--data path/to/{name.rpartition('/')[2]}"] if is_factory(name) else []
    wanted += [f"--task path/to/{task.rpartition('/')[2]}"] if is_factory(task) else []
    if not wanted:
        return ""
    return f"code that an archive names is not run by itself: if you trust it give {' '.join(wanted)}"


def _of_folder(folder: Path) -> Mapping[str, Any] | None:
    """Return the accuracy in what ``prunekit prune`` wrote."""
    after = read_result(folder).get("after")
    told = after.get("accuracy") if isinstance(after, dict) else None
    if told is None and isinstance(after, dict) and isinstance(after.get("metrics"), dict):
        found = after["metrics"].get(after.get("metric"))
        told = {**found, "metric": after["metric"]} if isinstance(found, dict) else None
    return told if isinstance(told, dict) and {"value", "n"} <= told.keys() else None


def _right(told: Mapping[str, Any]) -> int:
    """Return how many samples are right."""
    return round(float(told["value"]) * int(told["n"]))


def _compared(told: Repeated) -> str:
    """Say how what was measured compares with what is stated."""
    assert told.accuracy is not None
    if not told.accuracy.is_accuracy or (told.stated or {}).get("metric", ACCURACY.name) != ACCURACY.name:
        return _compared_values(told.accuracy, told.stated, bool(told.same))
    here = f"{ordinary(percent(told.accuracy.value))}: {_right(told.accuracy.to_dict()):,} of {told.accuracy.n:,} test samples are right"
    if told.stated is None:
        return f"Accuracy {here}; none is stated"
    if told.same:
        return f"Accuracy {here}, as stated"
    stated = ordinary(percent(float(told.stated["value"])))
    return f"Accuracy {here}; stated are {stated}, {_right(told.stated):,} of {int(told.stated['n']):,}"


def _compared_values(found: Evaluation, stated: Mapping[str, Any] | None, same: bool) -> str:
    """Say the same of any other metric."""
    here = f"{found.metric.title} {found.metric.format(found.value)} on {found.n:,} test samples"
    if stated is None:
        return f"{here}; none is stated"
    if same:
        return f"{here}, as stated"
    if stated.get("metric", ACCURACY.name) != found.metric.name:
        return f"{here}; stated is {stated.get('title', stated.get('metric', ACCURACY.name))}, which is another metric"
    return f"{here}; stated is {found.metric.format(float(stated['value']))} on {int(stated['n']):,}"
