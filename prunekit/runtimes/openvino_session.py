"""Sessions of OpenVINO."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prunekit.errors import RuntimeFault
from prunekit.runtimes.faults import first_line
from prunekit.runtimes.session import Session

TELEMETRY = "openvino_telemetry"


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
    """An ONNX file in OpenVINO, on the CPU, compiled once for each shape of the input.

    Parameters
    ----------
    path : Path
        The file.
    threads : int
        Of one forward pass.
    """

    def __init__(self, path: Path, threads: int) -> None:
        self.openvino = load_openvino()
        self.path, self.threads = path, threads
        self.core = self.openvino.Core()
        self.core.read_model(str(path))  # a file that cannot be read is refused when it is opened
        self.requests: dict[tuple[int, ...], Any] = {}
        self.notes: tuple[str, ...] = ()
        self.compile_s: float | None = None

    def outputs(self, x: Tensor) -> dict[str, Tensor]:
        """Return all outputs of the file by name."""
        try:
            self.bind(x)()
            request = self.requests[tuple(x.shape)]
            places = enumerate(request.model_outputs)
            return {output.any_name: torch.from_numpy(np.array(request.get_output_tensor(i).data)) for i, output in places}
        except RuntimeFault:
            raise
        except Exception as error:
            raise RuntimeFault(f"OpenVINO does not run the model on samples of shape {list(x.shape[1:])}: {first_line(error)}") from error

    def bind(self, x: Tensor) -> Callable[[], object]:
        """Return a function that makes one forward pass of ``x``; a shape not seen before is compiled here."""
        shape = tuple(x.shape)
        if shape not in self.requests:
            self.requests[shape] = self._compile(shape)
        request = self.requests[shape]
        images = self.openvino.Tensor(np.ascontiguousarray(x.numpy(), dtype=np.float32))
        start, wait = request.start_async, request.wait

        def forward() -> object:
            request.set_input_tensor(images)
            start()
            return wait()

        return forward

    def _compile(self, shape: tuple[int, ...]) -> Any:
        """Return a request for inputs of one shape: a fixed batch lets OpenVINO choose its kernels and plan its memory."""
        began = perf_counter()
        model = self.core.read_model(str(self.path))
        model.reshape({0: list(shape)})
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
