"""Bytes of embedding tables against AUC on both samples that recommend, and what sparse linear layers gain; a part of docs/results.md.

    python tests/benchmarks/recommenders.py movielens_twotower clicks_dlrm --json recommenders.json --write

Rows, widths, zeros and combinations, each judged on the test part as it is and after recovery, compared in pairs with the dense model.
What has been measured is read from the JSON and not measured again.
"""

from __future__ import annotations

import argparse
import json
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

import prunekit
from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.evaluation.sizes import sizes
from prunekit.latency.measure import measure_latency
from prunekit.latency.report import Candidate
from prunekit.models.cost import count
from prunekit.models.layers import prunable_layers, table_modules
from prunekit.pruning.api import sample_shape
from prunekit.pruning.structured.grouping import coupled, trace
from prunekit.training.fine_tuning import fine_tune
from tests.benchmarks.results_page import write_part

MARK = "<!-- recommenders: written by tests/benchmarks/recommenders.py -->"
RECOVERY = Recovery(epochs=6, batch_size=1024, optimizer="adam", lr=3e-3, weight_decay=0.0, distill=0.9)
FEWER, BATCHES = 10, (1, 64, 256)
RUNTIMES = ("eager", "onnxruntime", "int8", "csr")


def rows(share: float) -> PruneSpec:
    """Return a setting that takes so many rows of all tables together, the least looked up of their table first."""
    return PruneSpec(mode="structured", sparsity=0.0, rows=share)


def settings(model: nn.Module) -> dict[str, list[PruneSpec]]:
    """Return what is done to a model, one step after the other."""
    large = {name for name in table_modules(model) if getattr(model.get_submodule(name), "num_embeddings", 0) > 100}
    tables = tuple(name for name in prunable_layers(model) if name in large)
    groups = [group.layers for group in coupled(trace(model, sample_shape(model)))]
    along = tuple(name for layers in groups if large & set(layers) for name in layers)  # what has their width shrinks with them

    def width(share: float) -> PruneSpec:
        return PruneSpec(mode="structured", scope="uniform", sparsity=share, layers=along)

    def zeros(share: float) -> PruneSpec:
        return PruneSpec(scope="uniform", sparsity=share, layers=tables)

    return {
        "half of the rows": [rows(0.5)],
        "70 % of the rows": [rows(0.7)],
        "90 % of the rows": [rows(0.9)],
        "half of the widths": [width(0.5)],
        "3/4 of the widths": [width(0.75)],
        "90 % of the widths": [width(0.9)],
        "90 % of the weights zero": [zeros(0.9)],
        "half of the rows, then 3/4 of the widths": [rows(0.5), width(0.75)],
        "half of the rows, then 7/8 of the widths": [rows(0.5), width(7 / 8)],
        "half of the rows and of the widths, then 2/3 zero": [rows(0.5), width(0.5), zeros(2 / 3)],
    }


def looked_up(model: nn.Module) -> int:
    """Return the bytes of the tables in the smallest form they can be kept in."""
    told = sizes(model, gzip=False).tables
    assert told is not None
    return min(told["surgery"], told["sparse"])


def measured(name: str, found: dict[str, Any], keep: Any) -> None:
    """Measure what is not known yet of a sample."""
    model = prunekit.load_model(name)
    data = prunekit.load_data(str(prunekit.info(model).data), model=model)
    dense = prunekit.evaluate(model, data.test)
    found["dense"] = {"tables": looked_up(model), "file": sizes(model, gzip=False).dense, "auc": [dense.value, dense.low, dense.high]}

    def judged(pruned: nn.Module) -> dict[str, Any]:
        seen = prunekit.evaluate(pruned, data.test)
        apart = seen.metric.compare(dense.observations, seen.observations)
        return {"auc": seen.value, "difference": [apart.value, apart.low, apart.high], "significant": apart.significant}

    for what, steps in settings(model).items():
        if what in found:
            continue
        small, masks = model, None
        for spec in steps:
            result = prunekit.prune(small, spec, data)
            small, masks = result.model, result.masks
        told = sizes(small, gzip=False)
        row = {"tables": looked_up(small), "file": min(told.sparse, told.surgery), "before": judged(small)}
        found[what] = row | {"after": judged(fine_tune(small, data, RECOVERY, masks=masks, teacher=model).model)}
        keep(what)
    if "latency" not in found:
        shape, linear = sample_shape(model, data), tuple(n for n, m in model.named_modules() if isinstance(m, nn.Linear))
        zeros = prunekit.prune(model, PruneSpec(scope="uniform", sparsity=0.95, layers=linear), data).model
        ready = [Candidate(each, which, count(which, shape).effective_macs) for each, which in (("dense", model), ("95 % zeros", zeros))]
        report = measure_latency(ready, input_shape=shape, runtimes=RUNTIMES, batch=BATCHES, data=data, budget_s=20.0)
        found["latency"] = [{k: v for k, v in row.to_dict().items() if k != "samples_ms"} for row in report.candidates]
        keep("latency")


def said(row: dict[str, Any]) -> str:
    """Return a paired difference in points of AUC."""
    value, low, high = (100 * each for each in row["difference"])
    return f"{value:+.2f} ({low:+.2f} to {high:+.2f}){'' if row['significant'] else ', not significant'}"


def page(name: str, found: dict[str, Any]) -> str:
    """Return a sample's part of the page."""
    dense = found["dense"]
    value, low, high = (100 * each for each in dense["auc"])
    lines = [
        f"### {name}",
        "",
        f"Dense: AUC {value:.1f} ({low:.1f} to {high:.1f}), tables of {dense['tables'] / 1e3:,.0f} kB, "
        f"file of {dense['file'] / 1e3:,.0f} kB.",
        "",
        "| removed | bytes of tables | fewer | file | points of AUC | after recovery |",
        "|---|---|---|---|---|---|",
    ]
    rest = {what: row for what, row in found.items() if what not in ("dense", "latency")}
    for what, row in rest.items():
        cells = [what, f"{row['tables'] / 1e3:,.0f} kB", f"{dense['tables'] / row['tables']:.1f}x", f"{row['file'] / 1e3:,.0f} kB"]
        lines.append(f"| {' | '.join([*cells, said(row['before']), said(row['after'])])} |")
    held = [what for what, row in rest.items() if not row["after"]["significant"] or row["after"]["difference"][0] > 0]
    far = {what: row for what, row in rest.items() if dense["tables"] >= FEWER * row["tables"]}
    least = max(held, key=lambda what: dense["tables"] / rest[what]["tables"], default="")
    told = f"{least} ({dense['tables'] / rest[least]['tables']:.1f}x fewer bytes)" if least else "none of these"
    lines += ["", f"Furthest without a significant loss of AUC after recovery: {told}."]
    if far:
        best = max(far, key=lambda what: far[what]["after"]["difference"][0])
        lines.append(f"Best of those with {FEWER} times fewer bytes of tables: {best}, {said(far[best]['after'])} points.")
    if "latency" in found:
        lines += ["", "| model | runtime | batch | median ms (quartiles) | times as fast as dense in eager | as dense in ONNX Runtime |"]
        lines.append("|---|---|---|---|---|---|")
        base = {row["batch"]: row["median_ms"] for row in found["latency"] if (row["name"], row["runtime"]) == ("dense", "onnxruntime")}
        for row in found["latency"]:
            start = f"| {row['name']} | {row['runtime']} | {row['batch']} |"
            if row["error"]:
                lines.append(f"{start} not measured: {row['error']} | | |")
                continue
            r, times = row["ratio"], f"{row['median_ms']:.3g} ({row['q1_ms']:.3g} to {row['q3_ms']:.3g})"
            eager = f"{1 / r['value']:.2f}x ({1 / r['high']:.2f} to {1 / r['low']:.2f})"
            lines.append(f"{start} {times} | {eager} | {base[row['batch']] / row['median_ms']:.2f}x |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write the page's part."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="+")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    state: dict[str, Any] = json.loads(args.json.read_text()) if args.json.is_file() else {}
    for name in args.names:
        found = state.setdefault(name, {})

        def keep(what: str, found: dict[str, Any] = found) -> None:
            args.json.write_text(json.dumps(state, indent=1))
            print(what, json.dumps(found[what])[:300], flush=True)

        measured(name, found, keep)
    parts = "\n".join(page(name, found) for name, found in state.items())
    print(parts)
    if args.write:
        version, today = torch.__version__.partition("+")[0], datetime.now(tz=UTC).date()
        head = (
            f"## Recommenders: bytes of tables against AUC\n\n"
            f"Script: `tests/benchmarks/recommenders.py`, {platform.machine()}, one thread, torch {version}, {today}.\n"
            "Bytes are counted: of what is left, its remap of ids included, or of its zeros in the smallest sparse format. Differences\n"
            "(95 %) resample users, the same of both models, on the test part. Recovery: "
            f"{RECOVERY.epochs} epochs, {RECOVERY.distill:.0%} of the loss from the dense\nmodel's answers.\n\n"
        )
        write_part(MARK, head + parts)


if __name__ == "__main__":
    main()
