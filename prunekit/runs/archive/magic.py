"""Whether a file is what its name says, by its bytes: what calls itself weights must not be a program."""

from __future__ import annotations

import codecs
import io
from zipfile import BadZipFile, ZipFile

from prunekit.runs.archive.contents import BESIDE, EXPORTED, INT8, MB, ONNX, SAMPLES, WEIGHTS, ArchiveError

HEAD = 16
TENSORS = (WEIGHTS, BESIDE, SAMPLES)
MOST_LISTED = 256 * MB
"""Bytes of a ``model.pt2`` whose directory is looked at; larger ones are judged by their beginning."""


class Look:
    """Looks at a file block by block.

    Parameters
    ----------
    name : str
        Of the file.
    """

    def __init__(self, name: str) -> None:
        self.name, self._head = name, b""
        self._text = None if name in (*TENSORS, ONNX, EXPORTED, INT8) else codecs.getincrementaldecoder("utf-8")()
        self._whole = io.BytesIO() if name == EXPORTED else None

    def at(self, block: bytes) -> None:
        """Look at the next block.

        Raises
        ------
        ArchiveError
            If it does not belong into such a file.
        """
        self._head += block[: HEAD - len(self._head)] if len(self._head) < HEAD else b""
        if self._whole is not None and self._whole.tell() <= MOST_LISTED:
            self._whole.write(block)
        if self._text is not None:
            self._read(block, last=False)

    def done(self, size: int) -> None:
        """Judge the whole file, of ``size`` bytes.

        Raises
        ------
        ArchiveError
            If it is not what its name says.
        """
        if self._text is not None:
            self._read(b"", last=True)
        elif self.name in TENSORS:
            length = int.from_bytes(self._head[:8], "little")
            self._need(self._head[8:9] == b"{" and length <= size - 8, "a safetensors file")
        elif self.name == EXPORTED:
            self._need(self._head[:4] == b"PK\x03\x04" and self._listed(), "a file of torch.export")
        else:
            self._need(self._head[:1] == b"\x08", "an ONNX file")  # its first field is the version of the format

    def _read(self, block: bytes, *, last: bool) -> None:
        """Read text; a pickle or a zip file is none."""
        try:
            text = self._text.decode(block, last) if self._text is not None else ""
        except UnicodeDecodeError:
            text = "\0"
        self._need("\0" not in text and self._head[:4] != b"PK\x03\x04", "text")

    def _listed(self) -> bool:
        """Return whether the directory of a ``model.pt2`` is that of torch.export, and not of a pickled module or a TorchScript program."""
        if self._whole is None or self._whole.tell() > MOST_LISTED:
            return True
        try:
            with ZipFile(self._whole) as inner:
                names = [name.partition("/")[2] for name in inner.namelist()]
        except (BadZipFile, ValueError, OSError):
            return False
        return "archive_format" in names and not any(name.endswith(".pkl") or name.startswith("code/") for name in names)

    def _need(self, good: bool, what: str) -> None:
        """Raise unless the file is what its name says."""
        if good:
            return
        pickled = self._head[:1] == b"\x80" or self._head[:4] == b"PK\x03\x04"
        found = "a pickle or an archive, which can run code when it is opened" if pickled else "something else"
        raise ArchiveError(f"{self.name} in the archive is not {what} but {found}: it is not taken in")
