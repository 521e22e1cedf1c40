"""The fresh process in which layers and kernels are timed: ``python -m prunekit.latency.diagnosis.worker REQUEST.json``.

One JSON object a line: ``{"progress": share, "rounds": n}`` while it works, at the end ``{"result": ...}`` or ``{"error": sentence}``.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import torch

from prunekit.errors import PrunekitError
from prunekit.latency.diagnosis.kernel_grid import time_grid
from prunekit.latency.diagnosis.layer_timing import time_layers

Tell = Callable[[float, int], object]
WORK: dict[str, Callable[[dict[str, Any], Tell], dict[str, Any]]] = {"layers": time_layers, "grid": time_grid}


def work(request: dict[str, Any], out: TextIO) -> dict[str, Any]:
    """Carry out one request.

    Parameters
    ----------
    request : dict
        ``what`` (a key of `WORK`), ``threads``, and what that work needs.
    out : TextIO
        Where progress goes, a line of JSON at a time.
    """
    torch.set_num_threads(request["threads"])
    torch.set_num_interop_threads(1)
    warnings.simplefilter("ignore")
    return WORK[request["what"]](request, lambda share, rounds: _say(out, progress=share, rounds=rounds))


def _say(out: TextIO, **message: Any) -> None:
    """Write one line; a reader that has gone ends this process, too."""
    print(json.dumps(message), file=out, flush=True)


def main(argv: list[str] | None = None) -> int:
    """Run one request; what the models print goes to stderr, so that stdout holds nothing but JSON."""
    path = Path((sys.argv[1:] if argv is None else argv)[0])
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)
        try:
            result = work(json.loads(path.read_text()), out)
        except PrunekitError as error:
            _say(out, error=str(error))
            return 2
        _say(out, result=result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
