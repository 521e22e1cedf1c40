"""In a process of its own: a model is exported and quantised, for torch's exporter is not made for a process with several threads."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from prunekit.errors import RuntimeFault
from prunekit.latency import probe
from prunekit.latency.worker import in_a_process
from prunekit.latency.worker_main import Say
from prunekit.latency.worker_payload import Request


def quantise(path: Path, say: Say) -> dict[str, object]:
    """Write the ONNX file of candidate 0 and its quantised one."""
    request = Request.read(path)
    row = request.rows()[0]
    for place, (file, words) in enumerate((("onnx", "exporting"), ("int8", "calibrating and quantising"))):
        ended = in_a_process(probe.make, request, row, file, alive=partial(say, place / 2, words))
        reason = probe.reason_of(request, row, file)
        if ended or reason.is_file():
            raise RuntimeFault(reason.read_text() if reason.is_file() else f"{words}: {ended}")
    return {}
