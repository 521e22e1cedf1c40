"""`Runtime`, one way of running a model's weights: the files that it needs, the session that it opens, and what that gives back."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from prunekit.errors import PrunekitError, RuntimeFault, one_of

if TYPE_CHECKING:
    from torch import Tensor

    from prunekit.tasks.batch import Batch

    Inputs = Tensor | Batch
    from torch import nn

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


def words_of(x: Inputs) -> str:
    """Say which inputs a model was given: the shape of one sample, or every tensor."""
    from prunekit.tasks.batch import Batch  # noqa: PLC0415 (runtimes are listed without loading torch)

    named = dict(Batch.of(x).named_tensors())
    if list(named) == ["input"]:
        return f"samples of shape {list(named['input'].shape[1:])}"
    return f"inputs of this form ({', '.join(f'{name} {list(tensor.shape)}' for name, tensor in named.items())})"


@dataclass(frozen=True)
class Files:
    """What a model is on disk: any process can open it.

    Attributes
    ----------
    folder : Path
        As :func:`prunekit.write_folder` writes it.
    onnx : Path, optional
        The same weights as :func:`prunekit.runtimes.export_onnx` writes them.
    int8 : Path, optional
        The quantised model that :func:`prunekit.runtimes.quantise_onnx` made of ``onnx``.
    after : bool
        Whether the model is to read one token after those whose keys and values it is given, as `OneToken` does.
    """

    folder: Path
    onnx: Path | None = None
    int8: Path | None = None
    after: bool = False

    def need(self, file: str) -> Path:
        """Return the ONNX file called ``onnx`` or ``int8``.

        Raises
        ------
        RuntimeFault
            If it was not made, or is no longer there.
        """
        path = {"onnx": self.onnx, "int8": self.int8}[file]
        if path is None or not path.is_file():
            made = "export the model to ONNX first" if file == "onnx" else "quantise the model first"
            raise RuntimeFault(f"{made}: this runtime needs the {file} file" + (f", and {path} is not there" if path else ""))
        return path


class Session(ABC):
    """A model opened in a runtime.

    Attributes
    ----------
    notes : tuple of str
        What a person should know, as in ``"2 of 5 linear layers run sparse"``.
    compile_s : float or None
        Seconds that it took to compile the model for the shapes seen so far; None where nothing is compiled.
    """

    notes: tuple[str, ...] = ()
    compile_s: float | None = None

    @abstractmethod
    def outputs(self, x: Inputs) -> dict[str, Tensor]:
        """Return all that a model gives for a batch on the CPU, or one tensor [N, ...], by name and on the CPU; floats as float32."""

    def answer(self, x: Inputs, like: object = None) -> object:
        """Return the same in the nest that the model itself gives: ``like`` is one output of it, of any batch."""
        from prunekit.models.outputs import refilled  # noqa: PLC0415 (runtimes are listed without loading torch)

        return refilled(like, self.outputs(x).values())

    def scores(self, x: Inputs, classes: int = 0) -> Tensor:
        """Return class scores on the CPU, float32 [N, classes]; ``classes`` is how many the data have, 0 where nobody knows."""
        from prunekit.models.outputs import SCORES, Choice, scores_in  # noqa: PLC0415 (runtimes are listed without loading torch)

        found = self.outputs(x)
        return scores_in(found, len(x), Choice(SCORES) if SCORES in found else Choice(None, (classes,) if classes else ()))

    @abstractmethod
    def bind(self, x: Inputs) -> Callable[[], object]:
        """Return a function that makes one forward pass of ``x`` and nothing else; ``x`` is converted here, once.

        On CUDA the pass is only enqueued: whoever times it synchronises.
        """


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
