"""What an archive holds, how much of it, and what is said about it."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from prunekit.errors import StoreError

MANIFEST = "manifest.json"
WEIGHTS, RECIPE, RESULT, README = "model.safetensors", "recipe.yaml", "result.json", "README.md"
BESIDE, SAMPLES = "beside.safetensors", "samples.safetensors"
ONNX, EXPORTED, INT8, LOADER = "model.onnx", "model.pt2", "model.int8.onnx", "load.py"

MB = 1 << 20
MODEL_BYTES = 4096 * MB
LIMITS: dict[str, int] = {
    MANIFEST: MB,
    RECIPE: MB // 4,
    RESULT: 64 * MB,
    README: 4 * MB,
    LOADER: MB,
    WEIGHTS: MODEL_BYTES,
    BESIDE: MODEL_BYTES,
    SAMPLES: 256 * MB,
    ONNX: MODEL_BYTES,
    EXPORTED: MODEL_BYTES,
    INT8: MODEL_BYTES,
}
"""The names that an archive may hold, beside one Python file with the architecture, and the most bytes of each."""
CODE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,80}\.py")
"""What that file may be called."""
MOST_RATIO = 200
"""Bytes unpacked for each byte packed, beyond which an entry counts as made to do harm."""


def most_bytes(name: str) -> int | None:
    """Return how many bytes a file of this name may have; None where an archive holds no such file."""
    return LIMITS.get(name, MB if CODE.fullmatch(name) else None)


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
