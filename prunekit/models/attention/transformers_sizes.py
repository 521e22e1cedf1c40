"""Numbers that Hugging Face's attention keeps beside its layers: how many heads there are, and what follows from that."""

from __future__ import annotations

from torch import Tensor, nn

WIDTH = ("head_dim", "attention_head_size", "key_value_proj_dim", "head_size")
QUERIES = ("q_proj", "query", "q_lin", "q", "query_proj")
KEYS = ("k_proj", "key", "k_lin", "k", "key_proj")
PACKED = ("c_attn", "query_key_value", "Wqkv", "qkv")  # queries, keys and values of as many heads
HEADS = ("num_heads", "num_attention_heads", "n_heads", "n_head")
KEY_HEADS = ("num_key_value_heads", "num_kv_heads")
WHOLE = ("all_head_size", "split_size", "inner_dim")


def sizes_in_step(module: nn.Module) -> dict[str, int]:
    """Return those numbers of an attention module of transformers, as its layers have them; none for any other module."""
    if not type(module).__module__.startswith("transformers.models."):
        return {}
    if type(getattr(module, "num_experts", None)) is int:
        return _experts(module)
    heads, key_heads = heads_in(module)
    if not heads or getattr(module, "multi_query", False) or getattr(module, "new_decoder_architecture", False):
        return {}
    whole = heads * _number(module, WIDTH)
    values = {**dict.fromkeys(HEADS, heads), **dict.fromkeys(KEY_HEADS, key_heads), **dict.fromkeys(WHOLE, whole)}
    if key_heads:
        values["num_key_value_groups"] = heads // key_heads
    return {name: value for name, value in values.items() if type(getattr(module, name, None)) is int}


def heads_in(module: nn.Module) -> tuple[int, int]:
    """Return how many query heads and key-value heads the layers of an attention module make; zeros for any other module."""
    width = _number(module, WIDTH)
    queries, keys, packed = (outputs_in(module, names) for names in (QUERIES, KEYS, PACKED))
    if not width or not (queries or packed):
        return 0, 0
    whole = queries or packed // 3
    return whole // width, (keys or whole) // width


def inputs_in(module: nn.Module) -> int:
    """Return how many inputs the queries of an attention module are made of."""
    return _sides(module, (*QUERIES, *PACKED))[1]


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
