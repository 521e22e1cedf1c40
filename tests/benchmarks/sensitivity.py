"""Sensitivity of every layer of torchvision/resnet18 at nine sparsities: reused activations against the naive scan, in turns.

    python tests/benchmarks/sensitivity.py [--model resnet18] [--images 64] [--batch 16] [--size 224] [--budget-mb 2048]

Both sides predict the same images with each of the 21 layers pruned alone at 10 % to 90 %, by the same masks. The naive scan copies the
model, zeroes the weights and runs the whole of it; prunekit runs the dense model once for a batch, keeps outputs, and for each change
runs what comes after it. The two take turns pass by pass. Wall time and the processor's time are both told: the latter is the one to read
on a busy machine. The class scores of every single pass are compared to the bit.
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
    ours, theirs = Clock(), Clock()
    replay = ours.time(
        lambda: Replay(model, images[:2], [r.touched for r in rows], budget_bytes=args.budget_mb * 2**20, batch_size=args.batch)
    )
    passes, same, stored = 0, 0, 0
    for x in images.split(replay.batch_size):
        ours.time(lambda x=x: replay.load(x))
        stored = max(stored, replay.stored_bytes)
        for place, row in enumerate(rows):
            for index in range(len(row.cuttings)):
                a = ours.time(lambda place=place, row=row, index=index: replay.predict(place, row.gone(index)))
                b = theirs.time(lambda row=row, index=index, x=x: naive(model, row, index, x))
                passes, same = passes + 1, same + torch.equal(a, b)
    print(f"{args.model}, {len(rows)} layers x {len(SPARSITIES)} sparsities, {args.images} images of {args.size} x {args.size}, ", end="")
    print(f"batches of {replay.batch_size}, {torch.get_num_threads()} thread(s), torch {torch.__version__}")
    print(f"naive     wall {theirs.wall:8.1f} s   processor {theirs.processor:8.1f} s")
    print(f"prunekit  wall {ours.wall:8.1f} s   processor {ours.processor:8.1f} s   kept {stored / 2**20:.0f} MiB at most")
    print(f"ratio     wall {theirs.wall / ours.wall:8.2f}     processor {theirs.processor / ours.processor:8.2f}")
    print(f"class scores identical to the bit in {same} of {passes} passes")
    assert same == passes, "reusing activations changed a prediction"


if __name__ == "__main__":
    main()
