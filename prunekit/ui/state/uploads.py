"""Uploaded checkpoints, by content hash: the address names a file without holding it, and a restarted server still knows it."""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from prunekit.errors import CheckpointError
from prunekit.experiments.home import checkpoints
from prunekit.models.drafts import write_file
from prunekit.ui.shared.cache import LRU

SUFFIXES = ("safetensors", "pt", "pth", "th")
MOST_FILES = 8
MOST_BYTES = 1 << 30
_LOG = logging.getLogger("prunekit.ui")


@dataclass(frozen=True)
class Upload:
    """One uploaded file."""

    name: str  # what the visitor's computer calls it; never used as a path
    payload: bytes


def fingerprint(payload: bytes) -> str:
    """Return the content hash that the address holds: 20 hexadecimal digits of sha256."""
    return hashlib.sha256(payload).hexdigest()[:20]


class Store:
    """The latest uploads, at most `MOST_FILES` files and `MOST_BYTES` bytes in memory; the oldest go first."""

    def __init__(self, most_files: int = MOST_FILES, most_bytes: int = MOST_BYTES, folder: Path | None = None) -> None:
        self._files = LRU[str, Upload](most_files, most_bytes, least=1)
        self._most_bytes, self._folder = most_bytes, folder

    def put(self, name: str, payload: bytes) -> str:
        """Keep a file and return its fingerprint."""
        if name.rpartition(".")[2].lower() not in SUFFIXES:
            raise CheckpointError(f"a checkpoint ends in .{', .'.join(SUFFIXES)}; got {name!r}")
        if len(payload) > self._most_bytes:
            raise CheckpointError(f"the file has {len(payload):,} bytes; at most {self._most_bytes:,} are kept")
        key = fingerprint(payload)
        self._write(key, name, payload)
        self._files.put(key, Upload(name, payload), len(payload))
        return key

    def get(self, key: str) -> Upload | None:
        """Return a file, or None where it was never seen or has been dropped."""
        held: Upload | None = self._files.get(key)
        if held is not None:
            return held
        path = self.path(key)
        try:
            payload = b"" if path is None else path.read_bytes()
        except OSError:
            return None
        if path is None or fingerprint(payload) != key:
            return None
        upload = Upload(path.name, payload)
        self._files.put(key, upload, len(payload))
        return upload

    def path(self, key: str) -> Path | None:
        """Return where a file lies on this machine, or None where it lies in memory alone."""
        if self._folder is None or not re.fullmatch(r"[0-9a-f]{20}", key):
            return None
        return next((path for suffix in SUFFIXES if (path := self._folder / f"{key}.{suffix}").is_file()), None)

    def _write(self, key: str, name: str, payload: bytes) -> None:
        """Write a file into the folder, whole or not at all."""
        if self._folder is None:
            return
        target = self._folder / f"{key}.{name.rpartition('.')[2].lower()}"
        try:
            write_file(target, payload)
        except OSError as error:
            _LOG.warning("an uploaded file is held in memory only: %s", error)


@st.cache_resource
def uploads() -> Store:
    """Return the one store of this server."""
    return Store(folder=checkpoints())
