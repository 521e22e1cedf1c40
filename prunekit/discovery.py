"""What the modules of a package declare, found by importing each of them: to add one is to add its file."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Protocol, TypeVar


class Declared(Protocol):
    """Something with a name that is listed in an order."""

    @property
    def name(self) -> str:
        """As it is asked for."""

    @property
    def order(self) -> int:
        """Its place in lists; equal ones stand by name."""


D = TypeVar("D", bound=Declared)


def modules_of(package: str) -> Iterator[ModuleType]:
    """Import the modules of a package, by name."""
    for info in pkgutil.iter_modules(importlib.import_module(package).__path__):
        yield importlib.import_module(f"{package}.{info.name}")


def discovered(package: str, kind: type[D]) -> dict[str, D]:
    """Return all objects of a kind that the modules of a package hold, by name, in their order."""
    found: dict[str, D] = {}
    for module in modules_of(package):
        for value in vars(module).values():
            if isinstance(value, kind) and found.setdefault(value.name, value) is not value:
                raise ImportError(f"{module.__name__} declares {value.name!r}, which another module of {package} does too: rename one")
    return {each.name: each for each in sorted(found.values(), key=lambda each: (each.order, each.name))}
