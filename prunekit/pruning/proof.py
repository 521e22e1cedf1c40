"""The proof that surgery was faithful: removing channels gives what zeroing them gives.

On a copy whose every parameter and statistic is random at a non-trivial scale, so that no zero-initialised weight hides a mistake,
compare the physically smaller model with the dense one in which exactly the removed elements are zero: rows, biases, norms and the
consumers' columns, so that it does not matter where a channel arises. Where zeroes alone do not say what remains (a norm over
channels), :mod:`prunekit.pruning.masked_reference` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from prunekit.errors import ModelError, ProofError
from prunekit.models.branches import Along
from prunekit.models.inputs import inputs_for
from prunekit.models.meta_copy import copied
from prunekit.models.outputs import answers_of
from prunekit.models.probe import rounding
from prunekit.models.shared_rows import TableCut
from prunekit.pruning.masked_reference import reference
from prunekit.pruning.proof_inputs import SEED, at_once, fresh, random_states, randomise, repeatable, smallest
from prunekit.pruning.structured.axis_tracker import Notes
from prunekit.pruning.structured.input_forms import Form
from prunekit.pruning.structured.plan import Removal
from prunekit.pruning.structured.surgery import by_tensor, consuming, owner_of, state_of
from prunekit.pruning.structured.trace_errors import place
from prunekit.tasks.batch import Batch
from prunekit.tasks.faults import lookup_fault
from prunekit.tasks.input_form import AROUND, InputForm, answer

TOLERANCE = 1e-4
LEAST_CHANGE = 0.01
ATTEMPTS = 6

SIZES = "A size written into forward() does this, such as view(-1, 400): read sizes from the input, or use flatten(1)"
TAKES = "Give inputs that it takes: data, or the attribute example of its factory"
CHANCE = (
    "Draw random numbers by torch, numpy or random, without a generator of the model's own, let dropout follow self.training, and keep no "
    "state from call to call"
)
DRAWS = "both models were given the same. Where that is dropout, let it follow self.training"
READS = "forward() uses something of a layer or block that has changed: leave that one out"
Surgery = Callable[[nn.Module, Any], nn.Module]
Keeps = dict[int, np.ndarray[tuple[int], np.dtype[np.bool_]]]  # axis -> which of its elements stay


@dataclass(frozen=True)
class Proof:
    """What comparing removal with zeroing gave.

    Attributes
    ----------
    max_relative_error : float
        max|a - b| / max|a| over the outputs, a from zeroing and b from removing.
    output_change : float
        max|a - d| / max|d|, d from the dense model: how far pruning moved the output. Under 1 % the proof is void.
    passed : bool
        Error under 1e-4 and the output moved by at least 1 %.
    note : str
        What is to be known of the model, such as random numbers that it draws; mostly "".
    forms : tuple of str
        Further forms of input under which the same holds: the error is the largest of all.
    worst : str
        The form under which the error is, where the input that the model is known by shows none; else "".
    """

    max_relative_error: float
    output_change: float
    passed: bool
    note: str = field(default="", repr=False)
    forms: tuple[str, ...] = ()
    worst: str = field(default="", repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the plain values that were measured."""
        found = {name: value for name, value in asdict(self).items() if name not in {"note", "worst"}}
        return {**found, "forms": list(self.forms)}


def removed_mask(shape: tuple[int, ...], keeps: Keeps) -> Tensor:
    """Return which elements of a tensor go: those on a removed index of any axis."""
    gone = torch.zeros(shape, dtype=torch.bool)
    for axis, keep in keeps.items():
        view = [1] * len(shape)
        view[axis] = -1
        gone |= torch.from_numpy(~keep).view(view)
    return gone


def zeroed(model: nn.Module, plan: Removal) -> nn.Module:
    """Return a dense copy of a model in which everything that a plan removes is zero.

    Parameters
    ----------
    model : nn.Module
        Not modified.
    plan : Removal
        What goes.
    """
    dense = copied(model)
    _Gone(dense, plan).set(0.0)
    return dense


class _Gone:
    """What a plan removes of a model, to be set: to zero, or what is zero to another value, in place.

    Of finite numbers by a product or a sum over each axis, which is several times sooner than by a mask.
    """

    def __init__(self, model: nn.Module, plan: Removal) -> None:
        self.numbers, self.stay, self.others = list[Tensor](), list[Tensor](), list[tuple[Tensor, Tensor]]()
        state = dict(state_of(model))
        for (name, axis), keep in plan.masks.items():
            tensor = state[name]
            view = [1] * tensor.dim()
            view[axis] = -1
            stays = torch.from_numpy(keep).to(tensor.device).view(view)
            if isinstance(tensor, nn.Parameter) and tensor.is_floating_point():
                self.numbers.append(tensor)
                self.stay.append(stays)
            else:
                self.others.append((tensor, ~stays))  # it may hold infinities
        # a parameter may have no axes, such as one scale of a whole branch
        self.whole = [parameter for name in plan.blocks for parameter in model.get_submodule(name).parameters()]
        found = ((state[name], cut) for name, cut in plan.by_weight.items())
        self.rows = [(table, cut, torch.from_numpy(np.flatnonzero(~cut.keep)).to(table.device)) for table, cut in found]
        self.own = [table.detach()[gone] for table, _, gone in self.rows]

    def set(self, value: float) -> None:
        """Set it; rows of tables to what is shared for zero, and back to their own for anything else."""
        with torch.no_grad():
            for (table, _, gone), own in zip(self.rows, self.own, strict=True):
                table.index_copy_(0, gone, own)
            if self.numbers and value:
                torch._foreach_add_(self.numbers, [~stays for stays in self.stay], alpha=value)
            elif self.numbers:
                torch._foreach_mul_(self.numbers, self.stay)
            for tensor, gone in self.others:
                tensor.masked_fill_(gone, value)
            for parameter in self.whole:
                parameter.fill_(value)
            for table, cut, gone in () if value else self.rows:
                table[gone] = cut.shared(table)


def _amplify(model: nn.Module, plan: Removal, factor: float) -> None:
    """Scale what goes, in place, so that its absence shows in the output of a large network."""
    with torch.no_grad():
        for name, keeps in by_tensor(plan.masks).items():
            module, attribute = owner_of(model, name)
            tensor = getattr(module, attribute)
            if tensor.is_floating_point() and attribute != "running_var":
                gone = removed_mask(tuple(tensor.shape), keeps).to(tensor.device)
                tensor[gone] *= factor


def _relative(a: list[Tensor], b: list[Tensor]) -> float:
    """Return the largest max|a - b| / max|a| of any output; infinite where shapes or values do not allow it."""
    if [t.shape for t in a] != [t.shape for t in b] or not _finite([*a, *b]):
        return float("inf")
    pairs = [(s, t) for s, t in zip(a, b, strict=True) if s.numel()]
    # an index or a truth value tells of scores that are compared themselves, and turns where two of them are nearly equal
    pairs = [pair for pair in pairs if _measured(pair[0])] or [(s.double(), t.double()) for s, t in pairs]
    found = [(float((s - t).abs().max()), float(s.abs().max())) for s, t in pairs]
    return max((difference / scale if scale > 0 else float("inf") for difference, scale in found if difference > 0), default=0.0)


def _finite(outputs: list[Tensor]) -> bool:
    """Return whether all values are finite."""
    return all(bool(torch.isfinite(t).all()) for t in outputs)


def _measured(output: Tensor) -> bool:
    """Return whether an output is of numbers that are measured, not counted."""
    return output.is_floating_point() or output.is_complex()


@dataclass(frozen=True)
class _Way:
    """How both models are run.

    Attributes
    ----------
    kind : torch.dtype or None
        What they compute in; None for what they are.
    repeatable : bool
        Whether each pass starts from the same state and draws the same random numbers.
    like_own : bool
        Whether the random weights are of the size of the model's own.
    channels_last : bool
        Whether convolutions have their channels last: soonest, but a view of what comes out may not exist then.
    """

    kind: torch.dtype | None = torch.float32
    repeatable: bool = False
    like_own: bool = False
    channels_last: bool = False


QUICK, PLAIN = _Way(channels_last=True), _Way()
WAYS = (
    QUICK,
    PLAIN,
    _Way(repeatable=True),
    _Way(torch.float64, repeatable=True, like_own=True),
    _Way(None, repeatable=True, like_own=True),
)
FAR = 0.01  # by so much rounding never differs,
LARGE = 1e6  # unless values grow beyond this, as those of models that multiply their branches do


class _ItsOwn(Exception):
    """What the dense model does wrong by itself."""


def prove(
    model: nn.Module, plan: Removal, *, surgery: Surgery = consuming, seed: int = SEED, batch: int = 1, samples: Batch | None = None
) -> Proof:
    """Compare removing with zeroing.

    Parameters
    ----------
    model : nn.Module
        The dense model; only its structure and the range of its values matter, and it is not modified.
    plan : Removal
        What goes. A plan that removes nothing proves nothing: its proof does not pass.
    surgery : callable
        ``(model, plan) -> smaller model``; the one under test. It may use up the model that it is given.
    seed : int
        Of weights and input.
    batch : int
        Samples in the input.
    samples : Batch, optional
        Real ones, for a model that takes no noise.

    Returns
    -------
    Proof
        In float32, evaluation mode, on random input: of the model's own size, or a half or quarter of it on which the model runs the
        same operations; and once more in each further form in which the model was traced.
        What draws random numbers, keeps state, needs float64 or computes in several types is run accordingly.

    Raises
    ------
    ProofError
        If the smaller model does not run at all.
    ModelError
        If the dense one does not run by itself, or gives something else each time.
    """
    own: _ItsOwn | None = None
    failed: Proof | ProofError | None = None
    convolves = any(isinstance(module, nn.Conv2d) for module in model.modules())
    for way in WAYS if convolves else WAYS[1:]:
        trial = _Trial(model, plan, surgery, (seed, batch, samples), way)
        try:
            proof = trial.carry_out()
        except _ItsOwn as error:
            own = error
            continue
        except ProofError as error:
            failed = error
            if way is not QUICK and not trial.uneven():
                raise
            continue
        if proof.passed and trial.drawn and not way.repeatable:
            continue  # that both decide the same may be chance
        if proof.passed or plan.empty or (way.repeatable and trial.uneven()):
            return trial.told(proof)
        failed = proof
        if way is not QUICK and proof.max_relative_error > FAR and trial.largest < LARGE and not trial.uneven():
            break
    if isinstance(failed, Proof):
        return failed
    raise failed or ModelError(str(own)) from own


class _Trial:
    """A dense copy with other values, its smaller copy, and what both give, in one way of running them."""

    def __init__(self, model: nn.Module, plan: Removal, surgery: Surgery, inputs: tuple[int, int, Batch | None], way: _Way) -> None:
        self.model, self.plan, self.surgery, self.way = model, plan, surgery, way
        self.seed, self.batch, self.samples = inputs
        self.drawn: list[str] = []
        self.decides = False
        self.x: Batch | None = None
        self.largest = 0.0

    def carry_out(self) -> Proof:
        """Compare."""
        plan = self.plan
        for attempt in range(ATTEMPTS):
            # a draw in which what goes happens to be silent (a dead ReLU, one channel of thousands) proves nothing: draw again, louder
            dense = self._dense(self.seed + attempt)
            if attempt:
                _amplify(dense, plan, 4.0**attempt)
            x, before = self._first(dense, torch.Generator().manual_seed(self.seed + attempt))
            gone = _Gone(dense, plan)
            gone.set(0.0)
            expected = self._asked(dense, x, plan)
            change = _relative(before, expected)
            if change >= LEAST_CHANGE or plan.empty:
                break
        others = list(self._other_forms(dense, plan)) if not plan.empty else []
        # what goes is far from zero again before the surgery: something that it wrongly left would show
        gone.set(1.0)
        allowed = TOLERANCE if self.way.kind is not None else rounding(self.model)
        found, *further = self._of_smaller(dense, [(x, None), *((x, form) for form, x, _ in others)])
        own = error_size = _relative(expected, found)
        forms, worst = list[str](), ""
        for (form, asked, wanted), given in zip(others, further, strict=True):
            off = _relative(wanted, given)
            if off >= allowed and (self.decides or self._differs(asked, form)):
                continue
            forms.append(form.name)
            if off > error_size:
                error_size, worst = off, form.name
        passed = error_size < allowed and LEAST_CHANGE <= change < float("inf")
        return Proof(error_size, change, passed, forms=tuple(forms), worst=worst if own < allowed else "")

    def _dense(self, seed: int) -> nn.Module:
        """Return a copy with other values."""
        other = randomise(self.model, seed, like_own=self.way.like_own, channels_last=self.way.channels_last)
        if self.plan.graph.facts.path is not None:  # on random weights it might take another branch than the one that was seen
            other.__dict__[AROUND] = Along(self.plan.graph.facts.path)
        for number, (name, cut) in enumerate(self.plan.rows.items()):
            other.get_submodule(name).register_forward_pre_hook(_both_kinds(cut, seed + number), with_kwargs=True)
        kind, numbers = self.way.kind, (tensor for _, tensor in state_of(other) if tensor.is_floating_point())
        return other if kind is None or all(tensor.dtype == kind for tensor in numbers) else other.to(kind)

    def _other_forms(self, dense: nn.Module, plan: Removal) -> Iterator[tuple[Form, Batch, list[Tensor]]]:
        """Yield the other forms that the dense model, without what goes, takes and answers finitely; an input and the answer of each."""
        for form, notes in plan.graph.facts.forms:
            source = torch.Generator().manual_seed(self.seed)
            for made in inputs_for(dense, form.shape, form.samples, source, None if isinstance(form.shape, InputForm) else self.samples):
                x = made if self.way.kind is None else made.to(None, self.way.kind)
                try:
                    expected = self._in_form(dense, x, form, plan, notes)
                except Exception:  # whatever a model's own code raises: the next kind of input, or the next form
                    continue
                if expected and _finite(expected):
                    yield form, x, expected
                    break

    def _in_form(self, model: nn.Module, x: Batch, form: Form, plan: Removal | None = None, notes: Notes | None = None) -> list[Tensor]:
        """Return all output tensors of a model in another form; while training, of a copy without chance."""
        if not form.training:
            with form.on(model):
                return self._asked(model, x, plan, notes)
        one = fresh(model)
        with form.on(one), repeatable(self.way.kind) as mode:
            found = reference(one, plan, x, notes) if plan is not None else answers_of(answer(one, x))
        self.decides |= mode.decides  # then the form was perhaps traced on another way through forward() than this
        return found

    def _differs(self, x: Batch, form: Form) -> bool:
        """Return whether the dense model answers otherwise each time in a form."""
        dense = self._dense(self.seed)
        return _relative(*(self._in_form(dense, x, form) for _ in range(2))) > TOLERANCE

    def _asked(self, model: nn.Module, x: Batch, plan: Removal | None = None, notes: Notes | None = None) -> list[Tensor]:
        """Return all output tensors of a model; those that the smaller one has to give where a plan is given."""
        if self.way.repeatable:
            one = fresh(model)
            with repeatable(self.way.kind) as mode:
                found = reference(one, plan, x, notes) if plan is not None else answers_of(answer(one, x))
            self.drawn += mode.drawn
            return found
        if plan is not None:
            return reference(model, plan, x, notes)
        with torch.no_grad():  # in inference mode, what the model keeps of a pass could not be set afterwards
            return answers_of(answer(model, x))

    def _first(self, dense: nn.Module, source: torch.Generator) -> tuple[Batch, list[Tensor]]:
        """Return an input that the dense model takes, and what it makes of it."""
        said = ""
        if self.way is QUICK:
            state = random_states()
            found = at_once(
                dense, self.plan.graph, lambda shape: next(inputs_for(dense, shape, self.batch, source)).to(None, self.way.kind)
            )
            if found is not None and found[1] and _finite(found[1]):
                self.x = found[0]
                self.drawn += [""] if state != random_states() else []
                return found
        for shape in dict.fromkeys((smallest(self.model, self.plan.graph), self.plan.graph.input_shape)):
            for made in inputs_for(dense, shape, self.batch, source, self.samples):
                x = made if self.way.kind is None else made.to(None, self.way.kind)
                try:
                    state, before = random_states(), self._asked(dense, x)
                except Exception as error:  # whatever a model's own code raises
                    lines = [lookup_fault(error, dense, x), *str(error).strip().splitlines(), type(error).__name__]
                    said = said or f"stops in {place(error, dense)}: {next(filter(None, lines)).rstrip('.')}"
                    if self.way is QUICK:
                        break
                    continue
                if before and _finite(before):
                    if state != random_states():
                        self.drawn.append("")
                    numbers = [t for t in before if t.numel() and (t.is_floating_point() or t.is_complex())]
                    self.x, self.largest = x, max((float(t.abs().max()) for t in numbers), default=0.0)
                    return x, before
                said = said or ("gives NaN or infinity" if before else "gives no tensor")
        raise _ItsOwn(f"the dense model itself {said}. {TAKES}")

    def uneven(self) -> bool:
        """Return whether the dense model draws random numbers, or gives something else each time; raise where no seed helps."""
        if self.x is None:
            return False
        dense = self._dense(self.seed)
        apart = _relative(*(self._asked(dense, self.x) for _ in range(2)))
        if self.way.repeatable and apart > TOLERANCE:
            raise ModelError(f"the dense model differs from itself: asked the same twice, its outputs are {apart:.2g} apart. {CHANCE}")
        return bool(self.drawn) or apart > TOLERANCE

    def told(self, proof: Proof) -> Proof:
        """Return a proof that says where the model draws random numbers."""
        if self.way.repeatable and self.drawn and proof.passed:
            return replace(proof, note=f"forward() draws random numbers ({', '.join(dict.fromkeys(filter(None, self.drawn)))}): {DRAWS}")
        return proof

    def _of_smaller(self, dense: nn.Module, asked: list[tuple[Batch, Form | None]]) -> list[list[Tensor]]:
        """Return what the smaller model gives, which lives no longer than this: a large one need not fit beside its proof."""
        small, form = dense, None
        try:
            small = self.surgery(dense, self.plan).eval()
            found = []
            for x, form in asked:
                found.append(self._asked(small, x) if form is None else self._in_form(small, x, form))
        except ProofError:
            raise
        except Exception as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            reads = isinstance(error, (AttributeError, KeyError, TypeError))
            where = f", asked in another form ({form.name})," if form else ""
            raise ProofError(
                f"the smaller model does not run{where or ','} and stops in {place(error, small)}: {lines[0]}. {READS if reads else SIZES}"
            ) from error
        return found


def _both_kinds(cut: TableCut, seed: int) -> Callable[..., Any]:
    """Return a hook by which a table, and what takes its place, is asked for rows that go as often as for others, whatever the input.

    A sample looks few rows up, and would say nothing of most.
    """
    noise, gone = np.random.default_rng(seed), ~cut.keep[cut.ids]
    either = [np.flatnonzero(gone), np.flatnonzero(~gone)]
    drawn = np.where(noise.random(gone.size) < 0.5, noise.choice(either[0], gone.size), noise.choice(either[-1], gone.size))
    if cut.padding is not None:
        drawn[cut.ids == cut.padding] = np.flatnonzero(cut.ids == cut.padding)
    instead = torch.from_numpy(drawn)

    def ask(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        ids = args[0] if args else kwargs["input"]
        with _disable_current_modes():  # it is no call of the model's
            known = bool(((ids >= 0) & (ids < instead.numel())).all())
            other = instead.to(ids.device)[ids.long()].to(ids.dtype) if known else ids
        return ((other, *args[1:]), kwargs) if args else (args, {**kwargs, "input": other})

    return ask


def require(proof: Proof) -> Proof:
    """Return a proof that passed.

    Raises
    ------
    ProofError
        If it did not: the surgery must not be handed out.
    """
    if not proof.passed:
        raise ProofError(
            f"removing these channels does not give what zeroing them gives{f' (form of input: {proof.worst})' if proof.worst else ''}: "
            f"largest relative error {proof.max_relative_error:.2g} (allowed {TOLERANCE:g}), "
            f"output moved by {proof.output_change:.2%} (needed {LEAST_CHANGE:.0%}). "
            "No result is given; please report the model. Mode unstructured works meanwhile"
        )
    return proof
