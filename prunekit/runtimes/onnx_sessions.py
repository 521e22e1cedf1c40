"""Sessions that open an ONNX file: of ONNX Runtime, and of OpenVINO."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prunekit.errors import RuntimeFault
from prunekit.formatting import plural
from prunekit.runtimes.runtime import Session, first_line, words_of
from prunekit.tasks.batch import Batch

if TYPE_CHECKING:
    from prunekit.runtimes.runtime import Inputs


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


TELEMETRY = "openvino_telemetry"
Shapes = tuple[tuple[int, ...], ...]


def _shapes(feed: Mapping[str, NDArray[Any]]) -> Shapes:
    """Return the shapes of arrays."""
    return tuple(array.shape for array in feed.values())


def load_openvino() -> Any:
    """Import OpenVINO without its telemetry.

    Importing it reports the import over the network and writes into the user's home. Where the package that does so is not there, OpenVINO
    goes without; so it is hidden until the import is done. A program that had imported OpenVINO before keeps what it has.
    """
    if "openvino" in sys.modules:
        return sys.modules["openvino"]
    hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == TELEMETRY}
    sys.modules[TELEMETRY] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("openvino")
    finally:
        del sys.modules[TELEMETRY]
        sys.modules.update(hidden)


class OpenVinoSession(Session):
    """An ONNX file in OpenVINO, on the CPU, compiled once for each shape of the input."""

    def __init__(self, path: Path, threads: int) -> None:
        self.openvino = load_openvino()
        self.path, self.threads = path, threads
        self.core = self.openvino.Core()
        graph = self.core.read_model(str(path))  # a file that cannot be read is refused when it is opened
        self.inputs: list[str] = [each.any_name for each in graph.inputs]
        self.requests: dict[Shapes, Any] = {}
        self.notes: tuple[str, ...] = ()
        self.compile_s: float | None = None

    def outputs(self, x: Inputs) -> dict[str, Tensor]:
        """Return all outputs of the file by name."""
        try:
            self.bind(x)()
            request = self.requests[_shapes(fed(x, self.inputs))]
            places = enumerate(request.model_outputs)
            return {output.any_name: torch.from_numpy(np.array(request.get_output_tensor(i).data)) for i, output in places}
        except RuntimeFault:
            raise
        except Exception as error:
            raise RuntimeFault(f"OpenVINO does not run the model on {words_of(x)}: {first_line(error)}") from error

    def bind(self, x: Inputs) -> Callable[[], object]:
        """Return a function that makes one forward pass of ``x``; shapes not seen before are compiled here."""
        feed = fed(x, self.inputs)
        shapes = _shapes(feed)
        if shapes not in self.requests:
            self.requests[shapes] = self._compile(shapes)
        request = self.requests[shapes]
        given = [(place, self.openvino.Tensor(array)) for place, array in enumerate(feed.values())]
        start, wait = request.start_async, request.wait

        def forward() -> object:
            for place, tensor in given:
                request.set_input_tensor(place, tensor)
            start()
            return wait()

        return forward

    def _compile(self, shapes: Shapes) -> Any:
        """Return a request for inputs of these shapes: a fixed batch lets OpenVINO choose its kernels and plan its memory."""
        began = perf_counter()
        model = self.core.read_model(str(self.path))
        model.reshape({place: list(shape) for place, shape in enumerate(shapes)})
        # f32 by name: by itself it takes bfloat16 where the processor has it
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": self.threads,
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": "f32",
            "ENABLE_CPU_PINNING": False,  # pinned to a core that somebody else is on it would wait there while another is free
        }
        request = self.core.compile_model(model, "CPU", settings).create_infer_request()
        self.compile_s = (self.compile_s or 0.0) + perf_counter() - began
        return request
