"""Writing a model as ONNX, with the batch left open."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from prunekit.errors import ModelError, PrunekitError, RuntimeFault
from prunekit.formatting import error as small
from prunekit.models.meta_copy import copied
from prunekit.models.outputs import input_names
from prunekit.models.running import file_outputs, own_task, run, task_tensors
from prunekit.models.shared_rows import SharedRowEmbeddingBag, remapped
from prunekit.runtimes.checking import MOST_ERROR, apart
from prunekit.runtimes.onnx_sessions import OnnxSession
from prunekit.runtimes.runtime import silence, traced_reason
from prunekit.tasks.batch import Batch
from prunekit.tasks.from_file import OwnTask
from prunekit.tasks.input_form import heads_of, samples_like

_ONE_BATCH = (
    "the exported file works for one batch only: the model's code fixes the number of samples "
    "(by a number instead of x.size(0), or by computing outside of torch). Correct that, or measure in a runtime of torch, such as eager"
)


class Flat(nn.Module):
    """A model that takes its tensors one by one and gives them as one tuple, whatever nest it knows: exporters know few containers."""

    def __init__(self, model: nn.Module, inputs: Batch) -> None:
        super().__init__()
        self.model, self.inputs = model, inputs
        self.task, self.heads = own_task(model), heads_of(model)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Return all tensors in order."""
        following = iter(tensors)
        given = self.inputs.map(lambda _: next(following))
        if self.heads is not None:
            out = self.heads(self.model, given)
        else:
            out = self.model(*given.args, **given.kwargs) if self.task is None else self.task.forward(self.model, given)
        return tuple(task_tensors(out, self.task).values())


class GatheredBag(nn.Module):
    """A bag of embeddings whose rows are looked up at once and added up: exporters write torch's own as a loop over samples."""

    def __init__(self, bag: nn.EmbeddingBag) -> None:
        super().__init__()
        self.bag = bag

    def forward(self, input: Tensor, offsets: Tensor | None = None, per_sample_weights: Tensor | None = None) -> Tensor:
        """Return the sum or the mean of the rows of each bag."""
        bag = self.bag
        if input.ndim != 2 or bag.mode == "max" or bag.max_norm is not None:
            return bag(input, offsets, per_sample_weights)  # type: ignore[no-any-return]
        there = (
            torch.ones_like(input, dtype=bag.weight.dtype) if bag.padding_idx is None else (input != bag.padding_idx).to(bag.weight.dtype)
        )
        share = there if per_sample_weights is None else there * per_sample_weights
        rows = remapped(bag.remap, input) if isinstance(bag, SharedRowEmbeddingBag) else input
        total = (functional.embedding(rows, bag.weight) * share.unsqueeze(-1)).sum(1)
        return total if bag.mode == "sum" else total / there.sum(1, keepdim=True).clamp_min(1)


def _gathered(model: nn.Module) -> nn.Module:
    """Return a model whose bags of embeddings are such as exporters write well: itself where it has none."""
    if not any(isinstance(module, nn.EmbeddingBag) for module in model.modules()):
        return model
    own = copied(model)
    for name, module in list(own.named_modules()):
        if type(module) in (nn.EmbeddingBag, SharedRowEmbeddingBag) and name:
            own.set_submodule(name, GatheredBag(module))
    return own


def export_onnx(model: nn.Module, input_shape: Sequence[int], path: str | Path, *, batch: int = 2) -> Path:
    """Write a model as an ONNX file that takes any batch.

    Not for two threads at once: torch's exporter is not made for that. Nothing is printed or logged.

    Parameters
    ----------
    model : nn.Module
        In float32; it is copied, not changed. Of an output that is no tensor alone all tensors are written.
    input_shape : sequence of int
        Shape of one sample, (C, H, W), or an `InputForm`.
    path : str or Path
        The file to write.
    batch : int
        Samples in the example that is traced; at least 2, since torch takes a batch of 1 for a constant.

    Returns
    -------
    Path
        The file: input ``images`` [batch, C, H, W], float32, or ``input`` of any other shape; of several, each by its keyword or place
        (``input.0``) and in its own type. Output ``scores`` [batch, classes] where a classifier gives class scores, and others as the
        model's task names them: by their path in what it returns (``hidden``, ``output_1``; ``output`` for a tensor alone).

    Raises
    ------
    ModelError
        If the model does not run on such samples, or returns no tensor.
    RuntimeFault
        If the model cannot be exported, or the file does not give its outputs for another batch; the message names what stops it.
    """
    path, part = Path(path), Path(f"{path}.part")
    own, inputs = copied(model).to("cpu", torch.float32).eval(), _noise(batch, input_shape)
    task = own_task(own)
    out = _answer(own, inputs, task)  # what does not run is told by its own error
    found = file_outputs(own, out, inputs)
    if not found:
        raise ModelError("the model returns no tensor that can be found: return tensors, a tuple, a dict or a dataclass")
    plain = isinstance(out, Tensor) and task is None and _alone(inputs) and heads_of(own) is None
    try:
        with silence():
            traced = _gathered(own)
            program = _exported(traced if plain else Flat(traced, inputs), zeros_like(inputs), list(found))
            program.save(str(part), external_data=False)
            _strip(part)
        _verify(own, part, _noise(batch + 1, input_shape))
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


def zeros_like(inputs: Batch) -> Batch:
    """Return inputs whose floats are zero: nothing is traced but the shapes of these, and whole numbers may be the places of something."""
    return inputs.map(lambda tensor: torch.zeros_like(tensor) if tensor.is_floating_point() else tensor)


def open_batch(inputs: Batch) -> tuple[dict[int, Any], ...]:
    """Return for each tensor of a batch which of its axes is left open: the first, where it has an entry for each sample."""
    samples = torch.export.Dim("batch", min=1)
    return tuple({0: samples} if tensor.ndim and len(tensor) == inputs.samples else {} for tensor in _tensors(inputs))


def _alone(inputs: Batch) -> bool:
    """Whether one tensor is the whole input."""
    return len(inputs.args) == 1 and not inputs.kwargs and isinstance(inputs.args[0], Tensor)


def _tensors(inputs: Batch) -> list[Tensor]:
    """Return a batch's tensors in order."""
    return [tensor for _, tensor in inputs.named_tensors()]


def _exported(model: nn.Module, example: Batch, outputs: list[str]) -> Any:
    """Trace the model with an open batch."""
    axes = open_batch(example)
    names = {"input_names": input_names(example), "output_names": outputs}
    shapes = (axes,) if isinstance(model, Flat) else axes
    return torch.onnx.export(model, tuple(_tensors(example)), dynamo=True, dynamic_shapes=shapes, verbose=False, **names)  # type: ignore[arg-type]


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


def _noise(batch: int, input_shape: Sequence[int]) -> Batch:
    """Return samples that are the same each time."""
    return samples_like(input_shape, batch, torch.Generator().manual_seed(0)).to("cpu", torch.float32)


def _answer(model: nn.Module, inputs: Batch, task: OwnTask | None) -> Any:
    """Return what the model makes of a batch."""
    with torch.inference_mode():
        return run(model, inputs) if task is None or heads_of(model) is not None else task.forward(model, inputs)


def _verify(model: nn.Module, path: Path, inputs: Batch) -> None:
    """Raise unless the file gives the model's outputs for another batch than the one that was traced.

    Tracing takes for a constant what is computed outside of torch, and a number of samples that the code spells out.
    """
    try:
        task = own_task(model)
        expected = list(task_tensors(_answer(model, inputs, task), task).values())
        found = OnnxSession(path, 1).outputs(inputs)
    except PrunekitError as error:
        raise RuntimeFault(_ONE_BATCH) from error
    if [tensor.shape for tensor in found.values()] != [tensor.shape for tensor in expected]:
        raise RuntimeFault(_ONE_BATCH)
    off, name = max((apart(a, b), name) for a, (name, b) in zip(expected, found.items(), strict=True))
    if not off <= MOST_ERROR:
        raise RuntimeFault(
            f"the exported file gives other {name} than the model ({small(off)} of the largest): "
            "the model computes outside of torch, or not the same each time"
        )
