"""Progress and cancellation of long work, and a model in eval mode for its time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import nn

from prunekit.errors import PrunekitError

Progress = Callable[[float, str], object]


class Cancelled(PrunekitError):
    """The work was stopped on request."""


def check_cancel(cancel: threading.Event | None) -> None:
    """Raise `Cancelled` if the event is set."""
    if cancel is not None and cancel.is_set():
        raise Cancelled("stopped on request")


def part_of(progress: Progress | None, begin: float, end: float) -> Progress | None:
    """Return the progress of a part of the work, from and to shares of the whole; None where nobody watches."""
    return None if progress is None else lambda share, text: progress(begin + (end - begin) * share, text)


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Put every submodule in eval mode and give each its own flag back afterwards.

    Only modules that train are touched, so a shared model that is in eval mode already is never written to.
    """
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True
