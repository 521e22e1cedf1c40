"""Sessions that torch runs, as they are or compiled; a language model reads one token after those whose keys and values are kept."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from prunekit.errors import ModelError, RuntimeFault
from prunekit.formatting import error as small
from prunekit.models.load import load_model
from prunekit.models.outputs import choice_of, scores_in, tensors_of
from prunekit.models.probe import rounding
from prunekit.models.running import file_outputs, own_task
from prunekit.models.wrappers import unwrapped
from prunekit.runtimes.runtime import Files, Session, causes, first_line, silence, words_of
from prunekit.tasks.batch import Batch
from prunekit.tasks.input_form import heads_of
from prunekit.tasks.nested import map_tensors
from prunekit.tasks.resolver import resolve
from prunekit.tasks.text_inputs import ids_in

if TYPE_CHECKING:
    from prunekit.runtimes.runtime import Inputs

WITH_CACHE = "with_cache"
"""A model's own method that reads on: ``(ids, keys and values of each layer) -> (scores, all keys and values)``."""
LOST = "it keeps no keys and values of the tokens before: its class takes no cache, and it has no method with_cache"


class OneToken(nn.Module):
    """A language model that reads one token after others: ids [N, 1] and their keys and values to scores, and keys and values of all."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = unwrapped(model)
        if not callable(getattr(self.model, WITH_CACHE, None)) and not hasattr(self.model, "prepare_inputs_for_generation"):
            raise ModelError(LOST)

    def forward(self, ids: Tensor, *cache: Tensor) -> tuple[Tensor, ...]:
        """Return scores [N, 1, vocabulary], then keys and values of each layer."""
        model: Any = self.model
        if callable(getattr(model, WITH_CACHE, None)):
            scores, past = model.with_cache(ids, cache)
            return (scores, *past)
        from transformers import DynamicCache  # noqa: PLC0415 (an extra)

        kept: Any = DynamicCache(config=model.config)
        for index, (key, value) in enumerate(zip(cache[::2], cache[1::2], strict=True)):
            _fill(kept, index, key, value)
        out = model(input_ids=ids, cache=kept, use_cache=True)
        return (out.logits, *(each for layer in kept.layers for each in (layer.keys, layer.values)))


def _fill(cache: Any, index: int, key: Tensor, value: Tensor) -> None:
    """Give a layer of a cache of transformers its keys and values; those of a plain one without copying them, as they lie there anyway."""
    layer: Any = cache.layers[index] if index < len(cache.layers) else None
    if type(layer).__name__ == "DynamicLayer":
        layer.lazy_initialization(key, value)
        layer.keys, layer.values = key, value
    else:
        cache.update(key, value, index)


def after_prompt(model: nn.Module, batch: Batch) -> Batch:
    """Return what `OneToken` takes for the last token of each text: its id, and keys and values of the tokens before it."""
    ids = ids_in(batch)
    if ids is None or ids.ndim != 2:
        raise ModelError("these inputs are no token ids [N, tokens]: one token at a time is for language models")
    if ids.shape[1] < 2:
        raise ModelError("one token at a time needs at least 2 tokens: one that is read, and one before it")
    step = OneToken(model)
    with torch.inference_mode():
        try:
            _, *kept = step(ids[:, :-1])
            alone, *_ = step(ids[:, -1:], *kept)
        except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
            raise ModelError(f"it does not read one token after others ({' '.join(str(error).split())[:200]})") from error
        whole = next(each for each in tensors_of(model(*batch.args, **batch.kwargs)).values() if each.ndim == 3)
    off = float((alone[:, -1] - whole[:, -1]).abs().max() / whole[:, -1].abs().max().clamp(min=1e-6))
    if not kept or not off <= rounding(model):
        raise ModelError(f"with keys and values kept it gives other scores than without ({small(off)} of the largest)")
    return Batch.of((ids[:, -1:].clone(), *(each.clone() for each in kept)))


LEAST_ZEROS = 0.5
"""Share of zeros from which a linear layer runs sparse: with fewer, indices weigh more than the zeros that are left out."""


class SparseLinear(nn.Module):
    """A linear layer with weights in CSR: ``(W x^T + b)^T``, the product in the order that torch's sparse kernel is made for."""

    def __init__(self, dense: nn.Linear) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "sparse CSR is in beta": said once for each process, to nobody's use
            self.weight = dense.weight.detach().to_sparse_csr()
        bias = torch.zeros(dense.out_features) if dense.bias is None else dense.bias.detach()
        self.bias = bias.to(self.weight.dtype)[:, None]

    def forward(self, x: Tensor) -> Tensor:
        """Return [..., out] for [..., in]."""
        flat = x.reshape(-1, x.shape[-1])
        return torch.addmm(self.bias, self.weight, flat.t()).t().reshape(*x.shape[:-1], len(self.bias))


def swap(model: nn.Module) -> dict[str, nn.Module]:
    """Replace linear layers that have enough zeros, in place; return what stands there now, by name."""
    linear = [(name, module) for name, module in model.named_modules() if type(module) is nn.Linear and name]
    swapped: dict[str, nn.Module] = {name: SparseLinear(module) for name, module in linear if _zeros(module) >= LEAST_ZEROS}
    for name, module in swapped.items():
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, module)
    return swapped


def _zeros(module: nn.Linear) -> float:
    """Return the share of zeros among a layer's weights."""
    return 1 - int(torch.count_nonzero(module.weight)) / max(module.weight.numel(), 1)


class TorchSession(Session):
    """A torch module that is run as it is."""

    def __init__(
        self,
        model: nn.Module,
        device: str,
        dtype: torch.dtype = torch.float32,
        memory_format: torch.memory_format = torch.preserve_format,
    ) -> None:
        self.model = model.to(device, dtype).to(memory_format=memory_format)
        self.device, self.dtype, self.memory_format = device, dtype, memory_format
        self.task, self.heads = own_task(model), heads_of(model)
        self.notes: tuple[str, ...] = ()
        self.compile_s: float | None = None

    def outputs(self, x: Inputs) -> dict[str, Tensor]:
        """Return all tensors that the model gives, by the names that they have in a file."""
        return {name: _plain(tensor) for name, tensor in file_outputs(self.model, self._run(x), Batch.of(x)).items()}

    def answer(self, x: Inputs, like: object = None) -> object:
        """Return what the model gives."""
        if self.heads is None:
            return map_tensors(_plain, self._run(x))
        with torch.inference_mode():  # what is judged is what it decides
            return map_tensors(_plain, resolve(self.model).forward(self.model, Batch.of(x).map(self.convert)))

    def scores(self, x: Inputs, classes: int = 0) -> Tensor:
        """Return class scores on the CPU, float32 [N, classes]."""
        return _plain(scores_in(self._run(x), len(x), choice_of(self.model, classes)))

    def _run(self, x: Inputs) -> object:
        """Make one pass, and say in plain words what is wrong with it."""
        try:
            return self.bind(x)()
        except ModelError:
            raise
        except Exception as error:
            raise RuntimeFault(f"the model does not run on {words_of(x)}: {first_line(error)}") from error

    def bind(self, x: Inputs) -> Callable[[], object]:
        """Return a function that makes one forward pass of ``x``."""
        model, given, task, heads = self.model, Batch.of(x).map(self.convert), self.task, self.heads
        args, kwargs = given.args, given.kwargs

        def forward() -> object:
            with torch.inference_mode():
                if heads is not None:
                    return heads(model, given)
                return model(*args, **kwargs) if task is None else task.forward(model, given)

        return forward

    def convert(self, x: Tensor) -> Tensor:
        """Return an input as the model takes it; whole numbers keep their type."""
        known = self.memory_format if x.ndim == 4 else torch.preserve_format
        return x.to(device=self.device, dtype=self.dtype if x.is_floating_point() else None, memory_format=known)


def _plain(tensor: Tensor) -> Tensor:
    """Return a tensor on the CPU, float32 where it is floating."""
    return tensor.detach().to("cpu", torch.float32 if tensor.is_floating_point() else tensor.dtype)


def opened_model(files: Files, threads: int, device: str) -> nn.Module:
    """Read the model and set torch's threads for this process."""
    if device == "cuda" and not torch.cuda.is_available():
        raise RuntimeFault("there is no CUDA device on this machine: choose the CPU")
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    # of its own: the catalog shares what it loads by name, and a session moves and converts its weights
    model = load_model(str(files.folder)).eval()
    return OneToken(model).eval() if files.after else model


class CompiledSession(TorchSession):
    """A torch module compiled by inductor, once for each shape of the input."""

    def __init__(self, model: nn.Module, device: str) -> None:
        super().__init__(model, device)
        # shapes are fixed: kernels for any batch are slower, and each candidate is timed at one
        self.model.compile(dynamic=False)
        self.shapes: set[tuple[torch.Size, ...]] = set()

    def bind(self, x: Inputs) -> Callable[[], object]:
        """Return a function that makes one forward pass of ``x``; shapes not seen before are compiled here."""
        forward, shapes = super().bind(x), tuple(tensor.shape for _, tensor in Batch.of(x).named_tensors())
        if shapes not in self.shapes:
            self._compile(forward, shapes)
        return forward

    def _compile(self, forward: Callable[[], object], shapes: tuple[torch.Size, ...]) -> None:
        """Compile for these shapes and note how long it took."""
        start = perf_counter()
        try:
            # frozen: weights are constants, so that normalisation is folded and fewer kernels are left to compile;
            # one compiler in this very process: a pool of workers would outlive the measurement and disturb it;
            # and never a silent return to eager after many shapes
            with silence(), torch._inductor.config.patch(compile_threads=1, freezing=True), torch._dynamo.config.patch(recompile_limit=64):
                forward()
        except Exception as error:
            raise RuntimeFault(f"torch.compile cannot compile this model: {reason(error)}") from error
        self.shapes.add(shapes)
        self.compile_s = (self.compile_s or 0.0) + perf_counter() - start
        self.notes = (f"compiled in {self.compile_s:.1f} s",)


def reason(error: BaseException) -> str:
    """Return why a model did not compile, in one line."""
    if any(type(cause).__name__ == "CppCompileError" for cause in causes(error)):
        return "the C++ compiler failed on the generated code; try another version of it"
    return first_line(causes(error)[-1])
