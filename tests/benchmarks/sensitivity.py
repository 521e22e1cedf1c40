"""Sensitivity of every layer of torchvision/resnet18 at nine sparsities: what prunekit reuses and folds, against the naive scan, in turns.

    python tests/benchmarks/sensitivity.py [--model resnet18] [--images 64] [--batch 16] [--size 224] [--budget-mb 2048]

Both sides predict the same images with each of the 21 layers pruned alone at 10 % to 90 %, by the same masks. The naive scan copies the
model, zeroes the weights and runs the whole of it; prunekit runs the dense model once for a batch, keeps outputs, and for each change
runs what comes after it, first on the model as it is, then on its faster form (norms folded, channels last). They take turns pass by pass.
Wall time and the processor's time are both told: the latter is the one to read on a busy machine. The class scores of every single pass on
the model as it is are compared to the bit; those of the faster form by the classes that they say.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from prunekit.config.spec import PruneSpec
from prunekit.evaluation.sensitivity.isolated_pruning import Alone, alone
from prunekit.evaluation.sensitivity.measure import SPARSITIES
from prunekit.evaluation.sensitivity.replay import Replay
from prunekit.evaluation.sensitivity.shortcuts import faster_form
from prunekit.tasks.batch import Batch


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


def main() -> None:
    """Print both times, their ratio, and whether all predictions are the same."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--budget-mb", type=int, default=2048)
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


if __name__ == "__main__":
    main()
