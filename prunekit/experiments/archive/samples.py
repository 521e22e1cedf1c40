"""Three real inputs with what the model answers, and which test samples its accuracy is of: ``samples.safetensors`` in an archive."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from prunekit.config.ids import DataId, ModelId
from prunekit.data.stratified import Indices
from prunekit.errors import DataError, PrunekitError
from prunekit.experiments.archive.gathering import Gathered
from prunekit.experiments.archive.manifest import SAMPLES, ArchiveError
from prunekit.experiments.load_run import Opened
from prunekit.experiments.records import QUALITY, Measurement
from prunekit.experiments.sources import load
from prunekit.experiments.store import RunStore
from prunekit.formatting import error as small
from prunekit.models.outputs import joined
from prunekit.models.probe import rounding
from prunekit.runtimes.checking import apart
from prunekit.tasks.batch import Batch
from prunekit.tasks.batches import batches_of, samples_at
from prunekit.tasks.input_form import InputForm
from prunekit.tasks.stored_batch import flattened, nested

Asked = Callable[[Batch], Mapping[str, Tensor]]
SHOWN = 3
INPUTS, TENSORS = "inputs", ("outputs", "indices", "labels")
NESTED = "inputs."
"""How the names of inputs begin where they are no tensor alone; how they are nested stands in the metadata."""
OTHERS = "outputs."
"""How the names of outputs begin that are no class scores; their path follows."""
ROUNDING_INT8 = 0.05
"""Kernels for int8 round otherwise on another processor."""


@dataclass(frozen=True, eq=False)
class Samples:
    """What a model is known by to a stranger."""

    # inputs, outputs: a few samples, and what the model gives for them, one sample at a time: the class scores, or its first output where
    # it gives none
    inputs: Batch
    outputs: Tensor
    # indices, labels: positions in the test part of the data of those samples that the quality is of, and their targets, classes or
    # numbers; empty where there are no data, or targets that are no table
    indices: Tensor
    labels: Tensor
    allowed: float  # largest difference of outputs, by the largest output, that is put down to rounding
    data: str  # name of the data; "" for noise
    path: str = ""  # where ``outputs`` stand in what the model returns; "" where it returns a tensor alone
    scores: bool = True  # whether they are class scores
    others: Mapping[str, Tensor] = field(default_factory=dict)  # what else the model gives, by path

    @property
    def alone(self) -> Tensor | None:
        """The inputs where they are one float tensor."""
        form = InputForm.of(self.inputs)
        return self.inputs.args[0] if form.plain and not self.inputs.kwargs else None

    @property
    def nest(self) -> dict[str, Any] | None:
        """How the inputs are nested, by the names of their tensors; None for one float tensor."""
        return None if self.alone is not None else flattened(self.inputs, NESTED)[1]

    def write(self, folder: Path) -> None:
        """Write them into a folder."""
        told = {"allowed": self.allowed, "data": self.data, "path": self.path, "scores": self.scores}
        told |= {} if self.nest is None else {"nest": self.nest}
        tensors = {name: getattr(self, name).contiguous() for name in TENSORS}
        inputs = flattened(self.inputs, NESTED)[0] if self.alone is None else {INPUTS: self.alone}
        tensors |= {name: tensor.clone().contiguous() for name, tensor in inputs.items()}
        tensors |= {OTHERS + path: tensor.contiguous() for path, tensor in self.others.items()}
        save_file(tensors, str(folder / SAMPLES), metadata={"prunekit": json.dumps(told)})
        (folder / SAMPLES).chmod(0o644)

    @classmethod
    def read(cls, folder: Path) -> Samples | None:
        """Read them; None where an archive of an earlier version holds none."""
        path = folder / SAMPLES
        if not path.is_file():
            return None
        try:
            with safe_open(str(path), framework="pt") as file:
                told = json.loads((file.metadata() or {})["prunekit"])
                tensors = {name: file.get_tensor(name) for name in TENSORS}
                extra = [name for name in file.keys() if name.startswith(OTHERS)]  # noqa: SIM118 (it is no mapping)
                others = {name.removeprefix(OTHERS): file.get_tensor(name) for name in extra}
                inputs = _inputs_in(file, told.get("nest"))
            where, scores = str(told.get("path", "")), bool(told.get("scores", True))
            return cls(inputs, **tensors, allowed=float(told["allowed"]), data=str(told["data"]), path=where, scores=scores, others=others)
        except (SafetensorError, OSError, ValueError, KeyError, TypeError, RecursionError, DataError) as error:
            raise ArchiveError(f"{SAMPLES} in the archive is damaged ({' '.join(str(error).split())[:120]}): it is not taken in") from None

    def check(self, ask: Asked) -> None:
        """Raise where a model does not answer as these samples say."""
        found, wanted = answers(ask, self.inputs), {self.path: self.outputs, **self.others}
        off = max(apart(expected, found[path]) if path in found else math.inf for path, expected in wanted.items())
        if not off <= self.allowed:
            raise ArchiveError(
                f"the model in the archive does not give the outputs that {SAMPLES} holds for its samples: they differ by {small(off)} of "
                f"the largest ({self.allowed:g} is allowed). A file was changed, or other code builds the model here: it is not taken in"
            )


def _inputs_in(file: Any, nest: Any) -> Batch:
    """Return the inputs in a file."""
    if nest is None:
        return Batch.of(file.get_tensor(INPUTS))
    return nested({name: file.get_tensor(name) for name in file.keys() if name.startswith(NESTED)}, nest)  # noqa: SIM118 (it is no mapping)


def answers(ask: Asked, inputs: Batch) -> dict[str, Tensor]:
    """Return the outputs of samples by path, one sample at a time."""
    found = [ask(inputs.take(np.array([place]))) for place in range(inputs.samples)]
    kept = joined(found, [1] * len(found))
    return {path: tensor.float() if tensor.is_floating_point() else tensor for path, tensor in kept.items()}


def stated(run: str, store: RunStore) -> Measurement | None:
    """Return the accuracy that an archive states: on the most test samples."""
    seen = [m for m in store.measurements(run) if m.what in QUALITY and m.split == "test"]
    return max(seen, key=lambda m: (m.n, m.id), default=None)


def samples_of(opened: Opened, gathered: Gathered, store: RunStore) -> Samples:
    """Return the samples of a run: of the data that it was measured on, noise where there are none."""
    allowed = ROUNDING_INT8 if opened.model is None else rounding(opened.model)
    seen = stated(opened.run.id, store)
    data_id = opened.data_id if seen is None else DataId.from_dict(seen.data)
    found = None if data_id is None else chosen(opened, data_id, 0 if seen is None else seen.n)
    inputs, indices, labels, name = gathered.inputs.take(SHOWN), torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), ""
    if found is not None and data_id is not None:
        test, places = found
        inputs, name = replace(samples_at(test, places[:SHOWN]), targets=None), _short(data_id.name)
        indices, labels = torch.from_numpy(places), targets_of(test.take(places))
    outputs = answers(opened.outputs, inputs)
    if not outputs:
        raise ArchiveError("the model gives no tensor with an entry for each sample, so that nothing can be compared")
    path = gathered.path if gathered.path in outputs else next(iter(outputs))
    others = {other: tensor for other, tensor in outputs.items() if other != path}
    return Samples(inputs, outputs[path], indices, labels, allowed, name, path, path == gathered.path, others)


def chosen(opened: Opened, data_id: DataId, images: int) -> tuple[Any, Indices] | None:
    """Return the whole test part of data, and the positions in it of the samples that were measured; None where they cannot be had."""
    try:
        test = load(ModelId.from_dict(opened.run.model), replace(data_id, limit=None))[1].test
    except (PrunekitError, OSError):
        return None
    places = np.arange(len(test))
    for n in (data_id.limit, images):  # in the order in which they were taken
        places = places[test.take(places).choice(n)] if n and n < len(places) else places
    return test, places


def targets_of(part: Any) -> Tensor:
    """Return the targets of samples as one tensor; an empty one where they are none."""
    labels = getattr(part, "labels", None)
    if labels is not None:
        return torch.from_numpy(np.asarray(labels))
    each = [batch.targets for batch in batches_of(part, 256)]
    return torch.cat(each) if all(isinstance(targets, Tensor) for targets in each) else torch.zeros(0, dtype=torch.int64)


def _short(name: str) -> str:
    """Return the name of data, without the folders that they lie in."""
    return name.rpartition("/")[2]
