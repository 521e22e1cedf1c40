"""Pruning large models, the whole command: wall seconds and peak memory, beside torch.nn.utils.prune in the same run.

    python tests/benchmarks/large.py [--models vit_l_16,regnet_y_128gf] [--rounds 3] [--only unstructured] [--alone] [--estimates]

Each figure is a child process of its own, in turns: `prunekit prune torchvision/NAME --sparsity 0.5`, unstructured and structured (with
its proof), torch's own way (load the same model, `global_unstructured` by L1, `remove`; nothing is measured or saved), and loading alone.
`--alone` leaves torch's way out, which needs ten times the weights. Memory is the child's peak resident set, against the
bytes of the weights. `--estimates` compares gzipped sizes that are estimated with those measured, for ten models, dense and at half.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time

LOAD = "import prunekit; prunekit.load_model('torchvision/{name}')"
THEIRS = """
import prunekit
from prunekit.models import prunable_layers
from torch.nn.utils import prune
model = prunekit.load_model('torchvision/{name}')
pairs = [(model.get_submodule(layer), 'weight') for layer in prunable_layers(model)]
prune.global_unstructured(pairs, prune.L1Unstructured, amount=0.5)
for module, weight in pairs:
    prune.remove(module, weight)
"""
OURS = "import sys; from prunekit.cli import main; sys.exit(main(['prune', 'torchvision/{name}', '--sparsity', '0.5', '--mode', '{mode}']))"
TEN = "resnet50,vit_b_16,convnext_base,wide_resnet50_2,densenet161,efficientnet_b7,swin_b,vgg11_bn,regnet_y_16gf,maxvit_t"
PEER = "torch.nn.utils.prune"
WANTED = {"unstructured": (15.0, 2.2, 0.7), "structured": (15.0, 2.5, 0.0)}


def child(code: str) -> tuple[float, float, float]:
    """Run Python code in a process of its own; return seconds by the clock, seconds of the processors, and its peak in GB."""
    start = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        os.execv(sys.executable, [sys.executable, "-c", code])
    _, status, used = os.wait4(pid, 0)
    if status:
        raise SystemExit(f"a child failed ({status}): {code}")
    return time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1e6 * 1.024


def commands(name: str, only: str, alone: bool) -> dict[str, str]:
    """Return what is run for a model, by title."""
    found = {"load alone": LOAD.format(name=name)} | ({} if alone else {PEER: THEIRS.format(name=name)})
    modes = [only] if only else list(WANTED)
    return found | {f"prunekit, {mode}": OURS.format(name=name, mode=mode) for mode in modes}


def timed(name: str, rounds: int, only: str, alone: bool) -> None:
    """Print the times and the memory of one model."""
    import torchvision

    weights = 4 * torchvision.models.get_model_weights(name).DEFAULT.meta["num_params"] / 1e9
    runs: dict[str, list[tuple[float, float, float]]] = {}
    for _ in range(rounds):
        for title, code in commands(name, only, alone).items():
            runs.setdefault(title, []).append(child(code))
    print(f"\n{name}: {weights:.2f} GB of weights")
    print(f"{'':24} {'wall':>8} {'processor':>10} {'peak':>9} {'x weights':>10} {'less 0.7 GB':>12}")
    medians = {title: tuple(statistics.median(run[k] for run in found) for k in range(3)) for title, found in runs.items()}
    for title, (wall, cpu, peak) in medians.items():
        print(f"{title:24} {wall:6.1f} s {cpu:8.1f} s {peak:6.2f} GB {peak / weights:9.2f}x {(peak - 0.7) / weights:11.2f}x")
    for mode, (seconds, times, plus) in WANTED.items():
        if (ours := medians.get(f"prunekit, {mode}")) is not None:
            wall, _, peak = ours
            base_wall, _, base_peak = medians.get(PEER, (0.0, 0.0, 0.0))
            theirs = f"; torch takes {base_wall / wall:.2f} of our time, {base_peak / peak:.2f} of our memory" if base_wall else ""
            bound = seconds * weights / 1.217
            print(
                f"{mode}: wanted {bound:.0f} s and {times} x weights + {plus} GB = {times * weights + plus:.2f} GB; "
                f"got {wall:.1f} s, {peak:.2f} GB{theirs}"
            )


def estimates(names: list[str]) -> None:
    """Print estimated beside measured gzipped sizes."""
    import prunekit

    print(f"{'':18} {'':>6} {'measured':>14} {'estimated':>14} {'error':>8} {'interval':>18} {'inside':>7} {'seconds':>16}")
    for name in names:
        model = prunekit.load_model(f"torchvision/{name}")
        masks = next(iter(prunekit.masks_at(model, prunekit.PruneSpec(), [0.5])))
        for what, given in (("dense", None), ("half", masks)):
            marks = [time.perf_counter()]
            found = []
            for exact in (True, False):
                found.append(prunekit.sizes(model, masks=given, exact=exact, above=1))
                marks.append(time.perf_counter())
            true, guess = found[0].gzip, found[1]
            low, high = guess.gzip_low / true - 1, guess.gzip_high / true - 1
            took = f"{marks[1] - marks[0]:.2f} and {marks[2] - marks[1]:.2f}"
            print(
                f"{name:18} {what:>6} {true:14,} {guess.gzip:14,} {guess.gzip / true - 1:8.3%} {low:8.3%} to {high:6.3%} "
                f"{low <= 0 <= high!s:>7} {took:>16}"
            )


def main() -> None:
    """Read the flags and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default="vit_l_16")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", choices=["", *WANTED])
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--estimates", action="store_true")
    args = parser.parse_args()
    if args.estimates:
        estimates(TEN.split(",") if args.models == "vit_l_16" else args.models.split(","))
        return
    for name in args.models.split(","):
        timed(name, args.rounds, args.only, args.alone)


if __name__ == "__main__":
    main()
