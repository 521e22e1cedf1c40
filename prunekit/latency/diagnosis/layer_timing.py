"""In the child: whole passes, every layer of them, and the machine's figures, all in turns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from prunekit.errors import LatencyError, PrunekitError
from prunekit.latency.diagnosis.layer_capture import Captured, Pool, capture, layers_of
from prunekit.latency.diagnosis.layer_runtimes import prepare
from prunekit.latency.diagnosis.machine_limits import probes
from prunekit.latency.interleaved_timing import Run, take_turns
from prunekit.models.cost import count
from prunekit.models.load import load_model
from prunekit.runtimes.backends import RUNTIMES

PASS = ""  # the place of the whole pass among a model's layers


def time_layers(request: dict[str, Any], tell: Callable[[float, int], object]) -> dict[str, Any]:
    """Time the passes and layers of some models in turns.

    A layer is timed by calling it alone on what it was given in the pass. Hooks inside a whole pass would charge every layer with two calls
    into Python and two looks at the clock, which is more than a small layer takes; the layers' sum against the pass, which runs without
    hooks, then shows what lies between them. Alone, a layer finds its weights and input in the nearest cache that holds them: its time is
    what it takes at best, and fetching from memory counts as lying between.

    Parameters
    ----------
    request : dict
        ``folders`` (by name of the model, in order), ``layered`` (names of the models whose layers are timed), ``input_shape``, ``batch``,
        ``runtime``, ``budget_s``, ``min_rounds``, ``seed``.
    tell : callable
        Called with the share of the budget that is spent and the rounds so far.

    Returns
    -------
    dict
        Samples as of :class:`.interleaved_timing.Rounds`; ``what`` (for each series the model's name, or "" for the machine, and the
        layer's, "" for the pass); ``layers`` (model, then the layers); ``models`` (MACs, effective MACs, sparsity).
    """
    noise = torch.Generator().manual_seed(request["seed"])
    x = torch.randn(request["batch"], *request["input_shape"], generator=noise)
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


def _open(name: str, model: nn.Module, x: Tensor, runtime: str, pool: Pool) -> tuple[list[Captured], Run, dict[str, float]]:
    """Make a model ready, run it once, and return its layers, its pass and its costs; say in plain words what is wrong with it."""
    layers = layers_of(model)
    try:
        costs = _costs(model, tuple(x.shape[1:]))
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
    return found, lambda: model(given), costs
