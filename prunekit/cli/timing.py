"""``prunekit latency``."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from torch import nn

from prunekit.anatomy import count
from prunekit.catalog import info, load_data
from prunekit.cli.arguments import model_of, progress_to, shape_of, spec_of, to_json
from prunekit.cli.tables import percent, table
from prunekit.measure import Candidate
from prunekit.measure.latency import latency as measure_latency
from prunekit.pruning import prune as prune_model
from prunekit.spec import NEEDS_DATA, PruneSpec

NAMES = {"unstructured": "masked", "nm": "masked N:M", "structured": "smaller"}


def latency(args: argparse.Namespace) -> str:
    """Time the dense, the masked and the smaller model in turns."""
    model_id, model = model_of(args)
    specs = _specs(args, model)
    shape = shape_of(model, None, args.size)
    candidates = [Candidate("dense", model, count(model, shape).macs), *(_pruned(model, spec, shape) for spec in specs)]
    setting = {"batch": args.batch, "threads": args.threads, "budget_s": args.budget, "seed": args.seed}
    report = measure_latency(candidates, input_shape=shape, **setting, progress=progress_to(sys.stderr))
    head = {"model": model_id.to_dict(), "specs": [spec.to_dict() for spec in specs], "budget_s": args.budget}
    found = {**head, **report.to_dict()}
    return to_json(found) if args.json else _page(found)


def _specs(args: argparse.Namespace, model: nn.Module) -> list[PruneSpec]:
    """Return the setting of each candidate."""
    if args.mode != "both":
        free = {"sparsity": None} if args.mode == "nm" else {}
        return [spec_of(args, model, mode=args.mode, **free)]
    whole_channels = {"pattern": None, "target": None, "round_to": 1}
    return [spec_of(args, model, mode="unstructured", **whole_channels), spec_of(args, model, mode="structured", pattern=None)]


def _pruned(model: nn.Module, spec: PruneSpec, shape: tuple[int, ...]) -> Candidate:
    """Prune one candidate; theory counts the MACs of non-zero weights alone."""
    data = load_data(str(info(model).data), model=model) if spec.criterion in NEEDS_DATA and info(model).data else None
    result = prune_model(model, spec, data, input_shape=shape)
    name = f"{NAMES[spec.mode]} at {percent(spec.sparsity, 0)}"
    return Candidate(name, result.model, result.after.effective_macs)


def _page(found: dict[str, Any]) -> str:
    """Return everything as text."""
    rows = []
    for index, c in enumerate(found["candidates"]):
        ratio = c["ratio"]
        verdict = "baseline" if index == 0 else _verdict(ratio["value"], c["different"])
        interval = f"{ratio['value']:.3f} ({ratio['low']:.3f}–{ratio['high']:.3f})"
        theory = None if c["macs_ratio"] is None else f"{c['macs_ratio']:.3f}"
        rows.append((c["name"], f"{c['median_ms']:.3f}", f"{c['q1_ms']:.3f}–{c['q3_ms']:.3f}", interval, theory, verdict))
    head = f"{found['model']['name']}   batch {found['batch']}, {found['threads']} thread(s), {found['runtime']}"
    foot = f"{found['rounds']} rounds in turns; stopped: {found['stopped']}. A ratio below 1 is faster; MACs are theory."
    return f"{head}\n\n{table(['model', 'median ms', 'quartiles', 'time ratio (95 %)', 'MACs ratio', ''], rows)}\n{foot}"


def _verdict(ratio: float, different: bool) -> str:
    """Say what the ratio means."""
    if not different:
        return "no difference"
    return f"{1 / ratio:.2f} times as fast" if ratio < 1 else f"{ratio:.2f} times as slow"
