"""Sessions of ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prunekit.errors import RuntimeFault
from prunekit.formatting import plural
from prunekit.runtimes.session import Session, first_line, words_of
from prunekit.tasks.batch import Batch

if TYPE_CHECKING:
    from prunekit.runtimes.session import Inputs


def load_onnxruntime() -> Any:
    """Import ONNX Runtime, which then says nothing on stderr and sends nothing."""
    import onnxruntime  # noqa: PLC0415  # loaded only where it is used

    onnxruntime.set_default_logger_severity(4)
    onnxruntime.disable_telemetry_events()
    return onnxruntime


class OnnxSession(Session):
    """An ONNX file in ONNX Runtime, on the CPU."""

    def __init__(self, path: Path, threads: int) -> None:
        onnxruntime = load_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 4
        self.session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.inputs: list[str] = [each.name for each in self.session.get_inputs()]
        self.names: list[str] = [output.name for output in self.session.get_outputs()]
        self.notes: tuple[str, ...] = ()
        self.compile_s: float | None = None

    def outputs(self, x: Inputs) -> dict[str, Tensor]:
        """Return all outputs of the file by name."""
        try:
            return {name: torch.from_numpy(np.array(found)) for name, found in zip(self.names, self.bind(x)(), strict=True)}
        except Exception as error:
            raise RuntimeFault(f"ONNX Runtime does not run the model on {words_of(x)}: {first_line(error)}") from error

    def bind(self, x: Inputs) -> Callable[[], Any]:
        """Return a function that makes one forward pass of ``x``."""
        run, names, feed = self.session.run, self.names, fed(x, self.inputs)
        return lambda: run(names, feed)


def fed(x: Inputs, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Return a batch as arrays by the names that a file gives its inputs, floats as float32."""
    tensors = [tensor for _, tensor in Batch.of(x).named_tensors()]
    if len(tensors) != len(names):
        raise RuntimeFault(f"the file takes {plural(len(names), 'input')} ({', '.join(names)}), and {words_of(x)} were given")
    arrays = [(tensor.float() if tensor.is_floating_point() else tensor).numpy() for tensor in tensors]
    return {name: np.ascontiguousarray(array) for name, array in zip(names, arrays, strict=True)}
