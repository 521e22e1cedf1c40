"""How well 12 points draw accuracy against sparsity: the curve through them against a measured grid of 50.

    PRUNEKIT_DATA=... python tests/benchmarks/curve_points.py [--models mnist_lenet5,...] [--cifar imagefolder:PATH] [--images 10000]
        [--mode unstructured] [--evaluations 12] [--batch 500]

For each model, global L1 pruning without recovery is measured on test images (all of them by default) where prunekit puts its points,
and at 50 evenly spread sparsities from 0 to 0.98. The dense model counts as one of the 12 evaluations. Told are the mean and the worst
distance between the drawn curve and the grid's measurements, in points of accuracy, beside those of 12 evenly spread points.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from scipy.interpolate import PchipInterpolator

from prunekit.config.spec import PruneSpec
from prunekit.data.load import load_data
from prunekit.evaluation.adaptive_points import EVALUATIONS, HIGH, LOW, next_points, standard_error
from prunekit.evaluation.quality import Evaluation
from prunekit.evaluation.sweep import sweep
from prunekit.models.load import load_model

MODELS = "mnist_lenet5,cifar10_resnet20,cifar10_mobilenetv2"
GRID = np.linspace(0, 0.98, 50)


def choose(measure, evaluations=EVALUATIONS, *, low=LOW, high=HIGH, known=(), at_once=1) -> dict[float, Evaluation]:
    """Measure where it tells most, what is known aside; fewer points than asked for only where the grid has no more."""
    points = dict(known)
    while len(points) < evaluations:
        found = list(points.values())
        ends = [end for end in (low, high) if end not in points][: evaluations - len(points)]
        count = min(at_once, evaluations - len(points))
        wanted = ends or next_points(list(points), [a.value for a in found], count, standard_error(found), low, high)
        if not wanted:
            break
        points |= {at: measure(at) for at in wanted}
    return dict(sorted(points.items()))


def drawn(xs, ys):
    """Return the curve through ascending points at `GRID`: monotone between two of them (Fritsch and Butland, 1984)."""
    return PchipInterpolator(xs, ys)(np.clip(GRID, xs[0], xs[-1]))


class Measured:
    """Accuracy by sparsity, each measured once; batches are decoded and normalised once."""

    def __init__(self, name: str, data: str, mode: str, images: int, batch: int) -> None:
        self.model = load_model(name)
        part = load_data(data, model=self.model).test
        part = part.subset(images) if images else part
        self.batches = list(part.batches(batch))
        self.images, self.batch, self.spec = len(part), batch, PruneSpec(mode=mode)
        self.known: dict[float, Evaluation] = {}
        self.part = part

    def measure(self, sparsities: list[float]) -> None:
        """Measure what is not known."""
        todo = [s for s in sparsities if s not in self.known]
        for point in sweep(self.model, self.spec, todo, _Kept(self.part, self.batches)) if todo else ():
            self.known[point.requested] = point.accuracy

    def __call__(self, sparsity: float) -> Evaluation:
        """Return the accuracy at one sparsity."""
        self.measure([sparsity])
        return self.known[sparsity]


class _Kept:
    """A split whose batches are kept."""

    def __init__(self, part, batches) -> None:
        self.part, self.kept = part, batches

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, index: int):
        return self.part[index]

    def batches(self, batch_size: int):
        """Yield the same batches again."""
        yield from self.kept


def distance(measured: Measured, points: list[float]) -> tuple[float, float]:
    """Return mean and worst distance of the curve through some points from the grid, in points of accuracy."""
    off = 100 * np.abs(drawn(points, [measured.known[s].value for s in points]) - [measured.known[float(s)].value for s in GRID])
    return float(off.mean()), float(off.max())


def main() -> None:
    """Print one line for each model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--cifar", default="cifar10", help="where the CIFAR-10 images are: cifar10 or imagefolder:PATH")
    parser.add_argument("--images", type=int, default=0, help="test images, by a fixed stratified choice (default: all)")
    parser.add_argument("--mode", choices=["unstructured", "structured"], default="unstructured")
    parser.add_argument("--evaluations", type=int, default=EVALUATIONS)
    parser.add_argument("--batch", type=int, default=500)
    args = parser.parse_args()
    for name in args.models.split(","):
        start = time.perf_counter()
        measured = Measured(name, "mnist" if name.startswith("mnist") else args.cifar, args.mode, args.images, args.batch)
        chosen = list(choose(measured, args.evaluations))
        even = [float(s) for s in np.linspace(0, HIGH, args.evaluations)]
        measured.measure([*(float(s) for s in GRID), *even])
        (mean, worst), (even_mean, even_worst) = distance(measured, chosen), distance(measured, even)
        print(f"{name}, {args.mode} l1 global, {measured.images:,} test images, {time.perf_counter() - start:.0f} s", flush=True)
        print(f"  {len(chosen)} chosen points, the dense one among them: mean {mean:.2f}, worst {worst:.2f} points from the 50 measured")
        print(f"  {len(even)} even points:                               mean {even_mean:.2f}, worst {even_worst:.2f}")
        print(f"  chosen: {', '.join(f'{s:.3f}' for s in chosen)}", flush=True)


if __name__ == "__main__":
    main()
