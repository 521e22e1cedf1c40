"""Why is it not faster? Models built with one cause each, measured for real on this machine, and what is said of them.

    python tests/benchmarks/causes.py [--budget 15] [--threads 1] [--only memory overhead] [--break-even 60]

Each model is pruned, timed layer by layer in turns with its dense form, and explained. Exits 1 where the cause that a model was built for
is not named, or another is. With ``--break-even SECONDS`` the table of sparse against dense layers is measured too.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from prunekit.latency.diagnosis.breakeven import break_even
from prunekit.latency.diagnosis.layer_times import Diagnosis

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.latency.diagnosis.cases import CASES, measure


def show(name: str, found: Diagnosis) -> bool:
    """Print what was found and return whether it is what the model was built for."""
    known, right = found.evidence, [cause.name for cause in found.causes] == [name]
    named = ", ".join(cause.name for cause in found.causes) or "nothing"
    print(f"\n{'ok   ' if right else 'WRONG'} {name}: {named}  ({found.times.rounds} rounds)")
    print(f"  {found.verdict}")
    for cause in found.causes:
        share = "" if cause.share_of_time is None else f", {cause.share_of_time:.0%} of the pass"
        print(f"  {cause.title}{share}: {cause.sentence} {cause.advice}")
    if known.rounded is not None:
        more, r = known.rounded.macs_ratio, known.rounded.ratio
        print(f"  in multiples of eight: {more:.3f} x the MACs, {r.value:.3f} x the time ({r.low:.3f} to {r.high:.3f})")
    rest = known.between()
    print(f"  between the layers {rest[0]:.3f} -> {rest[1]:.3f} ms of {known.before.ms:.3f} -> {known.after.ms:.3f} ms")
    for layer in known.layers:
        r, machine = layer.ratio, known.machine
        memory = machine.memory_ms(layer.bytes_after, layer.fresh_after)
        floors = f"compute {machine.compute_ms(layer.macs_after):.4f} memory {memory:.4f} call {machine.call_ms(layer.type):.4f}"
        fell = f"MACs x {layer.shape_ratio:5.3f}  time x {r.value:5.3f} ({r.low:.3f} to {r.high:.3f})"
        print(f"    {layer.name:8} {layer.channels_after!s:12} {fell}  {layer.before.ms:8.4f} -> {layer.after.ms:8.4f} ms   {floors}")
    return right


def main() -> int:
    """Print each verdict."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", type=float, default=15.0, help="seconds for each model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--break-even", type=float, default=0.0, metavar="SECONDS", help="measure sparse against dense layers, too")
    args = parser.parse_args()
    torch.set_num_threads(1)
    right = [show(name, measure(name, args.budget, args.threads)) for name in args.only]
    if args.break_even:
        table = break_even(args.threads, args.break_even)
        print(f"\nbreak-even of sparse linear layers, {table.machine}, {table.rounds} rounds or more; below this density sparse is faster:")
        print(table.crossings().pivot(index="size", columns="batch", values="density").to_string(float_format="{:.3f}".format))
    return 0 if all(right) else 1


if __name__ == "__main__":
    sys.exit(main())
