"""Shortcuts of a scan: the form in which a network is measured faster, and which outputs of a dense pass serve again.

A call is replayed where it was over before the first operation that sees what changes. Whole containers are replayed where possible, so
that only a few outputs have to be kept. What a replayed call returned is kept only if something that still runs looks at it, and a call is
never replayed where that could show: where it writes to memory that others use, returns memory that it did not make, or leaves memory
behind that is used later by another way than its outputs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from prunekit.evaluation.sensitivity.call_trace import Call, Storages, Watched, Working, watch
from prunekit.models.meta_copy import copied
from prunekit.tasks.batch import Batch
from prunekit.tasks.input_form import answer
from prunekit.tasks.nested import named_tensors

WORTH = 2e7
"""Operations of one sample, about ten million MACs, below which there is little to gain."""
CLOSE = 1e-4
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def faster_form(model: nn.Module, x: Batch, changed: Collection[str]) -> nn.Module:
    """Return a copy of a network that answers the same, faster, or the network itself.

    A norm is folded where it reads what a convolution gives and nobody else does. Zeros of the convolution's weight are zeros of the folded
    one, so that the same masks serve; norms that a change touches stay as they are.
    """
    if not any(isinstance(module, nn.Conv2d) for module in model.modules()):
        return model
    working = Working(model)
    try:
        working.attach()
        watched = watch(working, x.map(Tensor.clone))
        if watched.calls[0].cost < WORTH * watched.samples:
            return model
        faster = copied(model).eval().requires_grad_(False)
        for convolution, norm in _pairs(faster, watched, changed):
            _fold(faster, convolution, norm)
        faster = faster.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return faster if _agree(model, faster, x) else model
    except Exception:  # whatever cannot be watched or copied is measured as it is
        return model


def _pairs(model: nn.Module, watched: Watched, changed: Collection[str]) -> list[tuple[str, str]]:
    """Return names of convolutions and of the norms that alone read what they give, neither called twice."""
    modules, calls = dict(model.named_modules()), dict[str, list[Call]]()
    for call in watched.calls:
        calls.setdefault(call.module, []).append(call)
    given = {
        call.outputs[0][0]: (name, call)
        for name, (call, *more) in calls.items()
        if not more and isinstance(modules[name], CONVOLUTIONS) and call.outputs is not None and len(call.outputs) == 1
    }
    held = Counter(watched.state.values())
    found = []
    for name, (call, *more) in calls.items():
        norm = modules[name]
        if more or not isinstance(norm, NORMS) or norm.running_mean is None or any(each.startswith(f"{name}.") for each in changed):
            continue
        inside = [op for op in watched.ops if call.start < op.time < call.end]
        for storage in {storage for op in inside for storage in op.touched} & given.keys():
            before, made = given[storage]
            after = [op for op in watched.ops if op.time > made.end and storage in op.touched]
            shared = held[watched.state[f"{before}.weight"]] > 1  # with another layer, where the mask would be missed
            if all(call.start < op.time < call.end for op in after) and f"{before}.bias" not in changed and not shared:
                found.append((before, name))
    return found


def _fold(model: nn.Module, convolution: str, norm: str) -> None:
    """Fold one norm into one convolution of a working copy."""
    conv, bn = model.get_submodule(convolution), model.get_submodule(norm)
    assert isinstance(conv, CONVOLUTIONS) and isinstance(bn, NORMS)
    assert bn.running_mean is not None and bn.running_var is not None
    conv.weight, conv.bias = fuse_conv_bn_weights(conv.weight, conv.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias)
    parent, _, last = norm.rpartition(".")
    setattr(model.get_submodule(parent), last, nn.Identity())


def _agree(model: nn.Module, faster: nn.Module, x: Batch) -> bool:
    """Return whether both answer the same."""
    with torch.no_grad():
        ours, theirs = (dict(named_tensors(answer(each, x.map(Tensor.clone)), "")) for each in (faster, model))
    return ours.keys() == theirs.keys() and all(
        float((ours[name] - theirs[name]).abs().max()) <= CLOSE * float(theirs[name].abs().max()) for name in theirs if theirs[name].numel()
    )


@dataclass(frozen=True)
class Reuse:
    """What one change of the model leaves to be replayed."""

    calls: tuple[int, ...]  # indices of the calls that are replayed
    needed: Storages  # storages that something running looks at


def frontier(watched: Watched, names: Iterable[str]) -> int | None:
    """Return the moment of the first operation that sees any of some parameters or buffers; None where none does."""
    changed = {watched.state[name] for name in names}
    owners = {name.rpartition(".")[0] for name in names}
    times = [op.time for op in watched.ops if changed & op.touched]
    return min((*times[:1], *(call.start for call in watched.calls if call.module in owners))) if times else None


def _owners(watched: Watched, moment: int, forced: Storages) -> list[int]:
    """Return for each call the replayed call that it is in (itself, where it is one), or -1 where it runs."""
    found: list[int] = []
    for index, call in enumerate(watched.calls):
        around = found[call.parent] if call.parent >= 0 else -1
        free = call.parent >= 0 and call.end < moment and call.outputs is not None and index not in forced
        found.append(around if around >= 0 else index if free else -1)
    return found


def _shows(watched: Watched, index: int, used: set[int], rewritten: set[int]) -> bool:
    """Return whether replaying a call instead of running it could be noticed."""
    call = watched.calls[index]
    storages = [storage for storage, _ in call.outputs or ()]
    mine, outputs = call.created, set(storages)
    twice = {storage for storage, times in Counter(storages).items() if times > 1} & rewritten
    return bool(used & ((call.written - mine) | (outputs - mine) | (mine - outputs) | twice))


def reuse(watched: Watched, moment: int, forced: Storages = frozenset()) -> Reuse:
    """Return what can be replayed when something that is first seen at a moment changes."""
    rewritten = {storage for op in watched.ops for storage in op.written}
    result = {storage for storage, _ in watched.calls[0].outputs or ()}
    while True:
        owners = _owners(watched, moment, forced)
        used = result.union(*(op.touched for op in watched.ops if owners[op.call] < 0))
        picked = [index for index, owner in enumerate(owners) if index == owner]
        shown = {index for index in picked if _shows(watched, index, used, rewritten)}
        if not shown:
            return Reuse(tuple(picked), frozenset(used))
        forced = forced | shown


def rewritten_later(watched: Watched, index: int) -> Storages:
    """Return the storages that are written to after a call is over: what it returned has to be copied to be kept."""
    end = watched.calls[index].end
    return frozenset(storage for op in watched.ops if op.time > end for storage in op.written)


def stateful(watched: Watched) -> bool:
    """Return whether a pass writes to the model's own parameters or buffers: then no two passes are alike."""
    state = set(watched.state.values())
    return any(op.written & state for op in watched.ops)


@dataclass(frozen=True)
class Kept:
    """Outputs to keep: by call the storages of its outputs that are needed."""

    needed: dict[int, Storages]

    @classmethod
    def of(cls, watched: Watched, plans: Iterable[Reuse]) -> Kept:
        """Return what some changes need together."""
        found: dict[int, set[int]] = {}
        for plan in plans:
            for index in plan.calls:
                outputs = {storage for storage, _ in watched.calls[index].outputs or ()}
                found.setdefault(index, set()).update(outputs & plan.needed)
        return cls({index: frozenset(storages) for index, storages in found.items()})

    def size(self, watched: Watched, index: int) -> float:
        """Return the bytes that a call's outputs take, for one sample."""
        sizes = dict(watched.calls[index].outputs or ())
        return sum(sizes[storage] for storage in self.needed[index]) / watched.samples

    def total(self, watched: Watched) -> float:
        """Return the bytes of all, for one sample."""
        return sum(self.size(watched, index) for index in self.needed)


def within(watched: Watched, moments: list[int], most: float) -> list[Reuse]:
    """Return what to replay for each of several changes, so that what is kept takes at most some bytes for each sample.

    What saves least for its bytes runs again instead.
    """
    forced: Storages = frozenset()
    plans = {moment: reuse(watched, moment) for moment in set(moments)}
    while (kept := Kept.of(watched, plans.values())).total(watched) > most:
        forced |= _least(watched, kept, Counter(i for m in moments for i in plans[m].calls), kept.total(watched) - most)
        plans = {moment: reuse(watched, moment, forced) for moment in plans}
    return [plans[moment] for moment in moments]


def _least(watched: Watched, kept: Kept, times: Counter[int], excess: float) -> Storages:
    """Return the calls that save least for their bytes, up to some bytes."""
    sized = {index: kept.size(watched, index) for index in kept.needed}
    order = sorted((i for i in sized if sized[i] > 0), key=lambda i: (watched.calls[i].cost * times[i] / sized[i], i))
    dropped = []
    for index in order:
        if excess <= 0:
            break
        dropped.append(index)
        excess -= sized[index]
    return frozenset(dropped)
