"""Whole layers of a transformer: how much each one changes what passes through it, and a copy without the least of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from prunekit.criteria.samples import mixed, run_in_parts
from prunekit.criteria.scoring_copy import headless_copy
from prunekit.errors import DataError, PruningError, one_of
from prunekit.models.attention.transformers_sizes import number_layers
from prunekit.models.hugging_face_export import layers_of, without_gaps
from prunekit.models.identity_blocks import PASSES, replace_module, stand_in
from prunekit.models.layers import prunable_layers
from prunekit.models.meta_copy import copied
from prunekit.models.running import task_of
from prunekit.pruning.unstructured.chain import find_chain, first_tensor
from prunekit.tasks.batches import batches_of


def block_influence(
    model: nn.Module, data: Any, *, samples: int = 512, seed: int = 0, blocks: Sequence[str] | None = None
) -> dict[str, float]:
    """Return by how much each block turns what enters it: one minus the mean cosine of its input and its output.

    Men et al. 2024, ShortGPT: Layers in Large Language Models are More Redundant Than You Expect; arXiv:2403.03853.

    Block to influence; 0 for one that changes nothing but the length. The cosine is that of all features at one place of one sample: the
    channels of a picture, the last axis of anything else.
    """
    if data is None:
        raise DataError("block influence looks at training data: pass data=..., or name the blocks that go")
    split, own = mixed(data, samples, seed), headless_copy(model, ())
    task = task_of(model, split)
    if blocks is None:
        with torch.no_grad():
            blocks = find_chain(own, prunable_layers(own), task, next(batches_of(split, 2))).blocks
        if not blocks:
            raise PruningError("this model has no blocks that follow each other, each on what the one before gives: no layer can go whole")
    total, seen = dict.fromkeys(blocks, 0.0), dict.fromkeys(blocks, 0)

    entered: dict[str, Tensor] = {}

    def watch(name: str, block: nn.Module) -> tuple[Any, Any]:
        axis = 1 if any(isinstance(each, (nn.Conv2d, nn.Conv3d)) for each in block.modules()) else -1

        def note(_module: nn.Module, args: tuple[Any, ...]) -> None:
            entered[name] = args[0].clone()  # the block may write to it

        def compare(_module: nn.Module, _args: Any, out: Any) -> None:
            cosine = nn.functional.cosine_similarity(entered.pop(name).float(), first_tensor(out).float(), dim=axis)
            total[name] += float(cosine.double().sum())
            seen[name] += cosine.numel()

        return block.register_forward_pre_hook(note), block.register_forward_hook(compare)

    handles = [handle for name in blocks for handle in watch(name, own.get_submodule(name))]
    try:
        with torch.no_grad():
            run_in_parts(split, partial(task.forward, own))
    finally:
        for handle in handles:
            handle.remove()
    return {name: 1 - total[name] / max(seen[name], 1) for name in blocks}


def least_influential(influence: dict[str, float], count: int) -> tuple[str, ...]:
    """Return so many blocks of the least influence, in order; of equals the later ones."""
    ranked = sorted(reversed(list(influence)), key=lambda name: influence[name])
    return tuple(name for name in influence if name in ranked[:count])


def without_layers(model: nn.Module, names: Collection[str]) -> nn.Module:
    """Return a copy of a model of transformers without some of its layers; what stays is numbered anew, and its configuration says so."""
    small: Any = copied(model)
    where, layers = layers_of(small)
    known = tuple(f"{where}.{i}" for i in range(len(layers)))
    for name in names:
        one_of("layers that go", name, known, PruningError)
    if not set(known) - set(names):
        raise PruningError("all layers would go: let one stay")
    for name in names:
        replace_module(small, name, stand_in(PASSES))
    number_layers(small)
    return without_gaps(small)  # type: ignore[no-any-return]
