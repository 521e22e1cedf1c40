"""Sessions of torch.compile."""

from __future__ import annotations

import os
import shutil
import sysconfig
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor, nn

from prunekit.errors import RuntimeFault
from prunekit.runtimes.faults import causes, first_line, silence
from prunekit.runtimes.files import Files, Session
from prunekit.runtimes.torch_sessions import TorchSession, opened_model

COMPILERS = ("g++", "clang++", "cl")


def lacking() -> str:
    """Return what torch.compile needs and this machine does not have; "" where it has all."""
    if shutil.which(os.environ.get("CXX") or "g++") is None and not any(shutil.which(name) for name in COMPILERS):
        return "torch.compile needs a C++ compiler, and there is none here: install g++ (apt install g++) or clang"
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").is_file():
        return "torch.compile needs the header files of Python, and they are not here: install them (apt install python3-dev)"
    return ""


class CompiledSession(TorchSession):
    """A torch module compiled by inductor, once for each shape of the input."""

    def __init__(self, model: nn.Module, device: str) -> None:
        super().__init__(model, device)
        # shapes are fixed: kernels for any batch are slower, and each candidate is timed at one
        self.model.compile(dynamic=False)
        self.shapes: set[torch.Size] = set()

    def bind(self, x: Tensor) -> Callable[[], object]:
        """Return a function that makes one forward pass of ``x``; a shape not seen before is compiled here."""
        forward = super().bind(x)
        if x.shape not in self.shapes:
            self._compile(forward, x.shape)
        return forward

    def _compile(self, forward: Callable[[], object], shape: torch.Size) -> None:
        """Compile for one shape and note how long it took."""
        start = perf_counter()
        try:
            # frozen: weights are constants, so that normalisation is folded and fewer kernels are left to compile;
            # one compiler in this very process: a pool of workers would outlive the measurement and disturb it;
            # and never a silent return to eager after many shapes
            with silence(), torch._inductor.config.patch(compile_threads=1, freezing=True), torch._dynamo.config.patch(recompile_limit=64):
                forward()
        except Exception as error:
            raise RuntimeFault(f"torch.compile cannot compile this model: {reason(error)}") from error
        self.shapes.add(shape)
        self.compile_s = (self.compile_s or 0.0) + perf_counter() - start
        self.notes = (f"compiled in {self.compile_s:.1f} s",)


def reason(error: BaseException) -> str:
    """Return why a model did not compile, in one line."""
    if any(type(cause).__name__ == "CppCompileError" for cause in causes(error)):
        return "the C++ compiler failed on the generated code; try another version of it"
    return first_line(causes(error)[-1])


def open_compiled(files: Files, threads: int, device: str) -> Session:
    """Open the model; it is compiled when the first input is bound."""
    return CompiledSession(opened_model(files, threads, device), device)
