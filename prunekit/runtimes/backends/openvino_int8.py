"""int8 in OpenVINO."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunekit.runtimes.runtime import Runtime

if TYPE_CHECKING:
    from prunekit.runtimes.runtime import Files, Session


def opened(files: Files, threads: int, device: str) -> Session:
    """Open the quantised file."""
    from prunekit.runtimes.onnx_sessions import OpenVinoSession

    return OpenVinoSession(files.need("int8"), threads)


OPENVINO_INT8 = Runtime(
    name="openvino_int8",
    title="int8 (OpenVINO)",
    precision="int8",
    file="int8",
    advice="The same int8 file in OpenVINO, often the fastest of all",
    package="openvino",
    install='pip install "prunekit[openvino]"',
    opener=opened,
    order=80,
)
