"""How a stranger builds the architecture: a few lines of Python, and the file that they need where torchvision does not have it."""

from __future__ import annotations

import ast
import inspect
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from pprint import pformat
from string import Template

from torch import nn

from prunekit.errors import ModelError
from prunekit.experiments.archive.manifest import CODE, LOADER
from prunekit.local_code.factories import is_factory, load_factory, split_name
from prunekit.models.attention.heads import DENSE, adapters
from prunekit.models.hugging_face import Pooled
from prunekit.models.hugging_face_files import CONFIG, folder_of
from prunekit.models.hugging_face_files import PREFIX as HUGGING_FACE
from prunekit.models.shared_rows import ROWS, SHARED, remapped
from prunekit.models.wrappers import unwrapped
from prunekit.models.zoos import INITIALISED, TORCHVISION
from sample_models import SAMPLES, architectures, in_folder

OWN_NAME = "architecture.py"
TAKEN = {LOADER.removesuffix(".py"), "torch", "torchvision", "timm", "transformers", "numpy", "safetensors", "onnxruntime"}
"""Modules that a file beside ``load.py`` would hide."""


@dataclass(frozen=True)
class Source:
    """What ``load.py`` needs to build the dense architecture."""

    lines: tuple[str, ...]  # the body of a function that returns it
    package: str = ""  # what to install beside torch and safetensors; "" for nothing
    code: str = ""  # name of the Python file that lies beside ``load.py``; "" for none
    text: bytes = b""
    # the code of the classes that allow attention any number of heads and any width, or tables fewer rows than ids, and of a function
    # ``adapt`` that puts them in place; "" for none
    adapters: str = ""


def source_of(architecture: str, model: nn.Module, classes: int) -> Source:
    """Return what builds an architecture without prunekit."""
    return replace(_source_of(architecture, model, classes), adapters=adapters_of(model))


def _source_of(architecture: str, model: nn.Module, classes: int) -> Source:
    """Return the lines that build an architecture at its first widths."""
    if architecture in SAMPLES:
        return _beside(OWN_NAME, SAMPLES[architecture].build.__name__, True, Path(architectures.__file__).read_bytes())
    if architecture.startswith(TORCHVISION):
        return _torchvision(architecture.removeprefix(TORCHVISION), model, classes)
    if is_factory(architecture := in_folder(architecture, "model")):
        path, name = split_name(architecture, ModelError)
        built = not isinstance(load_factory(architecture, ModelError), nn.Module)
        return _beside(path.name if _free(path) else OWN_NAME, name, built, path.read_bytes())
    if architecture.startswith(HUGGING_FACE):
        return _transformers(architecture, model)
    raise ModelError(
        f"nobody knows how to build {architecture!r} without prunekit: export a run of a sample, of torchvision or of your own"
    )


OF_HEADS = """
    if "%s" in told:
        module.__class__ = ADAPTED.get(type(module).__name__, type(module))
        if isinstance(module, torch.nn.MultiheadAttention):
            module._qkv_same_embed_dim = False  # else torch takes a way that knows the first heads only
        if hasattr(module, "fused_attn"):
            module.fused_attn = False  # it would scale by the width of today
        if hasattr(module, "attn_dim"):
            module.attn_dim = told["num_heads"] * told["head_dim"]
"""
OF_ROWS = """
    if "%s" in told and isinstance(module, (torch.nn.Embedding, torch.nn.EmbeddingBag)):
        module.__class__ = ADAPTED[type(module).__name__]
        module.register_buffer("remap", torch.zeros(0))
"""


def adapters_of(model: nn.Module) -> str:
    """Return the code of the classes that took the place of a model's attention or tables, and what puts them there; "" where none did."""
    heads = {known.of.rpartition(".")[2]: known.adapter for _, module, known in adapters(model) if hasattr(module, DENSE)}
    tables = {name: kind for name, kind in SHARED.items() if any(type(module) is kind for module in model.modules())}
    if not heads and not tables:
        return ""
    found: dict[str, type[nn.Module] | None] = {**heads, **tables}
    imports, bodies = dict[str, None](), []
    if tables:
        imports["from torch import nn, Tensor"] = imports["from torch.nn import functional as F"] = None
        bodies += [inspect.getsource(remapped).strip(), *(inspect.getsource(kind).strip() for kind in tables.values())]
    for home in dict.fromkeys(adapter.__module__ for adapter in heads.values() if adapter is not None):
        text = inspect.getsource(sys.modules[home])
        for node in ast.parse(text).body:
            code = ast.get_source_segment(text, node) or ""
            if isinstance(node, (ast.Import, ast.ImportFrom)) and "prunekit" not in code and "__future__" not in code:
                imports[code] = None
            elif isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                bodies.append(code)
    kinds = ", ".join(f'"{name}": {adapter.__name__}' for name, adapter in found.items() if adapter is not None)
    parts = [OF_HEADS.strip("\n") % DENSE if heads else "", OF_ROWS.strip("\n") % ROWS if tables else ""]
    head = 'def adapt(module, told):\n    """Let a module have the heads, or the rows, that are left."""'
    adapt = "\n".join([head, *filter(None, parts)])
    return "\n\n\n".join(["\n".join(imports), *bodies, f"ADAPTED = {{{kinds}}}", adapt]).strip() + "\n"


def _torchvision(name: str, model: nn.Module, classes: int) -> Source:
    """Return the lines for a classifier of torchvision, with the switches that its weights were made with."""
    options = {"weights": None, "num_classes": classes}
    options |= {"init_weights": False} if name in INITIALISED else {}
    options |= {switch: bool(getattr(model, switch)) for switch in ("aux_logits", "transform_input") if hasattr(model, switch)}
    told = ", ".join(f"{key}={value!r}" for key, value in options.items())
    return Source(("import torchvision", "", f'return torchvision.models.get_model("{name}", {told})'), "torchvision")


TRANSFORMERS = Template('''\
"""A model of transformers by its configuration, without values."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, $kind

CONFIG: dict[str, Any] = $config
$head

def model() -> nn.Module:
    """Return the dense model: weights and widths of the pruned one are put into it."""
    config = AutoConfig.for_model(**CONFIG)
    config.use_cache = False
    base = $kind(config)
    return $made
''')


def _transformers(name: str, model: nn.Module) -> Source:
    """Return the file that builds a class of transformers by the configuration of its folder, with the pooled head behind an encoder."""
    whole = unwrapped(model)
    base: nn.Module = whole.encoder if isinstance(whole, Pooled) else whole  # type: ignore[assignment]
    config = json.loads((folder_of(name) / CONFIG).read_text(encoding="utf-8"))
    head, made = "", "base"
    if isinstance(whole, Pooled):
        head, made = f"\n\n{inspect.getsource(Pooled)}", f"Pooled(base, {whole.head.out_features})"
    values = {"kind": type(base).__name__, "config": pformat(config, width=120, sort_dicts=True), "head": head, "made": made}
    return replace(_beside(OWN_NAME, "model", True, TRANSFORMERS.substitute(values).encode()), package="transformers")


def _beside(code: str, name: str, built: bool, text: bytes) -> Source:
    """Return the lines for a function, or a ready module, in a file beside."""
    beside = ("import sys", "", f"sys.path.insert(0, str(HERE))  # {code} lies beside this file")
    lines = (*beside, f"from {code.removesuffix('.py')} import {name}", "")
    return Source((*lines, f"return {name}()" if built else f"return {name}"), "", code, text)


def _free(path: Path) -> bool:
    """Return whether a file may keep its name: it can be imported by it, and hides no other module."""
    return bool(CODE.fullmatch(path.name)) and path.stem not in sys.stdlib_module_names | TAKEN
