"""Whole layers of a transformer: how much each one changes what passes through it, and a copy without the least of them."""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn

from prunekit.criteria.samples import BATCH, mixed
from prunekit.errors import DataError, PruningError, one_of
from prunekit.models.hugging_face_export import layers_of
from prunekit.models.layers import prunable_layers
from prunekit.models.meta_copy import copied
from prunekit.models.running import task_of
from prunekit.pruning.unstructured.chain import entering, find_chain, first_tensor
from prunekit.tasks.batches import batches_of


def block_influence(model: nn.Module, data: Any, *, samples: int = 512, seed: int = 0) -> dict[str, float]:
    """Return by how much each block of a chain turns what enters it: one minus the mean cosine of its input and its output.

    Men et al. 2024, ShortGPT: Layers in Large Language Models are More Redundant Than You Expect; arXiv:2403.03853.

    Parameters
    ----------
    model : nn.Module
        Not modified; its blocks hand one tensor ``[..., features]`` from one to the next.
    data : Data or Split
        Its training part is looked at.
    samples, seed : int
        How many samples, and in which order.

    Returns
    -------
    dict of str to float
        Block to influence, in order; 0 for one that changes nothing but the length.

    Raises
    ------
    PruningError
        If the model has no chain of blocks.
    DataError
        If there are no samples.
    """
    split = mixed(data, samples, seed)
    task, batches, own = task_of(model, split), list(batches_of(split, BATCH)), copied(model).eval()
    if not batches:
        raise DataError("there are no samples to look at: choose data that are not empty")
    with torch.no_grad():
        chain = find_chain(own, prunable_layers(own), task, batches[0])
        if not chain.blocks:
            raise PruningError("this model has no blocks that follow each other, each on what the one before gives: no layer can go whole")
        total, seen = dict.fromkeys(chain.blocks, 0.0), 0
        for batch in batches:
            args, kwargs = entering(own, chain.blocks[0], task, batch)
            seen += args[0][..., 0].numel()
            for name in chain.blocks:
                out: Tensor = first_tensor(own.get_submodule(name)(*args, **kwargs))
                total[name] += float(nn.functional.cosine_similarity(args[0].float(), out.float(), dim=-1).double().sum())
                args = (out, *args[1:])
    return {name: 1 - cosine / seen for name, cosine in total.items()}


def least_influential(influence: dict[str, float], count: int) -> tuple[str, ...]:
    """Return so many blocks of the least influence, in order; of equals the later ones."""
    ranked = sorted(reversed(list(influence)), key=lambda name: influence[name])
    return tuple(name for name in influence if name in ranked[:count])


def without_layers(model: nn.Module, names: Collection[str]) -> nn.Module:
    """Return a copy of a model of transformers without some of its layers; what stays is numbered anew, and its configuration says so.

    Parameters
    ----------
    model : nn.Module
        Not modified.
    names : collection of str
        Layers, by the names of their modules.

    Raises
    ------
    PruningError
        If there is no such layer, or none would stay.
    ModelError
        If the model has no list of layers.
    """
    small: Any = copied(model)
    where, layers = layers_of(small)
    known = tuple(f"{where}.{i}" for i in range(len(layers)))
    for name in names:
        one_of("layers that go", name, known, PruningError)
    left = [layer for name, layer in zip(known, layers, strict=True) if name not in set(names)]
    if not left:
        raise PruningError("all layers would go: let one stay")
    parent = small.get_submodule(where.rpartition(".")[0])
    setattr(parent, where.rpartition(".")[2], nn.ModuleList(left))
    for place, layer in enumerate(left):
        for module in layer.modules():
            if isinstance(getattr(module, "layer_idx", None), int):
                module.layer_idx = place  # type: ignore[assignment]
    configs = {id(each): each for module in small.modules() if (each := getattr(module, "config", None)) is not None}
    stays = [i for i, name in enumerate(known) if name not in set(names)]
    if configs:
        _renumber(small, configs, stays)
    return small  # type: ignore[no-any-return]


def _renumber(model: nn.Module, configs: dict[int, Any], stays: list[int]) -> None:
    """Give a model's modules configurations of as many layers as stay."""
    fresh = {key: copy.deepcopy(config) for key, config in configs.items()}
    for config in fresh.values():
        config.num_hidden_layers = len(stays)
        if isinstance(getattr(config, "layer_types", None), list):
            config.layer_types = [config.layer_types[i] for i in stays]
    for module in model.modules():
        if id(getattr(module, "config", None)) in fresh:
            module.config = fresh[id(module.config)]
