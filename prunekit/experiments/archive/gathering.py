"""What is known of a run beside its weights: what it expects of pixels, and on which images its forms are compared."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prunekit.config.ids import DataId, ModelId
from prunekit.data.load import load_data
from prunekit.errors import PrunekitError
from prunekit.evaluation.progress import eval_mode
from prunekit.experiments.archive.manifest import ArchiveError
from prunekit.experiments.load_run import Opened
from prunekit.experiments.sources import load
from prunekit.models.info import ModelInfo, info
from prunekit.models.load import load_model
from prunekit.models.outputs import joined
from prunekit.models.running import classes_of, file_outputs, own_task
from prunekit.tasks.batch import Batch
from prunekit.tasks.batches import batches_of
from prunekit.tasks.classification import Classification
from prunekit.tasks.input_form import InputForm, form_of_data, made_of, samples_like
from prunekit.tasks.resolver import resolve

COMPARED, COMPARED_LARGE, LARGE = 256, 32, 96 * 96
"""Images that forms are compared on; for large images; from how many pixels on an image is large."""
BATCH = 64

Floats = tuple[float, ...]


@dataclass(frozen=True)
class Pixels:
    """What a model expects of its input."""

    shape: tuple[int, ...]  # of one sample, or an `InputForm`
    mean: Floats | None = None  # mean, std: of each channel, for pixels in 0..1; None where nobody said
    std: Floats | None = None
    classes: tuple[str, ...] = ()  # names of the outputs, where they are known
    sentence: str = ""  # which pixels exactly, where that is known

    @property
    def image(self) -> bool:
        """Whether it is known how an image becomes the input."""
        known = self.mean is not None and self.std is not None
        return known and len(self.shape) == 3 and len(self.mean or ()) == len(self.std or ()) == self.shape[0]


@dataclass(frozen=True, eq=False)
class Gathered:
    """What the forms of a run are compared on."""

    pixels: Pixels  # what the run expects
    inputs: Batch
    outputs: dict[str, Tensor]  # what the run itself gives for them, by path: all tensors with an entry for each sample
    places: dict[str, int]  # which tensor of the whole output each of them is
    path: str | None  # which of them are the class scores; None where the model gives none, or nobody can tell
    what: str  # what the samples are, in a few words
    notes: tuple[str, ...] = ()  # what a person should know
    # what ``model.onnx`` gives, by name and in order, where the user's own task calls the model or names its tensors in its own way
    filed: dict[str, Tensor] | None = None

    @property
    def classes(self) -> int:
        """How many class scores there are; 0 where there are none."""
        return 0 if self.path is None else int(self.outputs[self.path].shape[1])


def gather(opened: Opened) -> Gathered:
    """Collect what is known of a run, and let it predict."""
    known = _known(opened)
    data, notes = _data(opened, known)
    if data is not None and opened.shape is not None and tuple(form_of_data(data)) != tuple(opened.shape):
        # nobody measured it on these: a run without data is of the size that it was made for
        notes = (f"The forms were compared on {made_of(opened.shape)}: {data.id.name} has samples of another shape than the run.",)
        data = None
    pixels = _pixels(opened, known, data)
    inputs, what = _inputs(pixels.shape, data)
    parts = [inputs.take(np.arange(start, min(start + BATCH, inputs.samples))) for start in range(0, inputs.samples, BATCH)]
    sizes = [len(part) for part in parts]
    found = [opened.outputs(part) for part in parts]
    outputs, places = joined(found, sizes), {path: place for place, path in enumerate(found[0])}
    if not outputs:
        raise ArchiveError("the model gives no tensor with an entry for each sample, so that nothing can be compared")
    path = None
    if isinstance(resolve(opened.model, data), Classification):
        path = opened.path_of_scores(outputs, len(pixels.classes) or classes_of(getattr(data, "test", None)))
    filed = None
    task = None if opened.model is None else own_task(opened.model)
    if opened.model is not None and task is not None:
        with eval_mode(opened.model), torch.inference_mode():
            each = [file_outputs(opened.model, task.forward(opened.model, part), part) for part in parts]
        filed = joined(each, sizes)
    return Gathered(pixels, inputs, outputs, {name: places[name] for name in outputs}, path, what, notes, filed)


def _known(opened: Opened) -> ModelInfo:
    """Return what the catalog knows of the run's model, or of the one that it was made from."""
    models: list[nn.Module] = [model for model in (opened.model, opened.dense) if model is not None]
    found = next((known for known in map(info, models) if known.id is not None), None)
    if found is not None:
        return found
    try:
        return info(load_model(ModelId.from_dict(opened.run.model)))
    except (PrunekitError, OSError):
        return info(opened.model) if opened.model is not None else ModelInfo()


def _data(opened: Opened, known: ModelInfo) -> tuple[Any, tuple[str, ...]]:
    """Return the data that the run was measured on, or those of its model where nothing is downloaded for them; and what failed."""
    data_id = opened.data_id or (DataId(known.data) if known.data == "digits" else None)
    if data_id is None:
        return None, ()
    try:
        return load(ModelId.from_dict(opened.run.model), data_id)[1], ()
    except (PrunekitError, OSError):
        pass  # the dense model may be gone: its run knows enough
    try:
        return load_data(data_id, model=opened.model), ()
    except (PrunekitError, OSError) as error:
        return None, (
            f"The forms were compared on {made_of(known.input_shape or ())}: the data {data_id.name} cannot be loaded ({error}).",
        )


def _pixels(opened: Opened, known: ModelInfo, data: Any) -> Pixels:
    """Return what the model expects: as the images were made that it was measured on, else as the catalog says."""
    test = getattr(data, "test", None)
    normal = getattr(test, "normal", None)
    shape = form_of_data(test) if test is not None else _shape(opened, known)
    mean, std = (known.mean, known.std) if normal is None else (normal.mean, normal.std)
    classes = tuple(getattr(data, "classes", ())) or known.classes
    return Pixels(shape, _floats(mean), _floats(std), classes, str(getattr(data, "pixels", "")))


def _shape(opened: Opened, known: ModelInfo) -> tuple[int, ...]:
    """Return the shape of a sample."""
    shape = opened.shape or known.input_shape
    if shape is None:
        raise ArchiveError("nobody knows what input this model takes: set input_shape on its factory, or measure the run on data first")
    return shape if isinstance(shape, InputForm) else tuple(int(side) for side in shape)


def _floats(values: Floats | None) -> Floats | None:
    """Return plain numbers."""
    return None if values is None else tuple(float(value) for value in values)


def _inputs(shape: tuple[int, ...], data: Any) -> tuple[Batch, str]:
    """Return test samples where there are data, otherwise noise, and what they are."""
    n = COMPARED_LARGE if len(shape) == 3 and shape[1] * shape[2] > LARGE else COMPARED
    if data is not None and len(data.test):
        split = data.test.subset(n)
        whole = Batch.concat([replace(batch, targets=None) for batch in batches_of(split, BATCH)])
        return whole, f"{len(split)} test {resolve(None, data).units_of_data} of {data.id.name.rpartition('/')[2]}"
    return samples_like(shape, n, torch.Generator().manual_seed(0)), f"{n} samples of {made_of(shape)}"
