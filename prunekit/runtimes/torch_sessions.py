"""Sessions that torch runs: eager, channels last, bfloat16."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from prunekit.anatomy.running import scores_in
from prunekit.catalog import load_model
from prunekit.errors import ModelError, RuntimeFault
from prunekit.runtimes.faults import first_line
from prunekit.runtimes.files import Files, Session


class TorchSession:
    """A torch module that is run as it is.

    Parameters
    ----------
    model : nn.Module
        In eval mode; belongs to the session.
    device : str
        ``cpu`` or ``cuda``.
    dtype : torch.dtype
        Of weights and input.
    memory_format : torch.memory_format
        Of weights and input.
    """

    def __init__(
        self,
        model: nn.Module,
        device: str,
        dtype: torch.dtype = torch.float32,
        memory_format: torch.memory_format = torch.preserve_format,
    ) -> None:
        self.model = model.to(device, dtype).to(memory_format=memory_format)
        self.device, self.dtype, self.memory_format = device, dtype, memory_format
        self.notes: tuple[str, ...] = ()
        self.compile_s: float | None = None

    def scores(self, x: Tensor) -> Tensor:
        """Return class scores on the CPU, float32 [N, classes]."""
        try:
            out = self.bind(x)()
            return scores_in(out, len(x)).detach().to("cpu", torch.float32)
        except ModelError:
            raise
        except Exception as error:
            raise RuntimeFault(f"the model does not run on samples of shape {list(x.shape[1:])}: {first_line(error)}") from error

    def bind(self, x: Tensor) -> Callable[[], object]:
        """Return a function that makes one forward pass of ``x``."""
        model, given = self.model, self.convert(x)

        def forward() -> object:
            with torch.inference_mode():
                return model(given)

        return forward

    def convert(self, x: Tensor) -> Tensor:
        """Return the input as the model takes it."""
        known = self.memory_format if x.ndim == 4 else torch.preserve_format
        return x.to(device=self.device, dtype=self.dtype, memory_format=known)


def opened_model(files: Files, threads: int, device: str) -> nn.Module:
    """Read the model and set torch's threads for this process.

    Raises
    ------
    RuntimeFault
        If there is no such device.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise RuntimeFault("there is no CUDA device on this machine: choose the CPU")
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    # of its own: the catalog shares what it loads by name, and a session moves and converts its weights
    return load_model(str(files.folder)).eval()


def open_eager(files: Files, threads: int, device: str) -> Session:
    """Run the model as it is."""
    return TorchSession(opened_model(files, threads, device), device)


def open_channels_last(files: Files, threads: int, device: str) -> Session:
    """Run the model with the channels of a pixel beside each other in memory."""
    return TorchSession(opened_model(files, threads, device), device, memory_format=torch.channels_last)


def open_bfloat16(files: Files, threads: int, device: str) -> Session:
    """Run the model with weights and activations in bfloat16."""
    return TorchSession(opened_model(files, threads, device), device, dtype=torch.bfloat16)
