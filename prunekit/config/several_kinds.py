"""Kinds of value that hold several: values of one kind, numbers for each channel, names of modules, a share for each layer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from prunekit.config import fields
from prunekit.config.kinds import Kind, OneOf, Share, Whole
from prunekit.errors import SpecError, named


@dataclass(frozen=True)
class Numbers(Kind):
    """One finite number for each channel, each ``above`` something."""

    above: float = -math.inf
    metavar = "a,b,c"

    def __call__(self, name: str, value: object) -> tuple[float, ...]:
        try:
            found = () if isinstance(value, str) else tuple(float(v) for v in cast(Any, value))
        except (TypeError, ValueError):
            found = ()
        if not found or not all(math.isfinite(v) and v > self.above for v in found):
            raise self.wrong(name, value)
        return found

    @property
    def allowed(self) -> str:
        what = "one finite number for each" if self.above == -math.inf else f"above {self.above:g} in each"
        return f"{what} channel, as in 0.5,0.5,0.5"


@dataclass(frozen=True)
class Several(Kind):
    """Up to ``most`` different values of one kind; in their one order where all of them are the same as none named."""

    one: Whole | OneOf
    most: int
    all_is_none: bool = False

    def __call__(self, name: str, value: object) -> tuple[Any, ...] | None:
        given = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else ()
        found = tuple(dict.fromkeys(self.one(name, each) for each in given))
        if not 0 < len(found) <= self.most:
            raise self.wrong(name, value)
        if self.all_is_none and isinstance(self.one, OneOf):
            return None if set(found) == set(self.one.titles) else tuple(each for each in self.one.titles if each in found)
        return found

    @property
    def metavar(self) -> str:
        return "N[,N]" if isinstance(self.one, Whole) else "A[,A]"

    @property
    def allowed(self) -> str:
        return f"a list of up to {self.most}, each {self.one.allowed}"

    def text(self, value: tuple[Any, ...]) -> str:
        return ", ".join(map(str, value))


@dataclass(frozen=True)
class Names(Kind):
    """Different names of modules, each ``what``."""

    what: str
    metavar = "a,b"

    def __call__(self, name: str, value: object) -> tuple[str, ...]:
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise self.wrong(name, value)
        given = list(value)
        if not all(isinstance(each, str) and each for each in given):
            raise SpecError(f"{named(name)} must hold {self.what} names; got {value!r}")
        if not given:
            raise SpecError(f"{named(name)} is empty: name at least one {self.what}, or leave it out for the default choice")
        return tuple(dict.fromkeys(given))

    @property
    def allowed(self) -> str:
        return f"a list of {self.what} names, or left out for the default choice"

    def text(self, value: tuple[str, ...]) -> str:
        return ", ".join(value)


@dataclass(frozen=True)
class Titles(Kind):
    """Different names of any kind in their order; none where nobody named any."""

    metavar = "a,b"
    allowed = "different names in the order in which the model counts them, as in cat,dog"

    def __call__(self, name: str, value: object) -> tuple[str, ...]:
        found = () if value is None else value
        if not isinstance(found, (list, tuple)) or not all(isinstance(each, str) and each.strip() for each in found):
            raise self.wrong(name, value)
        if len(set(found)) != len(found):
            raise self.wrong(name, value)
        return tuple(found)

    def text(self, value: tuple[str, ...]) -> str:
        return ", ".join(value)


@dataclass(frozen=True)
class Shares(Kind):
    """A share for each of some layers, each checked as ``one``: a mapping or pairs, kept as sorted pairs."""

    one: Share
    metavar = "layer=S"
    allowed = "a mapping of layer names to shares, as in {'conv1': 0.3}"

    def __call__(self, name: str, value: object) -> tuple[tuple[str, float], ...]:
        try:
            pairs = list(value.items()) if isinstance(value, Mapping) else [(n, s) for n, s in cast(Any, value)]
        except (TypeError, ValueError):
            raise self.wrong(name, value) from None
        layers = [layer for layer, _ in pairs]
        if not all(isinstance(layer, str) and layer for layer in layers):
            raise self.wrong(name, value)
        twice = sorted({layer for layer in layers if layers.count(layer) > 1})
        if twice:
            raise SpecError(f"{named(name)} name {', '.join(twice)} more than once; give each layer one share")
        return tuple(sorted((layer, self.one(f"{name}[{layer}]", share)) for layer, share in pairs))

    def text(self, value: Any) -> str:
        return ", ".join(f"{layer} {self.one.text(share)}" for layer, share in sorted(dict(value).items())) or "none"

    def plain(self, value: Any) -> dict[str, float]:
        return dict(value)

    def words(self, option: str, value: Any) -> list[str]:
        return [word for layer, share in value for word in (option, f"{layer}={share!r}")]


@dataclass(frozen=True)
class Indices(Kind):
    """Whole numbers from 0 for each of some layers: a mapping or pairs, kept as sorted pairs."""

    metavar = "layer=I[,I]"
    allowed = "a mapping of layer names to lists of whole numbers from 0, as in {'conv1': [0, 5]}"

    def __call__(self, name: str, value: object) -> tuple[tuple[str, tuple[int, ...]], ...]:
        try:
            pairs = [(layer, sorted(set(found))) for layer, found in (value.items() if isinstance(value, Mapping) else cast(Any, value))]
        except (TypeError, ValueError):
            raise self.wrong(name, value) from None
        good = all(isinstance(layer, str) and layer and found for layer, found in pairs)
        if not good or len({layer for layer, _ in pairs}) < len(pairs):
            raise self.wrong(name, value)
        return tuple(sorted((layer, tuple(fields.whole(f"{name}[{layer}]", i, 0) for i in found)) for layer, found in pairs))

    def text(self, value: Any) -> str:
        return "; ".join(f"{layer} {', '.join(map(str, found))}" for layer, found in value) or "none"

    def plain(self, value: Any) -> dict[str, list[int]]:
        return {layer: list(found) for layer, found in value}

    def words(self, option: str, value: Any) -> list[str]:
        return [word for layer, found in value for word in (option, f"{layer}={','.join(map(str, found))}")]


@dataclass(frozen=True)
class JointShares(Shares):
    """A share for each of some sets of layers: names, blocks or patterns with commas between them."""

    metavar = "layers=S"
    allowed = "a mapping of layers, blocks or patterns to shares, as in {'layer3.*': 0.7, 'conv1,conv2': 0.5}"

    def __call__(self, name: str, value: object) -> tuple[tuple[str, float], ...]:
        found = super().__call__(name, value)
        sets = [(",".join(dict.fromkeys(part.strip() for part in key.split(","))), share) for key, share in found]
        if not all(all(key.split(",")) for key, _ in sets):
            raise self.wrong(name, value)
        return super().__call__(name, sets)
