"""The fresh process that exports and quantises a model: ``python -m prunekit.latency.quantise_worker REQUEST.json``.

Torch's exporter is not made for a process with several threads, such as a server. It answers as the timing process does.
"""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import TextIO

from prunekit.latency import probe
from prunekit.latency.forked import in_a_process
from prunekit.latency.worker_payload import Request


def _say(out: TextIO, share: float, text: str) -> None:
    """Tell the progress."""
    print(json.dumps({"progress": share, "text": text}), file=out, flush=True)


def main(argv: list[str] | None = None) -> int:
    """Write the ONNX file of candidate 0 and its quantised one; what libraries print goes to stderr."""
    request = Request.read(Path((sys.argv[1:] if argv is None else argv)[0]))
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)
        for place, (file, words) in enumerate((("onnx", "exporting"), ("int8", "calibrating and quantising"))):
            ended = in_a_process(probe.make, request, 0, file, alive=partial(_say, out, place / 2, words))
            reason = Path(request.folder) / "0" / f"{file}.error"
            if ended or reason.is_file():
                said = reason.read_text() if reason.is_file() else f"{words}: {ended}"
                print(json.dumps({"error": said}), file=out, flush=True)
                return 2
        print(json.dumps({"result": {}}), file=out, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
