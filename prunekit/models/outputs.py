"""Tensors of a model's output by their place in it, and which of them holds the class scores."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from prunekit.errors import ModelError
from prunekit.tasks.batch import Batch
from prunekit.tasks.nested import map_tensors, named_tensors, parts_of

NAMES = ("logits", "scores", "out")
"""What class scores are called in a dict, a named tuple or a dataclass."""
NOTE = "_prunekit_output"
SCORES, INDEXED = "scores", "output_"
"""What class scores are called in a file, and how the name of an output begins there that has an index and no name."""
KEPT = ("past_key_values", "past_key_value", "cache_params", "mems")
"""What outputs of transformers call the state that their next call reads."""
SHOWN = 12
PLAIN = (type, nn.Module, FunctionType, MethodType, ModuleType)


@dataclass(frozen=True)
class Choice:
    """By what the class scores are told from a model's other tensors."""

    output: str | int | None = None  # their name or index, as the factory's attribute ``output`` says
    classes: tuple[int, ...] = ()  # how many classes there are, by the model and by the data
    sure: bool = True  # whether ``output`` was said on purpose; a module may use the name for something else


PICTURES, INPUT = "images", "input"
"""What a model's one floating input is called in a file: of pictures [N, C, H, W], and any other."""


def input_names(batch: Batch) -> list[str]:
    """Return what a batch's tensors are called in a file: by keyword or place, one float tensor alone ``images`` or ``input``."""
    named = dict(batch.named_tensors())
    if list(named) == [INPUT] and named[INPUT].ndim == 4 and named[INPUT].is_floating_point():
        return [PICTURES]
    return list(named)


def refilled(out: Any, tensors: Iterable[Tensor]) -> Any:
    """Return an output of the same nest with other tensors, in the order of `tensors_of`."""
    given = list(tensors)
    if len(given) != len(tensors_of(out)):
        raise ModelError(f"the model gives {len(tensors_of(out))} tensors, and its file {len(given)}")
    following = iter(given)
    return map_tensors(lambda _: next(following), out)


def note(model: nn.Module, choice: Choice) -> None:
    """Keep a choice with a model, where its copies find it too."""
    model.__dict__[NOTE] = choice


def choice_of(model: nn.Module, classes: int = 0) -> Choice:
    """Return what was noted of a model, or what its attribute ``output`` says."""
    noted, told = model.__dict__.get(NOTE, Choice()), getattr(model, "output", None)
    known = tuple({*noted.classes, *([classes] if classes else [])})
    if noted.output is None and type(told) in (str, int):
        return Choice(told, known, sure=False)
    return Choice(noted.output, known)


def tensors_of(out: Any) -> dict[str, Tensor]:
    """Return the tensors of an output by their path in it, such as ``logits``, ``1`` or ``hidden.0``; "" for a tensor alone."""
    return dict(named_tensors(out, "", _parts))


def answers_of(out: Any) -> list[Tensor]:
    """Return the tensors of an output without what a model only keeps for its next call, such as keys and values of a prompt."""
    found = dict(named_tensors(out, "", lambda tree: () if type(tree).__name__.endswith("Cache") else _parts(tree)))
    return [tensor for path, tensor in found.items() if path.partition(".")[0] not in KEPT] or list(tensors_of(out).values())


def _parts(out: Any) -> Iterable[tuple[Any, Any]]:
    """Return what a container or a plain object holds, by name or index."""
    found = parts_of(out)
    return found if found != () else vars(out).items() if hasattr(out, "__dict__") and not isinstance(out, PLAIN) else ()


def joined(parts: Sequence[Mapping[str, Tensor]], sizes: Sequence[int]) -> dict[str, Tensor]:
    """Return the outputs of several batches as of one; those alone that have an entry for each sample."""
    each = list(zip(parts, sizes, strict=True))
    common = [name for name in parts[0] if all(name in part and part[name].shape[:1] == (n,) for part, n in each)] if parts else []
    return {name: torch.cat([part[name] for part in parts]) for name in common}


def scores_in(out: Any, samples: int, choice: Choice = Choice()) -> Tensor:
    """Return the class scores in a model's output, [N, classes], finite or not."""
    tensors = tensors_of(out)
    return tensors[path_of_scores(tensors, samples, choice, type(out).__name__)]


def path_of_scores(tensors: Mapping[str, Tensor], samples: int, choice: Choice = Choice(), kind: str = "nothing") -> str:
    """Return which tensor holds the class scores; parameters and errors as for :func:`scores_in`.

    The factory's ``output`` decides. Else it is the table with a row of numbers for each sample where no other floating tensor is there;
    or the one that is called ``logits``, ``scores`` or ``out``; or the one that has as many columns as there are classes. Where name and
    number of classes point to different tensors nothing is decided.
    """
    tables = {path: t for path, t in tensors.items() if t.is_floating_point() and t.ndim == 2 and len(t) == samples}
    stated = _stated(tensors, choice)
    if stated is not None:
        if stated not in tables:
            raise ModelError(f"the output {choice.output!r} is no table [{samples}, classes] of class scores: {_listed(tensors)}")
        return stated
    if not tables:
        got = _listed(tensors).removeprefix("output ") if list(tensors) == [""] else f"{kind} with {_listed(tensors)}"
        raise ModelError(
            f"the model must return [N, classes], here [{samples}, classes]; got {got}. It has to be a classifier, and its scores floating "
            "numbers"
        )
    if len({id(t) for t in tensors.values() if t.is_floating_point() and t.ndim}) == 1:  # whatever names it has
        return next(iter(tables))
    named = _named(tables)
    fitting = list({id(t): path for path, t in tables.items() if t.shape[1] in choice.classes}.values())
    if named is not None and (not fitting or any(tables[named] is tables[path] for path in fitting)):
        return named
    if named is None and len(fitting) == 1:
        return fitting[0]
    if not choice.classes and len(tables) == 1 and _named(tensors) is None:
        return next(iter(tables))
    raise ModelError(_ambiguous(tensors, choice))


def export_names(
    tensors: Mapping[str, Tensor], samples: int, choice: Choice | None = Choice(), taken: Collection[str] = (PICTURES,)
) -> list[str]:
    """Return what tensors are called outside of Python: ``scores`` where it is told which holds them, the others by their path.

    Without a choice none of them are class scores; names of inputs are taken.
    """
    try:
        chosen = None if choice is None else path_of_scores(tensors, samples, choice)
    except ModelError:
        chosen = None
    return [SCORES if path == chosen else _outside(path, taken) for path in tensors]


def _outside(path: str, taken: Collection[str]) -> str:
    """Return a path as the name of an output in a file."""
    return f"{INDEXED}{path}".rstrip("_") if not path or path[0].isdigit() or path in (SCORES, *taken) else path


def _stated(tensors: Mapping[str, Tensor], choice: Choice) -> str | None:
    """Return the path that a choice names; None where it names none."""
    wanted, paths = choice.output, list(tensors)
    if wanted is None:
        return None
    for path in (str(wanted), str(wanted).removeprefix(INDEXED)):
        if path in tensors:
            return path
    ending = [path for path in paths if path.rpartition(".")[2] == wanted]
    if len(ending) == 1:
        return ending[0]
    if isinstance(wanted, int) and -len(paths) <= wanted < len(paths):
        return paths[wanted]
    if not choice.sure or paths == [""]:
        return None
    raise ModelError(f"the factory says output = {wanted!r}, and the model returns none of that name or index: {_listed(tensors)}")


def _named(tensors: Mapping[str, Tensor]) -> str | None:
    """Return the path that has the name of class scores: the first of the names, the outermost that has it."""
    for name in NAMES:
        found = sorted((path for path in tensors if path.rpartition(".")[2] == name), key=lambda path: path.count("."))
        if found and (len(found) == 1 or found[0].count(".") < found[1].count(".")):
            return found[0]
    return None


def _listed(tensors: Mapping[str, Tensor]) -> str:
    """Return the tensors in words: path, shape, type."""
    each = [f"{path or 'output'} {list(t.shape)} {str(t.dtype).removeprefix('torch.')}" for path, t in tensors.items()]
    more = f" and {len(each) - SHOWN} more" if len(each) > SHOWN else ""
    return "; ".join(each[:SHOWN]) + more if each else "no tensor"


def _ambiguous(tensors: Mapping[str, Tensor], choice: Choice) -> str:
    """Say that nothing decides, between what, and how to decide."""
    many = " or ".join(map(str, sorted(choice.classes)))
    known = f" ({many} classes)" if many else ""
    last = list(tensors)[-1]
    return (
        f"it is ambiguous which of the model's tensors holds the class scores{known}: {_listed(tensors)}. Set the attribute output of the "
        f"factory to one of these names, as in make_model.output = {last!r}, or to an index, or return the scores as {', '.join(NAMES)}"
    )
