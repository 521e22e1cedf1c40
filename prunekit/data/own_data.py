"""``path/to/file.py:factory`` for data: the user's own datasets, with their own transforms."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from prunekit.config.ids import DataId
from prunekit.data.dataset import Data, Picture, Split, centre
from prunekit.data.fingerprints import Inputs, chosen, in_memory, known_by, sentence, varies
from prunekit.data.image_files import normalisation
from prunekit.data.image_folder import SAME, VALIDATION
from prunekit.data.own_samples import OwnSamples, OwnTexts, check_no_nan, first_of, of_its_own_form, stretched, tokens_in
from prunekit.data.stratified import Indices, held_out
from prunekit.data.text import Texts, coding_of, labelled
from prunekit.errors import DataError
from prunekit.local_code.contract import wrong
from prunekit.local_code.factories import call, code_that_ran, load_factory
from prunekit.local_code.local_imports import LOCK
from prunekit.models.info import FORMS, ModelInfo, canonical

TAKEN = "Validation is taken from the training samples: a model that learnt from all of them before does better on it than on the test."
"""Said where the validation part is held out of the training part here."""
NAMES = {"train": "train", "validation": "validation", "val": "validation", "valid": "validation", "test": "test"}


@dataclass(frozen=True)
class Preparation:
    """What is done to samples after the user's own transforms: nothing, but to pixels, or where somebody asked for it."""

    mean: tuple[float, ...] | None = None  # mean, std: one number, or one for each channel
    std: tuple[float, ...] | None = None
    size: int | None = None  # side to which images are resized

    def apply(self, x: Tensor) -> Tensor:
        """Return samples (n, ...) resized and normalised."""
        if self.size is not None:
            x = centre(x, self.size)
        if self.mean is not None:
            x = x - self._over(x, self.mean)
        return x if self.std is None else x / self._over(x, self.std)

    def sentence(self) -> str:
        """Say it, as the end of a sentence; nothing where nothing is done."""
        size = "" if self.size is None else f"resized to {self.size} pixels and cropped to the centre"
        numbers = [f"{field} {', '.join(f'{v:.4g}' for v in values)}" for field in ("mean", "std") if (values := getattr(self, field))]
        return "".join(f", {part}" for part in (size, f"normalised by {' and '.join(numbers)}" if numbers else "") if part)

    def check(self, x: Tensor, name: str) -> None:
        """Raise unless samples like ``x`` can be prepared."""
        if self.size is not None and x.dim() != 3:
            raise DataError(f"{name} holds no images but samples of shape {tuple(x.shape)}, which cannot be resized: leave the size out")
        for field, values in (("mean", self.mean), ("std", self.std)):
            channels = x.shape[0] if x.dim() else 1
            if values is not None and len(values) not in (1, channels):
                raise DataError(f"{name} needs 1 or {channels} value(s) of {field}, one for each channel; got {len(values)}")

    @staticmethod
    def _over(x: Tensor, values: tuple[float, ...]) -> Tensor:
        """Return numbers along the channels of samples."""
        return torch.tensor(values, dtype=torch.float32).reshape(-1, *[1] * max(x.dim() - 2, 0))


AS_IT_IS = Preparation()


class OwnSplit(Split):
    """A user's map-style dataset of (tensor, class index) pairs: float as the model takes it, or uint8 pixels.

    ``dataset``: ``len(dataset)`` and ``dataset[i] -> (Tensor, int)``.
    """

    def __init__(
        self,
        dataset: Any,
        name: str,
        indices: Indices | None = None,
        labels: NDArray[np.int64] | None = None,
        prepared: Preparation = AS_IT_IS,
    ) -> None:
        if isinstance(dataset, DataLoader):
            dataset = dataset.dataset
        if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
            raise wrong(f"{name} is a {type(dataset).__name__}, which has no len() or no [i]", DataError)
        self.dataset, self.name, self.prepared = dataset, name, prepared
        self._indices = np.arange(len(dataset)) if indices is None else indices
        if not self._indices.size:
            raise DataError(f"{name} is empty: it needs at least one sample")
        prepared.check(self._sample(0)[0], name)
        self.labels = self._all_labels() if labels is None else labels

    def images(self, indices: Indices) -> Tensor:
        """Return the samples as the user's transforms made them, float32 (n, ...)."""
        samples = [self._sample(int(i))[0] for i in indices]
        for i, x in zip(indices, samples, strict=True):
            check_no_nan(x, f"{self.name}[{int(self._indices[i])}]")
            if x.shape != samples[0].shape:
                raise DataError(f"{self.name}: sample {i} is {tuple(x.shape)}, others {tuple(samples[0].shape)}; bring them to one size")
        return self.prepared.apply(torch.stack(samples))

    @property
    def are_pixels(self) -> bool:
        """Whether its samples are pixels of 0 to 255."""
        return self._raw(0)[0].dtype == torch.uint8

    @property
    def pictured(self) -> bool:
        """Whether its samples are pictures, and no rows of numbers."""
        return self._raw(0)[0].dim() > 1

    def picture(self, i: int) -> Picture:
        """Return sample ``i`` for the screen, its own range of values stretched over 0..255: uint8, (H, W, C)."""
        return stretched(self._sample(i)[0])

    def take(self, indices: Indices) -> OwnSplit:
        """Return the samples at ``indices`` as a split of its own."""
        return OwnSplit(self.dataset, self.name, self._indices[indices], self.labels[indices], self.prepared)

    def under(self, prepared: Preparation) -> OwnSplit:
        """Return the same samples, prepared in another way."""
        return OwnSplit(self.dataset, self.name, self._indices, self.labels, prepared)

    def _identity(self) -> Iterator[bytes]:
        if self.prepared != AS_IT_IS:
            yield repr(self.prepared).encode()
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
        """Return sample ``i``, checked, as float32: pixels in 0..1."""
        x, y = self._raw(i)
        return (x.to(torch.float32) / 255 if x.dtype == torch.uint8 else x.to(torch.float32)), y

    def _raw(self, i: int) -> tuple[Tensor, int]:
        """Return sample ``i`` as the dataset gives it, checked."""
        where = f"{self.name}[{int(self._indices[i])}]"
        try:
            x, y = self.dataset[int(self._indices[i])]
        except (TypeError, ValueError) as error:
            raise wrong(f"{where} is not a pair (tensor, class index): {' '.join(str(error).split())}", DataError) from error
        except Exception as error:
            raise DataError(f"{where} failed: {type(error).__name__}: {' '.join(str(error).split())}") from error
        if not isinstance(x, Tensor) or not (x.is_floating_point() or x.dtype == torch.uint8):
            what = f"a tensor of {x.dtype}" if isinstance(x, Tensor) else f"a {type(x).__name__}"
            raise wrong(f"{where} is {what}, neither a float tensor nor pixels (uint8)", DataError)
        return x.detach(), _label(y, where)

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
        raise wrong(f"{where} has the label {' '.join(repr(value).split())[:60]}, which is no class index", DataError)
    return number


def load_own(data_id: DataId, known: ModelInfo) -> Data:
    """Return the data that the user's factory returns."""
    with LOCK:  # one edition of the file makes them and names them
        factory = load_factory(data_id.name, DataError)
        made = call(data_id.name, factory, DataError) if callable(factory) else factory
        code = code_that_ran(data_id.name)
    if isinstance(made, Data):
        if data_id.size or data_id.mean or data_id.std:
            raise DataError(f"{data_id.name} returns data that prunekit has prepared: give size, mean and std where it loads them")
        return _coded(replace(made, id=data_id), code)
    parts = _parts(made, data_id.name)
    known = replace(known, tokeniser=known.tokeniser or getattr(factory, "tokeniser", None))
    if _written(factory, parts):
        return _coded(_of_texts(data_id, known, factory, parts), code)
    if any(getattr(factory, name, None) is not None for name in ("task", "collate")) or any(map(of_its_own_form, parts.values())):
        return _coded(_of_its_own_form(data_id, known, factory, parts), code)
    splits = {name: part if isinstance(part, Split) else OwnSplit(part, f"{data_id.name} ({name})") for name, part in parts.items()}
    told = {field: _attribute(field, factory) for field in ("mean", "std", "classes")}
    prepared, guesses = _preparation(data_id, splits["test"], known, told)
    if prepared != AS_IT_IS:
        splits = {name: part.under(prepared) if isinstance(part, OwnSplit) else part for name, part in splits.items()}
    if "train" in splits and "validation" not in splits:
        kept, out = held_out(splits["train"].labels, round(VALIDATION * len(splits["train"])))
        if out.size:
            splits |= {"train": splits["train"].take(kept), "validation": splits["train"].take(out)}
    classes = _attribute("classes", parts["test"], strict=False) or told["classes"] or known.classes
    test = splits["test"]
    made_by = f"As the transforms of {data_id.name} make them{prepared.sentence()}."
    pixels = " ".join(filter(None, (made_by, test.told_by if isinstance(test, OwnSplit) else "")))
    taken = TAKEN if "validation" in splits and "validation" not in parts else ""
    restless = [_restless(splits[part], part) for part in ("validation", "test") if part in splits]
    note = " ".join(filter(None, ("" if "train" in splits else SAME, taken, *restless)))
    return _coded(Data(data_id, splits["test"], splits.get("train"), splits.get("validation"), classes, pixels, note, guesses), code)


def _of_its_own_form(data_id: DataId, known: ModelInfo, factory: Any, parts: Mapping[str, Any]) -> Data:
    """Return data whose samples are as the user's own task takes them: nothing is done to them."""
    own, task = (getattr(factory, name, None) for name in ("collate", "task"))
    splits: dict[str, Any] = {
        name: part if isinstance(part, Split) else _own_samples(part, f"{data_id.name} ({name})", data_id, known, own, task)
        for name, part in parts.items()
    }
    prepared, guesses = AS_IT_IS, tuple[str, ...]()
    if getattr(splits["test"], "are_pixels", False) and not data_id.size:
        told = {field: _attribute(field, factory) for field in ("mean", "std")}
        prepared, guesses = _preparation(data_id, splits["test"], known, told)
        for part in splits.values():
            part.prepared = prepared
    elif data_id.size or data_id.mean or data_id.std:
        raise DataError(f"{data_id.name} holds inputs of its own form, and nothing is done to them: leave size, mean and std out")
    if "train" in splits and "validation" not in splits and len(splits["train"]) > 1:
        order = np.random.default_rng(0).permutation(len(splits["train"]))
        out = np.sort(order[: max(1, round(VALIDATION * len(order)))])
        splits |= {"train": splits["train"].take(np.setdiff1d(order, out)), "validation": splits["train"].take(out)}
    taken = TAKEN if "validation" in splits and "validation" not in parts else ""
    made_by, note = f"As {data_id.name} makes them{prepared.sentence()}.", taken if "train" in splits else SAME
    named = task if task is not None else splits["test"].task
    classes = _attribute("classes", parts["test"], strict=False) or _attribute("classes", factory) or known.classes
    return Data(data_id, splits["test"], splits.get("train"), splits.get("validation"), classes, made_by, note, guesses, task=named)


def _own_samples(part: Any, name: str, data_id: DataId, known: ModelInfo, own: Any, task: Any) -> OwnSamples:  # noqa: PLR0917
    """Return a dataset of anything; one of token ids can be read where somebody names a tokeniser."""
    split = OwnSamples(part, name, own=own, task=task)
    tokens = tokens_in(split) if known.tokeniser is not None else 0
    return OwnTexts(part, name, own=own, task=task).read_by(coding_of(data_id, known), tokens) if tokens else split


def _written(factory: Any, parts: Mapping[str, Any]) -> bool:
    """Whether samples are texts as they are written, and nobody but a tokeniser says how they are read."""
    if getattr(factory, "collate", None) is not None or not isinstance(getattr(factory, "task", None) or "", str):
        return False
    return all(getattr(part, "collate", None) is None and isinstance(first_of(part)[0], str) for part in parts.values())


def _of_texts(data_id: DataId, known: ModelInfo, factory: Any, parts: Mapping[str, Any]) -> Data:
    """Return data of texts with a class each, read by the model's tokeniser."""
    rows: dict[str, Any] = {name: [part[i] for i in range(len(part))] for name, part in parts.items()}
    found = {name: Texts([text for text, _ in part], [_label(y, data_id.name) for _, y in part]) for name, part in rows.items()}
    if "train" in found and "validation" not in found:
        whole = found["train"]
        labels = np.array(whole.labels)
        split = zip(("train", "validation"), held_out(labels, round(VALIDATION * len(labels))), strict=True)
        found |= {name: Texts([whole.texts[i] for i in places], labels[places].tolist()) for name, places in split if places.size}
    classes = _attribute("classes", parts["test"], strict=False) or _attribute("classes", factory) or known.classes
    made = labelled(data_id, found, classes, coding_of(data_id, known), f"Texts of {data_id.name}, read by the model's tokeniser.")
    taken = TAKEN if "validation" in found and "validation" not in parts else ""
    return replace(made, note=taken if "train" in found else SAME)


def _preparation(data_id: DataId, test: Any, known: ModelInfo, told: Mapping[str, Any]) -> tuple[Preparation, tuple[str, ...]]:
    """Return what is done to samples: to pixels what model or data say, to others what was asked for; and what of it is a guess."""
    if not getattr(test, "are_pixels", False):
        return Preparation(data_id.mean, data_id.std, data_id.size), ()
    first = test[0][0]
    channels = first.shape[0] if first.dim() == 3 else 1
    fits = {field: values for field in ("mean", "std") if (values := getattr(known, field) or told[field]) and len(values) == channels}
    mean, std, guesses = normalisation(data_id, ModelInfo(**fits), channels)
    return Preparation(mean, std, data_id.size), guesses


def _attribute(field: str, owner: Any, *, strict: bool = True) -> Any:
    """Return what a function or a dataset says of its samples, None where it says nothing; a class may use the names for something else."""
    value = getattr(owner, field, None)
    try:
        return None if value is None else canonical(field, value)
    except (TypeError, ValueError):
        if strict and inspect.isfunction(owner):
            raise wrong(f"{field} of {owner.__name__} must be {FORMS[field]}; got {value!r}", DataError) from None
        return None


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
            raise wrong(f"{name} returned a dict with {', '.join(map(str, made)) or 'nothing'}", DataError)
        return parts
    if isinstance(made, tuple):
        if len(made) != 2:
            raise wrong(f"{name} returned {len(made)} things", DataError)
        return {"train": made[0], "test": made[1]}
    return {"test": made}
