"""`Progress`: how long work tells where it stands, and how it is stopped; and a model in eval mode for its time."""

from __future__ import annotations

import importlib
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from prunekit.errors import PrunekitError

Tell = Callable[[float, str], object]
Warn = Callable[[str], object]


class Cancelled(PrunekitError):
    """The work was stopped on request."""


@dataclass(frozen=True)
class Progress:
    """What long work is given: whom it tells how far it is, and whether it is still wanted.

    Parameters
    ----------
    tell : callable, optional
        Called as ``tell(fraction, text)``, the fraction of the whole work; nobody is told when left out.
    cancel : threading.Event, optional
        Set to stop the work: it is looked at before each batch.
    warn : callable, optional
        Gets sentences that a person should know beside the result.
    pause : callable, optional
        Called before each batch: it may wait while others need the processor.

    Examples
    --------
    >>> progress = Progress(lambda fraction, text: print(f"{fraction:.0%} {text}"))
    >>> progress(0.5, "halfway")
    50% halfway
    >>> progress.part(0.5, 1.0, "second half: ")(0.5, "going on")
    75% second half: going on
    """

    tell: Tell | None = None
    cancel: threading.Event | None = None
    warn: Warn = lambda _: None
    pause: Callable[[], object] = lambda: None
    _begin: float = 0.0
    _end: float = 1.0
    _prefix: str = ""

    @classmethod
    def of(cls, tell: Tell | None, cancel: threading.Event | None = None) -> Progress:
        """Return the progress that a plain function, and an event, stand for; in a notebook nothing stands for a bar."""
        if tell is QUIET and cancel is None and "ipykernel" in sys.modules and Bar.free():
            return replace(QUIET, tell=Bar())
        return replace(tell, cancel=cancel or tell.cancel) if isinstance(tell, Progress) else cls(tell, cancel)

    @property
    def cancelled(self) -> bool:
        """Whether the work is to stop."""
        return self.cancel is not None and self.cancel.is_set()

    def check(self) -> None:
        """Raise `Cancelled` if the work is to stop."""
        if self.cancelled:
            raise Cancelled("stopped on request")
        self.pause()

    def __call__(self, fraction: float, text: str = "") -> None:
        """Tell how far the work is; raise `Cancelled` if it is to stop."""
        self.check()
        if self.tell is not None:
            self.tell(self._begin + (self._end - self._begin) * fraction, self._prefix + text)

    @property
    def silent(self) -> Progress:
        """The same work without a word on how far it is: still stopped where it is not wanted."""
        return replace(self, tell=None)

    def part(self, begin: float, end: float, prefix: str = "") -> Progress:
        """Return the progress of a part of the work, from and to shares of the whole, its texts behind a prefix."""
        length = self._end - self._begin
        return replace(self, _begin=self._begin + length * begin, _end=self._begin + length * end, _prefix=self._prefix + prefix)

    def step(self, index: int, total: int, prefix: str = "") -> Progress:
        """Return the progress of one of ``total`` equal parts."""
        return self.part(index / total, (index + 1) / total, prefix)


QUIET = Progress()
"""Tells nobody, and is never cancelled; what people call in a notebook draws a bar in its place (`Progress()` is one that does not)."""


FORMAT = "{percentage:3.0f}% |{bar}| {elapsed}, {remaining} left  {desc}"


class Bar:
    """A bar of tqdm: drawn once the work takes longer than a moment, gone with the work; one at a time in a thread."""

    shown = threading.local()

    def __init__(self) -> None:
        self._bar: Any = None
        self.shown.bar = weakref.ref(self)

    @classmethod
    def free(cls) -> bool:
        """Whether no other bar stands for work that this is a part of."""
        other = getattr(cls.shown, "bar", None)
        return other is None or other() is None

    def __call__(self, fraction: float, text: str) -> None:
        """Move the bar."""
        if self._bar is None:
            made = importlib.import_module("tqdm.auto").tqdm  # only where somebody looks at it
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # without ipywidgets it is a line of text
                self._bar = made(total=1.0, bar_format=FORMAT, delay=0.5, leave=False)
        self._bar.set_description_str(text, refresh=False)
        self._bar.update(max(0.0, min(fraction, 1.0) - self._bar.n))

    def __del__(self) -> None:
        """Take the bar away with the work that moved it."""
        if self._bar is not None:
            self._bar.close()


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
