"""Structured pruning of torchvision's classifiers: torch-pruning against prunekit, in turns; writes docs/structured.md.

    python tests/benchmarks/structured.py --state FILE [--models resnet18 densenet121] [--rounds 3] [--seconds 300] [--again] [--table]

Each model runs in a process of its own on one thread. Both engines get fresh copies of one dense model with random weights; making the
copies is not timed. What is timed:

- *groups*: from the fresh copy to all coupled groups. Here ``trace``, with nothing remembered; there ``BasePruner(...)``, which builds the
  dependency graph and walks through all groups.
- *prune*: the same, and on from there to a model with half the channels of every layer but the classifier (L1, joined over coupled
  layers; the same share of every group) that has run on one image.
- *proof*: what the proof takes on top of that here. There is none there.
- *sweep* (three models): nine points, 0.1 to 0.9 of the channels, parameters and multiply-accumulates known at each. Here the groups are
  found and scored once, and each point is a cut and its counts; in a second figure each point is carried out as well. There the pruner is
  incremental, which is its fastest way: one construction, nine steps on one copy; its own count after each step is timed apart.

The engines take turns, the one that starts too. What is done is kept in the state file, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import copy
import gc
import json
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from prunekit import load_model
from prunekit.config.spec import PruneSpec
from prunekit.experiments.identity import this_machine
from prunekit.models.info import info
from prunekit.models.layers import prunable_layers
from prunekit.models.zoos import torchvision_names
from prunekit.pruning.proof import prove
from prunekit.pruning.structured.grouping import trace
from prunekit.pruning.structured.ranking import ChannelRanking
from prunekit.pruning.structured.surgery import shrink
from tests.benchmarks.states import FAILED, Row, alone, known, note

# What torch-pruning 1.6.1 does not handle, and how it fails
LEFT_OUT = {
    "shufflenet_": "divides by zero where channels are shuffled",
    "swin_": "never ends in windowed attention, or raises a TypeError",
    "maxvit_": "does not end in 120 s",
    "vit_": "the smaller model does not run",
}
MODELS = tuple(name for name in torchvision_names() if not name.startswith(tuple(LEFT_OUT)))
SWEPT = ("densenet121", "resnet18", "resnet50")
POINTS = tuple(step / 10 for step in range(1, 10))
PAGE = Path(__file__).parents[2] / "docs" / "structured.md"
BY_HAND = "<!-- what follows is written by hand; the scripts leave it -->"
MARK = "<!-- what follows is written by tests/benchmarks/differential.py -->"
LARGE = (("densenet201", "groups"), ("densenet121", "sweep"))
Clock = Callable[[str], None]


def clock(times: dict[str, list[list[float]]]) -> Clock:
    """Return a function that notes the seconds (wall, processor) since it was made or last called from fresh, under a name."""
    start = time.perf_counter(), time.process_time()

    def note(name: str) -> None:
        times.setdefault(name, []).append([time.perf_counter() - start[0], time.process_time() - start[1]])

    return note


def fresh(dense: nn.Module) -> nn.Module:
    """Return a copy of which neither engine knows anything, with nothing left over to be collected while it is pruned."""
    model = copy.deepcopy(dense)
    gc.collect()
    return model


def half(model: nn.Module) -> PruneSpec:
    """Return the setting: half the channels of every layer."""
    return PruneSpec(mode="structured", sparsity=0.5, criterion="l1", scope="uniform", layers=prunable_layers(model))


def peer(model: nn.Module, x: torch.Tensor, ratio: float, steps: int = 1) -> Any:
    """Return torch-pruning's pruner of a model, with the groups found; the layers that give the outputs stay, as its examples have it."""
    import torch_pruning

    last = [module for name, module in model.named_modules() if name == prunable_layers(model)[-1]]
    return torch_pruning.pruner.BasePruner(
        model,
        x,
        importance=torch_pruning.importance.MagnitudeImportance(p=1),
        pruning_ratio=ratio,
        iterative_steps=steps,
        ignored_layers=last,
        in_channel_groups={},
        out_channel_groups={},
    )


def parameters(model: nn.Module) -> int:
    """Return how many parameters a model has."""
    return sum(p.numel() for p in model.parameters())


def ours(dense: nn.Module, x: torch.Tensor, times: dict[str, list[list[float]]], *, swept: bool) -> int:
    """Prune by prunekit; return the parameters that are left."""
    model, shape = fresh(dense), tuple(x.shape[1:])
    note = clock(times)
    graph = trace(model, shape)
    note("groups")
    plan = ChannelRanking.of(model, half(model), graph).cut()
    small = shrink(model, plan)
    with torch.inference_mode():
        small(x)
    note("prune")
    note = clock(times)
    assert prove(model, plan).passed
    note("proof")
    if swept:
        _our_sweep(dense, shape, times)
    return parameters(small)


def _our_sweep(dense: nn.Module, shape: tuple[int, ...], times: dict[str, list[list[float]]]) -> None:
    """Know the sizes at nine points by counts alone, then carry all of them out too."""
    model = fresh(dense)
    note = clock(times)
    graph = trace(model, shape)
    ranking = ChannelRanking.of(model, half(model), graph)
    plans = [ranking.cut(share) for share in POINTS]
    sizes = [(ranking.params - plan.removed_params(ranking.shapes), ranking.macs - plan.removed_macs()) for plan in plans]
    note("sweep")
    assert len(set(sizes)) == len(POINTS)
    smaller = [parameters(shrink(model, plan)) for plan in plans]
    note("carried out")
    assert smaller == [params for params, _ in sizes]


def theirs(dense: nn.Module, x: torch.Tensor, times: dict[str, list[list[float]]], *, swept: bool) -> int:
    """Prune by torch-pruning; return the parameters that are left."""
    model = fresh(dense).requires_grad_(True)
    note = clock(times)
    pruner = peer(model, x, 0.5)
    note("groups")
    pruner.step()
    with torch.inference_mode():
        model(x)
    note("prune")
    if swept:
        _their_sweep(dense, x, times)
    return parameters(model)


def _their_sweep(dense: nn.Module, x: torch.Tensor, times: dict[str, list[list[float]]]) -> None:
    """Prune step by step to nine tenths; the counting is timed apart."""
    import torch_pruning

    model = fresh(dense).requires_grad_(True)
    counting: dict[str, list[list[float]]] = {}
    note = clock(times)
    pruner = peer(model, x, POINTS[-1], len(POINTS))
    for _ in POINTS:
        pruner.step()
        watch = clock(counting)
        torch_pruning.utils.count_ops_and_params(model, x)
        watch("count")
    note("with counts")
    counted = [sum(one[k] for one in counting["count"]) for k in (0, 1)]
    times.setdefault("sweep", []).append([whole - part for whole, part in zip(times["with counts"][-1], counted, strict=True)])


def measure(name: str, rounds: int, seconds: float) -> Row:
    """Let both engines take turns on one model."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    ours_times: dict[str, list[list[float]]] = {}
    their_times: dict[str, list[list[float]]] = {}
    warm = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)).eval()
    for engine in (ours, theirs):
        engine(warm, torch.zeros(1, 3, 8, 8), {}, swept=False)  # what either loads on first use is not timed
    dense = load_model(f"torchvision/{name}")
    shape = info(dense).input_shape
    assert shape is not None
    x, start, left = torch.zeros(1, *shape), time.perf_counter(), {"before": parameters(dense)}
    for turn in range(rounds):
        if turn and time.perf_counter() - start > seconds:
            break
        turns = [("prunekit", ours, ours_times), ("torch-pruning", theirs, their_times)]
        for side, engine, times in turns if turn % 2 else turns[::-1]:
            left[side] = engine(dense, x, times, swept=name in SWEPT)
    return {"name": name, "side": shape[-1], "left": left, "prunekit": ours_times, "torch-pruning": their_times} | machine()


def machine() -> Row:
    """Return what the times depend on."""
    cpu = this_machine()["cpu"] or platform.machine()
    versions = {"torch": torch.__version__.split("+")[0], "peer": version("torch-pruning")}
    return {"cpu": cpu, "cores": os.cpu_count(), **versions, "date": time.strftime("%Y-%m-%d")}


def median(row: Row, side: str, what: str, kind: int = 1) -> float:
    """Return the median over the rounds, in seconds: of the wall clock (0) or the processor (1)."""
    return statistics.median(one[kind] for one in row[side][what])


def ratio(row: Row, what: str, kind: int = 1) -> float:
    """Return how many times as long torch-pruning takes, by medians."""
    return median(row, "torch-pruning", what, kind) / median(row, "prunekit", what, kind)


def line(row: Row) -> str:
    """Return one line of the table."""
    cells = [row["name"]]
    for what in ("groups", "prune"):
        cells += [f"{median(row, side, what):.2f}" for side in ("torch-pruning", "prunekit")] + [f"{ratio(row, what):.1f}x"]
    proved = median(row, "prunekit", "prune") + median(row, "prunekit", "proof")
    before = row["left"]["before"]
    cells += [f"{proved:.2f}", f"{median(row, 'torch-pruning', 'prune') / proved:.1f}x"]
    cells += [f"{row['left'][side] / before:.1%}" for side in ("torch-pruning", "prunekit")]
    return f"| {' | '.join([*cells, str(len(row['prunekit']['groups']))])} |"


def sweeps(rows: dict[str, Row]) -> list[str]:
    """Return the table of the sweeps."""
    titles = [
        "model",
        "torch-pruning, s",
        "with its own counts, s",
        "prunekit, s",
        "times as fast",
        "every point carried out, s",
        "as fast",
    ]
    lines = [f"| {' | '.join(titles)} |", "|" + "---|" * len(titles)]
    for row in (rows[name] for name in SWEPT if name in rows and FAILED not in rows[name]):
        peer_s, counted = (median(row, "torch-pruning", what) for what in ("sweep", "with counts"))
        mine, carried = (median(row, "prunekit", what) for what in ("sweep", "carried out"))
        cells = [f"{peer_s:.2f}", f"{counted:.2f}", f"{mine:.2f}", f"{peer_s / mine:.0f}x", f"{carried:.2f}", f"{peer_s / carried:.1f}x"]
        lines.append(f"| {' | '.join([row['name'], *cells])} |")
    return lines


def losses(rows: list[Row]) -> list[str]:
    """Return one sentence for each figure about the models on which prunekit is slower."""
    found = []
    for what, title in (("groups", "Finding the groups"), ("prune", "Pruning by half, without the proof")):
        slow = [f"{row['name']} ({ratio(row, what):.2f}x)" for row in rows if ratio(row, what) < 1]
        worst = min(rows, key=lambda row: ratio(row, what))
        middle = statistics.median(ratio(row, what) for row in rows)
        told = f"slower on {', '.join(slow)}" if slow else f"slower on none; the nearest is {worst['name']} ({ratio(worst, what):.1f}x)"
        found.append(f"- {title}: {middle:.1f}x as fast in the middle, {told}.")
    proved = [
        row for row in rows if median(row, "torch-pruning", "prune") < median(row, "prunekit", "prune") + median(row, "prunekit", "proof")
    ]
    names = ", ".join(row["name"] for row in proved)
    middle = statistics.median(
        median(row, "torch-pruning", "prune") / (median(row, "prunekit", "prune") + median(row, "prunekit", "proof")) for row in rows
    )
    found.append(
        f"- With the proof prunekit is faster than torch-pruning without one on {len(rows) - len(proved)} of {len(rows)} models, "
        f"{middle:.1f}x as fast in the middle{'; slower on ' + names if names else ''}."
    )
    return found


def largest(rows: dict[str, Row]) -> list[str]:
    """Return one sentence for each of the largest."""
    told = []
    for name, what in LARGE:
        if name in rows and FAILED not in rows[name]:
            by_processor, by_wall = (ratio(rows[name], what, kind) for kind in (1, 0))
            told.append(f"- {name}, {what}: {by_processor:.0f}x by processor time, {by_wall:.0f}x by the clock.")
    return told


INTRODUCTION = """# Structured pruning beside torch-pruning

Written by `tests/benchmarks/structured.py`, which says exactly what is timed:

```
python tests/benchmarks/structured.py --state FILE
```

{count} of the 64 classifiers of torchvision that torch-pruning {peer} prunes, at their own image sizes, random weights; the other 16
(ShuffleNet, Swin, MaxViT, ViT) stop it. Both engines took turns on fresh copies in one process a model, one thread. Seconds are
medians of processor time, because the machine did other work meanwhile: {cpu}, {cores} cores, torch {torch}, {date}. "Times as fast" is
torch-pruning's seconds over prunekit's. Groups: from a fresh copy to all coupled groups. Pruned: from a fresh copy to a model with
half the channels of every layer but the classifier that has run on one image. Left: parameters; where the two differ, there are heads
for training, which torch-pruning does not see, or grouped convolutions, of which prunekit takes places and whole groups."""


def table(rows: dict[str, Row]) -> str:
    """Return the part of the page that this script writes."""
    fine = [rows[name] for name in MODELS if name in rows and FAILED not in rows[name]]
    bad = [f"{name} ({rows[name][FAILED]})" for name in MODELS if name in rows and FAILED in rows[name]]
    bad += [name for name in MODELS if name not in rows]
    if not fine:
        return ""
    titles = [
        "model",
        "groups: torch-pruning, s",
        "prunekit, s",
        "times as fast",
        "pruned: torch-pruning, s",
        "prunekit, s",
        "times as fast",
    ]
    titles += ["with proof, s", "times as fast", "left: torch-pruning", "prunekit", "rounds"]
    head = [INTRODUCTION.format(count=len(fine), **{k: fine[-1][k] for k in ("peer", "cpu", "cores", "torch", "date")}), ""]
    head += [*losses(fine), *largest(rows), *([f"- Not measured: {'; '.join(bad)}."] if bad else []), ""]
    head += [f"| {' | '.join(titles)} |", "|" + "---|" * len(titles), *map(line, fine), ""]
    about = [
        "## Nine points, 0.1 to 0.9 of the channels",
        "",
        "From a fresh copy, the groups found once. torch-pruning prunes one copy step by step; its own count of operations and parameters,",
        "a forward pass, is in the second figure only, and every ratio is against the first. prunekit scores once and knows parameters and",
        "multiply-accumulates of every point from counts, without a model; in the last figures every point is carried out too.",
        "",
    ]
    return "\n".join([*head, *about, *sweeps(rows), ""])


def write(text: str) -> None:
    """Write this script's part of the page, and leave what follows it."""
    _, mark, after = PAGE.read_text(encoding="utf-8").partition(MARK) if PAGE.is_file() else ("", "", "")
    PAGE.write_text(text + ("\n" + mark + after if mark else ""), encoding="utf-8")


def main() -> None:
    """Measure what is not known yet, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--state", type=Path)
    parser.add_argument("--models", nargs="*", default=list(MODELS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=300, help="no new round of a model after so long")
    parser.add_argument("--limit", type=float, default=3600, help="give a model up after so long")
    parser.add_argument("--again", action="store_true", help="measure what is known too")
    parser.add_argument("--table", action="store_true", help="only write the page")
    parser.add_argument("--child")
    args = parser.parse_args()
    if args.child:
        print(json.dumps(measure(args.child, args.rounds, args.seconds)))
        return
    rows = known(args.state)
    for name in [] if args.table else args.models:
        if name in rows and FAILED not in rows[name] and not args.again:
            continue
        rows[name] = row = alone(__file__, name, args.limit, "--rounds", str(args.rounds), "--seconds", str(args.seconds))
        note(args.state, row)
        told = row.get(FAILED) or f"groups {ratio(row, 'groups'):.1f}x, prune {ratio(row, 'prune'):.1f}x"
        print(f"{name}: {told}", flush=True)
    write(table(rows))


if __name__ == "__main__":
    main()
