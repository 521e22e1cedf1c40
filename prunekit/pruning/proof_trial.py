"""One trial of a proof: a dense copy with other values, its smaller copy, and what both give, in one way of running them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from prunekit.errors import ModelError, ProofError
from prunekit.formatting import error as small
from prunekit.models.branches import Along
from prunekit.models.inputs import inputs_for
from prunekit.models.outputs import answers_of
from prunekit.models.probe import rounding
from prunekit.models.shared_rows import TableCut
from prunekit.pruning.masked_reference import Zeroing, amplify, reference
from prunekit.pruning.proof_inputs import at_once, fresh, random_states, randomise, repeatable, smallest
from prunekit.pruning.structured.input_forms import Form
from prunekit.pruning.structured.operation_calls import Notes
from prunekit.pruning.structured.plan import Removal
from prunekit.pruning.structured.surgery import state_of
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
class Way:
    """How both models are run."""

    kind: torch.dtype | None = torch.float32  # what they compute in; None for what they are
    repeatable: bool = False  # whether each pass starts from the same state and draws the same random numbers
    like_own: bool = False  # whether the random weights are of the size of the model's own
    channels_last: bool = False  # whether convolutions have their channels last: soonest, but a view of what comes out may not exist then


QUICK, PLAIN = Way(channels_last=True), Way()
WAYS = (
    QUICK,
    PLAIN,
    Way(repeatable=True),
    Way(torch.float64, repeatable=True, like_own=True),
    Way(None, repeatable=True, like_own=True),
)
FAR = 0.01  # by so much rounding never differs,
LARGE = 1e6  # unless values grow beyond this, as those of models that multiply their branches do


class ItsOwn(Exception):
    """What the dense model does wrong by itself."""


class Trial:
    """A dense copy with other values, its smaller copy, and what both give, in one way of running them."""

    def __init__(self, model: nn.Module, plan: Removal, surgery: Surgery, inputs: tuple[int, int, Batch | None], way: Way) -> None:
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
                amplify(dense, plan, 4.0**attempt)
            x, before = self._first(dense, torch.Generator().manual_seed(self.seed + attempt))
            gone = Zeroing(dense, plan)
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
        raise ItsOwn(f"the dense model itself {said}. {TAKES}")

    def uneven(self) -> bool:
        """Return whether the dense model draws random numbers, or gives something else each time; raise where no seed helps."""
        if self.x is None:
            return False
        dense = self._dense(self.seed)
        apart = _relative(*(self._asked(dense, self.x) for _ in range(2)))
        if self.way.repeatable and apart > TOLERANCE:
            raise ModelError(f"the dense model differs from itself: asked the same twice, its outputs are {small(apart)} apart. {CHANCE}")
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
