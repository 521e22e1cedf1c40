"""``path/to/file.py:factory``: the user's own code, trusted because it is local and was named at launch."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from prunekit.catalog.hints import closest
from prunekit.errors import PrunekitError

_LOCK = threading.RLock()
_SEEN: dict[str, tuple[tuple[int, int], ModuleType]] = {}  # one entry for each file, replaced when the file changes


def is_factory(name: str) -> bool:
    """Tell whether ``name`` has the form ``path/to/file.py:factory``."""
    return ".py:" in name


def split_name(name: str, error: type[PrunekitError]) -> tuple[Path, str]:
    """Return the file and the name in it.

    Raises
    ------
    PrunekitError
        Of class ``error``, if there is no such file or no name after the colon.
    """
    file, _, attribute = name.rpartition(":")
    path = Path(file).expanduser()
    if not attribute.isidentifier():
        raise error(f"{name!r} names no function: write it as path/to/file.py:factory")
    if not path.is_file():
        raise error(f"there is no file {file!r} (looked in {Path.cwd()}): check the path before the colon of {name!r}")
    return path.resolve(), attribute


def load_factory(name: str, error: type[PrunekitError]) -> Any:
    """Run the file once and return what it calls ``factory``.

    Parameters
    ----------
    name : str
        ``path/to/file.py:factory``.
    error : type
        Class of the error to raise.

    Raises
    ------
    PrunekitError
        If the file is missing, fails while it is read, or has no such name.
    """
    path, attribute = split_name(name, error)
    with _LOCK:
        module = _module(path, error)
    if not hasattr(module, attribute):
        own = [n for n, v in vars(module).items() if callable(v) and getattr(v, "__module__", None) == module.__name__]
        raise error(f"{path} has no {attribute!r}{closest(attribute, own) or ': it has ' + (', '.join(sorted(own)) or 'no functions')}")
    return getattr(module, attribute)


def call(name: str, factory: Callable[[], Any], error: type[PrunekitError]) -> Any:
    """Return ``factory()``; what goes wrong inside it becomes one plain sentence.

    Raises
    ------
    PrunekitError
        Of class ``error``, with the exception and the line it came from.
    """
    path, _ = split_name(name, error)
    try:
        with _beside(path):
            return factory()
    except (Exception, SystemExit) as failure:
        raise error(f"{name} failed: {_told(failure, path)}") from failure


def _module(path: Path, error: type[PrunekitError]) -> ModuleType:
    """Return the module of a file, run again only when the file has changed."""
    stat = path.stat()
    stamp = (stat.st_mtime_ns, stat.st_size)
    key = f"prunekit_file_{hashlib.sha256(str(path).encode()).hexdigest()[:16]}"
    if key in _SEEN and _SEEN[key][0] == stamp:
        return _SEEN[key][1]
    spec = importlib.util.spec_from_file_location(key, path)
    if spec is None:
        raise error(f"{path} is not a Python file: name a .py file")
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(key)
    sys.modules[key] = module  # dataclasses and pickle look a class's module up there
    try:
        with _beside(path):
            exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)  # not through a .pyc, which a quick edit outruns
    except (Exception, SystemExit) as failure:
        sys.modules.pop(key, None)
        if before is not None:
            sys.modules[key] = before
        raise error(f"{path} failed while it was read: {_told(failure, path)}") from failure
    _SEEN[key] = (stamp, module)
    return module


@contextmanager
def _beside(path: Path) -> Iterator[None]:
    """Let the file import its neighbours, as ``python file.py`` would."""
    folder = str(path.parent)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)


def _told(failure: BaseException, path: Path) -> str:
    """Return the exception in one line, with the line of the user's file that it came from."""
    lines = [f.lineno for f in traceback.extract_tb(failure.__traceback__) if Path(f.filename) == path]
    where = f" (line {lines[-1]})" if lines else ""
    line = f" (line {failure.lineno})" if isinstance(failure, SyntaxError) and not lines else where
    return f"{type(failure).__name__}: {' '.join(str(failure).split())}{line}"
