"""Can the timing be believed? Two copies of one model, and a copy with 5 % more work, again and again.

    python tests/benchmarks/latency_aa.py [--tries 100] [--budget 3] [--cases same busy more]

Each try is a measurement of its own, in a fresh process. ``same``: two copies must come out as different in at most 10 of 100 tries.
``busy``: the same beside a process that keeps one core busy. ``more``: 21 equal layers against 20 must come out as different, and as
slower, in at least 90 of 100; the machine should be quiet for it, and what else ran is told as the load. Exits 1 where a case fails.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import prunekit
from prunekit.latency.interleaved_timing import Ratio
from prunekit.latency.measure import measure_latency
from prunekit.latency.report import Candidate

STACKS = Path(__file__).parent / "stacks.py"
CASES = ("same", "busy", "more")
SPIN = "while True: pass"


@contextmanager
def neighbour(wanted: bool) -> Iterator[None]:
    """Keep one core busy."""
    process = subprocess.Popen([sys.executable, "-c", SPIN]) if wanted else None
    try:
        yield
    finally:
        if process is not None:
            process.kill()
            process.wait()


def tried(case: str, tries: int, budget_s: float) -> list[Ratio]:
    """Return the ratio of each try."""
    first, second = prunekit.load_model(f"{STACKS}:twenty"), prunekit.load_model(f"{STACKS}:{'twenty_one' if case == 'more' else 'twenty'}")
    found = []
    for seed in range(tries):
        pair = [Candidate("first", first), Candidate("second", second)]
        report = measure_latency(pair, input_shape=(32, 32, 32), budget_s=budget_s, seed=seed)
        ratio = report.candidates[1].ratio
        assert ratio is not None
        found.append(ratio)
        print(f"\r{case}: {seed + 1} of {tries}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return found


def show(case: str, found: list[Ratio]) -> bool:
    """Print what came out and return whether it is good enough."""
    values = np.array([r.value for r in found])
    if case == "more":
        hits = sum(r.different and r.value > 1 for r in found)
        good = hits >= 0.9 * len(found)
        said = f"called different, and slower, in {hits} of {len(found)} tries (at least 90 of 100 wanted)"
    else:
        hits = sum(r.different for r in found)
        good = hits <= 0.1 * len(found)
        said = f"called different in {hits} of {len(found)} tries (at most 10 of 100 wanted)"
    spread = f"median ratio {np.median(values):.4f}, from {values.min():.4f} to {values.max():.4f}"
    print(f"{'ok   ' if good else 'WRONG'} {case}: {said}; {spread}; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    return good


def main() -> int:
    """Try every case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tries", type=int, default=100)
    parser.add_argument("--budget", type=float, default=3.0, help="seconds of turns in each try")
    parser.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES))
    args = parser.parse_args()
    right = []
    for case in args.cases:
        with neighbour(case == "busy"):
            right.append(show(case, tried(case, args.tries, args.budget)))
    return 0 if all(right) else 1


if __name__ == "__main__":
    sys.exit(main())
