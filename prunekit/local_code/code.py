"""The code behind ``file.py:factory``: the file and every local module that it imports, found without running anything."""

from __future__ import annotations

import ast
import hashlib
import importlib
import re
import sys
import sysconfig
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.machinery import BuiltinImporter, FrozenImporter, ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

import prunekit
import sample_models

_SCRIPT = re.compile(r"[^\n:]{1,250}\.py(:\w+)?")
INSTALLED = frozenset({"site-packages", "dist-packages"})
OWN = tuple(str(Path(package.__path__[0]).resolve()) for package in (prunekit, sample_models))
STANDARD = tuple({str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "platstdlib")})


@dataclass(frozen=True)
class Code:
    """What a file and its local modules hold."""

    # dotted name of a module ("" for the file itself, a path as it is written for a script that is named) to its sha256. Names do not say
    # where the folder lies, so that a moved one holds the same code
    files: dict[str, str]
    origins: dict[str, str]  # the same names to their places
    packages: tuple[str, ...]  # names of installed packages that are imported


def sha256(payload: bytes) -> str:
    """Return 64 hexadecimal digits."""
    return hashlib.sha256(payload).hexdigest()


@cache
def is_local(origin: str) -> bool:
    """Tell whether a file belongs to the user: not to an installed package, the standard library or prunekit."""
    path = Path(origin).absolute()
    if INSTALLED & set(path.parts):
        return False
    return not any(path.resolve().is_relative_to(folder) for folder in (*OWN, *STANDARD))


def walk(path: Path) -> Code:
    """Return the code of a file and of all local modules that it and they import, wherever the import stands.

    Absolute and relative imports, packages on the way, imports inside functions, `importlib.import_module` of a literal and scripts
    beside the file that are named by a literal are followed. What else is read (a JSON or YAML file) is not code and is not seen.
    """
    return _Walk(path).carry_out()


_LISTINGS = threading.Lock()


def look_again() -> None:
    """Let finders list folders anew, for a file may be new; two threads that do so at once take an entry from each other's hands."""
    with _LISTINGS:
        importlib.invalidate_caches()


class _Walk:
    """One walk, from the file to what it imports."""

    def __init__(self, path: Path) -> None:
        self.path, self.specs, self.packages = path, dict[str, ModuleSpec | None](), set[str]()
        self.files, self.origins = dict[str, str](), dict[str, str]()

    def carry_out(self) -> Code:
        """Read everything."""
        look_again()
        waiting = [("", "", self.path)]
        while waiting:
            name, package, path = waiting.pop()
            text = _read(path)
            if text is None:
                continue
            self.files[name], self.origins[name] = sha256(text), str(path)
            modules, scripts = _named_in(text, package)
            waiting += [found for module in modules for found in self._new(module)]
            beside = [(script, path.parent / script) for script in scripts]
            waiting += [(script, "", file) for script, file in beside if script not in self.files and file.is_file() and file != self.path]
        return Code(self.files, self.origins, tuple(sorted(self.packages)))

    def _new(self, module: str) -> Iterator[tuple[str, str, Path]]:
        """Yield the local files that importing a module runs: its packages, then itself."""
        parts = module.split(".")
        for end in range(1, len(parts) + 1):
            name = ".".join(parts[:end])
            if name in self.specs:
                if self.specs[name] is None:
                    return
                continue
            spec = self.specs[name] = self._local(name)
            if spec is None:
                return
            if spec.origin is not None:
                package = name if spec.submodule_search_locations is not None else name.rpartition(".")[0]
                yield name, package, Path(spec.origin)

    def _local(self, name: str) -> ModuleSpec | None:
        """Return where a module lies, or None where it is not local."""
        above, _, _ = name.rpartition(".")
        if not above:
            spec = _module_spec(name, [str(self.path.parent), *sys.path])
        else:
            parent = self.specs[above]
            inside = None if parent is None else parent.submodule_search_locations
            spec = None if inside is None else _module_spec(name, list(inside))
        if spec is not None:
            places = [spec.origin] if spec.origin is not None and spec.has_location else list(spec.submodule_search_locations or ())
            if any(map(is_local, places)):
                return spec
        if not above and name not in sys.stdlib_module_names:
            self.packages.add(name)
        return None


def _module_spec(name: str, places: list[str]) -> ModuleSpec | None:
    """Return a module's place without running anything of a top-level module."""
    spec = PathFinder.find_spec(name, places)
    if spec is not None or "." in name:
        return spec
    # packages that are installed from a folder that is being worked on may bring a finder of their own
    for finder in sys.meta_path:
        if finder in (BuiltinImporter, FrozenImporter, PathFinder) or type(finder).__module__.startswith("prunekit"):
            continue
        try:
            spec = finder.find_spec(name, None)
        except Exception:
            continue
        if spec is not None:
            return spec
    return None


def _read(path: Path) -> bytes | None:
    """Return the bytes of a file, None where there are none to be had (a module inside a zip file is known by the whole of it)."""
    for place in (path, *path.parents):
        if place.is_file():
            try:
                return place.read_bytes()
            except OSError:
                return None
    return None


@lru_cache(maxsize=512)
def _named_in(text: bytes, package: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the modules that a source may import, by their whole names, and the scripts that it names."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):  # an extension module, or a file that cannot be run either
        return (), ()
    modules: dict[str, None] = {}
    scripts: dict[str, None] = {}
    for node in ast.walk(tree):
        modules |= dict.fromkeys(_imported(node, package))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _SCRIPT.fullmatch(node.value):
            scripts[node.value.rpartition(".py")[0] + ".py"] = None
    return tuple(modules), tuple(scripts)


def _imported(node: ast.AST, package: str) -> Iterable[str]:
    """Return the modules that a piece of syntax imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = _absolute("." * node.level + (node.module or ""), package)
        # what is taken from a package may be a module of it
        return [base, *(f"{base}.{alias.name}" for alias in node.names if alias.name != "*")] if base else []
    if isinstance(node, ast.Call) and _called(node.func) in ("import_module", "__import__") and node.args:
        name: Any = getattr(node.args[0], "value", None)
        base = _absolute(name, package) if isinstance(name, str) else ""
        return [base] if base else []
    return []


def _called(function: ast.expr) -> str:
    """Return the last part of a function's name."""
    return str(getattr(function, "attr", getattr(function, "id", "")))


def _absolute(name: str, package: str) -> str:
    """Return the whole name of a module; "" for a relative one where there is no package."""
    plain = name.lstrip(".")
    level = len(name) - len(plain)
    if not level:
        return plain
    above = package.split(".")
    if not package or level > len(above):
        return ""
    return ".".join([*above[: len(above) - level + 1], *([plain] if plain else [])])
