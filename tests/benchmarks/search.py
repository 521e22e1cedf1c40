"""The search against what people do without it, the same minutes for each; prints a table for docs/results.md.

    PRUNEKIT_DATA=FOLDER python tests/benchmarks/search.py --state FILE [--models digits_cnn mnist_lenet5] [--minutes 10] [--lose 0.01]
        [--epochs 8] [--seed 0] [--cifar imagefolder:PATH] [--table]

Each model runs in a process of its own on one thread. Every method has the same minutes to find the fewest parameters whose headline
metric loses at most so much on validation samples, then its answer is measured once on all test samples, paired with the dense model:

- *search*: `prunekit search`, nothing kept from before.
- *uniform*, *global*: L2 magnitude, channels; the same share of every group, or all groups together.
- *suggestion*: targets from sensitivity, which is measured within the minutes; what is bisected is the drop that they are asked for.
- *torch-pruning*: its global L2 pruning of groups.

The last four recalibrate BatchNorm and fine-tune for all epochs after every cut, and bisect how much goes, with each of the optimizers
that the search may choose from, one after the other, until the time is over or half a percent is known.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import nn

from prunekit.config.ids import DataId
from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.data.load import load_data
from prunekit.errors import PrunekitError
from prunekit.evaluation.accuracy import evaluate
from prunekit.evaluation.max_sparsity import is_within
from prunekit.evaluation.paired import compare
from prunekit.evaluation.sensitivity.layer_targets import counter, together
from prunekit.evaluation.sensitivity.measure import sensitivity
from prunekit.evaluation.sensitivity.suggested_targets import suggest
from prunekit.evaluation.sweep import shape_of
from prunekit.experiments.load_run import open_run
from prunekit.experiments.search.objective import FEW
from prunekit.experiments.search.request import SearchRequest
from prunekit.experiments.search.run import search_through
from prunekit.experiments.search.space import MOST, OPTIMIZERS, PRICES
from prunekit.experiments.store import RunStore
from prunekit.models.cost import count
from prunekit.models.info import info
from prunekit.models.layers import prunable_layers
from prunekit.models.load import load_model
from prunekit.training import fine_tune, recalibrate, recover
from prunekit.training.batchnorm import norms_left
from tests.benchmarks.states import FAILED, Row, alone, known, note

MODELS = ("digits_cnn", "mnist_lenet5", "cifar10_resnet20", "reviews_encoder")
METHODS = ("search", "uniform", "global", "suggestion", "torch-pruning")
KNOWN = 0.005
Make = Callable[[float, Recovery], nn.Module]


class Bench:
    """One model and what is asked of every method."""

    def __init__(self, name: str, options: argparse.Namespace) -> None:
        self.model = load_model(name)
        where = options.cifar if name.startswith("cifar10") else (info(self.model).data or "")
        self.data, self.options = load_data(where, model=self.model), options
        self.part = self.data.validation if self.data.validation is not None else self.data.test
        self.shape = shape_of(self.model, self.part)
        self.dense = evaluate(self.model, self.part)
        self.plain = PruneSpec(mode="structured", criterion="l2", sparsity=0.0, seed=options.seed)

    def recoveries(self) -> Iterator[Recovery]:
        """Yield what follows a cut, one optimizer after the other."""
        for optimizer, lr in OPTIMIZERS.values():
            yield Recovery(
                recalibrate=bool(norms_left(self.model)), epochs=self.options.epochs, optimizer=optimizer, lr=lr, seed=self.options.seed
            )

    def holds(self, model: nn.Module) -> bool:
        """Whether a model loses at most what is allowed."""
        return is_within(compare(self.dense, evaluate(model, self.part)), self.options.lose)

    def bisected(self, make: Make, until: float) -> tuple[nn.Module | None, int]:
        """Return the smallest model that holds, and how many were made; what goes is bisected in 0..1."""
        low, best, tries = 0.0, None, 0
        for recovery in self.recoveries():
            high = 1.0
            while high - low > KNOWN and time.monotonic() < until:
                middle = (low + high) / 2
                tries += 1
                try:
                    made = make(middle, recovery)
                except (PrunekitError, ValueError, RuntimeError):  # nothing would be left
                    high = middle
                    continue
                if time.monotonic() > until:
                    break
                if self.holds(made):
                    low, best = middle, made
                else:
                    high = middle
        return best, tries

    def by_scope(self, scope: str) -> Make:
        """Return what prunes by magnitude."""

        def make(share: float, recovery: Recovery) -> nn.Module:
            spec = PruneSpec(mode="structured", criterion="l2", scope=scope, sparsity=round(MOST * share, 4), seed=self.options.seed)
            return recover(self.model, spec, recovery, self.data, input_shape=self.shape).model

        return make

    def by_suggestion(self) -> Make:
        """Return what prunes by targets from sensitivity."""
        split = "validation" if self.data.validation is not None else "test"
        found = sensitivity(self.model, self.data, self.plain, split=split, images=4 * FEW, drop=self.options.lose)
        dense, counted = count(self.model, self.shape), counter(self.model, self.plain, self.shape, self.data)

        def make(share: float, recovery: Recovery) -> nn.Module:
            price = math.exp(math.log(PRICES[0]) + share * math.log(PRICES[1] / PRICES[0]))
            drop = min(price * (self.options.lose or 0.001), 0.99)
            targets = suggest(found, drop=drop, totals=(dense.params, dense.macs), counter=counted).overrides
            spec = together(found, {name: round(each, 4) for name, each in targets.items()}, self.plain, self.model, self.shape, self.data)
            return recover(self.model, spec, recovery, self.data, input_shape=self.shape).model

        return make

    def by_peer(self) -> Make:
        """Return what prunes by torch-pruning."""
        import torch_pruning

        batch = self.data.test.subset(1)
        args = next(iter(batch.batches(1)))
        example = tuple(args.args) if hasattr(args, "args") else (args[0],)

        def make(share: float, recovery: Recovery) -> nn.Module:
            model = copy.deepcopy(self.model).eval()
            for parameter in model.parameters():
                parameter.requires_grad_(True)
            last = [module for name, module in model.named_modules() if name == prunable_layers(model)[-1]]
            pruner = torch_pruning.pruner.BasePruner(
                model, example, importance=torch_pruning.importance.GroupMagnitudeImportance(p=2), global_pruning=True,
                pruning_ratio=MOST * share, ignored_layers=last, in_channel_groups={}, out_channel_groups={},
            )  # fmt: skip
            pruner.step()
            with torch.no_grad():
                model(*example)
            if recovery.recalibrate:
                model = recalibrate(model, self.data)
            return fine_tune(model, self.data, recovery, teacher=self.model).model

        return make

    def searched(self, folder: Path) -> tuple[nn.Module | None, int]:
        """Return the answer of the search, and how many trials it made."""
        data_id: DataId = self.data.id
        split = "validation" if self.data.validation is not None else "test"
        request = SearchRequest(
            info(self.model).id, data_id, "params", lose=self.options.lose, split=split, epochs=self.options.epochs, seed=self.options.seed,
            budget_s=60 * self.options.minutes,
        )  # fmt: skip
        store = RunStore(folder / "runs.sqlite")
        found = search_through(request, store, model=self.model, data=self.data)
        return (None if found.best is None else open_run(found.best.run, store).model), len(found.trials)

    def answer(self, method: str, folder: Path) -> Row:
        """Return what a method finds, and what it loses on test samples."""
        began = time.monotonic()
        if method == "search":
            best, tries = self.searched(folder)
        else:
            until = began + 60 * self.options.minutes
            makers = {"suggestion": self.by_suggestion, "torch-pruning": self.by_peer}
            best, tries = self.bisected(makers.get(method, lambda: self.by_scope(method))(), until)
        row = {"seconds": round(time.monotonic() - began), "tries": tries}
        if best is None:
            return row
        test = compare(evaluate(self.model, self.data.test), evaluate(best, self.data.test))
        lost = test.metric.lost(test)
        return {**row, "params": sum(p.numel() for p in best.parameters()), "lost": [lost.value, lost.low, lost.high], "n": lost.n}


def child(name: str, options: argparse.Namespace) -> None:
    """Measure one model by one method and print its row."""
    torch.set_num_threads(1)
    model, method = name.split("/")
    with tempfile.TemporaryDirectory(prefix="prunekit-search-") as folder:
        os.environ["PRUNEKIT_HOME"] = folder
        bench = Bench(model, options)
        row = bench.answer(method, Path(folder))
    dense = sum(p.numel() for p in bench.model.parameters())
    how = {
        "minutes": options.minutes,
        "lose": options.lose,
        "epochs": options.epochs,
        "metric": {"name": bench.dense.metric.phrase, "unit": bench.dense.metric.unit},
    }
    print(json.dumps({"name": name, "dense": dense, **how, **row}))


def table(rows: dict[str, Row]) -> str:
    """Return the rows as a table for docs/results.md."""
    lines = ["| model, dense | method | parameters | of dense | lost on test (95 %) | tried |", "|---|---|---|---|---|---|"]
    for name, row in rows.items():
        model, method = name.split("/")
        if "params" not in row:
            lines.append(f"| {model} | {method} | {row.get(FAILED, 'nothing holds')} | | | {row.get('tries', '')} |")
            continue
        scale, unit = (100, "points") if row["metric"]["unit"] == "%" else (1, row["metric"]["unit"])
        value, low, high = (scale * each for each in row["lost"])
        lines.append(
            f"| {model}, {row['dense']:,} | {method} | {row['params']:,} | {row['params'] / row['dense']:.1%} | "
            f"{value:.2f} {unit} ({low:.2f} to {high:.2f}) | {row['tries']} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--lose", type=float, default=0.01)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cifar", default="cifar10", help="where the CIFAR-10 images are: cifar10 or imagefolder:PATH")
    parser.add_argument("--state", type=Path, default=Path("search.jsonl"))
    parser.add_argument("--table", action="store_true", help="print what was measured, and measure nothing")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options)
        return
    passed = [f"--{name}={getattr(options, name)}" for name in ("minutes", "lose", "epochs", "seed", "cifar")]
    for name in (f"{model}/{method}" for model in options.models for method in options.methods):
        if not options.table and name not in known(options.state):
            row = alone(__file__, name, 60 * options.minutes * 3 + 900, *passed)
            note(options.state, row)
            print(json.dumps(row), flush=True)
    print(table(known(options.state)))


if __name__ == "__main__":
    main()
