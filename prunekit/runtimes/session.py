"""What a runtime opens, and what it gives back: files on disk, and a session that computes class scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor

from prunekit.errors import RuntimeFault


@dataclass(frozen=True)
class Files:
    """What a model is on disk: any process can open it.

    Attributes
    ----------
    folder : Path
        As :func:`prunekit.write_folder` writes it.
    onnx : Path, optional
        The same weights as :func:`prunekit.runtimes.export_onnx` writes them.
    int8 : Path, optional
        The quantised model that :func:`prunekit.runtimes.quantise_onnx` made of ``onnx``.
    """

    folder: Path
    onnx: Path | None = None
    int8: Path | None = None

    def need(self, file: str) -> Path:
        """Return the ONNX file called ``onnx`` or ``int8``.

        Raises
        ------
        RuntimeFault
            If it was not made, or is no longer there.
        """
        path = {"onnx": self.onnx, "int8": self.int8}[file]
        if path is None or not path.is_file():
            made = "export the model to ONNX first" if file == "onnx" else "quantise the model first"
            raise RuntimeFault(f"{made}: this runtime needs the {file} file" + (f", and {path} is not there" if path else ""))
        return path


class Session(Protocol):
    """A model opened in a runtime.

    Attributes
    ----------
    notes : tuple of str
        What a person should know, as in ``"2 of 5 linear layers run sparse"``.
    compile_s : float or None
        Seconds that it took to compile the model for the shapes seen so far; None where nothing is compiled.
    """

    notes: tuple[str, ...]
    compile_s: float | None

    def scores(self, x: Tensor) -> Tensor:
        """Return class scores on the CPU, float32 [N, classes], of float32 images [N, C, H, W]."""
        ...

    def bind(self, x: Tensor) -> Callable[[], object]:
        """Return a function that makes one forward pass of ``x`` and nothing else; ``x`` is converted here, once.

        On CUDA the pass is only enqueued: whoever times it synchronises.
        """
        ...
