"""Numbers that Hugging Face's models keep beside their layers, in attention and in configuration: heads and sizes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from copy import copy
from typing import Any

from torch import Tensor, nn

from prunekit.models.identity_blocks import PassThrough

WIDTH = ("head_dim", "attention_head_size", "key_value_proj_dim", "head_size")
QUERIES = ("q_proj", "query", "q_lin", "q", "query_proj")
KEYS = ("k_proj", "key", "k_lin", "k", "key_proj")
PACKED = ("c_attn", "query_key_value", "Wqkv", "qkv")  # queries, keys and values of as many heads
HEADS = ("num_heads", "num_attention_heads", "n_heads", "n_head")
KEY_HEADS = ("num_key_value_heads", "num_kv_heads")
WHOLE = ("all_head_size", "split_size", "inner_dim")
IN_ONE = "qkv_proj"  # queries of all heads, then keys and values of as many as there are groups
OWN_CONFIG = ("Phi3Attention",)  # classes that cut IN_ONE at numbers of heads that they ask their configuration for

STATES = ("num_heads", "head_dim", "intermediate_size", "conv_dim", "ssm_state_size")
SLOPED = ("BloomAttention",)  # classes of which every head has a slope that follows from how many there are: each becomes less wide


def cuts_by_numbers(module: nn.Module) -> bool:
    """Return whether a module cuts an axis into pieces at numbers that are brought in step: each piece may shrink by itself."""
    return type(module).__name__ in OWN_CONFIG and type(module).__module__.startswith("transformers.models.")


def sizes_in_step(module: nn.Module) -> dict[str, Any]:
    """Return those numbers of an attention module of transformers, as its layers have them; none for any other module."""
    if not type(module).__module__.startswith("transformers.models."):
        return {}
    if type(getattr(module, "num_experts", None)) is int:
        return _experts(module)
    if "A_log" in module._parameters and all(type(getattr(module, name, None)) is int for name in STATES):
        return _states(module)
    heads, key_heads = heads_in(module)
    if not heads:
        return {}
    if type(module).__name__ in SLOPED:
        return {"head_dim": outputs_in(module, PACKED) // (3 * heads)}
    whole = heads * _number(module, WIDTH)
    values = {**dict.fromkeys(HEADS, heads), **dict.fromkeys(KEY_HEADS, key_heads), **dict.fromkeys(WHOLE, whole)}
    if key_heads:
        values["num_key_value_groups"] = heads // key_heads
    found: dict[str, Any] = {name: value for name, value in values.items() if type(getattr(module, name, None)) is int}
    if cuts_by_numbers(module):
        config: Any = copy(module.config)  # its own, for another layer may keep other numbers
        config.num_attention_heads, config.num_key_value_heads = heads, key_heads
        found["config"] = config
    return found


def heads_in(module: nn.Module) -> tuple[int, int]:
    """Return how many query heads and key-value heads the layers of an attention module make; zeros for any other module."""
    width = _number(module, WIDTH)
    queries, keys, packed = (outputs_in(module, names) for names in (QUERIES, KEYS, PACKED))
    if cuts_by_numbers(module):
        queries = _sides(module, ("o_proj",))[1]
        keys = (outputs_in(module, (IN_ONE,)) - queries) // 2
    if not width or not (queries or packed):
        return 0, 0
    if getattr(module, "new_decoder_architecture", False):  # Falcon: each group's queries, its key, its value
        ratio = _number(module, HEADS) // _number(module, KEY_HEADS)
        groups = packed // (width * (ratio + 2))
        return groups * ratio, groups
    if type(module).__name__ in SLOPED:
        return _number(module, HEADS), _number(module, HEADS)
    if getattr(module, "multi_query", False):
        return packed // width - 2, 1
    whole = queries or packed // 3
    return whole // width, (keys or whole) // width


def inputs_in(module: nn.Module) -> int:
    """Return how many inputs the queries of an attention module are made of."""
    return _sides(module, (*QUERIES, *PACKED, IN_ONE))[1]


def _number(module: nn.Module, names: tuple[str, ...]) -> int:
    """Return the first of some attributes that is a number, 0 where none is."""
    return next((value for name in names if type(value := getattr(module, name, None)) is int), 0)


def outputs_in(module: nn.Module, names: tuple[str, ...]) -> int:
    """Return how many outputs the first of some layers has that is there, 0 where none is."""
    return _sides(module, names)[0]


def _sides(module: nn.Module, names: tuple[str, ...]) -> tuple[int, int]:
    """Return how many outputs and inputs the first of some layers has that is there, zeros where none is."""
    for name in names:
        layer = module._modules.get(name)
        weight = None if layer is None else layer._parameters.get("weight")
        if isinstance(weight, Tensor) and weight.dim() == 2:
            first, second = weight.shape
            return (second, first) if type(layer).__name__ == "Conv1D" else (first, second)
    return 0, 0


def _states(module: nn.Module) -> dict[str, int]:
    """Return the sizes of a state space model's mixer with heads, as Mamba-2 has it; its groups stay as many."""
    heads, inner = module._parameters["A_log"].shape[0], _sides(module, ("out_proj",))[1]  # type: ignore[union-attr]
    wide = module.get_parameter("conv1d.weight").shape[0]
    return dict(zip(STATES, (heads, inner // heads, inner, wide, (wide - inner) // (2 * _number(module, ("n_groups",)))), strict=True))


def _experts(module: nn.Module) -> dict[str, int]:
    """Return the sizes of packed experts, or of the router that chooses them."""
    weights = {name: tuple(weight.shape) for name, weight in module._parameters.items() if weight is not None and weight.dim() > 1}
    found: dict[str, int] = {}
    for name, shape in weights.items():
        if name == "weight" and len(shape) == 2:
            found |= {"num_experts": shape[0], "hidden_dim": shape[1], "hidden_size": shape[1]}
        elif name == "down_proj" and len(shape) == 3:
            turned = bool(getattr(module, "is_transposed", False))
            inner, outer = shape[1 if turned else 2], shape[2 if turned else 1]
            found |= {"num_experts": shape[0], "hidden_dim": outer, "hidden_size": outer}
            found |= dict.fromkeys(("intermediate_dim", "intermediate_size", "expert_dim"), inner)
    return {name: value for name, value in found.items() if type(getattr(module, name, None)) is int}


INDEX = "layer_idx"
CONFIG_HEADS, HIDDEN, WORDS = "num_attention_heads", "hidden_size", "word_embed_proj_dim"
INNER = ("intermediate_size", "ffn_dim", "d_ff", "hidden_dim", "n_inner")  # what a configuration calls the width inside its MLPs
MLP = (
    *("up_proj", "fc1", "lin1", "wi", "wi_0", "c_fc", "dense_h_to_4h", "intermediate_dense", "ffn"),
    "dense",
)  # the layer that makes it; "dense" in an intermediate part


def keep_in_step(model: nn.Module) -> tuple[str, ...]:
    """Write the sizes of a model's layers into its configuration, where all of them agree; return what stays as it was, in sentences.

    Where layers were removed, those that are left are numbered anew: a cache of keys and values has a place for each of them.
    """
    number_layers(model)
    configs, sizes = {}, defaultdict[tuple[int, str], set[int]](set)
    for config, module in _configured(model, None):
        configs[id(config)] = config
        for name, size in _sizes(module, config):
            sizes[id(config), name].add(size)
    told = []
    for (key, name), found in sizes.items():
        dense, numbers = getattr(configs[key], name), ", ".join(map(str, sorted(found)))
        if len(found) > 1:
            told.append(f"config.{name} stays {dense}: its layers have {numbers}, and no class of transformers builds that from it")
        elif dense not in found:
            setattr(configs[key], name, min(found))
    return tuple(dict.fromkeys(told))


def number_layers(model: nn.Module) -> None:
    """Set the number by which attention finds its keys and values in a cache to its place among the layers that are left."""
    for stack in model.modules():
        left = [layer for layer in stack if not isinstance(layer, PassThrough)] if isinstance(stack, nn.ModuleList) else []
        numbered = [[each for each in layer.modules() if type(getattr(each, INDEX, None)) is int] for layer in left]
        if numbered and all(numbered) and len(left) < len(stack):  # type: ignore[arg-type]
            for place, found in enumerate(numbered):
                for each in found:
                    setattr(each, INDEX, place)


def _configured(module: nn.Module, config: Any) -> Iterator[tuple[Any, nn.Module]]:
    """Yield every module with the configuration that it, or the nearest module that it stands in, is made from."""
    own = module.__dict__.get("config") if config is None or not cuts_by_numbers(module) else config
    config = own if type(own).__module__.startswith("transformers.") and hasattr(own, "to_dict") else config
    if config is not None:
        yield config, module
    for child in module.children():
        yield from _configured(child, config)


def _sizes(module: nn.Module, config: Any) -> Iterator[tuple[str, int]]:
    """Yield what a module says about numbers of its configuration."""
    heads, key_heads = heads_in(module)
    if heads:
        told = {CONFIG_HEADS: heads, **dict.fromkeys(KEY_HEADS, key_heads), HIDDEN: inputs_in(module)}
        if getattr(config, WORDS, None) == getattr(config, HIDDEN, 0):
            told[WORDS] = told[HIDDEN]
    else:
        inner = outputs_in(module, MLP[:-1] if "ntermediate" not in type(module).__name__ else MLP)
        if "gate_up_proj" in module._modules:  # both halves in one
            inner = outputs_in(module, ("gate_up_proj",)) // 2
        told = {name: inner for name in INNER if name in vars(config)}
    yield from ((name, size) for name, size in told.items() if size and type(getattr(config, name, "")) in {int, type(None)})
