"""A 20-point global L1 sweep without evaluation: torch.nn.utils.prune against prunekit, in turns.

    python tests/benchmarks/unstructured_sweep.py [--models resnet18,resnet50] [--rounds 3] [--points 20]

Both sides start from the dense model and produce, for each sparsity, the masks of all convolution and linear layers. torch's side is
its own way: copy the model, `global_unstructured`, `remove`. prunekit ranks once and cuts at each point; its ranking is inside the time.
The counts of removed weights are compared at every point.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time

import torch
import torchvision
from torch import nn
from torch.nn.utils import prune as torch_prune

from prunekit.config.spec import PruneSpec
from prunekit.models.layers import prunable_layers
from prunekit.pruning.unstructured.masks import masks_at


def theirs(model: nn.Module, sparsities: list[float]) -> list[int]:
    """Return how many weights go at each point, by torch.nn.utils.prune."""
    counts = []
    for sparsity in sparsities:
        copied = copy.deepcopy(model)
        pairs = [(copied.get_submodule(name), "weight") for name in prunable_layers(copied)]
        torch_prune.global_unstructured(pairs, torch_prune.L1Unstructured, amount=sparsity)
        counts.append(sum(int((module.weight_mask == 0).sum()) for module, _ in pairs))
        for module, name in pairs:
            torch_prune.remove(module, name)
    return counts


def ours(model: nn.Module, sparsities: list[float]) -> list[dict[str, torch.Tensor]]:
    """Return the masks at each point, by prunekit."""
    return list(masks_at(model, PruneSpec(), sparsities))


def main() -> None:
    """Time both sides in turns and print medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default="resnet18,resnet50")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--points", type=int, default=20)
    args = parser.parse_args()
    sparsities = [(i + 1) / (args.points + 1) for i in range(args.points)]
    print(f"{args.points} points, {args.rounds} rounds in turns, {torch.get_num_threads()} threads, torch {torch.__version__}")
    for name in args.models.split(","):
        torch.manual_seed(0)
        model = getattr(torchvision.models, name)().eval()
        times: dict[str, list[float]] = {"torch": [], "prunekit": []}
        for _ in range(args.rounds):
            start = time.perf_counter()
            expected = theirs(model, sparsities)
            times["torch"].append(time.perf_counter() - start)
            start = time.perf_counter()
            masks = ours(model, sparsities)
            times["prunekit"].append(time.perf_counter() - start)
            counts = [sum(int((~mask).sum()) for mask in point.values()) for point in masks]
            assert counts == expected, f"{name}: counts differ: {counts} and {expected}"
        ratios = [a / b for a, b in zip(times["torch"], times["prunekit"], strict=True)]
        torch_s, our_s = statistics.median(times["torch"]), statistics.median(times["prunekit"])
        ratio = statistics.median(ratios)
        spread = f"{min(ratios):.0f} to {max(ratios):.0f}"
        print(f"{name:10} torch {torch_s:7.2f} s   prunekit {our_s:6.3f} s   ratio {ratio:5.0f}x ({spread}), same counts")


if __name__ == "__main__":
    main()
