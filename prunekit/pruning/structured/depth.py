"""Which residual blocks go as a whole, by score or by influence, and what of the couplings is left for channels then."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from prunekit.config.choices import DEFAULT_CRITERION
from prunekit.config.spec import PruneSpec
from prunekit.criteria.methods import CRITERIA
from prunekit.criteria.samples import headless_copy, mixed, run_in_parts
from prunekit.criteria.scoring import channel_scores
from prunekit.errors import DataError, PruningError, one_of
from prunekit.models.layers import prunable_layers, weight_of
from prunekit.models.running import task_of
from prunekit.pruning.structured.axis_sizes import within
from prunekit.pruning.structured.channel_groups import ChannelGraph, Group
from prunekit.pruning.structured.coupling_solver import Ids
from prunekit.pruning.structured.residual_blocks import Block
from prunekit.pruning.unstructured.chain import find_chain, first_tensor
from prunekit.tasks.batches import batches_of

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Depth:
    """The blocks that go."""

    blocks: tuple[str, ...] = ()  # by name, in order of definition
    scores: dict[str, float] | None = None  # score of every block that may go; empty where none was asked for
    limits: tuple[str, ...] = ()  # what stood in the way, in plain sentences


def choose_blocks(model: nn.Module, spec: PruneSpec, graph: ChannelGraph, data: Any = None) -> Depth:
    """Choose the blocks that a setting takes, lowest score first: a share of those that may go, or so many by influence."""
    if not spec.depth and not spec.remove_layers:
        return Depth()
    candidates, held = _candidates(spec, graph)
    if spec.remove_layers:
        count, names = spec.remove_layers, [block.name for block in candidates]
        if count > len(names):
            raise PruningError(f"{count} layers are to go, and {len(names)} may: {', '.join(names)}. Ask for fewer")
        scores = block_influence(model, data, samples=spec.samples, seed=spec.seed, blocks=names)
        going = least_influential(scores, count)
        return Depth(going, scores, held)
    scores = block_scores(model, spec, graph, data, candidates)
    count = math.floor((spec.depth or 0.0) * len(candidates) + 0.5)
    limits = () if count else (f"a depth of {spec.depth:g} is less than half a block of {len(candidates)}: no block goes",)
    lowest = sorted(candidates, key=lambda block: scores[block.name])[:count]  # of equals the first by definition
    return Depth(tuple(block.name for block in candidates if block in lowest), scores, (*held, *limits))


def _candidates(spec: PruneSpec, graph: ChannelGraph) -> tuple[tuple[Block, ...], tuple[str, ...]]:
    """Return the blocks that a setting lets go, and which stay for a cap of a layer in them; ``cap_all`` means layers that stay."""
    known = {block.name: block for block in graph.blocks}
    if not known:
        raise PruningError(
            "no block of this model can go as a whole: a module can that gives its input plus what it makes of it, in the same shape, "
            "as most modules of a residual network do. Leave depth and blocks out"
        )
    for name in spec.blocks or ():
        one_of("blocks", name, tuple(known))
    offered = tuple(block for block in graph.blocks if spec.blocks is None or block.name in spec.blocks)
    capped = [(block.name, layer, cap) for block in offered for layer, cap in spec.caps if cap < 1 and within(layer, (block.name,))]
    for name, layer, _ in capped if spec.blocks is not None else ():
        raise PruningError(
            f"the cap of {layer} cannot be honoured: it goes with its whole block. Leave {name} out of blocks, or the cap out"
        )
    left = tuple(block for block in offered if block.name not in {name for name, _, _ in capped})
    if not left:
        raise PruningError(f"no block may go: each holds a layer with a cap, as {capped[0][1]}. Leave depth out, or a cap")
    return left, tuple(f"{name} stays: {layer} in it has a cap of {cap:g}" for name, layer, cap in capped)


def block_scores(
    model: nn.Module, spec: PruneSpec, graph: ChannelGraph, data: Any = None, blocks: tuple[Block, ...] | None = None
) -> dict[str, float]:
    """Score residual blocks by the setting's criterion: the mean over their layers of what one channel of each scores.

    How the scores of a layer's channels make one is the criterion's own matter (`Criterion.block`).

    Block to score; the lowest go first.
    """
    blocks = graph.blocks if blocks is None else blocks
    if CRITERIA[spec.criterion].random:
        noise = np.random.default_rng(spec.seed)
        return dict(zip((block.name for block in blocks), noise.random(len(blocks)).tolist(), strict=True))
    carriers = {block.name: _carriers(model, spec, block) for block in blocks}
    raw = channel_scores(model, [name for names in carriers.values() for name in names], spec.criterion, spec.seed, data, spec.samples)
    of = CRITERIA[spec.criterion].block
    return {name: float(np.mean([_joined(model, layer, raw[layer], of) for layer in layers])) for name, layers in carriers.items()}


def _carriers(model: nn.Module, spec: PruneSpec, block: Block) -> list[str]:
    """Return the layers, or norms, that tell something about a block."""
    if CRITERIA[spec.criterion].carrier == "layer":
        return list(block.layers)
    inside = (name for name, module in model.named_modules() if isinstance(module, _BatchNorm))
    found = [name for name in inside if within(name, (block.name,))]
    if not found:
        raise PruningError(
            f"there is no BatchNorm in {block.name}, so that {spec.criterion} has nothing to score it by: choose criterion "
            f"{DEFAULT_CRITERION}, or leave it out"
        )
    return found


def _joined(model: nn.Module, layer: str, scores: Scores, block: str) -> float:
    """Make one score of those of a layer's channels."""
    if block == "total":
        return float(scores.sum())
    size = weight_of(model, layer)[0].numel() if block == "mean by root" else 1
    return float(scores.mean()) / math.sqrt(max(size, 1))


def without(graph: ChannelGraph, blocks: tuple[str, ...]) -> tuple[tuple[Group, ...], tuple[Group, ...]]:
    """Return the groups that are left where blocks go, without the layers and units that go, and groups of the units that go with them."""
    if not blocks:
        return graph.groups, ()
    lost = {name for name in graph.layers if within(name, blocks)}
    left, gone = [], []
    for group in graph.groups:
        stay, go = (tuple(name for name in group.layers if (name in lost) == whether) for whether in (False, True))
        # a group may hold channels that stand in the block alone, beside those of what it adds to
        alive = np.isin(group.atoms, _atoms(graph, stay)) if go else np.ones(group.size, dtype=np.bool_)
        left.append(replace(group, layers=stay, atoms=group.atoms[alive]))
        gone.append(replace(group, layers=go, atoms=group.atoms[~alive]))
    return tuple(group for group in left if group.size), tuple(group for group in gone if group.size)


def _atoms(graph: ChannelGraph, names: tuple[str, ...]) -> Ids:
    """Return the removable units of some layers."""
    return np.concatenate([np.zeros(0, np.int64), *(graph.incidence[name][1] for name in names)])


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
