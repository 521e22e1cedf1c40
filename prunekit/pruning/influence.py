"""Whether a copy of a model computes with its own weights: functions that hold on to the model, and weights that nothing uses, defeat it.

One pass of a copy that shares the model's memory tells it in the usual case: what each operation makes comes of what went into it, so that
every weight is known that has a part in the output, however small, zero or dead. Only for weights that have none on that way (values that
leave torch, another branch for other samples, or a true fault) is it seen whether the output reacts to other values; and only a model with
hooks or functions in attributes, through which a copy might look at the model, is run beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import BuiltinFunctionType, FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from prunekit.criteria.samples import scoring_copy
from prunekit.errors import ModelError, PruningError
from prunekit.formatting import error as small
from prunekit.models.layers import weight_name
from prunekit.models.meta_copy import Seeing
from prunekit.models.outputs import tensors_of
from prunekit.models.probe import KINDS, LARGE, at_rest, index_limit, noise, rounding
from prunekit.tasks.batch import Batch, collate
from prunekit.tasks.batches import batches_of
from prunekit.tasks.input_form import HEADS, InputForm

MORE = 64
"""Samples in the second look: models that choose their way by the sample use other weights for others."""
SCALES = (1.0, -8.0, 64.0)
TURNS, SHOWN = 12, 4
HOLDS = (
    "functions of the model (a lambda or closure in the place of forward(), a hook, a function in an attribute) hold on to the model that "
    "they were made for, and a copy goes on using it. Write them as methods of the class, which reach everything through self"
)


def check_influence(model: nn.Module, layers: Iterable[str], shape: Sequence[int] | None, data: Any = None) -> tuple[str, ...]:
    """Raise unless pruning these layers of a copy can move its output."""
    names = list(layers)
    if not names:
        return ()
    try:
        own = scoring_copy(model)  # before the model runs: what it keeps of a pass must not be what the copy would have to compute
    except Exception:
        return ()  # whoever makes the pruned copy says what is wrong with it
    with torch.inference_mode(False):
        return _Look(model, own, names, rounding(model)).carry_out(shape, _samples(data))


def _samples(data: Any) -> Batch | None:
    """Return the first samples of data, of a split or of a batch; None where they cannot be had."""
    if isinstance(data, (Tensor, Batch)):
        return Batch.of(data)
    split = getattr(data, "test", data)
    try:
        if hasattr(split, "take") and hasattr(split, "batches"):
            return next(batches_of(split.take(np.arange(min(2, len(split)))), 2))
        return collate([split[i] for i in range(min(2, len(split)))], getattr(split, "collate", None))
    except Exception:  # no data, or data that can only be read in order
        return None


class _Look:
    """A model, a copy of it that shares its memory, and the layers in question."""

    def __init__(self, model: nn.Module, own: nn.Module, layers: list[str], allowed: float) -> None:
        self.model, self.own, self.layers, self.allowed = model, own, layers, 10 * allowed
        self.large = sum(p.numel() for p in model.parameters()) > LARGE

    def carry_out(self, shape: Sequence[int] | None, samples: Batch | None) -> tuple[str, ...]:
        """Look as far as is needed."""
        n, why = (1 if self.large else 2), "nobody knows which input the model takes"
        given = [] if samples is None else [samples.take(n)]
        for inputs in (*given, *self._made(shape, n)):
            own = {id(_weight(self.own, name)): name for name in self.layers}
            tracing = _Tracing(own, self._dense(), frozenset(map(_memory, self.own.parameters())))
            try:
                with torch.no_grad(), tracing:
                    found = self._outputs_of(self.own, inputs)
            except ModelError as error:
                why = str(error)
                if tracing.writes:
                    why = "the model's forward pass writes to its weights, and a look must not change those of the dense model"
                    break
                self._compare(inputs, error)
                continue
            if tracing.held:
                raise PruningError(f"a copy does not use its own weights of {_listed(tracing.held)}: {HOLDS}")
            reached = tracing.reached(found)
            unreached = [name for name in self.layers if id(_weight(self.own, name)) not in reached]
            for x in (inputs, self._more(inputs, samples, MORE // 8 if self.large else MORE)):
                unreached = self._without(unreached, x) if unreached else []
            if unreached or has_functions(self.model):
                self._compare(inputs, found)
            return self._unused_note(unreached)
        return (f"Whether the output moves was not checked: {why}",)

    def _dense(self) -> dict[int, str]:
        """Return the id of everything that the model computes with, and the module that it is of: a copy has no business with any."""
        return {
            id(tensor): name.rpartition(".")[0] or name for name, tensor in [*self.model.named_parameters(), *self.model.named_buffers()]
        }

    def _made(self, shape: Sequence[int] | None, n: int) -> Iterator[Batch]:
        """Yield inputs of a shape, or such as the model's example, that nobody gave."""
        if isinstance(shape, InputForm):
            yield shape.inputs(n)
        elif shape is not None:
            yield from (Batch.of(noise(kind, n, tuple(shape), index_limit(self.model))) for kind in KINDS[:-1])

    def _unused_note(self, unused: list[str]) -> tuple[str, ...]:
        """Return the sentence on layers that have no part in the output; raise where none has."""
        if unused and len(unused) == len(self.layers):
            raise PruningError(
                f"nothing would change: the forward pass does not use the weights of {_listed(unused)}, so the output of the pruned model "
                "would be that of the dense one. Choose layers that it uses"
            )
        verb = "have" if len(unused) > 1 else "has"
        return (f"{_listed(unused)} {verb} no part in the output: what is removed there changes nothing",) if unused else ()

    def _compare(self, inputs: Batch, found: list[Tensor] | ModelError) -> None:
        """Raise where a copy with the same weights gives something else than the model, which gives the same each time."""
        with torch.no_grad():
            try:
                expected = self._outputs_of(self.model, inputs)
                off = math.inf if isinstance(found, ModelError) else _apart(expected, found)
                # a model that draws by chance may well agree with itself a few times
                if off <= self.allowed or any(_apart(expected, self._outputs_of(self.model, inputs)) > self.allowed for _ in range(TURNS)):
                    return
            except ModelError:
                return
            if isinstance(found, ModelError):
                with suppress(ModelError):
                    self._outputs_of(self.own, inputs)  # what cannot be followed from operation to operation may yet run
                    return
                raise PruningError(f"a copy of the model does not run ({_first_line(found.__cause__ or found)}): {HOLDS}") from found
        by = f"by {small(off)} of the largest" if math.isfinite(off) else "of another shape or kind"
        raise PruningError(f"a copy with the same weights gives other outputs ({by}): {HOLDS}")

    @staticmethod
    def _more(inputs: Batch, samples: Batch | None, n: int) -> Batch:
        """Return more inputs of the same kind."""
        if samples is not None and len(samples) > len(inputs):
            return samples.take(min(n, len(samples)))
        source = torch.Generator().manual_seed(1)
        return InputForm.of(inputs).inputs(n, source)

    @staticmethod
    def _outputs_of(model: nn.Module, inputs: Batch) -> list[Tensor]:
        """Return all finite tensors that a model gives, torch's random numbers being the same each time."""
        with at_rest(model):
            torch.manual_seed(0)
            try:
                found = list(tensors_of(HEADS.forward(model, inputs.map(Tensor.clone))).values())
            except ModelError:
                raise
            except Exception as error:  # whatever a model's own code raises
                raise ModelError(f"{type(error).__name__}: {' '.join(str(error).split())[:160]}") from error
        if not found or not all(bool(torch.isfinite(t).all()) for t in found if t.is_floating_point()):
            raise ModelError("its answers hold NaN or infinity" if found else "it gives no tensor")
        return found

    def _without(self, layers: list[str], inputs: Batch) -> list[str]:
        """Return which layers have no part in the output for these inputs; raise where the copy reads the model's own weights."""
        dense = {_place(_weight(self.model, name)): name for name in layers}
        with torch.no_grad():
            try:
                before = self._outputs_of(self.own, inputs)
            except ModelError:
                return layers
            for turn, scale in enumerate(SCALES):
                with _replaced(self.own, layers, turn, scale) as new, _Reading() as reading:
                    try:
                        reacts = _apart(before, self._outputs_of(self.own, inputs)) > 0
                    except ModelError:
                        return []  # it reacts: whatever it did not come to is not known to be unused
                    read = {name for name, tensor in new.items() if _place(tensor) in reading.read}
                held = [name for place, name in dense.items() if place in reading.read]
                if held:
                    raise PruningError(f"a copy does not use its own weights of {_listed(held)}: {HOLDS}")
                if reacts:
                    return [name for name in layers if name not in read]
        return layers


def _written(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> set[int]:
    """Return the memory that an operation writes to."""
    known = [
        (argument, args[place] if place < len(args) else kwargs.get(argument.name)) for place, argument in enumerate(func._schema.arguments)
    ]
    written = [value for argument, value in known if argument.alias_info is not None and argument.alias_info.is_write]
    return {_memory(value) for value in tree_leaves(written) if isinstance(value, Tensor)}


def _memory(tensor: Tensor) -> int:
    """Return where the memory of a tensor begins; 0 where it has none."""
    try:
        return tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):
        return 0


def _place(tensor: Tensor) -> tuple[int, int]:
    """Return where a tensor lies in memory, and how many values it has: a part of it may be another parameter."""
    return tensor.data_ptr(), tensor.numel()


class _Tracing(Seeing):
    """Follows through one pass which weights each tensor comes of, by its memory, and notes which of the model's own are read."""

    def __init__(self, own: Mapping[int, str], dense: Mapping[int, str], kept: frozenset[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.own, self.dense = {key: 1 << place for place, key in enumerate(own)}, dense
        self.parts: dict[int, int] = {}
        self.held: list[str] = []
        self.kept, self.writes = kept, False

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        bits, inputs = 0, set[int]()
        for value in tree_leaves((args, kwargs)):
            if isinstance(value, Tensor):
                place = _memory(value)
                inputs.add(place)
                bits |= self.own.get(id(value), 0) | self.parts.get(place, 0)
                if id(value) in self.dense and self.dense[id(value)] not in self.held:
                    self.held.append(self.dense[id(value)])
        if func._schema.is_mutable and inputs & self.kept and _written(func, args, kwargs or {}) & self.kept:
            self.writes = True
            raise ModelError("it writes to its weights")
        out = func(*args, **(kwargs or {}))
        for value in tree_leaves(out):
            if isinstance(value, Tensor) and (place := _memory(value)):
                # memory that is new holds nothing of what lay there before; a view, or what is written to, does
                self.parts[place] = bits | (self.parts.get(place, 0) if place in inputs else 0)
        return out

    def reached(self, outputs: Iterable[Tensor]) -> set[int]:
        """Return the ids of the weights that outputs come of."""
        bits = 0
        for tensor in outputs:
            bits |= self.parts.get(_memory(tensor), 0)
        return {key for key, bit in self.own.items() if bits & bit}


class _Reading(Seeing):
    """Notes which memory operations read."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.read: set[tuple[int, int]] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        for value in tree_leaves((args, kwargs)):
            if isinstance(value, Tensor) and value.layout == torch.strided:
                self.read.add(_place(value))
        return func(*args, **(kwargs or {}))


@contextmanager
def _replaced(model: nn.Module, layers: Iterable[str], seed: int, scale: float) -> Iterator[dict[str, Tensor]]:
    """Put random weights in the place of some, one number for each output, so that they take no memory; give the old ones back."""
    source, new, put = torch.Generator().manual_seed(seed), dict[str, Tensor](), list[tuple[dict[str, Any], str, Any]]()
    stand = dict[int, nn.Parameter]()
    for name in layers:
        old = _weight(model, name)
        if id(old) not in stand:
            width = scale / max(1.0, math.sqrt(old[:1].numel()))
            rows = width * torch.randn(old.shape[0], *[1] * (old.dim() - 1), generator=source).abs()
            stand[id(old)] = nn.Parameter(rows.to(old.device, old.dtype).expand(old.shape), requires_grad=False)
        new[name] = stand[id(old)]
    try:
        for module in model.modules():
            for leaf, parameter in module._parameters.items():
                if id(parameter) in stand:
                    put.append((module._parameters, leaf, parameter))
        for parameters, leaf, old in put:
            parameters[leaf] = stand[id(old)]
        yield new
    finally:
        for parameters, leaf, old in put:
            parameters[leaf] = old


def has_functions(model: nn.Module) -> bool:
    """Return whether modules hold hooks or functions, through which a copy of them might look at the model."""
    hooks = ("_forward_hooks", "_forward_pre_hooks")
    return any(
        any(getattr(module, name, None) for name in hooks) or any(map(_may_hold, vars(module).values())) for module in model.modules()
    )


def _may_hold(value: Any) -> bool:
    """Return whether a function in an attribute may have hold of a model: one of torch's, or of a file, has none but by a global name."""
    if not callable(value) or isinstance(value, (nn.Module, type, BuiltinFunctionType)):
        return False
    return not isinstance(value, FunctionType) or bool(value.__closure__ or value.__defaults__ or value.__kwdefaults__)


def _listed(names: Sequence[str]) -> str:
    """Return some names."""
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _first_line(error: BaseException) -> str:
    """Return what an error says, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


def _weight(model: nn.Module, name: str) -> Tensor:
    """Return the weight of a layer, the very parameter."""
    return model.get_parameter(weight_name(model, name))


def _apart(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """Return the largest difference of outputs by the largest value of each; infinite where shapes or whole numbers differ."""
    if [t.shape for t in one] != [t.shape for t in other]:
        return math.inf
    found = 0.0
    for a, b in zip(one, other, strict=True):
        if a.is_floating_point() and a.numel():
            found = max(found, float((a - b).abs().max()) / (float(a.abs().max()) or 1.0))
        elif not torch.equal(a, b):
            return math.inf
    return found
