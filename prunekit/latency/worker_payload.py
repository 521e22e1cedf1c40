"""The payload of worker processes: models as folders, samples in safetensors files, the request as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from prunekit.config.ids import ModelId
from prunekit.config.recipe import Recipe
from prunekit.config.spec import PruneSpec
from prunekit.errors import LatencyError, PrunekitError
from prunekit.latency.report import Candidate
from prunekit.models.folder import write_folder
from prunekit.models.info import info
from prunekit.runtimes.backends import RUNTIMES
from prunekit.runtimes.quantise import calibration_samples
from prunekit.runtimes.runtime import Files
from prunekit.tasks.base import PLAIN
from prunekit.tasks.batch import Batch
from prunekit.tasks.batches import batches_of, samples_at
from prunekit.tasks.input_form import InputForm, form_of_data, made_of, reads_ids, samples_like
from prunekit.tasks.protocol import ONE_TOKEN, PASS, Task
from prunekit.tasks.resolver import resolve
from prunekit.tasks.stored_batch import read, write

CHECKED = 64
"""Samples on which the outputs of the runtimes are compared; a quarter of it for large images, and few texts: each may be answered with
the scores of a whole vocabulary at every place."""
TEXTS = 4
VARIED = 1024
LARGE = 96 * 96
FORM, COMPARED, CALIBRATION = "form-{}.safetensors", "compared-{}.safetensors", "calibration.safetensors"
CACHED = 2
"""Texts whose keys and values are kept, for one token at a time: they are large."""


@dataclass(frozen=True)
class Request:
    """All that a measuring process needs to know. Plain values: it travels as JSON."""

    folder: str  # the private folder: ``0``, ``1``, ... hold the candidates, and the files named above samples and the form of the inputs
    names: tuple[str, ...]  # names, runtimes: candidates and runtimes; the first of both is the baseline
    runtimes: tuple[str, ...]
    batches: tuple[int, ...]  # samples at a time
    threads: int  # of every runtime
    device: str  # ``cpu`` or ``cuda``
    input_shape: tuple[int, ...]  # of one sample, or of the first floating tensor in it
    budget_s: float  # seconds of turns for each batch
    min_rounds: int
    seed: int
    uncalibrated: str = ""  # why nothing can be quantised; "" where it can
    given_up: dict[str, str] | None = None  # rows that ended a process before, and how
    lengths: tuple[int, ...] = (0,)  # tokens of each sample; 0 where samples are no texts
    phases: tuple[str, ...] = (PASS,)  # names of what is timed, as the task has them

    def write(self) -> Path:
        """Write it into its folder and return the file."""
        path = Path(self.folder) / f"request-{self.threads}.json"
        path.write_text(json.dumps(asdict(self)))
        return path

    @classmethod
    def read(cls, path: Path) -> Request:
        """Read what :meth:`write` wrote."""
        found: dict[str, Any] = json.loads(path.read_text())
        kept: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
        return cls(**kept)

    def form(self, length: int = 0) -> tuple[int, ...]:
        """Return what the models take: the shape of one float tensor, or an `InputForm`."""
        path = Path(self.folder) / FORM.format(length)
        return InputForm.of(read(path)) if path.is_file() else tuple(self.input_shape)

    def compared(self, length: int = 0) -> Batch:
        """Return the samples that the runtimes are compared on."""
        return read(Path(self.folder) / COMPARED.format(length))

    def cache(self, candidate: int, length: int) -> Path:
        """Return the file of what a candidate reads as the last token of a text: its id, and keys and values of the tokens before."""
        return Path(self.folder) / str(candidate) / f"after-{length}.safetensors"

    def files(self, candidate: int, length: int = 0, phase: str = PASS) -> Files:
        """Return where a candidate's files are, or will be."""
        folder, cached = Path(self.folder) / str(candidate), phase == ONE_TOKEN.name
        name = "model" + (f"-{length}" if length else "") + ("-after" if cached else "")
        return Files(folder, folder / f"{name}.onnx", folder / f"{name}.int8.onnx", cached)

    def rows(self) -> list[Row]:
        """Return what is measured, in the order of the report."""
        everyone = range(len(self.names))
        groups = [(batch, length, phase) for phase in self.phases for length in self.lengths for batch in self.batches]
        return [Row(c, runtime, *group) for group in groups for c in everyone for runtime in self.runtimes]


@dataclass(frozen=True)
class Row:
    """One candidate in one runtime at one batch, length and phase."""

    candidate: int
    runtime: str
    batch: int
    length: int = 0
    phase: str = PASS

    @property
    def key(self) -> str:
        """A name for files and tables."""
        return "-".join(map(str, (self.candidate, self.runtime, self.batch, *((self.length, self.phase) if self.length else ()))))

    def of(self, candidate: int, runtime: str) -> Row:
        """Return the row of another candidate and runtime that takes turns with this one."""
        return replace(self, candidate=candidate, runtime=runtime)


def known_ids(models: Mapping[str, nn.Module]) -> dict[str, ModelId]:
    """Return by what each model can be built again in another process.

    A pruned copy is built like the model that it was made from: its class is that of an earlier one, its widths and weights are its own.
    """
    found, built = dict[str, ModelId](), dict[type, ModelId]()
    for name, model in models.items():
        known = info(model).id or built.get(type(model))
        if known is None:
            raise LatencyError(f"{name} cannot be built again in the timing process: load it with prunekit.load_model, then prune it")
        built.setdefault(type(model), known)
        found[name] = known
    return found


def pack_model(model: nn.Module, known: ModelId, folder: Path) -> Path:
    """Write a model to a folder from which another process builds it again."""
    return write_folder(folder, model, Recipe(known.to_dict(), None, PruneSpec()), probed=False)


def pack(candidates: Sequence[Candidate], private: Path) -> None:
    """Write each candidate to a folder of its own."""
    known = known_ids({c.name: c.model for c in candidates})
    for index, candidate in enumerate(candidates):
        pack_model(candidate.model, known[candidate.name], private / str(index))


def pack_samples(
    private: Path,
    shape: tuple[int, ...],
    runtimes: Sequence[str],
    data: Any,
    seed: int,
    *,
    task: Task = PLAIN,
    lengths: Sequence[int] = (0,),
) -> tuple[str, str]:
    """Write the form of the inputs, and the samples that runtimes are compared and calibrated on.

    What the samples are, in a few words; and why nothing can be quantised, "" where it can.
    """
    compared, what = _to_compare(shape, data, seed)
    shape = varied(shape, data, task)
    for length in lengths:
        write(task.at_length(compared, length) if length else compared, private / COMPARED.format(length))
        if isinstance(shape, InputForm):
            write(task.at_length(shape.example, length) if length else shape.example, private / FORM.format(length))
    if not any(RUNTIMES[name].file == "int8" for name in runtimes) or reads_ids(shape):  # linear layers need no samples
        return what, ""
    try:
        if data is None:
            raise LatencyError("int8 is calibrated on training data: give the data")
        write(Batch.concat(calibration_samples(data)), private / CALIBRATION)
    except PrunekitError as error:
        return what, str(error)
    return what, ""


def varied(shape: tuple[int, ...], data: Any, task: Task) -> tuple[int, ...]:
    """Return the form of inputs with many samples of the data for an example, where there are some that fit and are no texts.

    An example of a few samples would have each pass look the same few rows of tables up, which are then in the nearest cache.
    """
    if isinstance(shape, InputForm) and not task.length(shape.example):
        for split in filter(None, (getattr(data, name, None) for name in ("validation", "test"))):
            if len(split) and form_of_data(split) == shape:
                places = np.random.default_rng(0).permutation(len(split))[:VARIED]
                return InputForm.of(replace(samples_at(split, np.sort(places)), targets=None))
    return shape


def _to_compare(shape: tuple[int, ...], data: Any, seed: int) -> tuple[Batch, str]:
    """Return samples of the data where there are some that fit, otherwise made ones, and what they are."""
    n = CHECKED if len(shape) != 3 or shape[1] * shape[2] <= LARGE else CHECKED // 4
    if isinstance(shape, InputForm) and not any(tensor.is_floating_point() for _, tensor in shape.example.named_tensors()):
        n = TEXTS
    for name in ("validation", "test"):
        split = getattr(data, name, None)
        if split is not None and len(split) and form_of_data(split) == shape:
            chosen = next(batches_of(split.subset(min(n, len(split))), n))
            task = resolve(None, data)
            return replace(chosen, targets=None), f"{chosen.samples} {name} {task.units_of_data}"
    return samples_like(shape, n, torch.Generator().manual_seed(seed)), f"{n} samples of {made_of(shape)}"
