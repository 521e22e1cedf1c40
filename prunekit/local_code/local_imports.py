"""Importing a file's neighbours: as they are now, noted as they run, and never those of another folder under the same name."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from prunekit.local_code.code import Code, is_local, look_again, sha256

LOCK = threading.RLock()
"""Held while a user's code runs: what is imported belongs to the whole process."""
STARTED = time.time()
Ran = dict[str, tuple[str, str]]


@dataclass(eq=False)
class _Kept:
    """A local module that was run here."""

    name: str  # name, origin, digest: what it is called, its file, and the sha256 of what was run
    origin: str
    digest: str
    module: ModuleType
    uses: list[_Kept] = field(default_factory=list)  # the local modules that its own import brought in


_KEPT: dict[tuple[str, str], _Kept] = {}  # by name and file


class _Loader(SourceFileLoader):
    """Runs a source as it stands, not through a .pyc, which a quick edit outruns; what was run before and has not changed stays."""

    def __init__(self, name: str, path: str, finder: _Finder) -> None:
        super().__init__(name, path)
        self.finder: _Finder | None = finder

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Return what was run before, if anything was."""
        kept = _KEPT.get((self.name, self.path))
        return None if kept is None else kept.module

    def exec_module(self, module: ModuleType) -> None:
        """Run it, unless it was, and note it."""
        finder, self.finder = self.finder, None
        if (self.name, self.path) not in _KEPT:
            self._run(module, finder)
        if finder is not None:
            finder.note(_KEPT[(self.name, self.path)])

    def _run(self, module: ModuleType, finder: _Finder | None) -> None:
        """Run it."""
        source = self.get_data(self.path)
        code: CodeType = self.source_to_code(source, self.path)
        kept = _Kept(self.name, self.path, sha256(source), module)
        stack = [] if finder is None else finder.stack
        stack.append(kept)
        try:
            exec(code, module.__dict__)
        finally:
            stack.pop()
        _KEPT[(self.name, self.path)] = kept


class _Finder(MetaPathFinder):
    """Finds local modules for a while, and notes which were imported."""

    def __init__(self) -> None:
        self.seen: dict[str, _Kept] = {}
        self.stack: list[_Kept] = []

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return a local source's spec with a loader of ours; others are for others to find."""
        spec = PathFinder.find_spec(name, path)
        if spec is None or spec.origin is None or type(spec.loader) is not SourceFileLoader or not is_local(spec.origin):
            return None
        spec.loader = _Loader(name, spec.origin, self)
        return spec

    def note(self, kept: _Kept) -> None:
        """Note a module, and what its own import brought in when it was run."""
        if self.stack and kept not in self.stack[-1].uses:
            self.stack[-1].uses.append(kept)
        if self.seen.get(kept.name) is not kept:
            self.seen[kept.name] = kept
            for used in kept.uses:
                sys.modules.setdefault(used.name, used.module)
                self.note(used)


@contextmanager
def neighbours(path: Path, code: Code) -> Iterator[Ran]:
    """Let a file import its neighbours, as ``python file.py`` would; yields what fills with them: name -> file, sha256 of what was run."""
    ran: Ran = {}
    with LOCK:
        _forget_edited()
        finder, folder = _Finder(), str(path.parent)
        foreign = _put_aside(code)
        sys.path.insert(0, folder)
        sys.meta_path.insert(0, finder)
        look_again()
        try:
            yield ran
        finally:
            sys.meta_path.remove(finder)
            if folder in sys.path:
                sys.path.remove(folder)
            for name, module in foreign.items():
                if name not in finder.seen or not _is_ours(module):
                    sys.modules[name] = module
            ran |= {name: (kept.origin, kept.digest) for name, kept in finder.seen.items()}


def _forget_edited() -> None:
    """Run everything anew once anything was edited: what was built on it is not known in full."""
    if any(digest_of(kept.origin) != kept.digest for kept in _KEPT.values()):
        _KEPT.clear()


def digest_of(origin: str) -> str:
    """Return the sha256 of a file, "" where it is gone."""
    try:
        return sha256(Path(origin).read_bytes())
    except OSError:
        return ""


def _put_aside(code: Code) -> dict[str, ModuleType]:
    """Take local modules away that may be another folder's, or older than their file: they are found again where they are right."""
    known = list(sys.modules.items())  # other threads import meanwhile
    away = {name: module for name, module in known if _is_ours(module) or _is_stale(name, module, code)}
    for name in away:
        sys.modules.pop(name, None)
    return away


def _is_ours(module: ModuleType | None) -> bool:
    """Whether a module was imported here for a user's file."""
    return isinstance(getattr(getattr(module, "__spec__", None), "loader", None), _Loader)


def _is_stale(name: str, module: ModuleType | None, code: Code) -> bool:
    """Whether the program imported another file under this name, or one that may have been edited since."""
    origin = code.origins.get(name)
    if not name or origin is None:
        return False
    there = getattr(module, "__file__", None)
    try:
        return there is None or Path(there).resolve() != Path(origin).resolve() or Path(origin).stat().st_mtime >= STARTED
    except OSError:
        return True
