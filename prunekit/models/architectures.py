"""Architectures by name: samples, torchvision, timm, transformers, and the user's own factories, each with what is known of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import torch
from torch import nn

from prunekit.config.ids import ModelId
from prunekit.errors import ModelError, closest
from prunekit.local_code.code import sha256
from prunekit.local_code.contract import wrong
from prunekit.local_code.factories import call, code_that_ran, is_factory, load_factory
from prunekit.local_code.local_imports import LOCK
from prunekit.models.checkpoints import State, fit_state, read_checkpoint
from prunekit.models.hugging_face import PREFIX as HUGGING_FACE
from prunekit.models.hugging_face import build_hugging_face, transformers_package
from prunekit.models.hugging_face_files import COPIES
from prunekit.models.info import ModelInfo, described, remember
from prunekit.models.meta_copy import check_shaped, copied
from prunekit.models.outputs import Choice, note
from prunekit.models.state import fingerprint
from prunekit.models.wrappers import unwrapped
from prunekit.models.zoos import (
    TIMM,
    TORCHVISION,
    build_timm,
    build_torchvision,
    other_outputs,
    timm_info,
    timm_package,
    torchvision_info,
    torchvision_models,
    torchvision_names,
)
from sample_models import FOLDERS, SAMPLES, card, in_folder, weights_path

SEED = 0
KINDS = "a sample, torchvision/NAME, timm/NAME, hf:FOLDER_OR_ID, path/to/file.py:factory, or a folder that prunekit wrote"

Made = TypeVar("Made")


def is_named(name: str) -> bool:
    """Whether a name is that of an architecture, whatever lies in the folder."""
    return name in SAMPLES or name in FOLDERS or name.startswith((TORCHVISION, TIMM, HUGGING_FACE)) or is_factory(name)


def build(model_id: ModelId, state: State | None, copies: float = COPIES) -> tuple[nn.Module, ModelInfo]:
    """Return the module that ``model_id`` names, before ``state`` is loaded into it, and what is known of it."""
    name = model_id.name
    if model_id.pretrained and not name.startswith(TORCHVISION):
        raise ModelError(f"pretrained weights are downloaded for torchvision models only; {name!r} is none: leave pretrained out")
    if name in SAMPLES:
        return _sample(model_id)
    if name in FOLDERS:
        return _in_folder(model_id)
    if name.startswith(TORCHVISION):
        return _torchvision(model_id, state)
    if name.startswith(TIMM):
        model = _seeded(lambda: build_timm(name))
        return model, timm_info(model_id, model)
    if name.startswith(HUGGING_FACE):
        return _seeded(lambda: build_hugging_face(model_id, state, copies))
    if is_factory(name):
        return _own(model_id)
    known = [*SAMPLES, *FOLDERS, *(TORCHVISION + n for n in torchvision_names())]
    raise ModelError(f"there is no model {name!r}{closest(name, known) or ': see the list with prunekit models.'} A model is {KINDS}")


def _torchvision(model_id: ModelId, state: State | None) -> tuple[nn.Module, ModelInfo]:
    """Return a classifier of torchvision, with as many outputs as the weights that go into it."""
    model = _seeded(lambda: build_torchvision(model_id.name, model_id.pretrained))
    outputs = None if state is None else other_outputs(model, state)
    if outputs is None:
        return model, torchvision_info(model_id, model)
    model = _seeded(lambda: build_torchvision(model_id.name, outputs=outputs))
    return model, torchvision_info(model_id, model, outputs)


def _sample(model_id: ModelId) -> tuple[nn.Module, ModelInfo]:
    """Return a sample with its trained weights."""
    sample, path = SAMPLES[model_id.name], weights_path(model_id.name)
    model = _seeded(sample.build)
    known = ModelInfo(
        model_id,
        sample.input_shape,
        sample.mean,
        sample.std,
        sample.input_shape[-1],
        sample.data,
        sample.classes,
        card(sample.name) or None,
    )
    if model_id.weights is None:
        if not path.is_file():
            how = f"python -m prunekit.training.samples {sample.name}"
            raise ModelError(f"the sample {sample.name} has no weights yet: train it with {how}")
        fit_state(model, read_checkpoint(path), path.name)
    return model, known


def _in_folder(model_id: ModelId) -> tuple[nn.Module, ModelInfo]:
    """Return a sample that has a folder of its own with its trained weights."""
    name = model_id.name
    model, known = _own(replace(model_id, name=in_folder(name, "model")))
    if model_id.weights is None:
        fit_state(model, read_checkpoint(weights_path(name)), name)
    return model, replace(known, id=model_id, card=card(name) or None)


def _own(model_id: ModelId) -> tuple[nn.Module, ModelInfo]:
    """Return what the user's factory builds, and by which code."""
    with LOCK:  # one edition of the file makes it and names it
        model, known = _built(model_id)
        return model, replace(known, code=sha256(f"{code_that_ran(model_id.name)}{_left_out(model)}".encode()))


def _left_out(model: nn.Module) -> str:
    """Return the hash of the buffers that are in no state dict; "" where there are none."""
    kept = set(model.state_dict())
    found = {name: buffer for name, buffer in model.named_buffers() if name not in kept}
    return fingerprint(found) if found else ""


def _built(model_id: ModelId) -> tuple[nn.Module, ModelInfo]:
    """Return what the user's factory builds, and what it says of it."""
    factory = _seeded(lambda: load_factory(model_id.name, ModelError))  # reading the file may make weights too
    if not callable(factory):
        raise wrong(f"{model_id.name} is no function but a {type(factory).__name__}", ModelError)
    ready = isinstance(factory, nn.Module)
    model = copied(factory) if ready else _seeded(lambda: call(model_id.name, factory, ModelError))
    if not isinstance(model, nn.Module):
        raise wrong(f"{model_id.name} returned a {type(model).__name__}, which is no torch module", ModelError)
    model = unwrapped(model)
    check_shaped(model)
    return model, described(model_id, model, factory)


def _seeded(build: Callable[[], Made]) -> Made:
    """Return what ``build`` makes under a fixed seed, the caller's random state untouched.

    One at a time: torch has one generator for all threads, and a user's factory may call load_model itself.
    """
    with LOCK, torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.manual_seed(SEED)
        return build()


def frozen(model: nn.Module, known: ModelInfo) -> nn.Module:
    """Return the model ready to be shared: eval mode, no gradients, its info noted, and by what its class scores are told."""
    if known.output is not None or known.classes:
        note(model, Choice(known.output, (len(known.classes),) if known.classes else ()))
    return remember(model.eval().requires_grad_(False), known)


def load_code(name: str) -> None:
    """Import the code that builds models of this name, and build none: so that its memory is not taken for a model's."""
    if name.startswith(TORCHVISION):
        torchvision_models()
    elif name.startswith(TIMM):
        timm_package()
    elif name.startswith(HUGGING_FACE):
        transformers_package()
    elif is_factory(name):
        load_factory(name, ModelError)
