"""`Watcher`: every operation of a forward pass is seen, its rule applied, and what it costs noted."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import flop_registry

from prunekit.models.cost import macs_of
from prunekit.models.meta_copy import Seeing
from prunekit.models.meta_operations import without_values
from prunekit.pruning.structured.axis_tracker import Tracker, unknown
from prunekit.pruning.structured.coupling_solver import Ids
from prunekit.pruning.structured.operation_calls import Call, Record, numbers_in, tensors_in
from prunekit.pruning.structured.residual_blocks import Blocks
from prunekit.pruning.structured.rules import RULES
from prunekit.pruning.structured.trace_facts import Product

aten = torch.ops.aten
FACTORS = {aten.mm: 0, aten.addmm: 1, aten.bmm: 0, aten.baddbmm: 1}  # where the first factor of a matrix product stands


def product(tracker: Tracker, operation: Any, args: tuple[Any, ...], macs: int, names: dict[int, str]) -> Product:
    """Return what an operation costs, and to which axes that is proportional."""
    found: list[Ids | None] = []
    factors: tuple[Tensor, ...] = ()
    if operation in FACTORS:
        factors = args[FACTORS[operation] : FACTORS[operation] + 2]
        left, right = (tracker.axes(factor) for factor in factors)
        found = [*left[:-1], left[-1] if right[-2] is None else right[-2], right[-1]]
    elif operation is aten.convolution:
        factors = args[:2]
        found = list(tracker.axes(args[1])[:2])
    bases = [factor if factor._base is None else factor._base for factor in factors]  # a transposed weight is a view of it
    weight = next((names[id(base)] for base in reversed(bases) if id(base) in names and isinstance(base, nn.Parameter)), "")
    return Product(weight, macs, tuple(axis for axis in found if axis is not None), tracker.where)


class Watcher(Seeing):
    """Applies the rule of every operation that runs."""

    def __init__(self, tracker: Tracker, names: dict[int, str], dense: dict[int, str], blocks: Blocks, recurrent: set[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.tracker, self.names, self.dense, self.blocks, self.recurrent = tracker, names, dense, blocks, recurrent
        self.seen, self.held = set[str](), set[str]()
        self.uses: dict[str, set[tuple[str, str]]] = {}
        self.unknown: dict[str, str] = {}
        self.products: list[Product] = []
        self.records: dict[Call, Record] = {}
        self.blank = set[Call]()  # that made zeros
        self.first = True  # what is counted and compared is the pass of the example, in evaluation mode

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        if torch.is_inference_mode_enabled():
            return self.outside_inference(func, args, kwargs)
        kwargs, tracker, packet = kwargs or {}, self.tracker, func.overloadpacket
        name = packet.__name__
        tracker.call = tracker.calls.next(name, args)
        out = without_values(func, args, kwargs, most=True)
        inputs = tensors_in((args, kwargs) if kwargs else args)
        tracker.pending.seen(name, args, inputs, out)
        tracker.numbers(inputs, out)
        blank = False
        taken = [self.names[id(t)] for t in inputs if id(t) in self.names]
        self.seen.update(taken)
        self.held.update(self.dense[id(t)] for t in inputs if id(t) in self.dense)
        for entry in self.uses.keys() & taken:
            self.uses[entry].add((name, tracker.where))
        if name == "zeros" and isinstance(out, Tensor) and tracker.where in self.recurrent:  # the state before the first step
            tracker.put(out, [*[None] * (out.dim() - 1), tracker.variables.fresh(out.shape[-1])])
        elif blank := isinstance(out, Tensor) and not tracker.carries(inputs) and _is_zero(name, args):
            # a state, or what sums are added to: it is as wide as what it meets
            tracker.put(out, [tracker.blank(size) for size in out.shape])
        elif name in {"expand", "repeat"} or tracker.carries(inputs):
            known = RULES.get(name) or RULES.get(name.rstrip("_"))
            if known is None:
                if not tracker.all_blank(inputs):
                    self.unknown.setdefault(name, tracker.where or "the model")
                unknown(tracker, name, args, kwargs)
            else:
                known(tracker, args, kwargs, out)
        if self.first:
            self.blocks.see(packet, args, kwargs, out)
            made = tuple(map(tracker.axes, tensors_in(out)))
            self.records[tracker.call] = Record(tracker.calls.step, made, numbers_in(name, args, kwargs))
            self.blank |= {tracker.call} if blank else set()
            if packet in flop_registry:
                self.products.append(product(tracker, packet, args, macs_of(func, args, kwargs, out), self.names))
        return out


ZEROS, FILLED = {"zeros", "new_zeros", "zeros_like", "zero", "zero_"}, {"full": 1, "new_full": 2, "full_like": 1, "fill_": 1}


def _is_zero(name: str, args: tuple[Any, ...]) -> bool:
    """Return whether an operation makes nothing but zeros."""
    return name in ZEROS or (name in FILLED and not isinstance(args[FILLED[name]], Tensor) and args[FILLED[name]] == 0)
