"""Which task a model and its data are for: what each says of it must agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from prunekit.errors import TaskError
from prunekit.local_code.factories import is_factory
from prunekit.tasks.base import BaseTask
from prunekit.tasks.classification import IMAGES, TEXT
from prunekit.tasks.detection import DETECTION
from prunekit.tasks.from_file import as_task, place_of
from prunekit.tasks.input_form import InputForm, library_heads
from prunekit.tasks.language_modelling import LANGUAGE
from prunekit.tasks.noted import told
from prunekit.tasks.protocol import Task
from prunekit.tasks.registry import DEFAULT, TASKS, task
from prunekit.tasks.regression import REGRESSION, Regression
from prunekit.tasks.segmentation import SEGMENTATION
from prunekit.tasks.text_inputs import TextInputs

ANYTHING = replace(IMAGES, title="classification", unit_of_data="sample", units_of_data="samples")
"""The same where samples are no images, under the same name: what was measured of it is found again."""
KINDS = {"numbers": REGRESSION, "classes": TASKS[DEFAULT], "masks": SEGMENTATION, "boxes": DETECTION}
"""What targets look like -> whose they are where nobody says more."""
WRITTEN = {"classes": TEXT, "tokens": LANGUAGE}
"""The same for a model with a tokeniser."""
ONE = "Choose a model and data of one task, and ask for none or for that"


def resolve(model: nn.Module | None = None, data: Any = None, asked: str | Task | None = None) -> Task:
    """Return the task of a model and its data.

    Parameters
    ----------
    model : nn.Module, optional
        Its card or its factory's attribute ``task`` may name one.
    data : Data, split or dataset, optional
        Their attribute ``task`` may name one; else their targets tell numbers from class indices.
    asked : str or Task, optional
        What ``--task`` says; left out, what the model's `ModelId` says.

    Returns
    -------
    Task
        Where nobody says anything, what the targets speak for: regression, segmentation, else image classification.

    Raises
    ------
    TaskError
        If two of them name different tasks, the targets are not of the kind that the task needs, or a model that reads no pictures is
        given some.
    """
    found: dict[str, Task] = {}
    asked = asked or getattr(told(model, "id"), "task", None) if model is not None else asked
    if asked is not None:
        found["you ask for"] = _task(asked, "the task")
    if model is not None:
        card, own = (told(model, "card") or {}).get("task"), told(model, "task")
        if isinstance(card, str) and (card in TASKS or is_factory(card)):  # cards may describe in words, there, what a model does
            found["the model's card says"] = task(card)
        if own is not None:
            found["the model's factory says"] = _held(own, told(model, "id"), "the task of the factory")
    if getattr(data, "task", None) is not None:
        found["the data say"] = _held(data.task, getattr(data, "id", None), "the task of the data")
    names = {each.identity for each in found.values()}
    if len(names) > 1:
        each_once = {each.name: who for who, each in reversed(found.items())}  # card and factory may say the same
        listed = " and ".join(f"{who} {name!r}" for name, who in reversed(each_once.items()))
        raise TaskError(f"which task is it? {listed}. {ONE}")
    kind = kind_of_targets(data)
    if not found and model is not None and library_heads(model) is not None:
        found["the model's outputs speak for"] = DETECTION
    if not found and kind in ("masks", "boxes"):
        return KINDS[kind].for_data(data)
    if not found and kind in WRITTEN and model is not None and told(model, "tokeniser") is not None:
        return WRITTEN[kind]
    if not found:
        if kind == "numbers" and not getattr(data, "classes", None):
            return REGRESSION.for_data(data)
        return TASKS[DEFAULT] if _of_images(model, data) else ANYTHING
    who, chosen = next(iter(found.items()))
    of_kind = kind in KINDS and isinstance(chosen, tuple(type(each) for each in KINDS.values()))
    counts = isinstance(chosen, Regression) and kind == "classes" and not getattr(data, "classes", None)  # these are integers, too
    if of_kind and not counts and not isinstance(chosen, type(KINDS[kind])):
        what = {"masks": "classes of pixels", "boxes": "boxes around objects"}.get(kind, kind)
        raise TaskError(f"{who} {chosen.name!r}, and the targets of the data are {what}, as for {KINDS[kind].name!r}. {ONE}")
    _check_pictures(model, data, chosen, who)
    return chosen.for_data(data)


def _check_pictures(model: nn.Module | None, data: Any, of: Task, who: str) -> None:
    """Raise where a model that reads no pictures is given some."""
    if model is not None and not reads_pictures(model, of) and _pictured(data):
        form = getattr(of, "given_as", BaseTask.given_as)
        raise TaskError(f"{who} {of.name!r}, and the samples of the data are pictures, which this model does not read. Give it {form}")


def reads_pictures(model: nn.Module, of: Task) -> bool:
    """Whether a model may be given a picture: it reads no token ids, and its factory's example, if any, holds no other inputs alone."""
    example = told(model, "example")
    if example is None or isinstance(of, TextInputs):
        return not isinstance(of, TextInputs)
    tensors = dict(InputForm.of(example() if callable(example) else example).example.named_tensors()).values()
    return any(each.is_floating_point() and each.ndim > 2 for each in tensors)


def _pictured(data: Any) -> bool:
    """Whether samples of data are pictures."""
    part = getattr(data, "test", data)
    return bool(getattr(part, "pictured", hasattr(part, "picture")))


def _of_images(model: nn.Module | None, data: Any) -> bool:
    """Whether samples may be images: nothing says that they are rows of numbers, ids, or inputs of a form of their own."""
    if data is not None:
        return bool(getattr(getattr(data, "test", data), "pictured", True))
    shape = None if model is None else told(model, "input_shape")
    return shape is None or len(shape) > 1


def _held(own: Any, by: Any, name: str) -> Task:
    """Return the task that a factory holds; of one that its file does not name, ``file.py:factory.task``, by which it is found again."""
    place = getattr(by, "name", "")
    if isinstance(place, str) and is_factory(place) and not isinstance(own, (str, Task)) and not place_of(own):
        name = f"{place}.task"
    return _task(own, name)


def _task(value: Any, name: str) -> Task:
    """Return a task by its name, itself, or made of an object of the user's."""
    if isinstance(value, str):
        return task(value)
    return value if isinstance(value, Task) else as_task(value, name)


def kind_of_targets(data: Any) -> str:
    """Return what the targets of data are by their form; "" for none of these.

    "numbers", "classes", "tokens" (several whole numbers for each sample), "masks" (of pixels) or "boxes".

    Parameters
    ----------
    data : Data, split or dataset
        Of data with several splits one is looked at: ``labels`` or ``targets``, or those of its first sample.
    """
    split = next((part for part in (getattr(data, name, None) for name in ("test", "validation", "train")) if part is not None), data)
    known = (getattr(owner, name, None) for owner in (split, getattr(split, "dataset", None)) for name in ("labels", "targets"))
    targets: Any = next((each for each in known if each is not None), None)
    try:
        first: Any = split[0][1] if targets is None and len(split) else None if targets is None else targets[0]
        if isinstance(first, Mapping) and {"boxes", "labels"} <= set(first):
            return "boxes"
        if getattr(first, "ndim", 0) and "int" in str(first.dtype):
            return {1: "tokens", 2: "masks"}.get(first.ndim, "")
        targets = first if targets is None else targets
        kind = np.asarray(targets.detach().cpu() if hasattr(targets, "detach") else targets).dtype.kind
    except Exception:  # whatever a user's data do here, they will do again, and be told, where they are used
        return ""
    return "numbers" if kind == "f" else "classes" if kind in "iub" else ""
