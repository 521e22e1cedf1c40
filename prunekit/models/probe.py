"""A probe: what a model answered when it was saved, by which the model that is opened again is known to be the same.

It holds inputs by seed, the values of the outputs, and a digest of every tensor that they came from, so that a model that answers
otherwise is refused with what differs: which weights or buffers, or else the code.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prunekit.errors import CheckpointError, ModelError
from prunekit.formatting import error as small
from prunekit.models.outputs import tensors_of
from prunekit.models.running import run
from prunekit.models.state import digests
from prunekit.tasks.batch import Batch
from prunekit.tasks.input_form import InputForm, form_of
from prunekit.tasks.noted import told as told_of

SEED = 20_260_611
MOST_VALUES, MOST_TENSORS, MOST_INPUT = 2048, 16, 2**26
KINDS = ("normal", "uniform", "indices", "samples")
FORM = "form"
"""The kind of inputs that the model's own example tells: floats by seed, whole numbers of the example."""


@dataclass(frozen=True)
class Answer:
    """One output tensor: its shape, its largest value, and values at evenly spaced places (all of them where they are few)."""

    shape: tuple[int, ...]
    scale: float
    values: tuple[float, ...]

    @classmethod
    def of(cls, tensor: Tensor, most: int) -> Answer:
        """Read a tensor."""
        plain = torch.view_as_real(tensor) if tensor.is_complex() else tensor
        flat = plain.detach().to("cpu", torch.float32).reshape(-1)
        places = torch.linspace(0, max(flat.numel() - 1, 0), min(flat.numel(), most), dtype=torch.float64).round().long()
        return cls(tuple(tensor.shape), float(flat.abs().max()) if flat.numel() else 0.0, tuple(flat[places].tolist()))

    def off(self, other: Answer) -> float:
        """Return the largest difference by the largest value of this one; infinite where the shapes differ or a value is not finite."""
        if self.shape != other.shape or len(self.values) != len(other.values) or not math.isfinite(other.scale):
            return math.inf
        apart = [abs(self.scale - other.scale), *(abs(a - b) for a, b in zip(self.values, other.values, strict=True))]
        return max(apart) / (self.scale or 1.0)


@dataclass(frozen=True)
class Probe:
    """What a model answered."""

    shape: tuple[int, ...] = ()  # of one sample
    # what the inputs are: ``normal`` or ``uniform`` noise, ``indices``, ``samples`` that are kept beside, or of the ``form`` of the model's
    # own example; "" where there are none
    kind: str = ""
    samples: int = 0  # samples, limit: how many, and below which number indices lie
    limit: int = 0
    answers: tuple[Answer, ...] = ()
    tensors: Mapping[str, str] = field(default_factory=dict)  # digest of every parameter and buffer
    code: str = ""  # code, torch: what tells the code of the model's own file, where it has one, and the version of torch
    torch: str = ""
    why: str = ""  # why there are no answers; mostly ""

    def inputs(self, samples: Tensor | None = None) -> Tensor:
        """Return the inputs: by seed, or the samples that are kept beside."""
        if self.kind == "samples":
            if samples is None:
                raise CheckpointError("the samples that its answers were noted on are missing: write the model again")
            return samples
        return noise(self.kind, self.samples, self.shape, self.limit)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; the answers' bytes as text."""
        answers = [
            {"shape": list(a.shape), "scale": a.scale, "values": base64.b64encode(np.asarray(a.values, "<f4").tobytes()).decode()}
            for a in self.answers
        ]
        return {**asdict(self), "shape": list(self.shape), "answers": answers, "tensors": dict(self.tensors), "seed": SEED}

    @classmethod
    def from_dict(cls, told: object) -> Probe:
        """Read what `to_dict` gave, checked: it may come from anybody."""
        try:
            assert isinstance(told, Mapping) and told["seed"] == SEED
            shape = _shape(told["shape"], MOST_INPUT)
            samples, kind = int(told["samples"]), str(told["kind"])
            assert kind in ("", *KINDS, FORM) and 0 <= samples <= 8 and bool(kind) == bool(told["answers"])
            answers = tuple(_answer(each) for each in told["answers"][:MOST_TENSORS])
            tensors = {str(name): str(digest) for name, digest in told["tensors"].items()}
            return cls(shape, kind, samples, int(told["limit"]), answers, tensors, *(str(told[key]) for key in ("code", "torch", "why")))
        except (AssertionError, KeyError, TypeError, ValueError, OverflowError, AttributeError):
            raise CheckpointError("what it notes of its answers is damaged: write the model again") from None


def _shape(told: Sequence[Any], most: int) -> tuple[int, ...]:
    """Return a shape of whole numbers that is not too large."""
    shape = tuple(told)
    assert all(type(side) is int and side >= 0 for side in shape) and math.prod(shape) <= most
    return shape


def _answer(told: Mapping[str, Any]) -> Answer:
    """Return an answer from plain values."""
    values = np.frombuffer(base64.b64decode(told["values"], validate=True), "<f4")
    assert len(values) <= MOST_VALUES
    return Answer(_shape(told["shape"], 2**40), float(told["scale"]), tuple(values.tolist()))


def noise(kind: str, n: int, shape: tuple[int, ...], limit: int) -> Tensor:
    """Return inputs by seed."""
    source = torch.Generator().manual_seed(SEED)
    if kind == "indices":
        return torch.randint(max(limit, 1), (n, *shape), generator=source)
    return torch.rand(n, *shape, generator=source) if kind == "uniform" else torch.randn(n, *shape, generator=source)


__all__ = ["Answer", "Probe", "difference", "rounding", "take"]

SAMPLES, LARGE = 2, 2**26
TOLERANCE = 1e-4
"""Largest difference by the largest output: other machines, threads and versions of torch round otherwise."""
SHOWN = 4
BACK = "bring back what it was then, or prune again with what it is now"


def take(
    model: nn.Module,
    shape: Sequence[int] | None,
    *,
    samples: Tensor | None = None,
    code: str = "",
    most: int = MOST_VALUES,
    hashed: bool = True,
) -> Probe:
    """Note what a model answers. ``shape``: of one sample; None where nobody knows it."""
    told: dict[str, Any] = {"tensors": digests(model) if hashed else {}, "code": code, "torch": str(torch.__version__)}
    if shape is None:
        return Probe(**told, why="nobody knows which input it takes")
    if isinstance(shape, InputForm):
        return _of_form(model, shape, told, most)
    large = sum(p.numel() for p in model.parameters()) > LARGE
    sides, limit, why = tuple(int(side) for side in shape), index_limit(model), ""
    for kind in KINDS if samples is not None else KINDS[:-1]:
        for n in (1,) if large else (SAMPLES, 1):
            inputs = noise(kind, n, sides, limit) if samples is None or kind != "samples" else samples[:n]
            try:
                first, second = (_answers_to(model, inputs, most, turn) for turn in range(2))
            except ModelError as error:
                why = why or str(error)
                continue
            if _apart(first, second) > rounding(model):
                return Probe(sides, **told, why="it answers differently each time that it is asked the same")
            return Probe(sides, kind, n, limit if kind == "indices" else 0, first, **told)
    return Probe(sides, **told, why=why)


def _of_form(model: nn.Module, form: InputForm, told: dict[str, Any], most: int) -> Probe:
    """Note what a model answers to inputs of its own example."""
    own = _form(model)
    if own is None or own != form:
        return Probe(tuple(form), **told, why="its factory has no example of what it takes")
    try:
        first, second = (_answers_to(model, own.inputs(SAMPLES, _source()), most, turn) for turn in range(2))
    except ModelError as error:
        return Probe(tuple(form), **told, why=str(error))
    if _apart(first, second) > rounding(model):
        return Probe(tuple(form), **told, why="it answers differently each time that it is asked the same")
    return Probe(tuple(form), FORM, SAMPLES, 0, first, **told)


def _form(model: nn.Module) -> InputForm | None:
    """Return the form of a model's own example; None where it is one float tensor, or there is none."""
    form = form_of(model, ()) if told_of(model, "example") is not None else None
    return form if isinstance(form, InputForm) else None


def _source() -> torch.Generator:
    """Return the random numbers of inputs."""
    return torch.Generator().manual_seed(SEED)


def difference(model: nn.Module, probe: Probe, samples: Tensor | None = None, code: str = "", shape: Sequence[int] | None = None) -> str:
    """Say by what a model differs from the one that a probe was taken of; "" where it is the same."""
    changed = _changed(digests(model), probe.tensors) if probe.tensors else ""
    if changed:
        return f"other values than those that were saved in {changed}: a file was changed or damaged, so take it from where it came"
    if not probe.kind:
        return ""
    inputs: Tensor | Batch
    if probe.kind == FORM:
        form = shape if isinstance(shape, InputForm) else _form(model)
        if form is None or tuple(form) != probe.shape:
            return f"its factory has another example of what it takes{_source_of(probe, code)}"
        inputs = form.inputs(probe.samples, _source())
    else:
        inputs = probe.inputs(samples)
    try:
        found = _answers_to(model, inputs, [len(answer.values) for answer in probe.answers])
    except ModelError as error:
        return f"it does not run any more ({error}){_source_of(probe, code)}"
    off, allowed = _apart(probe.answers, found), rounding(model)
    if off <= allowed:
        return ""
    by = f"by {small(off)} of the largest output ({allowed:g} is allowed)" if math.isfinite(off) else "in the shape of its outputs"
    same = "its weights and buffers are those that were saved, and " if probe.tensors else ""
    return f"{same}its answers differ {by}{_source_of(probe, code)}"


def _source_of(probe: Probe, code: str) -> str:
    """Say what can have changed where no tensor has."""
    now = str(torch.__version__)
    versions = "" if probe.torch == now else f", or the version of torch ({probe.torch} then, {now} now)"
    if probe.code and code and probe.code != code:
        return f": the file with its code has changed since; {BACK}"
    if probe.code and code:
        return f": the file with its code is the same, so something that it imports or reads has changed{versions}; {BACK}"
    return f": the code that builds it has changed{versions}; {BACK}"


def _changed(now: Mapping[str, str], then: Mapping[str, str]) -> str:
    """Name the tensors whose values are not those that were saved."""
    names = [name for name in {**then, **now} if now.get(name) != then.get(name)]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def index_limit(model: nn.Module) -> int:
    """Return below which number indices lie: as many as the smallest embedding holds."""
    return min((module.num_embeddings for module in model.modules() if isinstance(module, nn.Embedding)), default=2)


def _answers_to(model: nn.Module, inputs: Tensor | Batch, most: int | Sequence[int], turn: int = 0) -> tuple[Answer, ...]:
    """Return what a model answers and leave it as it was.

    Values are noted at most so many, or so many of each tensor; torch's random numbers are those of a turn.
    """
    with at_rest(model), torch.no_grad():
        try:
            torch.manual_seed(turn)
            given = Batch.of(inputs).map(Tensor.clone)
            found = list(tensors_of(run(model, given)).values())[:MOST_TENSORS]
        except ModelError:
            raise
        except Exception as error:  # whatever a model's own code raises
            raise ModelError(f"{type(error).__name__}: {' '.join(str(error).split())[:160]}") from error
    each = [max(1, most // max(1, len(found)))] * len(found) if isinstance(most, int) else [*most, *[1] * len(found)]
    answers = tuple(Answer.of(tensor, n) for tensor, n in zip(found, each, strict=False))
    if not answers or not all(math.isfinite(answer.scale) for answer in answers):
        raise ModelError("it gives no tensor" if not answers else "its answers hold NaN or infinity")
    return answers


@contextmanager
def at_rest(model: nn.Module) -> Iterator[None]:
    """Bring a model into eval mode, and leave its mode, buffers and torch's random state as they were."""
    training = [module for module in model.modules() if module.training]
    entries = [(m._buffers, leaf, b, b.detach().clone()) for m in model.modules() for leaf, b in m._buffers.items() if b is not None]
    with torch.random.fork_rng(devices=[]):
        try:
            model.eval()
            yield
        finally:
            for module in training:
                module.training = True
            with torch.no_grad():
                for buffers, leaf, buffer, before in entries:
                    buffers[leaf] = buffer
                    if buffer.shape != before.shape:  # an observer of a range begins with none
                        buffer.data = before
                    elif not torch.equal(buffer, before):
                        buffer.copy_(before)


def _apart(one: tuple[Answer, ...], other: tuple[Answer, ...]) -> float:
    """Return the largest difference between answers, by the largest value of each."""
    return max((a.off(b) for a, b in zip(one, other, strict=True)), default=0.0) if len(one) == len(other) else math.inf


def rounding(model: nn.Module) -> float:
    """Return which difference is put down to rounding: more where the model computes in half precision."""
    kinds = [p.dtype for p in model.parameters() if p.is_floating_point()]
    return max([TOLERANCE, *(16 * torch.finfo(kind).eps for kind in set(kinds))])
