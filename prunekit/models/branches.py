"""Branches that forward() takes by what a tensor says: which they were, and a pass that takes the same ones or others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from prunekit.models.meta_copy import Seeing, copied, locating
from prunekit.tasks.input_form import AROUND, answer, zeros
from prunekit.tasks.known_values import values_of

aten = torch.ops.aten
Question = tuple[str, int]  # module, which of the truth values that it asks for
Path = dict[Question, bool]
MOST = 1000  # questions in one pass: a loop that ends by what a tensor says may not end without values


class Branches(Seeing):
    """Answers what is asked of truth values: by a path, else by the values, else no."""

    def __init__(self, path: Mapping[Question, bool]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.path, self.asked, self.where = path, Path(), ""
        self._times = Counter[str]()

    def enter(self, name: str) -> None:
        """Note which module runs."""
        self.where = name

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        if torch.is_inference_mode_enabled():
            return self.outside_inference(func, args, kwargs)
        if func.overloadpacket is not aten._local_scalar_dense or args[0].dtype != torch.bool:
            return func(*args, **(kwargs or {}))
        question = self.where, self._times[self.where]
        self._times[self.where] += 1
        if question not in self.path and not (args[0].is_meta and values_of(args[0]) is None):
            said = bool(func(*args))
        elif len(self.asked) >= MOST:
            raise RuntimeError("data-dependent control flow that does not end without values")
        else:
            said = self.path.get(question, False)
        if question in self.path or not args[0].is_meta or values_of(args[0]) is None:
            self.asked[question] = said
        return said


class Along:
    """Lets every pass of a model, and of its copies, take the branches of one path."""

    def __init__(self, path: Path) -> None:
        self.path, self.asked = path, Path()

    def __deepcopy__(self, memo: dict[int, object]) -> Along:
        return self

    @contextmanager
    def __call__(self, model: nn.Module) -> Iterator[None]:
        """Let what runs take the path; ``asked`` tells what was asked afterwards."""
        mode = Branches(self.path)
        try:
            with locating(model, mode.enter), mode:
                yield
        finally:
            self.asked = mode.asked


@contextmanager
def along(model: nn.Module, path: Path) -> Iterator[Along]:
    """Let the passes of a model take the branches of a path; as before, afterwards."""
    before, new = model.__dict__.get(AROUND), Along(path)
    model.__dict__[AROUND] = new
    try:
        yield new
    finally:
        model.__dict__.pop(AROUND)
        if before is not None:
            model.__dict__[AROUND] = before


def branches_of(
    model: nn.Module, input_shape: tuple[int, ...], form: Callable[[nn.Module], AbstractContextManager[Any]] = nullcontext
) -> Path:
    """Return the branches that a model takes by what tensors say, on samples without content; none where it does not run on them.

    A form is what brings a copy of the model into another mode.
    """
    other = copied(model).eval()
    with form(other), along(other, {}) as way, torch.no_grad():
        try:
            answer(other, zeros(other, input_shape, 2))
        except Exception:  # whatever it says of them
            return {}
    return way.asked
