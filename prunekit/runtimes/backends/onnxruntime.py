"""ONNX Runtime, in float32."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunekit.runtimes.runtime import Runtime

if TYPE_CHECKING:
    from prunekit.runtimes.runtime import Files, Session


def opened(files: Files, threads: int, device: str) -> Session:
    """Open the float32 file."""
    from prunekit.runtimes.onnx_sessions import OnnxSession

    return OnnxSession(files.need("onnx"), threads)


ONNXRUNTIME = Runtime(
    name="onnxruntime",
    title="ONNX Runtime",
    file="onnx",
    advice="A model to deploy: the same scores, usually much faster than eager",
    package="onnxruntime",
    install="pip install onnxruntime",
    opener=opened,
    order=50,
)
