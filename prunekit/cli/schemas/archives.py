"""What archives tell as JSON: exporting, importing and checking one, and the files in it."""

from __future__ import annotations

from typing import Any, TypedDict

from prunekit.cli.schemas.pruned import Measured, Quality
from prunekit.experiments.archive.manifest import FormatCheck
from prunekit.pruning.result import LayerResult


class Exported(TypedDict):
    """``prunekit export``: the archive, and the forms of the model that were checked."""

    path: str
    run: str
    bytes: int
    formats: list[FormatCheck]
    notes: list[str]


ExportedFolder = TypedDict("ExportedFolder", {"run": str, "path": str, "class": str})
ExportedFolder.__doc__ = "``prunekit export --hugging-face``: the folder, and the class of transformers that opens it."


class ExportedGraph(TypedDict):
    """``prunekit export --model-explorer``: the folder, its files, and the layers without a node of their own."""

    folder: str
    files: list[str]
    layers: int
    missing: list[str]


class Imported(TypedDict):
    """``prunekit import``: the run that an archive became."""

    run: str
    title: str
    kind: str
    model: dict[str, Any]
    parent: str | None
    info: dict[str, Any]


class Checked(Quality):
    """``prunekit check``: what was measured again beside what is stated."""

    stated: Measured | None
    same: bool | None
    data: Any
    sentence: str


class ArchivedFile(TypedDict):
    """A file of an archive."""

    sha256: str
    bytes: int


class Manifest(TypedDict):
    """``manifest.json`` of an archive of ``prunekit export``.

    Attributes
    ----------
    prunekit_archive : int
        Version of this form.
    weights, trained_on : str
        What tells the dense model, and what decided the outcome, from others.
    architecture : str
        What the model is built from.
    code : str
        Name of the Python file with it; "" for none.
    """

    prunekit_archive: int
    run: str
    kind: str
    title: str
    weights: str
    trained_on: str
    architecture: str
    code: str
    input_shape: list[int]
    files: dict[str, ArchivedFile]


class ArchivedRun(TypedDict):
    """A run as an archive tells it."""

    id: str
    kind: str
    title: str
    model: dict[str, Any]
    spec: dict[str, Any] | None
    recovery: dict[str, Any] | None
    created: str
    info: dict[str, Any]
    name: str


class ArchivedInput(TypedDict):
    """What the model takes."""

    shape: list[Any]
    mean: list[float] | None
    std: list[float] | None
    pixels: str
    classes: list[str]


class ArchivedResult(TypedDict):
    """``result.json`` of an archive: the run, all that was measured of it, and of the dense model that it began from."""

    run: ArchivedRun
    measurements: list[dict[str, Any]]
    dense: dict[str, Any] | None
    input: ArchivedInput
    layers: list[LayerResult]
