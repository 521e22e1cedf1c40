"""The error family, and close matches for a mistyped name: every message says what is wrong and what to do about it."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable
from typing import Any

_MARK = re.compile("⟨(\\w+)⟩")


def named(field: str) -> str:
    """Return the name of a field for a message, marked for `PrunekitError.said`; of ``caps[conv1]`` that is ``caps``."""
    return re.sub(r"^\w+", r"⟨\g<0>⟩", field)


class PrunekitError(ValueError):
    """Base of all errors that a person can act on.

    Attributes
    ----------
    marked : str
        The message with its fields marked by `named`.
    """

    def __init__(self, message: str = "", *more: Any) -> None:
        self.marked = str(message)
        super().__init__(_MARK.sub(r"\1", self.marked), *more)

    def said(self, name: Callable[[str], str]) -> str:
        """Return the message with its fields named by ``name``, as the screen calls them."""
        return _MARK.sub(lambda match: name(match[1]), self.marked)


class SpecError(PrunekitError):
    """A pruning setting or a recipe is not valid; the message names the field."""


class ModelError(PrunekitError):
    """A model is unknown, cannot be built or cannot be run."""


class CheckpointError(ModelError):
    """A weights file is damaged, unsafe or does not fit the architecture."""


class DataError(PrunekitError):
    """A data set is unknown, missing or not in the expected form."""


class TaskError(PrunekitError):
    """A task is unknown, is not in the expected form, or does not fit the model or the data."""


class PruningError(PrunekitError):
    """The setting cannot be carried out on this model."""


class OutOfReach(PruningError):
    """Overrides of single layers put the total out of reach."""

    nearest: float = 0.0  # the share, 0 to 1, that is within reach and nearest to what was asked for
    shown: str = ""  # the same in words: asked for as it stands there, it is in reach

    @classmethod
    def at(cls, nearest: float, unit: str, *, more: bool) -> OutOfReach:
        """Return the error that says what could be asked for; ``more`` where overrides alone take more than was asked for."""
        said, bound = ("take more than that", "at least") if more else ("leave no more to give", "at most")
        do, other = ("Raise", "lower") if more else ("Lower", "raise")
        shown = f"{(math.ceil if more else math.floor)(round(1e4 * nearest, 6)) / 100:.2f} %"
        error = cls(
            f"the overrides of single layers {said}: with them {bound} {shown} of the {unit} go. "
            f"{do} {named('sparsity')} to that, or {other} an override"
        )
        error.nearest, error.shown = nearest, shown
        return error


class PluginError(PrunekitError):
    """A file with criteria or rules of the user's own could not be taken in."""


class ProofError(PruningError):
    """Physically removing channels did not give what zeroing them gives: the result is withheld."""


class LatencyError(PrunekitError):
    """A latency measurement could not be carried out."""


class RuntimeFault(PrunekitError):
    """A runtime is missing, or cannot export, quantise, open or run this model."""


class RecoveryError(PrunekitError):
    """Recalibration, fine-tuning or training cannot be carried out on this model with this data."""


class StoreError(PrunekitError):
    """The store of runs cannot be read or written."""


class RunGone(StoreError):
    """What a run was made of, or its weights, are no longer there."""


def one_of(field: str, value: object, allowed: Iterable[object], error: type[PrunekitError] = SpecError) -> None:
    """Raise ``error`` unless ``value`` is among ``allowed``."""
    names = list(allowed)
    if value not in names:
        raise error(f"{named(field)} must be one of {', '.join(map(str, names))}; got {value!r}")


def closest(name: str, names: Iterable[str]) -> str:
    """Return ``": did you mean A or B?"`` for the names nearest to ``name``, or ``""`` where none is near.

    A name counts by its last part too, so that ``resnet18`` finds ``torchvision/resnet18``.
    """
    known = list(names)
    short: dict[str, str] = {}
    for full in known:
        short.setdefault(full.lower(), full)
        short.setdefault(full.rpartition("/")[2].lower(), full)
    wanted = name.lower()
    if wanted in short:
        return f": did you mean {short[wanted]}?"
    found: list[str] = []
    for part in (wanted, wanted.rpartition("/")[2]):
        found += [short[match] for match in difflib.get_close_matches(part, short, n=3, cutoff=0.6)]
    best = list(dict.fromkeys(found))[:3]
    return f": did you mean {' or '.join(best)}?" if best else ""
