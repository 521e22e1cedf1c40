"""The text of ``load.py``: short enough to read before it is run, and the same for all runs but for a few lines."""

from __future__ import annotations

import textwrap
from string import Template

from prunekit.runs.archive.architecture import Source
from prunekit.runs.archive.gathering import Pixels

TORCH = Template('''\
"""$title

Rebuilds the network from model.safetensors. Needs torch$package; see README.md for the figures.
Run `python load.py` to see that it works, or use it:

    from load import load_model, predict
"""

import json
from pathlib import Path

import torch
from safetensors import safe_open

HERE = Path(__file__).resolve().parent
$constants


def build():
    """Return the architecture at its first widths, with any weights."""
$build


def resize(model, widths, state):
    """Give every module its width of today, and room for tensors of the stored shapes."""
    modules = dict(model.named_modules())
    for name, attributes in widths.items():
        if "becomes" in attributes:  # a whole block was removed
            parent, _, leaf = name.rpartition(".")
            setattr(modules[parent], leaf, getattr(torch.nn, attributes["becomes"])())
            continue
        for attribute, value in attributes.items():
            setattr(modules[name], attribute, tuple(value) if isinstance(value, list) else value)
    for key, stored in state.items():
        name, _, leaf = key.rpartition(".")
        tensor = getattr(modules[name], leaf)
        if tensor.shape != stored.shape:
            room = torch.empty(stored.shape, dtype=tensor.dtype)
            setattr(modules[name], leaf, torch.nn.Parameter(room) if isinstance(tensor, torch.nn.Parameter) else room)


def load_model(path=HERE / "model.safetensors"):
    """Return the network, ready to predict."""
    with safe_open(str(path), framework="pt") as file:
        widths = json.loads(file.metadata()["prunekit"])["widths"]
        state = {name: file.get_tensor(name) for name in file.keys()}
    model = build()
    resize(model, widths, state)
    model.load_state_dict(state)
    return model.eval().requires_grad_(False)


def predict(model, images):
    """Return class scores [N, classes] of images [N, *INPUT_SHAPE], float32, normalised."""
    with torch.inference_mode():
        return model(images)
$normalise

if __name__ == "__main__":
    scores = predict(load_model(), torch.zeros(1, *INPUT_SHAPE))
    print("first prediction:", tuple(scores.shape) if isinstance(scores, torch.Tensor) else type(scores).__name__)
''')

INT8 = Template('''\
"""$title

Opens the network, quantised to int8, from model.int8.onnx. Needs numpy and onnxruntime; see README.md for the figures.
Run `python load.py` to see that it works, or use it:

    from load import load_model, predict
"""

from pathlib import Path

import numpy as np
import onnxruntime

HERE = Path(__file__).resolve().parent
$constants


def load_model(path=HERE / "model.int8.onnx"):
    """Return the network, ready to predict."""
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def predict(model, images):
    """Return class scores [N, classes] of images [N, *INPUT_SHAPE], float32, normalised."""
    return model.run(None, {model.get_inputs()[0].name: np.asarray(images, dtype=np.float32)})[0]
$normalise

if __name__ == "__main__":
    scores = predict(load_model(), np.zeros((1, *INPUT_SHAPE)))
    print("first prediction:", scores.shape)
''')

NORMALISE = {
    "torch": '''

def normalise(pixels):
    """Return what the network expects of pixels in 0..1, [N, *INPUT_SHAPE]."""
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (MEAN, STD))
    return (pixels - mean) / std
''',
    "int8": '''

def normalise(pixels):
    """Return what the network expects of pixels in 0..1, [N, *INPUT_SHAPE]."""
    mean, std = (np.array(values, dtype=np.float32).reshape(1, -1, 1, 1) for values in (MEAN, STD))
    return (pixels - mean) / std
''',
}


def program(title: str, pixels: Pixels, source: Source | None) -> str:
    """Return the text of ``load.py``.

    Parameters
    ----------
    title : str
        What the model is.
    pixels : Pixels
        What it expects of its input.
    source : Source or None
        How the architecture is built; None for a quantised model, which is its own graph.
    """
    kind = "int8" if source is None else "torch"
    parts = {"title": _quoted(title), "constants": _constants(pixels), "normalise": NORMALISE[kind] if pixels.image else ""}
    if source is None:
        return INT8.substitute(parts)
    package = f", safetensors and {source.package}" if source.package else " and safetensors"
    return TORCH.substitute(parts, package=package, build=textwrap.indent("\n".join(source.lines), "    "))


def _constants(pixels: Pixels) -> str:
    """Return what is known of the input as lines of Python."""
    lines = [f"INPUT_SHAPE = {pixels.shape!r}  # of one sample" + (": channels, height, width" if len(pixels.shape) == 3 else "")]
    if pixels.image:
        lines.append(f"MEAN, STD = {pixels.mean!r}, {pixels.std!r}  # of each channel, for pixels in 0..1")
    return "\n".join(lines)


def _quoted(title: str) -> str:
    """Return a title fit for a docstring: one line, nothing that ends it."""
    return " ".join(title.replace("\\", "/").replace('"', "'").split())[:200] + "."
