"""torch.compile: the model compiled by inductor."""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from prunekit.runtimes.runtime import Runtime

if TYPE_CHECKING:
    from prunekit.runtimes.runtime import Files, Session

COMPILERS = ("g++", "clang++", "cl")


def lacking() -> str:
    """Return what torch.compile needs and this machine does not have; "" where it has all."""
    if shutil.which(os.environ.get("CXX") or "g++") is None and not any(shutil.which(name) for name in COMPILERS):
        return "torch.compile needs a C++ compiler, and there is none here: install g++ (apt install g++) or clang"
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").is_file():
        return "torch.compile needs the header files of Python, and they are not here: install them (apt install python3-dev)"
    return ""


def opened(files: Files, threads: int, device: str) -> Session:
    """Open the model; it is compiled when the first input is bound."""
    from prunekit.runtimes.torch_sessions import CompiledSession, opened_model

    return CompiledSession(opened_model(files, threads, device), device)


COMPILE = Runtime(
    name="compile",
    title="torch.compile",
    advice="Stays in Python and still runs faster; each new shape of the input is compiled first, which takes a while",
    devices=("cpu", "cuda"),
    opener=opened,
    lacking=lacking,
    order=40,
)
