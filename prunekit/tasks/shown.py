"""What people see of a sample and of an answer: values that any page draws by their type, whatever the task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prunekit.formatting import percent

MOST = 10
"""Bars of an answer that are drawn, where it has more."""


def named(names: Sequence[str]) -> Callable[[int], str]:
    """Return what classes are called: their names, and numbers for those that have none."""
    return lambda k: names[k] if 0 <= k < len(names) else str(k)


@dataclass(frozen=True)
class Shown:
    """A sample as people see it: a picture, a text, or fields with their values; the first that is there is drawn."""

    picture: NDArray[np.uint8] | None = None  # [H, W, C]
    text: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    truth: Answer | None = None  # what should be answered, where that is drawn as answers are: boxes, or the class of each pixel


@dataclass(frozen=True)
class Prompt:
    """What somebody may type in place of a sample of the data."""

    label: str  # label, help: of the field
    help: str
    lines: bool = False  # whether line breaks mean something to the model
    goes_on: bool = False  # whether the model writes on from it (`prunekit.tasks.protocol.Task.go_on`)


@dataclass(frozen=True, eq=False)
class Reader:
    """What turns a text into a sample of a model, and outputs into words."""

    coding: Any = None  # how text becomes ids; None where nobody names a tokeniser
    classes: tuple[str, ...] = ()  # names, by index; numbers stand for those that have none
    called: Callable[[Mapping[str, Any]], str] | None = None  # from the inputs of a sample, by name, to what it is called


@dataclass(frozen=True, eq=False)
class Bars:
    """An answer that gives each of several things a share of one: drawn as bars, one model's beside another's."""

    what: str  # what the things are, as a heading: "Class", "Next token"
    shares: NDArray[np.float64]  # [n]
    name: Callable[[int], str]  # from the index of a thing to what it is called

    @property
    def best(self) -> int:
        """The index of the largest share."""
        return int(self.shares.argmax())

    @property
    def said(self) -> str:
        """What the largest share is called."""
        return self.name(self.best)

    def first(self, *others: Bars, most: int = MOST) -> list[int]:
        """Return the indices of the largest shares in any of several answers, the largest of this one first."""
        reach = np.maximum.reduce([self.shares, *(other.shares for other in others)])
        chosen = np.argsort(-reach, kind="stable")[:most]
        return [int(i) for i in chosen[np.argsort(-self.shares[chosen], kind="stable")]]


@dataclass(frozen=True, eq=False)
class Boxes:
    """An answer that finds objects in a picture: drawn as boxes over it."""

    what: ClassVar[str] = "Objects"
    boxes: NDArray[np.float64]  # [n, 4]: left, top, right and bottom, in pixels of the picture that is shown
    classes: NDArray[np.int64]  # [n]
    scores: NDArray[np.float64]  # [n]: how sure the model is of each, the surest first; 1 for objects that are known
    name: Callable[[int], str]  # from a class to what it is called
    threshold: float = 0.0  # objects of a lower score are left out of ``boxes``; what the screen says beside them

    @property
    def said(self) -> str:
        """What was found, the most frequent class first: "2 car, 1 cyclist"."""
        found = Counter(self.name(int(k)) for k in self.classes)
        return ", ".join(f"{n} {name}" for name, n in found.most_common()) or "nothing"


@dataclass(frozen=True, eq=False)
class ClassMap:
    """An answer that gives each pixel a class: drawn as colours over the picture."""

    what: ClassVar[str] = "Class of each pixel"
    classes: NDArray[np.int64]  # [H, W]: negative where a pixel counts as none
    name: Callable[[int], str]

    @property
    def shares(self) -> dict[int, float]:
        """The share of the picture that each class has, the largest first."""
        found, counts = np.unique(self.classes[self.classes >= 0], return_counts=True)
        order = np.argsort(-counts, kind="stable")
        return {int(found[i]): float(counts[i] / max(counts.sum(), 1)) for i in order}

    @property
    def said(self) -> str:
        """The largest classes and their shares of the picture."""
        return ", ".join(f"{self.name(k)} {percent(share, 0)}" for k, share in list(self.shares.items())[:3]) or "nothing"


@dataclass(frozen=True, eq=False)
class Ranking:
    """An answer that orders candidates: drawn as the first of them, one model's beside another's."""

    what: str
    shares: NDArray[np.float64]  # [n]: how likely each candidate is chosen
    right: NDArray[np.bool_]  # [n]: which of them were
    names: tuple[str, ...]
    most: int = 5  # how many of the order are shown

    @property
    def first(self) -> list[int]:
        """The candidates that are shown, the likeliest first."""
        return [int(i) for i in np.argsort(-self.shares, kind="stable")[: self.most]]

    @property
    def said(self) -> str:
        """What the first are called."""
        return "; ".join(self.names[i] for i in self.first)


Answer: TypeAlias = Bars | Boxes | ClassMap | Ranking
"""What an answer may be; the pages draw it by its type (`prunekit.ui.components.answers`), so that another kind is a class here and a
function there."""


@dataclass(frozen=True)
class Continuation:
    """A text with which a model goes on."""

    text: str  # what it writes, without what was given
    how: str  # how each token is chosen, in words
