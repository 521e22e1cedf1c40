"""Sessions of ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prunekit.errors import RuntimeFault
from prunekit.runtimes.faults import first_line
from prunekit.runtimes.session import Session


def load_onnxruntime() -> Any:
    """Import ONNX Runtime, which then says nothing on stderr and sends nothing."""
    import onnxruntime  # noqa: PLC0415  # loaded only where it is used

    onnxruntime.set_default_logger_severity(4)
    onnxruntime.disable_telemetry_events()
    return onnxruntime


class OnnxSession(Session):
    """An ONNX file in ONNX Runtime, on the CPU.

    Parameters
    ----------
    path : Path
        The file.
    threads : int
        Within an operator; operators run one after the other.
    """

    def __init__(self, path: Path, threads: int) -> None:
        onnxruntime = load_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 4
        self.session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.input: str = self.session.get_inputs()[0].name
        self.names: list[str] = [output.name for output in self.session.get_outputs()]
        self.notes: tuple[str, ...] = ()
        self.compile_s: float | None = None

    def outputs(self, x: Tensor) -> dict[str, Tensor]:
        """Return all outputs of the file by name."""
        try:
            return {name: torch.from_numpy(np.array(found)) for name, found in zip(self.names, self.bind(x)(), strict=True)}
        except Exception as error:
            raise RuntimeFault(
                f"ONNX Runtime does not run the model on samples of shape {list(x.shape[1:])}: {first_line(error)}"
            ) from error

    def bind(self, x: Tensor) -> Callable[[], Any]:
        """Return a function that makes one forward pass of ``x``."""
        run, names, feed = self.session.run, self.names, {self.input: np.ascontiguousarray(x.numpy(), dtype=np.float32)}
        return lambda: run(names, feed)
