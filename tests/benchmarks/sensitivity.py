"""Sensitivity of every layer of torchvision/resnet18 at nine sparsities: what prunekit reuses and folds, against the naive scan, in turns.

    python tests/benchmarks/sensitivity.py [--model resnet18] [--images 64] [--batch 16] [--size 224] [--budget-mb 2048]
        [--samples digits_cnn,mnist_lenet5] [--drop 0.01] [--mode unstructured]

Both sides predict the same images with each of the 21 layers pruned alone at 10 % to 90 %, by the same masks. The naive scan copies the
model, zeroes the weights and runs the whole of it; prunekit runs the dense model once for a batch, keeps outputs, and for each change
runs what comes after it, first on the model as it is, then on its faster form (norms folded, channels last). They take turns pass by pass.
Wall time and the processor's time are both told: the latter is the one to read on a busy machine. The class scores of every single pass on
the model as it is are compared to the bit; those of the faster form by the classes that they say.

What stopping early saves depends on the answers, so it is told of trained samples on all their validation images: the full scan and the one
that settles points at an allowed loss, on how many points the two are of different minds, and the targets that each suggests.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from itertools import pairwise, takewhile
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from prunekit.config.spec import PruneSpec
from prunekit.data.load import load_data
from prunekit.evaluation.sensitivity.drop_curves import drop_curves
from prunekit.evaluation.sensitivity.isolated_pruning import Alone, alone
from prunekit.evaluation.sensitivity.layer_targets import counter
from prunekit.evaluation.sensitivity.measure import SPARSITIES, sensitivity
from prunekit.evaluation.sensitivity.replay import Replay
from prunekit.evaluation.sensitivity.result import Sensitivity
from prunekit.evaluation.sensitivity.shortcuts import faster_form
from prunekit.evaluation.sensitivity.suggested_targets import suggest
from prunekit.models.cost import count
from prunekit.models.load import load_model
from prunekit.tasks.batch import Batch
from prunekit.tasks.input_form import form_of_data


class Clock:
    """Sums wall and processor time."""

    def __init__(self) -> None:
        self.wall = self.processor = 0.0

    def time(self, work: Callable[[], Any]) -> Any:
        """Carry something out and note how long it took."""
        wall, processor = time.perf_counter(), time.process_time()
        result = work()
        self.wall += time.perf_counter() - wall
        self.processor += time.process_time() - processor
        return result


def naive(model: nn.Module, row: Alone, index: int, x: Tensor) -> Tensor:
    """Return the class scores of a copy with one layer pruned."""
    changed = copy.deepcopy(model)
    state = changed.state_dict()
    with torch.inference_mode():
        for name, gone in row.gone(index):
            state[name].masked_fill_(gone, 0)
        scores: Tensor = changed(x)
    return scores


def bears(found: Sensitivity, drop: float) -> dict[str, float]:
    """Return how much of each layer can go before a point loses more than is allowed."""
    kept = ((layer.name, [p.sparsity for p in takewhile(lambda p: found.lost(p) <= drop, layer.points)]) for layer in found.layers)
    return {name: max(shares, default=0.0) for name, shares in kept}


def early(name: str, drop: float, mode: str) -> float:
    """Print what stopping early saves on a sample, and whether it finds what the full scan does; return the part of the time left."""
    model = load_model(name)
    data, spec, clocks = load_data(name.partition("_")[0], model=model), PruneSpec(mode=mode), {at: Clock() for at in (None, drop)}
    sensitivity(model, data, spec, [0.5], images=64, drop=drop)  # what is imported late
    full, some = (clocks[at].time(lambda at=at: sensitivity(model, data, spec, drop=at)) for at in clocks)
    apart = [(some.lost(p) > drop) != (full.lost(q) > drop) for p, q in zip(some.points, full.points, strict=True) if p.settled]
    shape, ours, theirs = form_of_data(data.validation), bears(some, drop), bears(full, drop)
    dense, how = count(model, shape), counter(model, spec, shape, data) if mode == "structured" else None
    asked = [suggest(found, drop=drop, totals=(dense.params, dense.macs), counter=how) for found in (full, some)]
    print(f"{name}, {mode}, {full.total:,} validation {full.dense.units}, {100 * drop:g} points: {some.early or 'no point settled early'}")
    for told, clock in zip(("full scan", "stopped early"), clocks.values(), strict=True):
        print(f"{told:32} wall {clock.wall:8.1f} s   processor {clock.processor:8.1f} s")
    print(f"  on the other side than in the full scan: {sum(apart)} of {len(apart)} settled points", end="; ")
    print(f"what a layer bears is the same of {sum(ours[n] == theirs[n] for n in ours)} of {len(ours)}", end="; ")
    print(f"most fragile: {', '.join(max(drop_curves(found), key=lambda c: c.mean).name for found in (full, some))}", end="; ")
    print(f"targets take {' and '.join(f'{each.params:.1%}' for each in asked)} of the parameters")
    return clocks[drop].processor / clocks[None].processor


def main() -> None:
    """Print both times, their ratio, and whether all predictions are the same."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--budget-mb", type=int, default=2048)
    parser.add_argument("--samples", default="digits_cnn,mnist_lenet5", help="on which stopping early is measured; empty for none")
    parser.add_argument("--drop", type=float, default=0.01)
    parser.add_argument("--mode", default="unstructured")
    args = parser.parse_args()
    torch.manual_seed(0)
    model = getattr(torchvision.models, args.model)().eval().requires_grad_(False)
    images = torch.randn(args.images, 3, args.size, args.size, generator=torch.Generator().manual_seed(1))
    rows = alone(model, PruneSpec(), SPARSITIES, (3, args.size, args.size))
    clocks = {name: Clock() for name in ("naive", "reused", "faster")}
    changes = [row.touched for row in rows]
    faster = clocks["faster"].time(lambda: faster_form(model, Batch.of(images[:2]), {name for each in changes for name in each}))
    forms = {"reused": model, "faster": faster}
    replays = {
        name: clocks[name].time(
            lambda form=form: Replay(form, images[:2], changes, budget_bytes=args.budget_mb * 2**20, batch_size=args.batch)
        )
        for name, form in forms.items()
    }
    passes, same, alike, stored, size = 0, 0, 0, 0, min(replay.batch_size for replay in replays.values())
    for x in images.split(size):
        for name, replay in replays.items():
            clocks[name].time(lambda replay=replay, x=x: replay.load(x))
        stored = max(stored, replays["reused"].stored_bytes)
        for place, row in enumerate(rows):
            for index in range(len(row.cuttings)):
                a, c = (clocks[n].time(lambda r=r, p=place, row=row, i=index: r.predict(p, row.gone(i))) for n, r in replays.items())
                b = clocks["naive"].time(lambda row=row, index=index, x=x: naive(model, row, index, x))
                passes, same, alike = passes + 1, same + torch.equal(a, b), alike + torch.equal(c.argmax(1), b.argmax(1))
    print(f"{args.model}, {len(rows)} layers x {len(SPARSITIES)} sparsities, {args.images} images of {args.size} x {args.size}, ", end="")
    print(f"batches of {size}, {torch.get_num_threads()} thread(s), torch {torch.__version__}; kept {stored / 2**20:.0f} MiB at most")
    told = {"naive": "naive", "reused": "activations reused", "faster": "and norms folded, channels last"}
    for name, clock in clocks.items():
        ratios = f"{clocks['naive'].wall / clock.wall:6.2f}x {clocks['naive'].processor / clock.processor:6.2f}x"
        print(f"{told[name]:32} wall {clock.wall:8.1f} s   processor {clock.processor:8.1f} s   {ratios}")
    print(f"class scores identical to the bit in {same} of {passes} passes; of the faster form the classes are in {alike}")
    assert same == passes, "reusing activations changed a prediction"
    spent = [clocks[name].processor / clocks["naive"].processor for name in told]
    parts = zip(list(told.values())[1:], pairwise(spent), strict=True)
    print("of the naive scan's processor time", "; ".join(f"{words}: {a - b:.1%} saved" for words, (a, b) in parts))
    for name in filter(None, args.samples.split(",")):
        left = early(name, args.drop, args.mode)
        print(f"  stopping early saves {1 - left:.1%} of what is left: all together {1 / (spent[-1] * left):.2f}x")


if __name__ == "__main__":
    main()
