"""Uploaded checkpoints, held by content hash in a bounded store in memory: the address names a file without holding it."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass

import streamlit as st

from prunekit.errors import CheckpointError

SUFFIXES = ("safetensors", "pt", "pth", "th")
MOST_FILES = 8
MOST_BYTES = 1 << 30


@dataclass(frozen=True)
class Upload:
    """One uploaded file.

    Attributes
    ----------
    name : str
        What the visitor's computer calls it; never used as a path.
    payload : bytes
        Its content.
    """

    name: str
    payload: bytes


def fingerprint(payload: bytes) -> str:
    """Return the content hash that the address holds: 20 hexadecimal digits of sha256."""
    return hashlib.sha256(payload).hexdigest()[:20]


class Store:
    """The latest uploads, at most `MOST_FILES` files and `MOST_BYTES` bytes; the oldest go first."""

    def __init__(self, most_files: int = MOST_FILES, most_bytes: int = MOST_BYTES) -> None:
        self._files: OrderedDict[str, Upload] = OrderedDict()
        self._lock = threading.Lock()
        self._most_files, self._most_bytes = most_files, most_bytes

    def put(self, name: str, payload: bytes) -> str:
        """Keep a file and return its fingerprint.

        Raises
        ------
        CheckpointError
            If the file's ending is not that of a checkpoint, or it is too big to keep.
        """
        if name.rpartition(".")[2].lower() not in SUFFIXES:
            raise CheckpointError(f"a checkpoint ends in .{', .'.join(SUFFIXES)}; got {name!r}")
        if len(payload) > self._most_bytes:
            raise CheckpointError(f"the file has {len(payload):,} bytes; at most {self._most_bytes:,} are kept")
        key = fingerprint(payload)
        with self._lock:
            self._files[key] = Upload(name, payload)
            self._files.move_to_end(key)
            while len(self._files) > self._most_files or sum(len(f.payload) for f in self._files.values()) > self._most_bytes:
                self._files.popitem(last=False)
        return key

    def get(self, key: str) -> Upload | None:
        """Return a file, or None where it was never seen or has been dropped."""
        with self._lock:
            if key in self._files:
                self._files.move_to_end(key)
            return self._files.get(key)


@st.cache_resource
def uploads() -> Store:
    """Return the one store of this server."""
    return Store()
