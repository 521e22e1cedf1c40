"""``prunekit search``."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack, closing

from prunekit.cli.arguments import absolute, data_of, guess_lines, guess_notes, kept_runs, model_of, progress_to, to_json
from prunekit.cli.tables import percent, quality_text, short, table
from prunekit.errors import DataError, ModelError
from prunekit.evaluation.sensitivity.measure import chosen_split
from prunekit.experiments.cluster.client import Cluster
from prunekit.experiments.search.request import Found, SearchRequest, Trial
from prunekit.experiments.search.run import search_through
from prunekit.models.layers import prunable_layers

SHOWN = 10
WHAT = {"latency": "MACs, which stand for time", "params": "parameters", "macs": "MACs", "bytes": "bytes"}


def search(args: argparse.Namespace) -> str:
    """Find the smallest or fastest model whose quality holds."""
    model_id, model = model_of(args)
    if not prunable_layers(model):
        raise ModelError("the model has no convolution or linear layer: there is nothing to prune")
    data = data_of(args, model)
    if data is None:
        raise DataError(f"a search measures quality, and {model_id.name} names no data of its own: give --data")
    split, notes = chosen_split(data, args.split)[1:]
    request = SearchRequest(
        model_id, data.id, args.minimise, args.hold, args.lose, split, args.epochs, args.seed, args.budget, args.trials
    )  # fmt: skip
    kept = None if args.no_store else kept_runs()
    with ExitStack() as stack:
        cluster = None if args.cluster is None else stack.enter_context(closing(Cluster(args.cluster)))
        found = search_through(request, kept, progress_to(sys.stderr), model=model, data=data, cluster=cluster)
    plain = {"model": model_id.to_dict(), "data": absolute(data), "split": split, "notes": list(notes), **found.to_dict()}
    plain |= guess_notes(model, data, args.size, found.dense)
    return to_json(plain) if args.json else "\n".join([*_found(model_id.name, split, found), *guess_lines(plain)])


def _found(name: str, split: str, found: Found) -> list[str]:
    """Return the answer, and the best trials, as text."""
    lines = [f"{name}   fewest {WHAT[found.minimise]}, dense {quality_text(found.dense.to_dict())} on {split} {found.dense.units}", ""]
    holding = sorted((t for t in found.trials if t.state == "holds"), key=lambda t: (t.cost or 0.0, t.loss or 0.0))
    lines += [table(["run", "of dense", "parameters", "MACs", "quality", "setting"], [_trial(t, found) for t in holding[:SHOWN]]), ""]
    fell, failed = (sum(t.state == state for t in found.trials) for state in ("falls", "failed"))
    lines.append(f"{len(found.trials)} tried: {len(holding)} hold, {fell} lose too much, {failed} could not be made")
    if found.best is None:
        return [*lines, "Nothing that was tried holds: allow a larger loss, more epochs, or more time."]
    kept = found.dense.metric.format(found.best.value or 0.0)
    lines.append(f"best: {percent((found.best.cost or 0.0) / found.before)} of the dense model's {WHAT[found.minimise]}, {kept}")
    if (time := found.time) is not None:
        about = f"{time.median_ms:.3g} ms, {percent(time.ratio)} of dense ({percent(time.low)} to {percent(time.high)})"
        lines.append(f"time, measured in turns with dense, one sample and thread: {about}; fastest of {len(found.times)} finalists by MACs")
    return [*lines, *([found.confirmation.sentence] if found.confirmation else []), f"run {found.best.run[:12]}"]


def _trial(trial: Trial, found: Found) -> tuple[object, ...]:
    """Return a trial's row."""
    share, quality = percent((trial.cost or 0.0) / found.before), found.dense.metric.format(trial.value or 0.0)
    return trial.run[:12], share, f"{trial.params:,}", short(trial.macs), quality, trial.title
