"""The input shape of a model that declares none: read from its first layer, or guessed."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.conv import _ConvNd

from prunekit.errors import ModelError
from prunekit.models.cost import model_macs
from prunekit.tasks.input_form import InputForm

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


def with_side(model: nn.Module, side: int, known: tuple[int, ...] | None = None) -> tuple[int, ...]:
    """Return the shape of one sample whose sides all have one length.

    Parameters
    ----------
    model : nn.Module
        Its first convolution says how many channels there are, where nothing else does.
    side : int
        In pixels; of a vector its length.
    known : tuple of int, optional
        A shape that has the right channels and number of dimensions.

    Raises
    ------
    ModelError
        If the model takes something else than one float tensor.
    """
    if isinstance(known, InputForm):
        raise ModelError("the model takes inputs of its own form, and no size says it: leave the size out, or choose data")
    if known is not None:
        return (known[0], *[side] * (len(known) - 1)) if len(known) > 1 else (side,)
    first = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    return (3 if first is None else first.in_channels, side, side)


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
