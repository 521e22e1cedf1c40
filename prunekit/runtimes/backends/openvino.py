"""OpenVINO, in float32."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunekit.runtimes.runtime import Runtime

if TYPE_CHECKING:
    from prunekit.runtimes.runtime import Files, Session


def opened(files: Files, threads: int, device: str) -> Session:
    """Open the float32 file."""
    from prunekit.runtimes.onnx_sessions import OpenVinoSession

    return OpenVinoSession(files.need("onnx"), threads)


OPENVINO = Runtime(
    name="openvino",
    title="OpenVINO",
    file="onnx",
    advice="A model to deploy on Intel and AMD processors: the same scores, often the fastest in float32",
    package="openvino",
    install='pip install "prunekit[openvino]"',
    opener=opened,
    order=60,
)
