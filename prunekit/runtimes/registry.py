"""The runtimes by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from prunekit.errors import PrunekitError, RuntimeFault, one_of
from prunekit.runtimes.faults import first_line
from prunekit.runtimes.onnx_session import open_int8, open_onnx
from prunekit.runtimes.openvino_session import open_openvino, open_openvino_int8
from prunekit.runtimes.session import Files, Session
from prunekit.runtimes.sparse import open_csr
from prunekit.runtimes.torch_sessions import lacking as compiler_lacking
from prunekit.runtimes.torch_sessions import open_bfloat16, open_channels_last, open_compiled, open_eager

Opener = Callable[[Files, int, str], Session]


def nothing_missing() -> str:
    """Say that there is nothing to install."""
    return ""


@dataclass(frozen=True)
class Runtime:
    """One way of running a model's weights.

    Attributes
    ----------
    name, title : str
        For code and for people.
    precision : str
        ``float32``, ``bfloat16`` or ``int8``.
    file : str
        Which file it runs: ``""`` (the torch model itself), ``onnx`` or ``int8``.
    devices : tuple of str
        ``cpu``, and ``cuda`` where it runs there, too.
    advice : str
        One sentence: when to use it.
    package : str
        The package that runs it.
    install : str
        What installs that package.
    """

    name: str
    title: str
    precision: str
    file: str
    devices: tuple[str, ...]
    advice: str
    package: str
    install: str
    opener: Opener = field(repr=False, compare=False)
    lacking: Callable[[], str] = field(default=nothing_missing, repr=False, compare=False)

    def missing(self) -> str:
        """Return why it cannot be used on this machine and what to install; "" where it can."""
        if find_spec(self.package) is None:
            return f"{self.title} needs the package {self.package}, which is not installed here: {self.install}"
        return self.lacking()

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
        try:
            return f"{self.package} {version(self.package)}"
        except PackageNotFoundError:
            return f"{self.package} (not installed)"


BOTH = ("cpu", "cuda")
_TORCH: dict[str, Any] = {"file": "", "devices": BOTH, "package": "torch", "install": "pip install torch"}
_ONNX: dict[str, Any] = {"devices": ("cpu",), "package": "onnxruntime", "install": "pip install onnxruntime"}
_OPENVINO: dict[str, Any] = {"devices": ("cpu",), "package": "openvino", "install": 'pip install "prunekit[openvino]"'}

_ALL = (
    Runtime(
        name="eager",
        title="eager",
        precision="float32",
        advice="What training runs, and the baseline: choose it to compare with, not to deploy",
        opener=open_eager,
        **_TORCH,
    ),
    Runtime(
        name="channels_last",
        title="channels last",
        precision="float32",
        advice="Often faster than eager for convolutions, with nothing to install",
        opener=open_channels_last,
        **_TORCH,
    ),
    Runtime(
        name="bfloat16",
        title="bfloat16",
        precision="bfloat16",
        advice="For processors with bfloat16 instructions; without them it is slower than float32",
        opener=open_bfloat16,
        **_TORCH,
    ),
    Runtime(
        name="compile",
        title="torch.compile",
        precision="float32",
        advice="Stays in Python and still runs faster; each new shape of the input is compiled first, which takes a while",
        opener=open_compiled,
        lacking=compiler_lacking,
        **_TORCH,
    ),
    Runtime(
        name="onnxruntime",
        title="ONNX Runtime",
        precision="float32",
        file="onnx",
        advice="A model to deploy: the same scores, usually much faster than eager",
        opener=open_onnx,
        **_ONNX,
    ),
    Runtime(
        name="openvino",
        title="OpenVINO",
        precision="float32",
        file="onnx",
        advice="A model to deploy on Intel and AMD processors: the same scores, often the fastest in float32",
        opener=open_openvino,
        **_OPENVINO,
    ),
    Runtime(
        name="int8",
        title="int8 (ONNX Runtime)",
        precision="int8",
        file="int8",
        advice="A quarter of the bytes; fastest on processors with int8 instructions (VNNI)",
        opener=open_int8,
        **_ONNX,
    ),
    Runtime(
        name="openvino_int8",
        title="int8 (OpenVINO)",
        precision="int8",
        file="int8",
        advice="The same int8 file in OpenVINO, often the fastest of all",
        opener=open_openvino_int8,
        **_OPENVINO,
    ),
    Runtime(
        name="csr",
        title="sparse linear (CSR)",
        precision="float32",
        advice="Skips the zeros of linear layers, which pays for large layers with few weights left",
        opener=open_csr,
        **{**_TORCH, "devices": ("cpu",)},
    ),
)
RUNTIMES: dict[str, Runtime] = {runtime.name: runtime for runtime in _ALL}
