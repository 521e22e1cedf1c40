"""Text models at 90 and 95 % zeros: sparse linear layers against ONNX Runtime dense, beside all other runtimes, in turns.

    python tests/benchmarks/text_latency.py reviews_encoder shakespeare_gpt --json latency.json
    python tests/benchmarks/text_latency.py hf:FOLDER --title all-MiniLM-L6-v2 --task text-classification --length 128 --json latency.json
    python tests/benchmarks/text_latency.py --json latency.json --write

Zeros go by magnitude, the same share of each linear layer. One thread, one text at a time. --write writes the part of docs/results.md.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

import prunekit
from prunekit.config.ids import ModelId
from prunekit.config.spec import PruneSpec
from prunekit.latency.measure import measure_latency
from prunekit.latency.report import Candidate
from prunekit.models.cost import count
from prunekit.models.layers import prunable_layers
from prunekit.pruning.api import sample_shape
from prunekit.runtimes.backends import RUNTIMES
from tests.benchmarks.results_page import write_part

MARK = "<!-- text latency: written by tests/benchmarks/text_latency.py -->"
SHARES = (0.9, 0.95)
NAMES = ("eager", "compile", "bfloat16", "csr", "onnxruntime", "int8")


def measured(name: str, task: str | None, length: int | None, budget_s: float, shares: Sequence[float] = SHARES) -> list[dict[str, Any]]:
    """Time a model and its masked copies in every runtime."""
    model = prunekit.load_model(ModelId(name, task=task))
    known = prunekit.info(model).data
    data = prunekit.load_data(str(known), model=model) if known else None
    shape = sample_shape(model, data)
    modules, listed = dict(model.named_modules()), prunable_layers(model)
    linear = tuple(each for each in listed if isinstance(modules.get(each), nn.Linear))
    ready = [Candidate("dense", model, count(model, shape).macs)]
    for share in shares:
        pruned = prunekit.prune(model, PruneSpec(scope="uniform", sparsity=share, layers=linear), input_shape=shape).model
        ready.append(Candidate(f"{share:.0%} zeros", pruned, count(pruned, shape).effective_macs))
    report = measure_latency(
        ready, input_shape=shape, runtimes=NAMES, length=length or (), data=data, budget_s=budget_s, min_rounds=20, threads=1
    )
    return [{key: value for key, value in row.to_dict().items() if key != "samples_ms"} for row in report.candidates]


def page(title: str, rows: list[dict[str, Any]]) -> str:
    """Return a model's table, and where sparse linear layers beat ONNX Runtime dense."""
    several = len({row["phase"] for row in rows}) > 1
    heads = [*["of"] * several, "model", "runtime", "median ms (quartiles)", "times as fast as dense in eager", "as dense in ONNX Runtime"]
    base = {row["phase"]: row["median_ms"] for row in rows if (row["name"], row["runtime"]) == ("dense", "onnxruntime")}
    lines, sparse = [f"### {title}, {rows[0]['length']} tokens", "", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"], []
    for row in rows:
        cells = [*[row["phase"]] * several, row["name"], RUNTIMES[row["runtime"]].title]
        if row["error"] and (row["name"], row["runtime"]) != ("dense", "csr"):  # without zeros there is nothing sparse
            reason = re.sub(r"hf:\S+", title, row["error"])
            lines.append(f"| {' | '.join([*cells, f'not measured: {reason}', '', ''])} |")
        if row["error"]:
            continue
        r, beside = row["ratio"], f"{base[row['phase']] / row['median_ms']:.2f}x"
        cells.append(f"{row['median_ms']:.3g} ({row['q1_ms']:.3g} to {row['q3_ms']:.3g})")
        cells += [f"{1 / r['value']:.2f}x ({1 / r['high']:.2f} to {1 / r['low']:.2f})", beside]
        lines.append(f"| {' | '.join(cells)} |")
        if row["runtime"] == "csr":
            sparse.append(f"{beside} at {row['name']}{' (' + row['phase'] + ')' if several else ''}")
    return "\n".join([*lines, "", f"Sparse linear layers, times as fast as ONNX Runtime dense: {', '.join(sparse)}.", ""])


def main() -> None:
    """Measure and write the page's part."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--title")
    parser.add_argument("--task")
    parser.add_argument("--length", type=int)
    parser.add_argument("--budget", type=float, default=30.0)
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES, help="fewer need less memory: all models lie in it at once")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    state: dict[str, Any] = json.loads(args.json.read_text()) if args.json.is_file() else {}
    for name in args.names:
        state[args.title or name] = measured(name, args.task, args.length, args.budget, args.shares)
        args.json.write_text(json.dumps(state, indent=1))
    parts = "\n".join(page(title, rows) for title, rows in state.items())
    print(parts)
    if args.write:
        version, today = torch.__version__.partition("+")[0], datetime.now(tz=UTC).date()
        head = (
            f"## Text models: zeros in every runtime\n\n"
            f"Script: `tests/benchmarks/text_latency.py`, {platform.machine()}, one thread, one text at a time, torch {version}, {today}.\n"
            "Zeros by magnitude, the same share of each linear layer: about time, not about quality. All rows of a table took turns.\n\n"
        )
        write_part(MARK, head + parts)


if __name__ == "__main__":
    main()
