"""In a process of its own: layers and kernels are timed in turns, and the machine's figures with them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prunekit.errors import LatencyError, PrunekitError
from prunekit.formatting import plural
from prunekit.latency.diagnosis.evidence import Machine
from prunekit.latency.diagnosis.layer_capture import Captured, Pool, capture, layers_of, prepare
from prunekit.latency.interleaved_timing import Run, take_turns
from prunekit.latency.worker_main import Say
from prunekit.models.cost import count
from prunekit.models.load import load_model
from prunekit.runtimes.backends import RUNTIMES
from prunekit.runtimes.onnx_sessions import load_onnxruntime
from prunekit.runtimes.torch_sessions import SparseLinear
from prunekit.tasks.batch import Batch
from prunekit.tasks.input_form import InputForm, heads_of, samples_like
from prunekit.tasks.stored_batch import read

SMALLEST = 2**16  # bytes: below, a copy measures its own call
MOST = 5  # sizes of copies, and of new memory
SIDE = 512  # of the matrix product

_EMPTY: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "Embedding": (lambda: nn.Embedding(1, 1), 0),
    "EmbeddingBag": (lambda: nn.EmbeddingBag(1, 1), 0),
    "Linear": (lambda: nn.Linear(1, 1), 0),
    "Conv1d": (lambda: nn.Conv1d(1, 1, 1), 1),
    "Conv2d": (lambda: nn.Conv2d(1, 1, 1), 2),
    "Conv3d": (lambda: nn.Conv3d(1, 1, 1), 3),
}


def probes(layers: Sequence[Captured], batch: int, dtype: torch.dtype) -> dict[str, Callable[[], object]]:
    """Return what is to be timed, by name.

    Timed in turns with the layers, so that a neighbour who slows these down slows the yardstick as well, and at the layers' own sizes, for
    memory is no single number: caches make small traffic fast, and the system makes large new memory slow.
    """
    found = {f"copy {size}": _copy(size) for size in sizes(layer.bytes - layer.fresh for layer in layers)}
    found |= {f"fresh {size}": _fresh(size) for size in sizes(layer.fresh for layer in layers)}
    a, b, out = (torch.ones(SIDE, SIDE, dtype=dtype) for _ in range(3))
    found["product"] = lambda: torch.mm(a, b, out=out)
    for kind in sorted({layer.type for layer in layers} & set(_EMPTY)) or ["Linear"]:
        found[f"call {kind}"] = _call(kind, batch, dtype)
    return found


def sizes(wanted: Iterable[float]) -> list[int]:
    """Return a few sizes in bytes that stand for all: the smallest, the largest, and some between."""
    known = sorted({max(SMALLEST, int(size) // 8 * 8) for size in wanted})
    return [known[i] for i in sorted(set(np.linspace(0, len(known) - 1, MOST).round().astype(int).tolist()))]


def _copy(size: int) -> Callable[[], object]:
    """Return a copy that reads and writes so many bytes in all."""
    source, target = (torch.ones(size // 8) for _ in range(2))
    return lambda: target.copy_(source)


def _fresh(size: int) -> Callable[[], object]:
    """Return what asks for so many bytes of new memory and fills them."""
    return lambda: torch.empty(size // 4).fill_(1.0)


def _call(kind: str, batch: int, dtype: torch.dtype) -> Callable[[], object]:
    """Return the call of a layer with one weight and one element for each sample."""
    build, dimensions = _EMPTY[kind]
    module, x = build().to(dtype).eval(), torch.ones(batch, 1, *[1] * dimensions, dtype=dtype)
    ids = torch.zeros(batch, 1, dtype=torch.int64)
    return lambda: module(ids if isinstance(module, (nn.Embedding, nn.EmbeddingBag)) else x)


def machine_of(seconds: Mapping[str, Sequence[float]]) -> Machine:
    """Return the machine's figures from the samples of its probes."""
    medians = {tuple(name.split()): float(np.median(samples)) for name, samples in seconds.items()}
    copies, fresh = (
        tuple(sorted((float(rest[0]), float(rest[0]) / t) for (what, *rest), t in medians.items() if what == kind))
        for kind in ("copy", "fresh")
    )
    calls = tuple((rest[0], t) for (what, *rest), t in medians.items() if what == "call")
    return Machine(copies, fresh, SIDE**3 / medians[("product",)], calls)


def time_grid(request: dict[str, Any], tell: Callable[[float, int], object]) -> dict[str, Any]:
    """Time ``addmm(bias, W_csr, x^T)^T`` at several densities against the dense layer at each size and batch.

    At each size and batch the dense layer and all densities take turns; the budget is shared out evenly.

    ``groups``: for each size and batch ``size``, ``batch`` and ``seconds`` (a series for the dense layer, then one for each density).
    """
    corners = [(tuple(size), batch) for size in request["sizes"] for batch in request["batches"]]
    noise = torch.Generator().manual_seed(request["seed"])
    groups: list[dict[str, Any]] = []
    done = 0
    for place, (size, batch) in enumerate(corners):
        runs = _runs(size, batch, request["densities"], noise, request["threads"] if request.get("against") == "onnxruntime" else 0)

        def here(share: float, rounds: int, place: int = place, done: int = done) -> None:
            tell((place + share) / len(corners), done + rounds)

        budget = request["budget_s"] / len(corners)
        with torch.inference_mode():
            rounds = take_turns(runs, budget_s=budget, min_rounds=request["min_rounds"], seed=request["seed"], progress=here)
        done += len(rounds.orders)
        groups.append({"size": list(size), "batch": batch, "seconds": rounds.seconds})
    return {"groups": groups, "capability": torch.backends.cpu.get_cpu_capability(), "torch": str(torch.__version__)}


def _runs(size: tuple[int, ...], batch: int, densities: list[float], noise: torch.Generator, onnx: int) -> list[Run]:
    """Return the dense layer's call, in torch or with so many threads in ONNX Runtime, then that of a sparse one for each density."""
    dense = nn.Linear(size[1], size[0]).requires_grad_(False)
    dense.weight.copy_(torch.randn(*size, generator=noise))
    x = torch.randn(batch, size[1], generator=noise)
    order = torch.randperm(dense.weight.numel(), generator=noise)
    first = _in_onnx_runtime(dense, x, onnx) if onnx else lambda: dense(x)
    return [first, *(_sparse(dense, x, order, density) for density in densities)]


def _in_onnx_runtime(dense: nn.Linear, x: Tensor, threads: int) -> Run:
    """Return the call of a dense layer in ONNX Runtime."""
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415 (loaded only where it is used)

    taken, given = (helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y"))
    kept = [numpy_helper.from_array(dense.weight.numpy(), "w"), numpy_helper.from_array(dense.bias.numpy(), "b")]
    graph = helper.make_graph([helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1)], "dense", [taken], [given], kept)
    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    fed = {"x": x.numpy()}
    return lambda: session.run(None, fed)


def _sparse(dense: nn.Linear, x: Tensor, order: Tensor, density: float) -> Run:
    """Return the call of a sparse layer that keeps so many of the weights, at random places."""
    kept = torch.zeros(dense.weight.numel())
    kept[order[: max(1, round(density * len(order)))]] = 1
    thinned = nn.Linear(dense.in_features, dense.out_features).requires_grad_(False)
    thinned.weight.copy_(dense.weight * kept.view_as(dense.weight))
    layer = SparseLinear(thinned)
    return lambda: layer(x)


PASS = ""  # the place of the whole pass among a model's layers


def time_layers(request: dict[str, Any], tell: Callable[[float, int], object]) -> dict[str, Any]:
    """Time the passes and layers of some models in turns.

    A layer is timed by calling it alone on what it was given in the pass. Hooks inside a whole pass would charge every layer with two calls
    into Python and two looks at the clock, which is more than a small layer takes; the layers' sum against the pass, which runs without
    hooks, then shows what lies between them. Alone, a layer finds its weights and input in the nearest cache that holds them: its time is
    what it takes at best, and fetching from memory counts as lying between.

    Samples as of :class:`.interleaved_timing.Rounds`; ``what`` (for each series the model's name, or "" for the machine, and the layer's,
    "" for the pass); ``layers`` (model, then the layers); ``models`` (MACs, effective MACs, sparsity).
    """
    noise = torch.Generator().manual_seed(request["seed"])
    shape = InputForm.of(read(Path(request["form"]))) if "form" in request else tuple(request["input_shape"])
    x = samples_like(shape, request["batch"], noise)
    pool: Pool = {}
    runs: dict[tuple[str, str], Run] = {}
    layers: dict[str, list[Captured]] = {}
    costs: dict[str, dict[str, float]] = {}
    for name, folder in request["folders"].items():
        model = load_model(folder).eval()
        found, runs[name, PASS], costs[name] = _open(name, model, x, request["runtime"], pool)
        layers[name] = found if name in request["layered"] else []
        runs |= {(name, layer.name): layer.run() for layer in layers[name]}
    dtype = getattr(torch, RUNTIMES[request["runtime"]].precision)
    every = [layer for some in layers.values() for layer in some]
    if every:
        runs |= {("", probe): run for probe, run in probes(every, request["batch"], dtype).items()}
    timing = {key: request[key] for key in ("budget_s", "min_rounds", "seed")}
    with torch.inference_mode():
        rounds = take_turns(list(runs.values()), **timing, progress=tell)
    plain = {name: [layer.to_dict() for layer in some] for name, some in layers.items()}
    return vars(rounds) | {"what": [list(key) for key in runs], "layers": plain, "models": costs}


def _costs(model: nn.Module, shape: tuple[int, ...]) -> dict[str, float]:
    """Return what a model's passes should cost."""
    counts = count(model, shape)
    return {"macs": counts.macs, "effective_macs": counts.effective_macs, "sparsity": counts.sparsity}


def _open(name: str, model: nn.Module, x: Batch, runtime: str, pool: Pool) -> tuple[list[Captured], Run, dict[str, float]]:
    """Make a model ready, run it once, and return its layers, its pass and its costs; say in plain words what is wrong with it."""
    layers, form = layers_of(model), InputForm.of(x)
    try:
        costs = _costs(model, tuple(form) if form.plain else form)
        given, swapped = prepare(model, x, runtime)
        with torch.inference_mode():
            found = capture(model, layers, given, swapped, pool)
    except PrunekitError as error:
        raise LatencyError(f"{name}: {error}") from error
    except (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise LatencyError(
            f"{name} does not run on this input in {runtime}: {lines[0]}. Give the input shape that it was made for"
        ) from error
    heads, args, kwargs = heads_of(model), given.args, given.kwargs
    return found, (lambda: model(*args, **kwargs)) if heads is None else lambda: heads(model, given), costs


Tell = Callable[[float, int], object]
WORK: dict[str, Callable[[dict[str, Any], Tell], dict[str, Any]]] = {"layers": time_layers, "grid": time_grid}


def work(path: Path, say: Say) -> dict[str, Any]:
    """Carry out a request: ``what`` (a key of `WORK`), ``threads``, and what that work needs."""
    request = json.loads(path.read_text())
    torch.set_num_threads(request["threads"])
    torch.set_num_interop_threads(1)
    warnings.simplefilter("ignore")
    return WORK[request["what"]](request, lambda share, rounds: say(share, plural(rounds, "round")))
