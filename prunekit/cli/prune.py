"""``prunekit prune``."""

from __future__ import annotations

import argparse
import math
import sys
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from prunekit.cli.arguments import (
    absolute,
    check_cut,
    data_of,
    guess_lines,
    guess_notes,
    mode_of,
    model_of,
    progress_to,
    say,
    shape_of,
    spec_of,
    to_json,
)
from prunekit.cli.field_flags import recovery_of
from prunekit.cli.tables import byte_text, metric_rows, percent, phrase, quality_text, shape_text, short, size_text, skipped_table, table
from prunekit.config import fields
from prunekit.config.ids import ModelId
from prunekit.config.recipe import Recipe
from prunekit.config.spec import PruneSpec
from prunekit.data.dataset import Data, samples_of
from prunekit.errors import StoreError
from prunekit.evaluation.accuracy import evaluate
from prunekit.evaluation.before_after import Assessment, assess, document
from prunekit.evaluation.cautions import Caution, LayerCut
from prunekit.evaluation.compression import LARGE
from prunekit.evaluation.sizes import FORMS, file_bytes, parts, sizes
from prunekit.experiments.cluster.recovery import recover_at
from prunekit.experiments.home import FILE, home, store
from prunekit.experiments.identity import weights_of
from prunekit.experiments.new_run import blocks_text, shares_text
from prunekit.experiments.records import Label
from prunekit.experiments.requests import AccuracyRequest
from prunekit.experiments.save_run import keep_made
from prunekit.experiments.sensitivity_run import known_losses
from prunekit.experiments.store import RunStore
from prunekit.experiments.stored_metric import told_metric
from prunekit.formatting import error as small
from prunekit.formatting import ordinary
from prunekit.models.folder import write_folder
from prunekit.models.hugging_face_export import pruned_config
from prunekit.models.hugging_face_files import CONSUMED, COPIES
from prunekit.models.info import info
from prunekit.models.layers import outputs_of
from prunekit.pruning.result import UNITS
from prunekit.tasks.input_form import noted
from prunekit.tasks.metrics import Metric
from prunekit.tasks.resolver import resolve
from prunekit.tasks.wording import written
from prunekit.tracking import Logged, tracked
from prunekit.training.batchnorm import Shift, brought
from prunekit.training.gradual import recover
from prunekit.training.result import Epoch, Recovered


def prune(args: argparse.Namespace) -> str:
    """Prune a copy, measure it, write it where asked."""
    check_cut(args)
    args.name = Label("", name=args.name or "").name  # too long a one is refused before any work
    with tracked(args.log_to, args.name or f"prune {args.model}", warn=partial(say, "warning")) as logged:
        return _made(args, logged)


def _made(args: argparse.Namespace, logged: Logged) -> str:
    """Prune, measure and write."""
    recovery = recovery_of(args)
    # a large model of which only weights go is measured first and then used up, unless its dense form is needed again: no copy beside it
    alone = mode_of(args) != "structured" and not (recovery.active or args.save or args.name)
    model_id, model = model_of(args, CONSUMED if alone else COPIES)
    args.scope = "uniform" if args.uniform else args.scope
    spec = spec_of(args, model)
    data = data_of(args, model)
    progress = progress_to(sys.stderr)
    once = alone and file_bytes(model) >= LARGE
    known: dict[str, Any] = {}
    if once:
        known["baseline"] = None if data is None else evaluate(model, data.test, progress=progress.step(0, 2))
        known["known"] = sizes(model, exact=args.exact_sizes, progress=progress)
    shape = shape_of(model, data, args.size)
    kept = _kept_before()
    weights = weights_of(model, shape, model_id.task) if kept is not None else ""  # before the model may be used up
    if args.cluster is None:
        recovered = recover(model, spec, recovery, data, input_shape=shape, progress=progress, consume=once, log_to=logged)
    else:
        asked = AccuracyRequest(model_id, None if data is None else data.id, spec, recovery, "test")
        recovered = _elsewhere(args.cluster, asked, model, data, shape, logged)
    if args.uniform:
        pruned_config(getattr(recovered.model, "encoder", recovered.model))  # refused before anything is measured
    assessment = assess(model, recovered.result, None if data is None else data.test, exact=args.exact_sizes, progress=progress, **known)
    found = document(recovered.result, assessment, model_id.to_dict(), absolute(data))
    found |= guess_notes(model, data, args.size, assessment.before.accuracy, assessment.after.accuracy)
    found["cautions"] = [each.to_dict() for each in _cautions(kept, weights, model, recovered)]
    if recovery.active:
        found["recovery"] = _recovery(recovered, assessment, data)
    if args.out is not None:
        guess = data is None and args.size is None and info(model).guessed  # which stays one when the folder is opened
        given = None if guess else noted(recovered.result.input_shape)
        recipe = Recipe(model_id.to_dict(), absolute(data), spec, recovery.to_dict(), given)
        write_folder(args.out, recovered.model, recipe, found, samples=samples_of(data))
    _log(logged, found, args.out)
    if args.save or args.name:
        found["run"] = _saved(args.name, model_id, model, recovered, assessment, data)
        found |= {"name": args.name} if args.name else {}
    return to_json(found) if args.json else _page(found, assessment.difference.sentence() if assessment.difference else None, args.out)


def _elsewhere(  # noqa: PLR0917 (what `recover` takes)
    address: str, request: AccuracyRequest, model: nn.Module, data: Data | None, shape: tuple[int, ...] | None, logged: Logged
) -> Recovered:
    """Have a worker of a cluster prune and recover, and tell a tracker what it is told of a recovery here."""
    assert request.spec is not None
    logged.params({"spec": request.spec.to_dict(), "recovery": request.recovery.to_dict()})
    metric = resolve(model, data).headline.name

    def tell(epoch: Epoch) -> None:
        logged.metrics(epoch.figures(metric), epoch.number)

    found = recover_at(address, request, model, data, input_shape=shape, report=tell, progress=progress_to(sys.stderr))
    logged.metrics(found.result.figures(), len(found.history))
    return found


def _log(logged: Logged, found: dict[str, Any], out: str | None) -> None:
    """Tell a tracker what was pruned, what was measured of it, and the files that were written."""
    logged.params({"model": found["model"], "data": found["data"] or {}})
    sides = {"dense": found["before"], "pruned": found["after"]}
    values = {name: {metric: told["value"] for metric, told in side["metrics"].items()} for name, side in sides.items()}
    last = len(found["recovery"]["history"]) if "recovery" in found else 0
    logged.metrics({name: {**values[name], "bytes": side["sizes"]} for name, side in sides.items()}, last)
    for path in sorted(Path(out).iterdir()) if out is not None else ():
        if path.is_file():
            logged.artifact(path)


def _kept_before() -> RunStore | None:
    """Return the store of runs where there is one with runs in it."""
    try:
        return store() if (home() / FILE).is_file() and store().runs(limit=1) else None
    except StoreError:  # what is stored is no condition here
        return None


def _cautions(kept: RunStore | None, weights: str, model: nn.Module, recovered: Recovered) -> tuple[Caution, ...]:
    """Return what the setting is likely to break, by its numbers and by what is stored of the dense model."""
    result = recovered.result
    cuts = []
    for layer in result.layers:
        if layer.kept != () and layer.rows is None and layer.sparsity:
            of = outputs_of(model, layer.name) if layer.kept is not None else math.prod(layer.shape_before)
            left = len(layer.kept) if layer.kept is not None else round((1 - layer.sparsity) * of)
            cuts.append(LayerCut(layer.name, left, of, outputs_of(model, layer.name)))
    return known_losses(kept, weights, result.spec).cautions(result.spec, cuts, result.achieved.sparsity)


def _saved(  # noqa: PLR0917 (what was made, and of what)
    name: str, model_id: ModelId, model: nn.Module, recovered: Recovered, assessment: Assessment, data: Data | None
) -> str:
    """Keep what was made as a run and return its id."""
    kept = store()
    run = keep_made(model_id, model, recovered, assessment, kept, data_id=None if data is None else data.id, data=data)
    kept.relabel(run.id, saved=True, **({"name": name} if name else {}))
    return run.id


def _recovery(recovered: Recovered, assessment: Assessment, data: Data | None) -> dict[str, Any]:
    """Return what recovery did: its setting, its epochs, and the accuracy on the test part before, between and after."""
    stages = {"before": recovered.before, "recalibrated": recovered.recalibrated}
    measured = {name: evaluate(model, data.test) for name, model in stages.items() if model is not None and data is not None}
    accuracies = {**dict.fromkeys(stages), **measured, "after": assessment.after.accuracy}
    dense, pruned, again = assessment.before.accuracy, measured.get("before"), measured.get("recalibrated")
    found = recovered.to_dict()
    if recovered.before is not None and recovered.recalibrated is not None and dense and pruned and again:
        shift = Shift.between(recovered.before, recovered.recalibrated)
        found["recalibration"] = brought(dense, pruned, again, shift)
    return {**found, "accuracy": {name: value and value.to_dict() for name, value in accuracies.items()}}


def setting_text(spec: dict[str, Any]) -> str:
    """Return a setting in a few words."""
    shares = PruneSpec(**{name: spec[name] for name in ("mode", "pattern", "scope", "overrides", "shares")})
    words = [spec["mode"], spec["criterion"], shares_text(shares)]
    words += [f"multiples of {spec['round_to']}"] if spec["round_to"] > 1 else []
    kinds = {name: spec[name] for name in ("mode", "units", "depth", "blocks", "remove_layers", "rows", "row_criterion", "row_shares")}
    return ", ".join([*words, *filter(None, [blocks_text(PruneSpec(**kinds))])])


def _page(found: dict[str, Any], difference: str | None, out: str | None) -> str:
    """Return everything as text: before and after, requested and achieved, layers."""
    spec, achieved = found["spec"], found["achieved"]
    asked = f"threshold {spec['threshold']:g}" if spec["threshold"] is not None else f"{percent(achieved['requested'])} requested"
    lines = [
        f"{found['model']['name']}   {setting_text(spec)}",
        f"{asked}, {percent(achieved['sparsity'])} achieved: {achieved['removed']:,} of {achieved['total']:,} {_unit(found)}",
        _of_all(found),
        "",
        table(["", "before", "after"], _sides(found["before"], found["after"])),
    ]
    lines += [f"{phrase(found['before']['metrics'][found['before']['metric']])} {difference}"] if difference else []
    lines += _healing(found["recovery"]) if "recovery" in found else []
    lines += ["", table(["layer", "type", "before", "after", "requested", "achieved"], [_layer(row) for row in found["layers"]])]
    lines += skipped_table(found["skipped"], found["before"]["params"])
    lines += [f"whole blocks that go: {', '.join(found['blocks'])}"] if found["blocks"] else []
    lines += [_proof(found["proof"], _kinds(found))] if found["proof"] else []
    lines += [f"! {sentence}" for sentence in found["limits"]]
    lines += [f"! {_advice(caution)}" for caution in found["cautions"]]
    lines += guess_lines(found)
    lines += [f"written to {out}"] if out else []
    called = f", called {found['name']}" if "name" in found else ""
    return "\n".join(lines + ([f"saved as run {found['run'][:12]}{called}"] if "run" in found else []))


def _advice(caution: dict[str, Any]) -> str:
    """Return a caution with the flags that avoid it: ``... . Keep at least 4 channels there: --cap conv2=0.9375``."""
    rows = fields.table(PruneSpec)
    ways = []
    for choice in caution["choices"]:
        flags = []
        for name, value in choice["changes"].items():
            pairs = value if isinstance(value, (tuple, list)) else [value]
            words = (
                [f"{key}={share:.4g}" for key, share in pairs] if isinstance(value, (tuple, list)) else [f"{value:.4g}"] if value else []
            )
            flags += [f"--{rows[name].flag} {word}" for word in words]
        ways.append(f"{choice['words']}: {' '.join(flags) or 'leave the caps out'}")
    return ". ".join([caution["sentence"], *ways])


def _unit(found: dict[str, Any]) -> str:
    """Return what is counted, in words: units of chosen kinds as they are called."""
    unit, units = found["achieved"]["unit"], found["spec"]["units"]
    return " and ".join(units) if unit == "channels" and units else UNITS[unit]


def _kinds(found: dict[str, Any]) -> str:
    """Return what kinds of things a proof is of."""
    rows = [row["name"] for row in found["layers"] if row["rows"]]
    kinds = {"channels": found["spec"]["sparsity"] != 0 or not rows, "blocks": found["blocks"], "rows": rows}
    return " and ".join(name for name, there in kinds.items() if there)


def _of_all(found: dict[str, Any]) -> str:
    """Return what that is of all parameters, and how many of them took no part."""
    total, left_out = found["before"]["params"], sum(module["parameters"] for module in found["skipped"])
    what = "gone" if found["spec"]["mode"] == "structured" else "zero"
    rest = f"; {percent(left_out / total)} took no part" if left_out else ""
    return f"of all {total:,} parameters {percent(found['achieved']['of_all'])} are {what}{rest}"


def _healing(recovery: dict[str, Any]) -> list[str]:
    """Return what recovery did as text: the accuracy of each stage, the epochs, and what there is to say."""
    accuracy = recovery["accuracy"]
    lines = ["", recovery["title"], *(f"  {stage:13}{quality_text(value)}" for stage, value in accuracy.items() if value)]
    if recovery["history"]:
        metric = told_metric(recovery["history"][-1]["validation"] or next(filter(None, accuracy.values()), {}))
        rows = [_epoch(epoch, metric, epoch["number"] == recovery["best"]) for epoch in recovery["history"]]
        lines += ["", table(["epoch", "removed", "learning rate", "loss", "training", "validation", ""], rows)]
    said = [recovery["recalibration"]] if "recalibration" in recovery else []
    return lines + said + [f"! {sentence}" for sentence in (*recovery["notes"], recovery["stopped"]) if sentence]


def _epoch(epoch: dict[str, Any], metric: Metric, kept: bool) -> tuple[object, ...]:
    """Return one epoch's row."""
    numbers = (f"{epoch['lr']:.2g}", f"{epoch['loss']:.4f}", ordinary(written(metric, epoch["train_quality"])))
    return epoch["number"], percent(epoch["sparsity"]), *numbers, quality_text(epoch["validation"]), "kept" if kept else ""


def _sides(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[object, ...]]:
    """Return the rows of before and after."""
    rows = metric_rows(before, after)
    counted = {"params": "parameters", "nonzero": "not zero"}
    rows += [(title, *(f"{side[key]:,}" for side in (before, after))) for key, title in counted.items()]
    rows += [
        (title, *(short(side[key]) for side in (before, after))) for key, title in (("macs", "MACs"), ("effective_macs", "effective MACs"))
    ]
    rows.append(("zeros among the prunable weights left", *(percent(side["sparsity"]) for side in (before, after))))
    rows += [(title, *(size_text(side["sizes"], key) for side in (before, after))) for key, title in FORMS.items()]
    told = [parts(side["sizes"]) for side in (before, after)]
    apart = [(key, part) for key in FORMS if key in told[0] and key in told[1] for part in told[1][key]]
    return rows + [(f"{FORMS[key]}: {part}", *(byte_text(side[key][part]) for side in told)) for key, part in apart]


def _layer(row: dict[str, Any]) -> tuple[object, ...]:
    """Return one layer's row."""
    shapes = (shape_text(row["shape_before"]), shape_text(row["shape_after"]) if all(row["shape_after"]) else "gone with its block")
    achieved = [] if row["rows"] and not row["sparsity"] else [percent(row["sparsity"])]
    achieved += [f"{percent(1 - row['rows'][1] / row['rows'][0])} of rows"] if row["rows"] else []
    return row["name"], row["type"], *shapes, percent(row["requested"]), ", ".join(map(str, achieved))


def _proof(proof: dict[str, Any], what: str) -> str:
    """Return the proof in one line."""
    other = {"rows": "sharing one row"}.get(what, "zeroing them, rows sharing one," if "rows" in what else "zeroing them")
    return (
        f"proved: removing these {what} gives what {other} gives, to {small(proof['max_relative_error'])} (allowed 1e-4); "
        f"pruning moved the output by {percent(proof['output_change'])}"
        + (f"; also: {', '.join(proof['forms'])}" if proof["forms"] else "")
    )
