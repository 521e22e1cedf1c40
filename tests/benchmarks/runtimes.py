"""Pruning in every runtime, in one run: resnet18 at 224 x 224, then both CIFAR-10 samples with accuracy; writes a part of docs/results.md.

    python tests/benchmarks/runtimes.py [--images imagefolder:PATH] [--cifar imagefolder:PATH] [--budget 90] [--parts resnet18 ...]

``--images`` calibrates int8 for resnet18, which has random weights here: times do not depend on them. Left out is what is not installed.
Each part is one measurement in which all rows take turns; parts that were measured before stay in the page.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

import prunekit
from prunekit.config.spec import PruneSpec
from prunekit.experiments.identity import this_machine
from prunekit.latency.measure import measure_latency
from prunekit.latency.report import Candidate, CandidateLatency
from prunekit.runtimes.backends import RUNTIMES

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / "tests" / "benchmarks" / ".runtimes.json"
RESULTS = ROOT / "docs" / "results.md"
MARK = "<!-- what follows is written by tests/benchmarks/runtimes.py -->"
WANTED = ("eager", "channels_last", "onnxruntime", "int8", "openvino", "openvino_int8")
SAMPLES = ("cifar10_resnet20", "cifar10_mobilenetv2")
HALVED = ("eager", "onnxruntime", "int8", "openvino_int8")


def resnet18(images: str, budget_s: float) -> dict[str, Any]:
    """Measure dense, 90 % zeros and half the channels."""
    model = prunekit.load_model("torchvision/resnet18")
    data = prunekit.load_data(images, model=model, size=224, limit=512) if images else None
    inner = tuple(name for name in prunekit.models.prunable_layers(model) if name != "fc")
    zeros = prunekit.prune(model, PruneSpec(sparsity=0.9), input_shape=(3, 224, 224))
    half = prunekit.prune(model, PruneSpec(mode="structured", sparsity=0.5, scope="uniform", layers=inner), input_shape=(3, 224, 224))
    made = [Candidate("dense", model, half.before.macs), Candidate("90 % zeros", zeros.model, zeros.after.effective_macs)]
    return measured([*made, Candidate("half", half.model, half.after.macs)], (3, 224, 224), data, None, budget_s)


def sample(name: str, cifar: str, budget_s: float, images: int) -> dict[str, Any]:
    """Measure a sample: dense, half the weights zero, half the MACs removed and recalibrated."""
    model = prunekit.load_model(name)
    data = prunekit.load_data(cifar, model=model)
    zeros = prunekit.prune(model, PruneSpec(sparsity=0.5))
    half = prunekit.prune(model, PruneSpec(mode="structured", sparsity=0.5, target="macs"), data)
    fresh = prunekit.recalibrate(half.model, data, dense=model)
    made = [Candidate("dense", model, half.before.macs), Candidate("50 % zeros", zeros.model, zeros.after.effective_macs)]
    judged = data.test.subset(images) if images else data.test
    return measured([*made, Candidate("half the MACs", fresh, half.after.macs)], (3, 32, 32), data, judged, budget_s)


def measured(
    candidates: list[Candidate], shape: tuple[int, ...], data: Any, judged: Any, budget_s: float, wanted: Collection[str] = WANTED
) -> dict[str, Any]:
    """Let all rows take turns and return what came out."""
    runtimes = [name for name in wanted if not RUNTIMES[name].missing() and (data is not None or RUNTIMES[name].file != "int8")]
    report = measure_latency(
        candidates, input_shape=shape, runtimes=runtimes, data=data, accuracy_on=judged, budget_s=budget_s,
        progress=lambda share, text: print(f"\r\033[K{share:4.0%} {text}", end="", flush=True),
    )  # fmt: skip
    print()
    for row in report.candidates:
        print(line(row))
    return {
        "rows": [{k: v for k, v in row.to_dict().items() if k != "samples_ms"} for row in report.candidates],
        "turns": [{"rounds": turn.rounds, "stopped": turn.stopped} for turn in report.turns],
        "versions": report.versions,
        "cpu": this_machine()["cpu"] or platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "vnni": has_vnni(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def has_vnni() -> bool | None:
    """Return whether the processor has instructions for int8; None where the system does not tell."""
    path = Path("/proc/cpuinfo")
    return "vnni" in path.read_text() if path.is_file() else None


def line(row: CandidateLatency) -> str:
    """Return a row for the terminal."""
    if row.error:
        return f"{row.title}: {row.error}"
    ratio = "" if row.ratio is None else f"{1 / row.ratio.value:.2f}x ({1 / row.ratio.high:.2f} to {1 / row.ratio.low:.2f})"
    return f"{row.title}: {row.median_ms:.3g} ms, {ratio}"


def table(part: dict[str, Any]) -> list[str]:
    """Return the rows as Markdown; a runtime that refuses all of them for one reason is named once, below."""
    judged = next((row["metric"] for row in part["rows"] if row.get("metric")), "")
    head = ["model", "runtime", "median ms (quartiles)", "times faster (95 %)", "MACs promise", "memory", "file", *filter(None, [judged])]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    said: dict[str, set[str]] = {}
    for row in part["rows"]:
        said.setdefault(row["runtime"], set()).add(row["error"] or "")
    refused = {name: why.pop() for name, why in said.items() if len(why) == 1 and "" not in why}
    for row in part["rows"]:
        title = RUNTIMES[row["runtime"]].title
        if row["runtime"] in refused:
            continue
        if row["error"]:
            lines.append("| " + " | ".join([row["name"], title, f"not measured: {row['error']}", *[""] * (len(head) - 3)]) + " |")
            continue
        r = row["ratio"]
        faster = f"{1 / r['value']:.2f}x ({1 / r['high']:.2f} to {1 / r['low']:.2f})"
        cells = [row["name"], title, f"{row['median_ms']:.3g} ({row['q1_ms']:.3g} to {row['q3_ms']:.3g})", faster]
        cells += [f"{1 / row['macs_ratio']:.2f}x", f"{row['peak_bytes'] / 1e6:.0f} MB", f"{row['file_bytes'] / 1e6:.2f} MB"]
        if judged:
            a = row["metrics"][judged]
            cells.append(f"{100 * a['value']:.2f} % ({100 * a['low']:.1f} to {100 * a['high']:.1f})")
        lines.append("| " + " | ".join(cells) + " |")
    said_once = [f"Not measured in {RUNTIMES[name].title}: {why}." for name, why in refused.items()]
    return [*lines, *(line for each in said_once for line in ("", each))]


def told(part: dict[str, Any]) -> list[str]:
    """Say what zeros and half the channels bring, computed from the rows."""
    rows = {(row["name"], row["runtime"]): row for row in part["rows"] if not row["error"]}
    said = []
    for name in ("eager", "onnxruntime", "openvino"):
        if ("90 % zeros", name) in rows and ("dense", name) in rows:
            value = rows["90 % zeros", name]["median_ms"] / rows["dense", name]["median_ms"]
            said.append(f"{RUNTIMES[name].title}: 90 % zeros take {value:.2f} of the dense time, by the medians")
    for runtime in HALVED:
        if ("half", runtime) in rows:
            value = 1 / rows["half", runtime]["ratio"]["value"]
            said.append(f"half the channels, {RUNTIMES[runtime].title}: {value:.1f}x over eager")
    if part.get("vnni") is False:
        said.append("this processor has no instructions for int8 (VNNI), from which int8 kernels gain most")
    return [f"- {sentence}" for sentence in said]


def page(state: dict[str, Any]) -> str:
    """Return this script's part of docs/results.md."""
    some = next(iter(state.values()))
    lines = [MARK, "", "## Latency, memory and size in every runtime", ""]
    lines += [
        "All rows of a table took turns in one run, one thread, batch 1, each compared with the dense model in eager mode; every output was"
    ]
    lines += [
        f"checked against eager first. {some['cpu']} ({some['instructions']}), {', '.join(dict.fromkeys(some['versions'].values()))}."
    ]
    lines += ["", "```", "python tests/benchmarks/runtimes.py --images imagefolder:FOLDER --cifar imagefolder:FOLDER", "```"]
    titles = {"resnet18": "resnet18, 224 x 224, random weights", **{name: f"{name}, 32 x 32" for name in SAMPLES}}
    for name, title in titles.items():
        if name in state:
            turn, date = state[name]["turns"][0], state[name]["date"]
            lines += [
                "",
                f"### {title}",
                "",
                *table(state[name]),
                "",
                f"{turn['rounds']} rounds, {date}; {turn['stopped']}.",
            ]
            lines += ["", *told(state[name])] if name == "resnet18" else []
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure what was asked for and write the page's part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", default="", help="calibrates int8 for resnet18")
    parser.add_argument("--cifar", default="cifar10", help="the CIFAR-10 images")
    parser.add_argument("--budget", type=float, default=90.0, help="seconds of turns in each part")
    parser.add_argument("--parts", nargs="*", choices=("resnet18", *SAMPLES), default=["resnet18", *SAMPLES])
    parser.add_argument("--test-images", type=int, default=0, help="for accuracy: a fixed stratified subset (default: all)")
    parser.add_argument("--state", type=Path, default=STATE, help="what was measured so far")
    args = parser.parse_args()
    state = json.loads(args.state.read_text()) if args.state.is_file() else {}
    for name in args.parts:
        print(name, flush=True)
        state[name] = resnet18(args.images, args.budget) if name == "resnet18" else sample(name, args.cifar, args.budget, args.test_images)
        args.state.parent.mkdir(parents=True, exist_ok=True)
        args.state.write_text(json.dumps(state, indent=1))
    known = RESULTS.read_text(encoding="utf-8") if RESULTS.is_file() else ""
    text = "".join(known.partition("<!-- text:")[1:])  # of another script
    RESULTS.write_text(known.partition(MARK)[0].rstrip() + "\n\n" + page(state) + (f"\n{text}" if text else ""), encoding="utf-8")


if __name__ == "__main__":
    main()
