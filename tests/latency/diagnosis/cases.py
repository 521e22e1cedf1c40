"""The constructed models, how each is pruned and run, and what measuring one says."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

import prunekit
from prunekit.config.spec import PruneSpec
from prunekit.latency.diagnosis.layer_times import Diagnosis, diagnose
from prunekit.pruning.result import PruneResult

CONSTRUCTED = Path(__file__).with_name("constructed.py")


@dataclass(frozen=True)
class Case:
    """How a model is pruned and run, and the share that leaves a multiple of eight channels, no fewer, where that is tried too."""

    spec: PruneSpec
    batch: int = 1
    runtime: str = "eager"
    rounded: float | None = None


CASES = {
    "masked": Case(PruneSpec(sparsity=0.9)),
    "sparse_kernel": Case(PruneSpec(sparsity=0.5, scope="uniform"), batch=64, runtime="csr"),
    "memory": Case(PruneSpec(mode="structured", sparsity=0.5, scope="uniform", layers=("body.0", "body.2", "body.4"))),
    "overhead": Case(PruneSpec(mode="structured", sparsity=0.5, scope="uniform"), rounded=0.5),
    # 249 of 384, and 256; with the channels of a pixel side by side, where vectors of eight channels count
    "odd_channels": Case(PruneSpec(mode="structured", sparsity=135 / 384, scope="uniform"), runtime="channels_last", rounded=128 / 384),
}


def pruned(name: str, spec: PruneSpec) -> tuple[torch.nn.Module, PruneResult]:
    """Return a constructed model and its pruned form, every layer that can be ticked where the setting names none."""
    model = prunekit.load_model(f"{CONSTRUCTED}:{name}")
    layers = [layer for layer, _ in model.named_modules() if layer.startswith("body.")]
    chosen = spec.layers or (layers[:-1] if spec.mode == "structured" else layers)
    return model, prunekit.prune(model, replace(spec, layers=chosen), input_shape=model.input_shape)


def measure(name: str, budget_s: float, threads: int = 1) -> Diagnosis:
    """Return the answer for one model."""
    case = CASES[name]
    model, result = pruned(name, case.spec)
    rounded = None if case.rounded is None else pruned(name, replace(case.spec, sparsity=case.rounded, round_to=8))[1].model
    timing = {"batch": case.batch, "runtime": case.runtime, "threads": threads, "budget_s": budget_s}
    return diagnose(model, result.model, rounded=rounded, input_shape=model.input_shape, **timing)
