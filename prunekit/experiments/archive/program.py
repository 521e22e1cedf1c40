"""The text of ``load.py``: short enough to read before it is run, and the same for all runs but for a few lines."""

from __future__ import annotations

import textwrap
from string import Template

from prunekit.experiments.archive.architecture import Source
from prunekit.experiments.archive.gathering import Pixels

TORCH = Template('''\
"""$title

Rebuilds the network from model.safetensors. Needs torch$package; see README.md for the figures.
Run `python load.py` to see that it works, or use it:

    from load import load_model, predict
"""

import hashlib
import json
import sys
from pathlib import Path

import torch
from safetensors import safe_open

HERE = Path(__file__).resolve().parent
$constants


def build():
    """Return the architecture at its first widths, with any weights."""
$build


def read(path):
    """Return what a safetensors file says about itself, and its tensors."""
    with safe_open(str(path), framework="pt") as file:
        told = json.loads((file.metadata() or {}).get("prunekit", "{}"))
        return told, {name: file.get_tensor(name) for name in file.keys()}


def place(model, told, tensors):
    """Give every module its width of today, and every tensor of another shape or type its values."""
    modules = dict(model.named_modules())
    for name, attributes in told["widths"].items():
        if "becomes" in attributes:  # a whole block was removed
            parent, _, leaf = name.rpartition(".")
            setattr(modules[parent], leaf, getattr(torch.nn, attributes["becomes"])())
            continue
        module = modules[name]
        for attribute, value in attributes.items():  # the shapes of tensors stand there too
            if attribute not in module._parameters and attribute not in module._buffers:
                setattr(module, attribute, tuple(value) if isinstance(value, list) else value)
    modules = dict(model.named_modules())
    for key, stored in tensors.items():
        name, _, leaf = key.rpartition(".")
        module = modules[name]
        old = module._parameters.get(leaf)
        if leaf in module._buffers:
            module._buffers[leaf] = stored
        elif old is not None and (old.shape != stored.shape or old.dtype != stored.dtype):
            module._parameters[leaf] = torch.nn.Parameter(stored, requires_grad=False)


def load_model(path=HERE / "model.safetensors", check=True):
    """Return the network, ready to predict; unless it answers as the one that was saved it is refused."""
    told, state = read(path)
    beside = {}
    if told.get("beside"):  # buffers that are in no state dict
        values = read(HERE / "beside.safetensors")[1]
        beside = {name: values[key] for name, key in told["beside"].items()}
    model = build()
    for name, value in told.get("switches", {}).items():
        setattr(model, name, value)
    place(model, told, {**state, **beside})
    model.load_state_dict({**state, **told.get("extra", {})})
    model = model.eval().requires_grad_(False)
    if check:
        compare(model, told, {**model.state_dict(), **beside})
    return model


def compare(model, told, tensors):
    """Raise where the network differs from the one that was saved, and say by what."""
    known = (told.get("probe") or {}).get("tensors", {})
    changed = [name for name in known if name not in tensors or digest(tensors[name]) != known[name]]
    if changed:
        raise ValueError("this is not the network that was saved: other values in " + ", ".join(changed[:4]))
    kept = read(HERE / "samples.safetensors")[1]
    with torch.inference_mode():
        for sample, expected in zip(kept["inputs"], kept["outputs"]):
            found = scores_in(model(sample[None].to(dtype_of(model))), len(expected))
            scale = float(expected.abs().max()) or 1.0
            off = float("inf") if found is None else float((found[0].float() - expected).abs().max()) / scale
            if not off <= ALLOWED:
                raise ValueError(
                    f"this is not the network that was saved: its outputs differ by {off:.2g} of the largest, its weights and buffers do "
                    "not, so the code or the package that builds it is another one"
                )


def digest(tensor):
    """Return the digits that the file notes of a tensor."""
    plain = tensor.detach().contiguous()
    head = f"{plain.dtype}|{tuple(plain.shape)}|".encode()
    return hashlib.sha256(head + plain.reshape(-1).view(torch.uint8).numpy().tobytes()).hexdigest()[:16]


def dtype_of(model):
    """Return the type that the network computes in."""
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)


def scores_in(out, classes):
    """Return the class scores [N, classes] in what the network gives, or None."""
    if isinstance(out, torch.Tensor):
        return out if out.dim() == 2 and out.shape[1] == classes and out.is_floating_point() else None
    if hasattr(out, "__dict__") and not isinstance(out, dict):
        out = vars(out)
    parts = out.values() if isinstance(out, dict) else out if isinstance(out, (list, tuple)) else ()
    return next((found for found in (scores_in(part, classes) for part in parts) if found is not None), None)


def predict(model, images):
    """Return class scores [N, classes] of images [N, *INPUT_SHAPE], float32, normalised."""
    with torch.inference_mode():
        return model(images)
$normalise

def accuracy(model, path):
    """Return how many samples of a file are right, and how many there are: `images`, normalised, and `labels`."""
    import numpy

    with numpy.load(path) as file:
        images, labels = torch.from_numpy(file["images"]).to(dtype_of(model)), torch.from_numpy(file["labels"])
    classes = read(HERE / "samples.safetensors")[1]["outputs"].shape[1]
    right = 0
    for part, known in zip(images.split(64), labels.split(64)):
        right += int((scores_in(predict(model, part), classes).argmax(1) == known).sum())
    return right, len(labels)


if __name__ == "__main__":
    model = load_model()
    if len(sys.argv) > 1:
        right, samples = accuracy(model, sys.argv[1])
        print(f"accuracy: {right} of {samples}, {100 * right / samples:.1f} %")
    else:
        scores = predict(model, torch.zeros(1, *INPUT_SHAPE))
        print("first prediction:", tuple(scores.shape) if isinstance(scores, torch.Tensor) else type(scores).__name__)
''')

INT8 = Template('''\
"""$title

Opens the network, quantised to int8, from model.int8.onnx. Needs numpy, onnxruntime and safetensors; see README.md for the figures.
Run `python load.py` to see that it works, or use it:

    from load import load_model, predict
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime
from safetensors.numpy import load_file

HERE = Path(__file__).resolve().parent
$constants


def load_model(path=HERE / "model.int8.onnx", check=True):
    """Return the network, ready to predict; unless it answers as the one that was saved it is refused."""
    model = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    kept = load_file(str(HERE / "samples.safetensors")) if check else {"inputs": (), "outputs": ()}
    for sample, expected in zip(kept["inputs"], kept["outputs"]):
        off = float(np.abs(predict(model, sample[None])[0] - expected).max() / max(np.abs(expected).max(), 1e-30))
        if not off <= ALLOWED:
            raise ValueError(f"this is not the network that was saved: its outputs differ by {off:.2g} of the largest")
    return model


def predict(model, images):
    """Return class scores [N, classes] of images [N, *INPUT_SHAPE], float32, normalised."""
    return model.run(None, {model.get_inputs()[0].name: np.asarray(images, dtype=np.float32)})[0]
$normalise

def accuracy(model, path):
    """Return how many samples of a file are right, and how many there are: `images`, normalised, and `labels`."""
    with np.load(path) as file:
        images, labels = file["images"], file["labels"]
    parts = [predict(model, images[at : at + 64]).argmax(1) for at in range(0, len(labels), 64)]
    return int((np.concatenate(parts) == labels).sum()), len(labels)


if __name__ == "__main__":
    model = load_model()
    if len(sys.argv) > 1:
        right, samples = accuracy(model, sys.argv[1])
        print(f"accuracy: {right} of {samples}, {100 * right / samples:.1f} %")
    else:
        print("first prediction:", predict(model, np.zeros((1, *INPUT_SHAPE))).shape)
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


def program(title: str, pixels: Pixels, source: Source | None, allowed: float) -> str:
    """Return the text of ``load.py``.

    Parameters
    ----------
    title : str
        What the model is.
    pixels : Pixels
        What it expects of its input.
    source : Source or None
        How the architecture is built; None for a quantised model, which is its own graph.
    allowed : float
        Largest difference of outputs, by the largest output, that is put down to rounding.
    """
    kind = "int8" if source is None else "torch"
    parts = {"title": _quoted(title), "constants": _constants(pixels, allowed), "normalise": NORMALISE[kind] if pixels.image else ""}
    if source is None:
        return INT8.substitute(parts)
    package = f", safetensors and {source.package}" if source.package else " and safetensors"
    return TORCH.substitute(parts, package=package, build=textwrap.indent("\n".join(source.lines), "    "))


def _constants(pixels: Pixels, allowed: float) -> str:
    """Return what is known of the input as lines of Python."""
    lines = [f"INPUT_SHAPE = {pixels.shape!r}  # of one sample" + (": channels, height, width" if len(pixels.shape) == 3 else "")]
    if pixels.image:
        lines.append(f"MEAN, STD = {pixels.mean!r}, {pixels.std!r}  # of each channel, for pixels in 0..1")
    lines.append(f"ALLOWED = {allowed:g}  # difference of outputs by the largest one: other machines round otherwise")
    return "\n".join(lines)


def _quoted(title: str) -> str:
    """Return a title fit for a docstring: one line, nothing that ends it."""
    return " ".join(title.replace("\\", "/").replace('"', "'").split())[:200] + "."
