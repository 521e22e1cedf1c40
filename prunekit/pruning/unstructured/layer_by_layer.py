"""Pruning layer by layer, each on the inputs that the layers before it give once they are pruned: SparseGPT's update over a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import BaseTorchFunctionMode

from prunekit.config.spec import PruneSpec
from prunekit.criteria.layer_inputs import InputProducts
from prunekit.criteria.samples import mixed, run_in_parts, scored_on
from prunekit.errors import DataError
from prunekit.models.layers import check_finite, input_axis, inputs_first, owner_of_layer, weight_name, weight_of
from prunekit.models.meta_copy import copied
from prunekit.models.running import task_of
from prunekit.pruning.layer_selection import chosen_layers
from prunekit.pruning.result import PackedMasks
from prunekit.pruning.unstructured.chain import Chain, Reached, entering, find_chain, first_tensor
from prunekit.pruning.unstructured.cut_rules import Asked
from prunekit.pruning.unstructured.masks import Ranking
from prunekit.pruning.unstructured.n_m import PatternRanking, rank
from prunekit.pruning.unstructured.reconstruction import Goal, reconstruct
from prunekit.tasks.batch import Batch
from prunekit.tasks.protocol import Task

SHAPED = ("uniform", "row", "erk")  # scopes that share out by shapes alone


def prune_layer_by_layer(
    model: nn.Module, spec: PruneSpec, data: Any, *, consume: bool = False
) -> tuple[nn.Module, PackedMasks, Ranking | PatternRanking]:
    """Prune single weights of a copy; the kept weights of each layer are updated to make up for removed ones.

    Beside the model and the copy the products of one block of layers are held, and what enters it.
    """
    if data is None:
        raise DataError(f"criterion {spec.criterion!r} looks at training data: pass data=..., or choose l1")
    ranking = _ranking(model, spec, data)
    goals = dict(_goals(ranking, spec))
    learns = [each.requires_grad for each in model.parameters()]
    pruned = model.eval().requires_grad_(False) if consume else _own_copy(model, goals)
    samples = mixed(data, spec.samples, spec.seed)
    task = task_of(model, samples)
    batches: list[Batch] = []

    def keep(batch: Batch) -> Any:
        batches.append(batch)
        return task.forward(pruned, batch) if len(batches) == 1 else None

    with torch.no_grad():
        run_in_parts(samples, keep)
        work = _Work(pruned, goals, task, batches)
        masks = PackedMasks(work.carry_out())
    ordered = PackedMasks((name, masks[name]) for name in goals)
    for learning, parameter in zip(learns, pruned.parameters(), strict=True):
        parameter.requires_grad_(learning)
    return pruned, ordered, ranking


def _ranking(model: nn.Module, spec: PruneSpec, data: Any) -> Ranking | PatternRanking:
    """Return how many weights each layer loses; without scores where shapes alone decide."""
    if spec.mode != "nm" and (spec.scope not in SHAPED or spec.threshold is not None):
        return rank(model, spec, data, once=True)
    names = chosen_layers(model, spec)
    check_finite(model, names)
    shapes = {name: tuple(weight_of(model, name).shape) for name in names}

    def ones(name: str) -> Iterator[Tensor]:
        yield torch.ones(weight_of(model, name).numel())

    note = scored_on(data, spec.samples)
    kind = PatternRanking if spec.mode == "nm" else Ranking
    axes = {name: input_axis(model, name) for name in names}
    return kind(spec, Asked(model, shapes, ones), shapes, () if note is None else (note,), once=True, input_axes=axes)


def _goals(ranking: Ranking | PatternRanking, spec: PruneSpec) -> Iterator[tuple[str, Goal]]:
    """Yield how much goes from each layer."""
    if isinstance(ranking, PatternRanking):
        yield from ((name, Goal(pattern=ranking.pattern)) for name in ranking.shapes)
        return
    if spec.scope in SHAPED and spec.threshold is None:
        counts = ranking.budget.counts(spec) | ranking.budget.fixed
    else:
        counts = ranking.removed(ranking.cut())
    yield from ((name, Goal(counts[name], by_row=spec.scope == "row")) for name in ranking.shapes)


def _own_copy(model: nn.Module, goals: dict[str, Goal]) -> nn.Module:
    """Return a copy in eval mode whose chosen weights are its own."""
    memo: dict[int, object] = {}
    for name in goals:
        weight = model.get_parameter(weight_name(model, name))
        memo[id(weight)] = nn.Parameter(weight.detach().clone(), requires_grad=False)
    return copied(model, memo).eval()


class _Work:
    """One model under way, a copy of its own, with what runs it."""

    def __init__(self, model: nn.Module, goals: dict[str, Goal], task: Task, batches: list[Batch]) -> None:
        self.model, self.goals, self.task, self.batches = model, goals, task, batches

    def carry_out(self) -> Iterator[tuple[str, Tensor]]:
        """Prune every layer and yield its mask."""
        serve = Counter(id(weight) for module in self.model.modules() for weight in {*module.parameters(recurse=False)})
        tied = tuple(name for name in self.goals if serve[id(self.model.get_parameter(weight_name(self.model, name)))] > 1)
        yield from self._each(tied, whole=True)  # first: what they serve last, as a head, is seen in the dense model
        once = tuple(name for name in self.goals if name not in tied)
        chain = find_chain(self.model, once, self.task, self.batches[0].take(1))
        if not chain.blocks:
            yield from self._each((*chain.before, *chain.after))
            return
        yield from self._each(chain.before)
        yield from self._along(chain)
        yield from self._each(chain.after)

    def _along(self, chain: Chain) -> Iterator[tuple[str, Tensor]]:
        """Prune the layers of a chain, block by block; of each batch what enters the next block is kept."""
        calls = [entering(self.model, chain.blocks[0], self.task, batch) for batch in self.batches]
        for name in chain.blocks:
            block = self.model.get_submodule(name)

            def run(block: nn.Module = block) -> list[Any]:
                return [first_tensor(block(*args, **kwargs)) for args, kwargs in calls]

            inside = tuple(layer for layer in self.goals if layer == name or layer.startswith(f"{name}."))
            if inside:
                yield from self._pruned(inside, run)
            for place, handed in enumerate(run()):
                args, kwargs = calls[place]
                calls[place] = (handed, *args[1:]), kwargs

    def _each(self, layers: tuple[str, ...], *, whole: bool = False) -> Iterator[tuple[str, Tensor]]:
        """Prune layers one after another, the model run as far as each of them, or as a whole."""
        for name in layers:
            last = self.model if whole else owner_of_layer(self.model, name)

            def run(last: nn.Module = last) -> None:
                handle = last.register_forward_hook(_stop)
                try:
                    for batch in self.batches:
                        with suppress(Reached):
                            self.task.forward(self.model, batch)
                finally:
                    handle.remove()

            yield from self._pruned((name,), run)

    def _pruned(self, layers: tuple[str, ...], run: Callable[[], object]) -> Iterator[tuple[str, Tensor]]:
        """Prune some layers by what they meet in a run."""
        seen = InputProducts({name: self.model.get_parameter(weight_name(self.model, name)) for name in layers})
        with BaseTorchFunctionMode(), seen:
            run()
        for name in layers:
            yield name, self._one(name, seen)

    def _one(self, name: str, seen: InputProducts) -> Tensor:
        """Prune one layer in place and return its mask."""
        weight = weight_of(self.model, name)
        mask = torch.empty(weight.shape, dtype=torch.bool)
        # views as [outputs, offsets of a kernel, inputs]
        there, stays = (each.t() if inputs_first(owner_of_layer(self.model, name)) else each.movedim(1, -1) for each in (weight, mask))
        goal = replace(self.goals[name], inputs=there.shape[-1])
        new, kept = reconstruct(there.float().flatten(1), seen.of(name), goal)
        there.copy_(new.view(there.shape))
        stays.copy_(kept.view(there.shape))
        return mask


def _stop(*_: object) -> None:
    """Stop a forward pass."""
    raise Reached
