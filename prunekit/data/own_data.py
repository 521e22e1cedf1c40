"""``path/to/file.py:factory`` for data: the user's own datasets, with their own transforms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from prunekit.config.ids import DataId
from prunekit.data.dataset import Data, Picture, Split
from prunekit.data.fingerprints import Inputs, chosen, in_memory, known_by, sentence, varies
from prunekit.data.image_folder import SAME, VALIDATION
from prunekit.data.stratified import Indices, held_out
from prunekit.errors import DataError
from prunekit.local_code.factories import call, code_that_ran, load_factory
from prunekit.local_code.local_imports import LOCK
from prunekit.models.info import ModelInfo

NAMES = {"train": "train", "validation": "validation", "val": "validation", "valid": "validation", "test": "test"}
FORMS = "a dataset, (train, test), a dict with train, validation and test, or prunekit's Data"


class OwnSplit(Split):
    """A user's map-style dataset of (float tensor, class index) pairs.

    Parameters
    ----------
    dataset : sequence-like
        ``len(dataset)`` and ``dataset[i] -> (Tensor, int)``.
    name : str
        What to call it in errors.
    indices : ndarray of int64, optional
        Which of its samples; all by default.
    labels : ndarray of int64, optional
        Their class indices, where they are known.
    """

    def __init__(self, dataset: Any, name: str, indices: Indices | None = None, labels: NDArray[np.int64] | None = None) -> None:
        if isinstance(dataset, DataLoader):
            dataset = dataset.dataset
        if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
            raise DataError(f"{name} is a {type(dataset).__name__}: a dataset needs len(dataset) and dataset[i] -> (tensor, class index)")
        self.dataset, self.name = dataset, name
        self._indices = np.arange(len(dataset)) if indices is None else indices
        if not self._indices.size:
            raise DataError(f"{name} is empty: it needs at least one sample")
        self._sample(0)
        self.labels = self._all_labels() if labels is None else labels

    def images(self, indices: Indices) -> Tensor:
        """Return the samples as the user's transforms made them, float32 (n, ...)."""
        samples = [self._sample(int(i))[0] for i in indices]
        for i, x in zip(indices, samples, strict=True):
            if x.shape != samples[0].shape:
                raise DataError(f"{self.name}: sample {i} is {tuple(x.shape)}, others {tuple(samples[0].shape)}; bring them to one size")
        return torch.stack(samples)

    def picture(self, i: int) -> Picture:
        """Return sample ``i`` for the screen, its own range of values stretched over 0..255: uint8, (H, W, C)."""
        x = self._sample(i)[0]
        x = x if x.dim() == 3 and x.shape[0] in (1, 3) else x.reshape(1, 1, -1)
        low, high = float(x.min()), float(x.max())
        levels = ((x - low) * (255 / (high - low or 1.0))).round().to(torch.uint8)
        return levels.permute(1, 2, 0).contiguous().numpy()

    def take(self, indices: Indices) -> OwnSplit:
        """Return the samples at ``indices`` as a split of its own."""
        return OwnSplit(self.dataset, self.name, self._indices[indices], self.labels[indices])

    def _identity(self) -> Iterator[bytes]:
        yield self._indices.tobytes()
        yield self.inputs.digest.encode()

    @cached_property
    def inputs(self) -> Inputs:
        """What tells the samples from others, read once."""
        return known_by(lambda i: self._sample(i)[0], self.dataset, self._indices)

    @property
    def told_by(self) -> str:
        """Which inputs tell it from others, in a sentence where not all of them do."""
        total = self._indices.size
        whole = in_memory(self.dataset, self._indices[:1]) is not None
        return sentence(total if whole else chosen(self.dataset, total, self._sample(0)[0]).size, total)

    @cached_property
    def varies(self) -> bool:
        """Whether samples come out otherwise each time that they are read."""
        return varies(lambda i: self._sample(i)[0], self._indices.size)

    def _sample(self, i: int) -> tuple[Tensor, int]:
        """Return sample ``i``, checked."""
        where = f"{self.name}[{int(self._indices[i])}]"
        try:
            x, y = self.dataset[int(self._indices[i])]
        except (TypeError, ValueError) as error:
            raise DataError(f"{where} is not a pair (tensor, class index): {' '.join(str(error).split())}") from error
        except Exception as error:
            raise DataError(f"{where} failed: {type(error).__name__}: {' '.join(str(error).split())}") from error
        if not isinstance(x, Tensor) or not x.is_floating_point():
            what = f"a tensor of {x.dtype}" if isinstance(x, Tensor) else f"a {type(x).__name__}"
            raise DataError(f"{where} is {what}: its transforms must end in a normalised float tensor")
        return x.detach().to(torch.float32), _label(y, where)

    def _all_labels(self) -> NDArray[np.int64]:
        """Return all class indices: from ``targets`` or ``tensors`` if the dataset has them, else by going through it once."""
        known: Any = getattr(self.dataset, "targets", None)
        if known is None and isinstance(self.dataset, TensorDataset) and len(self.dataset.tensors) == 2:
            known = self.dataset.tensors[1]
        if known is not None and len(known) == len(self.dataset) and not hasattr(self.dataset, "target_transform"):
            return np.array([_label(known[i], self.name) for i in self._indices], dtype=np.int64)
        return np.array([self._sample(i)[1] for i in range(self._indices.size)], dtype=np.int64)


def _label(value: Any, where: str) -> int:
    """Return a class index as a plain integer."""
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = -1
    if number < 0 or number != value:
        raise DataError(f"{where} has the label {value!r}: it must be a class index, 0 or above")
    return number


def load_own(data_id: DataId, known: ModelInfo) -> Data:
    """Return the data that the user's factory returns.

    Raises
    ------
    DataError
        If the factory fails or returns something else.
    """
    if data_id.size or data_id.mean or data_id.std:
        raise DataError(f"size, mean and std belong into the transforms of {data_id.name}: leave them out")
    with LOCK:  # one edition of the file makes them and names them
        factory = load_factory(data_id.name, DataError)
        made = call(data_id.name, factory, DataError) if callable(factory) else factory
        code = code_that_ran(data_id.name)
    if isinstance(made, Data):
        return _coded(replace(made, id=data_id), code)
    parts = _parts(made, data_id.name)
    splits = {name: part if isinstance(part, Split) else OwnSplit(part, f"{data_id.name} ({name})") for name, part in parts.items()}
    if "train" in splits and "validation" not in splits:
        kept, out = held_out(splits["train"].labels, round(VALIDATION * len(splits["train"])))
        if out.size:
            splits |= {"train": splits["train"].take(kept), "validation": splits["train"].take(out)}
    classes = tuple(str(c) for c in getattr(parts["test"], "classes", None) or getattr(factory, "classes", None) or known.classes)
    test = splits["test"]
    pixels = " ".join(filter(None, (f"As the transforms of {data_id.name} make them.", test.told_by if isinstance(test, OwnSplit) else "")))
    restless = [_restless(splits[part], part) for part in ("validation", "test") if part in splits]
    note = " ".join(filter(None, ("" if "train" in splits else SAME, *restless)))
    return _coded(Data(data_id, splits["test"], splits.get("train"), splits.get("validation"), classes, pixels, note), code)


def _coded(data: Data, code: str) -> Data:
    """Return data whose splits say which code made them."""
    for split in (data.train, data.validation, data.test):
        if split is not None:
            split.code = code
    return data


def _restless(split: Split, name: str) -> str:
    """Say that figures on a split are draws, where its samples are."""
    if not isinstance(split, OwnSplit) or not split.varies:
        return ""
    return (
        f"The {name} samples come out otherwise each time they are read, as by a random transform: an accuracy on them is one draw, and "
        "one that is kept may be another's. Leave random transforms to the training part."
    )


def _parts(made: Any, name: str) -> dict[str, Any]:
    """Return the datasets by what they serve as."""
    if isinstance(made, Mapping):
        unknown = [str(key) for key in made if key not in NAMES]
        parts = {NAMES[key]: part for key, part in made.items() if key in NAMES and part is not None}
        if unknown or "test" not in parts:
            raise DataError(
                f"{name} returned a dict with {', '.join(map(str, made)) or 'nothing'}: its keys must be train, validation and test"
            )
        return parts
    if isinstance(made, tuple):
        if len(made) != 2:
            raise DataError(f"{name} returned {len(made)} things: it must return {FORMS}")
        return {"train": made[0], "test": made[1]}
    return {"test": made}
