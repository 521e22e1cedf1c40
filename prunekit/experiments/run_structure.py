"""The structure of a run: kept outputs, shapes and masks of each layer, in the dense model's shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prunekit.errors import PrunekitError
from prunekit.experiments.home import store as usual_store
from prunekit.experiments.load_run import Opened, open_run
from prunekit.experiments.sources import Source, run_gone
from prunekit.experiments.store import RunStore
from prunekit.models.folder import stored_architecture
from prunekit.models.layers import LOOKED_UP, channel_layers, outputs_of, prunable_layers, weight_name, weight_of
from prunekit.models.load import load_model
from prunekit.models.saved_values import kept_in
from prunekit.models.shared_rows import TableCut
from prunekit.pruning.api import prune
from prunekit.pruning.masked_reference import removed_mask
from prunekit.pruning.result import PruneResult
from prunekit.pruning.structured.grouping import trace
from prunekit.pruning.structured.kept_outputs import sound
from prunekit.pruning.structured.plan import Removal
from prunekit.pruning.structured.surgery import by_tensor

Kept = dict[str, NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class Structure:
    """What is left of each prunable layer, told in the dense model's own shapes, so that runs can be compared weight by weight."""

    # layer -> shape of the dense weight, True where a weight stays. Empty where it is not known which channels stay
    masks: dict[str, Tensor]
    kept: Kept | None  # layer -> original indices of the outputs that stay; None where no channels were removed, or it is not known which
    widths: dict[str, tuple[int, int]]  # layer -> output channels before and after


def layers_of(result: PruneResult) -> dict[str, Any]:
    """Return the structure of each layer as plain values, for ``result.json``."""
    return {"layers": [layer.to_dict() for layer in result.layers]}


def of_masks(dense: nn.Module, masks: Mapping[str, Tensor]) -> Structure:
    """Return the structure of a model whose weights were masked; layers without a mask stay whole."""
    layers = prunable_layers(dense)
    whole = {name: masks[name].cpu() if name in masks else torch.ones_like(weight_of(dense, name), dtype=torch.bool) for name in layers}
    return Structure(whole, None, widths_of(dense, dense))


def of_weights(dense: nn.Module, model: nn.Module) -> Structure:
    """Return the structure of a model of the dense shape: what is not zero stays."""
    return of_masks(dense, {name: weight_of(model, name) != 0 for name in prunable_layers(dense)})


def of_removal(dense: nn.Module, removal: Removal) -> Structure:
    """Return the structure of a model that lost channels."""
    keeps, masks = by_tensor(removal.masks), dict[str, Tensor]()
    for weight, cut in removal.by_weight.items():
        keeps.setdefault(weight, {})[0] = cut.keep
    for name in prunable_layers(dense):
        masks[name] = ~removed_mask(tuple(weight_of(dense, name).shape), keeps.get(weight_name(dense, name), {}))
    kept = {name: np.asarray(stay, dtype=np.int64) for name, stay in removal.kept.items()}
    widths = {name: (removal.graph.outputs[name].size, len(kept[name])) for name in kept}
    return Structure(masks, kept, widths)


def cut_of(opened: Opened, store: RunStore) -> tuple[nn.Module, Removal | None]:
    """Return a model of the dense shape, and which channels of it went: None where none did, or it is not known which.

    The weights of the former may be others than when the run was made, where the latter is known without them.
    """
    assert opened.model is not None
    if opened.dense is not None:
        return opened.dense, None if opened.result is None else opened.result.plan
    source = Source(opened.run, store)
    dense = _architecture(source, opened.file)
    if same_shapes(dense, opened.model):
        return dense, None
    kept = None if opened.file is None else kept_in(opened.file)
    if kept is None and source.spec is not None and source.recovery.active and source.recovery.schedule == "one-shot":
        model, shape = source.dense()
        kept = prune(model, source.spec, source.images(), input_shape=shape).kept
    return dense, removal_of(dense, opened.model, kept, opened.shape)


def _architecture(source: Source, folder: Path | None) -> nn.Module:
    """Return a model of the dense shape; whether its weights are still the same makes no difference here."""
    try:
        return load_model(source.model_id)
    except (PrunekitError, OSError) as error:
        try:
            return load_model(stored_architecture(folder or ""))
        except (PrunekitError, OSError):
            why = f"its dense model cannot be loaded: {error}"
            raise run_gone(source.run, why, "Bring it back to see which weights stay; its numbers can be compared without") from error


def same_shapes(dense: nn.Module, model: nn.Module) -> bool:
    """Whether two models have parameters of the same names and shapes."""
    one, other = ({name: p.shape for name, p in m.named_parameters()} for m in (dense, model))
    return one == other


def removal_of(
    dense: nn.Module, small: nn.Module, kept: Mapping[str, Sequence[int]] | None, shape: tuple[int, ...] | None
) -> Removal | None:
    """Return what was removed, or None where what was noted does not lead to the shapes of the smaller model."""
    graph = None if kept is None else trace(dense, shape)
    if graph is None or kept is None or not sound(graph, kept):
        return None
    there = dict(small.named_modules())
    tables = ((name, module, there.get(name)) for name, module in dense.named_modules() if isinstance(module, LOOKED_UP))
    found = {name: TableCut.between(table, new) for name, table, new in tables if isinstance(new, LOOKED_UP)}
    removal = Removal.leaving(graph, kept, {name: cut for name, cut in found.items() if cut is not None})
    shapes = {name: tuple(weight_of(small, name).shape) for name in channel_layers(small)}
    left = {name: after for name, (_, after) in removal.layer_shapes.items() if after[0]}  # without those of blocks that went
    return removal if left == {name: size for name, size in shapes.items() if name in removal.layer_shapes} else None


def widths_of(dense: nn.Module, model: nn.Module) -> dict[str, tuple[int, int]]:
    """Return the output channels of each layer before and after; none where its block went."""
    there = set(prunable_layers(model))
    left = {name: outputs_of(model, name) if name in there else 0 for name in prunable_layers(dense)}
    return {name: (outputs_of(dense, name), after) for name, after in left.items()}


def structure_of(opened: Opened, store: RunStore | None = None) -> Structure:
    """Return the structure of each layer of a run.

    A quantised run has the structure of the float32 model that it was made from.
    """
    where = usual_store() if store is None else store
    if opened.model is None:
        if opened.run.parent is None:
            raise run_gone(opened.run, "it was imported in int8 alone", "Its layers cannot be told; compare its numbers")
        return structure_of(open_run(opened.run.parent, where), where)
    dense, removal = cut_of(opened, where)
    if removal is not None:
        return of_removal(dense, removal)
    if opened.result is not None:
        return of_masks(dense, opened.result.masks or {})
    return of_weights(dense, opened.model) if same_shapes(dense, opened.model) else Structure({}, None, widths_of(dense, opened.model))
