"""Measuring many small changes of one model: what comes before a change is computed once and replayed.

One dense pass over a batch keeps module outputs; for each change, whatever was over before the first operation that sees it is handed out
again, and only the rest runs. The outcome is that of a whole pass, to the last bit: the same operations run on the same values.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from prunekit.errors import ModelError
from prunekit.evaluation.sensitivity.call_trace import Path, Watched, Working, watch
from prunekit.evaluation.sensitivity.shortcuts import Kept, Reuse, frontier, rewritten_later, stateful, within
from prunekit.pruning.masked_reference import as_smaller
from prunekit.pruning.structured.plan import Removal
from prunekit.pruning.structured.surgery import owner_of
from prunekit.tasks.base import PLAIN
from prunekit.tasks.batch import Batch

BUDGET = 2 * 1024**3
FLOOR = 16  # samples in a batch below which outputs are computed again rather than the batch made smaller
WATCHED = 2  # samples that are looked at to see what the model does

Gone = Iterable[tuple[str, Tensor]]
Found = TypeVar("Found")
Outputs = tuple[list[Any], Any, frozenset[int]]  # leaves, their structure, and places of those that must be copied when handed out


class _Other(Exception):
    """The model did something else than in the pass that was watched."""


@dataclass(frozen=True)
class _Keep:
    """How to keep what one call returns: by tensor, whether it is needed and whether it is written to later."""

    needed: tuple[bool, ...]
    rewritten: tuple[bool, ...]

    @classmethod
    def of(cls, watched: Watched, index: int, needed: frozenset[int]) -> _Keep:
        """Return it for a call and the storages that are needed of its outputs."""
        later = rewritten_later(watched, index)
        storages = [storage for storage, _ in watched.calls[index].outputs or ()]
        return cls(tuple(s in needed for s in storages), tuple(s in needed and s in later for s in storages))

    def outputs(self, out: Any) -> Outputs:
        """Keep what is needed as it is now, and of the rest the shape alone."""
        leaves, structure = tree_flatten(out)
        places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
        if len(places) != len(self.needed):
            raise _Other
        for place, needed, rewritten in zip(places, self.needed, self.rewritten, strict=True):
            leaves[place] = _hollow(leaves[place]) if not needed else _copy(leaves[place]) if rewritten else leaves[place]
        return leaves, structure, frozenset(place for place, rewritten in zip(places, self.rewritten, strict=True) if rewritten)


class Replay(Generic[Found]):
    """A model of which single parts are zeroed, over and over, on the same batches.

    ``ask`` takes a model and a batch and returns what is wanted of the answer. ``changes`` are the names, in the state dict, of what each
    change zeroes. ``budget_bytes`` is the most that kept outputs may take: for this the batch is made smaller, down to 16 samples
    (``batch_size`` fits); beyond it what saves least for its bytes is computed again. ``reason`` says why nothing is replayed; "" where
    outputs are.
    """

    def __init__(
        self,
        model: nn.Module,
        x: Batch | Tensor,
        changes: Sequence[Iterable[str]],
        ask: Callable[[nn.Module, Batch], Found] = PLAIN.forward,  # type: ignore[assignment]
        *,
        budget_bytes: int = BUDGET,
        batch_size: int = 256,
    ) -> None:
        self._ask = ask
        self._dense, self._working, self.batch_size, self.reason = model, Working(model), batch_size, ""
        self._plans: list[Reuse | None] = [None] * len(changes)
        self._keeps: dict[Path, _Keep] = {}
        self._kept: dict[Path, Outputs] = {}
        batch = Batch.of(x)
        self._whole, self._x = True, batch.take(min(WATCHED, batch.samples))
        self._writes_input = True
        self._run()  # says what is wrong with model or samples
        try:
            self._working.attach()
            self._look([list(names) for names in changes], budget_bytes)
        except Exception as error:  # whatever a model does that cannot be watched: whole passes still measure it
            self.reason = f"the model's calls cannot be followed ({type(error).__name__}), so that every pass is a whole one"

    def _look(self, changes: list[list[str]], budget_bytes: int) -> None:
        """Watch one pass and decide what to keep."""
        place = next(self._working.model.parameters(), torch.zeros(()))
        x = self._x.to(place.device, place.dtype if place.is_floating_point() else None)
        watched = watch(self._working, x.map(Tensor.clone))
        if stateful(watched):
            self.reason = "a pass changes the model's own state, so that no two passes are alike and every one is a whole one"
            return
        self._writes_input = any(op.written & watched.inputs for op in watched.ops)
        moments = [frontier(watched, names) for names in changes]
        seen = [moment for moment in moments if moment is not None]
        needed = Kept.of(watched, within(watched, seen, float("inf"))).total(watched)
        if needed:
            self.batch_size = max(min(self.batch_size, int(budget_bytes / needed)), min(self.batch_size, FLOOR))
        found = iter(within(watched, seen, budget_bytes / self.batch_size))
        self._plans = [None if moment is None else next(found) for moment in moments]
        kept = Kept.of(watched, (plan for plan in self._plans if plan is not None))
        self._keeps = {watched.calls[i].path: _Keep.of(watched, i, needs) for i, needs in kept.needed.items()}
        self._watched, self._sequence, self._names = watched, watched.sequence, dict(watched.sequence)

    @property
    def stored_bytes(self) -> int:
        """Bytes of the outputs that are kept of the present batch."""
        storages = {leaf.untyped_storage() for leaves, _, _ in self._kept.values() for leaf in leaves if isinstance(leaf, Tensor)}
        return sum({s.data_ptr(): s.nbytes() for s in storages}.values())

    def load(self, x: Batch | Tensor) -> Found:
        """Run the dense model on a batch and keep what the changes need."""
        self._x, self._kept, self._whole = Batch.of(x), {}, True
        if self.reason:
            return self._run()
        order: list[tuple[Path, str]] = []

        def record(path: Path, name: str, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            order.append((path, name))
            out = forward(*args, **kwargs)
            if path in self._keeps:
                self._kept[path] = self._keeps[path].outputs(out)
            return out

        try:
            scores = self._run(record)
        except _Other:
            return self._run()
        self._whole = order != self._sequence
        self._kept = {} if self._whole else self._kept
        return scores

    def predict(self, change: int, gone: Gone, removal: Removal | None = None) -> Found:
        """Return what is asked of the loaded batch when a part of the model is zero."""
        plan = self._plans[change]
        with self._zeroed(gone):
            if plan is None or self._whole or (removal is not None and self._repeats(removal)):
                return self._run(removal=removal)
            try:
                return self._replayed(plan, removal)
            except (_Other, ModelError):
                self._whole = True  # of this batch: what was kept may have been written to
                return self._run(removal=removal)

    def _repeats(self, removal: Removal) -> bool:
        """Return whether a module that uses kept channels alone is called more than once: replays of its calls would be mixed up."""
        notes = removal.graph.facts.notes
        looking = {module for module, _, _ in (*notes.norms, *notes.inputs, *notes.outputs)}
        return any(times > 1 and name in looking for name, times in Counter(name for _, name in self._sequence).items())

    def _replayed(self, plan: Reuse, removal: Removal | None) -> Found:
        """Run only what is not replayed."""
        calls = self._watched.calls
        picked = {calls[index].path for index in plan.calls}
        handed: list[tuple[Tensor, int]] = []

        def replay(path: Path, name: str, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if path not in picked:
                return forward(*args, **kwargs)
            if name != self._names[path]:
                raise _Other
            picked.discard(path)
            leaves, structure, copied = self._kept[path]
            out = [_copy(leaf) if place in copied else leaf for place, leaf in enumerate(leaves)]
            handed.extend((leaf, leaf._version) for place, leaf in enumerate(out) if place not in copied and isinstance(leaf, Tensor))
            return tree_unflatten(out, structure)

        scores = self._run(replay, removal)
        if picked or any(tensor._version != version for tensor, version in handed):
            raise _Other
        return scores

    def _run(self, handler: Any = None, removal: Removal | None = None) -> Found:
        """Run the copy on the loaded batch."""
        x = self._x.map(Tensor.clone) if self._writes_input else self._x
        looking = nullcontext() if removal is None else as_smaller(self._working.model, removal)
        with torch.no_grad(), looking, self._working.listening(handler) as model:
            return self._ask(model, x)

    @contextmanager
    def _zeroed(self, gone: Gone) -> Iterator[None]:
        """Zero parts of the copy, and give it the dense values back."""
        changed = []
        try:
            with torch.no_grad():
                for name, mask in gone:
                    module, attribute = owner_of(self._working.model, name)
                    changed.append(name)
                    getattr(module, attribute).masked_fill_(mask.to(getattr(module, attribute).device), 0)
            yield
        finally:
            with torch.no_grad():
                for name in changed:
                    module, attribute = owner_of(self._working.model, name)
                    dense, attribute = owner_of(self._dense, name)
                    getattr(module, attribute).copy_(getattr(dense, attribute))


def _copy(tensor: Tensor) -> Tensor:
    """Return a copy with the same layout in memory, gaps of a view included: the same operations then run on it."""
    storage = tensor.untyped_storage()
    if storage.nbytes() == tensor.numel() * tensor.element_size():
        return tensor.clone()
    return tensor.new_empty(0).set_(copy.copy(storage), tensor.storage_offset(), tensor.size(), tensor.stride())


def _hollow(tensor: Tensor) -> Tensor:
    """Return a tensor of the same shape that takes no memory; not a number where that exists, so that a wrong use cannot go unseen."""
    value = float("nan") if tensor.is_floating_point() else 0
    return torch.full((), value, dtype=tensor.dtype, device=tensor.device).expand(tensor.shape)
