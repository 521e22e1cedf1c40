"""The fresh process that does one piece of work: ``python -m prunekit.latency.worker_main MODULE:FUNCTION REQUEST.json``.

The function is called as ``function(path of the request, say)``. On stdout stands one JSON object a line: ``{"progress": share, "text":
words, "patience": seconds}`` whenever it says something, at the end ``{"result": ...}`` or ``{"error": sentence}``. What models and
libraries print goes to stderr.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from prunekit.errors import PrunekitError

Say = Callable[..., None]
"""``say(share, text, patience=0.0)``: how much of the work is done, what is under way, and for how long it may be silent now (seconds)."""


def main(argv: list[str]) -> int:
    """Carry out one request."""
    module, _, function = argv[0].partition(":")
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)

        def tell(**message: object) -> None:
            print(json.dumps(message), file=out, flush=True)

        def say(share: float, text: str, patience: float = 0.0) -> None:
            tell(progress=share, text=text, patience=patience)

        try:
            result = getattr(import_module(module), function)(Path(argv[1]), say)
        except PrunekitError as error:
            tell(error=str(error))
            return 2
        tell(result=result)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
