"""Which module outputs of a dense pass serve again when only something later changes.

A call is replayed where it was over before the first operation that sees what changes. Whole containers are replayed where possible, so
that only a few outputs have to be kept. What a replayed call returned is kept only if something that still runs looks at it, and a call is
never replayed where that could show: where it writes to memory that others use, returns memory that it did not make, or leaves memory
behind that is used later by another way than its outputs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from prunekit.evaluation.sensitivity.call_trace import Storages, Watched


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
