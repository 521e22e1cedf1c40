"""What this installation is made of: packages with their versions, extras, and the folders it keeps things in."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import tempfile
import tomllib
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

import prunekit
from prunekit.config.ids import data_folder

EXTRAS = {
    "openvino": "the runtimes OpenVINO and OpenVINO int8, beside torch and ONNX Runtime",
    "timm": "models by name as timm/NAME",
    "transformers": "language models and encoders as hf:FOLDER_OR_ID",
    "datasets": "texts as datasets:NAME_OR_FOLDER",
    "dask": "a cluster: --cluster, and prunekit app --workers",
    "mlflow": "--log-to mlflow",
    "wandb": "--log-to wandb",
    "tensorboard": "--log-to tensorboard",
    "docs": "building the documentation",
    "test": "running the tests",
    "dev": "working on prunekit itself",
}
"""What each extra is for."""


@dataclass(frozen=True)
class Package:
    """A package that is asked for: the version that is here (None for none), and whether it is one that will do."""

    name: str
    needs: str
    version: str | None
    fits: bool

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Extra:
    """An extra: what it is for, what installs it, and which of its packages are missing or of another version."""

    name: str
    about: str
    install: str
    lacks: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "lacks": list(self.lacks), "installed": not self.lacks}


@dataclass(frozen=True)
class Place:
    """A folder: what lies there, whether it can be written to, and what is free on its disk, in bytes."""

    name: str
    path: str
    variable: str
    writable: bool
    free: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


@cache
def requirements() -> tuple[Requirement, ...]:
    """Return all that is asked for, that of extras under their markers; of a folder that was never installed from its pyproject.toml."""
    project = Path(prunekit.__file__).parents[1] / "pyproject.toml"
    if not project.is_file():
        return tuple(map(Requirement, importlib.metadata.requires("prunekit") or ()))
    told = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    extras = {name: rows for name, rows in told["optional-dependencies"].items()}
    return (*map(Requirement, told["dependencies"]), *(_under(row, name) for name, rows in extras.items() for row in rows))


def _under(text: str, extra: str) -> Requirement:
    """Return what an extra asks for, marked as in the metadata of a wheel."""
    return Requirement(f'{text}; extra == "{extra}"')


def packages(extra: str = "") -> list[Package]:
    """Return what is asked for, or what an extra asks for on top, those of the extras that it names included."""
    found = []
    for row in requirements():
        if row.marker is not None and not (extra and row.marker.evaluate({"extra": extra})):
            continue
        if row.marker is None and extra:
            continue
        if row.name == "prunekit":
            found += [package for other in sorted(row.extras) for package in packages(other)]
            continue
        version = _version(row.name)
        fits = version is not None and row.specifier.contains(version, prereleases=True)
        found.append(Package(row.name, f"{row.name}{row.specifier}", version, fits))
    return found


def extras() -> list[Extra]:
    """Return the extras, in the order in which they are declared."""
    marked = [str(row.marker).partition('extra == "')[2].partition('"')[0] for row in requirements() if row.marker is not None]
    return [
        Extra(name, EXTRAS.get(name, ""), f"pip install 'prunekit[{name}]'", tuple(p.needs for p in packages(name) if not p.fits))
        for name in dict.fromkeys(filter(None, marked))
    ]


def _version(name: str) -> str | None:
    """Return the version of a distribution that is installed here."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def places(home: Path) -> list[Place]:
    """Return where runs are kept, where data are downloaded to, and where measurements write for their time."""
    told = (
        ("runs and models", home, "PRUNEKIT_HOME"),
        ("data", data_folder(), "PRUNEKIT_DATA"),
        ("work", Path(tempfile.gettempdir()), "TMPDIR"),
    )
    found = []
    for name, path, variable in told:
        there = next(each for each in (path.absolute(), *path.absolute().parents) if each.exists())
        writable = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
        found.append(Place(name, str(path), variable, writable, shutil.disk_usage(there).free))
    return found
