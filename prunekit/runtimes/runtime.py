"""`Runtime`, the description of one way of running a model's weights, with the function that opens it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeAlias

from prunekit.errors import PrunekitError, RuntimeFault, one_of
from prunekit.runtimes.session import first_line

if TYPE_CHECKING:
    from torch import nn

    from prunekit.runtimes.session import Files, Session
    from prunekit.tasks.batch import Batch

Opener: TypeAlias = "Callable[[Files, int, str], Session]"
ByLayer: TypeAlias = "Callable[[nn.Module, Batch], tuple[Batch, dict[str, nn.Module]]]"


@dataclass(frozen=True)
class Runtime:
    """One way of running a model's weights.

    A module of `prunekit.runtimes.backends` declares it, and imports torch and the runtime in its functions only: the names of runtimes
    are asked for where nothing is run, as by ``prunekit --help``.

    Attributes
    ----------
    name, title : str
        For code and for people.
    advice : str
        One sentence: when to use it.
    opener : callable
        ``(files, threads, device) -> Session``.
    precision : str
        ``float32``, ``bfloat16`` or ``int8``.
    file : str
        Which file it runs: ``""`` (the torch model itself), ``onnx`` or ``int8``.
    devices : tuple of str
        ``cpu``, and ``cuda`` where it runs there, too.
    package : str
        The package that runs it.
    install : str
        What installs that package.
    lacking : callable, optional
        Returns what else this machine does not have, and "" where it has all.
    by_layer : callable, optional
        Where its layers can be told apart: makes a model ready for it in place. Takes the model and a batch; returns the batch as the
        model now takes it, and layers that were replaced, by name.
    order : int
        Its place in lists.
    """

    name: str
    title: str
    advice: str
    opener: Opener = field(repr=False, compare=False)
    precision: str = "float32"
    file: str = ""
    devices: tuple[str, ...] = ("cpu",)
    package: str = "torch"
    install: str = "pip install torch"
    lacking: Callable[[], str] | None = field(default=None, repr=False, compare=False)
    by_layer: ByLayer | None = field(default=None, repr=False, compare=False)
    order: int = 1000

    def missing(self) -> str:
        """Return why it cannot be used on this machine and what to install; "" where it can."""
        if find_spec(self.package) is None:
            return f"{self.title} needs the package {self.package}, which is not installed here: {self.install}"
        return "" if self.lacking is None else self.lacking()

    def open(self, files: Files, *, threads: int = 1, device: str = "cpu") -> Session:
        """Open a model.

        Parameters
        ----------
        files : Files
            The model on disk.
        threads : int
            Threads of one forward pass. Torch has one setting for the whole process: this sets it.
        device : str
            One of ``devices``.

        Raises
        ------
        RuntimeFault
            If the runtime is missing, or cannot open this model; the message says why.
        """
        one_of(f"the device of {self.title}", device, self.devices, RuntimeFault)
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise RuntimeFault(f"threads must be a whole number of at least 1; got {threads!r}")
        reason = self.missing()
        if reason:
            raise RuntimeFault(reason)
        try:
            return self.opener(files, threads, device)
        except PrunekitError:
            raise
        except Exception as error:
            raise RuntimeFault(f"{self.title} cannot open this model: {first_line(error)}") from error

    def version(self) -> str:
        """Return its package and version, as in ``onnxruntime 1.31.1``."""
        from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 (slow, and names of runtimes do not need it)

        try:
            return f"{self.package} {version(self.package)}"
        except PackageNotFoundError:
            return f"{self.package} (not installed)"
