"""Forms of input beside that of the example, in which a model is traced, rehearsed and proved too: masks, other lengths, training."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from prunekit.errors import PrunekitError
from prunekit.models.branches import Path, along
from prunekit.tasks.batch import Batch
from prunekit.tasks.input_form import InputForm
from prunekit.tasks.known_values import know
from prunekit.tasks.noted import told

LIBRARIES = ("torch", "torchvision")  # whose layers read all sizes from what they get, but for those that take an axis apart
LEAST_LENGTH = 4
TRAINING = "training mode"
CHOICE = "_attn_implementation"
IMPLEMENTATIONS = ("eager", "sdpa")
Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Form:
    """One way in which a model may be asked."""

    name: str  # as reports say it
    shape: Shape  # what one sample is, or `InputForm`
    samples: int = 1  # how many are asked at once
    training: bool = False  # whether the model is in training mode
    attention: str = ""  # implementation of attention, of a model of transformers; "" for its own
    padded: bool = False  # whether models inside that take a mask of padding get one
    path: Path | None = None  # the branches that are taken, of a model that takes some by what a tensor says

    @contextmanager
    def on(self, model: nn.Module) -> Iterator[None]:
        """Bring a model into this form; as it was, afterwards."""
        modes = [(module, module.training) for module in model.modules()] if self.training else []
        hooks = [module.register_forward_pre_hook(_with_mask, with_kwargs=True) for module in _masked(model)] if self.padded else []
        try:
            for module, _ in modes:
                module.training = True
            with attending(model, self.attention), along(model, self.path) if self.path is not None else nullcontext():
                yield
        finally:
            for module, mode in modes:
                module.training = mode
            for hook in hooks:
                hook.remove()


def forms_of(model: nn.Module, shape: Shape, *, trains_more: bool) -> tuple[Form, ...]:
    """Return the further forms in which a model may be asked: of those of one name the first that it takes, if it takes any."""
    given = told(model, "examples") or ()
    own = [InputForm.of(each() if callable(each) else each) for each in given]
    forms = [Form(f"example {number}", each) for number, each in enumerate(own, start=2)]
    training = Form(TRAINING, shape, 2, training=True)
    if all(type(module).__module__.partition(".")[0] in LIBRARIES for module in model.modules()):
        return (*forms, training) if trains_more else tuple(forms)
    others: list[tuple[str, Shape, bool]] = [(f"without {name}", each, False) for name, each in _without_optional(model, shape)]
    others += [(f"with {name}", each, False) for name, each in _with_masks(model, shape)]
    masked = any(True for _ in _masked(model))
    others += [("padding and another length" if masked else "another length", each, masked) for each in _shorter(shape)]
    others += [("padding", shape, True)] if masked else []
    forms += [Form(name, each, 2, padded=padded) for name, each, padded in others]
    implementations = [name for name in IMPLEMENTATIONS if any(getattr(config, CHOICE) != name for config in _configs(model))]
    forms += [Form(f"{name} attention", shape, 2, attention=name, padded=padded) for name in implementations for padded in (masked, False)]
    return (*forms, training)


def _shorter(shape: Shape) -> Iterator[Shape]:
    """Yield inputs of three quarters of the places of a sequence, whichever axis that is."""
    if isinstance(shape, InputForm):
        tensors = [tensor for _, tensor in shape.example.named_tensors()]
        lengths = [tensor.shape[1] for tensor in tensors if tensor.dim() == (3 if tensor.is_floating_point() else 2)]
        yield from (InputForm.of(_cut(shape.example, length)) for length in lengths[:1] if length >= LEAST_LENGTH)
    elif len(shape) == 2:
        yield from (tuple(3 * n // 4 if axis == cut else n for axis, n in enumerate(shape)) for cut in (0, 1) if shape[cut] >= LEAST_LENGTH)


def _cut(batch: Batch, length: int) -> Batch:
    """Return three quarters of the places of everything that is so long."""

    def cut(tensor: Tensor) -> Tensor:
        for axis in range(1, tensor.dim()):
            if tensor.shape[axis] == length:
                tensor = tensor.narrow(axis, 0, 3 * length // 4)
        return tensor

    return batch.map(cut)


def _without_optional(model: nn.Module, shape: Shape) -> Iterator[tuple[str, Shape]]:
    """Yield inputs without each argument that forward() can do without."""
    if isinstance(shape, InputForm) and len(shape.example.kwargs) + len(shape.example.args) > 1:
        for name in shape.example.kwargs:
            parameter = _arguments(model).get(name)
            if parameter is not None and parameter.default is None:
                kept = {key: value for key, value in shape.example.kwargs.items() if key != name}
                with suppress(PrunekitError):
                    yield name, InputForm.of(Batch(shape.example.args, kept))


def _with_masks(model: nn.Module, shape: Shape) -> Iterator[tuple[str, Shape]]:
    """Yield inputs with each mask that forward() of somebody's own class may be given, in the shapes that masks have."""
    arguments = _arguments(model)
    first = next(iter(arguments), "")
    if isinstance(shape, InputForm):
        given = {*list(arguments)[: len(shape.example.args)], *shape.example.kwargs}
        base = shape.example
    else:
        base, given = Batch((torch.zeros(2, *shape),)), {first}
    known = [tensor for _, tensor in base.named_tensors()]
    if not known or known[0].dim() < 2:
        return
    n, length = known[0].shape[:2]
    for name, parameter in arguments.items():
        if "mask" in name and parameter.default is None and name not in given and not _is_padding(name, model):
            for mask in (_ends(n, length), torch.ones(length, length, dtype=torch.bool).tril(), _ends(n, length)[:, None, None]):
                yield name, InputForm.of(Batch(base.args, {**base.kwargs, name: mask}))


def _is_padding(name: str, model: nn.Module) -> bool:
    """Return whether an argument is the mask that models of transformers take, which they get inside too."""
    return name == "attention_mask" and hasattr(model, "config")


def _arguments(module: nn.Module) -> dict[str, inspect.Parameter]:
    """Return the arguments of a module's forward by name."""
    try:
        return dict(inspect.signature(module.forward).parameters)
    except (TypeError, ValueError):
        return {}


def _masked(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the outermost models of transformers that take a mask of padding."""
    below: tuple[str, ...] = ()
    for path, module in model.named_modules():
        inside = any(not name or path.startswith(f"{name}.") for name in below)
        if not inside and hasattr(getattr(module, "config", None), "model_type") and "attention_mask" in _arguments(module):
            below = (*below, path)
            yield module


def _with_mask(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Give a model a mask that hides the end of every sample."""
    first = next((each for each in (*args, *kwargs.values()) if isinstance(each, Tensor)), None)
    if first is None or not 2 <= first.dim() <= 3 or len(args) > 1:
        raise ValueError("no mask is known for such inputs")
    mask = _ends(*first.shape[:2]).long()
    bare = know(torch.empty_like(mask, device="meta"), mask) if first.is_meta else mask.to(first.device)
    return args, {**kwargs, "attention_mask": bare}


def _ends(samples: int, length: int) -> Tensor:
    """Return a mask that is true but for the end of each sample, of another length each time."""
    hidden = 1 + torch.arange(samples) % max(1, length // 4)
    return torch.arange(length) < length - hidden[:, None]


def _configs(model: nn.Module) -> list[Any]:
    """Return the configurations that choose how to attend."""
    found = {id(c): c for m in model.modules() if (c := getattr(m, "config", None)) is not None and hasattr(c, CHOICE)}
    return list(found.values())


@contextmanager
def attending(model: nn.Module, form: str) -> Iterator[None]:
    """Let a model of transformers attend by another of its implementations; by its own for ""."""
    configs = _configs(model) if form else []
    before = [getattr(config, CHOICE) for config in configs]
    try:
        for config in configs:
            setattr(config, CHOICE, form)
        yield
    finally:
        for config, known in zip(configs, before, strict=True):
            setattr(config, CHOICE, known)
