"""What an archive holds, how much of it, and what is said about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from prunekit.errors import StoreError

VERSION = 1
MANIFEST = "manifest.json"
WEIGHTS, RECIPE, RESULT, README = "model.safetensors", "recipe.yaml", "result.json", "README.md"
ONNX, EXPORTED, INT8, LOADER = "model.onnx", "model.pt2", "model.int8.onnx", "load.py"

MB = 1 << 20
MODEL_BYTES = 4096 * MB
LIMITS: dict[str, int] = {
    MANIFEST: MB,
    RECIPE: 4 * MB,
    RESULT: 64 * MB,
    README: 4 * MB,
    LOADER: MB,
    WEIGHTS: MODEL_BYTES,
    ONNX: MODEL_BYTES,
    EXPORTED: MODEL_BYTES,
    INT8: MODEL_BYTES,
}
"""The names that an archive may hold, beside one Python file with the architecture, and the most bytes of each."""
CODE_BYTES = MB
MOST_RATIO = 200
"""Bytes unpacked for each byte packed, beyond which an entry counts as made to do harm."""


class ArchiveError(StoreError):
    """An archive is damaged, unsafe or not of this prunekit; or it cannot be written."""


@dataclass(frozen=True)
class FormatCheck:
    """Whether one form of the model gives the predictions of the run, in a process that knows nothing of prunekit.

    Attributes
    ----------
    name, file : str
        For people, and in the archive.
    agrees : bool
        Whether it does; what does not is not in the archive.
    error : float or None
        Largest difference of the scores by the largest score of the run; None where there is nothing to compare.
    sentence : str
        The same in words, or why this form could not be made.
    """

    name: str
    file: str
    agrees: bool
    error: float | None
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Exported:
    """An archive that was written.

    Attributes
    ----------
    path : Path
        The file.
    run : str
        Id of the run in it.
    formats : tuple of FormatCheck
        What was checked, and what could not be made.
    notes : tuple of str
        What else a person should know.
    """

    path: Path
    run: str
    formats: tuple[FormatCheck, ...]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        plain = {"path": str(self.path), "run": self.run, "bytes": self.path.stat().st_size}
        return {**plain, "formats": [form.to_dict() for form in self.formats], "notes": list(self.notes)}


@dataclass(frozen=True)
class Manifest:
    """What an archive says of itself.

    Attributes
    ----------
    run, kind, title, weights, trained_on : str
        Of the run, as in ``Run``.
    architecture : str
        What the model is built from: a sample, ``torchvision/NAME``, or ``file.py:factory``.
    code : str
        Name of the Python file with the architecture that lies in the archive; "" where there is none.
    input_shape : tuple of int
        Of one sample.
    files : dict of str to (str, int)
        Every other file in it: sha256 and bytes.
    """

    run: str
    kind: str
    title: str
    weights: str
    trained_on: str
    architecture: str
    code: str
    input_shape: tuple[int, ...]
    files: Mapping[str, tuple[str, int]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, the version first."""
        files = {name: {"sha256": digest, "bytes": size} for name, (digest, size) in sorted(self.files.items())}
        return {"prunekit_archive": VERSION, **asdict(self), "input_shape": list(self.input_shape), "files": files}
