"""The bytes that people would ship: which of a run's sizes that is."""

from __future__ import annotations

from prunekit.comparison.columns import Shipped
from prunekit.runs.images import INT8 as FILE
from prunekit.runs.records import Run

SMALLER, SPARSE, INT8, AS_IT_IS = "file of the smaller model", "best sparse format", "int8 file", "dense file"


def shipped(run: Run) -> Shipped | None:
    """Return the size that people would ship, None where it was never measured.

    That is the file after surgery where channels were removed, the best sparse format where single weights were, the int8 file of a
    quantised model, and the plain file otherwise.

    Parameters
    ----------
    run : Run
        Its ``info`` has the four ``sizes``, or the ``bytes`` of the one that counts.
    """
    mode = None if run.spec is None else run.spec.get("mode")
    if run.info.get("file") == FILE:
        how, name = INT8, "surgery"  # the one file that there is
    elif mode is None:
        how, name = AS_IT_IS, "dense"
    else:
        how, name = (SMALLER, "surgery") if mode == "structured" else (SPARSE, "sparse")
    size = (run.info.get("sizes") or {}).get(name) or run.info.get("bytes")
    return Shipped(int(size), how) if size else None
