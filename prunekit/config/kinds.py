"""What kind of value a setting takes: whole numbers, numbers, shares, one of several names, names of layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike, fspath
from typing import Any, cast

from prunekit.config import fields
from prunekit.errors import SpecError, named
from prunekit.formatting import asked, ordinary


class Kind:
    """A kind of value. Called with the name of a field and a value it returns the one canonical form, or says what is allowed."""

    @property
    def metavar(self) -> str:
        """What stands for a value on the command line."""
        return "X"

    @property
    def allowed(self) -> str:
        """What is allowed, behind "must be"."""
        raise NotImplementedError

    def __call__(self, name: str, value: object) -> Any:
        raise NotImplementedError

    def wrong(self, name: str, value: object) -> SpecError:
        """Return the error for a value that is not allowed."""
        return SpecError(f"{named(name)} must be {self.allowed}; got {value!r}")

    def text(self, value: Any) -> str:
        """Return a value as it is read."""
        return str(value)

    def plain(self, value: Any) -> Any:
        """Return a value for JSON and YAML."""
        return list(value) if isinstance(value, tuple) else value

    def words(self, option: str, value: Any) -> list[str]:
        """Return a value as the command line takes it."""
        return [option, ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]


@dataclass(frozen=True)
class YesNo(Kind):
    """True or false."""

    allowed = "true or false"

    def __call__(self, name: str, value: object) -> bool:
        if not isinstance(value, bool):
            raise self.wrong(name, value)
        return value

    def text(self, value: bool) -> str:
        return "yes" if value else "no"

    def words(self, option: str, value: bool) -> list[str]:
        return [option]


@dataclass(frozen=True)
class Whole(Kind):
    """A whole number of at least ``least``; ``screen`` is the range of its widget and of an address."""

    least: int = 0
    screen: tuple[int, int] = (0, 10_000_000)
    step: int = 1
    metavar = "N"

    def __call__(self, name: str, value: object) -> int:
        return fields.whole(name, value, self.least)

    @property
    def allowed(self) -> str:
        return f"a whole number of at least {self.least}"


@dataclass(frozen=True)
class Number(Kind):
    """A finite number of at least ``least`` or ``above`` something, and ``below`` something; ``screen`` as for `Whole`."""

    least: float | None = None
    above: float | None = None
    below: float | None = None
    screen: tuple[float, float] = (0.0, 1000.0)
    step: float = 0.1

    def __call__(self, name: str, value: object) -> float:
        found = fields.number(name, value)  # as a float: 1 and 1.0 are the same setting and must read the same
        low = self.least is None or found >= self.least
        if not (low and (self.above is None or found > self.above) and (self.below is None or found < self.below)):
            raise self.wrong(name, value)
        return found

    @property
    def allowed(self) -> str:
        bounds = {"of at least": self.least, "above": self.above, "below": self.below}
        return "a number " + " and ".join(f"{word} {bound:g}" for word, bound in bounds.items() if bound is not None)

    def text(self, value: float) -> str:
        return f"{value:g}"


@dataclass(frozen=True)
class Share(Kind):
    """A share from 0 to below 1, or to 1 where it may be ``whole``; in percent on the screen and in an address."""

    of: str = "the share that is removed"
    whole: bool = False
    step: float = 5.0
    metavar = "S"

    def __call__(self, name: str, value: object) -> float:
        found = fields.number(name, value)
        if not 0 <= found <= 1 or (found == 1 and not self.whole):
            raise self.wrong(name, value)
        return found

    @property
    def allowed(self) -> str:
        return f"{'from 0 to 1' if self.whole else 'at least 0 and below 1'} ({self.of})"

    def text(self, value: float) -> str:
        return ordinary(asked(value))


@dataclass(frozen=True)
class OneOf(Kind):
    """One of several values."""

    titles: Mapping[Any, str]  # each value, and what the screen calls it
    about: Mapping[Any, str] = field(default_factory=dict)  # what the screen says of a value, where it says more

    def __call__(self, name: str, value: object) -> Any:
        if isinstance(value, bool) or value not in list(self.titles):  # True is 1
            raise self.wrong(name, value)
        return value

    @property
    def allowed(self) -> str:
        return f"one of {', '.join(map(str, self.titles))}"


@dataclass(frozen=True)
class Pattern(Kind):
    """N:M with 0 < N < M."""

    metavar = "N:M"
    allowed = "N:M with 0 < N < M, as in 2:4 (2 of every 4 weights stay)"

    def __call__(self, name: str, value: object) -> str:
        n, m = fields.pattern(value)
        return f"{n}:{m}"


@dataclass(frozen=True)
class Text(Kind):
    """Words or a path; errors speak of ``what``."""

    what: str = ""
    metavar = "F"
    allowed = "a name"

    def __call__(self, name: str, value: object) -> str:
        text = fspath(cast("PathLike[str]", value)) if isinstance(value, PathLike) else value
        if not isinstance(text, str) or not text.strip():
            raise self.wrong(name, value) if not self.what else SpecError(f"{self.what} must be a name; got {value!r}")
        return text
