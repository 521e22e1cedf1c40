"""``prunekit sensitivity``."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from dataclasses import replace
from typing import Any

from torch import nn

from prunekit.cli.arguments import absolute, data_of, guess_lines, guess_notes, model_of, progress_to, to_json
from prunekit.cli.field_flags import given
from prunekit.cli.tables import percent, quality_text, short, table
from prunekit.config.spec import PruneSpec
from prunekit.errors import DataError, ModelError, PrunekitError
from prunekit.evaluation.sensitivity.drop_curves import fragile
from prunekit.evaluation.sensitivity.layer_targets import counter
from prunekit.evaluation.sensitivity.measure import chosen_split
from prunekit.evaluation.sensitivity.measure import sensitivity as measure
from prunekit.evaluation.sensitivity.result import Sensitivity
from prunekit.evaluation.sensitivity.suggested_targets import Suggestion, suggest
from prunekit.experiments.cluster.client import Cluster
from prunekit.experiments.sensitivity_run import SensitivityRequest, sense
from prunekit.formatting import asked, ordinary
from prunekit.models.cost import count
from prunekit.models.layers import prunable_layers
from prunekit.tasks.input_form import form_of_data
from prunekit.tasks.metrics import PERCENT

MEGABYTE = 2**20


def sensitivity(args: argparse.Namespace) -> str:
    """Prune each layer or group alone and measure it; suggest targets where asked."""
    _check(args)
    model_id, model = model_of(args)
    if not prunable_layers(model):
        raise ModelError("the model has no convolution or linear layer: there is nothing to prune")
    spec = PruneSpec(**given(args, PruneSpec))
    data = data_of(args, model)
    if data is None:
        raise DataError(f"sensitivity measures accuracy, and {model_id.name} names no data of its own: give --data")
    drop = None if args.full else args.drop
    if args.cluster is None:
        found = measure(
            model, data, spec, args.sparsities, split=args.split, images=args.images, drop=drop,
            budget_bytes=args.budget_mb * MEGABYTE, progress=progress_to(sys.stderr),
        )  # fmt: skip
    else:
        split, told = chosen_split(data, args.split)[1:]
        request = SensitivityRequest(model_id, data.id, spec, split, args.images, args.sparsities, drop)
        with closing(Cluster(args.cluster)) as cluster:
            found = sense(request, None, progress_to(sys.stderr), model=model, data=data, cluster=cluster)
        found = replace(found, notes=tuple(dict.fromkeys((*told, *found.notes))))
    suggested = _suggested(args, model, spec, data, found)
    head = {"model": model_id.to_dict(), "data": absolute(data)}
    notes = guess_notes(model, data, args.size, found.dense)
    plain = {**head, **found.to_dict(), "fragile": list(fragile(found)), **notes}
    if args.json:
        return to_json({**plain, "suggested": None if suggested is None else suggested.to_dict()})
    return "\n".join([_page(model_id.name, found, suggested), *guess_lines(notes)])


def _check(args: argparse.Namespace) -> None:
    """Refuse what cannot be before anything slow is loaded."""
    if args.budget_mb < 0:
        raise PrunekitError(f"--budget-mb must be at least 0; got {args.budget_mb}")


def _suggested(args: argparse.Namespace, model: nn.Module, spec: PruneSpec, data: Any, found: Sensitivity) -> Suggestion | None:
    """Return targets, where a drop or a goal was given."""
    wish = {"drop": args.drop, "params": args.target_params, "macs": args.target_macs}
    if all(value is None for value in wish.values()):
        return None
    shape = form_of_data(chosen_split(data, found.split)[0])
    dense = count(model, shape)
    counted = counter(model, spec, shape, data) if spec.mode == "structured" else None
    return suggest(found, **wish, totals=(dense.params, dense.macs), counter=counted)


def _page(name: str, found: Sensitivity, suggested: Suggestion | None) -> str:
    """Return everything as text: a row for each layer, a column for each sparsity."""
    points = [point.requested for point in found.layers[0].points]
    header = ["layer" if found.mode == "unstructured" else "group", "parameters", "MACs", *(ordinary(asked(s)) for s in points)]
    header += [] if suggested is None else ["target"]
    rows = []
    for place, layer in enumerate(found.layers):
        values = (ordinary(point.accuracy.text()).removesuffix(" %") for point in layer.points)
        target = () if suggested is None else (percent(suggested.targets[place].sparsity),)
        rows.append((layer.name, short(layer.params), short(layer.macs), *values, *target))
    where = f"{found.split} {found.dense.units}, " if found.split else ""
    unit = " in %" if found.dense.metric.unit == PERCENT else ""
    lines = [
        f"{name}   {found.mode}, {found.criterion}: each alone, {found.dense.metric.phrase}{unit}",
        f"dense {quality_text(found.dense.to_dict())}; {where}everything else left dense",
        "",
        table(header, rows),
        *(f"! {sentence}" for sentence in (*fragile(found).values(), *found.notes)),
        *(f"{sentence}; --full measures all" for sentence in (found.early,) if sentence),
    ]
    if suggested is not None:
        lines += ["", f"suggested: {suggested.sentence}", *(f"  {t.name}: {t.reason}" for t in suggested.targets)]
    return "\n".join(lines)
