"""Turning what libraries raise into a line that a person can read, and keeping their noise away."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
from collections.abc import Iterator

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_NO_OPERATION = re.compile(r"No ONNX function found for <OpOverload\(op='([^']+)'")
_BY_VALUE = "data-dependent"  # what torch says of code that looks at the values of a tensor while it is traced


def first_line(error: BaseException, most: int = 200) -> str:
    """Return the first line of an error that says something, at most ``most`` characters, without a full stop at its end."""
    lines = [line.strip() for line in _COLOURS.sub("", str(error)).splitlines() if line.strip()] or [type(error).__name__]
    line = lines[0].rstrip(".")
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def causes(error: BaseException) -> list[BaseException]:
    """Return an error and what led to it, the first cause last."""
    found: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in found:
        found.append(following)
        following = following.__cause__ or following.__context__
    return found


def traced_reason(error: BaseException) -> str:
    """Return in plain words what stopped torch from tracing or translating a model."""
    chain = causes(error)
    said = " ".join(str(cause) for cause in chain)
    if _BY_VALUE in said.lower():
        return (
            "its code looks at the values of its input (an if, a loop or a shape that depends on them), so that there is no one graph to "
            "write; use tensor operations such as torch.where instead"
        )
    unknown = _NO_OPERATION.search(said)
    if unknown is not None:
        return f"there is no ONNX operator for {unknown[1]}; replace that operation in the model"
    return first_line(chain[-1])


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keep what libraries print, warn and log from Python away from the terminal and from the server's log."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
