"""A pruned model of transformers as a folder that ``AutoModel...from_pretrained`` opens without prunekit."""

from __future__ import annotations

import copy
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from prunekit.errors import ModelError, PrunekitError, named
from prunekit.formatting import error as small
from prunekit.models.attention.transformers_sizes import sizes_in_step
from prunekit.models.drafts import draft, put
from prunekit.models.hugging_face import HEAD, Pooled
from prunekit.models.hugging_face_files import CONFIG
from prunekit.models.identity_blocks import standing_in
from prunekit.models.meta_copy import copied
from prunekit.models.outputs import tensors_of
from prunekit.models.probe import at_rest, rounding
from prunekit.models.shared_rows import is_shared
from prunekit.models.wrappers import unwrapped
from prunekit.tasks.noted import told

INNER = ("gate_proj", "up_proj", "fc1", "lin1", "c_fc", "dense_h_to_4h", "wi", "wi_0")
"""What the first layer of an MLP is called; BERT's is `dense` in a module `intermediate`."""
STACKS = ("layers", "h", "layer", "blocks", "block")
WIDTHS = ("intermediate_size", "n_inner", "ffn_dim", "d_ff")
EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")
UNEVEN = (
    f"Prune structured with {named('scope')} uniform, so that every layer loses as much, in multiples that fit the heads "
    f"({named('round_to')}), and leave what the configuration cannot say out of {named('layers')}"
)
SHOWN = ("logits", "last_hidden_state")


def layers_of(model: nn.Module) -> tuple[str, nn.ModuleList]:
    """Return the name of the list of a model's layers, and the list."""
    found = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and name.rpartition(".")[2] in STACKS and len(module)
    ]
    if not found:
        raise ModelError(f"{type(model).__name__} has no list of layers that are alike")
    return min(found, key=lambda each: each[0].count("."))


def without_gaps(model: nn.Module) -> Any:
    """Return a model whose list of layers holds no stand-in of one that was removed, with a configuration of as many layers as are left.

    The model itself where there is none, else a copy that shares its tensors.
    """
    stacks = {name for name, each in model.named_modules() if isinstance(each, nn.ModuleList) and any(map(standing_in, each))}
    if not stacks:
        return model
    where, layers = layers_of(model)
    left = [place for place, layer in enumerate(layers) if standing_in(layer) is None]
    if stacks != {where} or not left:
        raise ModelError(f"layers of {', '.join(sorted(stacks))} were removed, and a configuration only says how many {where} has")
    small: Any = copied(model, {id(each): each for each in (*model.parameters(), *model.buffers())})
    parent, _, leaf = where.rpartition(".")
    setattr(small.get_submodule(parent), leaf, nn.ModuleList([small.get_submodule(where)[place] for place in left]))
    fresh: dict[int, Any] = {}
    for module in small.modules():
        config = module.__dict__.get("config")
        if hasattr(config, "num_hidden_layers"):
            if id(config) not in fresh:
                fresh[id(config)] = copy.deepcopy(config)
                fresh[id(config)].num_hidden_layers = len(left)
                if isinstance(getattr(config, "layer_types", None), list):
                    fresh[id(config)].layer_types = [config.layer_types[place] for place in left]
            module.config = fresh[id(config)]
    return small


def pruned_config(model: nn.Module) -> Any:
    """Return the configuration that says what a pruned model is: hidden size, MLP size, heads, key-value heads, layers."""
    if not hasattr(model, "save_pretrained") or not hasattr(model, "config"):
        raise ModelError(f"a folder of Hugging Face holds a model of transformers, and this one is a {type(model).__name__}")
    model = without_gaps(model)
    shared = next((name for name, module in model.named_modules() if is_shared(module)), None)
    if shared is not None:
        raise ModelError(f"rows of {shared} went, and a configuration cannot say which: keep the folder that prunekit writes, or all rows")
    config: Any = copy.deepcopy(model.config)
    embedding: Any = model.get_input_embeddings()  # type: ignore[operator]
    _, layers = layers_of(model)
    config.hidden_size = int(embedding.weight.shape[1])
    config.num_hidden_layers = len(layers)
    if isinstance(getattr(config, "layer_types", None), list):
        config.layer_types = config.layer_types[: len(layers)]
    sizes = next((found for module in layers[0].modules() if (found := sizes_in_step(module))), {})
    attention = next((module for module in layers[0].modules() if sizes_in_step(module)), None)
    heads = _heads(layers[0], attention, sizes, config)
    if heads:
        config.num_attention_heads, groups, width = heads
        if hasattr(config, "num_key_value_heads"):
            config.num_key_value_heads = groups
        if width * config.num_attention_heads != config.hidden_size or getattr(config, "head_dim", None) is not None:
            config.head_dim = width
    inner = _inner(layers[0])
    key = next((name for name in WIDTHS if hasattr(config, name)), "")
    if inner and key:
        setattr(config, key, inner)
    for name, size in _experts(layers[0], config).items():
        setattr(config, name, size)
    _check(model, config)
    return config


def _experts(layer: nn.Module, config: Any) -> dict[str, int]:
    """Return how many experts a layer has and how wide one is, by the configuration's names; nothing where it has none."""
    found: dict[str, int] = {}
    for module in layer.modules():
        sizes = sizes_in_step(module) if type(getattr(module, "num_experts", None)) is int else {}
        found |= {name: sizes["num_experts"] for name in EXPERTS if "num_experts" in sizes and hasattr(config, name)}
        inner = next((sizes[name] for name in ("intermediate_dim", "intermediate_size", "expert_dim") if name in sizes), 0)
        width = next((name for name in ("moe_intermediate_size", *WIDTHS) if hasattr(config, name)), "")
        found |= {width: inner} if inner and width else {}
    return found


def _heads(layer: nn.Module, attention: nn.Module | None, sizes: dict[str, int], config: Any) -> tuple[int, int, int] | None:
    """Return how many heads and key-value heads a layer has, and how wide one is."""
    if attention is None:
        return None
    width = next((getattr(attention, name) for name in ("head_dim", "attention_head_size") if hasattr(attention, name)), 0)
    query = next((getattr(attention, name) for name in ("q_proj", "query", "q_lin") if hasattr(attention, name)), None)
    key = next((getattr(attention, name) for name in ("k_proj", "key", "k_lin") if hasattr(attention, name)), None)
    if not width:
        return None
    if query is None:
        heads = next((sizes[name] for name in ("num_heads", "num_attention_heads") if name in sizes), config.num_attention_heads)
        return heads, heads, width
    return query.weight.shape[0] // width, (key if key is not None else query).weight.shape[0] // width, width


def _inner(layer: nn.Module) -> int:
    """Return how wide the MLP of a layer is; 0 where nobody can tell."""
    for name, module in layer.named_modules():
        last = name.rpartition(".")[2]
        if isinstance(weight := module._parameters.get("weight"), Tensor) and (last in INNER or name.endswith("intermediate.dense")):
            return int(weight.shape[1 if type(module).__name__ == "Conv1D" else 0])
    return 0


def _check(model: nn.Module, config: Any) -> None:
    """Raise unless a model of a configuration has the shapes of this one."""
    advice = UNEVEN
    if getattr(config, "head_dim", 0) and "head_dim" not in type(config)().to_dict():  # told above of what it does not know
        advice = (
            f"It knows no size of a head but divides hidden size by heads, {config.hidden_size} by {config.num_attention_heads} here, so "
            "that fewer heads would come out wider. Let MLP width or whole layers go instead of heads, or keep this "
            "model in a folder or an archive of prunekit"
        )
    try:
        fresh = _fresh(model, config)
    except Exception as error:  # whatever a class makes of numbers that do not fit
        raise ModelError(
            f"the configuration of {type(model).__name__} cannot say what this model is ({' '.join(str(error).split())}). {advice}"
        ) from None
    mine = {name: tuple(each.shape) for name, each in model.state_dict().items()}
    theirs = {name: tuple(each.shape) for name, each in fresh.state_dict().items()}
    for name in {**mine, **theirs}:
        if mine.get(name) != theirs.get(name):
            raise ModelError(
                f"the configuration of {type(model).__name__} cannot say what this model is: {name} is {mine.get(name)}, and by the "
                f"configuration {theirs.get(name)}. {advice}"
            )


def _fresh(model: nn.Module, config: Any) -> Any:
    """Return a model of the same class and a configuration, without values."""
    with torch.device("meta"):
        fresh: Any = type(model)(type(config).from_dict(config.to_dict()))
    if "pooler" in model._modules and model._modules["pooler"] is None:
        fresh.pooler = None  # a head of prunekit does not ask it
    return fresh


def export_hugging_face(model: nn.Module, folder: str | PathLike[str]) -> Path:
    """Write a pruned model of transformers as a folder that ``from_pretrained`` opens without prunekit, its tokeniser beside it."""
    whole = unwrapped(model)
    inner: Any = without_gaps(whole.encoder if isinstance(whole, Pooled) else whole)
    config, target = pruned_config(inner), Path(folder).expanduser()
    if target.exists() and not (target.is_dir() and (not any(target.iterdir()) or (target / CONFIG).is_file())):
        raise PrunekitError(f"{target} exists and holds something else: name another folder")
    config.architectures = [type(inner).__name__]
    if hasattr(config, "use_cache"):
        config.use_cache = True
    config.dtype = next(inner.parameters()).dtype
    if isinstance(whole, Pooled):
        config.num_labels = whole.head.out_features
    try:
        with draft(target) as beside:
            made = beside / "new"
            made.mkdir()
            _save(inner, config, made)
            if isinstance(whole, Pooled):
                save_file({name: each.detach().clone() for name, each in whole.head.state_dict().items()}, made / HEAD)
            words = told(whole, "tokeniser")
            if words is not None and hasattr(words, "tokeniser"):
                words.tokeniser.save_pretrained(made)
            put(made, target)
    except OSError as error:
        raise PrunekitError(f"cannot write to {target}: {error.strerror or error}") from None
    return target


def _save(inner: Any, config: Any, made: Path) -> None:
    """Write weights and configuration, without changing the model."""
    fresh = _fresh(inner, config)
    fresh.load_state_dict(inner.state_dict(), assign=True)
    fresh.tie_weights()
    fresh.generation_config = getattr(inner, "generation_config", None)
    fresh.config = config
    fresh.save_pretrained(made)
    again = type(inner).from_pretrained(made, dtype=config.dtype, use_safetensors=True, local_files_only=True).eval()
    rows = inner.get_input_embeddings().weight.shape[0]
    ids = torch.randint(rows, (2, 8), generator=torch.Generator().manual_seed(0))
    with at_rest(inner), torch.no_grad():
        found, expected = ({name: each for name, each in tensors_of(model(ids)).items() if name in SHOWN} for model in (again, inner))
    off = max((float((found[name] - expected[name]).abs().max() / expected[name].abs().max().clamp(min=1e-6)) for name in found), default=0)
    if found.keys() != expected.keys() or not off <= rounding(inner):
        raise ModelError(
            f"{type(inner).__name__} made of its configuration answers otherwise ({small(off)} of the largest output): what went is more "
            "than its configuration can say, as single dimensions of heads that turn by position. Let heads, widths or layers go whole: "
            f"choose other {named('units')}"
        )
