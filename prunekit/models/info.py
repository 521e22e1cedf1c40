"""`ModelInfo`: shape, normalisation, classes, data and code of a model, beside it in a weak table; and what of it was guessed."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import Any, cast
from weakref import WeakKeyDictionary

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from prunekit.config.ids import DataId, ModelId
from prunekit.errors import ModelError
from prunekit.local_code.contract import wrong
from prunekit.models.cost import model_macs
from prunekit.tasks.input_form import InputForm
from prunekit.tasks.noted import note
from prunekit.tasks.noted import told as carried
from prunekit.tasks.registry import TASKS
from prunekit.tasks.text_inputs import TextInputs, example_ids, token_embedding

_TABLE: WeakKeyDictionary[nn.Module, ModelInfo] = WeakKeyDictionary()
_LOCK = threading.Lock()


@dataclass(frozen=True)
class ModelInfo:
    """What a model expects and where it came from.

    Parameters
    ----------
    id : ModelId, optional
        What was asked for; None for a model that was not loaded here.
    input_shape : tuple of int, optional
        One input without the batch axis, (C, H, W) for images; None where even a guess failed.
    mean, std : tuple of float, optional
        Normalisation of pixels in 0..1 for each channel.
    size : int, optional
        Side of the input images in pixels, where somebody gave it.
    data : str, optional
        Name of the data set that belongs to the model.
    classes : tuple of str
        Names of the outputs, where known.
    card : mapping, optional
        How a sample was trained and what it measured.
    code : str
        Hash of the user's code that made it, as it was then (`prunekit.local_code.factories.code_of`); "" where none did.
    measured : DataId, optional
        The data that a model in a folder was measured on, as its recipe says: their limit, size and normalisation with them.
    output : str or int, optional
        Name or index of the class scores among the tensors of the output, where the factory says so.
    checked : str
        In a sentence: how a model in a folder is known to be the one that was saved; "" for other models.
    task, example, examples : optional
        The attributes of these names of the factory: its task (or the name of one), inputs that the model accepts, and a list of others.
    tokeniser : optional
        The attribute of this name of the factory: ``encode(text) -> ids`` and ``decode(ids) -> text`` of a model that reads text.
    vocabulary : int, optional
        Rows of its token embedding, where it has one: ids are below it.
    masks : bool
        Whether it learns from a mask for each object.
    guessed : bool
        Whether ``input_shape`` is a guess, since nobody gave one. ``size`` never is: data are resized only to what somebody gave.
    """

    id: ModelId | None = None
    input_shape: tuple[int, ...] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    size: int | None = None
    data: str | None = None
    classes: tuple[str, ...] = ()
    card: Mapping[str, Any] | None = None
    code: str = ""
    measured: DataId | None = None
    checked: str = ""
    task: Any = field(default=None, compare=False, repr=False)
    example: Any = field(default=None, compare=False, repr=False)
    examples: Any = field(default=None, compare=False, repr=False)
    tokeniser: Any = field(default=None, compare=False, repr=False)
    vocabulary: int | None = field(default=None, compare=False)
    masks: bool = field(default=False, compare=False)
    guessed: bool = False
    output: str | int | None = None


def side_of(shape: tuple[int, ...] | None) -> int | None:
    """Return the side of square images of this shape, None for anything else."""
    return shape[1] if shape is not None and not isinstance(shape, InputForm) and len(shape) == 3 and shape[1] == shape[2] else None


def remember(model: nn.Module, known: ModelInfo) -> nn.Module:
    """Note what is known of ``model`` (its copies and pruned forms too) and return it.

    The note lasts as long as the module does.
    """
    with _LOCK:
        _TABLE[model] = known
    note(model, known)
    return model


def info(model: nn.Module) -> ModelInfo:
    """Return what is known of a model; one that was not loaded here gets guesses.

    Parameters
    ----------
    model : nn.Module
        Any model.

    Returns
    -------
    ModelInfo
        From loading or `remember`; otherwise from attributes ``input_shape``, ``mean``, ``std``, ``data`` and ``classes``,
        and a guess of the input shape on the meta device.
    """
    if not isinstance(model, nn.Module):
        raise ModelError(f"info needs a torch module; got {type(model).__name__}: load it first, as in load_model('digits_cnn')")
    with _LOCK:
        known = _TABLE.get(model)
    if known is None:
        known = described(None, model)
        remember(model, known)
    return known


def described(model_id: ModelId | None, model: nn.Module, factory: object = None) -> ModelInfo:
    """Return what the attributes of a user's factory or module say, the input shape guessed where they are silent."""
    told = {field: _attribute(field, factory, model) for field in ("input_shape", "mean", "std", "data", "classes")}
    given = shape = told["input_shape"]
    if shape is None and getattr(factory, "example", None) is None:
        try:
            shape = input_shape_of(model)
        except ModelError:
            shape = None
    if told["mean"] is None and told["std"] is None and hasattr(getattr(model, "transform", None), "image_mean"):
        told |= {"mean": (0.0,) * 3, "std": (1.0,) * 3}  # torchvision's detectors take pixels in 0..1 and normalise them themselves
    rest = told["mean"], told["std"], side_of(given), told["data"], told["classes"] or ()
    maker = None if isinstance(factory, (type, nn.Module)) else factory
    output = _attribute("output", maker, None)  # a module may well use this name for something else
    known = ModelInfo(model_id, shape, *rest, guessed=given is None and shape is not None, output=output)
    # methods and layers of a class may have these names; what a function says of itself is meant
    said: dict[str, Any] = {name: getattr(factory, name, None) for name in ("task", "example", "examples", "tokeniser")}
    if maker is None:
        said = {name: None if callable(value) else value for name, value in said.items()}
    if factory is None:  # a copy carries what the factory of its original said
        said = {name: carried(model, name) if value is None else value for name, value in said.items()}
    if said["example"] is not None:
        made = said["example"]() if callable(said["example"]) else said["example"]
        form = InputForm.of(made)
        known = replace(known, input_shape=tuple(form) if form.plain else form, size=known.size, guessed=False)
    elif _reads_text(said["task"] or (None if model_id is None else model_id.task)) and (ids := example_ids(model, given)) is not None:
        said["example"] = ids
        known = replace(known, input_shape=InputForm.of(ids), size=None, guessed=given is None)
    embedding = token_embedding(model)
    rows = None if embedding is None else embedding.num_embeddings
    return replace(known, **said, vocabulary=rows)


def _reads_text(task: Any) -> bool:
    """Whether a task, or the one of a name, is one of text."""
    return isinstance(TASKS.get(task) if isinstance(task, str) else task, TextInputs)


def numbered(classes: int) -> tuple[str, ...]:
    """Return the names of classes of which only the number is known."""
    if classes < 1:
        raise ValueError
    return tuple(map(str, range(classes)))


def _attribute(field: str, factory: object, model: nn.Module | None) -> Any:
    """Return an attribute of the factory or of the module in its canonical form, or None.

    A module may use these names for something else, so what does not fit is passed over there; on a function it is an error.
    """
    for owner, strict in ((factory, not isinstance(factory, (type, nn.Module))), (model, False)):
        value = getattr(owner, field, None)
        if value is None:
            continue
        try:
            return canonical(field, value)
        except (TypeError, ValueError):
            if strict:
                raise wrong(f"{field} of the factory must be {FORMS[field]}; got {value!r}", ModelError) from None
    return None


FORMS = {
    "input_shape": "the shape of one input, as in (3, 32, 32), or of each of several, as in ((3, 32, 32), (5,))",
    "mean": "one number for each channel",
    "std": "one number above 0 for each channel",
    "data": "the name of a data set",
    "classes": "a list of names, or how many there are",
    "output": "the name or the index of the class scores among the tensors that the model returns",
}


def canonical(field: str, value: object) -> Any:
    """Return ``value`` in the form that the field has in `ModelInfo`."""
    if field in {"data", "output"}:
        if not isinstance(value, str) and (field == "data" or type(value) is not int):
            raise TypeError
        return value
    if isinstance(value, (bool, str)):
        raise TypeError
    if field == "classes" and isinstance(value, Integral):
        return numbered(int(value))
    items = value.flatten().tolist() if isinstance(value, Tensor) else list(cast("Iterable[Any]", value))
    if field == "classes":
        return tuple(str(item) for item in items)
    if field == "input_shape" and all(isinstance(item, (tuple, list)) for item in items) and items:
        return InputForm.of_shapes([canonical(field, item) for item in items])
    if field == "input_shape":
        shape = tuple(int(item) for item in items)
        if not shape or min(shape) < 1 or any(int(i) != i for i in items):
            raise ValueError
        return shape
    numbers = tuple(float(item) for item in items)
    if not numbers or (field == "std" and min(numbers) <= 0):
        raise ValueError
    return numbers


NEW_HEAD = "The folder holds no head for classes: the model has a new one of random values, which knows nothing until it is fine-tuned"


def guesses(model: nn.Module, data: Any = None, shape: tuple[int, ...] | None = None) -> tuple[str, ...]:
    """Return what was guessed to count, measure and time a model, in sentences; nothing where all was given or read from data."""
    untrained = (NEW_HEAD,) if getattr(model, "untrained", None) is True else ()
    if data is not None:
        return (*untrained, *data.guesses)
    known = info(model)
    guessed = known.input_shape if known.guessed and shape is None else None
    return untrained if guessed is None else (*untrained, shape_guess(guessed))


def shape_guess(shape: tuple[int, ...]) -> str:
    """Say that the shape of a sample is a guess."""
    return (
        f"The input shape {' × '.join(map(str, shape))} is a guess, since nobody gave one and there are no data to read it from: MACs, "
        "times and what goes are those at this shape. Give its size, set input_shape on its factory, or choose data"
    )


SIDES = (32, 28, 224, 64, 8, 96, 128, 299, 16, 256, 384)


def _candidates(model: nn.Module) -> list[tuple[int, ...]]:
    """Return input shapes to try, judged by the first layer with weights."""
    first = next((m for m in model.modules() if isinstance(m, (_ConvNd, nn.Linear))), None)
    if isinstance(first, _ConvNd):
        dims = len(first.kernel_size)
        return [(first.in_channels, *[side] * dims) for side in SIDES]
    if isinstance(first, nn.Linear):
        images = [(c, s, s) for c in (1, 3) for s in SIDES if c * s * s == first.in_features]
        return [*images, (first.in_features,)]
    return []


def input_shape_of(model: nn.Module) -> tuple[int, ...]:
    """Guess the shape of one input sample by trying common ones on the meta device.

    Parameters
    ----------
    model : nn.Module
        Any model.

    Returns
    -------
    tuple of int
        The first shape, without the batch axis, that the model runs on.

    Raises
    ------
    ModelError
        If none of them fits: say the shape, or pass data.
    """
    for shape in _candidates(model):
        try:
            model_macs(model, shape)
        except ModelError:
            continue
        return shape
    raise ModelError("cannot tell what input this model takes: pass data for it, or set input_shape on its factory")
