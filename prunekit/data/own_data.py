"""``path/to/file.py:factory`` for data: the user's own datasets, with their own transforms."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from prunekit.config.ids import DataId
from prunekit.data.dataset import Data, Split
from prunekit.data.image_files import normalisation
from prunekit.data.image_folder import SAME, VALIDATION
from prunekit.data.own_images import AS_IT_IS, OwnSplit, Preparation, label_of
from prunekit.data.own_samples import OwnSamples, OwnTexts, first_of, of_its_own_form, tokens_in
from prunekit.data.stratified import held_out
from prunekit.data.text import Texts, coding_of, labelled
from prunekit.errors import DataError
from prunekit.local_code.contract import wrong
from prunekit.local_code.factories import call, code_that_ran, load_factory
from prunekit.local_code.local_imports import LOCK
from prunekit.models.info import FORMS, ModelInfo, canonical

TAKEN = "Validation is taken from the training samples: a model that learnt from all of them before does better on it than on the test."
"""Said where the validation part is held out of the training part here."""
NAMES = {"train": "train", "validation": "validation", "val": "validation", "valid": "validation", "test": "test"}


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
    found = {name: Texts([text for text, _ in part], [label_of(y, data_id.name) for _, y in part]) for name, part in rows.items()}
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
