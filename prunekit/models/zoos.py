"""The zoos of torchvision and timm: names of their classifiers, how they are built, what they expect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from http.client import HTTPException
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from prunekit.config.ids import ModelId, chosen_folder
from prunekit.errors import ModelError, closest
from prunekit.models.info import ModelInfo

TORCHVISION = "torchvision/"
OUTPUTS = 1000  # ImageNet's classes
INITIALISED = ("googlenet", "inception_v3")  # these two warn unless told how to initialise


def torchvision_models() -> Any:
    """Return torchvision's models."""
    import torchvision  # noqa: PLC0415 (slow to import, and processes that time have no use for it)

    return torchvision.models


@lru_cache(maxsize=1)
def torchvision_names() -> tuple[str, ...]:
    """Return the names of all classifiers of torchvision."""
    return tuple(torchvision_models().list_models(module=torchvision_models()))


def other_outputs(model: nn.Module, state: Mapping[str, Tensor]) -> int | None:
    """Return how many classes a state was trained for, where its output layer differs from the model's in that alone."""
    for key, own in model.state_dict().items():
        there = state.get(key)
        if own.dim() > 1 and own.shape[0] == OUTPUTS and there is not None and there.shape[1:] == own.shape[1:]:
            return int(there.shape[0]) if there.shape[0] != OUTPUTS else None
    return None


def build_torchvision(name: str, pretrained: bool = False, outputs: int = OUTPUTS) -> nn.Module:
    """Return a classifier of torchvision."""
    short = _known(name)
    if not pretrained:
        options: dict[str, Any] = {"init_weights": True} if short in INITIALISED else {}
        return _module(torchvision_models().get_model(short, weights=None, num_classes=outputs, **options))
    with _hub_folder():
        try:
            return _module(torchvision_models().get_model(short, weights="DEFAULT"))
        except (OSError, RuntimeError, HTTPException) as error:  # URLError is an OSError; a wrong hash a RuntimeError
            where, why = f"{torch.hub.get_dir()}/checkpoints", " ".join(str(error).split())[:160]
            raise ModelError(
                f"cannot download the weights of {name} into {where} ({why}): connect to the internet once, "
                "put the file there by hand, or leave pretrained out for random weights"
            ) from None


def torchvision_info(model_id: ModelId, model: nn.Module, outputs: int = OUTPUTS) -> ModelInfo:
    """Return what the default weights' own transforms say of the input; a model built for one size says that itself."""
    weights = torchvision_models().get_model_weights(_known(model_id.name)).DEFAULT
    transforms = weights.transforms()
    side = int(getattr(model, "image_size", transforms.crop_size[0]))
    mean, std = (tuple(float(v) for v in values) for values in (transforms.mean, transforms.std))
    classes = tuple(weights.meta["categories"]) if outputs == OUTPUTS else ()
    return ModelInfo(model_id, (3, side, side), mean, std, side, None, classes, None)


SWITCHES = ("transform_input", "aux_logits")
"""What torchvision sets by the weights that it downloads, and not by the name alone."""


def switches(model: nn.Module) -> dict[str, bool]:
    """Return a model's switches that its weights decided, where it has any."""
    return {name: getattr(model, name) for name in SWITCHES if isinstance(getattr(model, name, None), bool)}


def switch(model: nn.Module, told: Mapping[str, Any]) -> None:
    """Set switches of a freshly built model as they were; without auxiliary outputs their branches go."""
    for name in switches(model):
        setattr(model, name, bool(told.get(name, getattr(model, name))))
    if told.get("aux_logits") is False and "aux_logits" in switches(model):
        for branch in ("aux1", "aux2", "AuxLogits"):
            if branch in model._modules:
                model._modules[branch] = None


def _known(name: str) -> str:
    """Return torchvision's own name of a classifier that exists."""
    short = name.removeprefix(TORCHVISION)
    library = torchvision_models()
    others = (name for part in (library.detection, library.segmentation) for name in library.list_models(module=part))
    if short not in torchvision_names() and short in others:
        raise ModelError(
            f"torchvision's {short} is no classifier, and {TORCHVISION}NAME builds those alone: write a file with a function that returns "
            f"torchvision.models.get_model({short!r}, weights=None, weights_backbone=None), name its task (function.task = ...), and give "
            "file.py:function"
        )
    if short not in torchvision_names():
        raise ModelError(
            f"torchvision has no classifier {short!r}{closest(short, torchvision_names()) or ': see the list with prunekit models'}"
        )
    return short


def _module(model: object) -> nn.Module:
    """Return the model, known to be a module."""
    if not isinstance(model, nn.Module):
        raise ModelError(f"torchvision built a {type(model).__name__} instead of a module")
    return model


@contextmanager
def _hub_folder() -> Iterator[None]:
    """Download into ``PRUNEKIT_DATA`` where that is set; otherwise where torch keeps its downloads."""
    before, chosen = torch.hub.get_dir(), chosen_folder()
    if chosen is not None:
        torch.hub.set_dir(str(chosen))
    try:
        yield
    finally:
        torch.hub.set_dir(before)


TIMM = "timm/"


def build_timm(name: str, outputs: int | None = None) -> nn.Module:
    """Return a model of timm with random weights."""
    timm = timm_package()
    short = name.removeprefix(TIMM)
    if not timm.is_model(short):
        raise ModelError(f"timm has no model {short!r}{closest(short, timm.list_models()) or ': see timm.list_models()'}")
    options: dict[str, Any] = {} if outputs is None else {"num_classes": outputs}
    model = timm.create_model(short, pretrained=False, **options)
    if not isinstance(model, nn.Module):
        raise ModelError(f"timm built a {type(model).__name__} instead of a module")
    return model


def timm_info(model_id: ModelId, model: nn.Module) -> ModelInfo:
    """Return what timm says of a model's input."""
    told = getattr(model, "default_cfg", {})
    shape = tuple(int(side) for side in told.get("input_size", (3, 224, 224)))
    mean, std = (tuple(float(v) for v in told.get(key, value)) for key, value in (("mean", (0.5,) * 3), ("std", (0.5,) * 3)))
    return ModelInfo(model_id, (shape[0], shape[1], shape[2]), mean, std, shape[-1], None, (), None)


def timm_installed() -> bool:
    """Return whether the package is there, without importing it."""
    return find_spec("timm") is not None


@lru_cache(maxsize=1)
def timm_names() -> tuple[str, ...]:
    """Return the names of all models of timm; none where the package is not installed."""
    return tuple(timm_package().list_models()) if timm_installed() else ()


def timm_package() -> Any:
    """Return the package, which few need: it is imported when it is asked for."""
    try:
        import timm  # noqa: PLC0415
    except ImportError:
        raise ModelError("models of timm need the package timm: install prunekit[timm]") from None
    return timm
