"""What ``load.py`` is put together from: its text for torch and for int8, and the parts that differ from run to run."""

from __future__ import annotations

from string import Template

LOAD_TORCH = Template('''\
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
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    tensors.update({name: tensors[first] for name, first in told.get("tied", {}).items()})
    return told, tensors


class PassThrough(torch.nn.Module):
    """What stands where a whole layer was removed: it hands its first argument on."""

    def forward(self, x, *others, **named):
        return x


${adapters}def place(model, told, tensors):
    """Give every module its width of today, and every tensor of another shape or type its values."""
    modules = dict(model.named_modules())
    for name, attributes in told["widths"].items():
        if "becomes" in attributes:  # a whole block was removed
            parent, _, leaf = name.rpartition(".")
            kind = attributes["becomes"]
            setattr(modules[parent], leaf, PassThrough() if kind == "PassThrough" else getattr(torch.nn, kind)())
            continue
        module = modules[name]
${adapt}        for attribute, value in attributes.items():  # the shapes of tensors stand there too
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
    wanted = {OUTPUT if name == "outputs" else name[len("outputs."):]: kept[name] for name in kept if name.startswith("outputs")}
    for place in range(SAMPLES):
        found = tensors_in($ask)
        off = max(difference(found.get(path), values[place]) for path, values in wanted.items())
        if not off <= ALLOWED:
            raise ValueError(
                f"this is not the network that was saved: its outputs differ by {off:.2g} of the largest, its weights and buffers do "
                "not, so the code or the package that builds it is another one"
            )


def difference(found, expected):
    """Return by how much an output for one sample differs from the one that was saved, by its largest value."""
    if found is None or found.shape[1:] != expected.shape:
        return float("inf")
    if not expected.numel():
        return 0.0
    apart = (found[0].double() - expected.double()).abs()
    if not expected.is_floating_point():  # whole numbers and truth values: two that are nearly equal may be put in another order
        return float((apart > 0).double().mean() > 0.01)
    return float(apart.max() / (expected.double().abs().max() or 1.0))


def digest(tensor):
    """Return the digits that the file notes of a tensor."""
    plain = tensor.detach().contiguous()
    head = f"{plain.dtype}|{tuple(plain.shape)}|".encode()
    return hashlib.sha256(head + plain.reshape(-1).view(torch.uint8).numpy().tobytes()).hexdigest()[:16]


def dtype_of(model):
    """Return the type that the network computes in."""
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)


def tensors_in(out, path=""):
    """Return all tensors in what the network gives, by their path in it."""
    if isinstance(out, torch.Tensor):
        return {path: out}
    if isinstance(out, (list, tuple)):
        parts = zip(getattr(out, "_fields", range(len(out))), out)
    else:
        parts = (out if isinstance(out, dict) else getattr(out, "__dict__", {})).items()
    found = {}
    for key, part in parts:
        found.update(tensors_in(part, f"{path}.{key}" if path else str(key)))
    return found


$predict$normalise$accuracy

if __name__ == "__main__":
    model = load_model()
$main
''')
PREDICT = {
    "torch": '''\
def predict(model, images):
    """Return $gives of $samples."""
    with torch.inference_mode():
        return model(images)
''',
    "nested": '''\
def predict(model, *args, **kwargs):
    """Return $gives of samples: $samples."""
    with torch.inference_mode():
        return model(*args, **kwargs)


def samples(kept, place):
    """Return one of the inputs in samples.safetensors as the network takes it: positional and keyword arguments."""
    one = {name: kept[name][place : place + 1] if kept[name].shape[:1] == (SAMPLES,) else kept[name] for name in kept}
    return [grown(part, one) for part in NEST["args"]], {key: grown(part, one) for key, part in NEST["kwargs"].items()}


def grown(plain, parts):
    """Return what a nest of names holds."""
    ((kind, held),) = plain.items()
    if kind == "tensor":
        return parts[held]
    if kind == "dict":
        return {key: grown(part, parts) for key, part in held.items()}
    return held if kind == "value" else (tuple if kind == "tuple" else list)(grown(part, parts) for part in held)


def asked(model, kept, place):
    """Return what the network gives for one of the inputs in samples.safetensors."""
    args, kwargs = samples(kept, place)
    return predict(model, *args, **kwargs)
''',
}
ASK = {"torch": 'predict(model, kept["inputs"][place][None].to(dtype_of(model)))', "nested": "asked(model, kept, place)"}
FIRST = {
    "torch": "predict(model, torch.zeros(1, *INPUT_SHAPE))",
    "nested": 'asked(model, read(HERE / "samples.safetensors")[1], 0)',
}
SHOW = {
    "torch": """\
found = tensors_in($first)
print("first prediction:", *(f"{path} {tuple(tensor.shape)}".strip() for path, tensor in found.items()))
""",
    "int8": """\
kept = load_file(str(HERE / "samples.safetensors"))
print("first prediction:", predict(model, *(kept[name][:1] if len(kept[name]) == SAMPLES else kept[name] for name in INPUTS)).shape)
""",
}
JUDGE = """\
if len(sys.argv) > 1:
    right, samples = accuracy(model, sys.argv[1])
    print(f"accuracy: {right} of {samples}, {100 * right / samples:.1f} %")
else:
"""
ACCURACY = {
    "int8": '''

def accuracy(model, path):
    """Return how many samples of a file are right, and how many there are: `images`, normalised, and `labels`."""
    with np.load(path) as file:
        images, labels = file["images"], file["labels"]
    parts = [predict(model, images[at : at + 64]).argmax(1) for at in range(0, len(labels), 64)]
    return int((np.concatenate(parts) == labels).sum()), len(labels)
''',
    "torch": '''

def accuracy(model, path):
    """Return how many samples of a file are right, and how many there are: `images`, normalised, and `labels`."""
    import numpy

    with numpy.load(path) as file:
        images, labels = torch.from_numpy(file["images"]).to(dtype_of(model)), torch.from_numpy(file["labels"])
    right = 0
    for part, known in zip(images.split(64), labels.split(64)):
        right += int((tensors_in(predict(model, part))[OUTPUT].argmax(1) == known).sum())
    return right, len(labels)
''',
}
LOAD_INT8 = Template('''\
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
    kept = load_file(str(HERE / "samples.safetensors")) if check else {}
    wanted = {OUTPUT if name == "outputs" else name[len("outputs."):]: kept[name] for name in kept if name.startswith("outputs")}
    for place in range(SAMPLES if check else 0):
        found = outputs(model, *(kept[name][place : place + 1] if len(kept[name]) == SAMPLES else kept[name] for name in INPUTS))
        for name, values in wanted.items():
            off = float(np.abs(found[name][0] - values[place]).max() / max(np.abs(values[place]).max(), 1e-30))
            if not off <= ALLOWED:
                raise ValueError(f"this is not the network that was saved: its outputs differ by {off:.2g} of the largest")
    return model


def outputs(model, *arrays):
    """Return all that the network gives, by name; inputs in the order of the file, floats as float32."""
    given = [array.astype(np.float32) if array.dtype.kind == "f" else array for array in map(np.asarray, arrays)]
    found = model.run(None, dict(zip([each.name for each in model.get_inputs()], given)))
    return dict(zip([output.name for output in model.get_outputs()], found))


def predict(model, *arrays):
    """Return $gives of $samples."""
    return outputs(model, *arrays)[OUTPUT]
$normalise$accuracy

if __name__ == "__main__":
    model = load_model()
$main
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
