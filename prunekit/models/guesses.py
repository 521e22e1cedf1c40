"""Guessed input shapes, normalisations and classes, as sentences that stand beside every figure that depends on them."""

from __future__ import annotations

from typing import Any

from torch import nn

from prunekit.config.ids import DataId, Floats
from prunekit.errors import DataError
from prunekit.models.info import ModelInfo, info

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


def normalisation(
    data_id: DataId, known: ModelInfo, channels: int, else_: tuple[Floats, Floats] | None = None, words: str = "pixels go in as 0 to 1"
) -> tuple[Floats, Floats, tuple[str, ...]]:
    """Return mean and std of pixels, and a sentence where they are a guess: what was asked for counts before what the model says."""
    for field, values in (("mean", data_id.mean), ("std", data_id.std)):
        if values is not None and len(values) != channels:
            raise DataError(f"{data_id.name} needs {channels} value(s) of {field}, one for each channel; got {len(values)}")
    own = {field: values for field in ("mean", "std") if (values := getattr(known, field)) is not None and len(values) == channels}
    mean, std = data_id.mean or own.get("mean"), data_id.std or own.get("std")
    usual = else_ or ((0.0,) * channels, (1.0,) * channels)
    guessed = [field for field, values in (("mean", mean), ("std", std)) if values is None]
    if not guessed:
        return mean or usual[0], std or usual[1], ()
    names, verb, them = " and ".join(guessed), *(("are", "them") if guessed[1:] else ("is", "it"))
    for_these = f"for {channels} channel{'' if channels == 1 else 's'}"
    return mean or usual[0], std or usual[1], (f"The {names} of pixels {verb} a guess, since nobody gave {them} {for_these}: {words}",)
