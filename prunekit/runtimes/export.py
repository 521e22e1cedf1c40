"""Writing a model as ONNX, with the batch left open."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from prunekit.errors import ModelError, PrunekitError, RuntimeFault
from prunekit.models.outputs import choice_of, export_names, tensors_of
from prunekit.models.running import run
from prunekit.runtimes.checking import MOST_ERROR, apart
from prunekit.runtimes.faults import silence, traced_reason
from prunekit.runtimes.onnx_session import OnnxSession

INPUT = "images"
_ONE_BATCH = (
    "the exported file works for one batch only: the model's code fixes the number of samples "
    "(by a number instead of x.size(0), or by computing outside of torch)"
)


class Flat(nn.Module):
    """A model whose tensors come as one tuple, out of whatever it returns: exporters know few kinds of containers."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return all tensors in order."""
        return tuple(tensors_of(self.model(x)).values())


def export_onnx(model: nn.Module, input_shape: Sequence[int], path: str | Path, *, batch: int = 2) -> Path:
    """Write a model as an ONNX file that takes any batch.

    Not for two threads at once: torch's exporter is not made for that. Nothing is printed or logged.

    Parameters
    ----------
    model : nn.Module
        In float32; it is copied, not changed. Of an output that is no tensor alone all tensors are written.
    input_shape : sequence of int
        Shape of one sample, (C, H, W).
    path : str or Path
        The file to write.
    batch : int
        Samples in the example that is traced; at least 2, since torch takes a batch of 1 for a constant.

    Returns
    -------
    Path
        The file: input ``images`` [batch, C, H, W], float32; output ``scores`` [batch, classes] where the model gives class scores, and
        others by their path in what it returns (``hidden``, ``output_1``; ``output`` for a tensor alone).

    Raises
    ------
    ModelError
        If the model does not run on such samples, or returns no tensor.
    RuntimeFault
        If the model cannot be exported, or the file does not give its outputs for another batch; the message names what stops it.
    """
    path, part = Path(path), Path(f"{path}.part")
    own = copy.deepcopy(model).to("cpu", torch.float32).eval()
    with torch.inference_mode():
        found = tensors_of(run(own, _noise(batch, input_shape)))  # what does not run is told by its own error
    if not found:
        raise ModelError("the model returns no tensor that can be found: return tensors, a tuple, a dict or a dataclass")
    names = export_names(found, batch, choice_of(own))
    own = own if list(found) == [""] else Flat(own)
    try:
        with silence():
            program = _exported(own, torch.zeros(batch, *input_shape), names)
            program.save(str(part), external_data=False)
            _strip(part)
        _verify(own, part, input_shape, batch + 1)
        part.replace(path)
    except PrunekitError:
        raise
    except Exception as error:
        raise RuntimeFault(f"this model cannot be exported to ONNX: {traced_reason(error)}") from error
    finally:
        part.unlink(missing_ok=True)
    return path


def load_exporter() -> None:
    """Import what exporting loads at first use: for a process that forks others which export, each of which would load it for itself."""
    for package in ("onnxscript", "torch._dynamo"):
        import_module(package)


def _exported(model: nn.Module, example: Tensor, outputs: list[str]) -> Any:
    """Trace the model with an open batch."""
    open_batch = ({0: torch.export.Dim("batch", min=1)},)
    names = {"input_names": [INPUT], "output_names": outputs}
    return torch.onnx.export(model, (example,), dynamo=True, dynamic_shapes=open_batch, verbose=False, **names)  # type: ignore[arg-type]


def _strip(path: Path) -> None:
    """Take out what the exporter notes beside the graph: it is bulky, and names source files of the machine that exported."""
    import onnx  # noqa: PLC0415  # loaded only where it is used

    model = onnx.load(str(path))
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    del graph.value_info[:]  # shapes within the graph: whoever needs them infers them
    onnx.save(model, str(path))


def _noise(batch: int, input_shape: Sequence[int]) -> Tensor:
    """Return samples that are the same each time."""
    return torch.randn(batch, *input_shape, generator=torch.Generator().manual_seed(0))


def _verify(model: nn.Module, path: Path, input_shape: Sequence[int], batch: int) -> None:
    """Raise unless the file gives the model's outputs for another batch than the one that was traced.

    Tracing takes for a constant what is computed outside of torch, and a number of samples that the code spells out.
    """
    x = _noise(batch, input_shape)
    try:
        with torch.inference_mode():
            expected = list(tensors_of(run(model, x)).values())
        found = OnnxSession(path, 1).outputs(x)
    except PrunekitError as error:
        raise RuntimeFault(_ONE_BATCH) from error
    if [tensor.shape for tensor in found.values()] != [tensor.shape for tensor in expected]:
        raise RuntimeFault(_ONE_BATCH)
    off, name = max((apart(a, b), name) for a, (name, b) in zip(expected, found.items(), strict=True))
    if not off <= MOST_ERROR:
        raise RuntimeFault(
            f"the exported file gives other {name} than the model ({off:.1e} of the largest): "
            "the model computes outside of torch, or not the same each time"
        )
