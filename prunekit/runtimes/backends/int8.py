"""int8 in ONNX Runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunekit.runtimes.runtime import Runtime

if TYPE_CHECKING:
    from prunekit.runtimes.runtime import Files, Session


def opened(files: Files, threads: int, device: str) -> Session:
    """Open the quantised file."""
    from prunekit.runtimes.onnx_sessions import OnnxSession

    return OnnxSession(files.need("int8"), threads)


INT8 = Runtime(
    name="int8",
    title="int8 (ONNX Runtime)",
    precision="int8",
    file="int8",
    advice="A quarter of the bytes; fastest on processors with int8 instructions (VNNI)",
    package="onnxruntime",
    install="pip install onnxruntime",
    opener=opened,
    order=70,
)
