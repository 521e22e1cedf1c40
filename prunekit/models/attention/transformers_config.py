"""The configuration of a Hugging Face model: kept in step with its layers where these agree, so that its class can be built from it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from torch import nn

from prunekit.models.attention.transformers_sizes import heads_in, inputs_in, outputs_in

HEADS, KEY_HEADS, HIDDEN, WORDS = "num_attention_heads", "num_key_value_heads", "hidden_size", "word_embed_proj_dim"
INNER = ("intermediate_size", "ffn_dim", "d_ff", "hidden_dim", "n_inner")  # what a configuration calls the width inside its MLPs
MLP = (
    *("up_proj", "fc1", "lin1", "wi", "wi_0", "c_fc", "dense_h_to_4h", "intermediate_dense", "ffn"),
    "dense",
)  # the layer that makes it; "dense" in an intermediate part


def keep_in_step(model: nn.Module) -> tuple[str, ...]:
    """Write the sizes of a model's layers into its configuration, where all of them agree; say which differ from layer to layer.

    Parameters
    ----------
    model : nn.Module
        Any model; only configurations of transformers change, and what a configuration does not hold stays out of it.

    Returns
    -------
    tuple of str
        What stays as it was, in plain sentences.
    """
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


def _configured(module: nn.Module, config: Any) -> Iterator[tuple[Any, nn.Module]]:
    """Yield every module with the configuration that it, or the nearest module that it stands in, is made from."""
    own = module.__dict__.get("config")
    config = own if type(own).__module__.startswith("transformers.") and hasattr(own, "to_dict") else config
    if config is not None:
        yield config, module
    for child in module.children():
        yield from _configured(child, config)


def _sizes(module: nn.Module, config: Any) -> Iterator[tuple[str, int]]:
    """Yield what a module says about numbers of its configuration."""
    heads, key_heads = heads_in(module)
    if heads:
        told = {HEADS: heads, KEY_HEADS: key_heads, HIDDEN: inputs_in(module)}
        if getattr(config, WORDS, None) == getattr(config, HIDDEN, 0):
            told[WORDS] = told[HIDDEN]
    else:
        inner = outputs_in(module, MLP[:-1] if "ntermediate" not in type(module).__name__ else MLP)
        told = {name: inner for name in INNER if name in vars(config)}
    yield from ((name, size) for name, size in told.items() if size and type(getattr(config, name, "")) in {int, type(None)})
