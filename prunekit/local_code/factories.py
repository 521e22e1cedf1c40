"""``path/to/file.py:factory``: the user's own code, trusted because it is local and was named at launch."""

from __future__ import annotations

import importlib.util
import inspect
import json
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from prunekit.errors import PrunekitError, closest
from prunekit.local_code.code import Code, sha256, walk
from prunekit.local_code.contract import wrong
from prunekit.local_code.local_imports import LOCK, Ran, digest_of, neighbours
from sample_models import in_folder


@dataclass(frozen=True, eq=False)
class _Read:
    """A file that was run."""

    module: ModuleType
    code: Code
    ran: Ran  # what was run, the file itself as "", and what that imported: name -> file, sha256
    called: dict[str, Ran] = field(default_factory=dict)  # what calling each of its functions imported


_SEEN: dict[str, _Read] = {}  # one entry for each file, replaced when the file, or what it imports, changes


def is_factory(name: str) -> bool:
    """Tell whether ``name`` has the form ``path/to/file.py:factory``."""
    return ".py:" in name


def split_name(name: str, error: type[PrunekitError]) -> tuple[Path, str]:
    """Return the file and the name in it."""
    file, _, attribute = name.rpartition(":")
    path = Path(file).expanduser()
    if not attribute.isidentifier():
        raise error(f"{name!r} names no function: write it as path/to/file.py:factory")
    if not path.is_file():
        raise error(f"there is no file {file!r} (looked in {Path.cwd()}): check the path before the colon of {name!r}")
    return path.resolve(), attribute


def load_factory(name: str, error: type[PrunekitError]) -> Any:
    """Run the file once and return what it calls ``factory``."""
    path, attribute = split_name(name, error)
    with LOCK:
        module = _read(path, error).module
    if not hasattr(module, attribute):
        own = [n for n, v in vars(module).items() if callable(v) and getattr(v, "__module__", None) == module.__name__]
        raise error(f"{path} has no {attribute!r}{closest(attribute, own) or ': it has ' + (', '.join(sorted(own)) or 'no functions')}")
    return getattr(module, attribute)


def call(name: str, factory: Callable[[], Any], error: type[PrunekitError]) -> Any:
    """Return ``factory()``; what goes wrong inside it becomes one plain sentence."""
    path, attribute = split_name(name, error)
    with LOCK:
        read = _SEEN.get(_key(path)) or _read(path, error)
        if needed := _needed(factory):
            raise wrong(f"{name} needs arguments ({', '.join(needed)})", error)
        try:
            with neighbours(path, read.code) as ran:
                made = factory()
        except (Exception, SystemExit) as failure:
            raise error(f"{name} failed: {_one_line(failure, path)}") from failure
        read.called[attribute] = ran
    return made


def _needed(factory: Callable[..., Any]) -> list[str]:
    """Return the names of the arguments that a factory cannot do without."""
    try:
        told = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):  # made in C
        return []
    return [each.name for each in told if each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]


def code_of(name: str) -> str:
    """Return a sha256 of the code of a factory as it lies there now; "" where there is no such file.

    That is the factory's name, the content of its file and of every local module that the file imports (`prunekit.local_code.code.walk`) or
    that was imported when it was read and called here; not where they lie.
    """
    name = in_folder(name, "model")
    file, _, attribute = name.rpartition(":")
    path = Path(file).expanduser()
    if not is_factory(name) or not path.is_file():
        return ""
    with LOCK:
        read = _SEEN.get(_key(path.resolve()))
        return _hashed(attribute, walk(path.resolve()).files, {} if read is None else _now(read, attribute))


def code_that_ran(name: str) -> str:
    """Return what `code_of` does, of the code that a factory loaded here was made by; the file may have changed since."""
    file, _, attribute = name.rpartition(":")
    with LOCK:
        read = _SEEN[_key(Path(file).expanduser().resolve())]
        ran = {**read.ran, **read.called.get(attribute, {})}
        return _hashed(attribute, read.code.files, {module: digest for module, (_, digest) in ran.items()})


def packages_of(name: str) -> tuple[str, ...]:
    """Return the installed packages that the code of a factory imports."""
    name = in_folder(name, "model")
    path = Path(name.rpartition(":")[0]).expanduser()
    return walk(path.resolve()).packages if is_factory(name) and path.is_file() else ()


def _hashed(attribute: str, files: Mapping[str, str], ran: Mapping[str, str]) -> str:
    """Return one hash of a factory's name and of its code."""
    return sha256(json.dumps([attribute, sorted({**files, **ran}.items())]).encode())


def _now(read: _Read, attribute: str) -> dict[str, str]:
    """Return what lies now where code lay that was run."""
    ran = {**read.ran, **read.called.get(attribute, {})}
    return {name: digest_of(origin) for name, (origin, _) in ran.items()}


def _key(path: Path) -> str:
    """Return what the module of a file is called."""
    return f"prunekit_file_{sha256(str(path).encode())[:16]}"


def _is_current(read: _Read, path: Path) -> bool:
    """Whether what was run is what lies there, down to the last module."""
    ran = [each for part in (read.ran, *read.called.values()) for each in part.values()]
    return all(digest_of(origin) == digest for origin, digest in ran) and walk(path).files == read.code.files


def read_file(path: Path, error: type[PrunekitError]) -> tuple[ModuleType, str]:
    """Run a file, again only when it or what it imports has changed; return its module and the hash of all their code."""
    with LOCK:
        read = _read(path, error)
    return read.module, sha256(json.dumps(read.code.files, sort_keys=True).encode())


def _read(path: Path, error: type[PrunekitError]) -> _Read:
    """Return a file that was run, run again only when it or what it imports has changed."""
    key = _key(path)
    if key in _SEEN and _is_current(_SEEN[key], path):
        return _SEEN[key]
    spec = importlib.util.spec_from_file_location(key, path)
    if spec is None:
        raise error(f"{path} is not a Python file: name a .py file")
    module, code = importlib.util.module_from_spec(spec), walk(path)
    before = sys.modules.get(key)
    sys.modules[key] = module  # dataclasses and pickle look a class's module up there
    text = path.read_bytes()
    try:
        with neighbours(path, code) as ran:
            exec(compile(text, str(path), "exec"), module.__dict__)  # not through a .pyc, which a quick edit outruns
    except (Exception, SystemExit) as failure:
        sys.modules.pop(key, None)
        if before is not None:
            sys.modules[key] = before
        raise error(f"{path} failed while it was read: {_one_line(failure, path)}") from failure
    _SEEN[key] = _Read(module, code, {**ran, "": (str(path), sha256(text))})
    return _SEEN[key]


def _one_line(failure: BaseException, path: Path) -> str:
    """Return the exception in one line, with the line of the user's file that it came from."""
    lines = [f.lineno for f in traceback.extract_tb(failure.__traceback__) if Path(f.filename) == path]
    where = f" (line {lines[-1]})" if lines else ""
    line = f" (line {failure.lineno})" if isinstance(failure, SyntaxError) and not lines else where
    return f"{type(failure).__name__}: {' '.join(str(failure).split())}{line}"
