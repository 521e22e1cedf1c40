"""What an archive holds, how much of it, and `Manifest`: what it says of itself, and how that is read from a stranger."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
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


VERSION = 1
_HASH = re.compile("[0-9a-f]{64}")
_MARK = "prunekit_archive"


@dataclass(frozen=True)
class Manifest:
    """What an archive says of itself.

    Parameters
    ----------
    run, kind, title, weights, trained_on : str
        Of the run, as in ``Run``.
    architecture : str
        What the model is built from: a sample, ``torchvision/NAME``, or ``file.py:factory``.
    code : str
        Name of the Python file with the architecture that lies in the archive; "" where there is none.
    input_shape : tuple of int
        Of one sample; of several inputs, of the first float one, which may be a number alone.
    files : dict of str to (str, int)
        Every other file in it: sha256 and bytes.

    Raises
    ------
    ArchiveError
        If a field is not of this form.
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

    def __post_init__(self) -> None:
        """Check every field: they may come from anybody."""
        texts = (self.run, self.kind, self.title, self.weights, self.trained_on, self.architecture, self.code)
        _need(all(isinstance(text, str) and len(text) <= 1000 for text in texts), "its texts are too long or no texts")
        _need(bool(_HASH.fullmatch(self.run)), "it does not name its run")
        _need(all(text == "" or _HASH.fullmatch(text) for text in (self.weights, self.trained_on)), "its hashes are no hashes")
        _need(self.code == "" or bool(CODE.fullmatch(self.code)), "it names no Python file as its code")
        shape = self.input_shape
        _need(len(shape) <= 8 and all(type(side) is int and 0 < side < 2**20 for side in shape), "its input_shape is not a shape")
        for name, (digest, size) in self.files.items():
            _need(most_bytes(name) is not None and name != MANIFEST, f"it lists a file that an archive does not hold, {name[:80]!r}")
            _need(isinstance(digest, str) and bool(_HASH.fullmatch(digest)), f"the hash of {name} is no hash")
            _need(type(size) is int and size >= 0, f"the size of {name} is no size")

    def to_json(self) -> str:
        """Return it as JSON, the version first."""
        files = {name: {"sha256": digest, "bytes": size} for name, (digest, size) in sorted(self.files.items())}
        return json.dumps({_MARK: VERSION, **asdict(self), "files": files}, indent=2, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Read what `to_json` wrote.

        Raises
        ------
        ArchiveError
            If it is something else, of another version, or has unknown or missing keys.
        """
        try:
            told = json.loads(text)
        except (ValueError, RecursionError):
            raise ArchiveError(f"the archive's {MANIFEST} is not valid JSON: {_AGAIN}") from None
        _need(isinstance(told, dict) and _MARK in told, "it is not one of prunekit")
        version = told.pop(_MARK)
        if version != VERSION:
            raise ArchiveError(f"the archive has the version {str(version)[:20]!r}; this prunekit reads {VERSION}: export it again")
        _need(set(told) == {f.name for f in fields(cls)}, "its keys are not those of a manifest")
        _need(isinstance(told["input_shape"], list), "its input_shape is not a shape")
        return cls(**{**told, "input_shape": tuple(told["input_shape"]), "files": _files(told["files"])})


_AGAIN = "the archive is damaged or was changed; get it again from where it came from"


def _need(good: bool, what: str) -> None:
    """Raise unless a condition holds."""
    if not good:
        raise ArchiveError(f"the archive's {MANIFEST} cannot be used: {what}. Export the run again")


def _files(told: Any) -> dict[str, tuple[str, int]]:
    """Return the table of files."""
    _need(isinstance(told, dict), "it does not list its files")
    good = all(isinstance(entry, dict) and set(entry) == {"sha256", "bytes"} for entry in told.values())
    _need(good, "its list of files is not a list of hashes and sizes")
    return {name: (entry["sha256"], entry["bytes"]) for name, entry in told.items()}
